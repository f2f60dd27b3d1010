//! A set of addresses: one host, or all that begin alike. Whom the configuration trusts is said with it, and who counts as one source.

use core::fmt;
use core::net::{IpAddr, Ipv6Addr};
use core::str::FromStr;

/// Addresses that share their first bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network {
    first: IpAddr,
    bits: u8,
}

/// Why a text is no network.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NetworkError {
    /// Neither `ADDRESS` nor `ADDRESS/PREFIX`.
    Form,
    /// More bits than an address of that family has; none at all would be everybody.
    Bits(u8),
    /// Bits behind the prefix: is the host meant, or this network?
    HostPart(Network),
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NetworkError::Form => write!(f, "is neither ADDRESS nor ADDRESS/PREFIX"),
            NetworkError::Bits(most) => write!(f, "has a prefix that is not 1 to {most} bits long"),
            NetworkError::HostPart(network) => write!(f, "names a host and a prefix: leave the prefix away, or write {network}"),
        }
    }
}
impl std::error::Error for NetworkError {}

/// An address of a private network (RFC 1918, RFC 4193) or of one link: whoever has no other is reached from there only.
pub fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(a) => a.is_private() || a.is_link_local(),
        IpAddr::V6(a) => a.is_unique_local() || a.is_unicast_link_local(),
    }
}

/// Whether a peer of this address is on our side of any NAT.
pub fn is_inside(ip: IpAddr) -> bool {
    is_private(ip) || ip.is_loopback()
}

/// As a number of 128 bits, the family aside.
fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()) << 96,
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl Network {
    /// This address alone.
    pub fn host(address: IpAddr) -> Network {
        let first = address.to_canonical();
        Network { first, bits: width(first) }
    }
    /// Whether an address is in it. An IPv4 address in IPv6's clothes (`::ffff:192.0.2.1`) counts as what it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let other = number(address) ^ number(self.first);
        address.is_ipv4() == self.first.is_ipv4() && other.leading_zeros() >= u32::from(self.bits)
    }
}

/// Who counts as one source where something is counted by source: an IPv4 address; the first of the /64 that one IPv6 host may be given whole.
pub fn source_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        v4 => v4,
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.bits == width(self.first) { write!(f, "{}", self.first) } else { write!(f, "{}/{}", self.first, self.bits) }
    }
}

impl FromStr for Network {
    type Err = NetworkError;
    fn from_str(text: &str) -> Result<Network, NetworkError> {
        let Some((address, bits)) = text.split_once('/') else {
            return text.parse().map(Network::host).map_err(|_| NetworkError::Form);
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Form)?;
        let most = width(address);
        let digits = (1..=3).contains(&bits.len()) && bits.bytes().all(|b| b.is_ascii_digit());
        let bits: u16 = if digits { bits.parse().map_err(|_| NetworkError::Form)? } else { return Err(NetworkError::Form) };
        let bits = u8::try_from(bits).ok().filter(|b| (1..=most).contains(b)).ok_or(NetworkError::Bits(most))?;
        let kept = number(address) & (u128::MAX << (128 - u32::from(bits)));
        let first = match address {
            IpAddr::V4(_) => IpAddr::V4(((kept >> 96) as u32).into()),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from(kept)),
        };
        let network = Network { first, bits };
        if first == address { Ok(network) } else { Err(NetworkError::HostPart(network)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_what_begins_alike() {
        let table: &[(&str, &[&str], &[&str])] = &[
            ("192.0.2.7", &["192.0.2.7", "::ffff:192.0.2.7"], &["192.0.2.8", "192.0.2.6", "2001:db8::7"]),
            ("10.0.0.0/8", &["10.0.0.0", "10.255.255.255", "::ffff:10.1.2.3"], &["9.255.255.255", "11.0.0.0", "a00::"]),
            ("192.0.2.128/25", &["192.0.2.128", "192.0.2.255"], &["192.0.2.127", "192.0.3.128"]),
            ("2001:db8::/32", &["2001:db8::1", "2001:db8:ffff::"], &["2001:db9::", "32.1.13.184"]),
            ("2001:db8::1", &["2001:db8::1"], &["2001:db8::2"]),
            ("192.0.2.7/32", &["192.0.2.7"], &["192.0.2.6"]),
        ];
        for (network, inside, outside) in table {
            let network: Network = network.parse().expect("a network");
            assert!(inside.iter().all(|a| network.contains(a.parse().expect("an address"))), "{network}");
            assert!(outside.iter().all(|a| !network.contains(a.parse().expect("an address"))), "{network}");
            assert_eq!(network.to_string().parse(), Ok(network));
        }
    }

    #[test]
    fn the_addresses_of_one_host_are_one_source() {
        let source = |text: &str| source_of(text.parse().expect("an address"));
        assert_eq!((source("192.0.2.1"), source("::ffff:192.0.2.1")), (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 1])));
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:ffff:ffff:ffff"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
    }

    #[test]
    fn what_is_no_network_is_told_why() {
        for (text, says) in [
            ("", "is neither ADDRESS nor ADDRESS/PREFIX"),
            ("sip.example.net", "is neither ADDRESS nor ADDRESS/PREFIX"),
            ("10.0.0.0/", "is neither ADDRESS nor ADDRESS/PREFIX"),
            ("10.0.0.0/+8", "is neither ADDRESS nor ADDRESS/PREFIX"),
            ("10.0.0.0:5060", "is neither ADDRESS nor ADDRESS/PREFIX"),
            ("0.0.0.0/0", "has a prefix that is not 1 to 32 bits long"),
            ("10.0.0.0/33", "has a prefix that is not 1 to 32 bits long"),
            ("::/999", "has a prefix that is not 1 to 128 bits long"),
            ("10.0.0.1/8", "names a host and a prefix: leave the prefix away, or write 10.0.0.0/8"),
            ("2001:db8::1/64", "names a host and a prefix: leave the prefix away, or write 2001:db8::/64"),
        ] {
            assert_eq!(text.parse::<Network>().map_err(|e| e.to_string()), Err(says.to_owned()), "{text}");
        }
    }
}

//! Under which addresses peers reach this gateway, and word of their changes.
//!
//! A gateway that listens on a wildcard tells peers the address from which the machine would speak with the directory (source address
//! selection, RFC 6724: a UDP socket is connected there, and nothing sent); where there is none, the address of its way to the world, or the
//! first of its interfaces. Fixed addresses are told as they are.
//!
//! ```text
//!  kernel: link, address or route changed --> settle (a burst is one event) --> look --> another: calls, registrations and peers are told
//!                                                                                \--> none: nothing; calls live until their timers end
//! ```
//! Where a STUN server is named, peers beyond a NAT are told what it sees of our SIP socket; it is asked again while the NAT would forget.

use super::clock;
use super::sys::interfaces;
use crate::call::Addresses;
use crate::clock::Instant;
use crate::sip::Hop;
use crate::stun;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;
use tokio::net::UnixDatagram;

/// So long must be quiet before a burst of news is over.
const QUIET: Duration = Duration::from_millis(100);
/// A burst that does not end is looked at after so long.
const BURST: Duration = Duration::from_millis(400);
/// Where the kernel tells nothing, we look so often.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// After so long without a way to the directory any other address of the machine will do, in milliseconds: in the middle of a change the
/// first one left may be that of a bridge that leads nowhere.
const ANY_WILL_DO_MS: u64 = 5_000;

/// A machine that has more to tell is looked at again at once.
const NEWS_AT_ONCE_MAX: usize = 1_000;

/// What a look found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Look {
    /// Where peers reach us; `None`: nowhere now.
    pub addresses: Option<Addresses>,
    /// There is a way to the directory (without one: to anybody).
    pub has_way: bool,
}

/// Finds out where peers reach us.
pub struct OwnAddress {
    local: Vec<Hop>,
    media: IpAddr,
    directory: Option<SocketAddr>,
    /// Since when there is no way to the directory.
    cut_off: Option<Instant>,
    /// The look for any other address has been made.
    waited: bool,
    /// The server that is asked how we are seen.
    stun: Option<(SocketAddr, stun::Client)>,
    /// What was found last, by family.
    last: (Option<IpAddr>, Option<IpAddr>),
}

impl OwnAddress {
    /// For sockets bound at `local` and, for media, `media`, of a gateway with this directory.
    pub fn new(local: &[Hop], media: IpAddr, directory: Option<SocketAddr>) -> OwnAddress {
        OwnAddress { local: local.to_vec(), media, directory, cut_off: None, waited: false, stun: None, last: (None, None) }
    }

    /// With this STUN server, which is asked from the first look on.
    pub fn with_stun(mut self, server: Option<SocketAddr>) -> OwnAddress {
        self.stun = server.map(|server| (server, stun::Client::new(clock::random::<32>())));
        self
    }

    /// When [`OwnAddress::handle_timeout`] is wanted.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let stun = self.stun.as_ref().and_then(|(_, client)| client.poll_timeout());
        [stun, self.look_at()].into_iter().flatten().min()
    }

    /// Time passed. True if it is time to look.
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        if let Some((server, client)) = &mut self.stun {
            let was_silent = client.is_silent();
            client.handle_timeout(now);
            if client.is_silent() && !was_silent {
                tracing::warn!("the STUN server {server} does not answer; peers beyond a NAT are told what it saw last, if anything");
            }
        }
        self.look_at().is_some_and(|at| at <= now)
    }

    /// What goes to the STUN server from the SIP socket.
    pub fn poll_transmit(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        let (server, client) = self.stun.as_mut()?;
        client.poll_transmit().map(|bytes| (*server, bytes))
    }

    /// A STUN message came to the SIP socket. True if a look will find something else than before.
    pub fn handle_stun(&mut self, now: Instant, src: SocketAddr, bytes: &[u8]) -> bool {
        let Some((_, client)) = self.stun.as_mut().filter(|(server, _)| *server == src) else { return false };
        client.handle_answer(now, bytes).is_some()
    }

    /// When to look though nothing was heard: an address that nobody told of may have to do.
    fn look_at(&self) -> Option<Instant> {
        let follows = self.media.is_unspecified() && self.last_of(self.media.is_ipv4()).is_none();
        let at = self.cut_off.filter(|_| follows && !self.waited)? + Duration::from_millis(ANY_WILL_DO_MS);
        Some(at)
    }

    /// Looks.
    pub fn look(&mut self, now: Instant) -> Look {
        let way = self.directory.map(source_toward);
        let has_way = match way {
            Some(source) => source.is_some(),
            None => !interfaces::addresses().is_empty(),
        };
        let (was_cut_off, before) = (self.cut_off.is_some(), self.last);
        self.cut_off = if has_way { None } else { Some(self.cut_off.unwrap_or(now)) };
        self.waited = self.cut_off.is_some_and(|since| now.ms_since(since) >= ANY_WILL_DO_MS);
        let present = interfaces::addresses();
        for v4 in [true, false] {
            let found = self.own(now, v4, way.flatten(), &present);
            *if v4 { &mut self.last.0 } else { &mut self.last.1 } = found;
        }
        if let Some((_, client)) = &mut self.stun
            && (before != self.last || (has_way && was_cut_off) || client.poll_timeout().is_none())
        {
            client.start(now);
        }
        let told = |ip: IpAddr| if ip.is_unspecified() { self.last_of(ip.is_ipv4()) } else { Some(ip) };
        let reached = |hop: &Hop| told(hop.addr.ip()).map(|ip| Hop { addr: SocketAddr::new(ip, hop.addr.port()), ..*hop });
        let contacts: Vec<Hop> = self.local.iter().filter_map(reached).collect();
        // The first of `listen` is what peers are told: without an address of its family they are told nothing.
        let main = self.local.first().and_then(reached);
        let addresses = main.zip(told(self.media)).map(|(main, media)| {
            let mapped = self.stun.as_ref().and_then(|(_, client)| client.mapped());
            // Seen as we see ourselves, there is no NAT.
            let outside = mapped.filter(|seen| seen.is_ipv4() == main.addr.is_ipv4() && seen.ip() != main.addr.ip());
            Addresses { contacts, media, outside }
        });
        Look { addresses, has_way }
    }

    fn last_of(&self, v4: bool) -> Option<IpAddr> {
        if v4 { self.last.0 } else { self.last.1 }
    }

    /// Our address of one family.
    fn own(&self, now: Instant, v4: bool, toward_directory: Option<IpAddr>, present: &[IpAddr]) -> Option<IpAddr> {
        let of_family = |ip: &IpAddr| ip.is_ipv4() == v4;
        if let Some(source) = toward_directory.filter(of_family) {
            return Some(source);
        }
        let of_directory = self.directory.is_some_and(|d| d.is_ipv4() == v4);
        if let Some(last) = self.last_of(v4).filter(|last| of_directory && present.contains(last)) {
            return Some(last);
        }
        // At the start nothing was told yet that could be wrong.
        let patient = of_directory && self.cut_off.is_some_and(|since| now != since && now.ms_since(since) < ANY_WILL_DO_MS);
        if patient || of_directory && self.last_of(v4).is_some() {
            return None;
        }
        source_toward(somewhere(v4)).or_else(|| present.iter().copied().find(of_family))
    }
}

/// An address of the wide world, to which nothing is ever sent (RFC 5737, RFC 3849).
fn somewhere(v4: bool) -> SocketAddr {
    let ip = if v4 { IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)) } else { IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)) };
    SocketAddr::new(ip, 9)
}

/// The address from which this machine would speak with `dst`; `None`: there is no way there.
fn source_toward(dst: SocketAddr) -> Option<IpAddr> {
    let any: SocketAddr = if dst.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = UdpSocket::bind(any).ok()?;
    socket.connect(dst).ok()?;
    socket.local_addr().ok().map(|own| own.ip()).filter(|ip| !ip.is_unspecified())
}

/// Hears from the kernel that something changed.
pub struct Watch {
    news: Option<UnixDatagram>,
    /// A burst: when it began, and when it is over if nothing more comes.
    burst: Option<(tokio::time::Instant, tokio::time::Instant)>,
}

impl Watch {
    /// Inside a tokio runtime.
    pub fn open() -> Watch {
        let news = interfaces::news().and_then(UnixDatagram::from_std);
        if let Err(why) = &news {
            tracing::warn!("the kernel does not tell of changes of addresses ({why}); they are looked for every second");
        }
        Watch { news: news.ok(), burst: None }
    }

    /// Something changed, and it is quiet since. Cancelling it loses nothing.
    pub async fn changed(&mut self) {
        let Some(news) = &self.news else { return tokio::time::sleep(LOOK_EVERY).await };
        loop {
            let over = self.burst.map(|(_, over)| over);
            let quiet = async {
                match over {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = quiet => {
                    self.burst = None;
                    return;
                }
                // What they say is seen by looking.
                () = some(news) => {
                    let now = tokio::time::Instant::now();
                    let began = self.burst.map_or(now, |(began, _)| began);
                    self.burst = Some((began, (now + QUIET).min(began + BURST)));
                }
            }
        }
    }
}

/// Waits for news, and takes all there are. News that were lost for want of room (ENOBUFS) are some.
async fn some(news: &UnixDatagram) {
    let mut piece = [0u8; 256];
    loop {
        if news.readable().await.is_err() {
            tokio::time::sleep(LOOK_EVERY).await;
            return;
        }
        let mut any = false;
        for _ in 0..NEWS_AT_ONCE_MAX {
            match news.try_recv(&mut piece) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Ok(_) | Err(_) => any = true,
            }
        }
        if any {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Hop {
        Hop::udp(text.parse().expect("a literal address"))
    }
    fn t(ms: u64) -> Instant {
        Instant::from_ms(ms)
    }

    #[test]
    fn a_fixed_address_is_told_as_it_is() {
        let local = [at("127.0.0.1:5060"), at("[::1]:5060")];
        let mut own = OwnAddress::new(&local, local[0].addr.ip(), None);
        let told = own.look(t(0)).addresses.expect("fixed");
        assert_eq!((told.contacts, told.media), (local.to_vec(), local[0].addr.ip()));
        assert_eq!(own.look_at(), None);
    }

    #[test]
    fn a_wildcard_is_told_as_the_address_toward_the_directory() {
        let local = [at("0.0.0.0:5060"), Hop::tcp("0.0.0.0:5060".parse().expect("literal"))];
        let mut own = OwnAddress::new(&local, local[0].addr.ip(), Some("127.0.0.1:6080".parse().expect("literal")));
        let look = own.look(t(0));
        let told = look.addresses.expect("loopback is always there");
        assert_eq!(told.contacts, [at("127.0.0.1:5060"), Hop::tcp("127.0.0.1:5060".parse().expect("literal"))]);
        assert!(look.has_way && told.media.is_loopback());
    }

    #[test]
    fn in_the_middle_of_a_change_no_other_address_of_the_machine_is_told_for_a_while() {
        let ip = |last: u8| IpAddr::V4(Ipv4Addr::new(10, 0, 0, last));
        let local = [at("0.0.0.0:5060")];
        let mut own = OwnAddress::new(&local, local[0].addr.ip(), Some("10.0.0.9:6080".parse().expect("literal")));
        own.last.0 = Some(ip(1));
        assert_eq!(own.own(t(0), true, Some(ip(2)), &[ip(1), ip(2)]), Some(ip(2)), "toward the directory");
        own.cut_off = Some(t(100));
        assert_eq!(own.own(t(200), true, None, &[ip(1)]), Some(ip(1)), "the way is gone, the address is not");
        assert_eq!(own.own(t(200), true, None, &[ip(7)]), None, "a bridge's");
        own.last.0 = None;
        assert_eq!(own.own(t(4_000), true, None, &[ip(7)]), None);
        assert_eq!(own.look_at(), Some(t(5_100)));
        assert!(own.own(t(5_200), true, None, &[ip(7)]).is_some(), "better than none");
    }

    #[test]
    fn beyond_a_nat_we_are_what_the_server_sees() {
        let server: SocketAddr = "192.0.2.53:5060".parse().expect("literal");
        let local = [at("127.0.0.1:5060")];
        let mut own = OwnAddress::new(&local, local[0].addr.ip(), None).with_stun(Some(server));
        assert_eq!(own.look(t(0)).addresses.and_then(|a| a.registered()), Some((local[0].addr, None)), "not known yet");
        let (to, ask) = own.poll_transmit().expect("it asks at once");
        assert_eq!(to, server);
        let seen: SocketAddr = "198.51.100.7:31000".parse().expect("literal");
        let answer = stun::binding_answer(&ask, seen).expect("a request");
        assert!(!own.handle_stun(t(10), seen, &answer), "not from the server");
        assert!(own.handle_stun(t(10), server, &answer));
        let told = own.look(t(10)).addresses.expect("fixed");
        assert_eq!((told.registered(), told.media), (Some((seen, Some(local[0].addr))), local[0].addr.ip()));
        // The mapping is kept open, and without a NAT there is nothing to tell.
        assert!(own.poll_timeout().is_some_and(|at| at >= t(20_000) && at <= t(29_100)));
        assert!(!own.handle_timeout(t(29_100)));
        let (_, ask) = own.poll_transmit().expect("again");
        let answer = stun::binding_answer(&ask, local[0].addr).expect("a request");
        assert!(own.handle_stun(t(29_110), server, &answer));
        assert_eq!(own.look(t(29_110)).addresses.and_then(|a| a.outside), None);
    }

    #[tokio::test]
    async fn without_news_nothing_is_heard() {
        let mut watch = Watch::open();
        // Whatever happens to this machine meanwhile: a watch that spun would come back at once, again and again.
        let mut heard = 0;
        let _over = tokio::time::timeout(Duration::from_millis(300), async {
            loop {
                watch.changed().await;
                heard += 1;
            }
        })
        .await;
        assert!(watch.news.is_some() && heard <= 3, "{heard}");
    }
}

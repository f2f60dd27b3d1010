//! Referrals: what a directory gives to whom it sends to another (C-3), so that the other answers one who has no account there.
//!
//! ```text
//! 1.22001.1796000000.9f86d081884c7d65..      server that signed, number, end of its life (Unix seconds), HMAC-SHA256 under the shared secret
//! ```
//! It is good for one number and a short time, says nothing of who asked, and stands as a parameter in a SIP URI as well as in a header.

use super::servers::Server;
use crate::clock::WallMs;
use crate::digest;
use crate::number::Number;
use core::fmt::Write as _;

/// How long a referral is good, in seconds: for the look-up that follows at once, and clocks that differ.
const LIFE_S: i64 = 300;

/// The name of the SIP URI parameter.
pub const URI_PARAMETER: &str = "tipring-referral";

/// A referral of `number` from the directory with the server number `from` to `to`; `None`: they share no secret.
pub fn sign(from: &Number, to: &Server, number: &Number, wall: WallMs) -> Option<String> {
    let secret = to.secret.as_ref()?;
    let mut out = format!("{from}.{number}.{}", wall.0 / 1000 + LIFE_S);
    let mac = print(secret, &out);
    out.push('.');
    for b in mac {
        let _ = write!(out, "{b:02x}");
    }
    Some(out)
}

/// Whether `referral` lets somebody ask for `number` now. `server` gives the entry of the directory that signed it.
pub fn is_good<'a>(referral: &str, number: &Number, wall: WallMs, server: impl FnOnce(&Number) -> Option<&'a Server>) -> bool {
    let check = || {
        let (text, mac) = referral.rsplit_once('.')?;
        let mut parts = text.split('.');
        let (from, of, until) = (parts.next()?, parts.next()?, parts.next()?);
        let until: i64 = until.parse().ok()?;
        let left = until.checked_sub(wall.0 / 1000)?;
        if parts.next().is_some() || of != number.as_str() || !(0..=2 * LIFE_S).contains(&left) {
            return None;
        }
        let secret = server(&Number::parse(from).ok()?)?.secret.as_ref()?;
        let mac: [u8; 32] = digest::from_hex(mac)?;
        digest::same(&print(secret, text), &mac).then_some(())
    };
    check().is_some()
}

fn print(secret: &str, text: &str) -> [u8; 32] {
    digest::keyed_print(secret.as_bytes(), format!("tipring referral {text}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn req_c3_a_referral_is_good_for_its_number_its_time_and_its_secret_alone() {
        let number = |text: &str| Number::parse(text).unwrap();
        let server = |n: &str, secret: &str| Server {
            number: number(n),
            terminal_digits: 4,
            sip: "h".into(),
            api: None,
            fingerprint: None,
            secret: Some(secret.into()),
        };
        let (here, there) = (server("1", "a secret of both"), server("2", "a secret of both"));
        let now = WallMs(1_796_000_000_000);
        let referral = sign(&here.number, &there, &number("22001"), now).unwrap();
        let good = |r: &str, n: &str, at: i64, of: &Server| is_good(r, &number(n), WallMs(at), |from| (*from == of.number).then_some(of));
        assert!(good(&referral, "22001", now.0, &here) && good(&referral, "22001", now.0 + 299_000, &here));
        assert!(!good(&referral, "22002", now.0, &here), "another number");
        assert!(!good(&referral, "22001", now.0 + 302_000, &here), "too late");
        assert!(!good(&referral, "22001", now.0 - 400_000, &here), "from the future: a life that long was never given");
        assert!(!good(&referral, "22001", now.0, &server("1", "another secret...")), "another secret");
        assert!(!good(&referral, "22001", now.0, &server("3", "a secret of both")), "an unknown directory");
        for broken in ["", ".", "1.22001.x.00", &referral[..referral.len() - 1], &referral.replace("22001", "22002")] {
            assert!(!good(broken, "22001", now.0, &here) && !good(broken, "22002", now.0, &here), "{broken}");
        }
    }
}

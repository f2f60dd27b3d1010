//! Session timers (RFC 4028), in both roles: the interval agreed, who refreshes, and the refresh itself, which repeats the session as it
//! stands. A peer that takes UPDATE gets one without a body (s.7.4 recommends it: there is nothing in it to misunderstand); another gets
//! a re-INVITE with our current session description, byte for byte, its version included.
//!
//! ```text
//! refresher:  --half the interval--> UPDATE or re-INVITE --2xx--> anew      both: the interval is over (the other side a third,
//!                                        \--422, 491, refusal--> later            at most 32 s, earlier): BYE
//! ```

use super::*;
use crate::sip::message::{Params, decimal};

/// The shortest interval that may be asked for, in s (RFC 4028 s.4).
pub(super) const LEAST_S: u32 = 90;

/// What both ends said in the session as it stands, as far as a refresh needs it.
#[derive(Clone, Debug, Default)]
pub(super) struct Words {
    /// Our description.
    pub(super) ours: Option<Box<[u8]>>,
    /// It was said as the answer to the peer's; else as an offer that the peer answered.
    pub(super) was_answer: bool,
    /// Our offer under way.
    pub(super) offered: Option<Box<[u8]>>,
    /// A sum of the peer's description; 0: none.
    pub(super) theirs: u64,
    /// A sum of the peer's offer under way.
    pub(super) asked: u64,
}

impl Words {
    /// The peer answered our offer.
    pub(super) fn answered(&mut self, answer: Option<&[u8]>) {
        if let Some(answer) = answer {
            if let Some(offer) = self.offered.take() {
                self.ours = Some(offer);
                self.was_answer = false;
            }
            self.theirs = sum(answer);
        }
    }
    /// We answered the peer's offer.
    pub(super) fn answer(&mut self, answer: &[u8]) {
        self.ours = Some(answer.into());
        self.was_answer = true;
        self.theirs = self.asked;
    }
    /// An offer that says what stands already.
    pub(super) fn is_unchanged(&self, offer: &[u8]) -> bool {
        let answered = |ours: &[u8]| self.was_answer || answers(ours, offer);
        self.offered.is_none() && self.theirs == sum(offer) && self.ours.as_deref().is_some_and(answered)
    }
}

/// Whether our description may be said as the answer to this offer. What we said as an offer may not: a line that the peer refused then is
/// refused by us now (RFC 3264 s.6), a stream in one direction has its counterpart (s.6.1), and `actpass` is no answer (RFC 4145 s.4.1).
/// Formats beside those of the offer are fine (s.6.1).
fn answers(ours: &[u8], offer: &[u8]) -> bool {
    let (ours, theirs) = (lines(ours), lines(offer));
    ours.len() == theirs.len()
        && ours.iter().zip(&theirs).all(|(o, t)| {
            let way = match t.way {
                _ if t.refused => o.refused,
                Way::Both => true,
                Way::Out => matches!(o.way, Way::In | Way::None) || o.refused,
                Way::In => matches!(o.way, Way::Out | Way::None) || o.refused,
                Way::None => o.way == Way::None || o.refused,
            };
            way && !o.actpass
        })
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    Both,
    Out,
    In,
    None,
}

/// What a media line says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Line {
    refused: bool,
    way: Way,
    actpass: bool,
}

fn lines(sdp: &[u8]) -> Vec<Line> {
    // What stands before the first line is true of all.
    let mut all = Line { refused: false, way: Way::Both, actpass: false };
    let mut lines: Vec<Line> = Vec::new();
    for text in sdp.split(|b| matches!(b, b'\n' | b'\r')) {
        if let Some(media) = text.strip_prefix(b"m=") {
            let port = media.split(|b| *b == b' ').nth(1).unwrap_or_default();
            let port = port.split(|b| *b == b'/').next().unwrap_or_default();
            lines.push(Line { refused: port == b"0", ..all });
            continue;
        }
        let line = lines.last_mut().unwrap_or(&mut all);
        match text {
            b"a=sendrecv" => line.way = Way::Both,
            b"a=sendonly" => line.way = Way::Out,
            b"a=recvonly" => line.way = Way::In,
            b"a=inactive" => line.way = Way::None,
            b"a=setup:actpass" => line.actpass = true,
            _ => {}
        }
    }
    lines
}

/// FNV-1a, never 0. Whoever makes two descriptions of one sum harms only the own call.
pub(super) fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3)).max(1)
}

/// What was agreed about refreshing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Session {
    /// Interval, in s; 0: no session timer.
    pub(super) seconds: u32,
    /// We refresh.
    pub(super) ours: bool,
    /// The shortest interval that somebody on the way accepts, in s.
    pub(super) least_s: u32,
}

/// Session-Expires.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Expires {
    pub(super) seconds: u32,
    /// Whether the sender of the request refreshes, if it is said.
    pub(super) by_uac: Option<bool>,
}

/// What stands in front of the parameters.
pub(super) fn first_word(value: &[u8]) -> &[u8] {
    value.split(|b| *b == b';').next().unwrap_or_default().trim_ascii()
}

pub(super) fn read_expires(value: &[u8]) -> Option<Expires> {
    let seconds = decimal(first_word(value)).map(|n| u32::try_from(n).unwrap_or(u32::MAX))?;
    let params = value.iter().position(|b| *b == b';').and_then(|at| Params::parse(&value[at..]).ok());
    let by_uac = params.as_ref().and_then(|p| p.get("refresher")).and_then(|word| match word {
        w if w.eq_ignore_ascii_case(b"uac") => Some(true),
        w if w.eq_ignore_ascii_case(b"uas") => Some(false),
        _ => None,
    });
    Some(Expires { seconds, by_uac })
}

fn expires_of(message: &Message) -> Option<Expires> {
    read_expires(message.headers.get("Session-Expires")?)
}

/// Whether a list header names an option.
pub(super) fn lists(message: &Message, header: &str, option: &str) -> bool {
    message.headers.values(header).any(|v| v.eq_ignore_ascii_case(option.as_bytes()))
}

impl Endpoint {
    /// What a request of ours that may refresh says about the session.
    pub(super) fn ask_session(&self, id: DialogId, request: &mut Message) {
        let Some(usage) = self.usages.get(&id) else { return };
        let session = usage.session;
        if session.seconds == 0 {
            return;
        }
        let refresher = if session.ours { "uac" } else { "uas" };
        request.headers.push("Session-Expires", format!("{};refresher={refresher}", session.seconds).into_bytes());
        if session.least_s > LEAST_S {
            request.headers.push("Min-SE", session.least_s.to_string().into_bytes());
        }
    }

    /// Our 2xx to the INVITE, re-INVITE or UPDATE of `tx` says what is agreed; the interval begins.
    pub(super) fn grant_session(&mut self, now: Instant, id: DialogId, tx: u64, response: &mut Message) {
        let Some(record) = self.servers.get(&tx) else { return };
        let supports = lists(&record.request, "Supported", "timer") || lists(&record.request, "Require", "timer");
        let agreed = match (expires_of(&record.request), self.config.session_expires_s) {
            // Nobody but the caller itself may be told to refresh, and only if it can (RFC 4028 table 2).
            (Some(asked), _) => Some((asked.seconds.max(LEAST_S), !(supports && asked.by_uac != Some(false)))),
            (None, Some(seconds)) if supports => Some((seconds, true)),
            _ => None,
        };
        if let Some((seconds, ours)) = agreed {
            let refresher = if ours { "uas" } else { "uac" };
            response.headers.push("Session-Expires", format!("{seconds};refresher={refresher}").into_bytes());
            if !ours {
                response.headers.push("Require", b"timer");
            }
        }
        self.set_session(now, id, agreed);
    }

    /// The peer's 2xx to our INVITE, re-INVITE or UPDATE says what is agreed; the interval begins.
    pub(super) fn take_session(&mut self, now: Instant, id: DialogId, response: &Message) {
        let agreed = expires_of(response).map(|e| (e.seconds.max(LEAST_S), e.by_uac != Some(false)));
        self.set_session(now, id, agreed);
    }

    fn set_session(&mut self, now: Instant, id: DialogId, agreed: Option<(u32, bool)>) {
        let Some(usage) = self.usages.get_mut(&id) else { return };
        usage.timers.stop(Timer::Refresh);
        usage.timers.stop(Timer::Expiry);
        usage.session.seconds = 0;
        if let Some((seconds, ours)) = agreed {
            (usage.session.seconds, usage.session.ours) = (seconds, ours);
            let whole = u64::from(seconds) * 1000;
            if ours {
                usage.timers.set(Timer::Refresh, now + ms(whole / 2));
                usage.timers.set(Timer::Expiry, now + ms(whole));
            } else {
                usage.timers.set(Timer::Expiry, now + ms(whole - (whole / 3).min(32_000)));
            }
        }
        self.sync_dialog(id);
    }

    /// Half the interval is over.
    pub(super) fn refresh(&mut self, now: Instant, id: DialogId) {
        let may_ask = self.may_ask();
        let Some(usage) = self.usages.get_mut(&id) else { return };
        let idle = usage.update.is_none() && usage.updated.is_none() && usage.ack_due.is_none();
        let allows_update = usage.allows_update;
        let (true, State::Confirmed { dialog, ours: None, theirs: None, unacked: None, closing: false }) =
            (idle && may_ask, &mut usage.state)
        else {
            // Something else is under way; should it be an offer, it refreshes as well.
            let later = now + ms(1_000 + self.rng.below(4_000));
            usage.timers.set(Timer::Refresh, later);
            return self.sync_dialog(id);
        };
        self.counters.refreshes += 1;
        usage.refreshing = true;
        let method = if allows_update { Method::Update } else { Method::Invite };
        let (mut request, ways) = dialog.next_request(method);
        let dialog = (!allows_update).then(|| dialog.clone());
        self.ask_session(id, &mut request);
        let sdp = self.usages.get(&id).and_then(|u| u.words.ours.clone());
        if allows_update {
            let tx = self.send_request(now, request, ways, Purpose::Update(id), None);
            if let Some(usage) = self.usages.get_mut(&id) {
                usage.update = Some(tx);
            }
            return;
        }
        if let Some(sdp) = sdp {
            request = request.with_body("application/sdp", sdp.into_vec());
        }
        let tx = self.send_request(now, request, ways, Purpose::ReInvite(id), dialog);
        if let Some(Usage { state: State::Confirmed { ours, .. }, .. }) = self.usages.get_mut(&id) {
            *ours = Some(tx);
        }
    }

    /// A refresh was refused: another way of it, or another time. If none succeeds, the interval ends and the call with it.
    pub(super) fn refresh_failed(&mut self, now: Instant, id: DialogId, status: u16) {
        let back_off = self.back_off(id);
        let Some(usage) = self.usages.get_mut(&id) else { return };
        usage.refreshing = false;
        let wait = match status {
            405 | 415 | 420 | 501 if usage.allows_update => {
                usage.allows_update = false;
                0
            }
            491 => back_off,
            _ => (u64::from(usage.session.seconds) * 1000 / 8).max(5_000),
        };
        if usage.session.seconds != 0 {
            usage.timers.set(Timer::Refresh, now + ms(wait));
        }
        self.sync_dialog(id);
    }

    /// When to try again after 491, in ms (s.14.1): in units of 10 ms; 2.1 to 4 s for who made the Call-ID, 0 to 2 s for the other.
    pub(super) fn back_off(&mut self, id: DialogId) -> u64 {
        let owner = self.usages.get(&id).is_some_and(|u| u.owner);
        if owner { 2_100 + 10 * self.rng.below(191) } else { 10 * self.rng.below(201) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_offered_is_not_always_an_answer() {
        // Ours, the peer's, whether ours can be said again.
        let table = [
            ("v=0\r\nm=audio 4000 RTP/AVP 8 0\r\n", "v=0\r\nm=audio 5000 RTP/AVP 8\r\n", true),
            ("m=audio 4000 RTP/AVP 8\r\nm=image 4002 udptl t38", "m=audio 5000 RTP/AVP 8\r\nm=image 0 udptl t38", false),
            ("m=audio 4000 RTP/AVP 8\r\nm=image 0 udptl t38", "m=audio 5000 RTP/AVP 8\r\nm=image 0 udptl t38", true),
            ("m=audio 4000 RTP/AVP 8", "m=audio 5000 RTP/AVP 8\r\nm=image 5002 udptl t38", false),
            ("m=audio 4000 RTP/AVP 8\r\na=sendrecv", "m=audio 5000 RTP/AVP 8\r\na=recvonly", false),
            ("m=audio 4000 RTP/AVP 8\r\na=sendonly", "m=audio 5000 RTP/AVP 8\r\na=recvonly", true),
            ("m=audio 4000 RTP/AVP 8\r\na=sendrecv", "a=inactive\r\nm=audio 5000 RTP/AVP 8", false),
            ("a=inactive\r\nm=audio 4000 RTP/AVP 8", "a=inactive\r\nm=audio 5000 RTP/AVP 8", true),
            ("a=setup:actpass\r\nm=audio 4000 RTP/AVP 8", "a=setup:active\r\nm=audio 5000 RTP/AVP 8", false),
        ];
        for (ours, offer, may) in table {
            assert_eq!(answers(ours.as_bytes(), offer.as_bytes()), may, "{ours} to {offer}");
        }
    }

    #[test]
    fn session_expires_is_read_with_its_refresher() {
        let read = |text: &str| read_expires(text.as_bytes()).map(|e| (e.seconds, e.by_uac));
        assert_eq!(read("1800"), Some((1800, None)));
        assert_eq!(read(" 1800 ; refresher=UAC"), Some((1800, Some(true))));
        assert_eq!(read("90;x=y;refresher=uas"), Some((90, Some(false))));
        assert_eq!(read("99999999999"), Some((u32::MAX, None)));
        assert_eq!((read("soon"), read("")), (None, None));
    }
}

//! INFO (RFC 6086, and what was before it): digits that a peer sends in signalling. `application/dtmf-relay` is
//! `Signal=5 CRLF Duration=160`; `application/dtmf` is the digit alone. Anything else is refused by its type.

use super::request::Refusal;
use super::*;
use crate::sip::message::decimal;

/// A digit whose length is not said, in ms.
const DIGIT_MS: u32 = 160;
/// What a peer may say of a digit's length, in ms: nobody presses longer, and no receiver hears shorter.
const DIGIT_RANGE_MS: (u64, u64) = (40, 10_000);
const ACCEPT: &str = "application/dtmf-relay, application/dtmf";

impl Endpoint {
    pub(super) fn handle_info(&mut self, now: Instant, tx: u64, id: DialogId, request: &Message) -> Result<(), Refusal> {
        self.take_number(id, request)?;
        if request.headers.count("Info-Package") > 0 {
            // s.9.1: no package of ours was ever announced.
            return Err(Refusal::with(469, "Recv-Info", ""));
        }
        let body = request.body.trim_ascii();
        let kind = request.content_type().unwrap_or_default();
        let digit = match kind.as_str() {
            _ if body.is_empty() => None,
            "application/dtmf-relay" => Some(read_relay(body).ok_or(Refusal::of(400))?),
            "application/dtmf" => Some((read_digit(body).ok_or(Refusal::of(400))?, DIGIT_MS)),
            _ => return Err(Refusal::with(415, "Accept", ACCEPT)),
        };
        let response = self.response(tx, 200);
        self.respond(now, tx, response);
        if let Some((digit, ms)) = digit {
            self.events.push_back(Event::Dtmf { dialog: id, digit, ms });
        }
        Ok(())
    }
}

/// A digit as it stands, or as the number of its event (RFC 4733 table 3), as some write it.
fn read_digit(text: &[u8]) -> Option<char> {
    match text {
        [one] => Some(char::from(one.to_ascii_uppercase())).filter(|c| matches!(c, '0'..='9' | '*' | '#' | 'A'..='D')),
        _ => match decimal(text)? {
            n @ 10..=15 => Some(char::from(b"*#ABCD"[n as usize - 10])),
            _ => None,
        },
    }
}

fn read_relay(body: &[u8]) -> Option<(char, u32)> {
    let (mut digit, mut length) = (None, DIGIT_MS);
    for line in body.split(|b| matches!(b, b'\r' | b'\n')) {
        let Some(at) = line.iter().position(|b| *b == b'=') else { continue };
        let (name, value) = (line[..at].trim_ascii(), line[at + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"Signal") {
            digit = Some(read_digit(value)?);
        } else if name.eq_ignore_ascii_case(b"Duration") {
            length = decimal(value)?.clamp(DIGIT_RANGE_MS.0, DIGIT_RANGE_MS.1) as u32;
        }
    }
    Some((digit?, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_read_in_both_forms() {
        let table: &[(&str, Option<(char, u32)>)] = &[
            ("Signal=5\r\nDuration=160\r\n", Some(('5', 160))),
            ("Signal= *\nDuration= 250", Some(('*', 250))),
            ("Signal=11\r\nDuration=1", Some(('#', 40))),
            ("signal=d", Some(('D', DIGIT_MS))),
            ("Duration=99999999\r\nSignal=0", Some(('0', 10_000))),
            ("Signal=16", None),
            ("Signal=hello", None),
            ("Signal=5\r\nDuration=long", None),
            ("Duration=100", None),
            ("", None),
        ];
        for (body, want) in table {
            assert_eq!(read_relay(body.as_bytes()), *want, "{body:?}");
        }
        assert_eq!((read_digit(b"7"), read_digit(b"!"), read_digit(b"10")), (Some('7'), None, Some('*')));
    }
}

//! What a T.30 frame says, in words. Read T.30 clause 5.3.6 and tables 2 and 2a; T.35 for the makers of non-standard facilities.

use super::frame::{self, Coding, Fcf, bit};
use core::fmt::Write;

/// The facsimile information field of a frame in words; empty if it has none.
pub fn of(fcf: Fcf, fif: &[u8]) -> String {
    match fcf {
        Fcf::Dis | Fcf::Dtc => capabilities(fif),
        Fcf::Dcs => command(fif),
        Fcf::Ctc => frame::dcs(fif).rate.map_or_else(|| "a modem that T.30 reserves".into(), |r| r.to_string()),
        Fcf::Csi | Fcf::Tsi | Fcf::Cig | Fcf::Sub | Fcf::Sid | Fcf::Pwd | Fcf::Sep | Fcf::Psa => frame::ident(fif).as_str().to_string(),
        Fcf::Cia | Fcf::Isp | Fcf::Tsa | Fcf::Ira | Fcf::Csa => address(fif),
        Fcf::Nsf | Fcf::Nsc | Fcf::Nss => maker(fif),
        Fcf::Pps => partial_page(fif),
        Fcf::Eor => end_of(fif).map_or_else(String::new, |end| format!("retransmission given up, then {end}")),
        Fcf::Ppr => repeat_request(fif),
        Fcf::Fcd => fif.first().map_or_else(String::new, |n| format!("frame {}", n.reverse_bits())),
        Fcf::Fnv => "a field was not valid".into(),
        Fcf::Cfr => "training and its check were good".into(),
        Fcf::Ftt => "training failed: try again, or slower".into(),
        Fcf::Mcf => "received".into(),
        Fcf::Rtp => "received; train again before the next page".into(),
        Fcf::Rtn => "not received well enough".into(),
        Fcf::Pip => "received; an operator is wanted".into(),
        Fcf::Pin => "not received; an operator is wanted".into(),
        Fcf::Rnr => "not ready to receive yet".into(),
        Fcf::Rr => "is the receiver ready?".into(),
        Fcf::Crp => "say the last command again".into(),
        Fcf::Mps => "end of page, another of the same kind follows".into(),
        Fcf::Eom => "end of page, another of another kind follows".into(),
        Fcf::Eop => "end of the last page".into(),
        Fcf::PriMps | Fcf::PriEom | Fcf::PriEop => "end of page; an operator is wanted".into(),
        Fcf::Dcn => "disconnect".into(),
        Fcf::Ctr => "the new rate is accepted".into(),
        Fcf::Err => "end of retransmission accepted".into(),
        _ => String::new(),
    }
}

/// Names for set bits of DIS, DTC and DCS beyond those that have words of their own (T.30 table 2, bit number and meaning).
const FEATURES: &[(usize, &str)] = &[
    (1, "store-and-forward Internet fax (T.37)"),
    (3, "real-time Internet fax (T.38)"),
    (4, "3G mobile network"),
    (6, "V.8"),
    (7, "ECM frames of 64 preferred"),
    (26, "uncompressed mode"),
    (33, "field not valid"),
    (34, "multiple selective polling"),
    (35, "polled subaddress"),
    (36, "T.43 coding"),
    (37, "plane interleave"),
    (38, "G.726 voice"),
    (39, "extended voice coding"),
    (44, "inch-based"),
    (45, "metric"),
    (46, "superfine in half the time of fine"),
    (47, "selective polling"),
    (49, "subaddressing"),
    (50, "password"),
    (51, "data file to be polled"),
    (53, "binary file transfer"),
    (54, "document transfer mode"),
    (55, "EDIFACT"),
    (57, "basic transfer mode"),
    (59, "character or mixed mode document to be polled"),
    (60, "character mode"),
    (62, "mixed mode"),
    (65, "processable mode 26"),
    (66, "digital network"),
    (67, "duplex"),
    (68, "JPEG"),
    (69, "full colour"),
    (71, "12 bits a colour"),
    (73, "no subsampling"),
    (74, "custom illuminant"),
    (75, "custom gamut"),
    (76, "North American Letter"),
    (77, "North American Legal"),
    (78, "JBIG"),
    (79, "JBIG with L0"),
];

/// What some of these bits mean in a DCS; an empty name: nothing.
const IN_COMMAND: &[(usize, &str)] = &[
    (6, ""),
    (7, ""),
    (34, ""),
    (35, ""),
    (45, ""),
    (46, ""),
    (47, ""),
    (50, "sender identification"),
    (51, ""),
    (59, ""),
    (70, "preferred Huffman tables"),
];

fn features(fif: &[u8], command: bool, out: &mut String) {
    let own = |n: usize| IN_COMMAND.iter().find(|(bit, _)| command && *bit == n).map(|(_, name)| *name);
    let common = FEATURES.iter().map(|(n, name)| (*n, own(*n).unwrap_or(name)));
    let extra = IN_COMMAND.iter().filter(|(n, _)| command && !FEATURES.iter().any(|(bit, _)| bit == n)).copied();
    for (n, name) in common.chain(extra) {
        if shown(fif, n) && !name.is_empty() {
            let _ = write!(out, ", {name}");
        }
    }
}

/// Bit `n`, if its octet is there: beyond the third, bit 8 of each octet announces the next (bits 24, 32, 40 and so on).
fn shown(fif: &[u8], n: usize) -> bool {
    bit(fif, n) && (2..(n - 1) / 8).all(|octet| bit(fif, 8 * (octet + 1)))
}

fn capabilities(fif: &[u8]) -> String {
    let b = |n| shown(fif, n);
    let mut s = String::from(match (b(11), b(12), b(13), b(14)) {
        (false, false, false, false) => "V.27ter 2400",
        (false, true, false, false) => "V.27ter 4800",
        (true, false, false, false) => "V.29",
        (true, true, false, false) => "V.27ter and V.29 9600",
        (true, true, true, false) => "V.27ter, V.29 and V.33",
        (true, true, false, true) => "V.27ter, V.29 and V.17 14400",
        _ => "a reserved set of modems",
    });
    s += match (b(15), b(41), b(42), b(43)) {
        (_, _, _, true) => ", up to 400 dpi",
        (_, true, _, _) => ", up to superfine",
        (_, _, true, _) => ", up to 300 dpi",
        (true, ..) => ", fine",
        _ => ", standard",
    };
    s += match (b(17), b(18)) {
        (false, false) => ", 1728",
        (false, true) => ", 1728 to 2432",
        _ => ", 1728 and 2048",
    };
    s += match (b(19), b(20)) {
        (false, false) => ", A4",
        (false, true) => ", any length",
        _ => ", A4 and B4",
    };
    s += ", MH";
    for (n, name) in [(16, " MR"), (31, " MMR")] {
        if b(n) {
            s += name;
        }
    }
    s += match (b(21), b(22), b(23)) {
        (false, false, false) => ", 20 ms a row",
        (false, false, true) => ", 40 ms a row",
        (false, true, false) => ", 10 ms a row",
        (true, false, false) => ", 5 ms a row",
        (false, true, true) => ", 10 ms a row, half in fine",
        (true, true, false) => ", 20 ms a row, half in fine",
        (true, false, true) => ", 40 ms a row, half in fine",
        (true, true, true) => ", 0 ms a row",
    };
    if b(27) {
        s += ", ECM";
    }
    match (b(9), b(10)) {
        (true, true) => s += ", has a document to be polled",
        (true, false) => s += ", only has a document to be polled",
        (false, false) => s += ", cannot receive",
        (false, true) => {}
    }
    features(fif, false, &mut s);
    s
}

/// The words that the JSON contract shows: "V.17 14400, fine, 1728, MH".
fn command(fif: &[u8]) -> String {
    let d = frame::dcs(fif);
    let rate = d.rate.map_or_else(|| "a modem that T.30 reserves".to_string(), |r| r.to_string());
    let resolution = match d.rows_per_cm {
        154 if d.width >= 3456 => "400 dpi",
        154 => "superfine",
        118 => "300 dpi",
        77 => "fine",
        _ => "standard",
    };
    let coding = match d.coding {
        Coding::T4OneD => "MH",
        Coding::T4TwoD => "MR",
        Coding::T6 => "MMR",
        Coding::Jbig => "JBIG",
    };
    let mut s = format!("{rate}, {resolution}, {}, {coding}", d.width);
    if d.ecm {
        s += if d.short_frames { ", ECM with frames of 64" } else { ", ECM" };
    } else {
        let _ = write!(s, ", {} ms a row", d.row_ms);
    }
    let lengths = (bit(fif, 19), bit(fif, 20));
    s += match lengths {
        (false, true) => ", any length",
        (true, false) => ", B4",
        _ => "",
    };
    features(fif, true, &mut s);
    s
}

/// The name of the page end that PPS and EOR carry in their first octet.
fn end_of(fif: &[u8]) -> Option<String> {
    match *fif.first()? {
        0 | 0x80 => Some("more of the page".into()),
        octet => Fcf::of(octet).map(|f| f.to_string()),
    }
}

fn partial_page(fif: &[u8]) -> String {
    let &[_, page, block, frames, ..] = fif else { return "cut short".into() };
    let end = end_of(fif).unwrap_or_else(|| "?".into());
    let (page, block) = (u16::from(page.reverse_bits()) + 1, u16::from(block.reverse_bits()) + 1);
    format!("page {page}, block {block}, {} frames, then {end}", u16::from(frames.reverse_bits()) + 1)
}

fn repeat_request(fif: &[u8]) -> String {
    let wanted = (0..256usize).filter(|n| bit(fif, n + 1));
    let count = wanted.clone().count();
    let mut s = format!("{count} frame{} again", if count == 1 { "" } else { "s" });
    for (i, n) in wanted.take(8).enumerate() {
        let _ = write!(s, "{}{n}", if i == 0 { ": " } else { ", " });
    }
    if count > 8 {
        s += " ...";
    }
    s
}

/// T.30 5.3.6.2.12: a type octet, a length, the address.
fn address(fif: &[u8]) -> String {
    fif.iter()
        .skip(2)
        .map(|o| o.reverse_bits() & 0x7F)
        .map(|c| if c.is_ascii_graphic() || c == b' ' { char::from(c) } else { '?' })
        .collect()
}

/// Countries of T.35 annex A whose makers speak most.
const COUNTRIES: &[(u8, &str)] = &[
    (0x00, "Japan"),
    (0x04, "Germany"),
    (0x09, "Australia"),
    (0x0F, "Belgium"),
    (0x20, "Canada"),
    (0x26, "China"),
    (0x31, "Denmark"),
    (0x3C, "Finland"),
    (0x3D, "France"),
    (0x50, "Hong Kong"),
    (0x53, "India"),
    (0x58, "Israel"),
    (0x59, "Italy"),
    (0x61, "Korea"),
    (0x7B, "Netherlands"),
    (0x82, "Norway"),
    (0x9C, "Singapore"),
    (0xA0, "Spain"),
    (0xA5, "Sweden"),
    (0xA6, "Switzerland"),
    (0xB4, "United Kingdom"),
    (0xB5, "United States"),
    (0xFE, "Taiwan"),
];

/// Makers by country code and the provider code behind it, of machines that are met most. The provider codes are given out by each country
/// (in Japan by the TTC, in the United States by the TIA) and stand in no Recommendation.
const MAKERS: &[(&[u8], &str)] = &[
    (&[0x00, 0x00, 0x70], "Panasonic"),
    (&[0x00, 0x00, 0x9C], "Panasonic"),
    (&[0x00, 0x00, 0x9E], "Panasonic"),
    (&[0x00, 0x00, 0x88], "Canon"),
    (&[0x00, 0x00, 0x98], "Xerox"),
    (&[0x00, 0x00, 0x84], "Oki"),
    (&[0x00, 0x00, 0xA4], "Ricoh"),
    (&[0x00, 0x00, 0x64], "Konica"),
    (&[0x00, 0x00, 0x8C], "Sharp"),
    (&[0x00, 0x00, 0xA2], "Muratec"),
    (&[0x00, 0x00, 0x12], "Muratec"),
    (&[0x00, 0x00, 0x8A], "Sanyo"),
    (&[0x00, 0x00, 0x6A], "Brother"),
    (&[0x00, 0x00, 0x9A], "Fujitsu"),
    (&[0x00, 0x00, 0x86], "Casio"),
    (&[0x00, 0x00, 0xB4], "Sony"),
    (&[0x00, 0x0E, 0x00], "Kyocera"),
    (&[0x00, 0x0D, 0x00], "Minolta"),
    (&[0x04, 0x82], "Siemens"),
    (&[0x61, 0x00, 0x08], "Samsung"),
    (&[0x61, 0x00, 0x68], "Samsung"),
    (&[0xB5, 0x00, 0x00], "Pitney Bowes"),
    (&[0xB5, 0x00, 0x30], "Dialogic"),
    (&[0xB5, 0x00, 0x62], "Brooktrout"),
    (&[0xB5, 0x00, 0x6C], "Hewlett-Packard"),
    (&[0xB5, 0x00, 0xA8], "Lexmark"),
    (&[0xB5, 0x00, 0xAA], "HylaFAX"),
];

fn maker(fif: &[u8]) -> String {
    let name = MAKERS.iter().find(|(code, _)| fif.starts_with(code)).map(|(_, name)| *name);
    let Some(first) = fif.first() else { return String::new() };
    let mut s = match (name, COUNTRIES.iter().find(|(code, _)| code == first)) {
        (Some(name), _) => return name.into(),
        (None, Some((_, country))) => format!("a maker of {country}"),
        (None, None) => format!("a maker of country {first:02X}"),
    };
    if let [_, a, b, ..] = fif {
        let _ = write!(s, ", code {a:02X}{b:02X}");
    }
    s
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn with_bits(octets: usize, bits: &[usize]) -> Vec<u8> {
        let mut fif = vec![0u8; octets];
        bits.iter().for_each(|n| fif[(n - 1) / 8] |= 0x80 >> ((n - 1) % 8));
        fif
    }

    #[test]
    fn a_dcs_says_what_the_contract_shows() {
        assert!(of(Fcf::Dcs, &with_bits(3, &[14, 15])).starts_with("V.17 14400, fine, 1728, MH"));
        assert_eq!(of(Fcf::Dcs, &with_bits(4, &[12, 14, 24, 27, 28, 31])), "V.17 12000, standard, 1728, MMR, ECM with frames of 64");
    }

    #[test]
    fn bits_behind_the_last_extension_are_not_there() {
        let dis = |bits: &[usize]| of(Fcf::Dis, &with_bits(8, bits));
        assert!(dis(&[10, 11, 12, 14, 24, 27, 31]).contains("MMR"));
        assert!(!dis(&[10, 11, 12, 14, 27, 31]).contains("MMR"));
        assert!(dis(&[10, 24, 32, 40, 48, 49, 50]).ends_with("subaddressing, password"));
        assert!(!dis(&[10, 24, 32, 48, 49]).contains("subaddressing"));
        assert!(dis(&[10, 24, 32, 40, 46, 47]).ends_with("superfine in half the time of fine, selective polling"));
        // The same bits in a DCS.
        assert!(
            of(Fcf::Dcs, &with_bits(8, &[24, 32, 40, 44, 45, 46, 47, 48, 49, 50]))
                .ends_with("inch-based, subaddressing, sender identification")
        );
    }

    #[test]
    fn a_real_machine_is_put_in_words() {
        // NSF and DIS of an HP OfficeJet.
        assert_eq!(of(Fcf::Nsf, &[0xB5, 0x00, 0x6C, 0x05]), "Hewlett-Packard");
        // Another, from a carrier's capture; and one that nobody knows.
        assert_eq!(of(Fcf::Nsf, &[0x00, 0x00, 0x70, 0x00]), "Panasonic");
        assert_eq!(of(Fcf::Nsf, &[0xB5, 0x12, 0x34]), "a maker of United States, code 1234");
        let words = of(Fcf::Dis, &[0x04, 0x77, 0x1F, 0x23, 0x01, 0x49, 0x01, 0x01, 0x19, 0x00]);
        assert_eq!(
            words,
            "V.27ter, V.29 and V.17 14400, up to 300 dpi, 1728, any length, MH MR MMR, 0 ms a row, ECM, V.8, metric, JPEG, full colour"
        );
    }

    #[test]
    fn blocks_and_repeats_are_counted() {
        assert_eq!(of(Fcf::Pps, &[0xF4, 0x00, 0x80, 0x08]), "page 1, block 2, 17 frames, then EOP");
        assert_eq!(of(Fcf::Ppr, &with_bits(32, &[1, 4, 256])), "3 frames again: 0, 3, 255");
    }

    proptest! {
        #[test]
        fn any_field_is_put_in_words(fif in proptest::collection::vec(any::<u8>(), 0..80)) {
            for fcf in Fcf::ALL {
                prop_assert!(of(*fcf, &fif).len() < 2000);
            }
        }
    }
}

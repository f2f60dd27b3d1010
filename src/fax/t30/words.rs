//! What a T.30 frame says, in words.

use super::frame::{self, Fcf};

/// The facsimile information field of a frame in words; empty if it has none.
pub fn of(fcf: Fcf, fif: &[u8]) -> String {
    match fcf {
        Fcf::Dcs => dcs(fif),
        Fcf::Csi | Fcf::Tsi | Fcf::Cig => frame::ident(fif).as_str().to_string(),
        _ => String::new(),
    }
}

fn dcs(fif: &[u8]) -> String {
    let d = frame::dcs(fif);
    let rate = d.rate.map_or_else(|| "reserved modem".to_string(), |r| r.to_string());
    format!("{rate}, {}, {}", d.width, d.coding)
}

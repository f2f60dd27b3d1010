//! The bodies of the fuzz targets (`tests/fuzz`), so that the corpus also runs as a plain test. Each asserts what must hold of any bytes.

use super::flows::Player;
use super::survey::{Known, Survey};
use super::{limits, pcap, srtp, wav};
use crate::decode::{Decoder, Options};

/// The first byte chooses how the file is cut into pieces: what is read does not depend on it.
pub fn wav(bytes: &[u8]) {
    let Some((choice, file)) = bytes.split_first() else { return };
    let read = |piece: usize| -> Result<_, wav::WavError> {
        let (mut reader, mut samples) = (wav::Reader::new(), Vec::new());
        for part in file.chunks(piece) {
            reader.push(part, &mut samples)?;
        }
        reader.finish(&mut samples)?;
        Ok((samples, reader.format()))
    };
    let whole = read(file.len().max(1));
    assert_eq!(whole, read(usize::from(*choice) + 1));
    if let Ok((samples, _)) = whole {
        // ADPCM has two samples an octet.
        assert!(samples.len() <= 2 * file.len());
    }
}

/// A capture through both passes. Keys for a few SSRCs, so that SRTP is tried as well.
pub fn pcap(bytes: &[u8]) {
    let Some((choice, file)) = bytes.split_first() else { return };
    let piece = usize::from(*choice) + 1;
    let mut known = Known::default();
    known.srtp_keys.insert(0xDEAD_BEEF, srtp::Key::read(&"AQEB".repeat(10)).expect("thirty octets"));
    let mut survey = Survey::new(known);
    let mut reader = pcap::Reader::new();
    let mut datagrams = 0u64;
    for part in file.chunks(piece) {
        let taken = reader.push(part, &mut |d| {
            datagrams += 1;
            assert!(d.payload.len() <= limits::PACKET_BYTES_MAX);
            survey.datagram(&d);
        });
        if taken.is_err() {
            return;
        }
    }
    assert!(datagrams <= reader.packets());
    let mut plan = survey.finish();
    // Hours of silence cost time and find nothing.
    if plan.seconds > 60.0 {
        plan.streams.clear();
    }
    assert!(plan.streams.len() + plan.t38.len() <= 2 * limits::FLOWS_MAX);
    let mut player = Player::new(&plan);
    let mut decoder = Decoder::new(Options { channels: plan.channels, direction: plan.direction });
    let mut reader = pcap::Reader::new();
    for part in file.chunks(piece) {
        if reader.push(part, &mut |d| player.datagram(&d, &mut decoder)).is_err() {
            return;
        }
    }
    player.finish(&mut decoder);
    let report = decoder.finish();
    assert!(report.seconds <= limits::CAPTURE_S_MAX + 10.0, "{} s", report.seconds);
}

//! Orders of packets that the filter lets through, and those that it does not.

use super::*;
use DataType::{V17At14400, V21};
use FieldType::*;

fn passed(f: &mut Filter, packets: &[Packet]) -> Vec<String> {
    let mut got = Vec::new();
    for p in packets {
        f.from_net(p, |s| {
            got.push(match s {
                Step::Indicator(i) => i.to_string(),
                Step::Field { modem, kind, data } => format!("{modem} {kind} {}", data.len()),
                Step::Missing(n) => format!("missing {n}"),
                Step::Reset => "reset".into(),
            });
        });
    }
    got
}
fn d(modem: DataType, kind: FieldType, data: &[u8]) -> Packet {
    Packet::Data(Data::one(modem, kind, data).unwrap())
}
fn i(i: Indicator) -> Packet {
    Packet::Indicator(i)
}
fn frame(fcf: u8) -> [Packet; 3] {
    [i(Indicator::V21Preamble), d(V21, HdlcData, &[0xFF, 0xC8, fcf]), d(V21, HdlcFcsOkSigEnd, &[])]
}

#[test]
fn what_is_legal_passes_as_it_is() {
    let mut f = Filter::new();
    let got = passed(&mut f, &frame(0x21));
    assert_eq!(got, ["v21-preamble", "v21 hdlc-data 3", "v21 hdlc-fcs-OK 0", "v21 hdlc-sig-end 0", "no-signal"]);
    let page = [i(Indicator::V17Long14400), d(V17At14400, T4NonEcmData, &[0; 9]), d(V17At14400, T4NonEcmSigEnd, &[1])];
    let got = passed(&mut f, &page);
    assert_eq!(
        got,
        [
            "v17-14400-long-training",
            "v17-14400 t4-non-ecm-data 9",
            "v17-14400 t4-non-ecm-data 1",
            "v17-14400 t4-non-ecm-sig-end 0",
            "no-signal"
        ]
    );
    assert_eq!(f.stats(), FilterStats::default());
}

#[test]
fn copies_of_an_end_are_not_passed_twice() {
    let mut f = Filter::new();
    passed(&mut f, &frame(0x21));
    assert_eq!(passed(&mut f, &[d(V21, HdlcFcsOkSigEnd, &[]), d(V21, HdlcSigEnd, &[]), i(Indicator::NoSignal)]), [""; 0]);
}

#[test]
fn a_lost_indicator_is_put_back_and_the_frame_it_lost_is_not_believed() {
    let mut f = Filter::new();
    let got = passed(&mut f, &[d(V21, HdlcData, &[0x31]), d(V21, HdlcFcsOk, &[])]);
    assert_eq!(got, ["v21-preamble", "v21 hdlc-data 1", "v21 hdlc-fcs-BAD 0"]);
}

#[test]
fn an_image_from_the_network_does_not_pass_while_the_line_sends() {
    let mut f = Filter::new();
    for p in frame(0x41) {
        f.from_line(&p);
    }
    assert_eq!(passed(&mut f, &[i(Indicator::V17Long14400), d(V17At14400, T4NonEcmData, &[0])]), [""; 0]);
    assert_eq!(f.stats().wrong_direction, 2);
    // The tables turn with a DCS from the network: the engine begins anew with it.
    assert_eq!(passed(&mut f, &frame(0xC1))[..3], ["v21-preamble", "reset", "v21-preamble"]);
    assert_eq!(passed(&mut f, &[i(Indicator::V17Long14400)]), ["v17-14400-long-training"]);
    // And back with one from the line.
    let back: Vec<_> = frame(0x41).iter().map(|p| f.from_line(p)).collect();
    assert_eq!(back, [Outgoing::Send, Outgoing::SendAndReset, Outgoing::Send]);
    assert_eq!((passed(&mut f, &[i(Indicator::V17Long14400)]), f.stats().resets), (vec![], 2));
}

#[test]
fn a_carrier_never_ends_empty_or_in_the_middle_of_a_frame() {
    let mut f = Filter::new();
    let got = passed(&mut f, &[i(Indicator::V21Preamble), d(V21, HdlcSigEnd, &[])]);
    assert_eq!(got, ["v21-preamble", "v21 hdlc-data 1", "v21 hdlc-fcs-BAD 0", "v21 hdlc-sig-end 0", "no-signal"]);
    let got = passed(&mut f, &[i(Indicator::V21Preamble), d(V21, HdlcData, &[0xFF, 0xC8]), i(Indicator::V29Training9600)]);
    assert_eq!(got, ["v21-preamble", "v21 hdlc-data 1", "v21 hdlc-fcs-BAD 0", "v21 hdlc-sig-end 0", "no-signal", "v29-9600-training"]);
    let got = passed(&mut f, &[i(Indicator::NoSignal)]);
    assert_eq!(got, ["v29-9600 t4-non-ecm-data 1", "v29-9600 t4-non-ecm-sig-end 0", "no-signal"]);
}

#[test]
fn an_engine_that_does_not_stop_is_reset() {
    let mut f = Filter::new();
    passed(&mut f, &[i(Indicator::V21Preamble)]);
    let n = (1..).find(|_| f.to_line(&[100; 160]));
    assert_eq!((n, f.stats().resets), (Some(usize::from(RUNAWAY_FRAMES)), 1));
}

#[test]
fn a_queue_that_the_line_cannot_drain_is_forgotten() {
    let mut f = Filter::new();
    let flood: Vec<Packet> = (0..40).flat_map(|_| frame(0x21)).collect();
    assert!(!passed(&mut f, &flood).contains(&"reset".to_string()));
    assert!(passed(&mut f, &flood).contains(&"reset".to_string()));
    assert!(f.stats().too_fast >= 1);
    // With silence in between it is no flood.
    let mut f = Filter::new();
    for _ in 0..10 {
        passed(&mut f, &flood);
        (0..EMPTY_FRAMES).for_each(|_| assert!(!f.to_line(&[0; 160])));
    }
    assert_eq!(f.stats().too_fast, 0);
}

#[test]
fn a_block_of_ecm_frames_is_no_flood_at_any_rate() {
    for (modem, rate) in [(DataType::V27At2400, 2400), (DataType::V29At9600, 9600), (V17At14400, 14400)] {
        let mut f = Filter::new();
        passed(&mut f, &[i(Indicator::V21Preamble), d(V21, HdlcData, &[0xFF, 0xC8, 0xC1, 0, 0, 0, 0x20]), d(V21, HdlcFcsOkSigEnd, &[])]);
        passed(&mut f, &frame(0x21));
        (0..EMPTY_FRAMES).for_each(|_| assert!(!f.to_line(&[0; 160])));
        passed(&mut f, &[i(training_for(modem))]);
        for octets in [68, 260] {
            for n in 0..256u32 {
                passed(&mut f, &[d(modem, HdlcData, &vec![0xFF; octets]), d(modem, HdlcFcsOk, &[])]);
                // What the line carries meanwhile: the frame, its FCS and a flag without any bit stuffed.
                let ticks = |n: u32| n * (octets as u32 + 3) * 8 * 50 / rate;
                (ticks(n)..ticks(n + 1)).for_each(|_| assert!(!f.to_line(&[100; 160])));
            }
            assert_eq!(f.stats().too_fast, 0, "{rate} {octets}");
            (0..EMPTY_FRAMES).for_each(|_| assert!(!f.to_line(&[0; 160])));
        }
    }
}

#[test]
fn a_dcs_behind_the_torn_start_of_another_frame_is_seen() {
    let mut f = Filter::new();
    for p in frame(0x41) {
        f.from_line(&p);
    }
    let torn = [d(V21, HdlcData, &[0xFF, 0xC8, 0x24]), d(V21, HdlcData, &[0xFF, 0xC8, 0x41, 0x00, 0x20])];
    torn.iter().for_each(|p| assert_eq!(f.from_line(p), Outgoing::Send));
    assert_eq!(f.from_line(&d(V21, HdlcFcsOk, &[])), Outgoing::SendAndReset);
}

#[test]
fn carriers_do_not_mix_and_strangers_do_not_pass() {
    let mut f = Filter::new();
    assert_eq!(passed(&mut f, &[i(Indicator::V17Long14400), d(V17At14400, HdlcData, &[0xFF; 9])]), ["v17-14400-long-training"]);
    // With ECM agreed, it is the other way round.
    for p in [i(Indicator::V21Preamble), d(V21, HdlcData, &[0xFF, 0xC8, 0xC1, 0, 0, 0, 0x20]), d(V21, HdlcFcsOk, &[])] {
        passed(&mut f, &[p]);
    }
    for p in frame(0x21) {
        f.from_line(&p);
    }
    passed(&mut f, &[i(Indicator::V17Short14400), d(V17At14400, HdlcData, &[0xFF; 200])]);
    assert_eq!(passed(&mut f, &[d(V17At14400, T4NonEcmData, &[0])]), [""; 0]);
    let got = passed(&mut f, &[d(V17At14400, HdlcData, &[0xFF; 61]), d(V17At14400, HdlcFcsOk, &[])]);
    assert_eq!(got, ["v17-14400 hdlc-data 200", "v17-14400 hdlc-fcs-BAD 0"]);
    assert_eq!(passed(&mut f, &[i(Indicator::V34PrimaryChannel), d(DataType::V8, CmMessage, b"1")]), [""; 0]);
    assert_eq!(passed(&mut f, &[i(Indicator::V8Ansam)]), ["v17-14400 hdlc-sig-end 0", "no-signal", "ced"]);
    let s = f.stats();
    assert_eq!((s.out_of_order, s.too_long, s.not_group_3), (2, 1, 2));
}

#[test]
fn req_a4_without_clearance_nothing_of_a_page_leaves_and_what_comes_in_does() {
    let mut f = Filter::new();
    f.set_cleared(false);
    assert_eq!(passed(&mut f, &frame(0x41)).len(), 5);
    assert_eq!(passed(&mut f, &[i(Indicator::V17Long14400)]).len(), 1);
    let mut f = Filter::new();
    f.set_cleared(false);
    // TSI goes, and the DCS behind it does not: not its control field, not its bits, not its end.
    assert_eq!(f.from_line(&i(Indicator::V21Preamble)), Outgoing::Send);
    assert_eq!(f.from_line(&d(V21, HdlcData, &[0xFF, 0xC0, 0xC2, 0x04])), Outgoing::Send);
    assert_eq!(f.from_line(&d(V21, HdlcFcsOk, &[])), Outgoing::Send);
    assert_eq!(f.from_line(&d(V21, HdlcData, &[0xFF, 0xC8])), Outgoing::Send);
    assert_eq!(f.from_line(&d(V21, HdlcData, &[0xC1])), Outgoing::Hold);
    assert_eq!(f.from_line(&d(V21, HdlcData, &[0x00, 0x46])), Outgoing::Hold);
    assert_eq!(f.from_line(&d(V21, HdlcFcsOk, &[])), Outgoing::Hold);
    assert_eq!(f.from_line(&d(V21, HdlcSigEnd, &[])), Outgoing::Hold);
    assert_eq!(f.from_line(&i(Indicator::NoSignal)), Outgoing::Send);
    assert!(f.from_line(&i(Indicator::V21Preamble)).goes_out());
    assert_eq!(f.from_line(&i(Indicator::V17Long14400)), Outgoing::Hold);
    assert_eq!(f.from_line(&d(V17At14400, T4NonEcmData, &[0])), Outgoing::Hold);
    // The control: cleared, all of it goes, from the next preamble on.
    f.set_cleared(true);
    assert_eq!(f.from_line(&i(Indicator::NoSignal)), Outgoing::Send);
    assert_eq!(f.from_line(&i(Indicator::V21Preamble)), Outgoing::Send);
    assert_eq!(f.from_line(&d(V21, HdlcData, &[0xFF, 0xC8, 0xC1, 0x00, 0x46])), Outgoing::Send);
    assert_eq!(f.from_line(&i(Indicator::V17Long14400)), Outgoing::Send);
}

#[test]
fn the_engine_is_deaf_while_it_speaks() {
    let mut f = Filter::new();
    assert!(!f.deaf());
    for (sample, deaf) in [(100, true), (0, true), (0, false), (0, false)] {
        assert!(!f.to_line(&[sample; 160]));
        assert_eq!(f.deaf(), deaf);
    }
}

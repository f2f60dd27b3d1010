//! Who answers, and what may go there: keys proven before anything leaves, by gateways at which nobody has switched anything.

use crate::stage::*;
use tipring::identity::Proof;
use tipring::lab::world::{SecuritySpec, WorldSpec};
#[cfg(feature = "spandsp")]
use {
    crate::faxes::*,
    tipring::lab::{attack, takeover},
};

/// Two offices as they come out of the box.
fn two_usual_offices(seed: u64) -> WorldSpec {
    let mut spec = two_offices(seed);
    spec.gateways.iter_mut().for_each(|g| g.security = SecuritySpec::USUAL);
    spec
}

#[test]
fn req_k5_a4_d12_a_call_between_two_gateways_is_encrypted_and_proven_without_a_switch() {
    for seed in 1..=3 {
        let mut world = registered(two_usual_offices(seed));
        for n in 0..2 {
            crate::moves::calls(&mut world);
            crate::moves::both_hear(&mut world, seed);
            crate::moves::hang_up(&mut world);
            let call = record(&mut world, A, n, 5_000);
            assert!(call.completed, "{}: {}", call.result, story(&world));
            assert_eq!((call.protection, call.verified), (Some("DTLS"), Some(Proof::Proven)), "{}", story(&world));
            assert_eq!(call.cipher.as_deref(), Some("DTLS 1.3 AES-128-GCM, AEAD_AES_256_GCM"));
            assert_eq!(call.peer_key, world.site(B).certificate().map(|c| c.fingerprint()));
            assert_eq!(call.route, if n == 0 { "directory" } else { "learned" }, "A-2: the second call asks nobody");
        }
        comes_to_rest(&mut world);
    }
}

#[cfg(feature = "spandsp")]
#[test]
fn req_k5_d12_a_page_goes_in_the_association_of_the_call_and_no_handshake_comes_in_between() {
    for seed in 1..=3 {
        let tray = Tray::new(&format!("identity-{seed}"));
        let pages = letters(seed, 1);
        let mut spec = fax_offices(seed, &tray, seed % 2 == 0);
        spec.gateways.iter_mut().for_each(|g| g.security = SecuritySpec::USUAL);
        let mut world = registered(spec);
        let out = send(&mut world, &tray, &pages);
        assert_delivered(&world, &out, &pages, seed % 2 == 0);
        for call in [&out.2, &out.3] {
            assert_eq!(call.protection, Some("DTLS"), "{}", story(&world));
            // What cannot be opened is the last of the audio, on the same socket.
            assert_eq!(call.fax.as_ref().map(|f| (f.withheld, f.unopened < 20)), Some((0, true)), "{}", story(&world));
        }
        assert_eq!(out.2.verified, Some(Proof::Proven));
        assert!(out.3.fax_choice.as_deref().is_some_and(|w| w.contains("T.38 in DTLS")), "{:?}", out.3.fax_choice);
    }
}

#[cfg(feature = "spandsp")]
#[test]
fn req_a4_a8_a_page_never_reaches_whoever_has_the_address_now_and_arrives_where_its_number_is() {
    let mut tray = Tray::new("takeover");
    let page = &letters(5, 1)[0];
    let found = takeover::run(page, 1, 12, true, &mut tray).expect("a folder that can be written");
    assert_eq!((found.leaks, found.delivered), (0, 12), "{:#?}", found.failures);
    assert!(found.suppressed > 0, "somebody else was there, and was seen");
    // The control: the same seeds with the check off.
    let off = takeover::run(page, 1, 12, false, &mut tray).expect("a folder that can be written");
    assert!(off.leaks > 0, "{off:#?}");
}

#[cfg(feature = "spandsp")]
#[test]
fn req_k5_a4_who_sits_in_the_path_learns_nothing_and_leads_nothing_away() {
    let mut tray = Tray::new("attack");
    let page = &letters(6, 1)[0];
    let found = attack::run(page, 1, 4, true, &mut tray).expect("a folder that can be written");
    let learned = (found.audio_learned, found.pels_learned, found.sent_in_the_clear, found.redirected);
    assert_eq!(learned, (0, 0, 0, 0), "{found:#?}");
    assert!(found.changed > 0 && found.dropped > 0 && found.replayed > 0 && found.injected > 0, "{found:#?}");
    assert!(found.talks > 0 && found.pages > 0, "where it only spoils media, the call stands: {found:#?}");
    let off = attack::run(page, 1, 4, false, &mut tray).expect("a folder that can be written");
    assert!(off.audio_learned > 0 && off.pels_learned > 0, "the control: {off:#?}");
}

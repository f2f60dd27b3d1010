//! B-2's question: the gateway asks over the session what the other end can carry, chooses, and says in its re-INVITE what it chose.

use super::peer::Manners;
use super::wire::{CALM, Link, Options};
use super::{Act, Bug, Case, Scene, agrees, at, parts_cleanly};
use tipring::id::PortId;
use tipring::tick::Event;

const HEAD: &str = "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\n";
const AUDIO: &str = "m=audio 0 RTP/AVP 8 0 18\r\na=gpmd:8 vbd=yes\r\n";

/// The product with a fax machine (`fax`: known by its port's configuration), called by a peer that answers OPTIONS so.
fn called_by(says: Option<&str>, options: Options, link: Link, fax: bool) -> Scene {
    let case = Case {
        seed: 11,
        link,
        peers: [Some(Manners::Takes), None],
        t38: [true; 2],
        laws: [0; 2],
        fax: [false, fax],
        caller: 0,
        late: false,
        script: Vec::new(),
    };
    let mut scene = Scene::new(&case, Bug::None);
    scene.wire.options = options;
    if let Some(sdp) = says {
        scene.peer(0).can(format!("{HEAD}{sdp}").into_bytes());
    }
    scene.act(0, Act::Call);
    scene.run_ms(300);
    scene.act(1, Act::Lift);
    scene.run_ms(1_000);
    scene
}
fn asked(scene: &Scene) -> usize {
    scene.wire.story().lines().filter(|l| l.contains("OPTIONS sip:")).count()
}

/// What the peer says, T.38 offers that the machine's V.21 leads to, what the record says of it.
type Said = (Option<&'static str>, Options, usize, Option<bool>, &'static str);
const SAID: &[Said] = &[
    (Some("m=audio 0 RTP/AVP 8 0\r\nm=image 0 udptl t38\r\n"), Options::Kept, 1, Some(true), "T.38 offered: the peer says that it can"),
    // RFC 3407, on no line at all, and under the audio line.
    (Some("a=sqn: 0\r\na=cdsc: 1 image udptl t38\r\n"), Options::Kept, 1, Some(true), "T.38 offered: the peer says that it can"),
    (
        Some("m=audio 0 RTP/AVP 0\r\na=sqn: 0\r\na=cdsc: 1 audio RTP/AVP 0\r\na=cdsc: 2 image udptl t38\r\n"),
        Options::Kept,
        1,
        Some(true),
        "T.38 offered: the peer says that it can",
    ),
    (Some(AUDIO), Options::Kept, 0, Some(false), "audio: the peer says that it has no T.38"),
    (Some("a=sqn: 0\r\na=cdsc: 1 audio RTP/AVP 0 8\r\n"), Options::Kept, 0, Some(false), "audio: the peer says that it has no T.38"),
    // The session that it is in, and one that it would open (many ATAs): neither denies what it does not name.
    (Some("m=audio 40000 RTP/AVP 0 8\r\n"), Options::Kept, 1, None, "T.38 offered: the peer does not say what it can do"),
    (
        Some("m=audio 40000 RTP/AVP 0 8\r\nm=audio 0 RTP/AVP 18\r\n"),
        Options::Kept,
        1,
        None,
        "T.38 offered: the peer does not say what it can do",
    ),
    // On a port too, T.38 that is named is believed; and a set beside the open line denies.
    (Some("m=audio 40000 RTP/AVP 0\r\nm=image 0 udptl t38\r\n"), Options::Kept, 1, Some(true), "T.38 offered: the peer says that it can"),
    (
        Some("a=sqn: 0\r\na=cdsc: 1 audio RTP/AVP 0 8\r\nm=audio 40000 RTP/AVP 0\r\n"),
        Options::Kept,
        0,
        Some(false),
        "audio: the peer says that it has no T.38",
    ),
    // Nothing that is said: T.38 is tried, as it would be without the question.
    (None, Options::Kept, 1, None, "T.38 offered: the peer does not say what it can do"),
    (Some(""), Options::Kept, 1, None, "T.38 offered: the peer does not say what it can do"),
    (Some(AUDIO), Options::Becomes(405), 1, None, "T.38 offered: the peer does not say what it can do"),
    (Some(AUDIO), Options::Becomes(501), 1, None, "T.38 offered: the peer does not say what it can do"),
    (Some(AUDIO), Options::Becomes(481), 1, None, "T.38 offered: the peer does not say what it can do"),
    (Some(AUDIO), Options::Becomes(500), 1, None, "T.38 offered: the peer does not say what it can do"),
    (Some(AUDIO), Options::Becomes(401), 1, None, "T.38 offered: the peer does not say what it can do"),
    (Some(AUDIO), Options::Lost, 1, None, "T.38 offered: before the peer has said what it can do"),
];

#[test]
fn req_b2_the_peer_is_asked_over_the_session_and_its_answer_chooses_how_the_fax_goes() {
    for (says, options, offers, t38, choice) in SAID {
        let mut scene = called_by(*says, *options, CALM, true);
        let story = scene.wire.story();
        assert!(scene.office(1).is_up(), "{says:?} {options:?}: no answer to OPTIONS ends a call\n{story}");
        assert!(asked(&scene) > 0, "{story}");
        scene.act(1, Act::Fax);
        // Decided at once, whatever the answer: a fax does not wait.
        assert_eq!(scene.wire.t38_offers(at(1)), *offers, "{says:?} {options:?}\n{}", scene.wire.story());
        assert_eq!(scene.office(1).passes_through, *offers == 0, "{says:?} {options:?}");
        scene.run_ms(1_000);
        agrees(&scene);
        assert_eq!(scene.office(1).media(), if *offers == 0 { "PCMU" } else { "T.38" }, "{says:?} {options:?}");
        let view = scene.office(1).gateway.calls()[0].clone();
        assert_eq!(
            (view.peer_says.as_ref().and_then(|s| s.can.as_ref()).and_then(|c| c.t38), view.fax_choice.as_deref()),
            (*t38, Some(*choice))
        );
        // Heard again: decided already.
        scene.act(1, Act::Fax);
        scene.run_ms(60_000);
        assert_eq!(scene.wire.t38_offers(at(1)), *offers);
        assert!(scene.office(1).is_up(), "{says:?} {options:?}");
        scene.act(0, Act::HangUp);
        scene.run_ms(1_000);
        let record = scene.office(1).records[0].clone();
        let said = record.peer_says.expect("asked");
        assert_eq!((said.can.as_ref().and_then(|c| c.t38), record.fax_choice.as_deref()), (*t38, Some(*choice)));
        match (options, &said.can) {
            (Options::Becomes(status), _) => assert_eq!(said.status, *status),
            // Nobody answered, and the record says that too.
            (Options::Lost, _) => assert_eq!(said.status, 408),
            (Options::Kept, Some(can)) if *says == Some(AUDIO) => {
                assert_eq!((can.audio.join(" ").as_str(), can.vbd, can.telephone_event), ("PCMA PCMU 18", true, false));
            }
            (Options::Kept | Options::Unnamed, _) => assert_eq!(said.status, 200),
        }
        parts_cleanly(scene);
    }
}

#[test]
fn req_b2_a_fax_that_is_faster_than_the_answer_does_not_wait_for_it() {
    let slow = Link { delay_ms: 200, ..CALM };
    let mut scene = called_by(Some(AUDIO), Options::Kept, slow, true);
    assert_eq!(asked(&scene), 1, "{}", scene.wire.story());
    assert_eq!(scene.office(1).gateway.calls()[0].peer_says, None, "the answer is on its way: {}", scene.wire.story());
    scene.act(1, Act::Fax);
    assert_eq!(scene.wire.t38_offers(at(1)), 1);
    scene.run_ms(5_000);
    agrees(&scene);
    parts_cleanly(scene);
}

#[test]
fn req_b2_a_telephone_is_not_asked_for_until_a_machine_is_heard_on_it() {
    let mut scene = called_by(Some(AUDIO), Options::Kept, CALM, false);
    scene.run_ms(60_000);
    assert_eq!(asked(&scene), 0, "two people talk: {}", scene.wire.story());
    let now = scene.now;
    for _ in 0..3 {
        scene.office(1).gateway.handle_tick_event(now, Event::AnswerTone(PortId(0)));
    }
    scene.carry(1, None);
    scene.run_ms(1_000);
    assert_eq!(asked(&scene), 1, "once, {}", scene.wire.story());
    scene.act(1, Act::Fax);
    assert_eq!((scene.wire.t38_offers(at(1)), scene.office(1).passes_through), (0, true));
    parts_cleanly(scene);
}

#[test]
fn req_b2_who_switches_by_itself_or_names_no_options_is_not_asked() {
    let mut scene = called_by(Some(AUDIO), Options::Unnamed, CALM, true);
    assert_eq!(asked(&scene), 0, "{}", scene.wire.story());
    scene.act(1, Act::Fax);
    scene.run_ms(1_000);
    assert_eq!((scene.wire.t38_offers(at(1)), scene.office(1).media()), (1, "T.38"));
    parts_cleanly(scene);

    // At once after the answer, as a fax server does that knows what it wants.
    let case = Case {
        seed: 13,
        link: CALM,
        peers: [Some(Manners::Takes), None],
        t38: [true; 2],
        laws: [0; 2],
        fax: [true, true],
        caller: 0,
        late: false,
        script: Vec::new(),
    };
    let mut scene = Scene::new(&case, Bug::None);
    scene.act(0, Act::Call);
    scene.run_ms(300);
    scene.act(1, Act::Lift);
    scene.run_ms(50);
    scene.act(0, Act::Fax);
    scene.run_ms(3_000);
    assert_eq!(scene.office(1).media(), "T.38", "{}", scene.wire.story());
    // Nor when it goes back to audio, and the machine is heard again.
    scene.act(0, Act::Hold(tipring::sdp::Direction::SendRecv, false));
    scene.run_ms(1_000);
    let now = scene.now;
    scene.office(1).gateway.handle_tick_event(now, Event::AnswerTone(PortId(0)));
    scene.carry(1, None);
    scene.run_ms(1_000);
    assert_eq!((scene.office(1).media(), asked(&scene)), ("PCMU", 0), "{}", scene.wire.story());
    let call = scene.office(1).gateway.calls()[0].clone();
    assert_eq!((call.peer_says, call.fax_choice.as_deref()), (None, Some("T.38: the peer offered it")));
    parts_cleanly(scene);
}

#[test]
fn req_b2_the_calling_side_asks_too_and_gives_its_machine_the_steady_path() {
    for (says, passes) in [(AUDIO, true), ("m=image 0 udptl t38\r\n", false)] {
        let case = Case {
            seed: 12,
            link: CALM,
            peers: [None, Some(Manners::Takes)],
            t38: [true; 2],
            laws: [0; 2],
            fax: [true, false],
            caller: 0,
            late: false,
            script: Vec::new(),
        };
        let mut scene = Scene::new(&case, Bug::None);
        scene.peer(1).can(format!("{HEAD}{says}").into_bytes());
        scene.act(0, Act::Call);
        scene.run_ms(300);
        scene.act(1, Act::Lift);
        scene.run_ms(1_000);
        assert!(!scene.office(0).passes_through, "nothing was heard yet");
        scene.act(0, Act::Fax);
        assert_eq!((scene.office(0).passes_through, scene.wire.t38_offers(at(0))), (passes, 0), "the offer is the called side's to make");
        parts_cleanly(scene);
    }
}

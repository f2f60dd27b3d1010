use super::*;

fn number(s: &str) -> Number {
    Number::parse(s).expect("test numbers are digits")
}
fn contact() -> SocketAddr {
    "192.0.2.7:5060".parse().expect("a literal address")
}
fn resolver() -> Resolver {
    Resolver::new(BTreeMap::from([(number("2001"), PortId(0))]), Some(number("9000")), RouteCache::new(4), 1500)
}
fn found() -> Answer {
    Answer::Found { number: number("3001"), contact: contact(), fingerprint: None, signed: false }
}

#[test]
fn our_own_ports_come_first() {
    let mut r = resolver();
    assert_eq!(r.resolve(Instant::ZERO, &number("2001")), Step::Done(Ok(Route::Port(PortId(0)))));
    assert_eq!(r.resolve(Instant::ZERO, &number("9000")), Step::Done(Ok(Route::Echo)));
    assert_eq!(r.poll_action(), None);
}

#[test]
fn an_answer_is_learned_and_the_next_call_asks_nobody() {
    let mut r = resolver();
    let Step::Asked(q) = r.resolve(Instant::ZERO, &number("3001")) else { panic!("nothing is learned yet") };
    assert_eq!(r.poll_action(), Some(Action::Ask(q, number("3001"))));
    assert!(matches!(r.handle_answer(WallMs(5), q, found()), Some(Ok(Route::Peer(Target { learned: false, .. })))));
    assert!(matches!(r.poll_action(), Some(Action::Store(n, _)) if n == number("3001")));
    assert!(matches!(r.resolve(Instant::ZERO, &number("3001")), Step::Done(Ok(Route::Peer(Target { learned: true, .. })))));
    assert_eq!(r.poll_action(), None);
}

#[test]
fn the_directory_can_take_a_number_back_but_its_silence_cannot() {
    let mut r = resolver();
    r.learn(WallMs(1), number("3001"), contact(), None);
    let Step::Asked(q) = r.ask_again(Instant::ZERO, &number("3001")) else { panic!("asked") };
    assert_eq!(r.handle_timeout(Instant::from_ms(1500)), vec![(q, Err(NoRoute::DirectorySilent))]);
    assert_eq!(r.handle_answer(WallMs(2), q, found()), None, "too late");
    assert_eq!(r.learned().count(), 1);
    let Step::Asked(q) = r.ask_again(Instant::ZERO, &number("3001")) else { panic!("asked") };
    assert_eq!(r.handle_answer(WallMs(2), q, Answer::No(NoRoute::Unknown)), Some(Err(NoRoute::Unknown)));
    assert_eq!(r.learned().count(), 0);
}

#[test]
fn req_a1_a3_of_several_terminals_the_one_that_answered_is_learned_and_called_when_the_directory_is_silent() {
    let mut r = resolver();
    let (one, two): (SocketAddr, SocketAddr) = (contact(), "192.0.2.8:5060".parse().expect("a literal address"));
    let several = |at: &[SocketAddr]| Answer::Terminals {
        number: number("3001"),
        ring: Ring::All,
        at: at.iter().map(|a| (*a, None)).collect(),
        signed: false,
    };
    let Step::Asked(q) = r.resolve(Instant::ZERO, &number("3001")) else { panic!("nothing is learned yet") };
    let Some(Ok(Route::Terminals(all))) = r.handle_answer(WallMs(1), q, several(&[one, two, one])) else { panic!("two places") };
    assert_eq!(all.at.iter().map(|t| t.contact).collect::<Vec<_>>(), [one, two]);
    assert_eq!(r.learned().count(), 0, "nobody has answered yet");
    r.learn_of_several(WallMs(2), number("3001"), &all.at[1]);
    // It is asked for each time: a call to the learned one alone would leave the others silent.
    let Step::Asked(q) = r.resolve(Instant::ZERO, &number("3001")) else { panic!("several are asked for each time") };
    let silent = r.handle_answer(WallMs(3), q, Answer::No(NoRoute::DirectorySilent));
    assert!(matches!(silent, Some(Ok(Route::Peer(Target { contact, learned: true, .. }))) if contact == two));
    let Step::Asked(q) = r.resolve(Instant::ZERO, &number("3001")) else { panic!("asked") };
    assert!(matches!(&r.handle_timeout(Instant::from_ms(1500))[..], [(due, Ok(Route::Peer(_)))] if *due == q));
    // Only one is left: learned as ever, and then called directly.
    let Step::Asked(q) = r.resolve(Instant::ZERO, &number("3001")) else { panic!("asked") };
    assert!(matches!(r.handle_answer(WallMs(4), q, several(&[one])), Some(Ok(Route::Peer(_)))));
    assert!(matches!(r.resolve(Instant::ZERO, &number("3001")), Step::Done(Ok(Route::Peer(Target { learned: true, .. })))));
}

#[test]
fn a_number_has_so_many_terminals_and_no_more() {
    let mut r = resolver();
    let Step::Asked(q) = r.resolve(Instant::ZERO, &number("3001")) else { panic!("nothing is learned yet") };
    let at = (1..=200u8).map(|n| (SocketAddr::from(([192, 0, 2, n], 5060)), None)).collect();
    let answer = r.handle_answer(WallMs(1), q, Answer::Terminals { number: number("3001"), ring: Ring::InOrder, at, signed: false });
    assert!(matches!(answer, Some(Ok(Route::Terminals(t))) if t.at.len() == BINDINGS_PER_NUMBER_MAX));
}

#[test]
fn req_a8_a_route_follows_who_moved_and_nobody_else() {
    let mut r = resolver();
    let (old, new): (SocketAddr, SocketAddr) = (contact(), "192.0.2.8:5060".parse().expect("a literal address"));
    assert!(!r.follow(WallMs(2), &number("3001"), old, new), "nothing was learned");
    r.learn(WallMs(1), number("3001"), old, Some("f".into()));
    r.learn(WallMs(1), number("3002"), old, None);
    assert!(!r.follow(WallMs(2), &number("3001"), new, old), "it leads elsewhere already");
    assert!(r.follow(WallMs(2), &number("3001"), old, new));
    let at = |r: &Resolver, n: &str| r.learned().find(|(k, _)| **k == number(n)).map(|(_, r)| (r.contact, r.fingerprint.clone()));
    assert_eq!(at(&r, "3001"), Some((new, Some("f".into()))));
    assert_eq!(at(&r, "3002"), Some((old, None)));
}

fn with_routes(plan: bool) -> Resolver {
    let mut r = resolver();
    let mut routes = PrefixRoutes::new();
    let row = |prefix: &str, strip: usize| prefix::PrefixRoute {
        prefix: prefix.into(),
        strip,
        add: String::new(),
        way: prefix::Way::Account(crate::id::AccountId(0)),
    };
    routes.add(row("0", 1)).unwrap();
    routes.add(row("3", 0)).unwrap();
    if plan {
        routes.set_plan(crate::digit_map::DigitMap::parse("[2-8]xxx", &[]).unwrap());
    }
    r.set_prefix_routes(routes);
    r
}
fn is_outside(step: &Step, called: &str) -> bool {
    matches!(step, Step::Done(Ok(Route::Outside(o))) if o.number == called)
}

#[test]
fn a_prefix_route_goes_before_the_directory_but_for_numbers_of_the_plan() {
    let mut r = with_routes(false);
    assert!(is_outside(&r.resolve(Instant::ZERO, &number("0301234")), "301234"));
    assert!(is_outside(&r.resolve(Instant::ZERO, &number("3001")), "3001"));
    assert_eq!(r.poll_action(), None, "the directory does not hear of it");
    // What is nearer comes first: our port, the echo service, a learned route.
    r.learn(WallMs(1), number("3001"), contact(), None);
    assert!(matches!(r.resolve(Instant::ZERO, &number("3001")), Step::Done(Ok(Route::Peer(_)))));
    let mut r = with_routes(true);
    assert!(matches!(r.resolve(Instant::ZERO, &number("3001")), Step::Asked(_)));
    assert!(is_outside(&r.resolve(Instant::ZERO, &number("30012")), "30012"));
}

#[test]
fn a_number_of_the_plan_goes_outside_only_when_the_directory_does_not_know_it() {
    for why in [NoRoute::Unknown, NoRoute::Away, NoRoute::Refused, NoRoute::DirectorySilent] {
        let mut r = with_routes(true);
        let Step::Asked(q) = r.resolve(Instant::ZERO, &number("3001")) else { panic!("asked") };
        let answer = r.handle_answer(WallMs(2), q, Answer::No(why));
        assert_eq!(matches!(answer, Some(Ok(Route::Outside(_)))), why == NoRoute::Unknown, "{why:?}");
    }
}

#[test]
fn a_number_that_no_route_names_never_goes_outside() {
    for plan in [false, true] {
        let mut r = with_routes(plan);
        // 4001 and 911 are named by no row; the empty table is the control that rows are what lets numbers out.
        for n in ["4001", "911", "1", "20011"] {
            let Step::Asked(q) = r.resolve(Instant::ZERO, &number(n)) else { panic!("{n}: only the directory may be asked") };
            assert_eq!(r.handle_answer(WallMs(2), q, Answer::No(NoRoute::Unknown)), Some(Err(NoRoute::Unknown)), "{n}");
        }
        r.set_prefix_routes(PrefixRoutes::new());
        assert!(matches!(r.resolve(Instant::ZERO, &number("0301234")), Step::Asked(_)));
    }
}

#[test]
fn a_full_table_forgets_the_oldest_and_says_so() {
    let mut r = resolver();
    for (i, n) in ["3001", "3002", "3003", "3004", "3005"].iter().enumerate() {
        r.learn(WallMs(i as i64), number(n), contact(), None);
    }
    assert_eq!(r.learned().count(), 4);
    let actions: Vec<Action> = core::iter::from_fn(|| r.poll_action()).collect();
    assert!(actions.contains(&Action::Forget(number("3001"))));
}

#[test]
fn req_a6_a7_a8_a_stale_route_is_found_by_its_identifier_and_then_by_its_number() {
    let mut r = resolver();
    let new: SocketAddr = "192.0.2.8:5060".parse().unwrap();
    let there = || Answer::Found { number: number("3001"), contact: new, fingerprint: Some("f".into()), signed: true };
    // Nothing is known of who it is: the number is asked after at once, and who answered is learned.
    r.learn(WallMs(1), number("3001"), contact(), None);
    while r.poll_action().is_some() {}
    let Step::Asked(q) = r.find_again(Instant::ZERO, &number("3001")) else { panic!("asked") };
    assert_eq!(r.poll_action(), Some(Action::Ask(q, number("3001"))));
    assert!(r.handle_answer(WallMs(2), q, found()).is_some());
    assert!(r.learn_identifier(WallMs(2), &number("3001"), "f"));
    assert!(!r.learn_identifier(WallMs(2), &number("3001"), "g"), "what is known stands");
    while r.poll_action().is_some() {}
    // Known, and found by it.
    let Step::Asked(q) = r.find_again(Instant::ZERO, &number("3001")) else { panic!("asked") };
    assert_eq!(r.poll_action(), Some(Action::AskIdentifier(q, number("3001"), "f".into())));
    let Some(Ok(Route::Peer(target))) = r.handle_answer(WallMs(3), q, there()) else { panic!("it is found") };
    assert_eq!((target.contact, target.signed, target.learned), (new, true, false));
    // Known to nobody: the number, under the same query.
    let Step::Asked(q) = r.find_again(Instant::ZERO, &number("3001")) else { panic!("asked") };
    while r.poll_action().is_some() {}
    assert_eq!(r.handle_answer(WallMs(3), q, Answer::No(NoRoute::Unknown)), None, "there is more to ask");
    assert_eq!(r.poll_action(), Some(Action::Ask(q, number("3001"))));
    assert!(matches!(r.handle_answer(WallMs(3), q, found()), Some(Ok(Route::Peer(_)))));
    // Nobody answers: the number, and then that is the end, each after its own time.
    r.learn(WallMs(3), number("3002"), contact(), Some("f".into()));
    let Step::Asked(q) = r.find_again(Instant::ZERO, &number("3002")) else { panic!("asked") };
    while r.poll_action().is_some() {}
    assert_eq!(r.handle_timeout(Instant::from_ms(1499)), vec![]);
    assert_eq!(r.handle_timeout(Instant::from_ms(1500)), vec![]);
    assert_eq!(r.poll_action(), Some(Action::Ask(q, number("3002"))));
    assert_eq!(r.poll_timeout(), Some(Instant::from_ms(3000)));
    assert_eq!(r.handle_timeout(Instant::from_ms(3000)), vec![(q, Err(NoRoute::DirectorySilent))]);
    assert_eq!(r.poll_timeout(), None);
}

#[test]
fn a_route_that_nobody_uses_ends_one_that_is_used_does_not_and_one_made_by_hand_stays() {
    let mut r = resolver();
    let day = |n: i64| WallMs(n * DAY_MS);
    let Step::Asked(q) = r.resolve(Instant::ZERO, &number("3001")) else { panic!("nothing is learned yet") };
    r.handle_answer(day(0), q, found());
    r.learn(day(0), number("3002"), contact(), None);
    r.learn_for(day(0), number("3003"), contact(), None, Some(10));
    let is_learned = |r: &mut Resolver, n: &str| {
        let learned = matches!(r.resolve(Instant::ZERO, &number(n)), Step::Done(Ok(Route::Peer(Target { learned: true, .. }))));
        while r.poll_action().is_some() {}
        learned
    };
    for n in [20, 45, 70] {
        r.set_wall(day(n));
        assert!(is_learned(&mut r, "3001"), "day {n}: used within thirty days");
        assert!(is_learned(&mut r, "3002"));
    }
    assert!(!is_learned(&mut r, "3003"));
    r.set_wall(day(101));
    assert!(!is_learned(&mut r, "3001"));
    assert!(is_learned(&mut r, "3002"));
    // A clock that is not set ends nothing.
    r.handle_answer(day(101), q, found());
    r.learn_for(day(101), number("3004"), contact(), None, Some(10));
    r.set_wall(WallMs(0));
    assert!(is_learned(&mut r, "3004"));
}

#[test]
fn a_revoked_identifier_takes_its_routes_along() {
    let mut r = resolver();
    for (n, f) in [("3001", "f"), ("3002", "g"), ("3003", "f")] {
        r.learn(WallMs(1), number(n), contact(), Some(f.into()));
    }
    assert_eq!(r.set_revoked(["f".to_owned()].into()), 2);
    assert_eq!(r.learned().map(|(n, _)| n.as_str()).collect::<Vec<_>>(), ["3002"]);
    // Nor is it learned again, whoever says so; of several terminals the others are called.
    let of = |f: &str| Answer::Found { number: number("3001"), contact: contact(), fingerprint: Some(f.into()), signed: true };
    let mut ask = |answer: Answer| {
        let Step::Asked(q) = r.ask_again(Instant::ZERO, &number("3001")) else { panic!("asked") };
        r.handle_answer(WallMs(2), q, answer)
    };
    assert_eq!(ask(of("f")), Some(Err(NoRoute::Away)));
    let at = vec![(contact(), Some("f".into())), (contact(), Some("g".into()))];
    let several = Answer::Terminals { number: number("3001"), ring: Ring::All, at, signed: true };
    assert!(matches!(ask(several), Some(Ok(Route::Peer(Target { fingerprint: Some(f), .. }))) if f == "g"));
    assert!(matches!(ask(of("g")), Some(Ok(_))));
}

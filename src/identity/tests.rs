//! The check as a table.

use super::*;

fn key(n: u8) -> Fingerprint {
    Fingerprint([n; 32])
}

fn check(policy: Policy, expected: Expected) -> Check {
    Check::new(policy, expected, &[])
}

fn proof(check: &Check) -> Option<Proof> {
    match check.verdict() {
        Verdict::Cleared(c) => Some(c.by()),
        Verdict::Waiting | Verdict::Wrong(_) | Verdict::NoIdentifier(_) => None,
    }
}

#[test]
fn req_a4_only_the_key_on_record_clears_and_another_is_wrong() {
    let mut c = check(Policy::default(), Expected::Keys(vec![key(1), key(2)]));
    assert!(c.holds_voice());
    assert_eq!(c.verdict(), Verdict::Waiting);
    c.answered(Instant::ZERO, true);
    assert_eq!(c.verdict(), Verdict::Waiting);
    for (shown, good) in [(1, true), (2, true), (3, false)] {
        let mut c = c.clone();
        c.shown(key(shown));
        assert_eq!(proof(&c), good.then_some(Proof::Proven));
        assert_eq!(matches!(c.verdict(), Verdict::Wrong(_)), !good);
        // What was shown stands, however late it is.
        c.handle_timeout(Instant::from_ms(60_000));
        assert_eq!(proof(&c), good.then_some(Proof::Proven));
    }
    // The control: with the check off the wrong one is cleared.
    let mut off = check(Policy { check_is_off: true, ..Policy::default() }, Expected::Keys(vec![key(1)]));
    off.shown(key(3));
    assert_eq!(proof(&off), Some(Proof::FlaggedByPolicy));
}

#[test]
fn req_a5_no_identifier_within_the_limit_is_no_clearance() {
    for handshake in [true, false] {
        let mut c = check(Policy::default(), Expected::Keys(vec![key(1)]));
        c.answered(Instant::from_ms(100), handshake);
        assert_eq!(c.wants_statement(), !handshake);
        assert_eq!(c.poll_timeout(), Some(Instant::from_ms(100 + LIMIT_MS)));
        c.handle_timeout(Instant::from_ms(99 + LIMIT_MS));
        assert_eq!(c.verdict(), Verdict::Waiting);
        c.handle_timeout(Instant::from_ms(100 + LIMIT_MS));
        assert!(matches!(c.verdict(), Verdict::NoIdentifier(_)));
        assert_eq!(c.poll_timeout(), None);
    }
}

#[test]
fn req_a4_a_stated_identifier_is_enough_only_where_the_policy_is_content() {
    let stated = |peers, says: Option<Fingerprint>| {
        let mut c = check(Policy { peers, ..Policy::default() }, Expected::Keys(vec![key(1)]));
        c.answered(Instant::ZERO, false);
        c.stated(says);
        c.verdict()
    };
    assert!(matches!(stated(Peers::Prove, Some(key(1))), Verdict::NoIdentifier(_)));
    assert!(matches!(stated(Peers::State, Some(key(1))), Verdict::Cleared(c) if c.by() == Proof::Stated));
    assert!(matches!(stated(Peers::State, Some(key(2))), Verdict::Wrong(_)));
    assert!(matches!(stated(Peers::State, None), Verdict::NoIdentifier(_)));
    assert!(matches!(stated(Peers::Flag, None), Verdict::Cleared(c) if c.by() == Proof::FlaggedByPolicy));
}

#[test]
fn a_revoked_key_is_wrong_though_it_is_on_record() {
    let mut c = Check::new(Policy::default(), Expected::Keys(vec![key(1)]), &[key(1)]);
    c.answered(Instant::ZERO, true);
    c.shown(key(1));
    assert!(matches!(c.verdict(), Verdict::Wrong(why) if why.0.contains("revoked")));
}

#[test]
fn a_number_without_a_key_needs_a_fresh_signed_record() {
    assert_eq!(proof(&check(Policy::default(), Expected::Record { signed: true })), Some(Proof::Signed));
    assert!(matches!(check(Policy::default(), Expected::Record { signed: false }).verdict(), Verdict::NoIdentifier(_)));
    assert_eq!(proof(&check(Policy::default(), Expected::Foreign)), Some(Proof::FlaggedByPolicy));
    let strict = Policy { foreign: Foreign::Refuse, ..Policy::default() };
    assert_eq!(proof(&check(strict, Expected::Foreign)), None);
}

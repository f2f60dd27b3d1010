use super::verify::{Fault, Verifier};
use super::*;
use proptest::prelude::*;

fn event(n: usize, words: &str) -> Event {
    Event { what: "call", call: Some(format!("c{n}")), peer: Some("192.0.2.1:5060".into()), words: words.into(), ..Event::default() }
}

/// A trail of these words.
fn trail(words: &[String]) -> (Vec<String>, Head) {
    let mut head = Head::default();
    let lines = words.iter().enumerate().map(|(n, words)| {
        let line = head.line("2026-11-28T19:00:00.000Z", &event(n, words));
        head = head.after(&line);
        line
    });
    let lines = lines.collect();
    (lines, head)
}

fn verify(lines: &[String], head: Option<&Head>) -> Result<(), Fault> {
    let mut verifier = Verifier::new();
    lines.iter().try_for_each(|line| verifier.line(line))?;
    verifier.end(head)
}

/// What somebody does to a trail.
#[derive(Clone, Debug)]
enum Tamper {
    Edit {
        line: usize,
        at: usize,
        to: u8,
    },
    Remove(usize),
    Double(usize),
    Swap(usize, usize),
    CutOff(usize),
    Add,
    /// The line is written anew with other words, and holds the right hash of the one before.
    Rewrite(usize),
}

fn tamper() -> impl Strategy<Value = Tamper> {
    let n = || 0..1000usize;
    prop_oneof![
        (n(), n(), 0x20..0x7fu8).prop_map(|(line, at, to)| Tamper::Edit { line, at, to }),
        n().prop_map(Tamper::Remove),
        n().prop_map(Tamper::Double),
        (n(), n()).prop_map(|(a, b)| Tamper::Swap(a, b)),
        (1..1000usize).prop_map(Tamper::CutOff),
        Just(Tamper::Add),
        n().prop_map(Tamper::Rewrite),
    ]
}

proptest! {
    #[test]
    fn whoever_changes_removes_adds_or_moves_a_line_is_found_out(
        words in proptest::collection::vec("\\PC{0,20}", 1..12),
        deed in tamper(),
    ) {
        let (lines, head) = trail(&words);
        prop_assert_eq!(verify(&lines, Some(&head)), Ok(()), "as it was written");
        let n = lines.len();
        let mut bad = lines.clone();
        match deed {
            Tamper::Edit { line, at, to } => {
                let mut bytes = bad[line % n].clone().into_bytes();
                let at = at % bytes.len();
                bytes[at] = to;
                bad[line % n] = String::from_utf8_lossy(&bytes).into_owned();
            }
            Tamper::Remove(i) => drop(bad.remove(i % n)),
            Tamper::Double(i) => bad.insert(i % n, lines[i % n].clone()),
            Tamper::Swap(a, b) => bad.swap(a % n, b % n),
            Tamper::CutOff(by) => bad.truncate(n - by.min(n)),
            Tamper::Add => bad.push(head.line("2026-11-28T19:00:01.000Z", &event(n, "added"))),
            Tamper::Rewrite(i) => {
                let before = lines[..i % n].last().map_or(Head::default(), |l| Head { seq: (i % n) as u64, hash: hash(l), next: None });
                bad[i % n] = before.line("2026-11-28T19:00:00.000Z", &event(i, "something else entirely"));
            }
        }
        if bad != lines {
            prop_assert!(verify(&bad, Some(&head)).is_err());
        }
    }

    #[test]
    fn no_text_panics_and_a_head_reads_what_it_writes(text in "\\PC{0,120}", seq in 0..1u64 << 62, a in any::<Hash>(), b in any::<Option<Hash>>()) {
        let _ = verify::read(&text);
        let _ = Head::parse(&text);
        let head = Head { seq, hash: a, next: b };
        prop_assert_eq!(Head::parse(&head.text()), Some(head));
    }
}

#[test]
fn a_line_that_was_being_written_is_no_fault_and_any_other_one_is() {
    let words: Vec<String> = (0..3).map(|n| n.to_string()).collect();
    let (mut lines, head) = trail(&words);
    let next = head.line("t", &event(3, "the last"));
    let under_way = Head { next: Some(hash(&next)), ..head };
    assert_eq!(verify(&lines, Some(&under_way)), Ok(()), "it stopped before the line");
    lines.push(next);
    assert_eq!(verify(&lines, Some(&under_way)), Ok(()), "and after it");
    assert_eq!(verify(&lines, Some(&head)), Err(Fault::Added));
    lines[3] = head.line("t", &event(3, "another"));
    assert_eq!(verify(&lines, Some(&under_way)), Err(Fault::Added));
    assert_eq!(verify(&lines, None), Err(Fault::NoHead));
    assert_eq!(verify(&lines[..1], Some(&head)), Err(Fault::Truncated { last: 3, found: 1 }));
}

#[test]
fn a_trail_whose_beginning_lies_elsewhere_is_read_from_where_it_begins_and_a_noted_head_is_found() {
    let words: Vec<String> = (0..5).map(|n| n.to_string()).collect();
    let (lines, head) = trail(&words);
    assert_eq!(verify(&lines[2..], Some(&head)), Err(Fault::OutOfOrder { expected: 1, found: 3 }));
    let mut from = Verifier::from(3).wanting(hash(&lines[3]));
    lines[2..].iter().for_each(|line| from.line(line).unwrap());
    assert_eq!((from.end(Some(&head)), from.misses()), (Ok(()), false));
    let mut other = Verifier::new().wanting([7; 32]);
    lines.iter().for_each(|line| other.line(line).unwrap());
    assert!(other.misses());
}

#[test]
fn a_line_is_json_whatever_stands_in_it() {
    let odd = Event { call: Some("a\"b\\c\nd\u{1}".into()), ..event(0, "Zoë\t\u{7f}") };
    let line = Head::default().line("now", &odd);
    assert!(!line.contains('\n'));
    #[cfg(feature = "shell")]
    {
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((read["call"].as_str(), read["words"].as_str()), (Some("a\"b\\c\nd\u{1}"), Some("Zoë\t\u{7f}")));
        assert!(read["decision"].is_null());
    }
}

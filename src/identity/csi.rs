//! The CSI of a fax machine (T.30 5.3.6.2.4) against the number that was dialled: all that a machine behind a foreign number says of itself.
//! Anybody can set it, and many are never set; so it convinces nobody by itself, but one that changes is a reason to stop.

use super::{Clearance, Foreign, Policy, Proof, Suspicion, Verdict};

/// Digits at the end that must agree. Country and trunk codes in front of them are written in many ways.
const DIGITS_LEAST: usize = 4;
/// Digits at the end that are compared at most: an area code and a number.
const DIGITS_MOST: usize = 8;

/// What a called machine said of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Csi {
    /// Its CSI; may be blank.
    Said(String),
    /// DIS came, and no CSI before it.
    None,
}

/// The digits of a text.
fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

/// Whether two numbers end alike: in all digits of the shorter one, up to eight, and in four at least (or in all of a short number).
pub fn trailing_digits(dialled: &str, csi: &str) -> bool {
    let (dialled, csi) = (digits(dialled), digits(csi));
    let wanted = dialled.len().min(csi.len()).min(DIGITS_MOST);
    let enough = wanted >= DIGITS_LEAST.min(dialled.len().max(1)) && wanted > 0;
    enough && dialled[dialled.len() - wanted..] == csi[csi.len() - wanted..]
}

/// The moment after CSI and DIS, and before DCS: may the pages go? There is only yes or no here; nobody can be asked any more.
pub fn judge(policy: &Policy, dialled: &str, known: Option<&str>, csi: &Csi) -> Verdict {
    let cleared = |by| Verdict::Cleared(Clearance { by });
    let said = match csi {
        Csi::Said(text) if !digits(text).is_empty() || !text.trim().is_empty() => Some(text.trim()),
        Csi::Said(_) | Csi::None => None,
    };
    if policy.check_is_off {
        return cleared(Proof::FlaggedByPolicy);
    }
    match (policy.foreign, known, said) {
        (Foreign::Refuse, _, _) => Verdict::NoIdentifier(Suspicion("an outside number cannot be verified".into())),
        (_, Some(known), Some(said)) if known == said => cleared(Proof::CsiMatched),
        (_, _, Some(said)) if trailing_digits(dialled, said) => cleared(Proof::CsiMatched),
        (_, Some(known), Some(said)) => {
            Verdict::Wrong(Suspicion(format!("the machine calls itself {said:?}; the one that answered {dialled} before was {known:?}")))
        }
        (Foreign::Csi, None, Some(said)) => {
            Verdict::Wrong(Suspicion(format!("the machine calls itself {said:?}, and {dialled} was dialled")))
        }
        (Foreign::Csi, _, None) => Verdict::NoIdentifier(Suspicion("the machine does not say who it is (no CSI)".into())),
        (Foreign::Flag, Some(_), None) | (Foreign::Flag, None, _) => cleared(Proof::FlaggedByPolicy),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_by_their_ends() {
        for (dialled, csi, same) in [
            ("00493012345678", "+49 30 12345678", true),
            ("012345678", "+49 30 12345678", true),
            ("012345679", "+49 30 12345678", false),
            ("3001", "3001", true),
            ("3001", "+49 30 3001", true),
            ("3001", "", false),
            ("3001", "HEAD OFFICE", false),
            ("301", "301", true),
            ("12345678", "78", false),
        ] {
            assert_eq!(trailing_digits(dialled, csi), same, "{dialled} {csi}");
        }
    }

    #[test]
    fn req_a4_a_machine_whose_csi_changed_gets_no_page_and_one_that_has_none_does_by_policy() {
        let policy = Policy::default();
        let said = |s: &str| Csi::Said(s.into());
        assert!(
            matches!(judge(&policy, "0301234567", None, &said("+49 30 7654321")), Verdict::Cleared(c) if c.by() == Proof::FlaggedByPolicy)
        );
        assert!(
            matches!(judge(&policy, "0301234567", Some("CLINIC"), &said("CLINIC")), Verdict::Cleared(c) if c.by() == Proof::CsiMatched)
        );
        assert!(matches!(judge(&policy, "0301234567", Some("CLINIC"), &said("PIZZA")), Verdict::Wrong(_)));
        assert!(matches!(judge(&policy, "0301234567", Some("CLINIC"), &Csi::None), Verdict::Cleared(_)));
        let strict = Policy { foreign: Foreign::Csi, ..policy };
        assert!(matches!(judge(&strict, "0301234567", None, &said("+49 30 1234567")), Verdict::Cleared(c) if c.by() == Proof::CsiMatched));
        assert!(matches!(judge(&strict, "0301234567", None, &said("PIZZA")), Verdict::Wrong(_)));
        assert!(matches!(judge(&strict, "0301234567", None, &Csi::None), Verdict::NoIdentifier(_)));
        let off = Policy { check_is_off: true, ..strict };
        assert!(matches!(judge(&off, "0301234567", Some("CLINIC"), &said("PIZZA")), Verdict::Cleared(_)), "the control");
    }
}

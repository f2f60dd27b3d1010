//! What the directory's machine says, as a gateway's shell would tell it to its resolver and its registrants.

use crate::directory::{self, Response};
use crate::registration::Outcome;
use crate::resolve::{Answer, NoRoute, Ring};

pub(super) fn answer_of(response: Response) -> Answer {
    match response {
        Response::Found(found) if found.ring != directory::Ring::Newest && found.contacts.len() > 1 => {
            let at = found.contacts.iter().map(|(b, _)| (b.address, b.fingerprint().map(|f| f.to_string()))).collect();
            Answer::Terminals {
                number: found.number,
                ring: if found.ring == directory::Ring::All { Ring::All } else { Ring::InOrder },
                at,
                signed: true,
            }
        }
        Response::Found(found) => Answer::Found {
            number: found.number,
            contact: found.contact,
            fingerprint: found.fingerprint.map(|f| f.to_string()),
            signed: true,
        },
        Response::Away(_) => Answer::No(NoRoute::Away),
        Response::Unknown(_) => Answer::No(NoRoute::Unknown),
        Response::Elsewhere(..) | Response::LogIn | Response::Withheld(_) => Answer::No(NoRoute::Refused),
        Response::Registered { .. } | Response::Bound { .. } | Response::Deregistered { .. } | Response::Done | Response::Refused(_) => {
            Answer::No(NoRoute::Refused)
        }
    }
}

pub(super) fn outcome_of(response: Response) -> Outcome {
    match response {
        Response::Registered { number, lease_s, .. } => Outcome::Granted { number, lease_s },
        Response::Deregistered { .. } => Outcome::Ended,
        Response::Refused(directory::Refusal::Full) => Outcome::Failed { why: "full".into(), retry_after_s: None },
        Response::Refused(why) => Outcome::Refused { why: format!("{why:?}") },
        Response::Bound { .. }
        | Response::Found(_)
        | Response::Away(_)
        | Response::Unknown(_)
        | Response::Elsewhere(..)
        | Response::LogIn
        | Response::Withheld(_)
        | Response::Done => Outcome::Failed { why: "an answer to another question".into(), retry_after_s: None },
    }
}

//! What an ENUM query costs without the system's part: read, looked up in a directory of three numbers, answered.

use super::Figure;
use super::measure::{Budget, best};
use crate::clock::Rng;
use crate::enum_door::{Outcome, fuzz};
use std::hint::black_box;

/// Queries of one turn.
const QUERIES: usize = 64;

/// A query for where 2001 is, its letters in any case, as resolvers send that mark their questions so.
fn asked(rng: &mut Rng) -> Vec<u8> {
    let mut q = [&rng.next_u64().to_be_bytes()[..2], &[1, 0, 0, 1, 0, 0, 0, 0, 0, 1]].concat();
    for label in ["1", "0", "0", "2", "enum", "lan", "test"] {
        q.push(label.len() as u8);
        q.extend(label.bytes().map(|c| if rng.below(2) == 0 { c } else { c.to_ascii_uppercase() }));
    }
    q.extend_from_slice(&[0, 0, 35, 0, 1, 0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    q
}

/// A query read and answered.
pub fn query(budget: &Budget) -> Result<Figure, String> {
    let mut rng = Rng::new(6116);
    let queries: Vec<Vec<u8>> = (0..QUERIES).map(|_| asked(&mut rng)).collect();
    let (mut out, mut fault) = (Vec::new(), None);
    let ns = best(budget, QUERIES as u64, || {
        out.clear();
        for bytes in &queries {
            if fuzz::answer(black_box(bytes), &mut out) != Outcome::Found {
                fault = Some("a number was not found".to_owned());
            }
        }
        black_box(&out);
    });
    fault.map_or(Ok(Figure::Per("query", ns)), Err)
}

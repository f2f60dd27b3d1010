//! Tests that need what not every machine has (namespaces, a tool, an address) say so and pass; where `TIPRING_MUST_RUN=1` is set, which
//! `scripts/test` does where it set the machine up, they fail, so that nobody takes a row for proven that did not run.

/// This test cannot run here, because of `why`. Return after it.
pub fn skip(why: &str) {
    skip_unless(std::env::var_os("TIPRING_MUST_RUN").is_some_and(|v| v == "1"), why);
}

fn skip_unless(must_run: bool, why: &str) {
    assert!(!must_run, "this test must run (TIPRING_MUST_RUN=1) and cannot: {why}");
    println!("skipped: {why}");
}

#[test]
#[should_panic(expected = "this test must run")]
fn what_must_run_and_cannot_fails() {
    skip_unless(true, "there is nothing");
}

#[test]
fn what_need_not_run_is_skipped() {
    skip_unless(false, "there is nothing");
}

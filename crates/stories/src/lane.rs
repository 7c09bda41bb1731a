//! Which lane of tests runs, and what this host allows. Skips are printed, never silent.

/// Whether the long tests run too (`make test-deep`).
pub fn deep() -> bool {
    std::env::var("TOFT_TEST_LANE").is_ok_and(|lane| lane == "deep")
}

/// Whether this process is root.
pub fn root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Says why a test does nothing here.
#[expect(clippy::print_stdout, reason = "a skip must be seen in the runner's output")]
pub fn skip(test: &str, reason: &str) {
    println!("SKIPPED {test}: {reason}");
}

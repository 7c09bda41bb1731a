//! For tests only, never a dependency of what ships: which lane of tests runs, as whom, and the one
//! way in which a test says that it leaves something out. Nothing is left out silently: each skip is
//! printed, and `.ci/test` counts them from the file that it names in `TOFT_SKIPS`. And the seeds of
//! the fuzzer, for ordinary tests.

pub mod seeds;

use std::{
    env,
    fmt::Display,
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
    thread,
};

/// Whether the long tests run too (`make test-deep`).
pub fn deep() -> bool {
    env::var("TOFT_TEST_LANE").is_ok_and(|lane| lane == "deep")
}

/// Whether this process is root.
pub fn root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether the stories start their servers as an ordinary user although they run as root
/// (`TOFT_STORY_USER=1`; `make test-deep` runs them a second time so).
pub fn as_user() -> bool {
    root() && env::var("TOFT_STORY_USER").is_ok_and(|value| !value.is_empty() && value != "0")
}

/// A folder of the user's cache with programs of others, if `.ci/peers` has installed all of it.
pub fn installed(name: &str) -> Option<PathBuf> {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    let folder = cache.or_else(home)?.join("toft").join(name);
    folder.join(".installed").exists().then_some(folder)
}

/// Says that the test, or a part of it, does nothing here: prints `SKIPPED what: reason` and adds a
/// line of test, what and reason, tabs between them, to the file that `TOFT_SKIPS` names.
///
/// # Panics
/// When the line cannot be written: a skip that nobody counts is a silent one.
#[expect(clippy::print_stdout, reason = "a skip must be seen in the runner's output")]
pub fn skip(what: &str, reason: impl Display) {
    println!("SKIPPED {what}: {reason}");
    if let Some(file) = env::var_os("TOFT_SKIPS").filter(|file| !file.is_empty()) {
        let line = line(&test(), what, &reason.to_string());
        // Tests of other users add to it too, so it is there before them and nobody creates it.
        let added = File::options().append(true).open(&file).and_then(|f| add(f, &line));
        added.unwrap_or_else(|e| panic!("{} counts no skip: {e}", file.display()));
    }
}

/// In one write: tests run side by side.
fn add(mut file: File, line: &str) -> io::Result<()> {
    file.write_all(line.as_bytes())
}

/// The test that runs: its thread is named after it, except where it runs alone.
fn test() -> String {
    let named = thread::current().name().filter(|name| name.contains("::")).map(str::to_owned);
    let name = named.or_else(|| env::var("NEXTEST_TEST_NAME").ok());
    let whose = if as_user() { "as an ordinary user, " } else { "" };
    format!("{whose}{}", name.as_deref().unwrap_or("a test"))
}

fn line(test: &str, what: &str, reason: &str) -> String {
    let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    format!("{}\t{}\t{}\n", plain(test), plain(what), plain(reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skip_is_one_line_whatever_the_reason_holds() {
        assert_eq!(
            line("a::b", "the\tdisk", "full:\n  no room\n"),
            "a::b\tthe disk\tfull: no room\n"
        );
    }

    #[test]
    fn the_test_that_runs_is_known() {
        assert!(test().ends_with("the_test_that_runs_is_known"), "{}", test());
    }
}

//! What is taken for a claim, and what is not.

use super::*;

fn check(cases: &[(&str, &[&str])]) {
    for (text, wanted) in cases {
        let found = claims(text);
        let shown: Vec<String> = found
            .iter()
            .map(|said| format!("{}: {}", said.kind.as_str(), &text[said.place.clone()]))
            .collect();
        assert_eq!(shown, *wanted, "{text}");
    }
}

#[test]
fn what_people_call_success_is_found_where_it_stands() {
    check(&[
        ("All tests pass.", &["test: All tests pass"]),
        ("Done. The 12 unit tests are now passing!", &["test: The 12 unit tests are now passing"]),
        ("I ran `cargo test` and it passed.", &["test: cargo test` and it passed"]),
        ("12 passed, 0 failed", &["test: 12 passed"]),
        ("The test suite is green", &["test: The test suite is green"]),
        ("- ✅ Tests: 14/14 passed", &["test: Tests: 14/14 passed"]),
        ("Clippy is clean.", &["lint: Clippy is clean"]),
        ("ESLint reports no errors.", &["lint: ESLint reports no errors"]),
        ("The build succeeds without warnings.", &["build: The build succeeds without warnings"]),
        ("It compiles.", &["build: compiles"]),
        ("Tests and lint pass.", &["test: Tests", "lint: lint pass"]),
        ("Type checks pass.", &["lint: Type checks pass"]),
        ("All checks pass", &["check: All checks pass"]),
        ("Grün: äöü — tests pass", &["test: tests pass"]),
        ("The tests pass, but the docs are missing.", &["test: The tests pass"]),
        ("All tests pass after the change, so you can deploy", &["test: All tests pass"]),
        ("Tests pass, and the build as well", &["test: Tests pass"]),
        ("The full test suite passes cleanly.", &["test: The full test suite passes cleanly"]),
    ]);
}

#[test]
fn hopes_failures_questions_and_quotes_claim_nothing() {
    for text in [
        "The tests should pass now.",
        "Once the tests pass, I will commit.",
        "I could not get the tests to pass.",
        "The tests don’t pass.",
        "All tests pass except one.",
        "After the tests pass, deploy.",
        "2 tests failed, 5 passed.",
        "Do the tests pass?",
        "I want the tests to pass.",
        "Run `npm test` to make sure that everything works.",
        "```\nall tests pass\n```",
        "> all tests pass",
        "I added tests for the passing of messages",
        "Make the build a clean one if it succeeds",
        "I wrote a test and cleaned up.",
        "",
    ] {
        assert_eq!(claims(text), [], "{text}");
    }
}

#[test]
fn any_text_can_be_read() {
    for text in
        ["'", "test", "✅✅", "tests\u{301} pass", "....", "no", "passed", "\u{feff}1/", "tests no"]
    {
        let _ = claims(text);
    }
}

proptest::proptest! {
    #[test]
    fn places_are_in_order_and_whole(text in "(tests|lint|build|pass|and|no|errors|✅|ä|[.,;:!?`\n -]){0,24}") {
        let mut last = 0;
        for said in claims(&text) {
            proptest::prop_assert!(said.place.start >= last && said.place.start < said.place.end);
            proptest::prop_assert!(text.get(said.place.clone()).is_some());
            last = said.place.end;
        }
    }
}

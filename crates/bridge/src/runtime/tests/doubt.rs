//! A machine that ends with its bridge at every event: what may have been done is never done again by
//! itself.

use super::*;

fn one_command() -> Vec<Vec<Block>> {
    let command = r#"{"command":"echo ran >> runs.txt; sleep 0.02; echo said"}"#;
    vec![vec![call("c1", "bash", command)], vec![Block::text("It is done.")]]
}

#[test]
fn a_command_that_may_have_run_is_never_run_again_by_itself() {
    let calm = House::new(one_command());
    assert!(calm.life(None, person));
    let expected = story(&calm);
    let events = calm.events().len() as u64;
    let mut asked = 0;
    for (at, after) in points(events) {
        let (mut house, why) = killed(one_command(), at, after, events, person);
        house.machine_ends();
        assert!(house.life(None, person), "{why}");
        let found = story(&house);
        assert_eq!(found.len(), expected.len(), "{why}: {found:#?}");
        assert_eq!(found.last(), expected.last(), "{why}");
        let runs = std::fs::read_to_string(house.dir.path().join("project/runs.txt"));
        let questions = house.events().into_iter().filter(|e| e.body.kind() == "question").count();
        asked += questions;
        // Without a question its result is known, or it had not been handed out.
        let wanted = if questions == 0 { "ran\n" } else { "" };
        let runs = runs.unwrap_or_default();
        assert!(runs == "ran\n" || runs == wanted, "{why}: {runs:?} after {questions} questions");
        if questions == 0 {
            assert_eq!(found, expected, "{why}");
        }
        assert!(questions <= 1, "{why}");
    }
    assert!(asked >= 2, "{asked} were in doubt");
}

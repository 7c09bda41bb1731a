//! Whom a run waits for: people, models, and both at once.

use super::*;

#[test]
fn of_two_helpers_one_waits_for_a_model_while_the_other_asks() {
    let mut teller = Teller::new(Phase::Build);
    let retry = |asks: bool| {
        json!({ "attempt": 1, "maxAttempts": 3, "delayMs": 1, "errorMessage": "e", "asks": asks,
                "waits": !asks })
    };
    let question = json!({ "question": "May I?", "toolCallId": "t2", "id": "child:c1" });
    let answered = json!({ "toolCallId": "t2", "id": "child:c1" });
    let end = json!({ "success": true, "attempt": 1 });
    let mut after = |kind: &str, data: &Value| {
        teller.hear(kind, data);
        teller.state.waits_for
    };
    assert_eq!(after("auto_retry_start", &retry(false)), Some(WaitsFor::Provider));
    assert_eq!(after("question", &question), Some(WaitsFor::Answer));
    assert_eq!(after("auto_retry_end", &end), Some(WaitsFor::Answer), "it is still asked");
    assert_eq!(after("auto_retry_start", &retry(true)), Some(WaitsFor::Answer));
    assert_eq!(after("answered", &answered), Some(WaitsFor::Answer), "a budget is spent");
    assert_eq!(after("auto_retry_end", &end), None);
}

#[test]
fn a_question_that_comes_before_the_step_to_building_stays() {
    let mut teller = Teller::new(Phase::Plan);
    teller.state.waits_for = Some(WaitsFor::Answer);
    teller.hear("run_step", &json!({ "runId": RUN, "phase": "build" }));
    assert_eq!(teller.state.waits_for, Some(WaitsFor::Answer));
    teller.hear("run_step", &json!({ "runId": RUN, "phase": "commit" }));
    assert_eq!(teller.state.waits_for, None);
}

#[test]
fn a_budget_that_is_spent_is_waited_for_like_an_answer_until_the_model_is_asked_again() {
    let mut teller = Teller::new(Phase::Build);
    let retry = |asks: bool, waits: bool| {
        json!({
            "attempt": 1, "maxAttempts": 9, "delayMs": 1, "errorMessage": "e", "asks": asks, "waits": waits,
        })
    };
    for (asks, waits, expected) in [
        (true, false, Some(WaitsFor::Answer)),
        (false, true, Some(WaitsFor::Provider)),
        (false, false, None),
    ] {
        teller.hear("auto_retry_start", &retry(asks, waits));
        assert_eq!(teller.state.waits_for, expected);
        teller.hear("auto_retry_end", &json!({ "success": true, "attempt": 1 }));
        assert_eq!(teller.state.waits_for, None);
    }
}

//! Plan mode in the terminal: a plan is shown with its steps, and what a person says to it decides.

use super::{Act, Chat, Ended};
use crate::output;
use anyhow::{Context as _, Result};
use serde_json::{Value, json};

/// Answers that approve a plan; anything else is what to change.
const YES: [&str; 4] = ["y", "yes", "approve", "ok"];

/// The plan as lines.
pub(super) fn lines(plan: &Value) -> Vec<String> {
    let mut lines = vec![format!("plan: {}", output::text(&plan["summary"]))];
    for (n, todo) in
        plan["todos"].as_array().map(Vec::as_slice).unwrap_or_default().iter().enumerate()
    {
        lines.push(format!("  {}. {}", n + 1, output::text(&todo["title"])));
        let details = output::text(&todo["details"]);
        lines.extend(details.lines().map(|line| format!("     {line}")));
        let criteria = todo["acceptanceCriteria"].as_array().map(Vec::as_slice).unwrap_or_default();
        lines.extend(criteria.iter().map(|one| format!("     - done when {}", output::text(one))));
    }
    lines
}

/// What the words of a person do to a plan.
fn decision(plan_id: &str, words: &str) -> Value {
    if YES.contains(&words.to_lowercase().as_str()) {
        json!({ "action": "approve", "planId": plan_id })
    } else {
        json!({ "action": "reject", "planId": plan_id, "reason": words })
    }
}

impl Chat {
    /// The conversation that is meant: the current one, unless one was named.
    pub(super) async fn meant(&mut self) -> Result<String> {
        if let Some(session) = &self.session {
            return Ok(session.clone());
        }
        let state = self.client.get(&format!("{}/state", self.base)).await?;
        let session = state["sessionId"].as_str().context("the state has no session")?.to_owned();
        self.session = Some(session.clone());
        Ok(session)
    }

    /// From here on the agent looks and changes nothing.
    pub(super) async fn begin_plan(&mut self) -> Result<()> {
        let session = self.meant().await?;
        let path = format!("{}/sessions/{session}/mode", self.base);
        self.client.post(&path, &json!({ "mode": "plan" })).await?;
        let plan = self.client.get(&format!("{}/sessions/{session}/plan", self.base)).await?;
        if plan["readOnlyPrograms"] == false {
            output::remark(
                "this machine runs no programs in plan mode: the agent reads and searches",
            );
        }
        Ok(())
    }

    /// Has the newest plan carried out.
    pub(super) async fn approve(&mut self) -> Result<Ended> {
        let session = self.meant().await?;
        let ended = self.turn(Act::Decide(session, json!({ "action": "approve" }))).await?;
        self.settle(ended).await
    }

    /// While a plan waits after a turn, asks the person what becomes of it.
    pub(super) async fn settle(&mut self, mut ended: Ended) -> Result<Ended> {
        while ended == Ended::Done
            && let Some(plan_id) = self.planned.take()
        {
            if !self.invites {
                output::remark(&format!(
                    "the plan waits: `toft chat {} --approve` has it carried out",
                    self.project
                ));
                break;
            }
            output::remark(
                "carry it out? y approves it, other words change it, Enter lets it wait",
            );
            self.invite();
            let Some(lines) = &mut self.lines else { break };
            let line = tokio::select! {
                line = lines.next_line() => line.context("reading standard input")?,
                _ = self.interrupt.recv() => return Ok(Ended::Left),
            };
            let Some(words) = line.map(|line| line.trim().to_owned()).filter(|w| !w.is_empty())
            else {
                break;
            };
            let session = self.meant().await?;
            ended = self.turn(Act::Decide(session, decision(&plan_id, &words))).await?;
        }
        Ok(ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_shown_with_all_that_it_says() {
        let plan = json!({"summary": "A login.", "todos": [
            {"id": "1", "title": "Table", "details": "users\nroles", "acceptanceCriteria": ["it migrates"]},
            {"id": "2", "title": "Form"}]});
        assert_eq!(
            lines(&plan),
            [
                "plan: A login.",
                "  1. Table",
                "     users",
                "     roles",
                "     - done when it migrates",
                "  2. Form"
            ]
        );
    }

    #[test]
    fn only_a_plain_yes_approves() {
        assert_eq!(decision("a", "Yes"), json!({"action": "approve", "planId": "a"}));
        assert_eq!(decision("a", "yes, but faster")["action"], "reject");
        assert_eq!(decision("a", "no")["reason"], "no");
    }
}

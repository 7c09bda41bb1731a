//! Mode and plan of a session, told from its entries. An approval is one line: the message that begins
//! the work says which plan it approves, and with that the mode is `build`.

use super::{
    entry::{Body, Entry, custom},
    file::Session,
};
use serde_json::{Value, json};
use toft_model::{
    message::{CustomMessage, Message, text_of},
    plan::{Mode, Plan, PlanReady, PlanSource, PlanState},
    tool::TodoItem,
};

/// What an entry decides of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settles {
    /// Which plan.
    pub plan_id: String,
    /// Approved or rejected.
    pub state: PlanState,
}

impl Entry {
    /// The mode that a person set with it.
    pub fn sets_mode(&self) -> Option<Mode> {
        match &self.body {
            Body::Custom { custom_type, data } if custom_type == custom::MODE => mode_in(data),
            Body::Message(Message::User(_)) if self.extra.approves.is_some() => Some(Mode::Build),
            _ => None,
        }
    }

    /// The mode that it tells the model of.
    fn tells_mode(&self) -> Option<Mode> {
        match &self.body {
            Body::Message(Message::Custom(CustomMessage {
                custom_type,
                details: Some(details),
                ..
            })) if custom_type == custom::MODE => mode_in(details),
            _ => None,
        }
    }

    /// The plan that it puts before a person.
    pub fn proposes(&self) -> Option<PlanReady> {
        let Body::Custom { custom_type, data } = &self.body else { return None };
        if custom_type != custom::PLAN || data["state"] != "proposed" {
            return None;
        }
        let plan: Plan = serde_json::from_value(data["plan"].clone()).ok()?;
        let source: PlanSource = serde_json::from_value(data["source"].clone()).ok()?;
        let of = data["of"].as_str().map(str::to_owned);
        Some(PlanReady { plan_id: self.id.clone(), of, source, plan })
    }

    /// The plan that a person decides on with it.
    pub fn settles(&self) -> Option<Settles> {
        match &self.body {
            Body::Message(Message::User(_)) => {
                let approved = self.extra.approves.clone().map(|id| (id, PlanState::Approved));
                let rejected = || self.extra.rejects.clone().map(|id| (id, PlanState::Rejected));
                let (plan_id, state) = approved.or_else(rejected)?;
                Some(Settles { plan_id, state })
            }
            Body::Custom { custom_type, data }
                if custom_type == custom::PLAN && data["state"] == "rejected" =>
            {
                let plan_id = data["planId"].as_str()?.to_owned();
                Some(Settles { plan_id, state: PlanState::Rejected })
            }
            _ => None,
        }
    }
}

/// The line that puts a plan before a person.
pub(crate) fn proposed(plan: &Plan, source: PlanSource, of: Option<&str>) -> Body {
    let data = json!({ "state": "proposed", "plan": plan, "source": source, "of": of });
    Body::Custom { custom_type: custom::PLAN.into(), data }
}

/// The line by which a person rejects a plan without a word.
pub(crate) fn rejected(plan_id: &str) -> Body {
    let data = json!({ "state": "rejected", "planId": plan_id });
    Body::Custom { custom_type: custom::PLAN.into(), data }
}

fn mode_in(data: &Value) -> Option<Mode> {
    serde_json::from_value(data["mode"].clone()).ok()
}

impl Session {
    /// What its agent may do.
    pub fn mode(&self) -> Mode {
        self.ancestors().find_map(Entry::sets_mode).unwrap_or_default()
    }

    /// What its model was told of that since the newest compaction: a summary keeps no orders.
    pub(crate) fn mode_told(&self) -> Mode {
        self.ancestors()
            .take_while(|entry| !matches!(entry.body, Body::Compaction(_)))
            .find_map(Entry::tells_mode)
            .unwrap_or_default()
    }

    /// The newest plan, and what became of it: what a person decided last, or that they spoke of something
    /// else instead.
    pub fn plan(&self) -> Option<(PlanReady, PlanState)> {
        let mut decided: Vec<Settles> = Vec::new();
        let mut said = false;
        for entry in self.ancestors() {
            if let Some(plan) = entry.proposes() {
                let newest = decided.iter().find(|settles| settles.plan_id == plan.plan_id);
                let undecided = if said { PlanState::Dropped } else { PlanState::Proposed };
                let state = newest.map_or(undecided, |settles| settles.state);
                return Some((plan, state));
            }
            said |= matches!(entry.body, Body::Message(Message::User(_)));
            decided.extend(entry.settles());
        }
        None
    }

    /// The list that the agent works through: what it said last, or the steps of a plan that was approved
    /// after that.
    pub fn todos(&self) -> Vec<TodoItem> {
        let list = |entry: &Entry| match &entry.body {
            Body::Message(Message::ToolResult(result))
                if result.tool_name == "todo" && !result.is_error =>
            {
                TodoItem::list_in(result.details.as_ref()?)
            }
            _ => {
                let plan = self.entry(entry.extra.approves.as_deref()?)?.proposes()?;
                Some(plan.plan.todo_items())
            }
        };
        self.ancestors().find_map(list).unwrap_or_default()
    }

    /// The message that approved this plan.
    pub(crate) fn approval_of(&self, plan_id: &str) -> Option<&Entry> {
        self.ancestors().find(|entry| entry.extra.approves.as_deref() == Some(plan_id))
    }

    /// The answer that the conversation ends with, which no plan was read from yet.
    pub(crate) fn answer_without_plan(&self) -> Option<(&Entry, String)> {
        for entry in self.ancestors() {
            if entry.proposes().is_some() {
                return None;
            }
            match &entry.body {
                Body::Message(Message::Assistant(answer)) => {
                    return Some((entry, text_of(&answer.content)));
                }
                Body::Message(Message::User(_) | Message::ToolResult(_)) => return None,
                _ => {}
            }
        }
        None
    }
}

//! All tools by name. What each does is in its own file.

use crate::{
    ask::Ask,
    ask_secrets::AskSecrets,
    bash::Bash,
    edit::Edit,
    find::Find,
    grep::Grep,
    host::{Tool, ToolContext},
    locks::FileLocks,
    ls::Ls,
    notify_dashboard::NotifyDashboard,
    outcome::ToolOutcome,
    process::Process,
    read::Read,
    write::Write,
};
use serde_json::Value;
use std::sync::Arc;
use toft_model::tool::ToolSpec;

/// The tools that an agent has. Cheap to clone; clones share the locks on files.
#[derive(Clone)]
pub struct Toolbox {
    tools: Vec<(String, Arc<dyn Tool>)>,
}

impl Toolbox {
    /// read, bash, edit, write, grep, find, ls, process, notify_dashboard, ask, ask_secrets. The order is part of
    /// the prompt and stays.
    pub fn standard() -> Self {
        let locks = Arc::new(FileLocks::default());
        Self::of([
            Arc::new(Read) as Arc<dyn Tool>,
            Arc::new(Bash),
            Arc::new(Edit::new(Arc::clone(&locks))),
            Arc::new(Write::new(locks)),
            Arc::new(Grep),
            Arc::new(Find),
            Arc::new(Ls),
            Arc::new(Process),
            Arc::new(NotifyDashboard),
            Arc::new(Ask),
            Arc::new(AskSecrets),
        ])
    }

    /// These tools, in this order.
    pub fn of(tools: impl IntoIterator<Item = Arc<dyn Tool>>) -> Self {
        Self { tools: tools.into_iter().map(|tool| (tool.spec().name, tool)).collect() }
    }

    /// The same without the tools whose name is not among `names`.
    pub fn only(mut self, names: &[&str]) -> Self {
        self.tools.retain(|(name, _)| names.contains(&name.as_str()));
        self
    }

    /// The same with one more tool; one of that name is replaced.
    pub fn with(mut self, tool: Arc<dyn Tool>) -> Self {
        let name = tool.spec().name;
        match self.tools.iter_mut().find(|(n, _)| *n == name) {
            Some(slot) => slot.1 = tool,
            None => self.tools.push((name, tool)),
        }
        self
    }

    /// What the model is told.
    pub fn specs(&self) -> Vec<ToolSpec> {
        self.tools.iter().map(|(_, tool)| tool.spec()).collect()
    }

    /// A tool by name.
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Tool>> {
        self.tools.iter().find(|(n, _)| n == name).map(|(_, tool)| tool)
    }

    /// Runs a call; a name that no tool has is an outcome with `is_error`.
    pub async fn run(&self, name: &str, ctx: &ToolContext, arguments: Value) -> ToolOutcome {
        if let Some(tool) = self.get(name) {
            return tool.run(ctx, arguments).await;
        }
        let names: Vec<&str> = self.tools.iter().map(|(n, _)| n.as_str()).collect();
        ToolOutcome::error(format!(
            "There is no tool named `{name}`. The tools are: {}.",
            names.join(", ")
        ))
    }

    /// Tells a call's tool that the outcome is durably stored. Call it after the result is on disk.
    pub async fn settled(&self, name: &str, ctx: &ToolContext, outcome: &ToolOutcome) {
        if let Some(tool) = self.get(name) {
            tool.settled(ctx, outcome).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;
    use serde_json::json;

    #[test]
    fn names_are_fit_for_every_provider_and_arguments_are_objects() {
        let specs = Toolbox::standard().specs();
        for spec in &specs {
            assert!(
                spec.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
                "{}",
                spec.name
            );
            assert_eq!(spec.parameters["type"], "object", "{}", spec.name);
            assert_eq!(spec.parameters["additionalProperties"], false, "{}", spec.name);
            for name in spec.parameters["required"].as_array().unwrap() {
                let property = &spec.parameters["properties"][name.as_str().unwrap()];
                assert!(property.is_object(), "{} {name}", spec.name);
            }
        }
        let bytes: usize = specs.iter().map(|s| serde_json::to_string(s).unwrap().len()).sum();
        assert!(bytes < 7_000, "the tools cost {bytes} bytes of every prompt");
    }

    #[tokio::test]
    async fn an_unknown_tool_is_told_which_there_are() {
        let bench = Bench::new();
        let outcome = bench.call("fly", json!({})).await;
        assert!(outcome.is_error);
        assert!(outcome.said().contains("`fly`") && outcome.said().contains("bash"));
    }

    #[test]
    fn a_box_can_be_narrowed_and_widened() {
        let narrow = Toolbox::standard().only(&["read", "ls"]);
        let names: Vec<String> = narrow.specs().into_iter().map(|s| s.name).collect();
        assert_eq!(names, ["read", "ls"]);
        assert!(narrow.with(Arc::new(Ask)).get("ask").is_some());
    }
}

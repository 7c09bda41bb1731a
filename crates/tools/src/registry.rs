//! All tools by name. What each does is in its own file.

use crate::{
    about::{About, Again},
    apply_patch::ApplyPatch,
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
    task::Task,
    todo::Todo,
    web_fetch::WebFetch,
    write::Write,
};
use serde_json::{Value, json};
use std::sync::Arc;
use toft_model::tool::ToolSpec;

/// Tools that keep the promise of a call that only reads: they change nothing, or pass
/// [`ToolContext::read_only`] on. So do programs of a project ([`Tool::keeps_read_only`]); all others are refused then.
const READ_ONLY: [&str; 12] = [
    "read",
    "bash",
    "grep",
    "find",
    "ls",
    "process",
    "todo",
    "task",
    "web_fetch",
    "notify_dashboard",
    "ask",
    "ask_secrets",
];

/// The tools that an agent has. Cheap to clone; clones share the locks on files.
#[derive(Clone)]
pub struct Toolbox {
    /// Each with what models are told of it: made once, asked for with every request.
    tools: Vec<(Arc<ToolSpec>, Arc<dyn Tool>)>,
}

impl Toolbox {
    /// read, bash, edit, apply_patch, write, grep, find, ls, process, todo, task, web_fetch, notify_dashboard, ask,
    /// ask_secrets. The order is part of the prompt and stays.
    pub fn standard() -> Self {
        let locks = Arc::new(FileLocks::default());
        Self::of([
            Arc::new(Read) as Arc<dyn Tool>,
            Arc::new(Bash),
            Arc::new(Edit::new(Arc::clone(&locks))),
            Arc::new(ApplyPatch::new(Arc::clone(&locks))),
            Arc::new(Write::new(locks)),
            Arc::new(Grep),
            Arc::new(Find),
            Arc::new(Ls),
            Arc::new(Process::default()),
            Arc::new(Todo),
            Arc::new(Task),
            Arc::new(WebFetch),
            Arc::new(NotifyDashboard),
            Arc::new(Ask),
            Arc::new(AskSecrets),
        ])
    }

    /// These tools, in this order.
    pub fn of(tools: impl IntoIterator<Item = Arc<dyn Tool>>) -> Self {
        Self { tools: tools.into_iter().map(|tool| (Arc::new(tool.spec()), tool)).collect() }
    }

    /// The same without the tools whose name is not among `names`.
    pub fn only(mut self, names: &[&str]) -> Self {
        self.tools.retain(|(spec, _)| names.contains(&spec.name.as_str()));
        self
    }

    /// The same without these.
    pub fn without(mut self, names: &[&str]) -> Self {
        self.tools.retain(|(spec, _)| !names.contains(&spec.name.as_str()));
        self
    }

    /// The same with those tools alone whose name may be there.
    pub fn filtered(mut self, may: impl Fn(&str) -> bool) -> Self {
        self.tools.retain(|(spec, _)| may(&spec.name));
        self
    }

    /// The same with one more tool; one of that name is replaced.
    pub fn with(mut self, tool: Arc<dyn Tool>) -> Self {
        let spec = Arc::new(tool.spec());
        match self.tools.iter_mut().find(|(other, _)| other.name == spec.name) {
            Some(slot) => *slot = (spec, tool),
            None => self.tools.push((spec, tool)),
        }
        self
    }

    /// What a model is told. It gets the one of `edit` and `apply_patch` that it was trained on; both can
    /// be run, because a conversation may have changed its model.
    pub fn specs_for(&self, model: &str) -> Vec<ToolSpec> {
        let other = if patches(model) { "edit" } else { "apply_patch" };
        // A box that has only one of them offers it to all.
        let has_both = self.get("edit").is_some() && self.get("apply_patch").is_some();
        let offered = self.tools.iter().filter(|(spec, _)| !has_both || spec.name != other);
        offered.map(|(spec, _)| ToolSpec::clone(spec)).collect()
    }

    /// What all models are told but those that were trained on `apply_patch`.
    pub fn specs(&self) -> Vec<ToolSpec> {
        self.specs_for("")
    }

    /// A tool by name.
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Tool>> {
        self.tools.iter().find(|(spec, _)| spec.name == name).map(|(_, tool)| tool)
    }

    /// The tool, and its arguments, that a call uses in truth.
    pub fn meant(&self, name: &str, arguments: Value) -> (String, Value) {
        let other = self.get(name).and_then(|tool| tool.stands_for(&arguments));
        other.unwrap_or_else(|| (name.to_owned(), arguments))
    }

    /// The names under which calls of a tool are judged, its own first.
    pub fn judged_as<'a>(&self, name: &'a str) -> Vec<&'a str> {
        let other = self.get(name).and_then(|tool| tool.can_do_as());
        [Some(name), other].into_iter().flatten().collect()
    }

    /// What a call is about. A name that no tool has: its arguments.
    pub fn about(&self, name: &str, arguments: &Value) -> About {
        self.get(name)
            .map_or_else(|| About::Text(arguments.to_string()), |tool| tool.about(arguments))
    }

    /// Whether a call can be done again. A name that no tool has does nothing.
    pub fn again(&self, name: &str, arguments: &Value) -> Again {
        self.get(name).map_or(Again::Safe, |tool| tool.again(arguments))
    }

    /// Runs a call; a name that no tool has, and a tool that a call which only reads may not use, is an
    /// outcome with `is_error`.
    pub async fn run(&self, name: &str, ctx: &ToolContext, arguments: Value) -> ToolOutcome {
        if let Some(tool) = self.get(name) {
            if ctx.read_only && !READ_ONLY.contains(&name) && !tool.keeps_read_only() {
                return ToolOutcome::error(format!(
                    "`{name}` is refused: this is plan mode, in which nothing is changed. Put what it \
                     would have done into the plan. These tools work: {}.",
                    READ_ONLY.join(", ")
                ))
                .details(json!({ "planMode": true }));
            }
            return tool.run(ctx, arguments).await;
        }
        let names: Vec<&str> = self.tools.iter().map(|(spec, _)| spec.name.as_str()).collect();
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

/// Whether a model was trained on `apply_patch`: OpenAI's from GPT-5 on and Codex, whoever serves them.
fn patches(model: &str) -> bool {
    let name = model.rsplit('/').next().unwrap_or(model).to_ascii_lowercase();
    // Amazon's names have the maker before a dot.
    let name = name.strip_prefix("openai.").unwrap_or(&name);
    let version = name.strip_prefix("gpt-").map(|rest| {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..digits].parse::<u32>().unwrap_or_default()
    });
    name.contains("codex") || version.is_some_and(|version| version >= 5)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    #[test]
    fn names_are_fit_for_every_provider_and_arguments_are_objects() {
        let mut specs = Toolbox::standard().specs();
        specs.extend(Toolbox::standard().specs_for("gpt-5"));
        for spec in &specs {
            assert!(
                spec.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
                "{}",
                spec.name
            );
            assert_eq!(spec.parameters["type"], "object", "{}", spec.name);
            for name in spec.parameters["required"].as_array().into_iter().flatten() {
                let property = &spec.parameters["properties"][name.as_str().unwrap()];
                assert!(property.is_object(), "{} {name}", spec.name);
            }
        }
    }

    #[test]
    fn the_tools_leave_room_in_a_first_request() {
        for model in ["claude-sonnet-4-5", "gpt-5.1-codex"] {
            let specs = Toolbox::standard().specs_for(model);
            let size = |spec: &ToolSpec| serde_json::to_string(spec).unwrap().len();
            let list: Vec<(&str, usize)> = specs.iter().map(|s| (&*s.name, size(s))).collect();
            let bytes: usize = list.iter().map(|(_, bytes)| bytes).sum();
            assert!(bytes <= 5_350, "{bytes} bytes of every prompt for {model}: {list:?}");
        }
    }

    #[test]
    fn a_model_gets_the_editing_tool_that_it_was_trained_on() {
        for (model, tool) in [
            ("gpt-5", "apply_patch"),
            ("gpt-5.1-codex-mini", "apply_patch"),
            ("openai/gpt-5-pro", "apply_patch"),
            ("openai.gpt-6", "apply_patch"),
            ("codex-mini-latest", "apply_patch"),
            ("gpt-4.1", "edit"),
            ("gpt-oss-120b", "edit"),
            ("claude-opus-4-5", "edit"),
            ("", "edit"),
        ] {
            let standard = Toolbox::standard();
            let names: Vec<String> =
                standard.specs_for(model).into_iter().map(|s| s.name).collect();
            let editing: Vec<&String> = names
                .iter()
                .filter(|name| ["edit", "apply_patch"].contains(&name.as_str()))
                .collect();
            assert_eq!(editing, [tool], "{model}");
            assert!(standard.get("edit").is_some() && standard.get("apply_patch").is_some());
        }
        let only = Toolbox::standard().only(&["read", "edit"]);
        assert_eq!(only.specs_for("gpt-5").len(), 2, "better than none");
    }

    #[tokio::test]
    async fn an_unknown_tool_is_told_which_there_are() {
        let bench = Bench::new();
        let outcome = bench.call("fly", json!({})).await;
        assert!(outcome.is_error);
        assert!(outcome.said().contains("`fly`") && outcome.said().contains("bash"));
    }

    #[tokio::test]
    async fn a_call_that_only_reads_uses_no_tool_that_changes_something() {
        let bench = Bench::new();
        bench.write("kept", "as it was");
        let edits = json!([{"oldText": "as", "newText": "not as"}]);
        for (tool, arguments) in [
            ("write", json!({"path": "kept", "content": "x"})),
            ("edit", json!({"path": "kept", "edits": edits})),
            (
                "apply_patch",
                json!({"patch": "*** Begin Patch\n*** Delete File: kept\n*** End Patch"}),
            ),
        ] {
            let outcome = bench.reading("call", tool, arguments).await;
            assert!(
                outcome.is_error && outcome.said().contains("plan mode"),
                "{tool}: {}",
                outcome.said()
            );
        }
        let read = bench.reading("call", "read", json!({"path": "kept"})).await;
        assert!(read.said().contains("as it was"), "{}", read.said());
        // Who adds a tool says whether it keeps the promise.
        let standard = Toolbox::standard();
        assert!(READ_ONLY.iter().all(|name| standard.get(name).is_some()));
        let others: Vec<String> = standard
            .specs()
            .into_iter()
            .chain(standard.specs_for("gpt-5"))
            .map(|s| s.name)
            .filter(|name| !READ_ONLY.contains(&name.as_str()))
            .collect();
        assert!(
            others.iter().all(|name| ["write", "edit", "apply_patch"].contains(&name.as_str())),
            "{others:?}"
        );
    }

    #[test]
    fn a_box_can_be_narrowed_and_widened() {
        let narrow = Toolbox::standard().only(&["read", "ls"]);
        let names: Vec<String> = narrow.specs().into_iter().map(|s| s.name).collect();
        assert_eq!(names, ["read", "ls"]);
        assert!(narrow.with(Arc::new(Ask)).get("ask").is_some());
    }
}

//! What `toft check` reads from the environment: the names of the source's own script.

use crate::verbs::check::Asked;
use anyhow::{Context as _, Result};
use std::{env, time::Duration};

const PROMPT: &str = "Create a file named hello.txt with one friendly line in it.";
const FOLLOW_UP: &str = "Add a second line to hello.txt.";

/// What is asked for.
pub(crate) fn check() -> Result<Asked> {
    read(&|name| env::var(name).ok().filter(|value| !value.trim().is_empty()))
}

pub(super) fn read(text: &dyn Fn(&str) -> Option<String>) -> Result<Asked> {
    let or = |name: &str, other: &str| text(name).unwrap_or_else(|| other.to_owned());
    let ms = |name: &str, other: u64| -> Result<Duration> {
        let given = text(name).map(|value| {
            value.parse().with_context(|| format!("{name} is a number of milliseconds"))
        });
        Ok(Duration::from_millis(given.transpose()?.unwrap_or(other)))
    };
    Ok(Asked {
        key: text("AGENT_API_KEY").or_else(|| text("API_KEY")).or_else(|| text("TOFT_API_KEY")),
        project: or("CHECK_PROJECT_ID", "default"),
        project_name: or("CHECK_PROJECT_NAME", "Check"),
        prompt: or("CHECK_PROMPT", PROMPT),
        follow_up: or("CHECK_FOLLOWUP_PROMPT", FOLLOW_UP),
        provider: text("CHECK_PROVIDER"),
        model: text("CHECK_MODEL"),
        run_timeout: ms("RUN_TIMEOUT_MS", 180_000)?,
        poll: ms("RUN_POLL_MS", 2_000)?,
    })
}

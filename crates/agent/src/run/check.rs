//! After a plan was carried out the project's own check runs, as people see a tool run. What it says goes back
//! to the model a few times. Each run is written down before it begins, so that a bridge that comes back
//! follows the same run to its end.

mod command;

use super::{Run, Stop, ids::check_run_id};
use crate::session::{Body, CheckDue, Extra, REPAIRS_MAX, SessionError, custom};
use serde_json::{Map, json};
use std::time::Duration;
use toft_model::{
    event::{EventBody, ToolEnd},
    message::{CustomMessage, Message, ToolCall, ToolResultMessage, UserContent},
    plan::{AutoCheck, CheckStatus, Mode},
};
use toft_tools::{ToolOutcome, blocking};

/// What runs it.
const TOOL: &str = "bash";

/// Longest run: as long as a slow suite of tests takes.
const TIMEOUT: Duration = Duration::from_mins(8);

impl Run {
    /// Runs what is due of the check. Says whether the loop has to look again.
    pub(super) async fn check(&mut self) -> Result<bool, Stop> {
        let due = {
            let session = self.conversation.session();
            if session.mode() == Mode::Plan { CheckDue::Nothing } else { session.check_due() }
        };
        let rules = self.conversation.run_rules();
        let (entry_id, check) = match due {
            CheckDue::Nothing => return Ok(false),
            CheckDue::Finish { entry_id, check } => (entry_id, check),
            CheckDue::Begin { attempt, command } => {
                let settings = self.conversation.around.settings();
                if !settings.auto_check || rules.as_ref().is_some_and(|rules| !rules.auto_check) {
                    return Ok(false);
                }
                let cwd = self.conversation.around.cwd.clone();
                let command = match command.or(settings.check_command) {
                    Some(command) => Some(command),
                    None => blocking(move || command::find(&cwd)).await.unwrap_or_default(),
                };
                let Some(command) = command else { return Ok(false) };
                let check = AutoCheck {
                    status: CheckStatus::Started,
                    command,
                    attempt,
                    attempts_max: rules.as_ref().map_or(REPAIRS_MAX, |rules| rules.check_fixes_max),
                    exit_code: None,
                };
                let body = Body::Custom { custom_type: custom::CHECK.into(), data: json!(check) };
                let entry_id = self.conversation.append(body, Extra::default())?;
                self.conversation.sync().await?;
                self.conversation.emit(EventBody::AutoCheck(check.clone()));
                (entry_id, check)
            }
        };
        let limit = rules.map_or(TIMEOUT, |rules| Duration::from_millis(rules.check_timeout_ms));
        let call = ToolCall {
            id: call_id(&entry_id),
            name: TOOL.to_owned(),
            arguments: Map::from_iter([
                ("command".to_owned(), check.command.clone().into()),
                ("timeout".to_owned(), json!(limit.as_secs_f64())),
            ]),
        };
        self.conversation.tell_begun(&call, None);
        let run_id = check_run_id(self.conversation.id().as_str(), &entry_id);
        let permit = self.permitted(&call).await.map(|_| ());
        let ended = self.run_call(call, run_id, permit).await;
        let stopped = self.cancel.is_cancelled();
        self.checked(&entry_id, &check, &ended.outcome, stopped)?;
        self.conversation.sync().await?;
        self.settle_later(vec![ended]);
        if stopped { Err(Stop::Aborted) } else { Ok(true) }
    }

    /// Writes down how a run ended, and tells it.
    fn checked(
        &self,
        of: &str,
        begun: &AutoCheck,
        outcome: &ToolOutcome,
        stopped: bool,
    ) -> Result<(), SessionError> {
        let exit_code = outcome.details.as_ref().and_then(|details| details["exitCode"].as_i64());
        let exit_code = exit_code.and_then(|code| i32::try_from(code).ok());
        let command = &begun.command;
        let mut check = AutoCheck { exit_code, ..begun.clone() };
        let words = match exit_code {
            Some(0) => {
                check.status = CheckStatus::Passed;
                format!("[The project's check `{command}` passed.]")
            }
            // 126 and 127: the shell could not run it. No code: it did not end, or was not begun.
            Some(code)
                if !stopped && !matches!(code, 126 | 127) && begun.attempt < begun.attempts_max =>
            {
                check.status = CheckStatus::FixAttempt;
                check.attempt = begun.attempt + 1;
                format!(
                    "[The project's check `{command}` was run after your work, and fails. Mend what it \
                     shows, try {} of {}; it will be run again.]\n\n{}",
                    check.attempt,
                    check.attempts_max,
                    outcome.said()
                )
            }
            Some(code) if !stopped && !matches!(code, 126 | 127) => {
                check.status = CheckStatus::Failed;
                format!("[The project's check `{command}` still fails.]\n\n{}", outcome.said())
            }
            Some(_) | None => {
                check.status = CheckStatus::Failed;
                format!("[The project's check `{command}` could not be run.]\n\n{}", outcome.said())
            }
        };
        let mut details = json!(check);
        details["of"] = of.into();
        let timestamp = self.conversation.now_ms();
        let message = Message::Custom(CustomMessage {
            custom_type: custom::CHECK.into(),
            content: UserContent::Text(words),
            display: true,
            details: Some(details),
            timestamp,
        });
        let id = self.conversation.append(Body::Message(message), Extra::default())?;
        self.conversation.emit(EventBody::ToolEnd(ended(of, outcome.clone(), timestamp)));
        self.conversation.tell_message(&id, false);
        self.conversation.emit(EventBody::AutoCheck(check));
        Ok(())
    }
}

/// The name under which people see a run.
pub(crate) fn call_id(entry_id: &str) -> String {
    format!("check_{entry_id}")
}

/// The end of a run as people see it.
pub(crate) fn ended(of: &str, outcome: ToolOutcome, timestamp: u64) -> ToolEnd {
    let result = ToolResultMessage {
        tool_call_id: call_id(of),
        tool_name: TOOL.to_owned(),
        content: outcome.content,
        details: outcome.details,
        is_error: outcome.is_error,
        timestamp,
    };
    ToolEnd {
        tool_call_id: result.tool_call_id.clone(),
        tool_name: result.tool_name.clone(),
        is_error: result.is_error,
        result,
        duration_ms: 0,
    }
}

//! `GET state` and `POST config`.

use super::session::{NAME_CHARS_MAX, Wanted, answer, session_id, session_name, status, wanted};
use crate::{
    answer::Failure,
    asked::Asked,
    body::body,
    proxy::is_outside,
    runtime::{AgentRuntime, RuntimeError},
};
use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use toft_agent::{
    Command, Handle,
    surroundings::{QueueMode, Settings, thinking_level, thinking_name},
};
use toft_model::{
    permission::{PromptLimits, Rule},
    provider::{DEMO_PROVIDER, ModelRef},
};

/// Rules of a project: each call is held against all of them.
const RULES_MAX: usize = 200;

/// Bytes of one, and of a command.
const RULE_BYTES_MAX: usize = 4 << 10;

/// How long the state waits for the gateway's list: people look at it all the time, and it is
/// answered from memory in a millisecond where there is a gateway.
const MODEL_PATIENCE: Duration = Duration::from_millis(150);

pub(super) async fn state(
    State(runtime): State<Arc<AgentRuntime>>,
    asked: Asked<Wanted>,
) -> Response {
    let result = async {
        let handle = wanted(&runtime, asked).await?;
        Ok(state_of(&runtime, &handle).await)
    };
    answer("get_state", StatusCode::OK, result.await)
}

async fn state_of(runtime: &AgentRuntime, handle: &Handle) -> Value {
    let conversation = handle.conversation();
    let around = runtime.around();
    let wanted = conversation.session().model().cloned();
    let asked = around.models.choose(wanted.as_ref());
    let choice = match tokio::time::timeout(MODEL_PATIENCE, asked).await {
        Ok(Ok(choice)) => Some(choice),
        Ok(Err(_)) | Err(_) => around.models.known(wanted.as_ref()),
    };
    let model = match (&choice, &wanted) {
        (Some(choice), _) => json!({
            "provider": choice.info.provider, "id": choice.info.id,
            "name": choice.info.name, "demo": choice.info.demo,
        }),
        (None, Some(wanted)) => json!({
            "provider": wanted.provider, "id": wanted.id, "name": wanted.id,
            "demo": wanted.provider == DEMO_PROVIDER,
        }),
        (None, None) => Value::Null,
    };
    let waiting = conversation.waiting().await;
    let settings = runtime.settings();
    let port = runtime.app_port();
    let listening = port.listening().await;
    let status = status(conversation);
    let session = conversation.session();
    let (plan, plan_state) = session.plan().unzip();
    let level = session.thinking_level().and_then(thinking_level);
    let level = level.or(choice.as_ref().map(|c| c.thinking)).unwrap_or_default();
    json!({
        "sessionId": session.id(),
        "sessionName": session.name(),
        "sessionFile": session.path(),
        "status": status,
        "model": model,
        "thinkingLevel": thinking_name(level),
        "isStreaming": conversation.is_working(),
        "isCompacting": conversation.is_compacting(),
        "steeringMode": settings.steering_mode,
        "followUpMode": settings.follow_up_mode,
        "autoCompactionEnabled": settings.auto_compaction_enabled,
        "rules": settings.rules,
        "limits": settings.limits,
        "autoCheck": settings.auto_check,
        "checkCommand": settings.check_command,
        "mode": session.mode(),
        "plan": plan,
        "planState": plan_state,
        "todos": session.todos(),
        "messageCount": session.message_count(),
        "pendingMessageCount": waiting.steering.len() + waiting.follow_up.len(),
        "steering": waiting.steering,
        "followUp": waiting.follow_up,
        "appPort": port.port(),
        "appListening": listening,
        "cwd": runtime.boot().cwd,
        "question": conversation.question(),
        "contextTokens": session.context_tokens(),
        "contextWindow": choice.map(|c| c.info.context_window),
        "usage": session.usage(),
        "seq": conversation.follow_from(),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    provider: Option<String>,
    model_id: Option<String>,
    thinking_level: Option<String>,
    app_port: Option<u16>,
    steering_mode: Option<QueueMode>,
    follow_up_mode: Option<QueueMode>,
    auto_compaction_enabled: Option<bool>,
    rules: Option<Vec<Rule>>,
    limits: Option<PromptLimits>,
    auto_check: Option<bool>,
    check_command: Option<String>,
    session_name: Option<String>,
    session_id: Option<String>,
}

impl Config {
    /// What it does not name stays.
    fn put_into(self, settings: &mut Settings) {
        settings.steering_mode = self.steering_mode.unwrap_or(settings.steering_mode);
        settings.follow_up_mode = self.follow_up_mode.unwrap_or(settings.follow_up_mode);
        settings.auto_compaction_enabled =
            self.auto_compaction_enabled.unwrap_or(settings.auto_compaction_enabled);
        if let Some(rules) = self.rules {
            settings.rules = rules;
        }
        if let Some(limits) = self.limits {
            settings.limits = limits;
        }
        settings.auto_check = self.auto_check.unwrap_or(settings.auto_check);
        if let Some(command) = self.check_command {
            settings.check_command = Some(command).filter(|command| !command.trim().is_empty());
        }
    }
}

/// Bytes of what a person wrote in a rule.
fn rule_bytes(rule: &Rule) -> usize {
    let texts = [Some(&rule.tool), rule.argument.as_ref(), rule.reason.as_ref()];
    texts.into_iter().flatten().map(String::len).sum()
}

pub(super) async fn config(State(runtime): State<Arc<AgentRuntime>>, request: Request) -> Response {
    let result = async {
        let outside = is_outside(&request);
        let config: Config = body(request).await?;
        let checks = config.auto_check.is_some() || config.check_command.is_some();
        if !outside && (checks || config.rules.is_some() || config.limits.is_some()) {
            return Err(Failure::only_outside("Changing rules, limits and the check"));
        }
        let session = session_id(config.session_id.as_deref())?;
        let handle = runtime.session(session.as_ref()).await?;
        apply(&runtime, &handle, config).await?;
        Ok(state_of(&runtime, &handle).await)
    };
    answer("set_config", StatusCode::OK, result.await)
}

async fn apply(runtime: &AgentRuntime, handle: &Handle, config: Config) -> Result<(), Failure> {
    // All is checked before anything changes.
    if let Some(level) = &config.thinking_level
        && thinking_level(level).is_none()
    {
        return Err(Failure::invalid(format!(
            "The thinking level {level:?} is not known: off, minimal, low, medium, high or xhigh."
        )));
    }
    let fits = |name: &String| {
        name.chars().count() <= NAME_CHARS_MAX && !name.chars().any(char::is_control)
    };
    if !config.session_name.as_ref().is_none_or(fits) {
        return Err(Failure::invalid(format!(
            "sessionName must have at most {NAME_CHARS_MAX} characters on one line."
        )));
    }
    if config.check_command.as_ref().is_some_and(|c| c.len() > RULE_BYTES_MAX || c.contains('\0')) {
        return Err(Failure::invalid(format!("checkCommand has at most {RULE_BYTES_MAX} bytes.")));
    }
    if config.app_port == Some(0) {
        return Err(Failure::invalid("appPort must be between 1 and 65535."));
    }
    if config.rules.as_ref().is_some_and(|rules| rules.len() > RULES_MAX) {
        return Err(Failure::invalid(format!("A project has at most {RULES_MAX} rules.")));
    }
    let empty =
        |rule: &Rule| rule.tool.is_empty() || rule.argument.as_ref().is_some_and(String::is_empty);
    if config.rules.iter().flatten().any(empty) {
        return Err(Failure::invalid(
            "A rule needs a `tool` that is not empty; an `argument` that is left out stands for any.",
        ));
    }
    if config.rules.iter().flatten().any(|rule| rule_bytes(rule) > RULE_BYTES_MAX) {
        return Err(Failure::invalid(format!("A rule has at most {RULE_BYTES_MAX} bytes.")));
    }
    let name = session_name(config.session_name.clone())?;
    let model = model(runtime, handle, &config).await?;
    if let Some(port) = config.app_port {
        runtime
            .app_port()
            .set(port)
            .await
            .map_err(|source| RuntimeError::Io { step: "setting the app port", source })?;
    }
    let thinking_level = config.thinking_level.clone();
    runtime.change_settings(|settings| config.put_into(settings)).await?;
    if model.is_some() || thinking_level.is_some() || name.is_some() {
        handle.ask(|reply| Command::Change { model, thinking_level, name, reply }).await?;
    }
    Ok(())
}

/// The model that the config names, if it can be asked.
async fn model(
    runtime: &AgentRuntime,
    handle: &Handle,
    config: &Config,
) -> Result<Option<ModelRef>, Failure> {
    let wanted = match (&config.provider, &config.model_id) {
        (None, None) => return Ok(None),
        (Some(_), None) => {
            return Err(Failure::invalid("Send `modelId` together with `provider`."));
        }
        (Some(provider), Some(id)) => ModelRef { provider: provider.clone(), id: id.clone() },
        (None, Some(id)) => {
            let now = handle.conversation().session().model().cloned();
            let now = runtime.around().models.choose(now.as_ref()).await?;
            ModelRef { provider: now.info.provider, id: id.clone() }
        }
    };
    let found = runtime.around().models.choose(Some(&wanted)).await?;
    Ok(Some(ModelRef { provider: found.info.provider, id: found.info.id }))
}

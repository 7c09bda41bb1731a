//! One line of a session file, as text and as an entry. Reading is lenient (old versions, foreign roles,
//! unknown kinds); writing makes version 3. Format: Pi's session documentation, version 3.

use super::entry::{Body, Compaction, Extra};
use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};
use std::borrow::Cow;
use toft_model::{
    message::{
        AssistantMessage, CustomMessage, Message, ToolResultMessage, Usage, UserContent,
        UserMessage,
    },
    provider::ModelRef,
    time::rfc3339,
};

/// An entry as it is read, with its parent by id.
pub(super) struct Read {
    pub(super) id: Option<String>,
    pub(super) parent: Parent,
    pub(super) at_ms: u64,
    pub(super) body: Body,
    pub(super) extra: Extra,
}

/// Where an entry hangs.
#[derive(Default)]
pub(super) enum Parent {
    /// The field is absent (version 1): below the line before.
    #[default]
    Before,
    /// It is null.
    Root,
    /// Below this one.
    Of(String),
}

impl<'de> Deserialize<'de> for Parent {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Ok(Option::<String>::deserialize(d)?.map_or(Self::Root, Self::Of))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    parent_id: Parent,
    #[serde(default, borrow)]
    timestamp: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    message: Option<&'a RawValue>,
    #[serde(default, borrow)]
    toft: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Role<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
}

/// Reads one line. `None`: it is not JSON of an entry at all.
pub(super) fn read(line: &str) -> Option<Read> {
    let head: Line<'_> = serde_json::from_str(line).ok()?;
    let at = head.timestamp.as_deref().map_or(0, unix_ms);
    let body = match head.message {
        Some(raw) if head.kind == "message" => read_message(raw.get(), at),
        _ => read_body(&head.kind, line, at),
    };
    let body = body.unwrap_or_else(|| Body::Unknown { kind: head.kind.to_string() });
    Some(Read {
        id: head.id,
        parent: head.parent_id,
        at_ms: at,
        body,
        extra: head.toft.map(|raw| read_extra(raw.get())).unwrap_or_default(),
    })
}

/// Our fields. One of a value that this version does not know is left out, and the others count.
fn read_extra(raw: &str) -> Extra {
    serde_json::from_str(raw).unwrap_or_else(|_| {
        let mut fields: Map<String, Value> = serde_json::from_str(raw).unwrap_or_default();
        fields.retain(|key, value| Extra::deserialize(json!({ key: value })).is_ok());
        Extra::deserialize(Value::Object(fields)).unwrap_or_default()
    })
}

/// The id of an entry without one, as the first version has them: its line's number is as stable.
pub(super) fn id_of_line(number: u64) -> String {
    format!("line{number:04}")
}

/// A compaction. The first version counts lines from the header on, which is 0.
fn read_compaction(line: &str) -> Option<Body> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Old {
        first_kept_entry_index: Option<u64>,
    }
    let mut compaction: Compaction = serde_json::from_str(line).ok()?;
    if compaction.first_kept_entry_id.is_empty()
        && let Ok(Old { first_kept_entry_index: Some(index) }) = serde_json::from_str(line)
    {
        compaction.first_kept_entry_id = id_of_line(index.saturating_add(1));
    }
    Some(Body::Compaction(compaction))
}

/// The role, where it comes first, as all writers of the format have it: looking for it elsewhere reads
/// the whole message once more.
fn first_role(raw: &str) -> Option<Cow<'_, str>> {
    let (role, _) = raw.strip_prefix("{\"role\":\"")?.split_once('"')?;
    (!role.contains('\\')).then_some(Cow::Borrowed(role))
}

fn read_message(raw: &str, at: u64) -> Option<Body> {
    let role = match first_role(raw) {
        Some(role) => role,
        None => serde_json::from_str::<Role<'_>>(raw).ok()?.role,
    };
    let message = match &*role {
        "user" => Message::User(serde_json::from_str::<UserMessage>(raw).ok()?),
        "assistant" => Message::Assistant(serde_json::from_str::<AssistantMessage>(raw).ok()?),
        "toolResult" => Message::ToolResult(serde_json::from_str::<ToolResultMessage>(raw).ok()?),
        "custom" | "hookMessage" => Message::Custom(serde_json::from_str(raw).ok()?),
        "compactionSummary" => Message::CompactionSummary(serde_json::from_str(raw).ok()?),
        "branchSummary" => Message::BranchSummary(serde_json::from_str(raw).ok()?),
        "bashExecution" => return Some(read_bash(raw, at)),
        other => return Some(Body::Unknown { kind: format!("message/{other}") }),
    };
    Some(Body::Message(message))
}

/// A command that a person ran by hand in Pi: in the context as text.
fn read_bash(raw: &str, at: u64) -> Body {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    #[derive(Default)]
    struct Bash {
        command: String,
        output: String,
        exclude_from_context: bool,
        timestamp: u64,
    }
    let bash: Bash = serde_json::from_str(raw).unwrap_or_default();
    if bash.exclude_from_context {
        return Body::Unknown { kind: "message/bashExecution".into() };
    }
    let text = format!("Ran `{}`\n```\n{}\n```", bash.command, bash.output);
    Body::Message(Message::Custom(CustomMessage {
        custom_type: "bashExecution".into(),
        content: UserContent::Text(text),
        display: true,
        details: None,
        timestamp: if bash.timestamp == 0 { at } else { bash.timestamp },
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    provider: Option<String>,
    model_id: Option<String>,
    thinking_level: Option<String>,
    target_id: Option<String>,
    #[serde(default)]
    replacement: Option<Value>,
    custom_type: Option<String>,
    #[serde(default)]
    data: Value,
    content: Option<UserContent>,
    #[serde(default)]
    display: bool,
    details: Option<Value>,
    label: Option<String>,
    name: Option<String>,
    usage: Option<Usage>,
}

fn read_body(kind: &str, line: &str, at: u64) -> Option<Body> {
    match kind {
        "compaction" => return read_compaction(line),
        "branch_summary" => return serde_json::from_str(line).ok().map(Body::BranchSummary),
        _ => {}
    }
    let known = [
        "model_change",
        "thinking_level_change",
        "context_edit",
        "custom",
        "custom_message",
        "label",
        "session_info",
        "usage",
    ];
    if !known.contains(&kind) {
        return None;
    }
    let f: Fields = serde_json::from_str(line).ok()?;
    Some(match kind {
        "model_change" => Body::ModelChange(ModelRef { provider: f.provider?, id: f.model_id? }),
        "thinking_level_change" => Body::ThinkingLevelChange { level: f.thinking_level? },
        "context_edit" => Body::ContextEdit { target_id: f.target_id?, replacement: f.replacement },
        "custom" => Body::Custom { custom_type: f.custom_type?, data: f.data },
        "custom_message" => Body::Message(Message::Custom(CustomMessage {
            custom_type: f.custom_type?,
            content: f.content?,
            display: f.display,
            details: f.details,
            timestamp: at,
        })),
        "label" => Body::Label { target_id: f.target_id?, label: f.label },
        "session_info" => Body::SessionInfo { name: f.name },
        _ => Body::Usage(f.usage?),
    })
}

/// Unix milliseconds of an RFC 3339 text; 0 when it is none.
pub(super) fn unix_ms(text: &str) -> u64 {
    text.parse::<jiff::Timestamp>()
        .ok()
        .and_then(|t| u64::try_from(t.as_millisecond()).ok())
        .unwrap_or(0)
}

/// Writes one line, without its newline. `None` for what we never write.
pub(super) fn write(
    id: &str,
    parent: Option<&str>,
    at_ms: u64,
    body: &Body,
    extra: &Extra,
) -> Option<String> {
    let fields = match body {
        Body::Message(Message::Custom(m)) => json!({
            "customType": m.custom_type, "content": m.content, "display": m.display,
            "details": m.details,
        }),
        Body::Message(message) => json!({ "message": message }),
        Body::ModelChange(m) => json!({"provider": m.provider, "modelId": m.id}),
        Body::ThinkingLevelChange { level } => json!({ "thinkingLevel": level }),
        Body::Compaction(c) => serde_json::to_value(c).ok()?,
        Body::BranchSummary(b) => serde_json::to_value(b).ok()?,
        Body::ContextEdit { target_id, replacement } => {
            json!({"targetId": target_id, "replacement": replacement})
        }
        Body::Custom { custom_type, data } => json!({"customType": custom_type, "data": data}),
        Body::Label { target_id, label } => json!({"targetId": target_id, "label": label}),
        Body::SessionInfo { name } => json!({ "name": name }),
        Body::Usage(usage) => json!({"kind": "toft", "usage": usage}),
        Body::Unknown { .. } => return None,
    };
    let mut line = Map::new();
    line.insert("type".into(), body.kind().into());
    line.insert("id".into(), id.into());
    line.insert("parentId".into(), parent.into());
    line.insert("timestamp".into(), rfc3339(at_ms).into());
    if let Value::Object(fields) = fields {
        // Absent and null mean the same except for `replacement`, where null is the meaning.
        line.extend(fields.into_iter().filter(|(key, v)| !v.is_null() || key == "replacement"));
    }
    if !extra.is_empty() {
        line.insert("toft".into(), serde_json::to_value(extra).ok()?);
    }
    serde_json::to_string(&line).ok()
}

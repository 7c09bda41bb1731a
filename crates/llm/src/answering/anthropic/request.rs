//! Reads a request in Anthropic's format.

use crate::{
    answering::{
        Asked, Fields, Refused, Shape,
        conversation::{Conversation, level},
        openai_chat::request::no_parameters,
    },
    ask::{ModelRequest, Options, Output, ThinkingLevel, ToolChoice},
};
use serde_json::Value;
use std::collections::BTreeSet;
use toft_model::{message::Block, provider::ModelInfo, tool::ToolSpec};

/// See [`crate::answering::read`].
pub(crate) fn read(mut body: Fields, model: ModelInfo) -> Result<Asked, Refused> {
    let mut dropped = BTreeSet::new();
    body.ignore(&["model", "cache_control"]);
    let mut conversation = Conversation::default();
    if let Some(system) = body.take("system") {
        conversation.system_blocks(blocks(system, "system", &mut dropped)?);
    }
    for mut message in body.objects("messages")? {
        read_message(&mut message, &mut conversation, &mut dropped)?;
        message.rest(&mut dropped);
    }
    let stream = body.flag("stream")?.unwrap_or_default();
    let (thinking, output) = thinking_and_output(&mut body)?;
    let mut options = Options {
        temperature: body.number("temperature")?,
        top_p: body.number("top_p")?,
        stop: body.texts("stop_sequences")?,
        output,
        ..Options::default()
    };
    if let Some(mut choice) = body.object("tool_choice")? {
        options.one_call = choice.flag("disable_parallel_tool_use")?.unwrap_or_default();
        options.tool_choice = match choice.needs_text("type")?.as_str() {
            "auto" => ToolChoice::Auto,
            "none" => ToolChoice::Never,
            "any" => ToolChoice::Required,
            "tool" => ToolChoice::Tool(choice.needs_text("name")?),
            _ => return Err(choice.wrong("the type has to be auto, any, tool or none.")),
        };
    }
    let mut tools = Vec::new();
    for mut tool in body.objects("tools")? {
        let kind = tool.text("type")?.unwrap_or_else(|| "custom".to_owned());
        if kind != "custom" {
            dropped.insert(format!("the tool {kind}"));
            continue;
        }
        tools.push(ToolSpec {
            name: tool.needs_text("name")?,
            description: tool.text("description")?.unwrap_or_default(),
            parameters: tool.take("input_schema").unwrap_or_else(no_parameters),
        });
    }
    let max_tokens = body.count("max_tokens")?;
    body.refuse("mcp_servers", "servers are not called for a model of another provider.")?;
    body.refuse("container", "there are no containers for a model of another provider.")?;
    body.rest(&mut dropped);
    let request = conversation.request(model);
    Ok(Asked {
        request: ModelRequest { tools, thinking, max_tokens, options, ..request },
        stream,
        dropped,
        shape: Shape::default(),
    })
}

fn thinking_and_output(body: &mut Fields) -> Result<(ThinkingLevel, Output), Refused> {
    let mut effort = None;
    let mut output = body.object("output_format")?.map_or(Ok(Output::Text), schema)?;
    if let Some(mut config) = body.object("output_config")? {
        effort = config.text("effort")?.map(|e| level(&e, "output_config.effort")).transpose()?;
        if let Some(format) = config.object("format")? {
            output = schema(format)?;
        }
    }
    let mut thinking = ThinkingLevel::Off;
    if let Some(mut asked) = body.object("thinking")? {
        thinking = match asked.needs_text("type")?.as_str() {
            "disabled" => ThinkingLevel::Off,
            // What the API takes when nothing is said.
            "adaptive" => effort.unwrap_or(ThinkingLevel::High),
            "enabled" => {
                asked.count("budget_tokens")?.map_or(ThinkingLevel::High, ThinkingLevel::of_budget)
            }
            _ => return Err(asked.wrong("the type has to be enabled, adaptive or disabled.")),
        };
    }
    Ok((thinking, output))
}

fn schema(mut format: Fields) -> Result<Output, Refused> {
    match (format.needs_text("type")?.as_str(), format.take("schema")) {
        ("json_schema", Some(schema)) => Ok(Output::Schema { name: "answer".to_owned(), schema }),
        _ => Err(format.wrong("it has to be a json_schema with its schema.")),
    }
}

fn read_message(
    message: &mut Fields,
    into: &mut Conversation,
    dropped: &mut BTreeSet<String>,
) -> Result<(), Refused> {
    let role = message.needs_text("role")?;
    let place = message.at("content");
    let content = match message.take("content") {
        Some(Value::Array(content)) => content,
        Some(Value::String(text)) => vec![serde_json::json!({"type": "text", "text": text})],
        Some(_) => {
            return Err(Refused::new(format!("{place} has to be a text or a list of blocks.")));
        }
        None => Vec::new(),
    };
    let mut own = Vec::new();
    for (at, value) in content.into_iter().enumerate() {
        let mut block = Fields::of(value, format!("{place}[{at}]"))?;
        let kind = block.needs_text("type")?;
        match (role.as_str(), kind.as_str()) {
            ("assistant", "text") => into.said(Block::text(block.needs_text("text")?)),
            ("assistant", "thinking") => {
                let text = block.text("thinking")?.unwrap_or_default();
                into.thought(text, &block.text("signature")?.unwrap_or_default());
            }
            ("assistant", "redacted_thinking") => {
                into.thought(String::new(), &block.text("data")?.unwrap_or_default());
            }
            ("assistant", "tool_use") => {
                let input = match block.take("input") {
                    Some(Value::Object(input)) => input,
                    None => serde_json::Map::new(),
                    Some(_) => return Err(block.wrong("the input has to be an object.")),
                };
                into.call(block.needs_text("id")?, block.needs_text("name")?, input);
            }
            // Of tools that another provider ran.
            ("assistant", _) => {
                dropped.insert(format!("{kind} in messages"));
            }
            ("user", "tool_result") => {
                let id = block.needs_text("tool_use_id")?;
                let is_error = block.flag("is_error")?.unwrap_or_default();
                let place = block.at("content");
                let content = block.take("content");
                let content = content.map_or(Ok(Vec::new()), |c| blocks(c, &place, dropped))?;
                into.result(id, content, is_error);
            }
            ("user", _) => own.push(content_block(block, &kind)?),
            ("system", "text") => into.system(block.needs_text("text")?),
            _ => return Err(message.wrong("the role has to be user or assistant.")),
        }
    }
    if role == "user" && !own.is_empty() {
        into.user(own);
    }
    Ok(())
}

/// Text, or a list of blocks that a model is shown.
fn blocks(
    content: Value,
    place: &str,
    dropped: &mut BTreeSet<String>,
) -> Result<Vec<Block>, Refused> {
    match content {
        Value::String(text) => Ok(vec![Block::text(text)]),
        Value::Array(list) => {
            let mut out = Vec::new();
            for (at, value) in list.into_iter().enumerate() {
                let mut block = Fields::of(value, format!("{place}[{at}]"))?;
                let kind = block.needs_text("type")?;
                // A name for a tool that the program holds back; what it means is Anthropic's.
                if kind == "tool_reference" {
                    dropped.insert(format!("{kind} in messages"));
                } else {
                    out.push(content_block(block, &kind)?);
                }
            }
            Ok(out)
        }
        _ => Err(Refused::new(format!("{place} has to be a text or a list of blocks."))),
    }
}

fn content_block(mut block: Fields, kind: &str) -> Result<Block, Refused> {
    match kind {
        "text" => Ok(Block::text(block.needs_text("text")?)),
        "image" => {
            let missing = block.wrong("an image has to have its source.");
            let mut source = block.object("source")?.ok_or(missing)?;
            match source.needs_text("type")?.as_str() {
                "base64" => Ok(Block::Image {
                    mime_type: source.needs_text("media_type")?,
                    data: source.needs_text("data")?,
                }),
                _ => Err(source.wrong(
                    "an image has to be in the request itself, as base64: nothing is fetched for a \
                     model of another provider.",
                )),
            }
        }
        _ => Err(block.wrong(&format!("{kind} is not taken for this model: send text or images."))),
    }
}

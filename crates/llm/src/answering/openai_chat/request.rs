//! Reads a request in OpenAI's chat format.

use crate::{
    answering::{
        Asked, Fields, Refused, Shape,
        conversation::{Conversation, arguments, content, image, level},
    },
    ask::{ModelRequest, Options, Output, ThinkingLevel, ToolChoice},
};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use toft_model::{message::Block, provider::ModelInfo, tool::ToolSpec};

/// See [`crate::answering::read`].
pub(crate) fn read(mut body: Fields, model: ModelInfo) -> Result<Asked, Refused> {
    let mut dropped = BTreeSet::new();
    body.ignore(&["model", "store"]);
    refuse(&mut body)?;
    let mut conversation = Conversation::default();
    for mut message in body.objects("messages")? {
        read_message(&mut message, &mut conversation)?;
        message.ignore(&["name", "refusal", "annotations"]);
        message.rest(&mut dropped);
    }
    let stream = body.flag("stream")?.unwrap_or_default();
    let mut usage_chunk = false;
    if let Some(mut options) = body.object("stream_options")? {
        usage_chunk = options.flag("include_usage")?.unwrap_or_default();
    }
    let (old, new) = (body.count("max_tokens")?, body.count("max_completion_tokens")?);
    let mut thinking = ThinkingLevel::Off;
    if let Some(effort) = body.text("reasoning_effort")? {
        thinking = level(&effort, "reasoning_effort")?;
    } else if let Some(mut reasoning) = body.object("reasoning")?
        && let Some(effort) = reasoning.text("effort")?
    {
        thinking = level(&effort, "reasoning.effort")?;
    }
    let options = Options {
        temperature: body.number("temperature")?,
        top_p: body.number("top_p")?,
        stop: body.texts("stop")?,
        tool_choice: body.take("tool_choice").as_ref().map_or(Ok(ToolChoice::Auto), tool_choice)?,
        one_call: body.flag("parallel_tool_calls")? == Some(false),
        output: body.object("response_format")?.map_or(Ok(Output::Text), output)?,
        ..Options::default()
    };
    let tools = body.objects("tools")?.into_iter().map(tool).collect::<Result<_, _>>()?;
    let session = body.text("prompt_cache_key")?.unwrap_or_default();
    body.rest(&mut dropped);
    let (request, max_tokens) = (conversation.request(model), new.or(old));
    Ok(Asked {
        request: ModelRequest { tools, thinking, max_tokens, session, options, ..request },
        stream,
        dropped,
        shape: Shape { usage_chunk, ..Shape::default() },
    })
}

/// What would make another answer of it.
fn refuse(body: &mut Fields) -> Result<(), Refused> {
    if body.count("n")?.is_some_and(|n| n > 1) {
        return Err(Refused::new("n: this model gives one answer at a time; ask again for more."));
    }
    body.refuse("logprobs", "this model's provider does not give them in this format.")?;
    body.refuse("top_logprobs", "this model's provider does not give them in this format.")?;
    body.refuse("audio", "an answer is text here.")?;
    body.refuse("functions", "send tools instead.")?;
    body.refuse("function_call", "send tool_choice instead.")?;
    let modalities = body.texts("modalities")?;
    if modalities.iter().any(|m| m != "text") {
        return Err(Refused::new("modalities: an answer is text here."));
    }
    Ok(())
}

fn read_message(message: &mut Fields, into: &mut Conversation) -> Result<(), Refused> {
    let role = message.needs_text("role")?;
    match role.as_str() {
        "system" | "developer" => {
            into.system_blocks(content(message, "content", part)?);
        }
        "user" => into.user(content(message, "content", part)?),
        "assistant" => {
            // No signature comes with it.
            message.ignore(&["reasoning_content", "reasoning", "reasoning_details"]);
            message.refuse("function_call", "send tool_calls instead.")?;
            message.refuse("audio", "an answer is text here.")?;
            for block in content(message, "content", part)? {
                into.said(block);
            }
            for mut call in message.objects("tool_calls")? {
                let id = call.needs_text("id")?;
                let place = call.at("function");
                let mut function = call
                    .object("function")?
                    .ok_or_else(|| Refused::new(format!("{place} is missing.")))?;
                let name = function.needs_text("name")?;
                let text = function.text("arguments")?.unwrap_or_default();
                into.call(id, name, arguments(&text));
            }
        }
        "tool" => {
            let id = message.needs_text("tool_call_id")?;
            into.result(id, content(message, "content", part)?, false);
        }
        _ => {
            return Err(
                message.wrong("the role has to be system, developer, user, assistant or tool.")
            );
        }
    }
    Ok(())
}

fn part(mut part: Fields) -> Result<Block, Refused> {
    match part.needs_text("type")?.as_str() {
        "text" => Ok(Block::text(part.needs_text("text")?)),
        "refusal" => Ok(Block::text(part.needs_text("refusal")?)),
        "image_url" => {
            let place = part.at("image_url");
            let url = match part.take("image_url") {
                Some(Value::String(url)) => url,
                Some(object) => Fields::of(object, place.clone())?.needs_text("url")?,
                None => return Err(Refused::new(format!("{place} is missing."))),
            };
            image(&url, &place)
        }
        kind => {
            Err(part.wrong(&format!("{kind} is not taken for this model: send text or images.")))
        }
    }
}

fn tool(mut tool: Fields) -> Result<ToolSpec, Refused> {
    let kind = tool.text("type")?.unwrap_or_else(|| "function".to_owned());
    if kind != "function" {
        return Err(tool.wrong("only tools of the type function are taken for this model."));
    }
    let place = tool.at("function");
    let mut function =
        tool.object("function")?.ok_or_else(|| Refused::new(format!("{place} is missing.")))?;
    Ok(ToolSpec {
        name: function.needs_text("name")?,
        description: function.text("description")?.unwrap_or_default(),
        parameters: function.take("parameters").unwrap_or_else(no_parameters),
    })
}

/// The schema of a tool without arguments.
pub(crate) fn no_parameters() -> Value {
    json!({"type": "object", "properties": {}})
}

fn tool_choice(choice: &Value) -> Result<ToolChoice, Refused> {
    let name = choice.pointer("/function/name").or(choice.pointer("/name")).and_then(Value::as_str);
    match (choice.as_str(), name) {
        (Some("auto"), _) => Ok(ToolChoice::Auto),
        (Some("none"), _) => Ok(ToolChoice::Never),
        (Some("required"), _) => Ok(ToolChoice::Required),
        (None, Some(name)) => Ok(ToolChoice::Tool(name.to_owned())),
        _ => Err(Refused::new("tool_choice has to be auto, none, required or one function.")),
    }
}

fn output(mut format: Fields) -> Result<Output, Refused> {
    match format.needs_text("type")?.as_str() {
        "text" => Ok(Output::Text),
        "json_object" => Ok(Output::Json),
        "json_schema" => {
            let schema = format.object("json_schema")?;
            schema.map_or_else(|| Err(format.wrong("json_schema is missing.")), named_schema)
        }
        _ => Err(format.wrong("the type has to be text, json_object or json_schema.")),
    }
}

/// A schema with its name.
pub(crate) fn named_schema(mut schema: Fields) -> Result<Output, Refused> {
    let name = schema.text("name")?.unwrap_or_else(|| "answer".to_owned());
    let schema = schema.take("schema").ok_or_else(|| schema.wrong("the schema is missing."))?;
    Ok(Output::Schema { name, schema })
}

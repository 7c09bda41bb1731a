//! Reads a request in OpenAI's Responses format.

use crate::{
    answering::{
        Asked, Fields, Refused, Shape,
        conversation::{Conversation, arguments, content, image, level},
        openai_chat::request::{named_schema, no_parameters},
    },
    ask::{ModelRequest, Options, Output, ThinkingLevel, ToolChoice},
};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use toft_model::{message::Block, provider::ModelInfo, tool::ToolSpec};

const KEEPS_NOTHING: &str = "nothing is kept from one call to the next for a model of another \
    provider: send the whole conversation as input.";

/// See [`crate::answering::read`].
pub(crate) fn read(mut body: Fields, model: ModelInfo) -> Result<Asked, Refused> {
    let mut dropped = BTreeSet::new();
    body.ignore(&["model", "store", "include", "stream_options", "client_metadata"]);
    body.refuse("previous_response_id", KEEPS_NOTHING)?;
    body.refuse("conversation", KEEPS_NOTHING)?;
    body.refuse("background", KEEPS_NOTHING)?;
    body.refuse("prompt", "prompts that a provider keeps are not known to another one.")?;
    let mut conversation = Conversation::default();
    if let Some(instructions) = body.text("instructions")? {
        conversation.system(instructions);
    }
    match body.take("input") {
        None => {}
        Some(Value::String(text)) => conversation.user(vec![Block::text(text)]),
        Some(Value::Array(items)) => {
            for (at, item) in items.into_iter().enumerate() {
                let item = Fields::of(item, format!("input[{at}]"))?;
                read_item(item, &mut conversation, &mut dropped)?;
            }
        }
        Some(_) => return Err(Refused::new("input has to be a text or a list of items.")),
    }
    let mut thinking = ThinkingLevel::Off;
    if let Some(mut reasoning) = body.object("reasoning")?
        && let Some(effort) = reasoning.text("effort")?
    {
        thinking = level(&effort, "reasoning.effort")?;
    }
    let mut output = Output::Text;
    if let Some(mut text) = body.object("text")? {
        if let Some(mut format) = text.object("format")? {
            output = match format.needs_text("type")?.as_str() {
                "text" => Output::Text,
                "json_object" => Output::Json,
                "json_schema" => named_schema(format)?,
                _ => {
                    return Err(
                        format.wrong("the type has to be text, json_object or json_schema.")
                    );
                }
            };
        }
        text.rest(&mut dropped);
    }
    let mut tools = Tools::default();
    for tool in body.objects("tools")? {
        tools.add(tool, &mut dropped)?;
    }
    let tool_choice = match body.take("tool_choice") {
        Some(choice) => tools.choose(&choice)?,
        None => ToolChoice::Auto,
    };
    let options = Options {
        temperature: body.number("temperature")?,
        top_p: body.number("top_p")?,
        stop: Vec::new(),
        tool_choice,
        one_call: body.flag("parallel_tool_calls")? == Some(false),
        output,
        ..Options::default()
    };
    let stream = body.flag("stream")?.unwrap_or_default();
    let max_tokens = body.count("max_output_tokens")?;
    let session = body.text("prompt_cache_key")?.unwrap_or_default();
    body.rest(&mut dropped);
    let (request, tools, free_text_tools) =
        (conversation.request(model), tools.specs, tools.free_text);
    Ok(Asked {
        request: ModelRequest { tools, thinking, max_tokens, session, options, ..request },
        stream,
        dropped,
        shape: Shape { free_text_tools, ..Shape::default() },
    })
}

fn read_item(
    mut item: Fields,
    into: &mut Conversation,
    dropped: &mut BTreeSet<String>,
) -> Result<(), Refused> {
    let kind = item.text("type")?.unwrap_or_else(|| "message".to_owned());
    match kind.as_str() {
        "message" => {
            let role = item.needs_text("role")?;
            let blocks = content(&mut item, "content", part)?;
            match role.as_str() {
                "system" | "developer" => into.system_blocks(blocks),
                "user" => into.user(blocks),
                "assistant" => blocks.into_iter().for_each(|block| into.said(block)),
                _ => {
                    return Err(
                        item.wrong("the role has to be system, developer, user or assistant.")
                    );
                }
            }
        }
        "reasoning" => {
            let mut parts = Vec::new();
            for mut part in item.objects("summary")? {
                parts.extend(part.text("text")?);
            }
            let seal = item.text("encrypted_content")?.unwrap_or_default();
            into.thought(parts.join("\n\n"), &seal);
        }
        "function_call" => {
            let text = item.text("arguments")?.unwrap_or_default();
            into.call(item.needs_text("call_id")?, item.needs_text("name")?, arguments(&text));
        }
        "custom_tool_call" => {
            let input = item.text("input")?.unwrap_or_default();
            let arguments = Map::from_iter([("input".to_owned(), Value::from(input))]);
            into.call(item.needs_text("call_id")?, item.needs_text("name")?, arguments);
        }
        "function_call_output" | "custom_tool_call_output" => {
            let id = item.needs_text("call_id")?;
            let output = content(&mut item, "output", part)?;
            into.result(id, output, false);
        }
        "item_reference" => return Err(item.wrong(KEEPS_NOTHING)),
        // Of tools that another provider ran.
        _ => {
            dropped.insert(format!("{kind} in input"));
        }
    }
    Ok(())
}

fn part(mut part: Fields) -> Result<Block, Refused> {
    match part.needs_text("type")?.as_str() {
        "input_text" | "output_text" | "text" => Ok(Block::text(part.needs_text("text")?)),
        "refusal" => Ok(Block::text(part.needs_text("refusal")?)),
        "input_image" => {
            part.refuse("file_id", "a file that a provider keeps is not known to another one.")?;
            let place = part.at("image_url");
            image(&part.needs_text("image_url")?, &place)
        }
        kind => {
            Err(part.wrong(&format!("{kind} is not taken for this model: send text or images.")))
        }
    }
}

#[derive(Default)]
struct Tools {
    specs: Vec<ToolSpec>,
    free_text: BTreeSet<String>,
}

impl Tools {
    fn add(&mut self, mut tool: Fields, dropped: &mut BTreeSet<String>) -> Result<(), Refused> {
        let kind = tool.needs_text("type")?;
        match kind.as_str() {
            "function" => self.specs.push(ToolSpec {
                name: tool.needs_text("name")?,
                description: tool.text("description")?.unwrap_or_default(),
                parameters: tool.take("parameters").unwrap_or_else(no_parameters),
            }),
            "custom" => {
                let name = tool.needs_text("name")?;
                let mut description = tool.text("description")?.unwrap_or_default();
                if let Some(mut format) = tool.object("format")?
                    && let Some(grammar) = format.text("definition")?
                {
                    description.push_str("\n\nThe input has to follow this grammar:\n");
                    description.push_str(&grammar);
                }
                self.free_text.insert(name.clone());
                let parameters = json!({
                    "type": "object",
                    "properties": {"input": {"type": "string"}},
                    "required": ["input"],
                });
                self.specs.push(ToolSpec { name, description, parameters });
            }
            _ => {
                dropped.insert(format!("the tool {kind}"));
            }
        }
        Ok(())
    }

    fn choose(&mut self, choice: &Value) -> Result<ToolChoice, Refused> {
        let word = |choice: &Value| match choice.as_str() {
            Some("auto") => Some(ToolChoice::Auto),
            Some("none") => Some(ToolChoice::Never),
            Some("required") => Some(ToolChoice::Required),
            _ => None,
        };
        if let Some(choice) = word(choice) {
            return Ok(choice);
        }
        let name = choice["name"].as_str();
        match (choice["type"].as_str(), name) {
            (Some("function" | "custom"), Some(name)) => Ok(ToolChoice::Tool(name.to_owned())),
            (Some("allowed_tools"), _) => {
                let allowed = choice["tools"].as_array().into_iter().flatten();
                let allowed: BTreeSet<&str> = allowed.filter_map(|t| t["name"].as_str()).collect();
                self.specs.retain(|spec| allowed.contains(spec.name.as_str()));
                Ok(word(&choice["mode"]).unwrap_or_default())
            }
            _ => Err(Refused::new(
                "tool_choice has to be auto, none, required, one function or allowed_tools.",
            )),
        }
    }
}

//! Reads a request in Google's format. Names may be written in either way that Google takes.

use super::schema::json_schema;
use crate::{
    answering::{
        Asked, Fields, Refused, Shape,
        conversation::{Conversation, level},
        openai_chat::request::no_parameters,
    },
    ask::{ModelRequest, Options, Output, ThinkingLevel, ToolChoice},
};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use toft_model::{message::Block, provider::ModelInfo, tool::ToolSpec};

/// See [`crate::answering::read`].
pub(crate) fn read(mut body: Fields, model: ModelInfo) -> Result<Asked, Refused> {
    let mut dropped = BTreeSet::new();
    body.ignore(&["model", "labels"]);
    body.refuse("cachedContent", "content that a provider keeps is not known to another one.")?;
    body.refuse("cached_content", "content that a provider keeps is not known to another one.")?;
    let mut conversation = Conversation::default();
    match body.either("systemInstruction", "system_instruction") {
        None => {}
        Some(Value::String(text)) => conversation.system(text),
        Some(object) => {
            for mut part in Fields::of(object, "systemInstruction")?.objects("parts")? {
                conversation.system(part.text("text")?.unwrap_or_default());
            }
        }
    }
    for mut content in body.objects("contents")? {
        let model_said = content.text("role")?.as_deref() == Some("model");
        let mut own = Vec::new();
        for part in content.objects("parts")? {
            if model_said {
                read_said(part, &mut conversation, &mut dropped)?;
            } else {
                own.extend(read_shown(part, &mut conversation)?);
            }
        }
        if !own.is_empty() {
            conversation.user(own);
        }
    }
    let mut tools = tools(&mut body, &mut dropped)?;
    let tool_choice = tool_choice(&mut body, &mut tools)?;
    let options = Options { tool_choice, ..Options::default() };
    let mut asked = Asked {
        request: ModelRequest { tools, options, ..conversation.request(model) },
        stream: false,
        dropped,
        shape: Shape::default(),
    };
    if let Some(config) = body.either("generationConfig", "generation_config") {
        read_config(Fields::of(config, "generationConfig")?, &mut asked)?;
    }
    body.rest(&mut asked.dropped);
    Ok(asked)
}

/// A part that a model made.
fn read_said(
    mut part: Fields,
    into: &mut Conversation,
    dropped: &mut BTreeSet<String>,
) -> Result<(), Refused> {
    if let Some(Value::String(seal)) = part.either("thoughtSignature", "thought_signature") {
        into.thought(String::new(), &seal);
    }
    // What was thought stands in its seal.
    if part.flag("thought")? == Some(true) {
        return Ok(());
    }
    if let Some(text) = part.text("text")? {
        if !text.is_empty() {
            into.said(Block::text(text));
        }
    } else if let Some(call) = part.either("functionCall", "function_call") {
        let mut call = Fields::of(call, part.at("functionCall"))?;
        let id = call.text("id")?.unwrap_or_else(|| format!("call_{}", into.calls_so_far() + 1));
        let args = match call.take("args") {
            Some(Value::Object(args)) => args,
            None => Map::new(),
            Some(_) => return Err(call.wrong("args has to be an object.")),
        };
        into.call(id, call.needs_text("name")?, args);
    } else {
        part.rest(dropped);
    }
    Ok(())
}

/// A part that a model is shown.
fn read_shown(mut part: Fields, into: &mut Conversation) -> Result<Option<Block>, Refused> {
    if let Some(text) = part.text("text")? {
        return Ok(Some(Block::text(text)));
    }
    if let Some(data) = part.either("inlineData", "inline_data") {
        return inline(Fields::of(data, part.at("inlineData"))?).map(Some);
    }
    let Some(response) = part.either("functionResponse", "function_response") else {
        return Err(
            part.wrong("only text, inlineData and functionResponse are taken for this model.")
        );
    };
    let mut response = Fields::of(response, part.at("functionResponse"))?;
    let (id, name) = (response.text("id")?, response.needs_text("name")?);
    let Some(id) = id.or_else(|| into.unanswered(&name)) else {
        return Err(response.wrong("there is no functionCall of that name without a response."));
    };
    let (text, is_error) = match response.take("response") {
        Some(Value::Object(map)) => result(map),
        Some(other) => (other.to_string(), false),
        None => (String::new(), false),
    };
    let mut blocks = vec![Block::text(text)];
    for mut part in response.objects("parts")? {
        let missing = part.wrong("only inlineData is taken here.");
        let data = part.either("inlineData", "inline_data").ok_or(missing)?;
        blocks.push(inline(Fields::of(data, part.at("inlineData"))?)?);
    }
    into.result(id, blocks, is_error);
    Ok(None)
}

fn inline(mut data: Fields) -> Result<Block, Refused> {
    let mime_type = match data.either("mimeType", "mime_type") {
        Some(Value::String(mime_type)) if mime_type.starts_with("image/") => mime_type,
        _ => return Err(data.wrong("only images are taken for this model.")),
    };
    // Either alphabet is sent; providers take the plain one.
    let base64 = data.needs_text("data")?.replace('-', "+").replace('_', "/");
    Ok(Block::Image { data: base64, mime_type })
}

/// What a function answered, as text. `output` and `error` are the names that Google asks for,
/// `result` is what its own library writes.
fn result(map: Map<String, Value>) -> (String, bool) {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if map.len() == 1 {
        if let Some(error) = map.get("error") {
            return (text(error), true);
        }
        if let Some(output) = map.get("output").or(map.get("result")) {
            return (text(output), false);
        }
    }
    (Value::Object(map).to_string(), false)
}

fn tools(body: &mut Fields, dropped: &mut BTreeSet<String>) -> Result<Vec<ToolSpec>, Refused> {
    let mut specs = Vec::new();
    for mut tool in body.objects("tools")? {
        let place = tool.at("functionDeclarations");
        let declared = tool.either("functionDeclarations", "function_declarations");
        let declared = match declared {
            Some(Value::Array(list)) => list,
            Some(_) => return Err(Refused::new(format!("{place} has to be a list."))),
            None => Vec::new(),
        };
        for (at, one) in declared.into_iter().enumerate() {
            let mut one = Fields::of(one, format!("{place}[{at}]"))?;
            let plain = one.either("parametersJsonSchema", "parameters_json_schema");
            let parameters = plain
                .or_else(|| one.take("parameters").map(json_schema))
                .unwrap_or_else(no_parameters);
            specs.push(ToolSpec {
                name: one.needs_text("name")?,
                description: one.text("description")?.unwrap_or_default(),
                parameters,
            });
        }
        // Google's own: search, code, maps.
        tool.rest(dropped);
    }
    Ok(specs)
}

fn tool_choice(body: &mut Fields, tools: &mut Vec<ToolSpec>) -> Result<ToolChoice, Refused> {
    let Some(config) = body.either("toolConfig", "tool_config") else {
        return Ok(ToolChoice::Auto);
    };
    let mut config = Fields::of(config, "toolConfig")?;
    let Some(calling) = config.either("functionCallingConfig", "function_calling_config") else {
        return Ok(ToolChoice::Auto);
    };
    let mut calling = Fields::of(calling, "toolConfig.functionCallingConfig")?;
    let mode = calling.text("mode")?.unwrap_or_default();
    let mut allowed = calling.texts("allowedFunctionNames")?;
    allowed.extend(calling.texts("allowed_function_names")?);
    if !allowed.is_empty() {
        tools.retain(|tool| allowed.contains(&tool.name));
    }
    Ok(match (mode.as_str(), allowed.as_slice()) {
        ("NONE", _) => ToolChoice::Never,
        ("ANY", [one]) => ToolChoice::Tool(one.clone()),
        ("ANY", _) => ToolChoice::Required,
        _ => ToolChoice::Auto,
    })
}

fn read_config(mut config: Fields, asked: &mut Asked) -> Result<(), Refused> {
    let number = |config: &mut Fields, camel: &str, snake: &str| match config.number(camel)? {
        Some(number) => Ok(Some(number)),
        None => config.number(snake),
    };
    let count = |config: &mut Fields, camel: &str, snake: &str| match config.count(camel)? {
        Some(count) => Ok(Some(count)),
        None => config.count(snake),
    };
    if count(&mut config, "candidateCount", "candidate_count")?.is_some_and(|n| n > 1) {
        return Err(config.wrong("this model gives one candidate at a time; ask again for more."));
    }
    config
        .refuse("responseLogprobs", "this model's provider does not give them in this format.")?;
    let modalities = config.texts("responseModalities")?;
    if modalities.iter().any(|m| !m.eq_ignore_ascii_case("text")) {
        return Err(config.wrong("an answer is text here."));
    }
    asked.request.max_tokens = count(&mut config, "maxOutputTokens", "max_output_tokens")?;
    let options = &mut asked.request.options;
    options.temperature = config.number("temperature")?;
    options.top_p = number(&mut config, "topP", "top_p")?;
    options.stop = config.texts("stopSequences")?;
    options.stop.extend(config.texts("stop_sequences")?);
    let mime_type = config.either("responseMimeType", "response_mime_type");
    options.output = match mime_type.as_ref().and_then(Value::as_str) {
        None | Some("text/plain") => Output::Text,
        Some("application/json") => Output::Json,
        Some(_) => return Err(config.wrong("responseMimeType has to be text or JSON.")),
    };
    let plain = config.either("responseJsonSchema", "response_json_schema");
    let own = config.either("responseSchema", "response_schema").map(json_schema);
    if let Some(schema) = plain.or(own) {
        options.output = Output::Schema { name: "answer".to_owned(), schema };
    }
    if let Some(thinking) = config.either("thinkingConfig", "thinking_config") {
        let mut thinking = Fields::of(thinking, "generationConfig.thinkingConfig")?;
        asked.request.thinking = read_thinking(&mut thinking)?;
    }
    config.rest(&mut asked.dropped);
    Ok(())
}

fn read_thinking(config: &mut Fields) -> Result<ThinkingLevel, Refused> {
    let budget = match config.number("thinkingBudget")? {
        Some(budget) => Some(budget),
        None => config.number("thinking_budget")?,
    };
    let word = config.either("thinkingLevel", "thinking_level");
    let shown = config.either("includeThoughts", "include_thoughts") == Some(Value::Bool(true));
    match (word.as_ref().and_then(Value::as_str), budget) {
        (Some(word), _) if word != "THINKING_LEVEL_UNSPECIFIED" => {
            level(word, &config.at("thinkingLevel"))
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is not negative"
        )]
        (_, Some(budget)) if budget >= 0.0 => Ok(ThinkingLevel::of_budget(budget as u64)),
        // As much as the model likes.
        (_, Some(_)) => Ok(ThinkingLevel::Medium),
        _ if shown => Ok(ThinkingLevel::Medium),
        _ => Ok(ThinkingLevel::Off),
    }
}

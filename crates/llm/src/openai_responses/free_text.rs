//! Tools that take one text: models from GPT-5 on write it as it is, without the quotes and escapes of JSON,
//! which they were trained to do for patches. Here and everywhere else such a call has an object with
//! that text.

use crate::ask::ModelRequest;
use serde_json::{Map, Value};
use toft_model::tool::ToolSpec;

/// The one parameter of such a tool.
pub(super) const INPUT: &str = "input";

/// Whether a tool is offered so.
pub(super) fn is_offered(request: &ModelRequest, tool: &ToolSpec) -> bool {
    let alone = tool.parameters["properties"].as_object().is_some_and(|all| all.len() == 1);
    let text = tool.parameters["properties"][INPUT]["type"] == "string";
    request.model.id.starts_with("gpt-5") && alone && text
}

/// The text of a call that was made so, or could have been; calls of another model too.
pub(super) fn text<'a>(
    request: &ModelRequest,
    name: &str,
    arguments: &'a Map<String, Value>,
) -> Option<&'a str> {
    let tool = request.tools.iter().find(|tool| tool.name == name)?;
    let text = arguments.get(INPUT).filter(|_| arguments.len() == 1)?.as_str()?;
    is_offered(request, tool).then_some(text)
}

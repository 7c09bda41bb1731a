//! One extension as its `extension.json` declares it. A declaration is used as a whole or not at all: half a guard
//! would look like one. What is not known in it is refused for the same reason.

use super::event::HookEvent;
use crate::prompt::read_part;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};
use toft_model::tool::ToolSpec;
use toft_tools::{Program, mcp::Declaration};

/// What makes a folder an extension.
pub(super) const FILE: &str = "extension.json";

/// Where its programs find its folder; put in into declarations of MCP servers too.
pub(crate) const VARIABLE: &str = "TOFT_EXTENSION";

/// Bytes of the file.
const FILE_BYTES_MAX: usize = 256 * 1024;

/// Characters of a name.
const NAME_CHARS_MAX: usize = 64;

/// Bytes of a description, and of the JSON schema of arguments (as for tools of MCP servers): all prompts carry them.
const DESCRIPTION_BYTES_MAX: usize = 1_024;
const SCHEMA_BYTES_MAX: usize = 16 * 1024;

/// Tools of one extension.
const TOOLS_MAX: usize = 32;

/// How long a hook may take, and may ask for: the work stands still meanwhile.
const HOOK_TIMEOUT: Duration = Duration::from_secs(10);
const HOOK_TIMEOUT_MAX: Duration = Duration::from_mins(1);

/// The same of a tool.
const TOOL_TIMEOUT: Duration = Duration::from_mins(2);
const TOOL_TIMEOUT_MAX: Duration = Duration::from_hours(1);

/// An extension of a project.
#[derive(Debug, Clone)]
pub struct Extension {
    /// As it is called; its folder's name without a name of its own.
    pub name: String,
    /// Where it lies.
    pub folder: PathBuf,
    /// For people.
    pub description: String,
    /// Switched off.
    pub disabled: bool,
    /// Added to the prompt.
    pub system_prompt: Option<String>,
    /// Programs that are asked.
    pub hooks: Vec<Hook>,
    /// Programs that the model calls.
    pub tools: Vec<Program>,
    /// MCP servers, by name.
    pub servers: Map<String, Value>,
    /// Why nothing of it is used, and what to do.
    pub fault: Option<String>,
}

/// A program that is asked when something happens.
#[derive(Debug, Clone)]
pub struct Hook {
    /// When.
    pub event: HookEvent,
    /// Command line for bash; starts in the project's folder.
    pub command: String,
    /// Names of tools, with `*` and `?`, whose calls it is asked about; none: all.
    pub tools: Vec<String>,
    /// How long it may take.
    pub timeout: Duration,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    name: Option<String>,
    #[serde(default)]
    description: String,
    #[serde(default)]
    disabled: bool,
    system_prompt: Option<String>,
    #[serde(default)]
    hooks: BTreeMap<HookEvent, WrittenHook>,
    #[serde(default)]
    tools: Vec<WrittenTool>,
    #[serde(default)]
    mcp_servers: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WrittenHook {
    command: String,
    #[serde(default)]
    tools: Vec<String>,
    timeout_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WrittenTool {
    name: String,
    description: String,
    parameters: Option<Map<String, Value>>,
    command: String,
    timeout_ms: Option<u64>,
}

impl Extension {
    /// What lies in a folder. Blocks.
    pub(super) fn read(folder: &Path) -> Self {
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned());
        let mut extension = Self {
            name: name.unwrap_or_default(),
            folder: folder.to_owned(),
            description: String::new(),
            disabled: false,
            system_prompt: None,
            hooks: Vec::new(),
            tools: Vec::new(),
            servers: Map::new(),
            fault: None,
        };
        let text = read_part(&folder.join(FILE), FILE_BYTES_MAX);
        let taken = match text {
            None => Err(format!("Its {FILE} cannot be read.")),
            Some(text) => extension.take(&text),
        };
        if let Err(why) = taken {
            extension.spoil(why);
        }
        extension
    }

    /// Nothing of it is used.
    pub(super) fn spoil(&mut self, why: String) {
        self.fault = Some(why);
        self.system_prompt = None;
        self.hooks.clear();
        self.tools.clear();
        self.servers.clear();
    }

    fn take(&mut self, text: &str) -> Result<(), String> {
        let written: Written = serde_json::from_str(text)
            .map_err(|error| format!("Its {FILE} is not as it must be: {error}."))?;
        if let Some(name) = written.name {
            self.name = name;
        }
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if !(1..=NAME_CHARS_MAX).contains(&self.name.len()) || !self.name.bytes().all(fits) {
            return Err(format!(
                "Its name must be 1 to {NAME_CHARS_MAX} letters, digits, `-`, `_` and `.`."
            ));
        }
        self.description = written.description;
        self.disabled = written.disabled;
        self.system_prompt = written.system_prompt.filter(|text| !text.trim().is_empty());
        for (event, hook) in written.hooks {
            if !hook.tools.is_empty() && !event.is_of_call() {
                return Err(format!("`tools` of the hook `{}` has no meaning.", event.name()));
            }
            self.hooks.push(Hook {
                command: some_command(hook.command, event.name())?,
                tools: hook.tools,
                timeout: within(hook.timeout_ms, HOOK_TIMEOUT, HOOK_TIMEOUT_MAX, event.name())?,
                event,
            });
        }
        if written.tools.len() > TOOLS_MAX {
            return Err(format!("It has more than {TOOLS_MAX} tools."));
        }
        for tool in written.tools {
            self.tools.push(self.program(tool)?);
        }
        let folder = self.folder.display().to_string();
        self.servers = written.mcp_servers;
        for server in self.servers.values_mut() {
            put_in(server, &folder);
        }
        Ok(())
    }

    fn program(&self, tool: WrittenTool) -> Result<Program, String> {
        let name = tool.name;
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        let fits = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.len() <= NAME_CHARS_MAX
            && name.bytes().all(plain)
            && !name.contains("__")
            && !name.starts_with("mcp_");
        if !fits {
            return Err(format!(
                "`{name}` is no name of a tool: use at most {NAME_CHARS_MAX} of a-z, 0-9 and `_`, a letter first, no \
                 `__`, no `mcp_` before it."
            ));
        }
        if tool.description.trim().is_empty() || tool.description.len() > DESCRIPTION_BYTES_MAX {
            return Err(format!(
                "The tool `{name}` needs a description of at most {DESCRIPTION_BYTES_MAX} bytes."
            ));
        }
        let mut parameters = tool.parameters.unwrap_or_default();
        let kind = parameters.entry("type").or_insert_with(|| json!("object"));
        if kind != "object" {
            return Err(format!("The parameters of `{name}` must be a JSON schema of an object."));
        }
        if !parameters.entry("properties").or_insert_with(|| json!({})).is_object() {
            return Err(format!("`properties` of the parameters of `{name}` must be an object."));
        }
        let parameters = Value::Object(parameters);
        if parameters.to_string().len() > SCHEMA_BYTES_MAX {
            return Err(format!(
                "The parameters of `{name}` are longer than {SCHEMA_BYTES_MAX} bytes."
            ));
        }
        Ok(Program {
            command: some_command(tool.command, &name)?,
            env: self.env(),
            limit: within(tool.timeout_ms, TOOL_TIMEOUT, TOOL_TIMEOUT_MAX, &name)?,
            spec: ToolSpec { name, description: tool.description.trim().to_owned(), parameters },
        })
    }

    /// Whether anything of it counts.
    pub fn is_used(&self) -> bool {
        self.fault.is_none() && !self.disabled
    }

    /// What its programs find in their environment.
    pub(super) fn env(&self) -> Vec<(String, String)> {
        vec![(VARIABLE.to_owned(), self.folder.display().to_string())]
    }

    /// Its MCP servers, declared.
    pub(super) fn declaration(&self) -> Option<Declaration> {
        (!self.servers.is_empty()).then(|| Declaration {
            place: self.folder.join(FILE).display().to_string(),
            text: json!({ "mcpServers": self.servers }).to_string(),
        })
    }
}

fn some_command(command: String, of: &str) -> Result<String, String> {
    if command.trim().is_empty() {
        return Err(format!("`command` of `{of}` is empty."));
    }
    Ok(command)
}

fn within(ms: Option<u64>, usual: Duration, max: Duration, of: &str) -> Result<Duration, String> {
    let wanted = ms.map_or(usual, Duration::from_millis);
    if wanted.is_zero() || wanted > max {
        return Err(format!("`timeoutMs` of `{of}` must be 1 to {}.", max.as_millis()));
    }
    Ok(wanted)
}

/// The folder in the place of the variable's name, in every text. Other names are put in where a server runs.
fn put_in(value: &mut Value, folder: &str) {
    match value {
        Value::String(text) => {
            for name in [format!("${{{VARIABLE}}}"), format!("${VARIABLE}")] {
                *text = text.replace(&name, folder);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| put_in(item, folder)),
        Value::Object(fields) => fields.values_mut().for_each(|field| put_in(field, folder)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

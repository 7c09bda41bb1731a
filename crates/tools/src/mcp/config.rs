//! Which servers are declared: the variable `MCP_SERVERS` of the machine's environment, `.mcp.json` and
//! `.toft/mcp.json` of the project, `{"mcpServers": {name: server}}` or `{name: server}`; those of extensions come
//! after the variable. Of two with one name the later counts. Fields of other programs are passed over.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::{collections::BTreeMap, io::Read as _, path::Path};

/// The variable.
pub(super) const VARIABLE: &str = "MCP_SERVERS";

/// The files.
const FILES: [&str; 2] = [".mcp.json", ".toft/mcp.json"];

/// Bytes of one file.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// Servers of a project: each is a program.
const SERVERS_MAX: usize = 32;

/// Bytes of a server's name: its tools' names have room beside it.
const NAME_BYTES_MAX: usize = 32;

/// A server. `$NAME` and `${NAME}` in it stand for variables of the machine; they are put in where it runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Declared {
    /// Its name, fit for names of tools.
    #[serde(default)]
    pub(super) name: String,
    /// A program that speaks on its standard streams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) command: Option<String>,
    #[serde(default)]
    pub(super) args: Vec<String>,
    #[serde(default)]
    pub(super) env: BTreeMap<String, String>,
    /// Starts at the project's folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) cwd: Option<String>,
    /// Where it is reached over HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) url: Option<String>,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
}

impl Declared {
    /// Where it is reached, without what may hold a secret.
    pub(super) fn shown_url(&self) -> Option<String> {
        let url = self.url.as_deref()?;
        let url = &url[..url.find(['?', '#']).unwrap_or(url.len())];
        let (scheme, rest) = url.split_once("://").unwrap_or_default();
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        Some(match host.rsplit_once('@') {
            Some((_, host)) => format!("{scheme}://{host}/{path}"),
            None => url.to_owned(),
        })
    }
}

/// A server, and where it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) declared: Declared,
    /// [`VARIABLE`], one of [`FILES`], or what else gives servers to a project.
    pub(super) source: String,
    /// It is known, and never started.
    pub(super) disabled: bool,
}

/// What is declared.
#[derive(Debug, Default)]
pub(super) struct Config {
    pub(super) servers: BTreeMap<String, Found>,
    /// What cannot be used, in words.
    pub(super) faults: Vec<String>,
}

/// Servers that are declared elsewhere than in the variable and the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declaration {
    /// Where, for people.
    pub place: String,
    /// As a file has it.
    pub text: String,
}

impl Config {
    /// Blocks.
    pub(super) fn read(variable: Option<&str>, more: &[Declaration], cwd: &Path) -> Self {
        let mut config = Self::default();
        if let Some(text) = variable {
            config.take(VARIABLE, text);
        }
        for Declaration { place, text } in more {
            config.take(place, text);
        }
        for file in FILES {
            let path = cwd.join(file);
            if !path.is_file() {
                continue;
            }
            let mut text = String::new();
            let read = std::fs::File::open(&path)
                .and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text));
            match read {
                Ok(_) => config.take(file, &text),
                Err(error) => config.faults.push(format!("{file} cannot be read: {error}.")),
            }
        }
        config
    }

    /// Adds what a place declares, which counts over what was added before.
    pub(super) fn take(&mut self, place: &str, text: &str) {
        if text.trim().is_empty() {
            return;
        }
        let whole = match serde_json::from_str::<Map<String, Value>>(text) {
            Ok(whole) => whole,
            // No word of the text: it may hold secrets.
            Err(error) => {
                self.faults.push(format!(
                    "{place} is no JSON object, so the MCP servers in it are not used (line {}, column {}).",
                    error.line(),
                    error.column()
                ));
                return;
            }
        };
        let servers = match whole.get("mcpServers") {
            Some(Value::Object(servers)) => servers.clone(),
            Some(_) => Map::new(),
            None => whole,
        };
        for (name, value) in servers {
            match declared(&name, &value) {
                Ok(None) => self.disable(place, name),
                Ok(Some(_))
                    if self.servers.len() >= SERVERS_MAX && !self.servers.contains_key(&name) =>
                {
                    self.faults.push(format!(
                        "{place}: more than {SERVERS_MAX} MCP servers; `{name}` is not used."
                    ));
                }
                Ok(Some(declared)) => {
                    let source = place.to_owned();
                    self.servers.insert(name, Found { declared, source, disabled: false });
                }
                Err(why) => self
                    .faults
                    .push(format!("{place}: the MCP server `{name}` is not used: {why}.")),
            }
        }
    }
}

impl Config {
    /// Switches one off, whoever declared it.
    fn disable(&mut self, place: &str, name: String) {
        if self.servers.len() >= SERVERS_MAX && !self.servers.contains_key(&name) {
            return;
        }
        let source = place.to_owned();
        let found = self.servers.entry(name.clone()).or_insert_with(|| Found {
            declared: Declared { name, ..Declared::default() },
            source: source.clone(),
            disabled: true,
        });
        (found.source, found.disabled) = (source, true);
    }
}

/// `None`: it is switched off.
fn declared(name: &str, value: &Value) -> Result<Option<Declared>, String> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(fits) {
        return Err(format!(
            "a name has at most {NAME_BYTES_MAX} letters, digits, `-`, `_` and `.`"
        ));
    }
    if value["disabled"] == true || value["enabled"] == false {
        return Ok(None);
    }
    let kind = value["type"].as_str().or(value["transport"].as_str()).unwrap_or_default();
    if kind == "sse" {
        return Err("the transport `sse` is an old one that is not spoken here; give the streamable HTTP URL".into());
    }
    // Serde's words would repeat the value.
    let mut declared = Declared::deserialize(value).map_err(|_| {
        "it has `command` (text), `args` (texts), `env` and `cwd`, or `url` and `headers`"
            .to_owned()
    })?;
    name.clone_into(&mut declared.name);
    match (&declared.command, &declared.url) {
        (Some(command), None) if !command.trim().is_empty() => Ok(Some(declared)),
        (None, Some(url))
            if url.starts_with("http://")
                || url.starts_with("https://")
                || url.starts_with('$') =>
        {
            Ok(Some(declared))
        }
        _ => Err("it needs either `command` or an http(s) `url`".into()),
    }
}

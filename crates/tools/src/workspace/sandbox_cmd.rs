//! Tool `sandbox_cmd`: one of a few programs in the project's folder, without a shell. A command that is not allowed
//! is an answer with `ok: false`, not a failure of the call.

use super::{
    Bounds, NO_INSTALLS, SANDBOX_CMD,
    program::{self, Order, denial},
};
use crate::{
    about::{About, Again},
    arguments::{Arguments, Refused, peek},
    host::{Tool, ToolContext},
    outcome::ToolOutcome,
};
use async_trait::async_trait;
use serde_json::{Value, json};
use std::{
    fs,
    path::{Component, Path, PathBuf},
    time::Duration,
};
use toft_model::tool::ToolSpec;
use toft_policy::{
    command::{self, CommandDenied},
    workspace,
};

/// Variables in one call; more are in no command that people write.
const ENVS_MAX: usize = 64;
/// Entries of a folder that is to be removed which are looked at.
const LOOKED_MAX: usize = 200_000;
/// Variables that say which code a program is.
const LOADERS: [&str; 6] = ["PATH", "NODE_OPTIONS", "BUN_OPTIONS", "BASH_ENV", "ENV", "IFS"];

/// See the module.
pub(super) struct SandboxCmd(pub(super) Bounds);

struct Asked {
    cmd: String,
    cwd: String,
    env: Vec<(String, String)>,
    limit: Option<Duration>,
}

#[async_trait]
impl Tool for SandboxCmd {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: SANDBOX_CMD.into(),
            description: "Run bun, bunx, mkdir or rm in the project, without a shell.".into(),
            parameters: json!({
                "type": "object",
                "properties": {
                    "cmd": { "type": "string" },
                    "cwd": { "type": "string" },
                    "envs": { "type": "object" },
                    "timeoutMs": { "type": "number" }
                },
                "required": ["cmd"]
            }),
        }
    }

    fn about(&self, arguments: &Value) -> About {
        About::Command(peek(arguments, &["cmd"]).unwrap_or_default())
    }

    fn again(&self, _: &Value) -> Again {
        Again::Attaches
    }

    async fn run(&self, ctx: &ToolContext, arguments: Value) -> ToolOutcome {
        let asked = match parse(arguments) {
            Ok(asked) => asked,
            Err(refused) => return refused.into(),
        };
        let mut names = asked.env.iter().map(|(name, _)| name.as_str());
        if let Some(name) = names.find(|name| LOADERS.contains(name) || name.starts_with("LD_")) {
            return denial(&asked.cmd, &format!("{name} says which code runs"));
        }
        let judged = command::judge(&asked.cmd, &asked.cwd).map_err(|denied| denied.to_string());
        let placed = judged.and_then(|argv| {
            let (root, place) = place(ctx, &asked.cwd)?;
            let leads = |path: &str| lead(&root, &place, path);
            command::judge_again(&argv, leads).map_err(|denied| denied.to_string())?;
            for path in command::removed(&argv) {
                let real = leads(path).map(|real| root.join(real));
                let held = real.map_or(Ok(()), |real| holds_nothing_guarded(&root, &real, path));
                held.map_err(|denied| denied.to_string())?;
            }
            Ok((argv, place))
        });
        let (argv, place) = match placed {
            Ok(allowed) => allowed,
            Err(denied) => return denial(&asked.cmd, &denied),
        };
        if !self.0.installs && argv.first().is_some_and(|program| program.starts_with("bun")) {
            return denial(&asked.cmd, NO_INSTALLS);
        }
        let order = Order {
            argv,
            shown: asked.cmd.clone(),
            line: asked.cmd.clone(),
            cwd: &place,
            env: asked.env,
            limit: asked.limit,
        };
        let ran = program::run(ctx, self.0, order).await;
        ran.outcome(&ran.result(&asked.cmd))
    }

    async fn settled(&self, ctx: &ToolContext, _: &ToolOutcome) {
        program::let_go(ctx).await;
    }
}

/// The project's folder, and where it starts; no link leads out of the one into the other.
fn place(ctx: &ToolContext, cwd: &str) -> Result<(PathBuf, PathBuf), String> {
    let wrong = |why: &str| format!("{cwd} {why}");
    let inside = workspace::inside(cwd).map_err(|denied| denied.to_string())?;
    let root = ctx.cwd.canonicalize().map_err(|_| wrong("is not there"))?;
    let place = root.join(inside).canonicalize().map_err(|_| wrong("is not there"))?;
    if !place.starts_with(&root) {
        return Err(wrong("leads out of the project's folder"));
    }
    Ok((root, place))
}

/// Where a path leads, from the project's folder. What it ends in is itself meant, should it be a link, unless a `/`
/// comes behind it.
fn lead(root: &Path, place: &Path, path: &str) -> Option<String> {
    let mut at = place.to_owned();
    let follows = path.ends_with('/') || path.ends_with("/.");
    let mut parts = Path::new(path).components().peekable();
    while let Some(part) = parts.next() {
        match part {
            Component::Normal(name) => {
                at.push(name);
                if (follows || parts.peek().is_some())
                    && let Ok(real) = at.canonicalize()
                {
                    at = real;
                }
            }
            Component::ParentDir => drop(at.pop()),
            Component::RootDir | Component::Prefix(_) => at = part.as_os_str().into(),
            Component::CurDir => {}
        }
    }
    Some(at.strip_prefix(root).ok()?.to_string_lossy().into_owned())
}

/// A folder goes with all that is in it: not with git's own, nor with files that hold secrets. What is made anew is
/// not looked into.
fn holds_nothing_guarded(root: &Path, folder: &Path, said: &str) -> Result<(), CommandDenied> {
    let anew = |path: &Path| {
        let names = path.strip_prefix(root).unwrap_or(path).components();
        names.into_iter().any(|part| workspace::is_made_anew(&part.as_os_str().to_string_lossy()))
    };
    let (mut left, mut seen) = (vec![folder.to_owned()], 0);
    while let Some(folder) = left.pop() {
        // A link is removed, and not what it leads to.
        let is_folder = folder.symlink_metadata().is_ok_and(|found| found.is_dir());
        if !is_folder || anew(&folder) {
            continue;
        }
        // What cannot be read is told by `rm`.
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            seen += 1;
            if seen > LOOKED_MAX {
                return Err(CommandDenied::Much(said.to_owned()));
            }
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.eq_ignore_ascii_case(".git") || workspace::is_secret(&name) {
                let path = entry.path();
                let path = path.strip_prefix(root).unwrap_or(&path).display().to_string();
                return Err(CommandDenied::Holds(said.to_owned(), path));
            }
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                left.push(entry.path());
            }
        }
    }
    Ok(())
}

fn parse(arguments: Value) -> Result<Asked, Refused> {
    let mut args = Arguments::new(SANDBOX_CMD, &["cmd", "cwd", "envs", "timeoutMs"], arguments)?;
    let limit = program::limit(&mut args)?;
    let env = match args.take("envs") {
        None => Vec::new(),
        Some(Value::Object(envs)) if envs.len() <= ENVS_MAX => {
            envs.into_iter().map(variable).collect::<Result<_, _>>()?
        }
        Some(_) => {
            return Err(Refused::new(format!(
                "The argument `envs` of {SANDBOX_CMD} must be an object of at most {ENVS_MAX} texts. Nothing was done."
            )));
        }
    };
    let cwd = args.optional_text("cwd")?.filter(|cwd| !cwd.trim().is_empty());
    Ok(Asked {
        cmd: args.text("cmd", "what to run")?,
        cwd: cwd.unwrap_or_else(|| ".".to_owned()),
        env,
        limit,
    })
}

fn variable((name, value): (String, Value)) -> Result<(String, String), Refused> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let is_name = name.chars().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit());
    if name.is_empty() || !is_name {
        return Err(Refused::new(format!(
            "{SANDBOX_CMD} sets no variable {name:?}: names are letters, digits and `_`. Nothing was done."
        )));
    }
    match value {
        Value::String(text) if !text.contains('\0') => Ok((name, text)),
        Value::Number(number) => Ok((name, number.to_string())),
        Value::Bool(flag) => Ok((name, flag.to_string())),
        _ => Err(Refused::new(format!(
            "The variable {name} of {SANDBOX_CMD} must be a text. Nothing was done."
        ))),
    }
}

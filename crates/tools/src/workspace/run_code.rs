//! Tool `run_code`: a piece of code in one of a few languages, by that language's own interpreter in the project's
//! folder. It may do what `bash` may.

use super::{
    Bounds, NO_INSTALLS, RUN_CODE,
    program::{self, Order},
};
use crate::{
    about::{About, Again},
    arguments::{Arguments, Refused, peek},
    host::{Tool, ToolContext},
    outcome::ToolOutcome,
};
use async_trait::async_trait;
use serde_json::{Value, json};
use std::time::Duration;
use toft_model::tool::ToolSpec;

/// Where the call names none.
const LANGUAGE: &str = "python";
/// Languages, and what runs a piece of each that comes behind it.
const INTERPRETERS: [(&str, [&str; 2]); 4] = [
    (LANGUAGE, ["python3", "-c"]),
    ("javascript", ["node", "-e"]),
    ("typescript", ["bun", "-e"]),
    ("bash", ["bash", "-c"]),
];
/// An argument of a program has 128 KiB at most, with a zero at its end.
const CODE_BYTES_MAX: usize = 100 << 10;
/// Characters of the code that lists of programs show.
const SHOWN_CHARS_MAX: usize = 80;

/// See the module.
pub(super) struct RunCode(pub(super) Bounds);

struct Asked {
    code: String,
    program: [&'static str; 2],
    limit: Option<Duration>,
}

impl Asked {
    /// One line, for people.
    fn shown(&self) -> String {
        let begin: String = self.code.trim().chars().take(SHOWN_CHARS_MAX).collect();
        let line = begin.split_whitespace().collect::<Vec<_>>().join(" ");
        format!("{} {line}", self.program.join(" "))
    }
}

#[async_trait]
impl Tool for RunCode {
    fn spec(&self) -> ToolSpec {
        let languages = INTERPRETERS.map(|(name, _)| name);
        ToolSpec {
            name: RUN_CODE.into(),
            description:
                "Run a piece of code in the project's folder; what it prints is the answer.".into(),
            parameters: json!({
                "type": "object",
                "properties": {
                    "code": { "type": "string" },
                    "language": { "type": "string", "enum": languages },
                    "timeoutMs": { "type": "number" }
                },
                "required": ["code"]
            }),
        }
    }

    fn about(&self, arguments: &Value) -> About {
        let code = peek(arguments, &["code"]).unwrap_or_default();
        let language = peek(arguments, &["language"]).unwrap_or_else(|| LANGUAGE.to_owned());
        About::Command(line(interpreter(&language).unwrap_or([LANGUAGE, "-c"]), &code))
    }

    fn can_do_as(&self) -> Option<&'static str> {
        Some("bash")
    }

    fn again(&self, _: &Value) -> Again {
        Again::Attaches
    }

    async fn run(&self, ctx: &ToolContext, arguments: Value) -> ToolOutcome {
        let asked = match parse(arguments) {
            Ok(asked) => asked,
            Err(refused) => return refused.into(),
        };
        let shown = asked.shown();
        if !self.0.installs {
            return program::denial(&shown, NO_INSTALLS);
        }
        let argv = asked.program.iter().copied().chain([&*asked.code]).map(str::to_owned).collect();
        let order = Order {
            argv,
            shown: shown.clone(),
            line: line(asked.program, &asked.code),
            cwd: &ctx.cwd,
            env: Vec::new(),
            limit: asked.limit,
        };
        let ran = program::run(ctx, self.0, order).await;
        ran.outcome(&ran.result(&shown))
    }

    async fn settled(&self, ctx: &ToolContext, _: &ToolOutcome) {
        program::let_go(ctx).await;
    }
}

/// The line of a shell that would do the same.
fn line(program: [&str; 2], code: &str) -> String {
    match program {
        ["bash", _] => code.to_owned(),
        [program, flag] => format!("{program} {flag} '{}'", code.replace('\'', r"'\''")),
    }
}

fn interpreter(language: &str) -> Option<[&'static str; 2]> {
    INTERPRETERS.iter().find(|(name, _)| *name == language.trim()).map(|(_, program)| *program)
}

fn parse(arguments: Value) -> Result<Asked, Refused> {
    let mut args = Arguments::new(RUN_CODE, &["code", "language", "timeoutMs"], arguments)?;
    let limit = program::limit(&mut args)?;
    let language = args.optional_text("language")?.unwrap_or_else(|| LANGUAGE.to_owned());
    let Some(program) = interpreter(&language) else {
        let names = INTERPRETERS.map(|(name, _)| name).join(", ");
        return Err(Refused::new(format!(
            "{RUN_CODE} has no language {language:?}. It has: {names}. Nothing was done."
        )));
    };
    let code = args.text("code", "what to run")?;
    if code.len() > CODE_BYTES_MAX || code.contains('\0') {
        return Err(Refused::new(format!(
            "The argument `code` of {RUN_CODE} is a text of at most {CODE_BYTES_MAX} bytes without zeros: write more \
             to a file first. Nothing was done."
        )));
    }
    Ok(Asked { code, program, limit })
}

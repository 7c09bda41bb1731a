//! The `toft` binary: one of its parts by its first argument, or a verb of the command line.
//! Parse, choose, one function each; exit codes are decided here and nowhere else.

mod amounts;
mod args;
mod bench;
mod client;
mod config;
mod hidden;
mod machines;
mod named;
mod output;
mod parts;
mod refused;
mod verbs;

use anyhow::Result;
use args::{Cli, Verb};
use clap::Parser as _;
use refused::Refused;
use serde_json::json;
use std::process::ExitCode;

/// Of a command line that makes no sense, as clap has it.
const USAGE_EXIT: u8 = 2;

fn main() -> ExitCode {
    // The parts come before anything else: the launcher must run before a thread exists, and none
    // of them reads the command line as people type it.
    let mut argv = std::env::args_os().skip(1);
    if let Some(part) = argv.next().and_then(|a| a.into_string().ok())
        && let Some(code) = parts::run(&part, argv)
    {
        return code;
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misread(&error),
    };
    let (json, is_exec) = (cli.json, matches!(cli.verb, Verb::Exec { .. }));
    let runtime = match &cli.verb {
        Verb::Up(_) | Verb::Bench(_) => {
            tokio::runtime::Builder::new_multi_thread().enable_all().build()
        }
        _ => tokio::runtime::Builder::new_current_thread().enable_all().build(),
    };
    let ran = match runtime {
        Ok(runtime) => {
            let ran = runtime.block_on(run(cli));
            // A read of standard input that never ends must not hold up the exit.
            runtime.shutdown_background();
            ran
        }
        Err(e) => Err(e.into()),
    };
    match ran {
        Ok(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        Err(error) => {
            say(&error, json);
            // Told from the exit codes of the command itself.
            if is_exec { verbs::exec::failed(&error) } else { ExitCode::FAILURE }
        }
    }
}

/// Says what went wrong, on standard error.
fn say(error: &anyhow::Error, json: bool) {
    if json {
        let refused = error.downcast_ref::<Refused>();
        let code = refused.map_or("failed", |r| r.code.as_str());
        let message = refused.map_or_else(|| told(error), |r| r.message.clone());
        output::remark(
            &json!({"ok": false, "error": {"code": code, "message": message}}).to_string(),
        );
    } else {
        output::remark(&format!("toft: {}", told(error)));
    }
}

/// The error with its causes, each once: many of ours tell their cause themselves.
fn told(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// Whether a secret was to be set: what was typed too much may be its value, and is not repeated.
fn sets_a_secret<'a>(typed: impl Iterator<Item = &'a str>) -> bool {
    let mut words = typed.skip_while(|word| *word != "secret");
    words.next().is_some() && words.any(|word| word == "set")
}

const NO_VALUE: &str = "a secret's value is never an argument, where histories and other users' lists of \
                        processes show it: run `toft secret set PROJECT NAME` and type it, or pipe it in. \
                        `toft secret set --help` has the options";

fn misread(error: &clap::Error) -> ExitCode {
    let typed: Vec<String> =
        std::env::args_os().skip(1).map(|a| a.to_string_lossy().into_owned()).collect();
    let asked = typed.iter().take_while(|a| *a != "--").any(|a| a == "--json");
    let hides = error.use_stderr() && sets_a_secret(typed.iter().map(String::as_str));
    if hides && !asked {
        output::remark(&format!("toft: {NO_VALUE}"));
        return ExitCode::from(USAGE_EXIT);
    }
    if asked && error.use_stderr() {
        let text = error.render().to_string();
        let message = if hides { NO_VALUE } else { text.trim().trim_start_matches("error: ") };
        output::remark(
            &json!({"ok": false, "error": {"code": "usage", "message": message}}).to_string(),
        );
        return ExitCode::from(USAGE_EXIT);
    }
    // Where it goes is clap's choice: help is no error.
    let _ = error.print();
    if error.use_stderr() { ExitCode::from(USAGE_EXIT) } else { ExitCode::SUCCESS }
}

async fn run(cli: Cli) -> Result<i32> {
    let (at, json) = (&cli.at, cli.json);
    match &cli.verb {
        Verb::Up(up) => verbs::up::run(at, up, json).await?,
        Verb::Down(down) => verbs::down::run(at, down, json).await?,
        Verb::New { name, image, backend, egress, egress_allow } => {
            let egress = verbs::egress::first(*egress, egress_allow);
            let made = verbs::project::Made { name, image: image.as_deref(), backend: *backend };
            verbs::project::new(at, made, egress, json).await?;
        }
        Verb::Image(verb) => verbs::image::run(at, verb, json).await?,
        Verb::Chat { project, message, session, key, plan, approve } => {
            let order = verbs::chat::Order {
                message: message.as_deref(),
                session: session.as_deref(),
                key: key.as_deref(),
                plan: *plan,
                approve: *approve,
            };
            return verbs::chat::run(at, project, &order, json).await;
        }
        Verb::Exec { project, cwd, timeout, no_stdin, command } => {
            let order = verbs::exec::Order {
                cwd: cwd.as_deref(),
                timeout_s: *timeout,
                no_stdin: *no_stdin,
                command,
            };
            return verbs::exec::run(at, project, &order, json).await;
        }
        Verb::Ps => verbs::project::ps(at, json).await?,
        Verb::Logs { project, follow, after } => {
            verbs::logs::run(at, project, *after, *follow, json).await?;
        }
        Verb::Open { project, port } => verbs::project::open(at, project, *port, json).await?,
        Verb::Start(one) => verbs::project::machine(at, &one.project, "start", json).await?,
        Verb::Stop(one) => verbs::project::machine(at, &one.project, "stop", json).await?,
        Verb::Wake(one) => verbs::project::machine(at, &one.project, "wake", json).await?,
        Verb::Sleep(one) => verbs::project::machine(at, &one.project, "sleep", json).await?,
        Verb::Rm { project, yes } => verbs::project::rm(at, project, *yes, json).await?,
        Verb::Copies(verb) => verbs::copies::run(at, verb, json).await?,
        Verb::Sessions(verb) => verbs::sessions::run(at, verb, json).await?,
        Verb::Receipts(verb) => verbs::receipts::run(at, verb, json).await?,
        Verb::Services(verb) => verbs::services::run(at, verb, json).await?,
        Verb::Schedule(verb) => return verbs::schedule::run(at, verb, json).await,
        Verb::Rest(verb) => verbs::rest::run(at, verb, json).await?,
        Verb::Usage(verb) => verbs::usage::run(at, verb, json).await?,
        Verb::Budget(verb) => verbs::usage::budget(at, verb, json).await?,
        Verb::Fallback(verb) => verbs::fallback::run(at, verb, json).await?,
        Verb::ModelLimits(verb) => verbs::usage::limits(at, verb, json).await?,
        Verb::Secret(verb) => verbs::secret::run(at, verb, json).await?,
        Verb::Mcp(verb) => verbs::mcp::run(at, verb, json).await?,
        Verb::Key(verb) => verbs::key::run(at, verb, json).await?,
        Verb::Run(verb) => return verbs::run::run(at, verb, json).await,
        Verb::Runs(verb) => return verbs::run::runs(at, verb, json).await,
        Verb::Compare(verb) => return verbs::compare::run(at, verb, json).await,
        Verb::Check(verb) => return verbs::check::run(at, verb, json).await,
        Verb::Backup(verb) => verbs::backup::make(at, verb, json).await?,
        Verb::RestoreBackup(verb) => verbs::backup::restore(at, verb, json).await?,
        Verb::Link => verbs::report::link(at, json).await?,
        Verb::Doctor => verbs::report::doctor(at, json).await?,
        Verb::Openapi { typescript } => verbs::openapi::run(typescript.as_deref())?,
        Verb::Bench(bench) => bench::run(bench, json).await?,
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_was_typed_is_known_as_one() {
        for (typed, want) in [
            ("secret set Shop KEY value", true),
            ("--json secret set Shop KEY --x", true),
            ("secret list Shop x", false),
            ("exec Shop set", false),
        ] {
            assert_eq!(sets_a_secret(typed.split(' ')), want, "{typed}");
        }
    }
}

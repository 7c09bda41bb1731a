//! The `toft` binary: one of five parts by its first argument, or a verb of the command line.
//! Parse, choose, one function each; exit codes are decided here and nowhere else.

mod args;
mod bench;
mod client;
mod config;
mod output;
mod parts;
mod verbs;

use anyhow::Result;
use args::{Cli, Verb};
use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    // The parts come before anything else: the launcher must run before a thread exists, and none
    // of them reads the command line as people type it.
    let mut argv = std::env::args_os().skip(1);
    if let Some(part) = argv.next().and_then(|a| a.into_string().ok())
        && let Some(code) = parts::run(&part, argv)
    {
        return code;
    }
    let cli = Cli::parse();
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
            output::remark(&format!("toft: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> Result<i32> {
    let (at, json) = (&cli.at, cli.json);
    match &cli.verb {
        Verb::Up(up) => verbs::up::run(at, up, json).await?,
        Verb::Down(down) => verbs::down::run(at, down, json).await?,
        Verb::New { name } => verbs::project::new(at, name, json).await?,
        Verb::Chat { project, message, session } => {
            verbs::chat::run(at, project, message.as_deref(), session.as_deref(), json).await?;
        }
        Verb::Exec { project, cwd, timeout, command } => {
            return verbs::exec::run(at, project, cwd.as_deref(), *timeout, command, json).await;
        }
        Verb::Ps => verbs::project::ps(at, json).await?,
        Verb::Logs { project, follow, after } => {
            verbs::logs::run(at, project, *after, *follow, json).await?;
        }
        Verb::Open { project, port } => verbs::project::open(at, project, *port, json).await?,
        Verb::Start(one) => verbs::project::machine(at, &one.project, "start", json).await?,
        Verb::Stop(one) => verbs::project::machine(at, &one.project, "stop", json).await?,
        Verb::Wake(one) => verbs::project::machine(at, &one.project, "wake", json).await?,
        Verb::Rm { project, yes } => verbs::project::rm(at, project, *yes, json).await?,
        Verb::Link => verbs::report::link(at, json).await?,
        Verb::Doctor => verbs::report::doctor(at, json).await?,
        Verb::Bench(bench) => bench::run(bench, json).await?,
    }
    Ok(0)
}

//! `toft down`: ends the server through its own API, and machines with it. Machines and gateway that
//! outlived their server are ended too.

use crate::{args, client::Client, config, output};
use anyhow::{Result, bail};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use toft_model::machine::BACKENDS_DIR;

/// How long the server may take to end its machines.
const DOWN_TIMEOUT: Duration = Duration::from_secs(70);

pub(crate) async fn run(at: &args::At, down: &args::Down, as_json: bool) -> Result<()> {
    // Somebody else's server needs no data folder here.
    let run = if at.url.is_none() { Some(config::data_dir(at)?.join("run")) } else { None };
    let server = run.as_deref().and_then(|run| server_pid(&run.join("server.json")));
    if let Some(run) = &run
        && !server.is_some_and(runs)
    {
        let ends = !down.keep_machines && has_leftovers(run);
        if ends {
            super::up::end_leftovers(at).await?;
        }
        if as_json {
            output::json(&json!({"stopped": ends}));
        } else if ends {
            output::line("No server ran; what it had left running has stopped.");
        } else {
            output::line("No server runs on this data folder.");
        }
        return Ok(());
    }
    let client = Client::find(at)?;
    client.post("/v1/shutdown", &json!({"stopMachines": !down.keep_machines})).await?;
    let until = Instant::now() + DOWN_TIMEOUT;
    // The process, not the port: it ends its machines after it has stopped to listen.
    let lives = || server.is_some_and(runs);
    while lives() || client.get("/v1/health").await.is_ok() {
        if Instant::now() > until {
            bail!("the server still runs after {} s", DOWN_TIMEOUT.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    if as_json {
        output::json(&json!({"stopped": true}));
    } else if down.keep_machines {
        output::line("The server has stopped; its machines go on.");
    } else {
        output::line("The server and its machines have stopped.");
    }
    Ok(())
}

fn server_pid(file: &Path) -> Option<u64> {
    let text = fs::read(file).ok()?;
    serde_json::from_slice::<serde_json::Value>(&text).ok()?["pid"].as_u64()
}

/// Whether a server left something that runs: a gateway has its socket, a machine its state file.
fn has_leftovers(run: &Path) -> bool {
    let listed = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten();
    let others = run.parent().map(|data| data.join(BACKENDS_DIR));
    let others = others.into_iter().flat_map(listed).map(|one| one.path().join("run/m"));
    let machines = [run.join("m")].into_iter().chain(others).flat_map(listed);
    run.join("gateway.sock").exists()
        || machines.map(|m| m.path()).any(|m| m.join("state.json").exists() || has_sandbox(&m))
}

/// Whether a machine's sandbox was left with something that runs in it.
fn has_sandbox(machine: &Path) -> bool {
    let record = fs::read(machine.join("e2b.json")).unwrap_or_default();
    let record: Value = serde_json::from_slice(&record).unwrap_or_default();
    record["left"]["running"].is_object()
}

/// Whether a process runs; one that has ended and waits for its parent does not.
fn runs(pid: u64) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| Some(!stat[stat.rfind(')')?..].starts_with(") Z")))
        .unwrap_or(false)
}

//! `toft down`: ends the server through its own API, and machines with it.

use crate::{args, client::Client, config, output};
use anyhow::{Result, bail};
use serde_json::json;
use std::time::{Duration, Instant};

/// How long the server may take to end its machines.
const DOWN_TIMEOUT: Duration = Duration::from_secs(70);

pub(crate) async fn run(at: &args::At, down: &args::Down, as_json: bool) -> Result<()> {
    let file = config::data_dir(at)?.join("run/server.json");
    if at.url.is_none() && !file.exists() {
        if as_json {
            output::json(&json!({"stopped": false}));
        } else {
            output::line("No server runs on this data folder.");
        }
        return Ok(());
    }
    let server = std::fs::read(&file)
        .ok()
        .and_then(|text| serde_json::from_slice::<serde_json::Value>(&text).ok()?["pid"].as_u64());
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

/// Whether a process runs; one that has ended and waits for its parent does not.
fn runs(pid: u64) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| Some(!stat[stat.rfind(')')?..].starts_with(") Z")))
        .unwrap_or(false)
}

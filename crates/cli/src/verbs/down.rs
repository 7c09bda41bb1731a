//! `toft down`: ends the server through its own API, and machines with it.

use crate::{args, client::Client, config, output};
use anyhow::{Result, bail};
use serde_json::json;
use std::time::{Duration, Instant};

/// How long the server may take to end its machines.
const DOWN_TIMEOUT: Duration = Duration::from_secs(30);

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
    let client = Client::find(at)?;
    client.post("/v1/shutdown", &json!({"stopMachines": !down.keep_machines})).await?;
    let until = Instant::now() + DOWN_TIMEOUT;
    while client.get("/v1/health").await.is_ok() {
        if Instant::now() > until {
            bail!("the server still answers after {} s", DOWN_TIMEOUT.as_secs());
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

//! A collector of traces that others wrote the reading of: `peers/collector/collector.py`, a process of its
//! own.

use crate::{peers, ports, toft::STEP_TIMEOUT};
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// A running one.
pub struct Collector {
    port: u16,
    child: Option<Child>,
    http: reqwest::Client,
}

impl Collector {
    /// One that will listen at a port that is free now. `None`: its packages are not installed.
    pub fn later() -> Result<Option<Self>> {
        if peers::python("collector").is_none() {
            return Ok(None);
        }
        let port = ports::free();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(Some(Self { port, child: None, http }))
    }

    /// Where it listens, or will.
    pub fn base(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Starts it.
    pub async fn start(&mut self) -> Result<()> {
        let python = peers::python("collector").context("its packages were there")?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/collector/collector.py");
        let mut command = Command::new(python);
        command.arg(script).arg(self.port.to_string()).stdin(Stdio::null());
        self.child = Some(command.spawn()?);
        let until = Instant::now() + STEP_TIMEOUT;
        while self.seen().await.is_err() {
            ensure!(Instant::now() < until, "the collector does not listen");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// All requests so far.
    pub async fn seen(&self) -> Result<Vec<Value>> {
        Ok(self.http.get(self.base()).send().await?.json().await?)
    }

    /// How the next requests are answered.
    pub async fn fates(&self, fates: &Value) -> Result<()> {
        self.http.put(self.base()).json(fates).send().await?.error_for_status()?;
        Ok(())
    }

    /// Waits until the requests are as wanted.
    pub async fn until(&self, mut wanted: impl FnMut(&[Value]) -> bool) -> Result<Vec<Value>> {
        let until = Instant::now() + STEP_TIMEOUT;
        loop {
            let seen = self.seen().await?;
            let fault = seen.iter().find(|request| request["fault"].is_string());
            ensure!(fault.is_none(), "it could not read a request: {fault:?}");
            if wanted(&seen) {
                return Ok(seen);
            }
            ensure!(Instant::now() < until, "it stays {seen:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

//! `toft check`: a server is used as a client of its runs API would use it, and says at which step it fails.

use crate::{
    args::{
        At,
        run::{Check, Depth},
    },
    client::Client,
    config, output,
};
use anyhow::{Context as _, Result, bail, ensure};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use toft_model::id::random_hex;

/// Steps of a request that is no stream.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);
/// Bytes of a key that names a request.
const KEY_BYTES: usize = 16;
/// What a ZIP archive begins with: a file, or the index of an empty one.
const ZIP_MARKS: [&[u8]; 2] = [b"PK\x03\x04", b"PK\x05\x06"];

/// What is asked for, where the environment says nothing.
pub(crate) struct Asked {
    pub(crate) key: Option<String>,
    pub(crate) project: String,
    pub(crate) project_name: String,
    pub(crate) prompt: String,
    pub(crate) follow_up: String,
    pub(crate) provider: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) run_timeout: Duration,
    pub(crate) poll: Duration,
}

struct Server {
    http: reqwest::Client,
    base: String,
    key: String,
    asked: Asked,
    as_json: bool,
    began: Instant,
}

/// `toft check smoke|deep`.
pub(crate) async fn run(at: &At, verb: &Check, as_json: bool) -> Result<i32> {
    let asked = config::check()?;
    // A variable that is set to nothing says nothing.
    let (base, key) = match verb.base.as_deref().map(str::trim).filter(|base| !base.is_empty()) {
        Some(base) => {
            let key = asked.key.clone();
            let key = key.context("set AGENT_API_KEY to a key of the server that --base names")?;
            let is_address = reqwest::Url::parse(base)
                .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
            ensure!(is_address, "--base is the address of a server, as in http://localhost:4000");
            (base.trim_end_matches('/').to_owned(), key)
        }
        None => Client::find(at)?.place(),
    };
    // An error: another one is there already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder().build().context("building the client")?;
    let server = Server { http, base, key, asked, as_json, began: Instant::now() };
    match server.check(verb.depth).await {
        Ok(()) => {
            server.told("all", &json!({ "ok": true }));
            Ok(0)
        }
        Err(error) => Err(error),
    }
}

impl Server {
    fn told(&self, step: &str, with: &Value) {
        let ms = self.began.elapsed().as_millis();
        if self.as_json {
            output::line(&json!({ "step": step, "ok": true, "ms": ms, "data": with }).to_string());
        } else {
            output::line(&format!("ok  {ms:>7} ms  {step}"));
        }
    }

    async fn check(&self, depth: Depth) -> Result<()> {
        let health = self.get("/v1/health").await.context("step health")?;
        ensure!(health["data"]["status"] == "ok", "step health: it says {health}");
        self.told("health", &health["data"]);
        let can = self.get("/v1/capabilities").await.context("step capabilities")?;
        ensure!(can["data"]["actions"].is_array(), "step capabilities: it says {can}");
        self.told("capabilities", &Value::Null);
        let body = json!({ "id": self.asked.project, "name": self.asked.project_name });
        let project = self.post("/v1/projects", None, &body).await.context("step project")?;
        let project = project["id"].as_str().context("step project: it has no id")?.to_owned();
        self.told("project", &json!({ "id": project }));
        let runs = format!("/v1/projects/{project}/runs");
        let first = self.post(&runs, Some(&key()), &self.order("prompt", &self.asked.prompt)).await;
        let first = first.context("step run")?;
        let at = self.completed("run", &runs, &first["id"]).await?;
        if depth == Depth::Smoke {
            return Ok(());
        }
        self.streamed(&at).await?;
        let zip = self.send(self.request(Method::GET, &format!("{at}/download.zip"))).await;
        let zip = zip.context("step download")?;
        ensure!(zip.status() == StatusCode::OK, "step download: it answers {}", zip.status());
        let zip = zip.bytes().await.context("step download")?;
        ensure!(
            ZIP_MARKS.iter().any(|mark| zip.starts_with(mark)),
            "step download: it is no ZIP archive"
        );
        self.told("download", &json!({ "bytes": zip.len() }));
        let body = self.order("content", &self.asked.follow_up);
        let second =
            self.post(&format!("/v1/projects/{project}/messages"), Some(&key()), &body).await;
        let second = second.context("step message")?;
        ensure!(
            second["run"]["writable"] == true,
            "step message: its run is not writable: {second}"
        );
        let before = self.get(&at).await.context("step message")?;
        ensure!(
            before["data"]["writable"] == false,
            "step message: the run before is writable still"
        );
        let at = self.completed("message", &runs, &second["run"]["id"]).await?;
        let said = self.get(&format!("{at}/messages")).await.context("step messages")?;
        let count = said["data"].as_array().map_or(0, Vec::len);
        ensure!(count > 0, "step messages: there are none");
        self.told("messages", &json!({ "count": count }));
        Ok(())
    }

    fn order(&self, name: &str, text: &str) -> Value {
        let mut order = json!({ "stream": false });
        order[name] = text.into();
        for (name, value) in [("provider", &self.asked.provider), ("model", &self.asked.model)] {
            if let Some(value) = value {
                order[name] = value.clone().into();
            }
        }
        order
    }

    /// Waits for its end, which must be a good one. The path of the run.
    async fn completed(&self, step: &str, runs: &str, id: &Value) -> Result<String> {
        let id = id.as_str().with_context(|| format!("step {step}: the run has no id"))?;
        let path = format!("{runs}/{id}");
        let until = Instant::now() + self.asked.run_timeout;
        loop {
            let run = self.get(&path).await.with_context(|| format!("step {step}"))?;
            let run = &run["data"];
            match run["status"].as_str().unwrap_or_default() {
                "completed" => {
                    self.told(step, &json!({ "id": id }));
                    return Ok(path);
                }
                status @ ("error" | "cancelled") => {
                    bail!("step {step}: run {id} is {status}: {}", output::text(&run["error"]))
                }
                status if Instant::now() > until => {
                    bail!(
                        "step {step}: run {id} is {status} after {} s",
                        self.asked.run_timeout.as_secs()
                    )
                }
                _ => tokio::time::sleep(self.asked.poll).await,
            }
        }
    }

    /// The stream of a run that is over has all events, and from the middle the rest of them.
    async fn streamed(&self, at: &str) -> Result<()> {
        let all = self.events(at, None).await.context("step stream")?;
        ensure!(!all.is_empty(), "step stream: it has no events");
        self.told("stream", &json!({ "events": all.len() }));
        let middle = all.len() / 2;
        let rest = self.events(at, Some(&all[middle])).await.context("step replay")?;
        ensure!(rest == all[middle + 1..], "step replay: behind {} come {rest:?}", all[middle]);
        self.told("replay", &json!({ "events": rest.len() }));
        Ok(())
    }

    /// The ids of its events.
    async fn events(&self, at: &str, after: Option<&str>) -> Result<Vec<String>> {
        let mut request = self.request(Method::GET, &format!("{at}/stream"));
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        let answer = self.send(request).await?;
        ensure!(answer.status() == StatusCode::OK, "it answers {}", answer.status());
        let text = answer.text().await?;
        let blocks = text.split("\n\n").filter(|block| !block.contains("event: ping"));
        let ids =
            blocks.filter_map(|block| block.lines().find_map(|line| line.strip_prefix("id: ")));
        Ok(ids.map(str::to_owned).collect())
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        request.header("x-agent-api-key", &self.key).timeout(ANSWER_TIMEOUT)
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response> {
        request.send().await.map_err(reqwest::Error::without_url).context("it does not answer")
    }

    async fn get(&self, path: &str) -> Result<Value> {
        let answer = self.send(self.request(Method::GET, path)).await?;
        let status = answer.status();
        let value: Value = answer.json().await.context("its answer is no JSON")?;
        ensure!(status.is_success(), "it answers {status}: {value}");
        Ok(value)
    }

    async fn post(&self, path: &str, key: Option<&str>, body: &Value) -> Result<Value> {
        let mut request = self.request(Method::POST, path).json(body);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let answer = self.send(request).await?;
        let status = answer.status();
        let mut value: Value = answer.json().await.context("its answer is no JSON")?;
        ensure!(status.is_success() && value["ok"] == true, "it answers {status}: {value}");
        Ok(value["data"].take())
    }
}

fn key() -> String {
    format!("check-{}", random_hex(KEY_BYTES))
}

//! The HTTP API as a stranger pokes it: every refusal is in the envelope, with a stable code, and
//! running programs are fed and signalled by plain requests.

use anyhow::{Context as _, Result, ensure};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use toft_stories::toft::{Start, Toft};

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_is_in_the_envelope() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Poked").await?;
    let exec = format!("/v1/projects/{project}/exec");
    let file = format!("/v1/projects/{project}/toft/files/content");
    for (method, path, body, status, code) in [
        ("GET", "/v1/projects?limit=5&limit=6", None, 400, "invalid_argument"),
        ("GET", "/v1/projects?limit=abc", None, 400, "invalid_argument"),
        ("GET", "/v1/projects/%ff", None, 400, "invalid_argument"),
        ("GET", "/v1/projects/%00", None, 404, "not_found"),
        ("GET", "/v1//projects", None, 404, "not_found"),
        ("PUT", "/v1/projects", None, 405, "method_not_allowed"),
        ("GET", exec.as_str(), None, 405, "method_not_allowed"),
        ("OPTIONS", "/v1/me", None, 405, "method_not_allowed"),
        ("POST", file.as_str(), None, 405, "method_not_allowed"),
        ("PUT", "/v1/settings", Some("[]"), 400, "invalid_argument"),
        ("PUT", "/v1/settings", Some("{\"bogus\":"), 400, "invalid_json"),
        ("POST", "/v1/projects", Some("[[[["), 400, "invalid_json"),
        ("POST", "/v1/projects", Some("null"), 400, "invalid_argument"),
        ("POST", "/v1/projects", Some("{\"name\":\"a\",\"name\":\"b\"}"), 400, "invalid_argument"),
        ("POST", "/v1/projects", Some("{\"name\":\"a\\u0000\"}"), 400, "invalid_argument"),
        ("POST", exec.as_str(), Some("{\"argv\":[\"none-such\"]}"), 400, "not_executable"),
        ("POST", exec.as_str(), Some("{\"argv\":[\"/etc/passwd\"]}"), 400, "not_executable"),
    ] {
        let url = format!("{}{path}", toft.base);
        let mut request = toft.http().request(method.parse()?, url).bearer_auth(&toft.token);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let answer = request.send().await?;
        let got = answer.status().as_u16();
        if status == 405 {
            ensure!(answer.headers().contains_key("allow"), "{method} {path} names no method");
        }
        let said: Value =
            answer.json().await.with_context(|| format!("{method} {path} is not in JSON"))?;
        // The bridge speaks Pi's shape.
        let found = said["error"]["code"].as_str().or(said["code"].as_str());
        assert_eq!((got, found), (status, Some(code)), "{method} {path} {body:?}: {said}");
        let message = said["error"]["message"].as_str().or(said["error"].as_str());
        let message = message.unwrap_or_default();
        ensure!(!message.is_empty() && !message.contains("struct "), "{method} {path}: {message}");
    }
    toft.down()
}

/// Events of an exec's stream.
struct Running {
    body: futures_util::stream::BoxStream<'static, reqwest::Result<bytes::Bytes>>,
    text: String,
}

impl Running {
    async fn start(toft: &Toft, project: &str, body: Value) -> Result<Self> {
        let url = format!("{}/v1/projects/{project}/exec", toft.base);
        let request = toft.http().post(url).bearer_auth(&toft.token).json(&body);
        let answer = request.header("accept", "text/event-stream").send().await?;
        ensure!(answer.status().is_success(), "{}", answer.text().await?);
        Ok(Self { body: answer.bytes_stream().boxed(), text: String::new() })
    }

    async fn next(&mut self) -> Result<(String, Value)> {
        loop {
            if let Some((frame, rest)) = self.text.split_once("\n\n") {
                let (name, data) = frame
                    .split_once('\n')
                    .and_then(|(n, d)| {
                        Some((n.strip_prefix("event: ")?, d.strip_prefix("data: ")?))
                    })
                    .with_context(|| format!("{frame:?} is no event"))?;
                let event = (name.to_owned(), serde_json::from_str(data)?);
                // `frame` and `rest` lie in it.
                let rest = rest.to_owned();
                self.text = rest;
                return Ok(event);
            }
            let piece = self.body.next().await.context("the stream ended")??;
            self.text.push_str(std::str::from_utf8(&piece)?);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_program_is_fed_and_signalled() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Fed").await?;
    let order = json!({"argv": ["cat"], "stdinOpen": true, "encoding": "base64"});
    let mut cat = Running::start(&toft, &project, order).await?;
    let (name, start) = cat.next().await?;
    assert_eq!(name, "start");
    let of = format!("/v1/projects/{project}/exec/{}", start["id"].as_str().context("an id")?);
    let feed = async |bytes: &'static [u8], end: bool| -> Result<Value> {
        let url = format!("{}{of}/stdin?end={end}", toft.base);
        let answer = toft.http().post(url).bearer_auth(&toft.token).body(bytes).send().await?;
        Ok(answer.json().await?)
    };
    assert_eq!(feed(&[0xff, 0x00], false).await?["data"], json!({"bytes": 2}));
    assert_eq!(cat.next().await?, ("stdout".into(), json!({"base64": "/wA="})));
    feed(b"b", true).await?;
    assert_eq!(cat.next().await?, ("stdout".into(), json!({"base64": "Yg=="})));
    assert_eq!(cat.next().await?.1["exitCode"], 0);
    let gone = feed(b"late", false).await?;
    assert_eq!(gone["error"]["code"], "not_found");

    let mut sleeper = Running::start(&toft, &project, json!({"argv": ["sleep", "4113"]})).await?;
    let id = sleeper.next().await?.1["id"].as_str().context("an id")?.to_owned();
    let signal = format!("/v1/projects/{project}/exec/{id}/signal");
    let (status, _) = toft.request("POST", &signal, Some(json!({"signal": "WINCH"}))).await?;
    assert_eq!(status, 400);
    toft.call("POST", &signal, Some(json!({"signal": "INT"}))).await?;
    assert_eq!(sleeper.next().await?.1["signal"], 2);
    // Another project's key to the same name opens nothing.
    let other = toft.new_project("Other").await?;
    let mut mine = Running::start(&toft, &project, json!({"argv": ["sleep", "4114"]})).await?;
    let id = mine.next().await?.1["id"].as_str().context("an id")?.to_owned();
    let path = format!("/v1/projects/{other}/exec/{id}/signal");
    let (status, _) = toft.request("POST", &path, Some(json!({"signal": "KILL"}))).await?;
    assert_eq!(status, 404);
    drop(mine);
    toft.down()
}

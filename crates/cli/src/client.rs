//! A client of the HTTP API for the verbs: finds the server, sends, unwraps the envelope. Not a
//! library for others.

use crate::{
    args::At,
    config, named,
    refused::{Refused, UNREACHABLE},
};
use anyhow::{Context, Result, anyhow, bail};
use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper_util::{
    client::legacy::{Client as Http, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::HashSet;
use toft_model::id::ProjectId;

/// `<data>/run/server.json`: written by the server, readable by its owner only.
#[derive(Debug, Deserialize)]
struct ServerFile {
    addr: String,
    token: String,
}

/// Projects asked for at once: the server's limit.
const PAGE_PROJECTS: usize = 1000;

/// Body of a request.
type Body = BoxBody<Bytes, std::io::Error>;

/// A server and the right to speak to it.
#[derive(Clone)]
pub(crate) struct Client {
    base: String,
    token: String,
    http: Http<HttpConnector, Body>,
}

impl Client {
    /// The server that the flags or the data folder name.
    pub(crate) fn find(at: &At) -> Result<Self> {
        if let Some(url) = &at.url {
            let http = Http::builder(TokioExecutor::new()).build_http();
            let base = url.trim_end_matches('/').to_owned();
            if !base.starts_with("http://") {
                bail!("--url must begin with http:// (put TLS in front with a tunnel or proxy)");
            }
            let token = config::client_api_key()
                .context("set TOFT_API_KEY to a key of the server that --url names")?;
            return Ok(Self { base, token, http });
        }
        Self::local(&config::data_dir(at)?)
    }

    /// The server that runs on this data folder.
    pub(crate) fn local(data: &std::path::Path) -> Result<Self> {
        let http = Http::builder(TokioExecutor::new()).build_http();
        let path = data.join("run/server.json");
        let text = std::fs::read_to_string(&path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => anyhow!(Refused {
                code: UNREACHABLE.to_owned(),
                message: "no server runs on this data folder: start one with `toft up`, or name \
                          another with --data or --url"
                    .to_owned(),
            }),
            _ => anyhow!("cannot read {}: {e}", path.display()),
        })?;
        let file: ServerFile =
            serde_json::from_str(&text).with_context(|| format!("reading {}", path.display()))?;
        Ok(Self { base: format!("http://{}", file.addr), token: file.token, http })
    }

    /// Its address, and what opens it.
    pub(crate) fn place(&self) -> (String, String) {
        (self.base.clone(), self.token.clone())
    }

    /// `data` of an enveloped answer.
    pub(crate) async fn get(&self, path: &str) -> Result<Value> {
        self.call(Method::GET, path, None).await
    }

    /// `data` of an enveloped answer.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// What stands at a path, after a change of it where there is something to change.
    pub(crate) async fn changed(&self, path: &str, change: Map<String, Value>) -> Result<Value> {
        if change.is_empty() {
            return self.get(path).await;
        }
        self.call(Method::PUT, path, Some(&Value::Object(change))).await
    }

    /// The path of something that a project has, named by id, alias or name; or all together.
    pub(crate) async fn path_of(&self, project: Option<&str>, what: &str) -> Result<String> {
        Ok(match project {
            Some(project) => format!("/v1/projects/{}/{what}", self.project(project).await?),
            None => format!("/v1/{what}"),
        })
    }

    /// `data` of an enveloped answer, or of a bridge's reply.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value> {
        taken_in(self.send(method, path, body, "application/json").await?).await
    }

    /// `data` of the answer to a message. Sent again under its key it is not said again. Whether it was
    /// taken is known where this answers, and where the server says no but for [`OUTCOME_UNKNOWN`].
    pub(crate) async fn say(&self, path: &str, message: &Value, key: &str) -> Result<Value> {
        let body = Full::new(Bytes::from(message.to_string())).map_err(|never| match never {});
        let mut request = self.request(Method::POST, path, body.boxed(), "application/json")?;
        let key = HeaderValue::from_str(key).context("the message's key")?;
        request.headers_mut().insert("idempotency-key", key);
        taken_in(self.sent(request).await?).await
    }

    /// An answer whose body is a stream of server-sent events.
    pub(crate) async fn stream(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Events> {
        let answer = self.send(method, path, body, "text/event-stream").await?;
        let status = answer.status();
        if !status.is_success() {
            let bytes = answer.into_body().collect().await?.to_bytes();
            let value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
            unwrap_answer(status, value)?;
            bail!("the server answered {status}");
        }
        Ok(Events { body: answer.into_body(), buf: Vec::new() })
    }

    /// Passes the bytes of an answer on as they come.
    pub(crate) async fn pour(
        &self,
        path: &str,
        take: impl FnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<()> {
        poured(self.send(Method::GET, path, None, "*/*").await?, take).await.map(drop)
    }

    /// The same of what a request makes.
    pub(crate) async fn post_to(
        &self,
        path: &str,
        body: &Value,
        take: impl FnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<HeaderMap> {
        poured(self.send(Method::POST, path, Some(body), "*/*").await?, take).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        accept: &str,
    ) -> Result<Response<Incoming>> {
        let bytes = body.map_or_else(Bytes::new, |b| Bytes::from(b.to_string()));
        let body = Full::new(bytes).map_err(|never| match never {}).boxed();
        self.send_body(method, path, body, accept).await
    }

    /// Sends bytes as they come.
    pub(crate) async fn feed<S>(&self, path: &str, bytes: S) -> Result<()>
    where
        S: Stream<Item = std::io::Result<Bytes>> + Send + Sync + 'static,
    {
        let frames = futures_util::StreamExt::map(bytes, |b| b.map(Frame::data));
        let body = BodyExt::boxed(StreamBody::new(frames));
        let answer = self.send_body(Method::POST, path, body, "application/json").await?;
        let status = answer.status();
        let bytes = answer.into_body().collect().await?.to_bytes();
        unwrap_answer(status, serde_json::from_slice(&bytes).unwrap_or(Value::Null)).map(drop)
    }

    async fn send_body(
        &self,
        method: Method,
        path: &str,
        body: Body,
        accept: &str,
    ) -> Result<Response<Incoming>> {
        self.sent(self.request(method, path, body, accept)?).await
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Body,
        accept: &str,
    ) -> Result<Request<Body>> {
        Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, accept)
            .body(body)
            .context("building the request")
    }

    async fn sent(&self, request: Request<Body>) -> Result<Response<Incoming>> {
        self.http.request(request).await.map_err(|e| {
            if e.is_connect() {
                anyhow!(Refused {
                    code: UNREACHABLE.to_owned(),
                    message: format!(
                        "nothing answers at {}: start the server with `toft up`",
                        self.base
                    ),
                })
            } else {
                anyhow!("the connection to {} broke: {e}", self.base)
            }
        })
    }

    /// All projects, however many pages they are.
    pub(crate) async fn projects(&self) -> Result<Vec<Value>> {
        let mut all: Vec<Value> = Vec::new();
        let mut seen = HashSet::new();
        let mut offset = 0;
        loop {
            let path = format!("/v1/projects?limit={PAGE_PROJECTS}&offset={offset}");
            let Value::Array(page) = self.get(&path).await? else {
                bail!("the project list is no list");
            };
            // A short page is not always the last: what is just being deleted is left out of it.
            if page.is_empty() {
                return Ok(all);
            }
            // One that changes meanwhile moves to the front and pushes another onto the next page.
            all.extend(page.into_iter().filter(|project| seen.insert(project["id"].to_string())));
            offset += PAGE_PROJECTS;
        }
    }

    /// The id of a project that was given by id, alias or name.
    pub(crate) async fn project(&self, given: &str) -> Result<String> {
        match named::pick(&self.projects().await?, given, &named::PROJECT) {
            // A candidate of a comparison is in no list.
            Err(unlisted) if given.parse::<ProjectId>().is_ok() => {
                let found = self.get(&format!("/v1/projects/{given}")).await;
                found.map(|_| given.to_owned()).map_err(|_| unlisted)
            }
            found => found,
        }
    }

    /// The id of a checkpoint of a project, given by id or label.
    pub(crate) async fn checkpoint(&self, project: &str, given: &str) -> Result<String> {
        let all = self.get(&format!("/v1/projects/{project}/checkpoints")).await?;
        let all = all["checkpoints"].as_array().map_or(&[][..], Vec::as_slice);
        named::pick(all, given, &named::CHECKPOINT)
    }
}

async fn poured(
    answer: Response<Incoming>,
    mut take: impl FnMut(&[u8]) -> std::io::Result<()>,
) -> Result<HeaderMap> {
    let status = answer.status();
    if !status.is_success() {
        taken_in(answer).await?;
        bail!("the server answered {status}");
    }
    let (parts, mut body) = answer.into_parts();
    while let Some(frame) = body.frame().await {
        if let Some(piece) = frame.context("the answer broke off")?.data_ref() {
            take(piece)?;
        }
    }
    Ok(parts.headers)
}

/// `data` of an answer.
async fn taken_in(answer: Response<Incoming>) -> Result<Value> {
    let status = answer.status();
    let bytes = answer.into_body().collect().await.context("reading the answer")?.to_bytes();
    let value: Value = serde_json::from_slice(&bytes)
        .with_context(|| format!("the server answered {status} with no JSON"))?;
    unwrap_answer(status, value)
}

fn unwrap_answer(status: StatusCode, mut value: Value) -> Result<Value> {
    let ok = value["ok"].as_bool().or(value["success"].as_bool()).unwrap_or(status.is_success());
    if ok && status.is_success() {
        return Ok(value.get_mut("data").map(Value::take).unwrap_or(value));
    }
    let message = value["error"]["message"].as_str().or(value["error"].as_str());
    let code = value["error"]["code"].as_str().or(value["code"].as_str());
    match (message, code) {
        (Some(message), Some(code)) => {
            bail!(Refused { code: code.to_owned(), message: message.to_owned() })
        }
        (Some(message), None) => bail!("{message}"),
        (None, _) => bail!("the server answered {status}"),
    }
}

/// One server-sent event.
#[derive(Debug, PartialEq)]
pub(crate) struct SseEvent {
    pub(crate) name: String,
    pub(crate) id: Option<String>,
    pub(crate) data: Value,
}

/// A stream of them.
pub(crate) struct Events {
    body: Incoming,
    buf: Vec<u8>,
}

impl Events {
    /// The next event; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Result<Option<SseEvent>> {
        loop {
            if let Some(event) = take_event(&mut self.buf)? {
                return Ok(Some(event));
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(frame) => {
                    if let Ok(data) = frame.context("the stream broke")?.into_data() {
                        self.buf.extend_from_slice(&data);
                    }
                }
            }
        }
    }
}

/// Takes the first whole frame off the buffer; comments are skipped. Our own server writes LF only.
fn take_event(buf: &mut Vec<u8>) -> Result<Option<SseEvent>> {
    while let Some(end) = buf.windows(2).position(|w| w == b"\n\n") {
        let block: Vec<u8> = buf.drain(..end + 2).collect();
        let text = String::from_utf8_lossy(&block);
        let mut event = SseEvent { name: "message".into(), id: None, data: Value::Null };
        let mut data = String::new();
        for line in text.lines() {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => value.clone_into(&mut event.name),
                "id" => event.id = Some(value.to_owned()),
                "data" => data.push_str(value),
                _ => {}
            }
        }
        if data.is_empty() {
            continue;
        }
        event.data = serde_json::from_str(&data).context("an event is no JSON")?;
        return Ok(Some(event));
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn frames_are_taken_whole_and_comments_skipped() {
        let mut buf = b": ping\n\nevent: a\nid: 7\ndata: {\"x\":1}\n\nevent: b\nda".to_vec();
        let event = take_event(&mut buf).unwrap().unwrap();
        assert_eq!(
            event,
            SseEvent { name: "a".into(), id: Some("7".into()), data: json!({"x":1}) }
        );
        assert!(take_event(&mut buf).unwrap().is_none());
        buf.extend_from_slice(b"ta: 2\n\n");
        assert_eq!(take_event(&mut buf).unwrap().unwrap().data, json!(2));
    }

    #[tokio::test]
    async fn more_projects_than_one_page_holds_are_all_listed_and_found() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        // 1,500 projects, one of which is on two pages because another one was changed meanwhile.
        let server = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                let of = |name: &str| -> usize {
                    let at = head.find(name).unwrap() + name.len();
                    head[at..].split(['&', ' ']).next().unwrap().parse().unwrap()
                };
                let (limit, offset) = (of("limit="), of("offset="));
                let from = if offset == 0 { 0 } else { offset - 1 };
                let page: Vec<_> = (from..1_500.min(from + limit))
                    .filter(|_| offset < 1_500)
                    .map(|n| json!({"id": format!("p{n}"), "name": format!("Project {n}")}))
                    .collect();
                let body = json!({"ok": true, "data": page}).to_string();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let http = Http::builder(TokioExecutor::new()).build_http();
        let client = Client { base, token: "t".into(), http };
        assert_eq!(client.projects().await.unwrap().len(), 1_500);
        assert_eq!(client.project("Project 1499").await.unwrap(), "p1499");
        server.abort();
    }

    #[test]
    fn errors_of_both_shapes_are_told_with_their_code() {
        let envelope = json!({"ok":false,"error":{"code":"not_found","message":"no such project"}});
        let error = unwrap_answer(StatusCode::NOT_FOUND, envelope).unwrap_err().to_string();
        assert_eq!(error, "no such project (not_found)");
        let rpc = json!({"type":"response","success":false,"error":"busy now","code":"busy"});
        let error = unwrap_answer(StatusCode::CONFLICT, rpc).unwrap_err().to_string();
        assert_eq!(error, "busy now (busy)");
    }
}

//! A small HTTP client that says exactly what the test says.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::{net::SocketAddr, time::Duration};
use tokio::{net::TcpStream, time::timeout};

/// A stuck server fails a test instead of hanging it.
const STUCK: Duration = Duration::from_secs(30);

#[derive(Debug, Clone)]
pub(crate) struct Call {
    method: Method,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Call {
    pub(crate) fn new(method: &str, path: &str) -> Self {
        Self {
            method: method.parse().unwrap(),
            path: path.into(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    pub(crate) fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    pub(crate) fn post(path: &str, body: &Value) -> Self {
        Self::new("POST", path).json(body)
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.body(body.to_string()).header("content-type", "application/json")
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn host(self, host: &str) -> Self {
        self.header("host", host)
    }

    pub(crate) fn key(self, key: &str) -> Self {
        self.header("x-agent-api-key", key)
    }

    pub(crate) fn cookie(self, cookie: &str) -> Self {
        self.header("cookie", cookie)
    }

    fn request(&self) -> Request<Full<Bytes>> {
        let mut req = Request::builder().method(self.method.clone()).uri(&self.path);
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            req = req.header("host", "localhost");
        }
        for (name, value) in &self.headers {
            req = req.header(name, value);
        }
        req.body(Full::from(self.body.clone())).unwrap()
    }

    pub(crate) async fn open(&self, addr: SocketAddr) -> http::Response<Incoming> {
        let stream = TcpStream::connect(addr).await.unwrap();
        let (mut send, conn) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(conn.with_upgrades());
        timeout(STUCK, send.send_request(self.request())).await.expect("an answer").unwrap()
    }

    pub(crate) async fn send(&self, addr: SocketAddr) -> Answer {
        let (parts, body) = self.open(addr).await.into_parts();
        let body = timeout(STUCK, body.collect()).await.expect("a whole answer").unwrap();
        Answer { status: parts.status, headers: parts.headers, body: body.to_bytes() }
    }

    pub(crate) async fn stream(&self, addr: SocketAddr) -> Events {
        let answer = self.open(addr).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Events { body: answer.into_body(), text: String::new() }
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("{}: {:?}", self.status, self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// `data` of a successful enveloped answer.
    pub(crate) fn data(&self) -> Value {
        let mut json = self.json();
        assert_eq!(json["ok"], true, "{json}");
        assert_eq!(json["meta"]["apiVersion"], "v1");
        assert_eq!(self.headers["cache-control"], "no-store");
        json["data"].take()
    }

    /// Checks a failure and returns its message.
    pub(crate) fn failure(&self, status: u16, code: &str) -> String {
        let json = self.json();
        assert_eq!(
            (self.status.as_u16(), &json["error"]["code"]),
            (status, &code.into()),
            "{json}"
        );
        assert_eq!(json["ok"], false);
        json["error"]["message"].as_str().unwrap().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }

    /// `name=value` of the cookie that it sets.
    pub(crate) fn set_cookie(&self) -> String {
        self.header("set-cookie").split(';').next().unwrap().to_owned()
    }
}

/// An event of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) kind: String,
    pub(crate) id: Option<u64>,
    pub(crate) data: String,
}

impl Event {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap()
    }
}

pub(crate) struct Events {
    body: Incoming,
    text: String,
}

impl Events {
    /// The next event; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                let field = |name: &str| {
                    block.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": "))
                };
                match field("event") {
                    Some(kind) => {
                        return Some(Event {
                            kind: kind.into(),
                            id: field("id").map(|id| id.parse().unwrap()),
                            data: field("data").unwrap_or_default().into(),
                        });
                    }
                    None => continue,
                }
            }
            let frame = timeout(STUCK, self.body.frame()).await.expect("an event")?;
            let Ok(frame) = frame else { return None };
            if let Some(bytes) = frame.data_ref() {
                self.text.push_str(std::str::from_utf8(bytes).unwrap());
            }
        }
    }

    /// Events up to and with the one of that number.
    pub(crate) async fn until(&mut self, seq: u64) -> Vec<Event> {
        let mut out = Vec::new();
        while let Some(event) = self.next().await {
            let id = event.id;
            if id.is_some() {
                out.push(event);
            }
            if id.is_some_and(|id| id >= seq) {
                break;
            }
        }
        out
    }
}

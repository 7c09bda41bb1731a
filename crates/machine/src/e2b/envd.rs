//! The daemon in a sandbox: files into it, programs in it. JSON all along: plain calls, and Connect's
//! envelopes where a program's output is followed.

use super::{
    api::{Woken, plain},
    envelope::{Envelopes, Opened, seal},
    http::{Fault, Http, secret, told},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use reqwest::{
    Body, Client, Method, RequestBuilder, Response,
    header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{path::Path, time::Duration};
use tokio::{fs::File, time::timeout};
use tokio_util::io::ReaderStream;

/// Where the daemon listens in every sandbox.
const PORT: &str = "49983";
/// Where sandboxes are when nobody says.
const DOMAIN: &str = "e2b.app";
/// Programs are those of root: a machine's own are, whatever it is made of.
const USER: &str = "root";
const TOKEN_HEADER: HeaderName = HeaderName::from_static("x-access-token");
const ID_HEADER: HeaderName = HeaderName::from_static("e2b-sandbox-id");
const PORT_HEADER: HeaderName = HeaderName::from_static("e2b-sandbox-port");
/// Of Connect.
const PROTOCOL_HEADER: HeaderName = HeaderName::from_static("connect-protocol-version");
const PROTOCOL: &str = "1";
/// Something is sent at least this often, in seconds: what lies between drops what is silent.
const KEEPALIVE_HEADER: HeaderName = HeaderName::from_static("keepalive-ping-interval");
const KEEPALIVE_S: &str = "20";
/// Nothing came for this long though something should have: the connection is dead.
const SILENCE_MAX: Duration = Duration::from_secs(75);
/// A file of the size of this program over a slow line.
const UPLOAD_TIMEOUT: Duration = Duration::from_mins(20);
const BOUNDARY: &str = "toft-8c1f0a5b7d3e4962";

/// Speaks to one sandbox.
#[derive(Debug, Clone)]
pub(crate) struct Envd {
    http: Http,
    base: String,
    headers: HeaderMap,
}

/// A program that was started; its output is read or it is dropped.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) pid: u64,
    pub(crate) output: Output,
}

/// What becomes of a program with a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tagged {
    Ends,
    Stays,
}

/// What a program does.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Did {
    Started(u64),
    Out(Vec<u8>),
    Err(Vec<u8>),
    /// It ended; how, in words.
    Ended(String),
    /// Nothing: the connection lives.
    Lives,
}

/// The stream of what a program does.
#[derive(Debug)]
pub(crate) struct Output {
    answer: Response,
    envelopes: Envelopes,
    at: String,
}

impl Envd {
    /// `common`: where all sandboxes are reached, if not each by its name.
    pub(crate) fn new(http: Http, common: Option<&str>, woken: &Woken) -> Result<Self, Fault> {
        let id = plain(&woken.id)?;
        let base = if let Some(url) = common {
            url.trim_end_matches('/').to_owned()
        } else {
            let domain = woken.domain.as_deref().filter(|d| !d.is_empty()).unwrap_or(DOMAIN);
            let harmless = |c: char| c.is_ascii_alphanumeric() || ".-:".contains(c);
            if !domain.chars().all(harmless) {
                let why = "the domain of a sandbox is none".to_owned();
                return Err(Fault::Strange { at: "E2B".to_owned(), why });
            }
            format!("https://{PORT}-{id}.{domain}")
        };
        let mut headers = HeaderMap::new();
        secret(&mut headers, ID_HEADER, id)?;
        headers.insert(PORT_HEADER, HeaderValue::from_static(PORT));
        secret(
            &mut headers,
            AUTHORIZATION,
            &format!("Basic {}", STANDARD.encode(format!("{USER}:"))),
        )?;
        if let Some(token) = &woken.envd_access_token {
            secret(&mut headers, TOKEN_HEADER, token)?;
        }
        Ok(Self { http, base, headers })
    }

    fn post(&self, client: &Client, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.base);
        client.request(Method::POST, url).headers(self.headers.clone())
    }

    /// A plain call that may be made twice.
    async fn call(&self, path: &str, body: &Value) -> Result<Vec<u8>, Fault> {
        let make = |client: &Client| {
            let request = self.post(client, path).header(PROTOCOL_HEADER, PROTOCOL);
            request.json(body)
        };
        self.http.often(make).await
    }

    /// The size of a file; `None`: there is none.
    pub(crate) async fn size(&self, path: &str) -> Result<Option<u64>, Fault> {
        #[derive(Deserialize)]
        struct Stat {
            entry: Entry,
        }
        #[derive(Deserialize)]
        struct Entry {
            /// A number of 64 bits: a string in Connect's JSON, and absent when it is none.
            #[serde(default)]
            size: Value,
        }
        let asked = self.call("/filesystem.Filesystem/Stat", &json!({"path": path})).await;
        let answer = match asked {
            Ok(answer) => answer,
            Err(fault) if fault.status() == Some(404) => return Ok(None),
            Err(fault) => return Err(fault),
        };
        let stat: Stat = serde_json::from_slice(&answer)
            .map_err(|e| Fault::Strange { at: at("Stat"), why: e.to_string() })?;
        Ok(Some(match &stat.entry.size {
            Value::String(text) => text.parse().unwrap_or_default(),
            other => other.as_u64().unwrap_or_default(),
        }))
    }

    /// Writes a file of this host into the sandbox, as it is read.
    pub(crate) async fn upload(&self, file: &Path, to: &str) -> Result<(), Fault> {
        let unread = |e: std::io::Error| Fault::Strange {
            at: format!("the file {}", file.display()),
            why: e.to_string(),
        };
        let opened = File::open(file).await.map_err(unread)?;
        let size = opened.metadata().await.map_err(unread)?.len();
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"toft\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        );
        let tail = format!("\r\n--{BOUNDARY}--\r\n");
        let length = size + (head.len() + tail.len()) as u64;
        let piece =
            |text: String| stream::once(async { Ok::<_, std::io::Error>(Bytes::from(text)) });
        let body = piece(head).chain(ReaderStream::new(opened)).chain(piece(tail));
        let params = [("path", to), ("username", USER)];
        let url = reqwest::Url::parse_with_params(&format!("{}/files", self.base), params)
            .map_err(|e| Fault::Strange { at: at("files"), why: e.to_string() })?;
        let request = self
            .http
            .client()
            .post(url)
            .headers(self.headers.clone())
            .header(CONTENT_TYPE, format!("multipart/form-data; boundary={BOUNDARY}"))
            .header(CONTENT_LENGTH, length)
            .body(Body::wrap_stream(body));
        let sent = timeout(UPLOAD_TIMEOUT, self.http.send(request)).await;
        let slow = || Fault::Unreachable {
            at: at("files"),
            why: format!("{size} bytes could not be sent within {} s", UPLOAD_TIMEOUT.as_secs()),
        };
        let answer = sent.map_err(|_| slow())?.map_err(|(fault, _)| fault)?;
        let read = answer.bytes().await;
        read.map(|_| ()).map_err(|e| Fault::Unreachable { at: at("files"), why: told(&e) })
    }

    /// Starts a program that is spoken to, and hears that it has started.
    pub(crate) async fn start(
        &self,
        cmd: &str,
        args: &[&str],
        tag: &str,
    ) -> Result<Program, Fault> {
        let body = json!({
            "process": {"cmd": cmd, "args": args, "envs": {}},
            "tag": tag,
            "stdin": true,
        });
        let request = self
            .post(self.http.client(), "/process.Process/Start")
            .header(CONTENT_TYPE, "application/connect+json")
            .header(PROTOCOL_HEADER, PROTOCOL)
            .header(KEEPALIVE_HEADER, KEEPALIVE_S)
            .body(seal(&serde_json::to_vec(&body).unwrap_or_default()));
        let at = at("Start");
        let starting = async {
            let answer = self.http.send(request).await.map_err(|(fault, _)| fault)?;
            let mut output = Output { answer, envelopes: Envelopes::default(), at: at.clone() };
            loop {
                match output.next().await? {
                    Did::Started(pid) => return Ok(Program { pid, output }),
                    Did::Lives => {}
                    other => {
                        let why =
                            format!("a program did something before it had started: {other:?}");
                        return Err(Fault::Strange { at: at.clone(), why });
                    }
                }
            }
        };
        let started = timeout(self.http.request_timeout, starting).await;
        started.unwrap_or_else(|_| {
            let why = "no program started in time".to_owned();
            Err(Fault::Unreachable { at: at.clone(), why })
        })
    }

    /// Bytes for a program's standard input. Once: nobody knows whether those that failed arrived.
    pub(crate) async fn input(&self, pid: u64, bytes: &[u8]) -> Result<(), Fault> {
        let body = json!({"process": {"pid": pid}, "input": {"stdin": STANDARD.encode(bytes)}});
        let request = self.post(self.http.client(), "/process.Process/SendInput");
        let request = request.header(PROTOCOL_HEADER, PROTOCOL).json(&body);
        self.http.once(request).await.map(|_| ()).map_err(|(fault, _)| fault)
    }

    /// Ends programs by the tags that they were started with. False, and nothing is done: one of them is to stay.
    pub(crate) async fn end_tagged(
        &self,
        judge: impl Fn(&str) -> Option<Tagged>,
    ) -> Result<bool, Fault> {
        #[derive(Deserialize)]
        struct List {
            #[serde(default)]
            processes: Vec<Process>,
        }
        #[derive(Deserialize)]
        struct Process {
            pid: u64,
            #[serde(default)]
            tag: Option<String>,
        }
        let answer = self.call("/process.Process/List", &json!({})).await?;
        let list: List = serde_json::from_slice(&answer)
            .map_err(|e| Fault::Strange { at: at("List"), why: e.to_string() })?;
        let judged = |process: &Process| process.tag.as_deref().and_then(&judge);
        if list.processes.iter().any(|process| judged(process) == Some(Tagged::Stays)) {
            return Ok(false);
        }
        for process in list.processes.iter().filter(|p| judged(p) == Some(Tagged::Ends)) {
            let body = json!({"process": {"pid": process.pid}, "signal": "SIGNAL_SIGKILL"});
            match self.call("/process.Process/SendSignal", &body).await {
                // It ended by itself.
                Err(fault) if fault.status() == Some(404) => {}
                other => drop(other?),
            }
        }
        Ok(true)
    }
}

fn at(what: &str) -> String {
    format!("the sandbox ({what})")
}

impl Output {
    /// What the program does next.
    pub(crate) async fn next(&mut self) -> Result<Did, Fault> {
        let strange = |at: &str, why: String| Fault::Strange { at: at.to_owned(), why };
        loop {
            match self.envelopes.next().map_err(|why| strange(&self.at, why.to_owned()))? {
                Some(Opened::Message(message)) => {
                    return did(&message).map_err(|why| strange(&self.at, why));
                }
                Some(Opened::End(None)) => {
                    return Ok(Did::Ended("its output ended".to_owned()));
                }
                Some(Opened::End(Some(said))) => {
                    let why = format!("{}: {}", said.code, said.message);
                    return Err(Fault::Unreachable { at: self.at.clone(), why });
                }
                None => {}
            }
            let cut = |why: String| Fault::Unreachable { at: self.at.clone(), why };
            match timeout(SILENCE_MAX, self.answer.chunk()).await {
                Ok(Ok(Some(chunk))) => self.envelopes.push(&chunk),
                Ok(Ok(None)) => return Err(cut("the connection ended".to_owned())),
                Ok(Err(e)) => return Err(cut(told(&e))),
                Err(_) => return Err(cut("the connection is silent".to_owned())),
            }
        }
    }
}

/// An event of a program, from its JSON.
pub(crate) fn did(message: &[u8]) -> Result<Did, String> {
    #[derive(Deserialize)]
    struct Message {
        event: Event,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Event {
        #[serde(default)]
        start: Option<Started>,
        #[serde(default)]
        data: Option<Data>,
        #[serde(default)]
        end: Option<End>,
    }
    #[derive(Deserialize)]
    struct Started {
        pid: u64,
    }
    #[derive(Deserialize)]
    struct Data {
        #[serde(default)]
        stdout: Option<String>,
        #[serde(default)]
        stderr: Option<String>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct End {
        #[serde(default)]
        exit_code: i32,
        #[serde(default)]
        status: String,
        #[serde(default)]
        error: Option<String>,
    }
    let Message { event } = serde_json::from_slice(message).map_err(|e| e.to_string())?;
    let bytes = |text: &str| STANDARD.decode(text).map_err(|e| format!("output: {e}"));
    match event {
        Event { start: Some(Started { pid }), .. } => Ok(Did::Started(pid)),
        Event { data: Some(Data { stdout: Some(out), .. }), .. } => Ok(Did::Out(bytes(&out)?)),
        Event { data: Some(Data { stderr: Some(err), .. }), .. } => Ok(Did::Err(bytes(&err)?)),
        Event { end: Some(End { exit_code, status, error }), .. } => {
            let how = if status.is_empty() { format!("exit {exit_code}") } else { status };
            Ok(Did::Ended(error.map_or(how.clone(), |error| format!("{how}: {error}"))))
        }
        Event { .. } => Ok(Did::Lives),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_does_is_read_from_its_events() {
        let check =
            |text: &str, want: Did| assert_eq!(did(text.as_bytes()).unwrap(), want, "{text}");
        check(r#"{"event":{"start":{"pid":7}}}"#, Did::Started(7));
        check(r#"{"event":{"data":{"stdout":"aGk="}}}"#, Did::Out(b"hi".to_vec()));
        check(r#"{"event":{"data":{"stderr":"aGk="}}}"#, Did::Err(b"hi".to_vec()));
        check(r#"{"event":{"keepalive":{}}}"#, Did::Lives);
        check(
            r#"{"event":{"end":{"exitCode":127,"exited":true,"status":"exit status 127"}}}"#,
            Did::Ended("exit status 127".into()),
        );
        check(r#"{"event":{"end":{"exited":true}}}"#, Did::Ended("exit 0".into()));
        for wrong in ["", "[]", "{}", r#"{"event":{"data":{"stdout":"%"}}}"#] {
            assert!(did(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}

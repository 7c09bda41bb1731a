//! The program that stands for a server in the machine: puts variables of the machine's environment in, then runs the
//! server's program, or carries messages to and from an HTTP server. The messages of both are lines of JSON on its
//! standard streams.

use super::config::Declared;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use reqwest::header::{HeaderName, HeaderValue};
use rmcp::{
    model::ClientJsonRpcMessage,
    transport::{
        Transport as _,
        streamable_http_client::{
            StreamableHttpClientTransport, StreamableHttpClientTransportConfig, StreamableHttpError,
        },
    },
};
use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    io::{BufRead as _, Read as _, Write as _},
    process::{Command, ExitCode, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use toft_model::mcp::token_variable;
use tokio::{io::AsyncWriteExt as _, sync::mpsc};

/// Where it finds what it is to run. Not among its arguments: those are shown and kept.
pub(super) const VARIABLE: &str = "TOFT_MCP";

/// How it says, in its last line, why it ended.
pub(super) const LAST_WORD: &str = "[toft] ";

/// Stands behind it when a person is to sign in.
pub(super) const SIGN_IN: &str = "[sign-in] ";

/// Bytes of what a server printed on its standard error that are told.
const SAID_BYTES_MAX: usize = 2_000;

/// How long the rest of it is waited for after its end.
const SAID_WAIT: Duration = Duration::from_millis(100);

/// A message of a client at most.
const LINE_BYTES_MAX: u64 = 16 << 20;

/// Messages that wait to be sent.
const LINES_WAITING_MAX: usize = 16;

const CONNECT_MAX: Duration = Duration::from_secs(10);

/// Plays the part. Blocks.
pub(crate) fn main() -> ExitCode {
    let declared = std::env::var(VARIABLE).ok().and_then(|text| serde_json::from_str(&text).ok());
    let Some(declared) = declared else { return ExitCode::FAILURE };
    let why = match filled(declared, |name| std::env::var(name).ok()) {
        Ok(Declared { name, url: Some(url), mut headers, .. }) => {
            let signed_in = sign(&name, &url, &mut headers, |name| std::env::var(name).ok());
            over_http(url, &headers, signed_in)
        }
        Ok(declared) => run(&declared),
        Err(why) => Err(why),
    };
    let said = match why {
        Ok(()) => return ExitCode::SUCCESS,
        Err(said) => said,
    };
    let mut out = std::io::stdout();
    let _ = writeln!(out, "\n{LAST_WORD}{}", said.replace('\n', " "));
    let _ = out.flush();
    ExitCode::FAILURE
}

/// With the variables' values in their places. A variable that is not set is named.
fn filled(declared: Declared, value: impl Fn(&str) -> Option<String>) -> Result<Declared, String> {
    let fill = |text: &str| expanded(text, &value);
    let each =
        |texts: Vec<String>| texts.iter().map(|text| fill(text)).collect::<Result<Vec<_>, _>>();
    let pairs = |pairs: BTreeMap<String, String>| {
        pairs
            .into_iter()
            .map(|(name, text)| Ok((name, fill(&text)?)))
            .collect::<Result<_, String>>()
    };
    let some = |text: Option<String>| text.map(|text| fill(&text)).transpose();
    Ok(Declared {
        name: declared.name,
        command: some(declared.command)?,
        args: each(declared.args)?,
        env: pairs(declared.env)?,
        cwd: some(declared.cwd)?,
        url: some(declared.url)?,
        headers: pairs(declared.headers)?,
    })
}

/// `$NAME` (capitals), `${name}` and `${name:-instead}`. A `$` before anything else stands for itself.
pub(super) fn expanded(
    text: &str,
    value: &impl Fn(&str) -> Option<String>,
) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        let braced = after.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        let (name, instead, behind) = if let Some((inner, behind)) = braced {
            match inner.split_once(":-") {
                Some((name, instead)) => (name, Some(instead), behind),
                None => (inner, None, behind),
            }
        } else {
            let other = |c: char| !c.is_ascii_alphanumeric() && c != '_';
            let name = &after[..after.find(other).unwrap_or(after.len())];
            // JSON in a declaration has `$schema` and the like.
            let lower = name.bytes().any(|b| b.is_ascii_lowercase());
            if lower { ("", None, after) } else { (name, None, &after[name.len()..]) }
        };
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !is_name {
            out.push('$');
            rest = after;
            continue;
        }
        match value(name).filter(|value| !value.is_empty() || instead.is_none()) {
            Some(value) => out.push_str(&value),
            None => out.push_str(instead.ok_or_else(|| {
                format!("the variable `{name}`, which its declaration names, is not set: add it as a secret")
            })?),
        }
        rest = behind;
    }
    out.push_str(rest);
    Ok(out)
}

/// Adds the token of the sign-in that there is, or what stands for it; whether it did. It goes by TLS only,
/// and never over what the declaration says.
pub(super) fn sign(
    name: &str,
    url: &str,
    headers: &mut BTreeMap<String, String>,
    value: impl Fn(&str) -> Option<String>,
) -> bool {
    let declared = headers.keys().any(|name| name.eq_ignore_ascii_case("authorization"));
    if declared || !url.starts_with("https://") {
        return false;
    }
    let token = value(&token_variable(name)).filter(|token| !token.is_empty());
    token.is_some_and(|token| {
        headers.insert("Authorization".into(), format!("Bearer {token}"));
        true
    })
}

fn run(declared: &Declared) -> Result<(), String> {
    let program = declared.command.as_deref().unwrap_or_default();
    let mut command = Command::new(program);
    command.args(&declared.args).env_remove(VARIABLE).envs(&declared.env).stderr(Stdio::piped());
    if let Some(cwd) = &declared.cwd {
        command.current_dir(cwd);
    }
    let mut child =
        command.spawn().map_err(|error| format!("`{program}` cannot be run: {error}"))?;
    // What a server started may keep its standard error open for longer than it lives itself.
    let said = Arc::new(Mutex::new(Said::default()));
    let (all, is_all) = std::sync::mpsc::channel::<()>();
    if let Some(mut stderr) = child.stderr.take() {
        let said = Arc::clone(&said);
        std::thread::spawn(move || {
            let _all = all;
            let mut piece = [0; 4_096];
            while let Ok(n @ 1..) = stderr.read(&mut piece) {
                said.lock().unwrap_or_else(PoisonError::into_inner).add(&piece[..n]);
            }
        });
    }
    let status = child.wait().map_err(|error| format!("`{program}` was lost: {error}"))?;
    let _ = is_all.recv_timeout(SAID_WAIT);
    let said = said.lock().unwrap_or_else(PoisonError::into_inner);
    let said = said.end();
    match said.trim() {
        "" => Err(format!("it ended ({status})")),
        said => Err(format!("it ended ({status}): {said}")),
    }
}

/// The end of what a program printed. Whoever takes values of secrets out of it knows whole ones only: where the
/// beginning is missing, the line that it was in goes too.
#[derive(Default)]
struct Said {
    kept: Vec<u8>,
    cut: bool,
}

impl Said {
    fn add(&mut self, piece: &[u8]) {
        self.kept.extend_from_slice(piece);
        let more = self.kept.len().saturating_sub(SAID_BYTES_MAX);
        self.kept.drain(..more);
        self.cut |= more > 0;
    }

    fn end(&self) -> Cow<'_, str> {
        let mut kept = &self.kept[..];
        if self.cut {
            let line = kept.iter().position(|byte| *byte == b'\n').unwrap_or(kept.len());
            kept = &kept[line..];
        }
        String::from_utf8_lossy(kept)
    }
}

fn over_http(
    url: String,
    headers: &BTreeMap<String, String>,
    signed_in: bool,
) -> Result<(), String> {
    let mut custom = HashMap::new();
    for (name, value) in headers {
        // The value may be a secret and is not repeated.
        let bad = |_| format!("its header `{name}` is none");
        let mut value = HeaderValue::from_str(value)
            .map_err(|_| format!("its header `{name}` has a value that no header can have"))?;
        value.set_sensitive(true);
        custom.insert(HeaderName::from_bytes(name.as_bytes()).map_err(bad)?, value);
    }
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = || reqwest::Client::builder().user_agent("Toft").connect_timeout(CONNECT_MAX);
    // A machine without certificates can still reach plain HTTP.
    let client = builder().build().or_else(|_| builder().tls_certs_only([]).build());
    let client = client.map_err(|error| format!("no HTTP client can be made: {error}"))?;
    let config = StreamableHttpClientTransportConfig::with_uri(url).custom_headers(custom);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let said = runtime.block_on(async {
        carry(StreamableHttpClientTransport::with_client(client, config), signed_in).await
    });
    // Reading the standard input blocks a thread that nobody waits for.
    runtime.shutdown_background();
    said
}

type Http = StreamableHttpClientTransport<reqwest::Client>;

async fn carry(mut http: Http, signed_in: bool) -> Result<(), String> {
    let mut lines = lines();
    let mut out = tokio::io::stdout();
    let mut sends = FuturesUnordered::new();
    loop {
        tokio::select! {
            // Why a connection closes is said just before it does.
            biased;
            Some(sent) = sends.next() => {
                if let Err(error) = sent {
                    return Err(why(&error, signed_in));
                }
            }
            line = lines.recv() => {
                let Some(line) = line else {
                    let _ = http.close().await;
                    return Ok(());
                };
                if let Ok(message) = serde_json::from_slice::<ClientJsonRpcMessage>(&line) {
                    sends.push(Box::pin(http.send(message)));
                }
            }
            message = http.receive() => {
                let Some(message) = message else { return Err("it closed the connection".into()) };
                let mut text = serde_json::to_vec(&message).map_err(|error| error.to_string())?;
                text.push(b'\n');
                if out.write_all(&text).await.is_err() || out.flush().await.is_err() {
                    return Ok(());
                }
            }
        }
    }
}

/// Lines of the standard input. The thread ends with the process.
fn lines() -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(LINES_WAITING_MAX);
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        let mut line = Vec::new();
        while let Ok(1..) = (&mut input).take(LINE_BYTES_MAX).read_until(b'\n', &mut line) {
            if sender.blocking_send(std::mem::take(&mut line)).is_err() {
                return;
            }
        }
    });
    receiver
}

fn why(error: &StreamableHttpError<reqwest::Error>, signed_in: bool) -> String {
    match error {
        StreamableHttpError::AuthRequired(_) if signed_in => {
            format!("{SIGN_IN}it does not take the sign-in that there is: connect it again")
        }
        StreamableHttpError::AuthRequired(_) => {
            format!("{SIGN_IN}it wants a person to sign in: connect it")
        }
        other => format!("it cannot be reached: {}", causes(other)),
    }
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        next = cause.source();
    }
    text
}

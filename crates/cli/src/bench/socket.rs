//! Plain HTTP/1.1 to a socket, blocking, for moments that a client with a pool would hide.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::{
    io::{Read as _, Write},
    net::SocketAddr,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

/// What is asked answers within milliseconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Where the server listens, and the right to ask it.
#[derive(Deserialize)]
pub(super) struct At {
    pub(super) addr: SocketAddr,
    pub(super) token: String,
}

impl At {
    pub(super) fn of(data: &Path) -> Result<Self> {
        let path = data.join("run/server.json");
        let text = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        Ok(serde_json::from_slice(&text)?)
    }
}

/// Writes a `GET` with these headers.
pub(super) fn ask(to: &mut impl Write, path: &str, headers: &[(&str, &str)]) -> Result<()> {
    let mut request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n");
    for (name, value) in headers {
        request.extend([*name, ": ", *value, "\r\n"]);
    }
    to.write_all((request + "\r\n").as_bytes()).context("asking")
}

/// The body of a whole answer of success from a unix socket, in bytes.
pub(super) async fn get(socket: &Path, path: &str) -> Result<usize> {
    let (socket, path): (PathBuf, _) = (socket.to_owned(), path.to_owned());
    tokio::task::spawn_blocking(move || {
        let mut stream = UnixStream::connect(&socket).context("connecting")?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        ask(&mut stream, &path, &[("connection", "close")])?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).context("reading the answer")?;
        if !answer.starts_with(b"HTTP/1.1 200") {
            let said = String::from_utf8_lossy(&answer[..answer.len().min(400)]).into_owned();
            bail!("{path} was answered with {said}");
        }
        let head = answer.windows(4).position(|w| w == b"\r\n\r\n").context("an answer")?;
        Ok(answer.len() - head - 4)
    })
    .await?
}

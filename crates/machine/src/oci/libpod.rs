//! The one request that Podman before version 5 only takes in its own words: other limits for a
//! container that runs.

use serde_json::{Value, json};
use std::{io, path::Path, time::Duration};
use toft_model::machine::Limits;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    time::timeout,
};

/// The first version of Podman with this request.
const PATH: &str = "/v4.3.0/libpod/containers";
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// A status line, headers and a sentence.
const ANSWER_BYTES_MAX: u64 = 64 << 10;
/// Microseconds in which a share of the processors is counted: what engines take for it.
const CPU_PERIOD_US: u64 = 100_000;

pub(super) async fn update(socket: &Path, name: &str, limits: &Limits) -> io::Result<()> {
    let body = resources(limits).to_string();
    let request = format!(
        "POST {PATH}/{name}/update HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let asked = async {
        let mut stream = UnixStream::connect(socket).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
        Ok::<_, io::Error>(answer)
    };
    let answer = timeout(ANSWER_TIMEOUT, asked).await.map_err(|_| io::ErrorKind::TimedOut)??;
    let answer = String::from_utf8_lossy(&answer);
    if succeeded(&answer) {
        return Ok(());
    }
    let said = answer.rsplit("\r\n").find(|line| !line.trim().is_empty()).unwrap_or("no answer");
    Err(io::Error::other(said.trim().to_owned()))
}

/// In the words of the OCI runtime specification, `linux.resources`.
fn resources(limits: &Limits) -> Value {
    let memory = limits.memory_bytes.and_then(|b| i64::try_from(b).ok()).unwrap_or(-1);
    let pids = limits.pids.and_then(|p| i64::try_from(p).ok()).unwrap_or(-1);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "processors number in the thousands"
    )]
    let quota = limits.cpus.map_or(-1, |cpus| (cpus * CPU_PERIOD_US as f64) as i64);
    json!({
        "memory": {"limit": memory, "swap": memory},
        "cpu": {"period": CPU_PERIOD_US, "quota": quota},
        "pids": {"limit": pids},
    })
}

fn succeeded(answer: &str) -> bool {
    answer.split(' ').nth(1).is_some_and(|status| status.starts_with('2'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_limit_is_said_as_minus_one() {
        let none = Limits { memory_bytes: None, cpus: Some(1.5), pids: None, ..Limits::default() };
        let said = resources(&none);
        assert_eq!(said["memory"]["limit"], -1);
        assert_eq!(said["cpu"]["quota"], 150_000);
        assert_eq!(said["pids"]["limit"], -1);
        assert!(succeeded("HTTP/1.1 201 Created\r\n\r\nid"));
        assert!(!succeeded("HTTP/1.1 500 Internal Server Error\r\n\r\n{}"));
        assert!(!succeeded(""));
    }
}

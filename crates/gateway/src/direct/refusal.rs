//! What a program hears of a refused connection, which to it has come about: words where its protocol
//! has some, as for HTTP and TLS, and else the end at once.

use crate::api_error::{ApiError, Code};
use rustix::net::sockopt::set_socket_linger;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// How long a program may take for the first bytes, which show what it speaks. Those that wait for the
/// other side to begin say nothing in that time.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// How long it may take to hear the answer.
const HEAR_WAIT: Duration = Duration::from_secs(2);
/// Bytes that show what a program speaks.
const FIRST_BYTES: usize = 16;
/// Bytes of its own that it may send meanwhile: the head of a request, a ClientHello.
const SAID_BYTES_MAX: u64 = 64 * 1024;
/// Methods of requests that programs begin with.
const METHODS: [&str; 7] = ["GET ", "HEAD ", "POST ", "PUT ", "PATCH ", "DELETE ", "OPTIONS "];
/// A fatal alert of TLS: access denied (RFC 8446 §6.2).
const ACCESS_DENIED: [u8; 7] = [21, 3, 3, 0, 2, 2, 49];

/// Tells a program why it is not connected, and ends the connection.
pub(super) async fn tell(mut stream: TcpStream, error: &ApiError) {
    let mut first = [0; FIRST_BYTES];
    let read = match timeout(FIRST_WAIT, stream.peek(&mut first)).await {
        Ok(Ok(read)) => read,
        Ok(Err(_)) | Err(_) => 0,
    };
    let Some(words) = words(&first[..read], error) else {
        // It ends with a reset: the nearest to a refused connection. On a dead one it fails.
        let _ = set_socket_linger(&stream, Some(Duration::ZERO));
        return;
    };
    let said = async {
        stream.write_all(&words).await?;
        stream.shutdown().await?;
        // What is not read would reset the connection, and the words with it.
        tokio::io::copy(&mut stream.take(SAID_BYTES_MAX), &mut tokio::io::sink()).await
    };
    // Who does not listen is not waited for.
    let _ = timeout(HEAR_WAIT, said).await;
}

fn words(first: &[u8], error: &ApiError) -> Option<Vec<u8>> {
    if METHODS.iter().any(|method| first.starts_with(method.as_bytes())) {
        return Some(http(error));
    }
    let is_tls = matches!(first, [22, 3, ..]);
    (is_tls && error.code == Code::EgressDenied).then(|| ACCESS_DENIED.to_vec())
}

/// As the proxy answers.
fn http(error: &ApiError) -> Vec<u8> {
    let body = error.body().to_string();
    let status = error.code.status();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncache-control: no-store\r\n\
         x-toft-error: {}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        error.code.as_str(),
        body.len()
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;
    use tokio::net::TcpListener;

    /// What a program hears that says `first`.
    async fn heard(first: &[u8], code: Code) -> Result<Vec<u8>, ErrorKind> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut program = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        program.write_all(first).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let error = ApiError::new(code, "Toft did not connect: not listed.");
        let mut heard = Vec::new();
        let (read, ()) =
            tokio::join!(program.read_to_end(&mut heard), async { tell(stream, &error).await });
        read.map(|_| heard).map_err(|e| e.kind())
    }

    #[tokio::test]
    async fn http_and_tls_hear_why_and_others_are_reset() {
        let head = b"POST /x HTTP/1.1\r\ncontent-length: 30000\r\n\r\n";
        let request = [head.to_vec(), vec![b'x'; 30_000]].concat();
        let said = heard(&request, Code::EgressDenied).await.unwrap();
        let said = String::from_utf8(said).unwrap();
        assert!(said.starts_with("HTTP/1.1 403 Forbidden\r\n"), "{said}");
        assert!(
            said.contains("x-toft-error: egress_denied") && said.contains("not listed"),
            "{said}"
        );
        let hello = [&[22, 3, 1, 2, 0][..], &[1; 512]].concat();
        assert_eq!(heard(&hello, Code::EgressDenied).await, Ok(ACCESS_DENIED.to_vec()));
        let reset = Err(ErrorKind::ConnectionReset);
        assert_eq!(heard(&hello, Code::UpstreamUnreachable).await, reset);
        assert_eq!(heard(b"SSH-2.0-OpenSSH_9.2\r\n", Code::EgressDenied).await, reset);
        assert_eq!(heard(b"GETX", Code::EgressDenied).await, reset);
    }

    #[tokio::test]
    async fn a_program_that_says_nothing_is_not_waited_for_long() {
        assert_eq!(heard(b"", Code::EgressDenied).await, Err(ErrorKind::ConnectionReset));
    }
}

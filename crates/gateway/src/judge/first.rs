//! What the first bytes of a connection say it is for. Where names decide (an allow-list), they must be
//! for the host that was asked for: the server name of TLS, the host of plain HTTP. Nothing is decrypted.

use toft_policy::{ClientHello, Host, Verdict, client_hello, sni::CLIENT_HELLO_BYTES_MAX};

/// Bytes of a line that shows whether it is one of HTTP: longer ones exist, in attacks.
const REQUEST_LINE_BYTES_MAX: usize = 8 * 1024;

/// What a connection turned out to be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum First {
    /// More bytes are needed to tell.
    #[default]
    Unknown,
    /// A protocol that names no host.
    Other,
    /// TLS for this host; without a name or not understood: why.
    Tls(Result<Host, &'static str>),
    /// Plain HTTP/1: each request names its host.
    Http1,
    /// HTTP/2 without TLS: the same, in a form that is not looked into.
    Http2,
}

impl First {
    /// Looks at all bytes that a client has sent so far.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        match client_hello(bytes) {
            ClientHello::Named(host) => Self::Tls(Ok(host)),
            ClientHello::Nameless => Self::Tls(Err("the TLS connection does not name its host")),
            ClientHello::Malformed => Self::Tls(Err("the TLS connection begins with nonsense")),
            ClientHello::Incomplete => Self::Unknown,
            ClientHello::NotTls => http(bytes),
        }
    }

    /// What is held against it where it must be for `host`.
    pub(crate) fn not_for(&self, host: &Host) -> Option<Verdict> {
        let (rule, reason) = match self {
            Self::Unknown | Self::Other | Self::Http1 => return None,
            Self::Tls(Ok(name)) if name == host => return None,
            Self::Tls(Ok(name)) => {
                ("sni-mismatch", format!("the TLS connection is for {name}, not {host}"))
            }
            Self::Tls(Err(why)) => ("sni-mismatch", format!("{why} (it was opened for {host})")),
            Self::Http2 => (
                "http2-plain",
                format!(
                    "HTTP/2 without TLS does not show that it is for {host}: use https, or HTTP/1.1"
                ),
            ),
        };
        Some(Verdict::deny(rule, reason))
    }

    /// The same for one that has passed unchecked, because names did not decide then.
    pub(crate) fn passed_for_another(&self, host: &Host) -> Option<Verdict> {
        match self {
            Self::Http1 => {
                let reason = format!("nobody looked whether it is for {host}: connect again");
                Some(Verdict::deny("host-unchecked", reason))
            }
            Self::Unknown | Self::Other | Self::Tls(_) | Self::Http2 => self.not_for(host),
        }
    }
}

/// HTTP by its first line: `GET /path HTTP/1.1`. Other protocols of lines exist, and pass. Whatever a
/// lenient server could take for a request is one here: it is parsed strictly then, or refused.
fn http(bytes: &[u8]) -> First {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";
    // RFC 9112 §2.2: empty lines before the first request are passed over.
    let blank = |b: &u8| is_separator(*b) || *b == b'\n';
    let start = bytes.iter().take_while(|b| blank(b)).count();
    if start > REQUEST_LINE_BYTES_MAX {
        return First::Http1;
    }
    let bytes = &bytes[start..];
    let token = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
    // A method has no longest one (RFC 9110 §9.1).
    let method = bytes.iter().take_while(|b| token(b)).count();
    match bytes.get(method) {
        Some(b) if method == 0 || !blank(b) => return First::Other,
        None | Some(_) => {}
    }
    let end = memchr::memchr(b'\n', bytes);
    if is_git(&bytes[..end.unwrap_or(bytes.len())]) {
        return First::Other;
    }
    let Some(end) = end else {
        let long = bytes.len() >= REQUEST_LINE_BYTES_MAX;
        // A request that nobody could judge; other protocols' lines are shorter.
        return if long { First::Http1 } else { First::Unknown };
    };
    if bytes[..=end].starts_with(PREFACE) {
        return First::Http2;
    }
    if is_request(&bytes[..end]) { First::Http1 } else { First::Other }
}

/// What servers may take for a space in a request line (RFC 9112 §3), and in Python's.
fn is_separator(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | 0x0b | 0x0c | b'\r' | 0x1c..=0x1f)
}

/// Whether the line names a version of HTTP or a URL of it, or is a request of HTTP/0.9.
fn is_request(line: &[u8]) -> bool {
    let lower = line.to_ascii_lowercase();
    let names = |what: &[u8]| memchr::memmem::find(&lower, what).is_some();
    let mut words = line.split(|b| is_separator(*b)).filter(|word| !word.is_empty());
    let bare = words.next() == Some(b"GET")
        && words.next().is_some_and(|path| path.starts_with(b"/"))
        && words.next().is_none();
    bare || names(b"http/") || names(b"http:") || names(b"https:")
}

/// Git's own protocol (`0033git-upload-pack /path NUL host=… NUL`, gitprotocol-pack(5)): its lines may
/// have no end. To HTTP that is no method that exists, and a NUL.
fn is_git(line: &[u8]) -> bool {
    let (length, rest) = line.split_at(line.len().min(4));
    let asks = [&b"git-upload-pack "[..], b"git-receive-pack ", b"git-upload-archive "];
    length.iter().all(u8::is_ascii_hexdigit)
        && asks.iter().any(|ask| rest.starts_with(ask))
        && rest.contains(&0)
}

/// Bytes after which every connection is told.
pub(crate) const FIRST_BYTES_MAX: usize = CLIENT_HELLO_BYTES_MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(bytes: &[u8], expected: &First) {
        assert_eq!(First::of(bytes), *expected, "{:?}", String::from_utf8_lossy(bytes));
    }

    #[test]
    fn protocols_are_told_by_their_first_line() {
        for http in [
            "GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n",
            "GET / HTTP/1.0\n",
            "\r\n\r\nPOST /x HTTP/1.1\r\n",
            "get http://evil.test/ http/1.1\r\n",
            "OPTIONS * HTTP/1.1\r\n",
            "VERSION-CONTROL /a HTTP/1.1\r\n",
            "GET\t/\tHTTP/1.1\r\n",
            "GET / HTTP/9.9   \r\n",
            "VERY-LONG-METHODS-TOO /a HTTP/1.1\r\n",
            "GET\x0b/\x0bHTTP/1.1\r\n",
            "GET\x0c/\x0cHTTP/1.1\n",
            "GET\r/\rHTTP/1.1\r\n",
            "GET\x1c/\x1cHTTP/1.1\r\n",
            "\x0c GET / HTTP/1.1\r\n",
            "GET / HTTP/1.1 x\r\n",
            "GET / HTTP/1.1\x0b\r\n",
            "GET http://evil.test/\r\n",
            "GET /\r\n",
        ] {
            check(http.as_bytes(), &First::Http1);
        }
        check(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &First::Http2);
        for other in [
            "SSH-2.0-OpenSSH_9\r\n",
            "EHLO me\r\n",
            "*1\r\n$4\r\nPING\r\n",
            "\0\0\0\x08\x04\x52\x16\x2f",
            "NICK a b c\r\n",
            "SSH-2.0-OpenSSH_9.6p1 Ubuntu-3\r\n",
            "get /key\r\n",
            "AMQP\0\0\x09\x01",
            "<?xml version='1.0'?>",
            "0033git-upload-pack /project.git\0host=a.test\0",
        ] {
            check(other.as_bytes(), &First::Other);
        }
        for more in ["", "G", "GET ", "GET / HTTP/1.1", "\r\n", "EHLO me", "0033git-upload-pack /a"]
        {
            check(more.as_bytes(), &First::Unknown);
        }
        let long = format!("GET /{}", "a".repeat(REQUEST_LINE_BYTES_MAX));
        check(long.as_bytes(), &First::Http1);
        let blank = "\r\n".repeat(REQUEST_LINE_BYTES_MAX);
        check(format!("{blank}GET / HTTP/1.1\r\n").as_bytes(), &First::Http1);
        let method = "M".repeat(REQUEST_LINE_BYTES_MAX);
        check(&method.as_bytes()[1..], &First::Unknown);
        check(format!("{method} / HTTP/1.1\r\n").as_bytes(), &First::Http1);
    }

    #[test]
    fn only_what_is_for_the_same_host_passes() {
        let host = Host::parse("allowed.test").unwrap();
        let rule = |first: &First| first.not_for(&host).map(|v| v.rule);
        assert_eq!(rule(&First::Tls(Ok(host.clone()))), None);
        assert_eq!(rule(&First::Other), None);
        let evil = First::Tls(Ok(Host::parse("evil.test").unwrap()));
        assert_eq!(rule(&evil).as_deref(), Some("sni-mismatch"));
        assert_eq!(rule(&First::Tls(Err("why"))).as_deref(), Some("sni-mismatch"));
        assert_eq!(rule(&First::Http2).as_deref(), Some("http2-plain"));
        assert!(First::Http1.passed_for_another(&host).is_some());
    }

    /// Pieces of what looks like HTTP, or nearly.
    fn nearly() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop::sample::select(vec![
            "GET",
            "get",
            " ",
            "\t",
            "\x0b",
            "\r",
            "\n",
            "\r\n",
            "/",
            "HTTP/1.1",
            "http:",
            "\0",
            "git-upload-pack ",
            "0033",
            "A-METHOD-OF-TWENTY-B",
            "é",
            "<",
            "\x15",
            "\x16",
            "\x03",
            "\x01",
        ]);
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat().into_bytes())
    }

    proptest! {
        #[test]
        fn what_was_told_stays_so_when_more_comes(
            bytes in prop_oneof![prop::collection::vec(any::<u8>(), 0..60), nearly()],
            cut in 0usize..60,
        ) {
            let early = First::of(&bytes[..cut.min(bytes.len())]);
            if early != First::Unknown {
                prop_assert_eq!(First::of(&bytes), early);
            }
        }
    }
}

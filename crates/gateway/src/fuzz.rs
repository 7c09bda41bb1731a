//! What the fuzzer feeds (`.ci/fuzz`): parsers of bytes that machines, hosts and providers send, each with the
//! rules that hold whatever the bytes are. Nothing of this is in what ships.

use crate::{
    brokered::{Frames, Unpacked, packed},
    config::ProviderConfig,
    direct::dns::{self, Found},
    egress::http_inside::hosts,
    judge::First,
    machine::{HEAD_BYTES_MAX, HEADERS_MAX},
    meter::{Answer, ModelFinder},
    models::{reading::renamed, target::Target},
    needles::{Look, Stream},
    provider::Provider,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, Empty, StreamBody};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::{
    convert::Infallible,
    io::Cursor,
    net::Ipv4Addr,
    sync::{Arc, LazyLock},
};
use toft_model::provider::Api;
use toft_policy::HostPort;
use tokio::runtime::{Builder, Runtime};

/// A name, and what reads the bytes.
pub type Fuzzed = (&'static str, fn(&[u8]));

/// Each target by the name of its seeds' folder.
pub const TARGETS: &[Fuzzed] = &[
    ("first_bytes", first_bytes),
    ("request_heads", request_heads),
    ("websocket_frames", websocket_frames),
    ("packed_answers", packed_answers),
    ("dns_questions", dns_questions),
    ("needles", needles),
    ("metered_answers", metered_answers),
    ("metered_requests", metered_requests),
    ("model_paths", model_paths),
];

/// A secret as it must not come out.
const VALUE: &str = "sk-live-4711";

static LOOK: LazyLock<Look> =
    LazyLock::new(|| Look::silent(&[VALUE], "toft-placeholder-00112233445566778899aabbccddeeff"));

/// The first byte says how large the pieces are in which the rest arrives.
fn size_and_rest(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (size, rest) = bytes.split_first()?;
    Some((usize::from(*size).max(1), rest))
}

fn has_value(bytes: &[u8]) -> bool {
    memchr::memmem::find(bytes, VALUE.as_bytes()).is_some()
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    thread_local! {
        static RUNTIME: Runtime =
            Builder::new_current_thread().enable_all().build().expect("there is room for one");
    }
    RUNTIME.with(|runtime| runtime.block_on(work))
}

/// What a connection is for: TLS, HTTP or another protocol. What was told stays so when more comes.
fn first_bytes(bytes: &[u8]) {
    let Some((size, bytes)) = size_and_rest(bytes) else { return };
    let early = First::of(&bytes[..size.min(bytes.len())]);
    if early != First::Unknown {
        assert_eq!(First::of(bytes), early, "after {size} bytes");
    }
}

/// Requests to the proxy, and to hosts through it: the heads as the proxy reads them, and which hosts they name.
fn request_heads(bytes: &[u8]) {
    let answer = async |request: Request<Incoming>| {
        for host in hosts(&request, 80).flatten() {
            let again = HostPort::parse(&host.to_string(), None);
            assert_eq!(again, Ok(host), "what is judged is what is dialled");
        }
        Target::of(request.uri());
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    };
    let stream = tokio::io::join(Cursor::new(bytes.to_vec()), tokio::io::sink());
    let served = http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service_fn(answer))
        .with_upgrades();
    // Bytes that are no request end the connection, and nothing else.
    let _ = block_on(served);
}

/// What a host says in a WebSocket: the same messages however it is cut, and no value in them.
fn websocket_frames(bytes: &[u8]) {
    let Some((size, bytes)) = size_and_rest(bytes) else { return };
    let pass = |size: usize| {
        let (mut frames, mut out) = (Frames::new(LOOK.clone()), Vec::new());
        let odd = bytes.chunks(size).find_map(|piece| frames.pass(piece, &mut out).err());
        (messages(&out), odd)
    };
    let (whole, odd) = pass(bytes.len().max(1));
    let (cut, odd_cut) = pass(size);
    assert_eq!(odd, odd_cut, "cut by {size}");
    assert!(whole.iter().all(|(_, said)| !has_value(said)));
    if odd.is_none() {
        // Of a message that has not ended, more or less may have passed.
        let ends = |said: &[(bool, Vec<u8>)]| {
            said.iter()
                .filter(|(ended, _)| *ended)
                .map(|(_, said)| said.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(ends(&cut), ends(&whole), "cut by {size}");
    }
}

/// What messages and frames that control say, each with whether it has ended.
fn messages(mut out: &[u8]) -> Vec<(bool, Vec<u8>)> {
    let (mut said, mut open) = (Vec::new(), None::<Vec<u8>>);
    while let [kind, length, rest @ ..] = out {
        let bytes = match length {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let (long, rest) = rest.split_at(bytes);
        let length = match bytes {
            0 => usize::from(*length),
            _ => long.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)),
        };
        let (payload, rest) = rest.split_at(length);
        out = rest;
        let (ends, controls) = (kind & 0x80 != 0, kind & 0x0f >= 8);
        if controls {
            said.push((true, payload.to_vec()));
            continue;
        }
        let message = open.get_or_insert_default();
        message.extend_from_slice(payload);
        if ends {
            said.extend(open.take().map(|message| (true, message)));
        }
    }
    said.extend(open.map(|message| (false, message)));
    said
}

/// An answer in gzip or deflate; the second byte says which.
fn packed_answers(bytes: &[u8]) {
    let Some((size, [kind, bytes @ ..])) = size_and_rest(bytes) else { return };
    let encoding = if kind & 1 == 0 { "gzip" } else { "deflate" };
    let unpack = |size: usize| {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
        let packed = packed(&Method::GET, StatusCode::OK, &headers);
        let packed = packed.ok().flatten().expect("it is one that is unpacked");
        let pieces = bytes.chunks(size);
        let frames = pieces.map(|piece| Frame::data(Bytes::copy_from_slice(piece)));
        let frames: Vec<Result<_, Infallible>> = frames.map(Ok).collect();
        let inner = StreamBody::new(futures_util::stream::iter(frames));
        let body = Unpacked::new(packed, &mut headers, inner, Arc::default());
        block_on(body.collect()).ok().map(http_body_util::Collected::to_bytes)
    };
    // How much one piece becomes is bounded, so small pieces may pass where a large one does not.
    if let (Some(whole), Some(cut)) = (unpack(bytes.len().max(1)), unpack(size)) {
        assert_eq!(cut, whole, "cut by {size}");
    }
}

fn dns_questions(bytes: &[u8]) {
    let found = |_: &str, _| Found::Address(Ipv4Addr::LOCALHOST);
    let Some(answer) = dns::answer(bytes, found) else { return };
    assert!(answer.len() <= 512 && answer[..2] == bytes[..2]);
}

/// Values in what a host answers, in pieces. The second byte: whether its length was announced.
fn needles(bytes: &[u8]) {
    let Some((size, [keeps, bytes @ ..])) = size_and_rest(bytes) else { return };
    let keeps = keeps & 1 == 1;
    let pass = |size: usize| {
        let (mut stream, mut out) = (Stream::new(LOOK.clone(), keeps), Vec::new());
        for piece in bytes.chunks(size) {
            out.extend_from_slice(&stream.pass(Bytes::copy_from_slice(piece)));
        }
        out.extend_from_slice(&stream.rest());
        out
    };
    let (whole, cut) = (pass(bytes.len().max(1)), pass(size));
    assert_eq!(cut, whole, "cut by {size}");
    assert!(!has_value(&whole) && (!keeps || whole.len() == bytes.len()));
}

/// The counts of an answer that passes by. The second byte: its content type.
fn metered_answers(bytes: &[u8]) {
    const TYPES: [&str; 3] =
        ["text/event-stream", "application/json", "application/vnd.amazon.eventstream"];
    let Some((size, [kind, bytes @ ..])) = size_and_rest(bytes) else { return };
    let read = |size: usize| {
        let mut answer = Answer::new(Some(TYPES[usize::from(*kind) % TYPES.len()]));
        bytes.chunks(size).for_each(|piece| answer.feed(piece));
        answer.finish();
        (answer.tokens, answer.model, answer.whole)
    };
    assert_eq!(read(size), read(bytes.len().max(1)), "cut by {size}");
}

/// The model in a request that passes by: as a reader of JSON finds it, and as nothing else but it is changed.
fn metered_requests(bytes: &[u8]) {
    let Some((size, bytes)) = size_and_rest(bytes) else { return };
    let find = |size: usize| {
        let mut finder = ModelFinder::default();
        bytes.chunks(size).for_each(|piece| finder.feed(piece));
        (finder.model().map(str::to_owned), finder.only_model().is_some(), finder.is_delayed())
    };
    let (model, is_only, delayed) = find(bytes.len().max(1));
    assert_eq!(find(size), (model.clone(), is_only, delayed), "cut by {size}");
    let Ok(mut body) = serde_json::from_slice::<Value>(bytes) else { return };
    if body["background"] == true || body["deferred"] == true {
        assert!(delayed);
    }
    if is_only {
        assert_eq!(body["model"].as_str(), model.as_deref());
        let renamed = renamed(bytes, "an\"other").expect("it was found");
        body["model"] = "an\"other".into();
        assert_eq!(serde_json::from_slice::<Value>(&renamed).ok(), Some(body));
    }
}

/// Paths of requests: none leads out of its provider's own.
fn model_paths(bytes: &[u8]) {
    static OWN: LazyLock<Provider> = LazyLock::new(|| {
        let base_url = Some("http://host.test:81/deep/base".to_owned());
        let api = Some(Api::AnthropicMessages);
        let config = ProviderConfig { id: "own".into(), base_url, api, ..Default::default() };
        Provider::new(&config).expect("a base and a format are all that it needs")
    });
    let Ok(uri) = Uri::try_from(bytes) else { return };
    let Some(target) = Target::of(&uri) else { return };
    let Ok(url) = OWN.url(&target.path) else { return };
    assert_eq!((url.host_str(), url.port()), (Some("host.test"), Some(81)));
    assert!(url.path().starts_with("/deep/base/"), "{url}");
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_fuzzers_seeds_and_changes_of_them_hold() {
        toft_lane::seeds::feed(super::TARGETS);
    }
}

//! Programs below init over connections that break, and what their machine's limits did to them.

use super::*;
use futures_util::StreamExt as _;
use toft_model::{
    frame::{Decoder, FrameKind, encode},
    init::{ExecExit, InitReply, InitRequest},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};

fn exit() -> ExecExit {
    ExecExit {
        code: Some(0),
        signal: None,
        output_bytes: 6,
        truncated: false,
        output_path: None,
        duration_ms: 1,
    }
}

/// The bridge's end of a link, and init's.
fn link() -> (InitShell, UnixStream) {
    let (bridge, init) = std::os::unix::net::UnixStream::pair().unwrap();
    init.set_nonblocking(true).unwrap();
    let shell = InitShell::new(InitLink::new(bridge.into()).unwrap(), "1");
    (shell, UnixStream::from_std(init).unwrap())
}

/// Init's side of one operation: takes the request, sends these frames, closes.
async fn operation(link: &UnixStream, frames: &[(FrameKind, Vec<u8>)]) -> InitRequest {
    open_operation(link, frames).await.0
}

/// The same of one that stays open.
async fn open_operation(
    link: &UnixStream,
    frames: &[(FrameKind, Vec<u8>)],
) -> (InitRequest, UnixStream) {
    let mut stream = crate::init_link::take(link).await.unwrap().unwrap();
    let mut decoder = Decoder::default();
    let request = loop {
        let mut buf = vec![0; 4_096];
        let n = stream.read(&mut buf).await.unwrap();
        decoder.push(&buf[..n]);
        if let Some((_, payload)) = decoder.next_frame().unwrap() {
            break serde_json::from_slice(&payload).unwrap();
        }
    };
    for (kind, payload) in frames {
        stream.write_all(&encode(*kind, payload)).await.unwrap();
    }
    (request, stream)
}

fn says(reply: &InitReply) -> (FrameKind, Vec<u8>) {
    (FrameKind::Json, serde_json::to_vec(reply).unwrap())
}

fn started(attached: bool) -> (FrameKind, Vec<u8>) {
    says(&InitReply::Started { id: "a".into(), pid: 7, attached, environment: 0 })
}

#[tokio::test]
async fn a_broken_connection_is_taken_up_where_it_broke_off() {
    let (shell, link) = link();
    let init = async {
        let out = |text: &str| (FrameKind::Stdout, text.as_bytes().to_vec());
        operation(&link, &[started(false), out("ab"), out("c")]).await;
        let end = says(&InitReply::Exit(exit()));
        operation(&link, &[started(true), out("def"), end]).await
    };
    let run = async {
        let run = shell.start(ExecSpec::default()).await.unwrap();
        run.events.collect::<Vec<_>>().await
    };
    let (request, events) = tokio::join!(init, run);
    assert_eq!(request, InitRequest::Attach { id: "a".into(), from: 3 });
    let output = |text: &str| ShellEvent::Output(text.into());
    assert_eq!(events, [output("ab"), output("c"), output("def"), ShellEvent::Exit(exit())]);
}

#[tokio::test]
async fn an_init_that_cannot_keep_a_program_from_writing_is_not_asked_to_run_it() {
    let reads = || ExecSpec { read_only: true, ..ExecSpec::default() };
    let (shell, init) = link();
    // An init that is older says nothing of it.
    let old = r#"{"reply":"hello","protocol":1,"version":"0","bridge_pid":null,"bridge_starts":1}"#;
    let answers = async { operation(&init, &[(FrameKind::Json, old.into())]).await };
    let (asked, refused) = tokio::join!(answers, shell.start(reads()));
    assert_eq!(asked, InitRequest::Hello);
    assert_eq!(refused.err().unwrap().code, "not_read_only");
    // It is known from now on.
    assert_eq!(shell.start(reads()).await.err().unwrap().code, "not_read_only");
    assert!(!shell.has_read_only().await);
}

#[tokio::test]
async fn an_init_that_can_is_asked_once() {
    let (shell, init) = link();
    let hello = InitReply::Hello {
        protocol: 1,
        version: "1".into(),
        bridge_pid: None,
        bridge_starts: 1,
        read_only: true,
    };
    let spec = ExecSpec { read_only: true, ..ExecSpec::default() };
    let answers = async {
        operation(&init, &[says(&hello)]).await;
        operation(&init, &[started(false), says(&InitReply::Exit(exit()))]).await
    };
    let (asked, run) = tokio::join!(answers, shell.start(spec.clone()));
    assert_eq!(asked, InitRequest::Exec(spec));
    assert_eq!(run.unwrap().id, "a");
    assert!(shell.has_read_only().await);
}

#[tokio::test]
async fn input_is_given_without_following_the_output() {
    let (shell, link) = link();
    let init = async {
        let mut stream = crate::init_link::take(&link).await.unwrap().unwrap();
        let reply = started(true);
        let mut decoder = Decoder::default();
        let mut got = Vec::new();
        loop {
            let mut buf = vec![0; 4_096];
            let n = stream.read(&mut buf).await.unwrap();
            if n == 0 {
                return got;
            }
            decoder.push(&buf[..n]);
            while let Some(frame) = decoder.next_frame().unwrap() {
                if got.is_empty() {
                    stream.write_all(&encode(reply.0, &reply.1)).await.unwrap();
                }
                got.push(frame);
            }
        }
    };
    let (got, given) = tokio::join!(init, shell.input("a", b"yes\n", true));
    given.unwrap();
    let asked: InitRequest = serde_json::from_slice(&got[0].1).unwrap();
    assert_eq!(asked, InitRequest::Attach { id: "a".into(), from: u64::MAX });
    assert_eq!(got[1], (FrameKind::Stdin, b"yes\n".to_vec()));
    let close = serde_json::to_vec(&toft_model::init::InitInput::CloseStdin).unwrap();
    assert_eq!(got[2], (FrameKind::Json, close));
    assert_eq!(got.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn news_of_a_memory_kill_is_waited_for_and_old_news_is_none() {
    let hits = LimitHits::default();
    let hit = |pid| LimitHit {
        kind: LimitKind::Memory,
        command: None,
        pid: Some(pid),
        peak: None,
        limit: None,
        message: "out of memory".into(),
    };
    hits.add(hit(1));
    sleep(Duration::from_secs(1)).await;
    let began = Instant::now();
    let wait = Duration::from_secs(2);
    assert_eq!(hits.since(LimitKind::Memory, began, Duration::ZERO).await, None);
    let later = async {
        sleep(Duration::from_secs(1)).await;
        hits.add(hit(2));
    };
    let (found, ()) = tokio::join!(hits.since(LimitKind::Memory, began, wait), later);
    assert_eq!(found.and_then(|hit| hit.pid), Some(2));
    assert_eq!(hits.since(LimitKind::Memory, Instant::now() + wait, wait).await, None);
    assert_eq!(hits.since(LimitKind::Disk, began, Duration::ZERO).await, None);
}

#[tokio::test]
async fn a_program_is_lost_when_init_is_gone() {
    let (shell, link) = link();
    let init = async {
        operation(&link, &[started(false)]).await;
        drop(link);
    };
    let run = async {
        let run = shell.start(ExecSpec::default()).await.unwrap();
        run.events.collect::<Vec<_>>().await
    };
    let ((), events) = tokio::join!(init, run);
    assert_eq!(events, [ShellEvent::Lost]);
    assert_eq!(shell.list().await.unwrap_err().code, "lost");
}

#[tokio::test]
async fn input_is_given_when_init_says_so_by_closing() {
    let (shell, link) = link();
    let is_given = std::sync::atomic::AtomicBool::new(false);
    let init = async {
        let (_, mut stream) = open_operation(&link, &[started(true)]).await;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        is_given.store(true, std::sync::atomic::Ordering::SeqCst);
        bytes
    };
    let give = async {
        shell.input("a", b"word", true).await.unwrap();
        is_given.load(std::sync::atomic::Ordering::SeqCst)
    };
    let (bytes, was_given) = tokio::join!(init, give);
    assert!(was_given, "the connection outlives what was said over it");
    let mut decoder = Decoder::default();
    decoder.push(&bytes);
    assert_eq!(decoder.next_frame().unwrap(), Some((FrameKind::Stdin, b"word".to_vec())));
    assert_eq!(decoder.next_frame().unwrap().unwrap().0, FrameKind::Json);
}

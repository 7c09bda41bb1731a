//! Several people pause one machine and let it go on, with work in between: all are answered, those who
//! ask for the same share it, and in the end it is as the last one asked.

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use std::time::Duration;
use toft_stories::{
    lane,
    toft::{STEP_TIMEOUT, Start, Toft},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

async fn post(toft: &Toft, project: &str, verb: &str) -> Result<Value> {
    toft.call("POST", &format!("/v1/projects/{project}/{verb}"), Some(json!({}))).await
}

async fn state(toft: &Toft, project: &str) -> Result<(Value, usize)> {
    let machine = toft.call("GET", &format!("/v1/projects/{project}/machine"), None).await?;
    Ok((machine["state"].clone(), machine["wakes"].as_array().map_or(0, Vec::len)))
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_people_pause_it_and_let_it_go_on_and_the_last_one_has_it_his_way() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Eight").await?;
    let machine = toft.call("GET", &format!("/v1/projects/{project}/machine"), None).await?;
    if machine["can"]["freeze"] != true {
        lane::skip("pausing", "nothing can be paused here");
        return toft.down();
    }
    let person = async |n: usize| -> Result<()> {
        for round in 0..3 {
            post(&toft, &project, "freeze").await?;
            let word = format!("{n}-{round}");
            let ran = toft.exec(&project, &format!("echo {word}")).await?;
            ensure!(ran["stdout"] == format!("{word}\n"), "{ran}");
            post(&toft, &project, "thaw").await?;
        }
        Ok(())
    };
    try_join_all((0..8).map(person)).await?;
    for verb in ["freeze", "thaw", "freeze"] {
        let want = if verb == "freeze" { "frozen" } else { "running" };
        assert_eq!(post(&toft, &project, verb).await?["state"], want);
        assert_eq!(state(&toft, &project).await?.0, want);
    }
    // A pause waits for a program that runs, and lets others through; somebody takes it back.
    assert_eq!(toft.exec(&project, "true").await?["exitCode"], 0);
    let long = toft.exec(&project, "touch /tmp/on; sleep 1000");
    let people = async {
        while toft.exec(&project, "test -e /tmp/on").await?["exitCode"] != 0 {}
        let soon = async || tokio::time::sleep(Duration::from_millis(200)).await;
        let frozen = post(&toft, &project, "freeze");
        tokio::try_join!(frozen, async {
            soon().await;
            post(&toft, &project, "thaw").await
        })?;
        assert_eq!(state(&toft, &project).await?.0, "running", "asked for last");
        tokio::try_join!(post(&toft, &project, "freeze"), async {
            soon().await;
            let ran = toft.exec(&project, "echo through").await?;
            ensure!(ran["stdout"] == "through\n", "{ran}");
            post(&toft, &project, "thaw").await?;
            Ok(())
        })?;
        let (now, before) = state(&toft, &project).await?;
        assert_eq!(now, "running");
        // Eight at once are one pause.
        for machine in try_join_all((0..8).map(|_| post(&toft, &project, "freeze"))).await? {
            assert_eq!(machine["state"], "frozen");
        }
        assert_eq!(state(&toft, &project).await?, (json!("frozen"), before));
        anyhow::Ok(())
    };
    tokio::select! {
        ended = long => anyhow::bail!("the program ended: {ended:?}"),
        done = people => done?,
    }
    toft.down()
}

/// A terminal's line, as a browser has it.
async fn line(toft: &Toft, project: &str, terminal: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", toft.port)).await?;
    let head = format!(
        "GET /v1/projects/{project}/toft/terminals/{terminal} HTTP/1.1\r\nHost: localhost:{}\r\n\
         Authorization: Bearer {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        toft.port, toft.token
    );
    stream.write_all(head.as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(timeout(STEP_TIMEOUT, stream.read_u8()).await??);
    }
    let answer = String::from_utf8_lossy(&answer);
    ensure!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    Ok(stream)
}

/// One frame; a mask of zeros leaves its content as it is.
async fn frame(stream: &mut TcpStream, kind: u8, content: &[u8]) -> Result<()> {
    let mut frame = vec![kind, 0x80 | u8::try_from(content.len())?, 0, 0, 0, 0];
    frame.extend_from_slice(content);
    Ok(stream.write_all(&frame).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_terminal_goes_on_when_something_is_typed_and_not_when_its_tab_is_closed()
-> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Typed").await?;
    let machine = toft.call("GET", &format!("/v1/projects/{project}/machine"), None).await?;
    if machine["can"]["freeze"] != true {
        lane::skip("pausing", "nothing can be paused here");
        return toft.down();
    }
    let path = format!("/v1/projects/{project}/toft/terminals");
    let made = toft.call("POST", &path, Some(json!({"cols": 80, "rows": 24}))).await?;
    let terminal = made["id"].as_str().unwrap_or_default().to_owned();
    let mut tab = line(&toft, &project, &terminal).await?;
    let mut other = line(&toft, &project, &terminal).await?;
    assert_eq!(post(&toft, &project, "freeze").await?["state"], "frozen");
    let before = state(&toft, &project).await?;
    // The window gets another size, and is closed.
    frame(&mut tab, 0x81, br#"{"type":"resize","cols":100,"rows":30}"#).await?;
    frame(&mut tab, 0x88, &[0x03, 0xe9]).await?;
    tab.shutdown().await?;
    // By the time at which that is through, so is this.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(state(&toft, &project).await?, before);
    frame(&mut other, 0x82, b"touch /tmp/typed\n").await?;
    toft.until(&format!("/v1/projects/{project}/machine"), |m| m["state"] == "running").await?;
    let (_, wakes) = state(&toft, &project).await?;
    assert_eq!(wakes, before.1 + 1);
    let seen = "for i in $(seq 200); do test -e /tmp/typed && exit 0; sleep 0.05; done; exit 1";
    assert_eq!(toft.exec(&project, seen).await?["exitCode"], 0, "what was typed arrived");
    toft.down()
}

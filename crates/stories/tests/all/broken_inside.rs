//! Machines that people or their programs have broken from inside or outside: said plainly, with what
//! to do, and what was said in the chat is not lost.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::time::Duration;
use toft_stories::{
    processes,
    session::{self, Follow},
    toft::{Start, Toft},
};
use tokio::io::AsyncWriteExt as _;

async fn talked(toft: &Toft, name: &str) -> Result<String> {
    let project = toft.new_project(name).await?;
    let mut follow = Follow::from(toft, &project, 0).await?;
    session::prompt(toft, &project, "run `echo hello`").await?;
    follow.until_agent_end().await?;
    Ok(project)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_that_crashes_at_each_start_is_told_soon_and_heals_when_it_can() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let project = talked(&toft, "Crashing").await?;
    let of = format!("/v1/projects/{project}");
    // A file where a folder of the agent's must be.
    let broken = "cd /home/starter && mv sessions kept && touch sessions";
    assert_eq!(toft.exec(&project, broken).await?["exitCode"], 0);
    processes::kill9(toft.bridge(&project).await?);
    for (method, path, body) in [
        // The first may still meet the connection that broke with the killed one; it asks again.
        ("GET", "messages", None),
        ("POST", "prompt", Some(json!({"message": "hello?"}))),
        ("GET", "files", None),
    ] {
        let path = format!("{of}/toft/{path}");
        let asked = toft.request(method, &path, body);
        // The limit of an answer that takes its time is ten minutes.
        let (status, told) = tokio::time::timeout(Duration::from_mins(1), asked).await??;
        ensure!((status, &told["error"]["code"]) == (502, &json!("machine_error")), "{told}");
        let message = told["error"]["message"].to_string();
        ensure!(message.contains("times") && message.contains("toft exec"), "{message}");
    }
    // What the message says to do can be done, and it works again without a restart.
    let mended = "cd /home/starter && rm sessions && mv kept sessions";
    assert_eq!(toft.exec(&project, mended).await?["exitCode"], 0);
    let messages = format!("{of}/toft/messages");
    let mut last = Value::Null;
    for _ in 0..100 {
        last = toft.request("GET", &messages, None).await?.1;
        if last["success"] == true {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    ensure!(last["data"]["messages"].as_array().is_some_and(|all| all.len() >= 2), "{last}");
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_init_leaves_a_reason_and_the_next_request_starts_the_machine() -> Result<()> {
    let mut toft = Toft::start(Start::default()).await?;
    let project = talked(&toft, "Killed").await?;
    let of = format!("/v1/projects/{project}");
    let before = session::transcript(&toft, &project).await?;
    processes::kill9(toft.init_pid(&project).context("an init")?);
    let cold = toft.until(&of, |p| p["state"] == "cold").await?;
    let reason = cold["stateReason"].as_str().context("a reason")?.to_owned();
    ensure!(reason.contains("from outside"), "{reason}");
    toft.kill_server();
    toft.up().await?;
    for path in [of.clone(), format!("{of}/machine")] {
        let told = toft.until(&path, |p| p["state"] == "cold").await?;
        assert_eq!(told["stateReason"], json!(reason), "{path}");
    }
    assert_eq!(toft.exec(&project, "true").await?["exitCode"], 0);
    let running = toft.call("GET", &of, None).await?;
    assert_eq!((&running["state"], &running["stateReason"]), (&json!("running"), &json!(null)));
    assert_eq!(session::transcript(&toft, &project).await?, before);
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_whose_files_were_removed_is_still_listed_and_read() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let project = talked(&toft, "Forgetful").await?;
    let of = format!("/v1/projects/{project}");
    let list = toft.call("GET", &format!("{of}/toft/sessions"), None).await?;
    let old = list["current"].as_str().context("a session")?.to_owned();
    let asked = format!("{of}/toft/messages?sessionId={old}");
    let before = toft.call("GET", &asked, None).await?;
    ensure!(before["messages"].as_array().is_some_and(|all| all.len() >= 2), "{before}");
    ensure!(before["lost"].is_null(), "{before}");
    toft.exec(&project, "rm -rf /home/starter").await?;
    for verb in ["stop", "start"] {
        toft.call("POST", &format!("{of}/{verb}"), Some(json!({}))).await?;
    }
    let list = toft.call("GET", &format!("{of}/toft/sessions"), None).await?;
    let sessions = list["sessions"].as_array().context("sessions")?;
    let lost = sessions.iter().find(|s| s["id"] == old.as_str()).context("the old one")?;
    assert_eq!((&lost["lost"], &lost["firstMessage"]), (&json!(true), &json!("run `echo hello`")));
    let after = toft.call("GET", &asked, None).await?;
    assert_eq!((&after["messages"], &after["lost"]), (&before["messages"], &json!(true)));
    toft.until(&format!("{of}/toft/state?sessionId={old}"), |s| s["lost"] == true).await?;
    // Work goes on in a new one; the old one is not written to.
    let (status, refused) = toft
        .request(
            "POST",
            &format!("{of}/toft/prompt"),
            Some(json!({"message": "more", "sessionId": old})),
        )
        .await?;
    ensure!((status, &refused["code"]) == (404, &json!("session_not_found")), "{refused}");
    let mut follow = Follow::since(&toft, &project, after["seq"].as_u64().context("seq")?).await?;
    session::prompt(&toft, &project, "run `echo again`").await?;
    follow.until_agent_end().await?;
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_cut_by_a_killed_bridge_leaves_nothing_behind() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Cut").await?;
    toft.exec(&project, "echo mine > .page.html.0123abcd.new; echo old > page.html").await?;
    for name in ["page.html", "fresh.html"] {
        let mut upload = tokio::net::TcpStream::connect(("127.0.0.1", toft.port)).await?;
        let head = format!(
            "PUT /v1/projects/{project}/toft/files/content?path={name} HTTP/1.1\r\n\
             host: localhost:{}\r\nauthorization: Bearer {}\r\ncontent-length: 1000000\r\n\r\n",
            toft.port, toft.token
        );
        upload.write_all(head.as_bytes()).await?;
        upload.write_all(&vec![b'x'; 300_000]).await?;
        // Under way: the bridge has it open, with a name or without.
        let bridge = toft.bridge(&project).await?;
        let is_open = || {
            std::fs::read_dir(format!("/proc/{bridge}/fd")).into_iter().flatten().flatten().any(
                |fd| {
                    std::fs::metadata(fd.path()).is_ok_and(|m| m.is_file() && m.len() > 100_000)
                        && std::fs::read_link(fd.path())
                            .is_ok_and(|to| to.to_string_lossy().contains("/home/project/"))
                },
            )
        };
        for _ in 0..500 {
            if is_open() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        ensure!(is_open(), "the upload did not begin");
        processes::kill9(bridge);
        toft.call("GET", &format!("/v1/projects/{project}/toft/files"), None).await?;
        let there = toft.exec(&project, "ls -A; cat page.html .page*").await?;
        assert_eq!(there["stdout"], ".page.html.0123abcd.new\npage.html\nold\nmine\n", "{name}");
    }
    toft.down()
}

//! Programs outside of all machines call models through the server, with its key and not with the
//! provider's.

use super::previews::{ask, sign_in, status};
use anyhow::{Context as _, Result, ensure};
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};
use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};
use toft_stories::{
    processes,
    provider::{Fate, Provider, Say, Script},
    toft::{STEP_TIMEOUT, Start, Toft},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_util::task::AbortOnDropHandle;

const KEY: &str = "program-key-4711-for-stories";
const MESSAGES: &str = "/llm/anthropic/v1/messages";
const CHAT: &str = "/llm/openai/v1/chat/completions";

/// Made at run time, so that the test binary's own text does not hold it.
fn canary() -> String {
    format!("sk-ant-{}-outside-canary", std::process::id() * 7919)
}

fn talker() -> Script {
    Arc::new(|user, _| Say { text: format!("You said {user} and that is all."), tools: Vec::new() })
}

async fn start(provider: &Provider) -> Result<Toft> {
    let mut env = provider.env(&canary());
    env.extend(provider.env_openai(&canary()));
    env.push(("AGENT_API_KEY".into(), KEY.into()));
    Toft::start(Start { env, ..Start::default() }).await
}

fn prompt(stream: bool) -> Value {
    json!({"model": "fake-1", "max_tokens": 100, "stream": stream,
        "messages": [{"role": "user", "content": "hello"}]})
}

fn call(toft: &Toft, path: &str) -> RequestBuilder {
    let url = format!("{}{path}", toft.base);
    toft.http().post(url).timeout(STEP_TIMEOUT).json(&prompt(true))
}

/// Calls that have ended, as the usage journal has them, once there are so many.
async fn usage(toft: &Toft, count: usize) -> Result<Vec<Value>> {
    let path = toft.data.join("usage/journal.jsonl");
    let look = async {
        loop {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let lines: Vec<Value> =
                text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
            let lines: Vec<Value> =
                lines.into_iter().filter(|line: &Value| line["id"].is_string()).collect();
            if lines.len() >= count {
                return lines;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(STEP_TIMEOUT, look).await.context("the journal stays short")
}

/// The first part of an answer that comes before its end.
async fn first_part(answer: &mut Response) -> Result<String> {
    let part =
        tokio::time::timeout(STEP_TIMEOUT, answer.chunk()).await.context("no byte came")??;
    Ok(String::from_utf8_lossy(&part.context("it ended at once")?).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_outside_streams_answers_byte_for_byte_with_the_servers_key() -> Result<()> {
    let provider = Provider::start(Duration::ZERO, talker()).await?;
    let toft = start(&provider).await?;
    for (path, own, header, value) in [
        (MESSAGES, "/v1/messages", "x-api-key", KEY.to_owned()),
        (MESSAGES, "/v1/messages", "x-agent-api-key", KEY.to_owned()),
        (CHAT, "/v1/chat/completions", "authorization", format!("Bearer {KEY}")),
        (CHAT, "/v1/chat/completions", "x-goog-api-key", KEY.to_owned()),
    ] {
        let sent = call(&toft, path).header(header, &value);
        // A page's cookie beside the key is taken off, not counted.
        let answer = sent.header("cookie", "toft_session=x").send().await?;
        ensure!(answer.status() == 200, "{path} {header}: {}", answer.text().await?);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        let through = answer.bytes().await?;
        let url = format!("http://{}{own}", provider.addr);
        let straight = toft.http().post(url).json(&prompt(true)).send().await?.bytes().await?;
        assert!(through == straight, "{path}: {through:?} is not {straight:?}");
    }
    // Those that went through Toft carry its provider's key, and the program's is nowhere.
    let keys = provider.keys();
    assert_eq!(keys.iter().filter(|k| **k == canary()).count(), 4, "{keys:?}");
    assert!(!keys.iter().any(|k| k.contains(KEY)));
    assert_eq!(provider.faults(), Vec::<String>::new());
    for line in usage(&toft, 4).await? {
        assert_eq!((&line["project"], &line["status"]), (&Value::Null, &json!(200)), "{line}");
        assert!(line["output"].as_u64().is_some_and(|n| n > 0), "{line}");
    }
    let models = toft.http().get(format!("{}/llm/models", toft.base)).header("x-api-key", KEY);
    let models: Value = models.send().await?.json().await?;
    assert!(models["models"].as_array().is_some_and(|m| !m.is_empty()), "{models}");
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_pass_through_and_what_the_program_gives_up_ends_at_the_provider() -> Result<()> {
    let fates = Arc::new(|number| match number {
        0 => Fate::Refuse { status: 529, retry_after: Some(7), message: "overloaded today" },
        1 => Fate::HangAfter(2),
        2 => Fate::CutAfter(2),
        _ => Fate::Answer,
    });
    let provider = Provider::start_with(Duration::ZERO, talker(), fates).await?;
    let toft = start(&provider).await?;
    let send = || call(&toft, MESSAGES).header("x-api-key", KEY).send();

    let refused = send().await?;
    assert_eq!(refused.status(), 529);
    assert_eq!(refused.headers()["retry-after"], "7");
    assert!(refused.headers().get("x-toft-error").is_none(), "the provider's own words");
    assert!(refused.text().await?.contains("overloaded today"));

    // Its first bytes are here although its last ones never come; letting go ends the call.
    let mut hanging = send().await?;
    first_part(&mut hanging).await?;
    drop(hanging);
    let lines = usage(&toft, 2).await?;
    assert_eq!(lines[1]["error"], "client_closed", "{}", lines[1]);

    let mut cut = send().await?;
    let mut broke = false;
    loop {
        match cut.chunk().await {
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(_) => {
                broke = true;
                break;
            }
        }
    }
    assert!(broke, "a cut answer must not look whole");
    assert_eq!(usage(&toft, 3).await?[2]["error"], "cut");
    toft.down()
}

/// A provider that reads all it gets and never answers.
async fn sink() -> Result<(SocketAddr, AbortOnDropHandle<()>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let addr = listener.local_addr()?;
    let reading = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move { tokio::io::copy(&mut stream, &mut tokio::io::sink()).await });
        }
    });
    Ok((addr, AbortOnDropHandle::new(reading)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_larger_than_any_provider_takes_is_refused_on_its_way() -> Result<()> {
    let (addr, _reading) = sink().await?;
    let env = vec![
        ("OPENAI_API_KEY".into(), canary()),
        ("OPENAI_BASE_URL".into(), format!("http://{addr}/v1")),
        ("AGENT_API_KEY".into(), KEY.into()),
    ];
    let toft = Toft::start(Start { env, ..Start::default() }).await?;
    // Nobody says beforehand how long it is.
    let mut stream = TcpStream::connect(("127.0.0.1", toft.port)).await?;
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nHost: localhost:{}\r\nX-Api-Key: {KEY}\r\n\
         Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
        toft.port
    );
    stream.write_all(head.as_bytes()).await?;
    let piece = [b"100000\r\n".to_vec(), vec![b' '; 1 << 20], b"\r\n".to_vec()].concat();
    for _ in 0..32 {
        stream.write_all(&piece).await?;
    }
    stream.write_all(b"1\r\n \r\n").await?;
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(STEP_TIMEOUT, read).await?;
    let answer = String::from_utf8_lossy(&answer);
    assert_eq!(status(&answer), 413, "{answer}");
    assert!(answer.contains("x-toft-error: payload_too_large"), "{answer}");
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_cookie_nor_wrong_key_reaches_a_provider_and_no_key_is_written_down() -> Result<()>
{
    let provider = Provider::start(Duration::ZERO, talker()).await?;
    let toft = start(&provider).await?;
    let cookie = sign_in(&toft).await?;
    let host = format!("localhost:{}", toft.port);
    let own = format!("http://{host}");
    let secret = format!("AIza-{}-in-a-url", std::process::id() * 7919);
    let in_url = format!("POST {CHAT}?key={secret}");
    let chat = format!("POST {CHAT}");
    let page = [("Host", &*host), ("Origin", &*own), ("Sec-Fetch-Site", "same-origin")];
    let with = |name, value| [&page[..], &[(name, value)]].concat();
    for (line, headers, want) in [
        (&*chat, with("Cookie", &cookie), 401),
        (&*chat, with("X-Api-Key", "wrong"), 401),
        (&*chat, page.to_vec(), 401),
        (&*in_url, with("X-Api-Key", KEY), 400),
        (&*in_url, page.to_vec(), 400),
    ] {
        let answer = ask(&toft, line, &headers).await?;
        assert_eq!(status(&answer), want, "{headers:?}: {answer}");
        assert!(!answer.contains(&secret) && !answer.to_lowercase().contains("access-control"));
    }
    assert!(provider.requests().is_empty(), "nothing got as far as the provider");

    let answer = call(&toft, MESSAGES).header("x-api-key", KEY).send().await?;
    assert_eq!(answer.status(), 200);
    answer.bytes().await?;
    for needle in [canary(), secret, KEY.to_owned()] {
        assert_eq!(processes::files_holding(&toft.data, needle.as_bytes()), Vec::<PathBuf>::new());
        assert!(!toft.log().contains(&needle));
    }
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_waits_for_a_gateway_that_is_started_again() -> Result<()> {
    let provider = Provider::start(Duration::ZERO, talker()).await?;
    let toft = start(&provider).await?;
    for _ in 0..5 {
        let gateway = toft.gateway_pid().context("there is a gateway")?;
        processes::kill9(gateway);
        let answer = call(&toft, MESSAGES).header("x-api-key", KEY).send().await?;
        ensure!(answer.status() == 200, "{}", answer.text().await?);
        answer.bytes().await?;
    }
    toft.down()
}

//! Signing in and out as an attacker sees it: links, planted cookies, open streams, guessed passwords.

use super::previews::{ask, cookie, sign_in, status};
use anyhow::{Context as _, Result};
use serde_json::json;
use toft_stories::{
    session::Follow,
    toft::{STEP_TIMEOUT, Start, Toft},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_is_used_once_renewed_each_time_and_its_end_ends_its_streams() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Watched").await?;
    let host = format!("localhost:{}", toft.port);
    let path = toft.link.split_once("/sign-in").context("a link")?.1.to_owned();
    let planted = ("Cookie", "toft_session=planted-by-somebody");
    let first = ask(&toft, &format!("GET /sign-in{path}"), &[("Host", &host), planted]).await?;
    let mine = cookie(&first).context("a cookie")?;
    assert!(!mine.contains("planted"), "{mine}");
    let line = first.lines().find(|l| l.contains("toft_session")).unwrap_or_default();
    assert!(
        line.contains("HttpOnly") && line.contains("SameSite=Lax") && !line.contains("Domain"),
        "{line}"
    );
    let second = ask(&toft, &format!("GET /sign-in{path}"), &[("Host", &host)]).await?;
    assert!(cookie(&second).is_none() && second.contains("/?signIn=expired"), "{second}");
    for query in [
        "?token=",
        "?token=x&next=http://evil.test",
        "?next=//evil.test",
        "?token=x&redirect=%2F%2Fevil.test",
    ] {
        let answer = ask(&toft, &format!("GET /sign-in{query}"), &[("Host", &host)]).await?;
        assert!(!answer.contains("evil.test") && cookie(&answer).is_none(), "{query}: {answer}");
    }
    // Beside tossed ones the real cookie counts.
    let tossed = format!("toft_session=a; toft_session=b; {mine}");
    assert_eq!(
        status(&ask(&toft, "GET /v1/me", &[("Host", &host), ("Cookie", &tossed)]).await?),
        200
    );

    let mut stream = TcpStream::connect(("127.0.0.1", toft.port)).await?;
    let open = format!(
        "GET /v1/projects/{project}/toft/events HTTP/1.1\r\nHost: {host}\r\nCookie: {mine}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(open.as_bytes()).await?;
    let mut buf = [0u8; 4096];
    let n = tokio::time::timeout(STEP_TIMEOUT, stream.read(&mut buf)).await??;
    assert!(String::from_utf8_lossy(&buf[..n]).starts_with("HTTP/1.1 200"));
    // Elsewhere: another sign-in does not end it, signing out does.
    let other = sign_in(&toft).await?;
    let origin = format!("http://{host}");
    let out = ask(
        &toft,
        "POST /v1/auth/sign-out",
        &[("Host", &host), ("Cookie", &other), ("Origin", &origin)],
    )
    .await?;
    assert_eq!(status(&out), 200, "{out}");
    let me = ask(&toft, "GET /v1/me", &[("Host", &host), ("Cookie", &mine)]).await?;
    assert_eq!(status(&me), 200, "another sign-in's end is not mine: {me}");
    let out = ask(
        &toft,
        "POST /v1/auth/sign-out",
        &[("Host", &host), ("Cookie", &mine), ("Origin", &origin)],
    )
    .await?;
    assert_eq!(status(&out), 200, "{out}");
    let mut rest = Vec::new();
    tokio::time::timeout(STEP_TIMEOUT, stream.read_to_end(&mut rest))
        .await
        .context("the stream goes on")??;
    assert_eq!(
        status(&ask(&toft, "GET /v1/me", &[("Host", &host), ("Cookie", &mine)]).await?),
        401
    );
    // A key's stream is nobody's sign-in.
    let mut follow = Follow::from(&toft, &project, 0).await?;
    assert!(follow.next().await?.seq > 0);
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_are_not_guessed_and_accounts_not_told_apart() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let session = sign_in(&toft).await?;
    let host = format!("localhost:{}", toft.port);
    let origin = format!("http://{host}");
    let change = json!({"email": "ada@example.org", "password": "correct horse battery"});
    let changed = toft
        .http()
        .patch(format!("{}/v1/me", toft.base))
        .header("host", &host)
        .header("cookie", &session)
        .header("origin", &origin)
        .json(&change)
        .send()
        .await?;
    assert_eq!(changed.status(), 200, "{}", changed.text().await?);
    let login = |email: &'static str, password: &'static str, origin: Option<&'static str>| {
        let mut request = toft
            .http()
            .post(format!("{}/v1/auth/password", toft.base))
            .json(&json!({"email": email, "password": password}));
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        async move {
            let answer = request.send().await?;
            let (status, cookie) =
                (answer.status().as_u16(), answer.headers().contains_key("set-cookie"));
            let body: serde_json::Value = answer.json().await?;
            anyhow::Ok((status, cookie, body["error"].clone()))
        }
    };
    assert_eq!(
        login("ada@example.org", "correct horse battery", Some("http://evil.test")).await?.0,
        403,
        "login from another site"
    );
    let right = login("ada@example.org", "correct horse battery", None).await?;
    assert_eq!((right.0, right.1), (200, true), "{right:?}");
    let unknown = login("nobody@example.org", "x", None).await?;
    for _ in 0..5 {
        assert_eq!(login("ada@example.org", "wrong", None).await?, unknown);
    }
    let locked = login("ADA@example.org", "correct horse battery", None).await?;
    assert_eq!(locked, unknown, "the account waits, and says nothing else");
    toft.down()
}

//! The server's own walls against pages, tabs and clients: hosts, origins, cookies, credentials on
//! their way to an app, sign-ins. Requests are written byte by byte where a client would tidy up.

use anyhow::{Context as _, Result};
use serde_json::json;
use toft_stories::toft::{STEP_TIMEOUT, Start, Toft};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Sends a head (and body) as they are; answers everything that comes, in text.
async fn raw(toft: &Toft, text: &str) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", toft.port)).await?;
    stream.write_all(text.as_bytes()).await?;
    let mut out = Vec::new();
    // A server that refuses may reset the connection behind its answer.
    let _ = tokio::time::timeout(STEP_TIMEOUT, stream.read_to_end(&mut out)).await?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

pub(crate) fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0)
}

/// `METHOD target` with these headers, `Connection: close` and an empty JSON body if it may have one.
pub(crate) async fn ask(toft: &Toft, line: &str, headers: &[(&str, &str)]) -> Result<String> {
    let mut text = format!("{line} HTTP/1.1\r\nConnection: close\r\n");
    for (name, value) in headers {
        text.extend([*name, ": ", *value, "\r\n"]);
    }
    text += if line.starts_with("GET") {
        "\r\n"
    } else {
        "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    };
    raw(toft, &text).await
}

/// Signs in by the printed link; the cookie as a browser sends it.
pub(crate) async fn sign_in(toft: &Toft) -> Result<String> {
    let link = toft.call("POST", "/v1/sign-in-links", Some(json!({}))).await?;
    let path =
        link["url"].as_str().and_then(|u| u.split_once("/sign-in")).context("a link")?.1.to_owned();
    let host = format!("localhost:{}", toft.port);
    let answer = ask(toft, &format!("GET /sign-in{path}"), &[("Host", &host)]).await?;
    cookie(&answer).with_context(|| format!("a cookie in {answer}"))
}

pub(crate) fn cookie(answer: &str) -> Option<String> {
    let line = answer.lines().find(|l| l.to_ascii_lowercase().starts_with("set-cookie:"))?;
    Some(line.split_once(':')?.1.split(';').next()?.trim().to_owned())
}

/// Opens a preview; the path of the signed URL, and its cookie.
async fn enter(toft: &Toft, host: &str, project: &str) -> Result<(String, String)> {
    let made =
        toft.call("POST", &format!("/v1/projects/{project}/preview"), Some(json!({}))).await?;
    let url = made["url"].as_str().context("a URL")?;
    let path = url.split_once(host).context("the preview's host")?.1.to_owned();
    let answer = ask(toft, &format!("GET {path}"), &[("Host", host)]).await?;
    Ok((path, cookie(&answer).with_context(|| format!("a cookie in {answer}"))?))
}

/// Answers every request with its own head, as the app of a project on port 3000.
const ECHO: &str = r#"use IO::Socket; my $l = IO::Socket::INET->new(LocalAddr=>"127.0.0.1", LocalPort=>3000, Listen=>64, ReuseAddr=>1) or die;
while (my $c = $l->accept) { my $h = ""; while (my $line = <$c>) { $h .= $line; last if $line =~ /^\r?\n$/ } my $b = "ECHO\n$h";
print $c "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\nContent-Length: " . length($b) . "\r\nSet-Cookie: toft_session=evil; Path=/\r\nSet-Cookie: wide=1; Domain=localhost\r\nSet-Cookie: =toft_preview=evil\r\nSet-Cookie: fine=1\r\n\r\n$b"; close $c }"#;

async fn start_echo(toft: &Toft, project: &str) -> Result<()> {
    let run = format!(
        "cat > /root/echo.pl <<'E'\n{ECHO}\nE\nsetsid perl /root/echo.pl >/dev/null 2>&1 & for i in $(seq 100); do (exec 3<>/dev/tcp/127.0.0.1/3000) 2>/dev/null && exit 0; sleep 0.05; done; exit 1"
    );
    anyhow::ensure!(toft.exec(project, &run).await?["exitCode"] == 0, "the app does not listen");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_answered_for_its_own_host_only() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let port = toft.port;
    for (host, want) in [
        (format!("localhost:{port}"), 200),
        (format!("127.0.0.1:{port}"), 200),
        (format!("LOCALHOST:{port}"), 200),
        (format!("[::1]:{port}"), 200),
        (format!("evil.test:{port}"), 421),
        ("evil.test".into(), 421),
        (format!("localhost.evil.test:{port}"), 421),
        (format!("127.0.0.1.evil.test:{port}"), 421),
        (format!("localhost.:{port}"), 421),
        (format!("toft.localhost:{port}"), 421),
        ("10.0.0.1".into(), 421),
        ("169.254.169.254".into(), 421),
        (format!("localhost:{port}:{port}"), 421),
        (format!("user@localhost:{port}"), 421),
        (format!("localhost:{port}, evil.test"), 421),
        (String::new(), 421),
    ] {
        for path in ["/health", "/v1/health", "/", "/sign-in?token=x"] {
            let answer = ask(&toft, &format!("GET {path}"), &[("Host", &host)]).await?;
            let got = status(&answer);
            let fine =
                if want == 200 { got == 200 || got == 303 } else { got == want || got == 400 };
            assert!(fine, "{host:?} {path}: {answer}");
        }
    }
    let good = format!("localhost:{port}");
    for headers in [
        vec![],
        vec![("Host", &*good), ("Host", "evil.test")],
        vec![("Host", "evil.test"), ("Host", &*good)],
    ] {
        let answer = ask(&toft, "GET /v1/health", &headers).await?;
        assert!(matches!(status(&answer), 400 | 421), "{headers:?}: {answer}");
    }
    let answer = ask(&toft, "GET http://evil.test/v1/health", &[("Host", &good)]).await?;
    assert!(matches!(status(&answer), 400 | 421), "{answer}");
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_works_from_the_dashboards_own_pages_only() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Target").await?;
    let cookie = sign_in(&toft).await?;
    let host = format!("localhost:{}", toft.port);
    let own = format!("http://{host}");
    let p = format!("/v1/projects/{project}");
    let routes: Vec<String> = [
        "PATCH /v1/me",
        "POST /v1/projects",
        "PUT /v1/settings",
        "PUT /v1/providers/openai/key",
        "DELETE /v1/providers/openai/key",
        "POST /v1/providers/openai/test",
        "POST /v1/auth/sign-out",
        "POST /v1/sign-in-links",
        "POST /v1/shutdown",
    ]
    .into_iter()
    .map(str::to_owned)
    .chain(
        [
            "/start",
            "/stop",
            "/wake",
            "/sleep",
            "/exec",
            "/preview",
            "/toft/prompt",
            "/toft/abort",
            "/toft/terminals",
            "/toft/files/move",
        ]
        .map(|r| format!("POST {p}{r}")),
    )
    .chain([
        format!("DELETE {p}"),
        format!("PATCH {p}"),
        format!("PUT {p}/toft/files/content?path=x"),
        format!("DELETE {p}/toft/files?path=x"),
    ])
    .collect();
    let preview = format!("http://{project}.localhost:{}", toft.port);
    for route in &routes {
        for (name, value) in [
            ("Origin", "http://evil.test"),
            ("Origin", "null"),
            ("Origin", &*preview),
            ("Origin", "http://localhost:1"),
            ("Origin", "http://localhost"),
            ("Sec-Fetch-Site", "cross-site"),
            ("Sec-Fetch-Site", "same-site"),
            ("Sec-Fetch-Site", "none"),
            ("X-None", ""),
        ] {
            let answer =
                ask(&toft, route, &[("Host", &host), ("Cookie", &cookie), (name, value)]).await?;
            assert_eq!(status(&answer), 403, "{route} {name}: {value}: {answer}");
        }
    }
    // Reading, from another page, and sockets.
    for (name, value, want) in [
        ("Sec-Fetch-Site", "cross-site", 403),
        ("Sec-Fetch-Site", "same-site", 403),
        ("Sec-Fetch-Site", "same-origin", 200),
        ("Origin", own.as_str(), 200),
    ] {
        let answer =
            ask(&toft, "GET /v1/me", &[("Host", &host), ("Cookie", &cookie), (name, value)])
                .await?;
        assert_eq!(status(&answer), want, "{name}: {value}: {answer}");
    }
    let made = toft
        .call("POST", &format!("{p}/toft/terminals"), Some(json!({"cols": 80, "rows": 24})))
        .await?;
    let terminal = format!("GET {p}/toft/terminals/{}", made["id"].as_str().context("an id")?);
    for origin in ["http://evil.test", "null", &preview, "http://localhost:1"] {
        let upgrade = [
            ("Host", host.as_str()),
            ("Cookie", &cookie),
            ("Origin", origin),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        let answer = ask(&toft, &terminal, &upgrade).await?;
        assert_eq!(status(&answer), 403, "{origin}: {answer}");
    }
    // Nothing of the API becomes code of a page.
    let auth = format!("Bearer {}", toft.token);
    for dest in ["script", "worker", "serviceworker", "sharedworker", "style", "object", "embed"] {
        let answer = ask(
            &toft,
            "GET /v1/me",
            &[("Host", &host), ("Authorization", &auth), ("Sec-Fetch-Dest", dest)],
        )
        .await?;
        assert_eq!(status(&answer), 403, "{dest}: {answer}");
    }
    let answer = ask(&toft, "GET /", &[("Host", &host), ("Accept", "text/html")])
        .await?
        .to_ascii_lowercase();
    for header in [
        "frame-ancestors 'none'",
        "script-src 'self';",
        "object-src 'none'",
        "base-uri 'none'",
        "nosniff",
        "cross-origin-opener-policy: same-origin",
    ] {
        assert!(answer.contains(header), "{header}: {answer}");
    }
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_address_and_its_cookie_open_one_preview_of_one_sign_in() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("One").await?;
    let other = toft.new_project("Two").await?;
    let host = format!("{project}.localhost:{}", toft.port);
    let (path, mine) = enter(&toft, &host, &project).await?;
    let open = |host: String, cookie: String| {
        let toft = &toft;
        async move {
            anyhow::Ok(status(&ask(toft, "GET /", &[("Host", &host), ("Cookie", &cookie)]).await?))
        }
    };
    assert_eq!(
        open(host.clone(), mine.clone()).await?,
        503,
        "the placeholder of an app that does not run"
    );
    let others = [
        format!("{other}.localhost:{}", toft.port),
        format!("3000-{project}.localhost:{}", toft.port),
    ];
    for foreign in others {
        assert_eq!(open(foreign.clone(), mine.clone()).await?, 401, "{foreign} with the cookie");
        let answer = ask(&toft, &format!("GET {path}"), &[("Host", &foreign)]).await?;
        assert_eq!(status(&answer), 401, "{foreign} with the address: {answer}");
    }
    // Used once, it is a dead letter; whoever has the cookie already is led on.
    assert_eq!(status(&ask(&toft, &format!("GET {path}"), &[("Host", &host)]).await?), 401);
    let again = ask(&toft, &format!("GET {path}"), &[("Host", &host), ("Cookie", &mine)]).await?;
    assert_eq!(status(&again), 303, "{again}");
    for (from, to) in [
        ("e=1", "e=2"),
        ("&m=", "&m=A"),
        ("s=key", "s=kex"),
        ("/.toft/enter", "/.toft/../.toft/enter"),
    ] {
        let changed = path.replacen(from, to, 1);
        assert_ne!(changed, path);
        let answer = ask(&toft, &format!("GET {changed}"), &[("Host", &host)]).await?;
        assert!(matches!(status(&answer), 401 | 404), "{changed}: {answer}");
    }
    for forged in [
        mine.replacen('=', "=9", 1),
        mine.replace(".key.", ".kex."),
        format!("{mine}x"),
        "toft_preview=".into(),
    ] {
        assert_eq!(open(host.clone(), forged.clone()).await?, 401, "{forged}");
    }
    // A person's preview ends with the sign-in.
    let session = sign_in(&toft).await?;
    let own = format!("localhost:{}", toft.port);
    let origin = format!("http://{own}");
    let as_person = [("Host", own.as_str()), ("Cookie", &session), ("Origin", &origin)];
    let made = ask(&toft, &format!("POST /v1/projects/{project}/preview"), &as_person).await?;
    let entry = made
        .split_once("/.toft/enter")
        .context("an address")?
        .1
        .split('"')
        .next()
        .context("its end")?;
    let answer = ask(&toft, &format!("GET /.toft/enter{entry}"), &[("Host", &host)]).await?;
    let theirs = cookie(&answer).context("a cookie")?;
    assert_eq!(open(host.clone(), theirs.clone()).await?, 503);
    assert_eq!(status(&ask(&toft, "POST /v1/auth/sign-out", &as_person).await?), 200);
    assert_eq!(open(host, theirs).await?, 401, "after signing out");
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_sees_no_credential_and_its_page_never_the_agents_api() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Echo").await?;
    start_echo(&toft, &project).await?;
    let host = format!("{project}.localhost:{}", toft.port);
    let (_, preview) = enter(&toft, &host, &project).await?;
    let secret = preview.split_once('=').context("a value")?.1.to_owned();
    let token = toft.token.clone();
    let bearer = format!("Bearer {token}");
    let odd = format!("bearer   {token}");
    let joined = format!("a=1, toft_session=tossed; {preview}; b=2");
    let cases: Vec<Vec<(&str, &str)>> = vec![
        vec![("Cookie", &preview)],
        vec![("Cookie", &joined)],
        vec![("Cookie", "x=1"), ("Cookie", &preview), ("cookie", "TOFT_Session=tossed")],
        vec![("Authorization", &bearer)],
        vec![("aUTHORIZATION", &odd)],
        vec![("X-Agent-Api-Key", &token), ("Authorization", &bearer)],
        vec![("X-Agent-Api-Key", &token), ("x-agent-api-key", &token)],
        vec![("Cookie", &preview), ("Authorization", "Basic YTpi"), ("Authorization", &bearer)],
        vec![("Cookie", &preview), ("X-Agent-Api-Key", "not-ours"), ("X-Agent-Api-Key", &token)],
        vec![
            ("Cookie", &preview),
            ("Connection", "cookie, authorization, x-agent-api-key, host"),
            ("X-Agent-Api-Key", &token),
        ],
    ];
    for headers in cases {
        let all: Vec<_> =
            [("Host", host.as_str())].into_iter().chain(headers.iter().copied()).collect();
        let answer = ask(&toft, "GET /some?x=1", &all).await?;
        assert!(
            status(&answer) == 200 && answer.contains("ECHO\nGET /some?x=1 HTTP/1.1"),
            "{headers:?}: {answer}"
        );
        for bad in [secret.as_str(), &token, "tossed", "toft_", "x-agent-api-key"] {
            let shown = answer.split_once("ECHO").context("an echo")?.1.to_ascii_lowercase();
            assert!(!shown.contains(&bad.to_ascii_lowercase()), "{bad} in {shown}");
        }
        assert!(!answer.contains("evil") && !answer.contains("wide=1"), "{answer}");
        assert!(answer.contains("fine=1") && answer.contains("frame-ancestors 'self'"), "{answer}");
    }
    // An app's own credential and cookies pass, and no client picks the port.
    let answer = ask(
        &toft,
        "GET /",
        &[
            ("Host", &host),
            ("Cookie", &format!("{preview}; app=7")),
            ("Authorization", "Bearer apps-own"),
            ("X-Toft-Port", "8080"),
            ("X-Forwarded-For", "6.6.6.6"),
            ("X-Forwarded-Host", "evil.test"),
        ],
    )
    .await?;
    for want in ["app=7", "Bearer apps-own", "ECHO"] {
        assert!(answer.contains(want), "{want}: {answer}");
    }
    for bad in ["6.6.6.6", "evil.test", "x-toft-port"] {
        assert!(!answer.contains(bad), "{bad}: {answer}");
    }
    // However the agent's path is written, a cookie opens it for nobody.
    let absolute = format!("http://{host}/toft/state");
    for path in [
        "/toft",
        "/toft/",
        "/toft/state",
        "/starter/state",
        "/%74oft/state",
        "/toft%2fstate",
        "//toft/state",
        "/./toft/state",
        "/x/../toft/state",
        "/toft/../toft/state",
        "/TOFT/state",
        "/toft;x/state",
        "/toft\\state",
        "/%2e/toft/state",
        "/starter/../toft/state",
        absolute.as_str(),
        "/toft/state?a=b",
        "/starter/toft/state",
    ] {
        let answer =
            ask(&toft, &format!("GET {path}"), &[("Host", &host), ("Cookie", &preview)]).await?;
        assert!(
            !answer.contains("\"command\":\"get_state\"") && !answer.contains("\"success\":true"),
            "{path}: {answer}"
        );
    }
    // Two lengths at once are no request, and no second one hides in the first.
    let smuggled = format!("GET /toft/state HTTP/1.1\r\nHost: {host}\r\n\r\n");
    for lengths in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Content-Length: 5\r\nContent-Length: 6",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: xchunked",
        "Content-Length: +5",
    ] {
        let text = format!(
            "POST / HTTP/1.1\r\nHost: {host}\r\nCookie: {preview}\r\nConnection: close\r\n{lengths}\r\n\r\n0\r\n\r\n{smuggled}"
        );
        let answer = raw(&toft, &text).await?;
        assert!(!answer.contains("get_state"), "{lengths}: {answer}");
        assert!(answer.matches("HTTP/1.1 200").count() <= 1, "{lengths}: {answer}");
    }
    let big = "x".repeat(600 << 10);
    let answer =
        ask(&toft, "GET /", &[("Host", &host), ("Cookie", &preview), ("X-Big", &big)]).await?;
    assert!(matches!(status(&answer), 0 | 400 | 431), "{answer}");
    assert_eq!(
        status(&ask(&toft, "GET /health", &[("Host", &format!("localhost:{}", toft.port))]).await?),
        200
    );
    // Another project's page cannot use the cookie that comes along with its requests.
    for (name, value, want) in [
        ("Origin", "http://b23456789bcd.localhost:1", 403),
        ("Origin", "null", 403),
        ("Sec-Fetch-Site", "cross-site", 403),
        ("Sec-Fetch-Site", "same-origin", 200),
    ] {
        let answer =
            ask(&toft, "POST /", &[("Host", &host), ("Cookie", &preview), (name, value)]).await?;
        assert_eq!(status(&answer), want, "{name}: {value}: {answer}");
    }
    toft.down()
}

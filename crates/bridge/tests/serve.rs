//! The bridge as a process below init, asked over its real socket and port.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod support;

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request as AxumRequest, WebSocketUpgrade, ws::Message as AppMessage},
    response::Response as AxumResponse,
    routing::{any, get},
};
use futures_util::{SinkExt as _, StreamExt as _};
use http::{Method, Request};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use support::{
    Machine, argv_of,
    http::{send, text},
    lives, sh,
};
use toft_machine::init_client;
use toft_model::init::ExecSpec;
use tokio::{
    net::{TcpListener, TcpStream, UnixStream},
    sync::Notify,
};
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

/// Not a test: init itself, when the tests start it.
#[test]
fn init_process() {
    if support::is_a_process() {
        toft_bridge::init::main(0).unwrap();
    }
}

/// Not a test: the bridge itself, when init starts it.
#[test]
fn bridge_process() {
    if support::is_a_process() {
        toft_bridge::serve::main(0).unwrap();
    }
}

fn machine() -> Machine {
    Machine::with_bridge(argv_of("bridge_process"))
}

fn get_from(uri: &str) -> Request<Body> {
    Request::get(uri).body(Body::empty()).unwrap()
}

/// An app on a free port.
async fn app(routes: Router) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    port
}

/// Tells what it was asked.
async fn mirror(request: AxumRequest) -> AxumResponse {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let headers: serde_json::Map<String, Value> =
        parts.headers.iter().map(|(n, v)| (n.to_string(), v.to_str().unwrap().into())).collect();
    let told = json!({
        "method": parts.method.as_str(), "uri": parts.uri.to_string(), "headers": headers,
        "body": String::from_utf8_lossy(&body),
    });
    AxumResponse::builder()
        .header("x-app", "yes")
        .header("connection", "x-hop")
        .header("x-hop", "mine")
        .body(Body::from(told.to_string()))
        .unwrap()
}

async fn told(answer: http::Response<hyper::body::Incoming>) -> Value {
    serde_json::from_str(&text(answer).await).unwrap()
}

#[tokio::test]
async fn the_app_gets_the_request_as_it_was_without_what_is_tofts() {
    let machine = machine();
    let port = app(Router::new().fallback(mirror)).await;
    let request = Request::post("/a%20b/toft?x=1&y")
        .header("x-toft-port", port)
        .header("x-forwarded-proto", "https")
        .header("connection", "keep-alive, x-mine")
        .header("x-mine", "hop")
        .header("cookie", "a=b")
        .header("authorization", "Basic xyz")
        .body(Body::from("hello"))
        .unwrap();
    let answer = machine.ask(request).await;
    assert_eq!(answer.headers()["x-app"], "yes");
    assert!(!answer.headers().contains_key("x-hop"));
    let told = told(answer).await;
    assert_eq!(told["method"], "POST");
    assert_eq!(told["uri"], "/a%20b/toft?x=1&y");
    assert_eq!(told["body"], "hello");
    let headers = &told["headers"];
    assert_eq!(headers["host"], "abcdefghijkl.localhost:4000");
    assert_eq!(headers["x-forwarded-host"], "abcdefghijkl.localhost:4000");
    assert_eq!(headers["x-forwarded-proto"], "https");
    assert_eq!(
        (&headers["cookie"], &headers["authorization"]),
        (&json!("a=b"), &json!("Basic xyz"))
    );
    assert_eq!((headers.get("x-toft-port"), headers.get("x-mine")), (None, None));
}

#[tokio::test]
async fn from_inside_the_port_cannot_be_chosen_and_toft_wants_the_token() {
    let machine = machine();
    let port = app(Router::new().fallback(mirror)).await;
    let other = app(Router::new().fallback(async || "the app")).await;
    let set = machine.call(Method::POST, "config", Some(json!({"appPort": other}))).await;
    assert_eq!(set.0, 200, "{set:?}");
    let request = Request::get("/").header("x-toft-port", port).body(Body::empty()).unwrap();
    assert_eq!(text(machine.ask_inside(request).await).await, "the app");
    for path in ["/toft/state", "/starter/state", "/toft/files", "/toft/no-such"] {
        let refused = machine.ask_inside(get_from(path)).await;
        assert_eq!(refused.status(), 401, "{path}");
        assert!(text(refused).await.contains("\"unauthenticated\""), "{path}");
        let wrong = Request::get(path).header("authorization", "Bearer project-tokem");
        let wrong = machine.ask_inside(wrong.body(Body::empty()).unwrap()).await;
        assert_eq!(wrong.status(), 401, "{path}");
    }
    for path in ["/toft/state", "/starter/state"] {
        let right = Request::get(path).header("authorization", "Bearer project-token");
        let right = machine.ask_inside(right.body(Body::empty()).unwrap()).await;
        assert_eq!(right.status(), 200, "{path}");
    }
    let unknown = machine.call(Method::GET, "no-such", None).await;
    assert_eq!((unknown.0, &unknown.1["code"]), (404, &json!("not_found")));
}

#[tokio::test]
async fn bodies_stream_in_both_directions() {
    let machine = machine();
    let go_on = Arc::new(Notify::new());
    let wait = Arc::clone(&go_on);
    let down = async move || {
        let stream = async_stream::stream! {
            yield Ok::<_, std::convert::Infallible>(Bytes::from_static(b"first"));
            wait.notified().await;
            yield Ok(Bytes::from_static(b"second"));
        };
        Body::from_stream(stream)
    };
    // Answers as soon as the first bytes of the request have come.
    let up = async |request: AxumRequest| {
        let mut body = request.into_body().into_data_stream();
        let first = body.next().await.unwrap().unwrap();
        let rest = async_stream::stream! {
            yield Ok::<_, axum::Error>(first);
            while let Some(piece) = body.next().await {
                yield piece;
            }
        };
        Body::from_stream(rest)
    };
    let port = app(Router::new().route("/down", get(down)).route("/up", any(up))).await;
    let on_port =
        |uri: &str, body: Body| Request::post(uri).header("x-toft-port", port).body(body).unwrap();
    let mut get_down = on_port("/down", Body::empty());
    *get_down.method_mut() = Method::GET;
    let mut body = machine.ask(get_down).await.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "first");
    go_on.notify_one();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "second");

    let (give, mut take) = tokio::sync::mpsc::channel::<Bytes>(1);
    let sent = async_stream::stream! {
        while let Some(piece) = take.recv().await {
            yield Ok::<_, std::convert::Infallible>(piece);
        }
    };
    give.send(Bytes::from_static(b"one")).await.unwrap();
    let mut body = machine.ask(on_port("/up", Body::from_stream(sent))).await.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "one");
    give.send(Bytes::from_static(b"two")).await.unwrap();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "two");
    drop(give);
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn a_websocket_of_the_app_passes() {
    let machine = machine();
    let echo = async |upgrade: WebSocketUpgrade| {
        upgrade.protocols(["vite-hmr"]).on_upgrade(async |mut socket| {
            while let Some(Ok(message)) = socket.recv().await {
                if let AppMessage::Text(text) = message {
                    let _ = socket.send(AppMessage::Text(format!("echo {text}").into())).await;
                }
            }
        })
    };
    let port = app(Router::new().route("/ws", any(echo))).await;
    let set = machine.call(Method::POST, "config", Some(json!({"appPort": port}))).await;
    assert_eq!(set.0, 200);
    let request = Request::get("ws://abcdefghijkl.localhost:4000/ws")
        .header("host", "abcdefghijkl.localhost:4000")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header(
            "sec-websocket-key",
            tokio_tungstenite::tungstenite::handshake::client::generate_key(),
        )
        .header("sec-websocket-protocol", "vite-hmr")
        .body(())
        .unwrap();
    let (mut socket, answer) = client_async(request, machine.socket().await).await.unwrap();
    assert_eq!(answer.headers()["sec-websocket-protocol"], "vite-hmr");
    socket.send(Message::Text("hello".into())).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap().into_text().unwrap(), "echo hello");
}

#[tokio::test]
async fn a_quiet_page_stands_in_until_the_app_listens() {
    let machine = machine();
    let reserved = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = reserved.local_addr().unwrap().port();
    drop(reserved);
    machine.call(Method::POST, "config", Some(json!({"appPort": port}))).await;
    let request = Request::get("/").header("accept", "text/html").body(Body::empty()).unwrap();
    let page = machine.ask(request).await;
    assert_eq!(
        (page.status().as_u16(), page.headers()["retry-after"].to_str().unwrap()),
        (503, "2")
    );
    assert_eq!(page.headers()["x-toft-placeholder"], "1");
    let html = text(page).await;
    assert!(html.contains(&port.to_string()) && !html.contains("{port}"));
    assert!(!html.contains("src=") && !html.contains("href="), "nothing is loaded from elsewhere");
    let plain = machine.ask(get_from("/api")).await;
    assert_eq!(plain.headers()["content-type"], "text/plain; charset=utf-8");
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(async || "up")).await });
    assert_eq!(text(machine.ask(get_from("/")).await).await, "up");
}

#[tokio::test]
async fn an_app_that_hangs_up_is_told_as_502() {
    let machine = machine();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            drop(stream);
        }
    });
    let request = Request::get("/").header("x-toft-port", port).body(Body::empty()).unwrap();
    assert_eq!(machine.ask(request).await.status(), 502);
    let request = Request::get("/").header("x-toft-port", "no").body(Body::empty()).unwrap();
    assert_eq!(machine.ask(request).await.status(), 400);
}

type Socket = WebSocketStream<UnixStream>;

async fn attach(machine: &Machine, id: &str) -> Socket {
    let uri = format!("ws://localhost/toft/terminals/{id}");
    client_async(uri, machine.socket().await).await.unwrap().0
}

/// Reads until the terminal has shown `what`; gives back everything.
async fn shown(socket: &mut Socket, what: &str) -> String {
    let mut seen = String::new();
    while !seen.contains(what) {
        match socket.next().await {
            Some(Ok(Message::Binary(bytes))) => seen += &String::from_utf8_lossy(&bytes),
            other => panic!("{other:?} after {seen:?}"),
        }
    }
    seen
}

async fn open_terminal(machine: &Machine) -> String {
    let size = json!({"cols": 90, "rows": 20, "command": "exec sh"});
    let (status, answer) = machine.call(Method::POST, "terminals", Some(size)).await;
    assert_eq!(status, 200, "{answer}");
    answer["data"]["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_terminal_is_a_real_shell_that_resizes_and_ends() {
    let machine = machine();
    let id = open_terminal(&machine).await;
    let mut socket = attach(&machine, &id).await;
    let type_in = |text: &str| Message::Binary(text.as_bytes().to_vec().into());
    socket.send(type_in("stty size; echo a$((1+1))b\n")).await.unwrap();
    assert!(shown(&mut socket, "a2b").await.contains("20 90"));
    socket
        .send(Message::Text(json!({"type":"resize","cols":70,"rows":10}).to_string().into()))
        .await
        .unwrap();
    socket.send(type_in("stty size\n")).await.unwrap();
    shown(&mut socket, "10 70").await;
    let (_, list) = machine.call(Method::GET, "terminals", None).await;
    let terminal = &list["data"]["terminals"][0];
    assert_eq!(
        (&terminal["id"], &terminal["cols"], &terminal["rows"]),
        (&json!(id), &json!(70), &json!(10))
    );
    socket.send(type_in("exit 4\n")).await.unwrap();
    let exit = loop {
        if let Message::Text(text) = socket.next().await.unwrap().unwrap() {
            break text;
        }
    };
    let exit: Value = serde_json::from_str(&exit).unwrap();
    assert_eq!(exit, json!({"type": "exit", "code": 4, "signal": null}));
    until_events(&machine, &["terminal_opened", "terminal_closed"]).await;
}

/// Waits until the log holds these kinds in this order.
async fn until_events(machine: &Machine, kinds: &[&str]) {
    loop {
        let log = std::fs::read_to_string(machine.path("log/events.jsonl")).unwrap_or_default();
        let mut wanted = kinds.iter().peekable();
        for line in log.lines() {
            let kind = serde_json::from_str::<Value>(line).unwrap()["kind"].clone();
            if wanted.peek().is_some_and(|want| kind == **want) {
                wanted.next();
            }
        }
        if wanted.peek().is_none() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_terminal_survives_the_bridge_and_shows_its_output_again() {
    let machine = machine();
    let id = open_terminal(&machine).await;
    let mut socket = attach(&machine, &id).await;
    socket.send(Message::Binary(b"echo be$((2*2))fore\n".to_vec().into())).await.unwrap();
    shown(&mut socket, "be4fore").await;
    let bridge = init_client::hello(machine.init().await).await.unwrap().bridge_pid.unwrap();
    let pid = rustix::process::Pid::from_raw(i32::try_from(bridge).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    while socket.next().await.is_some_and(|m| m.is_ok()) {}
    // The listening socket stays: this connection waits for the next bridge.
    let mut again = attach(&machine, &id).await;
    shown(&mut again, "be4fore").await;
    again.send(Message::Binary(b"echo af$((2*2))ter\n".to_vec().into())).await.unwrap();
    shown(&mut again, "af4ter").await;
    let (status, _) = machine.call(Method::DELETE, &format!("terminals/{id}"), None).await;
    assert_eq!(status, 200);
    until_events(&machine, &["terminal_opened", "terminal_closed"]).await;
    let (_, list) = machine.call(Method::GET, "terminals", None).await;
    assert_eq!(list["data"]["terminals"], json!([]));
    let (status, answer) = machine.call(Method::DELETE, "terminals/term-none", None).await;
    assert_eq!((status, &answer["code"]), (404, &json!("not_found")));
}

#[tokio::test]
async fn processes_are_listed_read_along_and_ended() {
    let machine = machine();
    let spec = ExecSpec {
        id: Some("job".into()),
        detach: true,
        label: Some("a job".into()),
        ..sh("echo \"h\u{e9}llo\"; exec sleep 1000")
    };
    let pid = machine.exec(spec).await.pid;
    let (_, list) = machine.call(Method::GET, "processes", None).await;
    let listed = &list["data"]["processes"][0];
    assert_eq!(
        (&listed["id"], &listed["label"], &listed["pid"]),
        (&json!("job"), &json!("a job"), &json!(pid))
    );
    let answer = machine.ask(get_from("/toft/processes/job/output?from=0")).await;
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let mut body = answer.into_body();
    let mut seen = String::new();
    while !seen.contains("\n\n") {
        let piece = body.frame().await.unwrap().unwrap().into_data().unwrap();
        seen += &String::from_utf8_lossy(&piece);
    }
    assert_eq!(seen, "event: output\ndata: {\"text\":\"h\u{e9}llo\\n\",\"from\":0,\"to\":7}\n\n");
    let (status, _) = machine.call(Method::DELETE, "processes/job", None).await;
    assert_eq!(status, 200);
    assert!(!lives(pid));
    let rest = body.collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&rest).starts_with("event: exit\ndata: {"), "{rest:?}");
    let (status, _) = machine.call(Method::GET, "processes/none/output", None).await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn a_row_in_the_inspect_database_is_told() {
    use sqlx::Connection as _;
    let machine = machine();
    let (status, bare) = machine.call(Method::GET, "inspect", None).await;
    assert_eq!((status, bare), (200, json!({"integrations": [], "services": [], "assets": []})));
    let path = machine.path("home/inspect.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
    let mut db = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql(
        "INSERT INTO services(id,name,type,port,status) VALUES('a','A','app',1,'running')",
    )
    .execute(&mut db)
    .await
    .unwrap();
    until_events(&machine, &["inspect", "inspect"]).await;
    let (_, bare) = machine.call(Method::GET, "inspect", None).await;
    assert_eq!(bare["services"][0]["status"], "stopped", "nothing listens on port 1");
}

#[tokio::test]
async fn an_upgrade_of_the_bridge_refuses_no_connection() {
    let machine = machine();
    machine.call(Method::GET, "inspect", None).await;
    let asking = async {
        for _ in 0..40 {
            // A connection that the dying bridge had taken may break; none is refused.
            let stream = machine.socket().await;
            let inside = TcpStream::connect(machine.app).await.unwrap();
            drop((stream, inside));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let restarting = async {
        init_client::restart_bridge(machine.init().await).await.unwrap();
    };
    tokio::join!(asking, restarting);
    let answer = send(machine.socket().await, get_from("/toft/inspect")).await;
    assert_eq!(answer.status(), 200);
}

//! Calls of programs outside, over the server's own socket.

use super::code;
use crate::{
    config::{GatewayConfig, ProviderConfig},
    folder,
    models::bounds::REQUEST_BYTES_MAX,
    outside::PROJECT_HEADER,
    testing::{Bench, Fake, KEY, header, refusing},
};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use std::{
    os::unix::fs::PermissionsExt as _,
    sync::{Arc, Mutex},
};
use toft_model::{id::ProjectId, machine::ModelLimits};
use toft_vault::Secret;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

const CHAT: &str = "/llm/openai/v1/chat/completions";

/// Sends one request; the connection lives as long as what comes with the answer.
async fn ask(
    bench: &Bench,
    path: &str,
    body: Vec<u8>,
) -> (Response<Incoming>, AbortOnDropHandle<()>) {
    ask_for(bench, None, path, body).await
}

/// The same for a program with a key of a project.
async fn ask_for(
    bench: &Bench,
    project: Option<&ProjectId>,
    path: &str,
    body: Vec<u8>,
) -> (Response<Incoming>, AbortOnDropHandle<()>) {
    let stream = folder::connect_models(bench.data_dir()).await.unwrap();
    let (mut send, conn) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let conn = AbortOnDropHandle::new(tokio::spawn(async move { drop(conn.await) }));
    let mut request = Request::post(path);
    if let Some(project) = project {
        request = request.header(PROJECT_HEADER, project.as_str());
    }
    let request = request
        .header("host", "toft")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))
        .unwrap();
    (send.send_request(request).await.unwrap(), conn)
}

async fn refused(bench: &Bench, path: &str, body: Vec<u8>) -> (u16, String) {
    let (answer, _conn) = ask(bench, path, body).await;
    let status = answer.status();
    let named = answer.headers()["x-toft-error"].to_str().unwrap().to_owned();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    code(&format!("HTTP/1.1 {} X\r\nx-toft-error: {named}\r\n\r\n", status.as_u16()), &body)
}

#[tokio::test]
async fn a_program_outside_needs_no_token_here_and_its_call_is_booked_on_no_project() {
    let seen = Arc::new(Mutex::new(String::new()));
    let store = Arc::clone(&seen);
    let fake = Fake::start(move |mut conn| {
        let store = Arc::clone(&store);
        async move {
            *store.lock().unwrap() = conn.request().await.0;
            let body = r#"{"model":"m-1","usage":{"prompt_tokens":7,"completion_tokens":5}}"#;
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            conn.write((head + body).as_bytes()).await;
        }
    })
    .await;
    let bench = Bench::start().await;
    let mode = std::fs::metadata(folder::models_path(bench.data_dir())).unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
    bench.provider("openai", fake.url()).await;
    let (answer, _conn) = ask(&bench, CHAT, b"{\"model\":\"m\"}".to_vec()).await;
    assert_eq!(answer.status(), StatusCode::OK);
    answer.into_body().collect().await.unwrap();
    let head = seen.lock().unwrap().clone();
    assert_eq!(header(&head, "authorization"), Some(&*format!("Bearer {KEY}")));
    let record = bench.usage_of(1).await.remove(0);
    assert_eq!((record.project, record.input, record.output), (None, Some(7), Some(5)));
    assert_eq!(record.model.as_deref(), Some("m-1"));
    let folder = bench.end().await;
    let line = std::fs::read_to_string(folder.path().join("usage/journal.jsonl")).unwrap();
    assert!(line.contains("\"project\":null"), "{line}");
}

#[tokio::test]
async fn failures_have_the_same_shape_as_inside() {
    let (_socket, dead) = refusing();
    let bench = Bench::start().await;
    bench.provider("openai", format!("http://{dead}")).await;
    for (path, body, want) in [
        ("/llm/nobody/v1/x", vec![], (404, "unknown_provider")),
        ("/llm/anthropic/v1/messages", vec![], (424, "no_key")),
        ("/llm/openai/../x", vec![], (400, "invalid_request")),
        ("/elsewhere", vec![], (404, "not_found")),
        (CHAT, b"{}".to_vec(), (502, "upstream_unreachable")),
        (CHAT, vec![b' '; REQUEST_BYTES_MAX + 1], (413, "payload_too_large")),
    ] {
        assert_eq!(refused(&bench, path, body).await, (want.0, want.1.to_owned()), "{path}");
    }
    bench.end().await;
}

#[tokio::test]
async fn who_is_early_waits_for_the_keys_instead_of_being_refused() {
    let fake = Fake::answering("HTTP/1.1 204 No Content\r\n\r\n").await;
    let bench = Bench::start().await;
    let early = ask(&bench, CHAT, b"{}".to_vec());
    let told = bench.provider("openai", fake.url());
    let ((answer, _conn), ()) = tokio::join!(early, told);
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    bench.end().await;
}

#[tokio::test]
async fn a_server_that_lets_go_ends_the_call_at_the_provider() {
    let (tell, mut told) = mpsc::channel(1);
    let fake = Fake::start(move |mut conn| {
        let tell = tell.clone();
        async move {
            conn.request().await;
            conn.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhi\n\r\n").await;
            conn.gone().await;
            tell.send(()).await.unwrap();
        }
    })
    .await;
    let bench = Bench::start().await;
    bench.provider("openai", fake.url()).await;
    let (answer, conn) = ask(&bench, CHAT, b"{}".to_vec()).await;
    let mut body = answer.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "hi\n");
    drop((body, conn));
    told.recv().await.unwrap();
    let record = bench.usage_of(1).await.remove(0);
    assert_eq!(record.error.as_deref(), Some("client_closed"));
    bench.end().await;
}

#[tokio::test]
async fn a_key_of_a_project_is_booked_on_it_and_counts_for_its_limits() {
    let seen = Arc::new(Mutex::new(String::new()));
    let store = Arc::clone(&seen);
    let fake = Fake::start(move |mut conn| {
        let store = Arc::clone(&store);
        async move {
            *store.lock().unwrap() = conn.request().await.0;
            conn.write(b"HTTP/1.1 204 No Content\r\n\r\n").await;
        }
    })
    .await;
    let bench = Bench::start().await;
    let (shop, other) = (ProjectId::random(), ProjectId::random());
    let provider = ProviderConfig {
        id: "openai".into(),
        key: Some(Secret::new(KEY)),
        base_url: Some(fake.url()),
        ..ProviderConfig::default()
    };
    let one = ModelLimits { calls_per_minute: Some(1), ..ModelLimits::default() };
    let config = GatewayConfig {
        providers: vec![provider],
        model_limits: [(shop.clone(), one)].into(),
        ..GatewayConfig::default()
    };
    bench.gateway.set_config(config).await.unwrap();
    let call = async |project| {
        let (answer, _conn) = ask_for(&bench, project, CHAT, b"{\"model\":\"m\"}".to_vec()).await;
        answer.status().as_u16()
    };
    assert_eq!(call(Some(&shop)).await, 204);
    assert!(!seen.lock().unwrap().contains(PROJECT_HEADER), "the provider is not told");
    assert_eq!(call(Some(&shop)).await, 429);
    assert_eq!((call(Some(&other)).await, call(None).await), (204, 204));
    let booked: Vec<_> = bench.usage_of(3).await.into_iter().map(|record| record.project).collect();
    assert_eq!(booked, [Some(shop), Some(other), None]);
    bench.end().await;
}

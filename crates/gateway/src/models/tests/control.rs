//! What the server tells and asks over the control socket.

use super::CHAT;
use crate::config::{GatewayConfig, ProviderConfig};
use crate::testing::{Bench, Conn, Door, Fake, KEY, ask, post, status};
use std::sync::Arc;
use toft_model::machine::EgressLevel::Open;
use toft_vault::Secret;
use tokio::sync::mpsc;

#[tokio::test]
async fn a_server_that_adopts_the_gateway_cuts_nothing() {
    let (go, gate) = mpsc::channel::<()>(1);
    let gate = Arc::new(tokio::sync::Mutex::new(gate));
    let fake = Fake::start(move |mut conn| {
        let gate = Arc::clone(&gate);
        async move {
            conn.request().await;
            conn.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\na\n\r\n").await;
            gate.lock().await.recv().await;
            conn.write(b"1\r\nb\r\n0\r\n\r\n").await;
        }
    })
    .await;
    let bench = Bench::start().await;
    bench.provider("openai", fake.url()).await;
    let door = bench.machine(Open).await;
    let mut call = Conn::open(door.models).await;
    call.write(post(&door, CHAT, "{}").as_bytes()).await;
    call.head().await;
    assert_eq!(call.chunk().await.unwrap(), b"a\n");

    // The old server's connection ends, a new server says everything again.
    let new_server = crate::Gateway::connect(bench.data_dir()).await.unwrap();
    assert_eq!(new_server.hello().machines, 1);
    new_server.add_machine(&door.project, &door.token, Open, door.descriptors()).await.unwrap();
    go.send(()).await.unwrap();
    assert_eq!(call.chunk().await.unwrap(), b"b");
    assert_eq!(call.chunk().await.unwrap(), b"");

    // Another token means another machine: the old one's calls end with it.
    let mut call = Conn::open(door.models).await;
    call.write(post(&door, CHAT, "{}").as_bytes()).await;
    call.head().await;
    assert_eq!(call.chunk().await.unwrap(), b"a\n");
    new_server.add_machine(&door.project, "another-token", Open, door.descriptors()).await.unwrap();
    assert_eq!(call.chunk().await, None);
    let (head, _) = ask(door.models, post(&door, CHAT, "{}")).await;
    assert_eq!(status(&head), 401);

    new_server.remove_machine(&door.project).await.unwrap();
    assert_eq!(new_server.machines().await.unwrap(), []);
    bench.end().await;
}

#[tokio::test]
async fn the_list_of_models_follows_the_keys() {
    let bench = Bench::start().await;
    let door = bench.machine(Open).await;
    let get = format!(
        "GET /llm/models HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {}\r\n\r\n",
        door.token
    );
    let (_, body) = ask(door.models, &get).await;
    let list: toft_model::provider::ModelList = serde_json::from_slice(&body).unwrap();
    assert!(list.models.iter().all(|m| m.demo) && !list.models.is_empty());
    assert_eq!((&*list.default.provider, list.providers.len()), ("demo", 0));

    let provider = |id: &str, key: &str| ProviderConfig {
        id: id.into(),
        key: Some(Secret::new(key)),
        ..ProviderConfig::default()
    };
    let own = ProviderConfig {
        base_url: Some("http://127.0.0.1:9/v1".into()),
        api: Some(toft_model::provider::Api::OpenaiCompletions),
        ..provider("my-own", "some-key")
    };
    let mut config = GatewayConfig {
        providers: vec![provider("anthropic", "some-key"), provider("openai", ""), own],
        default_thinking_level: Some("high".into()),
        ..GatewayConfig::default()
    };
    bench.gateway.set_config(config.clone()).await.unwrap();
    let (_, body) = ask(door.models, &get).await;
    let list: toft_model::provider::ModelList = serde_json::from_slice(&body).unwrap();
    let ids: Vec<_> = list.providers.iter().map(|p| &*p.id).collect();
    assert_eq!(ids, ["anthropic", "my-own"]);
    assert_eq!((&*list.default.provider, &*list.default_thinking_level), ("anthropic", "high"));
    assert!(
        list.models.iter().any(|m| m.demo) && list.models.iter().any(|m| m.provider == "anthropic")
    );
    assert_eq!(bench.gateway.models().await.unwrap(), list);

    // A default that cannot be called is not one; one of a provider without a catalogue is.
    let wish = |provider: &str| {
        Some(toft_model::provider::ModelRef { provider: provider.into(), id: "m".into() })
    };
    config.default_model = wish("openai");
    bench.gateway.set_config(config.clone()).await.unwrap();
    assert_eq!(bench.gateway.models().await.unwrap().default.provider, "anthropic");
    config.default_model = wish("my-own");
    bench.gateway.set_config(config.clone()).await.unwrap();
    let list = bench.gateway.models().await.unwrap();
    assert!(list.models.iter().any(|m| m.provider == "my-own" && m.id == "m"));
    config.demo_only = true;
    bench.gateway.set_config(config).await.unwrap();
    let list = bench.gateway.models().await.unwrap();
    assert!(list.models.iter().all(|m| m.demo) && list.providers.is_empty());
    let (head, _) = ask(door.models, post(&door, "/llm/anthropic/v1/messages", "{}")).await;
    assert_eq!(status(&head), 424);
    bench.end().await;
}

#[tokio::test]
async fn a_test_of_a_provider_tells_its_own_words_and_never_the_key() {
    let refusal = format!(r#"{{"error":{{"message":"Incorrect API key provided: {KEY}"}}}}"#);
    for (answer, ok, said) in [
        (r#"200 OK|{"data":[{"id":"a"},{"id":"b"}]}"#.to_owned(), true, "2 models"),
        (format!("401 Unauthorized|{refusal}"), false, "Incorrect API key provided: *****"),
        ("404 Not Found|nothing here".to_owned(), false, "could not be tried"),
    ] {
        let (line, body) = answer.split_once('|').unwrap();
        let fake = Fake::answering(format!(
            "HTTP/1.1 {line}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
        let bench = Bench::start().await;
        bench.provider("anthropic", fake.url()).await;
        let test = bench.gateway.test_provider("anthropic").await.unwrap();
        assert_eq!(test.ok, ok);
        assert!(test.message.contains(said) && !test.message.contains(KEY), "{}", test.message);
        for (id, code) in [("openai", "no_key"), ("nobody", "unknown_provider")] {
            let refused = bench.gateway.test_provider(id).await.unwrap_err();
            assert!(matches!(&refused, crate::ControlError::Refused { code: c, .. } if c == code));
        }
        bench.end().await;
    }
}

#[tokio::test]
async fn a_machine_is_only_taken_with_two_real_listeners() {
    let bench = Bench::start().await;
    let door = Door::new();
    let file = || std::os::fd::OwnedFd::from(tempfile::tempfile().unwrap());
    let refused = bench.gateway.add_machine(&door.project, "t", Open, vec![file(), file()]).await;
    assert!(matches!(refused, Err(crate::ControlError::Refused { .. })), "{refused:?}");
    let refused = bench.gateway.add_machine(&door.project, "t", Open, vec![file()]).await;
    assert!(matches!(refused, Err(crate::ControlError::Invalid(_))));
    let level = toft_model::machine::EgressLevel::AllowList(vec!["https://a.test".into()]);
    let refused = bench.gateway.add_machine(&door.project, "t", level, door.descriptors()).await;
    let said = refused.unwrap_err().to_string();
    assert!(said.contains("https://a.test"), "{said}");
    assert_eq!(bench.gateway.machines().await.unwrap(), []);
    // The connection is as good as before.
    bench.gateway.add_machine(&door.project, "t", Open, door.descriptors()).await.unwrap();
    assert_eq!(bench.gateway.machines().await.unwrap().len(), 1);
    bench.end().await;
}

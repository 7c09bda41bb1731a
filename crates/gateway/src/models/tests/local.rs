//! Servers of models of one's own machine.

use super::code;
use crate::{
    config::{GatewayConfig, ProviderConfig},
    testing::{Bench, Conn, Door, Fake, ask, eventually, post, refusing, status},
};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use toft_model::{
    machine::EgressLevel::Open,
    provider::{ModelInfo, ModelList},
};

/// Answers by path; the paths that it was asked for.
async fn server(answers: &[(&str, &str)]) -> (Fake, Arc<Mutex<Vec<String>>>) {
    let answers: BTreeMap<String, String> =
        answers.iter().map(|(path, body)| ((*path).to_owned(), (*body).to_owned())).collect();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let asked = Arc::clone(&seen);
    let fake = Fake::start(move |mut conn: Conn| {
        let (answers, asked) = (answers.clone(), Arc::clone(&asked));
        async move {
            let (head, _) = conn.request().await;
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            let (line, body) = match answers.get(&path) {
                Some(body) => ("200 OK", &**body),
                None => ("404 Not Found", "{}"),
            };
            asked.lock().unwrap().push(head);
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {line}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
            );
            conn.write(answer.as_bytes()).await;
        }
    })
    .await;
    (fake, seen)
}

async fn house(id: &str, base_url: String, models: Vec<ModelInfo>) -> (Bench, Door) {
    let bench = Bench::start().await;
    let base_url = Some(base_url);
    let provider = ProviderConfig { id: id.into(), base_url, models, ..Default::default() };
    let config = GatewayConfig { providers: vec![provider], ..GatewayConfig::default() };
    bench.gateway.set_config(config).await.unwrap();
    let door = bench.machine(Open).await;
    (bench, door)
}

/// Once it has been found.
async fn found(bench: &Bench, id: &str) -> ModelList {
    let provider = bench.state.config().provider_arc(id).unwrap();
    eventually(|| provider.is_there().then_some(())).await;
    bench.gateway.models().await.unwrap()
}

const CHAT: &str =
    r#"{"model":"qwen3:8b","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}"#;

#[tokio::test]
async fn the_models_of_a_server_are_found_offered_and_asked_without_a_key() {
    let show = r#"{"capabilities":["completion","vision"],"model_info":{"x.context_length":8192}}"#;
    let (fake, seen) = server(&[
        ("/api/tags", r#"{"models":[{"name":"qwen3:8b"}]}"#),
        ("/api/show", show),
        ("/api/ps", r#"{"models":[{"name":"qwen3:8b","context_length":4096}]}"#),
        ("/v1/chat/completions", CHAT),
        ("/v1/models", r#"{"data":[{"id":"qwen3:8b"}]}"#),
    ])
    .await;
    // Programs of the format are told such an address.
    let (bench, door) = house("ollama", format!("{}/v1", fake.url()), Vec::new()).await;
    let list = found(&bench, "ollama").await;
    let model = list.models.iter().find(|m| m.provider == "ollama").unwrap();
    assert_eq!((&*model.id, model.context_window, model.images), ("qwen3:8b", 4_096, true));
    assert_eq!(model.name, "qwen3:8b", "what it runs with is told");
    assert_eq!(model.price, None);
    assert_eq!(list.default.to_string(), "ollama/qwen3:8b", "nobody else is there");

    let asked = post(&door, "/llm/ollama/v1/chat/completions", r#"{"model":"qwen3:8b"}"#);
    assert_eq!(status(&ask(door.models, asked).await.0), 200);
    let record = bench.usage_of(1).await.remove(0);
    assert_eq!((record.input, record.output, record.cost), (Some(3), Some(4), None));
    let last = seen.lock().unwrap().last().unwrap().to_lowercase();
    assert!(last.starts_with("post /v1/chat") && !last.contains("authorization"), "{last}");

    // By another format's path, under its full name.
    let asked = post(
        &door,
        "/llm/openai/v1/chat/completions",
        r#"{"model":"ollama/qwen3:8b","messages":[]}"#,
    );
    assert_eq!(status(&ask(door.models, asked).await.0), 200);

    // What else it can do is not for machines.
    let before = seen.lock().unwrap().len();
    for path in ["/api/delete", "/api/pull", "/v1/load_lora_adapter", "/v1/models/x", "/"] {
        let asked = post(&door, &format!("/llm/ollama{path}"), r#"{"model":"qwen3:8b"}"#);
        let (head, body) = ask(door.models, asked).await;
        assert_eq!(code(&head, &body), (404, "not_found".to_owned()), "{path}");
    }
    assert_eq!(seen.lock().unwrap().len(), before);
    let tested = bench.gateway.test_provider("ollama").await.unwrap();
    assert!(tested.ok && tested.message == "Ollama answers and offers 1 model.", "{tested:?}");
    bench.end().await;
}

#[tokio::test]
async fn who_tells_no_models_is_not_asked_for_anything() {
    let (fake, seen) = server(&[("/v1/models", "<h1>A house of its own</h1>")]).await;
    let (_held, nobody) = refusing();
    let at = |addr: SocketAddr| format!("http://{addr}");
    for base in [fake.url(), at(nobody)] {
        let (bench, door) = house("vllm", base, Vec::new()).await;
        let asked = post(&door, "/llm/vllm/v1/chat/completions", r#"{"model":"m"}"#);
        let (head, body) = ask(door.models, asked).await;
        assert_eq!(code(&head, &body), (502, "upstream_unreachable".to_owned()));
        let list = bench.gateway.models().await.unwrap();
        assert!(list.models.iter().all(|m| m.demo) && list.providers.is_empty(), "{list:?}");
        assert!(!bench.gateway.test_provider("vllm").await.unwrap().ok);
        bench.end().await;
    }
    assert!(seen.lock().unwrap().iter().all(|head| head.starts_with("GET /v1/models ")));
}

#[tokio::test]
async fn what_a_person_tells_of_a_model_counts_before_what_the_server_does() {
    let list = r#"{"data":[{"id":"a","max_model_len":4096},{"id":"b","max_model_len":4096}]}"#;
    let (fake, _) = server(&[("/v1/models", list)]).await;
    let told =
        ModelInfo { context_window: 9_000, ..toft_llm::catalogue::model("vllm", "a").unwrap() };
    let (bench, _door) = house("vllm", fake.url(), vec![told]).await;
    let list = found(&bench, "vllm").await;
    let of = |id: &str| list.models.iter().find(|m| m.id == id).map(|m| m.context_window);
    assert_eq!((of("a"), of("b")), (Some(9_000), Some(4_096)));
    // What was found is still there with the next configuration.
    let provider = ProviderConfig {
        id: "vllm".into(),
        base_url: Some(fake.url()),
        ..ProviderConfig::default()
    };
    let config = GatewayConfig { providers: vec![provider], ..GatewayConfig::default() };
    bench.gateway.set_config(config).await.unwrap();
    let list = bench.gateway.models().await.unwrap();
    assert_eq!(list.models.iter().find(|m| m.id == "a").map(|m| m.context_window), Some(4_096));
    bench.end().await;
}

#[tokio::test]
async fn a_server_that_hangs_holds_up_no_other_one_and_no_new_configuration() {
    // It tells its list, and nothing of single models.
    let hung = Fake::start(|mut conn: Conn| async move {
        let (head, _) = conn.request().await;
        if !head.starts_with("GET /api/tags") {
            std::future::pending::<()>().await;
        }
        let names: Vec<String> = (0..50).map(|n| format!("{{\"name\":\"m{n}\"}}")).collect();
        let body = format!("{{\"models\":[{}]}}", names.join(","));
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        conn.write(answer.as_bytes()).await;
    })
    .await;
    let (fake, _) = server(&[("/v1/models", r#"{"data":[{"id":"a"}]}"#)]).await;
    let (bench, _door) = house("ollama", hung.url(), Vec::new()).await;
    let of = |id: &str, url: String| ProviderConfig {
        id: id.into(),
        base_url: Some(url),
        ..ProviderConfig::default()
    };
    let providers = vec![of("ollama", hung.url()), of("vllm", fake.url())];
    let config = GatewayConfig { providers, ..GatewayConfig::default() };
    bench.gateway.set_config(config).await.unwrap();
    let list = found(&bench, "vllm").await;
    assert!(list.models.iter().any(|m| m.id == "a"));
    bench.end().await;
}

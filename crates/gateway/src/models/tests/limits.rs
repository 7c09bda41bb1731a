//! What a project may ask of models, where a person has set it.

use super::{CHAT, code};
use crate::{
    config::{GatewayConfig, ProviderConfig},
    testing::{Bench, Conn, Door, Fake, KEY, ask, eventually, header, post, status},
};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use toft_model::machine::{EgressLevel::Open, ModelLimits};
use toft_vault::Secret;

async fn limit(bench: &Bench, fake: &Fake, door: &Door, limits: Option<ModelLimits>) {
    let provider = ProviderConfig {
        id: "openai".into(),
        key: Some(Secret::new(KEY)),
        base_url: Some(fake.url()),
        ..ProviderConfig::default()
    };
    let model_limits = limits.map(|limits| (door.project.clone(), limits)).into_iter().collect();
    let config =
        GatewayConfig { providers: vec![provider], model_limits, ..GatewayConfig::default() };
    bench.gateway.set_config(config).await.unwrap();
}

async fn call(door: &Door) -> (String, Vec<u8>) {
    ask(door.models, post(door, CHAT, "{}")).await
}

#[tokio::test]
async fn so_many_calls_of_a_project_run_at_once_and_others_are_not_held_back() {
    let reached = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&reached);
    // The first call hangs, all others are answered.
    let fake = Fake::start(move |mut conn| {
        let first = counted.fetch_add(1, Ordering::Relaxed) == 0;
        async move {
            conn.request().await;
            if first {
                conn.gone().await;
            } else {
                conn.write(b"HTTP/1.1 204 No Content\r\n\r\n").await;
            }
        }
    })
    .await;
    let bench = Bench::start().await;
    let (door, other) = (bench.machine(Open).await, bench.machine(Open).await);
    let one = ModelLimits { calls_at_once: Some(1), ..ModelLimits::default() };
    limit(&bench, &fake, &door, Some(one)).await;
    let mut hanging = Conn::open(door.models).await;
    hanging.write(post(&door, CHAT, "{}").as_bytes()).await;
    eventually(|| (reached.load(Ordering::Relaxed) == 1).then_some(())).await;

    let (head, body) = call(&door).await;
    assert_eq!(code(&head, &body), (429, "too_many_calls".to_owned()));
    assert_eq!(header(&head, "retry-after"), Some("1"));
    assert!(String::from_utf8_lossy(&body).contains("1 model calls"), "{body:?}");
    assert_eq!(status(&call(&other).await.0), 204, "another project");
    assert_eq!(bench.usage().len(), 1, "what is held back is no call");

    let two = ModelLimits { calls_at_once: Some(2), ..ModelLimits::default() };
    limit(&bench, &fake, &door, Some(two)).await;
    assert_eq!(status(&call(&door).await.0), 204, "raised");
    limit(&bench, &fake, &door, Some(one)).await;
    assert_eq!(status(&call(&door).await.0), 429);
    drop(hanging);
    let free = async {
        while status(&call(&door).await.0) != 204 {
            tokio::task::yield_now().await;
        }
    };
    free.await;
    bench.end().await;
}

#[tokio::test]
async fn so_many_calls_begin_in_a_minute_also_when_the_machine_starts_anew() {
    let fake = Fake::answering("HTTP/1.1 204 No Content\r\n\r\n").await;
    let bench = Bench::start().await;
    let door = bench.machine(Open).await;
    let two = ModelLimits { calls_per_minute: Some(2), ..ModelLimits::default() };
    limit(&bench, &fake, &door, Some(two)).await;
    for _ in 0..2 {
        assert_eq!(status(&call(&door).await.0), 204);
    }
    let (head, body) = call(&door).await;
    assert_eq!(code(&head, &body), (429, "rate_limited".to_owned()));
    let after: u64 = header(&head, "retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&after), "{after}");

    bench.gateway.remove_machine(&door.project).await.unwrap();
    let again = Door::of(door.project.clone());
    bench
        .gateway
        .add_machine(&again.project, &again.token, Open, again.descriptors())
        .await
        .unwrap();
    assert_eq!(status(&call(&again).await.0), 429, "a new machine of the same project");
    limit(&bench, &fake, &again, None).await;
    assert_eq!(status(&call(&again).await.0), 204, "without a limit");
    bench.end().await;
}

#[tokio::test]
async fn what_is_refused_here_is_none_of_the_minutes_calls() {
    let fake = Fake::answering("HTTP/1.1 204 No Content\r\n\r\n").await;
    let bench = Bench::start().await;
    let door = bench.machine(Open).await;
    let two = ModelLimits { calls_per_minute: Some(2), ..ModelLimits::default() };
    limit(&bench, &fake, &door, Some(two)).await;
    // A provider without a key, a request of another format that no model takes, a model that is none.
    for (path, body, want) in [
        ("/llm/anthropic/v1/messages", "{}", 424),
        ("/llm/anthropic/v1/messages", r#"{"model":"openai/gpt-5","messages":7}"#, 400),
        (CHAT, r#"{"model":"demo/unheard-of","messages":[]}"#, 404),
    ]
    .repeat(2)
    {
        let (head, answer) = ask(door.models, post(&door, path, body)).await;
        let answer = String::from_utf8_lossy(&answer);
        assert_eq!(status(&head), want, "{path} {body} {answer}");
    }
    assert_eq!(status(&call(&door).await.0), 204);
    assert_eq!(status(&call(&door).await.0), 204);
    assert_eq!(status(&call(&door).await.0), 429);
    bench.end().await;
}

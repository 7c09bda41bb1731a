//! What a program that has gone away still takes.

use super::CHAT;
use crate::{
    config::{GatewayConfig, ProviderConfig},
    limits::held::HELD_BYTES_MAX,
    testing::{Bench, Conn, KEY, post},
};
use serde_json::json;
use std::{collections::BTreeMap, sync::mpsc, time::Duration};
use toft_model::{machine::EgressLevel::Open, provider::Fallbacks};
use toft_vault::Secret;

/// Waits, without a thread of its own.
async fn until(mut is: impl FnMut() -> bool) {
    while !is() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[test]
fn a_body_that_others_may_answer_keeps_its_place_while_it_is_worked_on() {
    // The one thread for such work is busy, so that it has not begun when the program goes away.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .build()
        .unwrap();
    runtime.block_on(async {
        let bench = Bench::start().await;
        let door = bench.machine(Open).await;
        let (claude, groq) = ("anthropic/claude-haiku-4-5", "groq/llama-3.3-70b-versatile");
        let provider = |id: &str| ProviderConfig {
            id: id.into(),
            key: Some(Secret::new(KEY)),
            ..ProviderConfig::default()
        };
        let chains = BTreeMap::from([(claude.to_owned(), vec![groq.to_owned()])]);
        let config = GatewayConfig {
            providers: vec![provider("anthropic"), provider("groq")],
            fallbacks: Fallbacks { chains, first_byte_s: 0 },
            ..GatewayConfig::default()
        };
        bench.gateway.set_config(config).await.unwrap();
        let long = "a ".repeat(100 << 10);
        // No model reads it in the end: it asks for something that none has.
        let body = json!({"model": claude, "max_tokens": "x",
            "messages": [{"role": "user", "content": long}]});
        let (free, busy) = mpsc::channel::<()>();
        let work = tokio::task::spawn_blocking(move || busy.recv());
        let mut program = Conn::open(door.models).await;
        program.write(post(&door, CHAT, &body.to_string()).as_bytes()).await;
        let room = &bench.state.room;
        until(|| room.free() < HELD_BYTES_MAX).await;
        // All that can happen happens in these turns: the body has come, and waits for the thread.
        let mut turns = 0..200;
        until(|| turns.next().is_none()).await;
        drop(program);
        until(|| bench.state.entries()[0].model_calls == 0).await;
        assert!(room.free() < HELD_BYTES_MAX, "it is still needed");
        drop(free);
        assert!(work.await.unwrap().is_err());
        until(|| room.free() == HELD_BYTES_MAX).await;
        bench.end().await;
    });
}

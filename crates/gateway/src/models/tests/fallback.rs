//! Models that stand in for others: who is asked, what the program gets, what is written down.

mod projects;

use super::CHAT;
use crate::{
    config::{GatewayConfig, ProviderConfig},
    records::usage::UsageRecord,
    testing::{Bench, Conn, Door, Fake, KEY, ask, eventually, header, post, refusing, status},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};
use toft_model::{
    budget::{Budget, Budgets},
    machine::EgressLevel::Open,
    provider::Fallbacks,
};
use toft_vault::Secret;

const MESSAGES: &str = "/llm/anthropic/v1/messages";
const GPT: &str = "openai/gpt-5";
const CLAUDE: &str = "anthropic/claude-haiku-4-5";
const GROQ: &str = "groq/llama-3.3-70b-versatile";

/// What a provider does with the next request.
#[derive(Clone)]
enum Deed {
    Answer(String),
    /// Nothing, until the other side goes.
    Hang,
    /// A beginning, and nothing more.
    Begin(String),
}

/// A provider whose deed can be changed, and the bodies that it got.
struct Played {
    fake: Fake,
    deed: Arc<Mutex<Deed>>,
    seen: Arc<Mutex<Vec<Value>>>,
}

impl Played {
    async fn start(deed: Deed) -> Self {
        let (deed, seen) = (Arc::new(Mutex::new(deed)), Arc::<Mutex<Vec<Value>>>::default());
        let (does, sees) = (Arc::clone(&deed), Arc::clone(&seen));
        let fake = Fake::start(move |mut conn| {
            let (does, sees) = (Arc::clone(&does), Arc::clone(&sees));
            async move {
                let (_, body) = conn.request().await;
                sees.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
                let deed = does.lock().unwrap().clone();
                match deed {
                    Deed::Answer(answer) => conn.write(answer.as_bytes()).await,
                    Deed::Hang => conn.gone().await,
                    Deed::Begin(answer) => {
                        conn.write(answer.as_bytes()).await;
                        conn.gone().await;
                    }
                }
            }
        })
        .await;
        Self { fake, deed, seen }
    }

    fn does(&self, deed: Deed) {
        *self.deed.lock().unwrap() = deed;
    }

    fn asked(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

fn refuse(status: u16, more: &str, words: &str) -> Deed {
    let body = json!({"type": "error", "error": {"type": "t", "message": words}}).to_string();
    Deed::Answer(format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{more}content-length: {}\r\n\r\n{body}",
        body.len()
    ))
}

fn stream(text: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n{text}")
}

/// Claude says hello.
fn claude() -> Deed {
    let events = [
        json!({"type": "message_start", "message": {"model": "claude-haiku-4-5", "usage": {"input_tokens": 7, "output_tokens": 1}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello."}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}}),
        json!({"type": "message_stop"}),
    ];
    let frame = |e: &Value| format!("event: {}\ndata: {e}\n\n", e["type"].as_str().unwrap());
    Deed::Answer(stream(&events.iter().map(frame).collect::<String>()))
}

/// A model of the chat format says hello; `streamed` or in one piece.
fn chat(model: &str, streamed: bool) -> Deed {
    let usage = json!({"prompt_tokens": 7, "completion_tokens": 9});
    if streamed {
        let chunk = |delta: Value, finish: Value| json!({"model": model, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
        let text = chunk(json!({"content": "Hello."}), Value::Null);
        let end = chunk(json!({}), json!("stop"));
        let last = json!({"model": model, "choices": [], "usage": usage});
        return Deed::Answer(stream(&format!(
            "data: {text}\n\ndata: {end}\n\ndata: {last}\n\ndata: [DONE]\n\n"
        )));
    }
    let body = json!({"model": model, "choices": [{"message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}], "usage": usage}).to_string();
    Deed::Answer(format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ))
}

/// A gateway with these providers and chains.
struct House {
    bench: Bench,
    door: Door,
    config: GatewayConfig,
}

impl House {
    async fn start(providers: &[(&str, String)], chains: &[(&str, &[&str])]) -> Self {
        let bench = Bench::start().await;
        let door = bench.machine(Open).await;
        let provider = |(id, base): &(&str, String)| ProviderConfig {
            id: (*id).into(),
            key: Some(Secret::new(KEY)),
            base_url: Some(base.clone()),
            ..ProviderConfig::default()
        };
        let chain = |(name, others): &(&str, &[&str])| {
            ((*name).to_owned(), others.iter().map(ToString::to_string).collect())
        };
        // A budget that nobody reaches: each call reserves.
        let budget = Budget { total: Some(u64::MAX), ..Budget::default() };
        let config = GatewayConfig {
            providers: providers.iter().map(provider).collect(),
            fallbacks: Fallbacks { chains: chains.iter().map(chain).collect(), first_byte_s: 1 },
            budgets: Budgets {
                projects: BTreeMap::from([(door.project.clone(), budget)]),
                ..Budgets::default()
            },
            ..GatewayConfig::default()
        };
        bench.gateway.set_config(config.clone()).await.unwrap();
        Self { bench, door, config }
    }

    async fn ask(&self, path: &str, model: &str, streams: bool) -> (String, String) {
        let body = json!({"model": model, "stream": streams, "max_tokens": 99,
            "messages": [{"role": "user", "content": "hi"}]});
        let (head, body) = ask(self.door.models, post(&self.door, path, &body.to_string())).await;
        (head, String::from_utf8(body).unwrap())
    }

    /// So many calls, in the order in which they were made.
    async fn records(&self, count: usize) -> Vec<UsageRecord> {
        let mut records = self.bench.usage_of(count).await;
        assert_eq!(records.len(), count, "{records:?}");
        records.sort_by(|a, b| a.id.cmp(&b.id));
        records
    }
}

#[tokio::test]
async fn whoever_stands_in_answers_in_the_programs_format_under_its_own_name() {
    let (claude, gpt) = (
        Played::start(refuse(529, "", "Overloaded")).await,
        Played::start(chat("gpt-5-2025-08-07", true)).await,
    );
    for streams in [true, false] {
        // Translated, both ways, and with the bytes as they are.
        for (path, chosen, other, first, second, named) in [
            (MESSAGES, CLAUDE, GPT, &claude, &gpt, "gpt-5"),
            (CHAT, GPT, CLAUDE, &gpt, &claude, "claude-haiku-4-5"),
            (CHAT, GPT, GROQ, &gpt, &claude, "llama-said"),
        ] {
            first.does(refuse(503, "", "no room"));
            second.does(match other {
                GPT => chat("gpt-5-2025-08-07", true),
                GROQ => chat("llama-said", streams),
                _ => self::claude(),
            });
            let provider = |name: &'static str, played: &Played| {
                (name.split_once('/').unwrap().0, played.fake.url())
            };
            let providers = [provider(chosen, first), provider(other, second)];
            let house = House::start(&providers, &[(chosen, &[other])]).await;
            let (head, body) = house.ask(path, chosen, streams).await;
            assert_eq!(status(&head), 200, "{body}");
            assert_eq!(header(&head, "x-toft-model"), Some(other));
            assert!(body.contains("Hello.") && !body.contains("no room"), "{body}");
            assert!(body.contains(&format!("\"model\":\"{named}\"")), "{body}");
            let [refused, answered] = &house.records(2).await[..] else { panic!() };
            assert_eq!((refused.status, refused.cost), (503, Some(0)), "{refused:?}");
            assert_eq!((answered.status, answered.output), (200, Some(9)), "{answered:?}");
            assert_eq!(
                format!("{}/", answered.provider),
                other.split_inclusive('/').next().unwrap()
            );
            assert!(refused.reserved.is_some() && answered.reserved.is_some(), "each of its own");
            let model = other.split_once('/').unwrap().1;
            assert_eq!(second.seen.lock().unwrap().last().unwrap()["model"], model);
            house.bench.end().await;
        }
    }
}

#[tokio::test]
async fn whatever_keeps_a_provider_from_beginning_lets_another_answer() {
    let other = Played::start(chat("m", true)).await;
    let (_held, dead) = refusing();
    let failed =
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"message\":\"Overloaded\"}}\n\n";
    let broken = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n".to_owned();
    for (deed, status, error) in [
        (refuse(429, "retry-after: 9\r\n", "slow down"), 429, None),
        (refuse(500, "", "our fault"), 500, None),
        (Deed::Answer(String::new()), 502, Some("upstream_unreachable")),
        (Deed::Hang, 499, Some("no_first_byte")),
        (Deed::Begin(stream(": waiting\n\n")), 200, Some("no_first_byte")),
        (Deed::Answer(stream(failed)), 200, Some("failed")),
        (Deed::Answer(broken), 200, None),
    ] {
        let first = Played::start(deed).await;
        let providers = [("openai", first.fake.url()), ("groq", other.fake.url())];
        let house = House::start(&providers, &[(GPT, &[GROQ])]).await;
        let (head, body) = house.ask(CHAT, GPT, true).await;
        assert_eq!(header(&head, "x-toft-model"), Some(GROQ), "{status} {error:?} {head} {body}");
        let records = house.records(2).await;
        assert_eq!((records[0].status, records[0].error.as_deref()), (status, error));
        house.bench.end().await;
    }
    let providers = [("openai", format!("http://{dead}")), ("groq", other.fake.url())];
    let house = House::start(&providers, &[(GPT, &[GROQ])]).await;
    let (head, _) = house.ask(CHAT, GPT, false).await;
    assert_eq!(header(&head, "x-toft-model"), Some(GROQ));
    let unreached = &house.records(2).await[0];
    assert_eq!((unreached.cost, unreached.model.as_deref()), (Some(0), Some("gpt-5")));
    house.bench.end().await;
}

#[tokio::test]
async fn a_fault_of_the_question_or_the_key_is_told_and_nobody_else_is_asked() {
    let other = Played::start(chat("m", true)).await;
    for code in [400, 401, 404, 413] {
        let first = Played::start(refuse(code, "", "no good")).await;
        let providers = [("openai", first.fake.url()), ("groq", other.fake.url())];
        let house = House::start(&providers, &[(GPT, &[GROQ])]).await;
        for _ in 0..2 {
            let (head, body) = house.ask(CHAT, GPT, true).await;
            assert_eq!((status(&head), header(&head, "x-toft-model")), (code, Some(GPT)), "{body}");
            assert!(body.contains("no good") && !body.contains("in vain"), "{body}");
        }
        assert_eq!((first.asked(), other.asked()), (2, 0), "{code}");
        house.bench.end().await;
    }
}

#[tokio::test]
async fn what_the_gateway_itself_refuses_is_asked_of_nobody_else() {
    let (first, other) = (Played::start(claude()).await, Played::start(chat("m", true)).await);
    let providers = [("anthropic", first.fake.url()), ("openai", other.fake.url())];
    let house = House::start(&providers, &[(CLAUDE, &[GPT])]).await;
    // No word of Anthropic's format; the one that stands in would have it.
    let body = json!({"model": CLAUDE, "n": 2, "messages": [{"role": "user", "content": "hi"}]});
    let (head, body) = ask(house.door.models, post(&house.door, CHAT, &body.to_string())).await;
    assert_eq!(status(&head), 400, "{}", String::from_utf8_lossy(&body));
    assert_eq!((first.asked(), other.asked()), (0, 0));
    assert!(house.bench.usage().is_empty());
    house.bench.end().await;
}

#[tokio::test]
async fn who_was_down_is_not_asked_again_until_one_call_looks_whether_it_is_back() {
    let first = Played::start(refuse(503, "", "no room")).await;
    let other = Played::start(chat("m", false)).await;
    let providers = [("openai", first.fake.url()), ("groq", other.fake.url())];
    let house = House::start(&providers, &[(GPT, &[GROQ])]).await;
    for _ in 0..3 {
        assert_eq!(header(&house.ask(CHAT, GPT, false).await.0, "x-toft-model"), Some(GROQ));
    }
    assert_eq!((first.asked(), other.asked()), (1, 3));
    house.bench.state.circuits.elapse();
    first.does(chat("gpt-5", false));
    for _ in 0..2 {
        assert_eq!(header(&house.ask(CHAT, GPT, false).await.0, "x-toft-model"), Some(GPT));
    }
    assert_eq!((first.asked(), other.asked()), (3, 3));
    assert_eq!(house.records(6).await.len(), 6, "who is not asked has no record");
    house.bench.end().await;
}

#[tokio::test]
async fn when_nobody_answers_the_first_error_is_told_with_who_was_tried_and_when_to_ask_again() {
    let first = Played::start(refuse(529, "retry-after: 30\r\n", "Overloaded")).await;
    let other = Played::start(refuse(429, "retry-after: 7\r\n", "slow down")).await;
    let third = Played::start(refuse(401, "", "bad key")).await;
    let providers =
        [("anthropic", first.fake.url()), ("openai", other.fake.url()), ("groq", third.fake.url())];
    let house = House::start(&providers, &[(CLAUDE, &[GPT, "xai/grok-4", GROQ])]).await;
    for round in 0..2 {
        let (head, body) = house.ask(MESSAGES, CLAUDE, true).await;
        assert_eq!(
            (status(&head), header(&head, "retry-after")),
            if round == 0 { (529, Some("7")) } else { (529, Some("30")) }
        );
        let json: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((&json["type"], &json["error"]["type"]), (&json!("error"), &json!("t")));
        let words = json["error"]["message"].as_str().unwrap();
        assert!(words.starts_with("Overloaded Asked in its place, in vain: "), "{words}");
        assert!(words.contains("bad key") && !words.contains("xai"), "{words}");
        let skipped = words.contains("Not asked, because down a moment ago: openai/gpt-5.");
        assert_eq!((words.contains("slow down"), skipped), (round == 0, round == 1), "{words}");
    }
    // The chosen one is asked each time: nobody is refused from memory.
    assert_eq!((first.asked(), other.asked(), third.asked()), (2, 1, 2));
    house.bench.end().await;

    // No provider answers at all.
    let (_held, dead) = refusing();
    let dead = format!("http://{dead}");
    let house = House::start(&[("openai", dead.clone()), ("groq", dead)], &[(GPT, &[GROQ])]).await;
    let (head, body) = house.ask(CHAT, GPT, true).await;
    assert_eq!((status(&head), header(&head, "x-toft-error")), (502, Some("upstream_unreachable")));
    assert!(body.contains("OpenAI could not be reached") && body.contains(GROQ), "{body}");
    house.bench.end().await;
}

#[tokio::test]
async fn after_the_first_byte_nobody_else_is_asked() {
    let chunk = "data: {\"model\":\"gpt-5\",\"choices\":[]}\n\n";
    let text = stream(&format!("{:x}\r\n{chunk}\r\n", chunk.len())).replacen(
        "\r\n\r\n",
        "\r\ntransfer-encoding: chunked\r\n\r\n",
        1,
    );
    let first = Played::start(Deed::Answer(text)).await;
    let other = Played::start(chat("m", true)).await;
    let providers = [("openai", first.fake.url()), ("groq", other.fake.url())];
    let house = House::start(&providers, &[(GPT, &[GROQ])]).await;
    let mut conn = Conn::open(house.door.models).await;
    let body = json!({"model": GPT, "stream": true, "messages": []}).to_string();
    conn.write(post(&house.door, CHAT, &body).as_bytes()).await;
    let head = conn.head().await;
    let (body, whole) = conn.body(&head).await;
    assert_eq!((header(&head, "x-toft-model"), whole), (Some(GPT), false));
    assert!(String::from_utf8_lossy(&body).contains("gpt-5"));
    assert_eq!(house.records(1).await[0].error.as_deref(), Some("cut"));
    assert_eq!(other.asked(), 0);
    house.bench.end().await;
}

#[tokio::test]
async fn who_goes_away_meanwhile_ends_it_and_says_nothing_of_the_provider() {
    let (first, other) = (Played::start(Deed::Hang).await, Played::start(Deed::Hang).await);
    let providers = [("openai", first.fake.url()), ("groq", other.fake.url())];
    let house = House::start(&providers, &[(GPT, &[GROQ])]).await;
    // In one piece nobody is left for being slow.
    let body = json!({"model": GPT, "messages": []}).to_string();
    for round in 1..=2 {
        let mut conn = Conn::open(house.door.models).await;
        conn.write(post(&house.door, CHAT, &body).as_bytes()).await;
        eventually(|| (first.asked() == round).then_some(())).await;
        drop(conn);
        let records = house.records(round).await;
        assert_eq!(records[round - 1].error.as_deref(), Some("client_closed"));
    }
    assert_eq!(other.asked(), 0);
    house.bench.end().await;
}

#[tokio::test]
async fn what_names_its_provider_by_the_path_is_answered_by_another_too() {
    let first = Played::start(refuse(503, "", "no room")).await;
    let other = Played::start(claude()).await;
    let providers = [("groq", first.fake.url()), ("anthropic", other.fake.url())];
    let house = House::start(&providers, &[(GROQ, &[CLAUDE])]).await;
    let spec = toft_llm::catalogue::provider("groq").unwrap();
    let body = json!({"model": "llama-3.3-70b-versatile", "stream": true,
        "messages": [{"role": "user", "content": "hi"}]});
    let request = post(&house.door, &format!("/llm/groq{}", spec.chat_path), &body.to_string())
        .replacen("\r\n", "\r\nx-toft-provider: path\r\nx-toft-run: r1\r\n", 1);
    let (head, body) = ask(house.door.models, request).await;
    let body = String::from_utf8_lossy(&body).into_owned();
    assert_eq!(header(&head, "x-toft-model"), Some(CLAUDE), "{body}");
    assert!(body.contains("Hello.") && body.contains("chat.completion.chunk"), "{body}");
    for record in house.records(2).await {
        assert_eq!(record.run.as_ref().map(toft_model::id::RunId::as_str), Some("r1"));
    }
    house.bench.end().await;
}

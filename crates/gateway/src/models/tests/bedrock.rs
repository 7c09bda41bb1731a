//! Amazon's format: requests that are signed, models in paths, answers in frames.

use super::code;
use crate::{
    config::{GatewayConfig, ProviderConfig},
    signature::AccountKey,
    testing::{Bench, Conn, Door, Fake, ask, framed, header, post, status},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};
use toft_llm::{catalogue, price::cost_nanos};
use toft_model::{
    budget::{Budget, Budgets},
    machine::EgressLevel::Open,
    message::Usage,
};
use toft_vault::Secret;

const ACCESS: &str = "AKIDCANARYEXAMPLE";
const SECRET: &str = "wJalr/XUtnFEMI+canary+bPxRfiCYEXAMPLEKEY";
const SESSION: &str = "AQoDYXdz//canary//session==";
const MODEL: &str = "anthropic.claude-haiku-4-5-20251001-v1:0";
const PATH: &str = "/model/anthropic.claude-haiku-4-5-20251001-v1%3A0/converse-stream";
const BODY: &str = r#"{"messages":[{"role":"user","content":[{"text":"hi"}]}]}"#;

fn account() -> String {
    format!("{ACCESS}:{SECRET}:{SESSION}")
}

/// A house with Bedrock at this address.
async fn house(fake: &Fake, key: String, budget: Option<u64>) -> (Bench, Door) {
    let bench = Bench::start().await;
    let door = bench.machine(Open).await;
    let provider = ProviderConfig {
        id: "bedrock".into(),
        key: Some(Secret::new(key)),
        base_url: Some(fake.url()),
        region: Some("eu-west-1".into()),
        headers: BTreeMap::from([("x-set".to_owned(), "by the operator".to_owned())]),
        ..ProviderConfig::default()
    };
    let project = Budget { total: budget, ..Budget::default() };
    let projects = BTreeMap::from([(door.project.clone(), project)]);
    let budgets = Budgets { projects, ..Budgets::default() };
    let config = GatewayConfig { providers: vec![provider], budgets, ..GatewayConfig::default() };
    bench.gateway.set_config(config).await.unwrap();
    (bench, door)
}

/// Whether a request is signed as it came, by who has the key.
fn is_signed(head: &str, body: &[u8]) -> bool {
    let line: Vec<&str> = head.lines().next().unwrap().split(' ').collect();
    let url = format!("http://{}{}", header(head, "host").unwrap(), line[1]).parse().unwrap();
    let kept = ["content-type", "x-amz-date", "x-amz-security-token"];
    let of = |name: &str| Some((name.parse().unwrap(), header(head, name)?.parse().unwrap()));
    let headers = kept.iter().filter_map(|name| of(name)).collect();
    let key = AccountKey::parse(&account(), "bedrock", "eu-west-1").unwrap();
    let stamp = header(head, "x-amz-date").unwrap();
    let expected = key.authorization(line[0], &url, &headers, body, stamp);
    header(head, "authorization") == Some(&expected)
}

fn answer(frames: &[u8]) -> Vec<u8> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/vnd.amazon.eventstream\r\n\r\n";
    [head.as_bytes(), frames].concat()
}

fn told(input: u64, output: u64) -> Vec<u8> {
    let usage = format!(r#"{{"usage":{{"inputTokens":{input},"outputTokens":{output}}}}}"#);
    framed("metadata", &usage)
}

#[tokio::test]
async fn a_request_is_signed_with_an_accounts_key_and_its_answer_is_counted() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let requests = Arc::clone(&seen);
    let frames = [framed("messageStart", r#"{"role":"assistant"}"#), told(7, 9)].concat();
    let sent = answer(&frames);
    let fake = Fake::start(move |mut conn: Conn| {
        let (requests, sent) = (Arc::clone(&requests), sent.clone());
        async move {
            let request = conn.request().await;
            requests.lock().unwrap().push(request);
            conn.write(&sent).await;
        }
    })
    .await;
    let (bench, door) = house(&fake, account(), None).await;
    let asked = post(&door, &format!("/llm/bedrock{PATH}"), BODY).replacen(
        "\r\n",
        "\r\nx-amz-date: 19990101T000000Z\r\nx-amz-security-token: theirs\r\n",
        1,
    );
    let (head, body) = ask(door.models, asked).await;
    assert_eq!((status(&head), &body), (200, &frames), "byte for byte");
    let record = bench.usage_of(1).await.remove(0);
    assert_eq!((record.input, record.output, record.status), (Some(7), Some(9), 200));
    assert_eq!(record.model.as_deref(), Some(MODEL));
    let price = catalogue::model("bedrock", MODEL).unwrap().price.unwrap();
    let usage = Usage { input: 7, output: 9, ..Usage::default() };
    assert_eq!(record.cost, Some(cost_nanos(&price, &usage)));

    let (head, body) = seen.lock().unwrap().remove(0);
    assert!(head.starts_with(&format!("POST {PATH} HTTP/1.1\r\n")), "{head}");
    assert_eq!(body, BODY.as_bytes());
    assert!(is_signed(&head, &body) && !is_signed(&head, b"{}"), "{head}");
    assert_eq!(header(&head, "x-amz-security-token"), Some(SESSION));
    assert_eq!(header(&head, "x-set"), Some("by the operator"));
    assert!(!head.contains(&door.token) && !head.contains(SECRET), "{head}");
    bench.end().await;
}

#[tokio::test]
async fn a_key_of_the_services_own_needs_no_signature_and_one_that_is_none_goes_nowhere() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let requests = Arc::clone(&seen);
    let fake = Fake::start(move |mut conn: Conn| {
        let requests = Arc::clone(&requests);
        async move {
            let request = conn.request().await;
            requests.lock().unwrap().push(request.0);
            conn.write(&answer(&told(1, 1))).await;
        }
    })
    .await;
    let (bench, door) = house(&fake, "ABSKQmVkcm9jay1BUEkta2V5".into(), None).await;
    let asked = post(&door, &format!("/llm/bedrock{PATH}"), BODY);
    assert_eq!(status(&ask(door.models, &asked).await.0), 200);
    let head = seen.lock().unwrap().remove(0);
    assert_eq!(header(&head, "authorization"), Some("Bearer ABSKQmVkcm9jay1BUEkta2V5"));
    assert_eq!(header(&head, "x-amz-date"), None);
    bench.end().await;

    let (bench, door) = house(&fake, "AKID:secret:session:more".into(), None).await;
    let asked = post(&door, &format!("/llm/bedrock{PATH}"), BODY);
    let (head, body) = ask(door.models, asked).await;
    assert_eq!(code(&head, &body), (424, "no_key".to_owned()));
    let text = String::from_utf8(body).unwrap();
    assert!(text.contains("ACCESS:SECRET") && !text.contains("more"), "{text}");
    assert!(seen.lock().unwrap().is_empty());
    bench.end().await;
}

#[tokio::test]
async fn no_part_of_an_accounts_key_comes_back() {
    let echo = format!("{{\"message\":\"{ACCESS} with {SECRET} and {SESSION}\"}}");
    let head = format!("HTTP/1.1 403 Forbidden\r\nx-echo: {SECRET}\r\n");
    let length = echo.len();
    let fake = Fake::answering(format!("{head}content-length: {length}\r\n\r\n{echo}")).await;
    let (bench, door) = house(&fake, account(), None).await;
    let (head, body) = ask(door.models, post(&door, &format!("/llm/bedrock{PATH}"), BODY)).await;
    let text = head + &String::from_utf8(body).unwrap();
    assert!(text.contains("403") && text.contains(" with ***"), "{text}");
    for part in [ACCESS, SECRET, SESSION] {
        assert!(!text.contains(part), "{text}");
    }
    let tested = bench.gateway.test_provider("bedrock").await.unwrap();
    assert!(!tested.ok && tested.message.contains("*****"), "{tested:?}");
    assert!(!tested.message.contains("canary"), "{tested:?}");
    bench.end().await;
}

#[tokio::test]
async fn a_budget_holds_and_only_what_counts_tokens_is_free() {
    let fake = Fake::answering(answer(&told(1_000_000, 1_000_000))).await;
    let (bench, door) = house(&fake, account(), Some(1_000_000_000)).await;
    let of = |verb: &str| post(&door, &format!("/llm/bedrock/model/{MODEL}/{verb}"), BODY);
    assert_eq!(status(&ask(door.models, of("converse-stream")).await.0), 200);
    bench.usage_of(1).await;
    let (head, body) = ask(door.models, of("invoke")).await;
    assert_eq!(code(&head, &body), (402, "budget_spent".to_owned()));
    assert_eq!(status(&ask(door.models, of("count-tokens")).await.0), 200);
    let (head, body) = ask(door.models, post(&door, "/llm/bedrock/async-invoke", BODY)).await;
    assert_eq!(code(&head, &body), (403, "delayed_call".to_owned()));
    bench.end().await;
}

#[tokio::test]
async fn a_test_says_whether_the_key_is_good_and_what_was_tried() {
    let refused = "x-amzn-errortype: ValidationException:http://internal/\r\n";
    for (line, headers, body, ok, said) in [
        ("400 Bad Request", refused, r#"{"message":"messages: too short"}"#, true, "took the key"),
        ("400 Bad Request", "", r#"{"__type":"a#ValidationException"}"#, true, "without a word"),
        (
            "400 Bad Request",
            refused,
            r#"{"message":"Invocation of model ID x with on-demand throughput isn’t supported."}"#,
            true,
            "but not the model",
        ),
        ("400 Bad Request", "", r#"{"message":"no API of ours"}"#, false, "no API of ours"),
        (
            "403 Forbidden",
            "x-amzn-errortype: InvalidSignatureException\r\n",
            r#"{"message":"The request signature we calculated does not match"}"#,
            false,
            "403 Forbidden: The request signature",
        ),
        ("404 Not Found", "", "nothing here", false, "404"),
    ] {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let requests = Arc::clone(&seen);
        let sent =
            format!("HTTP/1.1 {line}\r\n{headers}content-length: {}\r\n\r\n{body}", body.len());
        let fake = Fake::start(move |mut conn: Conn| {
            let (requests, sent) = (Arc::clone(&requests), sent.clone());
            async move {
                let request = conn.request().await;
                requests.lock().unwrap().push(request);
                conn.write(sent.as_bytes()).await;
            }
        })
        .await;
        let (bench, _door) = house(&fake, account(), None).await;
        let tested = bench.gateway.test_provider("bedrock").await.unwrap();
        assert_eq!(tested.ok, ok, "{tested:?}");
        assert!(tested.message.contains(said), "{tested:?}");
        let (head, body) = seen.lock().unwrap().remove(0);
        assert!(is_signed(&head, &body), "{head}");
        assert!(bench.usage().is_empty());
        bench.end().await;
    }
}

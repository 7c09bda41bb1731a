//! Who wants to know of a run's end is told by a signed request, again until it is taken, under one id.

use anyhow::{Context as _, Result, ensure};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use toft_stories::{
    provider::{Provider, Say},
    toft::{STEP_TIMEOUT, Start, Toft},
};
use tokio::net::TcpListener;

/// A request that came.
#[derive(Debug, Clone)]
struct Came {
    id: String,
    at: String,
    signature: String,
    body: String,
}

/// Refuses the first request, and takes what follows.
#[derive(Clone, Default)]
struct Receiver(Arc<Mutex<Vec<Came>>>);

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let text = |name: &str| {
        headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    let mut all = receiver.0.lock().expect("no holder panics");
    all.push(Came {
        id: text("webhook-id"),
        at: text("webhook-timestamp"),
        signature: text("webhook-signature"),
        body: String::from_utf8_lossy(&body).into_owned(),
    });
    if all.len() == 1 { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::NO_CONTENT }
}

impl Receiver {
    async fn start(&self) -> Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/hook?key=of-the-receiver", listener.local_addr()?);
        let app = Router::new().route("/hook", post(take)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(url)
    }

    fn came(&self) -> Vec<Came> {
        self.0.lock().expect("no holder panics").clone()
    }

    async fn until(&self, count: usize) -> Result<Vec<Came>> {
        let began = std::time::Instant::now();
        while self.came().len() < count {
            ensure!(began.elapsed() < STEP_TIMEOUT, "it was told {:?}", self.came());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(self.came())
    }
}

fn signature(secret: &str, came: &Came) -> Result<String> {
    let key = BASE64.decode(secret.strip_prefix("whsec_").context("a secret's form")?)?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key)?;
    mac.update(format!("{}.{}.{}", came.id, came.at, came.body).as_bytes());
    Ok(format!("v1,{}", BASE64.encode(mac.finalize().into_bytes())))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_is_told_once_of_each_run_and_again_until_it_takes_it() -> Result<()> {
    let script = Arc::new(|_: &str, _| Say { text: "It is done.".into(), tools: vec![] });
    let provider = Provider::start(Duration::ZERO, script).await?;
    let toft = Toft::start(Start { env: provider.env("sk-h"), ..Start::default() }).await?;
    let project = toft.new_project("Hooks").await?;
    let receiver = Receiver::default();
    let url = receiver.start().await?;
    let hooks = format!("/v1/projects/{project}/webhooks");
    let hook = toft.call("POST", &hooks, Some(json!({ "url": url }))).await?;
    let secret = hook["secret"].as_str().context("a secret, told once")?;

    let runs = format!("{}/v1/projects/{project}/runs", toft.base);
    let asked = toft.http().post(runs).bearer_auth(&toft.token).header("idempotency-key", "one");
    let run: Value = asked.json(&json!({"prompt": "go"})).send().await?.json().await?;
    let id = run["data"]["id"].as_str().context("a run")?.to_owned();

    let came = receiver.until(2).await?;
    assert_eq!(came[0].id, came[1].id, "one id, however often");
    for one in &came {
        assert_eq!(one.signature, signature(secret, one)?);
    }
    let body: Value = serde_json::from_str(&came[1].body)?;
    assert_eq!((&body["type"], &body["data"]["id"]), (&json!("run.completed"), &json!(id)));
    assert_eq!(body["data"]["output"], "It is done.");

    let hook = format!("{hooks}/{}", hook["id"].as_str().context("an id")?);
    let told = toft.until(&hook, |hook| hook["deliveries"][0]["delivered"] == true).await?;
    assert_eq!((&told["deliveries"][0]["attempts"], &told["secret"]), (&json!(2), &Value::Null));
    // The run's last word is read here too, so that what is told later would be seen.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(receiver.came().len(), 2);
    toft.call("DELETE", &hook, None).await?;
    assert_eq!(toft.request("GET", &hook, None).await?.0, 404);
    toft.down()
}

//! Tells addresses of runs that are over, by the rules of Standard Webhooks: at least once, under one id however often,
//! signed, and again for about a day until somebody takes it.

use super::shown;
use crate::{keyring::webhook_place, outward, state::App};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::StatusCode;
use serde_json::json;
use sha2::Sha256;
use std::{collections::HashMap, time::Duration};
use toft_model::{run::WebhookId, time::rfc3339};
use toft_store::{Claiming, Delivery};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

/// Begins what a person is given to check signatures with.
pub(crate) const SECRET_PREFIX: &str = "whsec_";
/// How often it is looked for what is due.
const LOOK: Duration = Duration::from_secs(1);
/// Sent at once, to all receivers.
const AT_ONCE: usize = 64;
/// Sent at once to one: another that hangs costs the others nothing, and one that is quick gets the next at once.
const AT_ONCE_EACH: u32 = 4;
/// How long a receiver may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a delivery belongs to a server that sends it.
const LEASE_MS: u64 = 60_000;
/// Seconds before the next try, after each.
const PAUSES: [u64; 9] = [5, 30, 120, 600, 1_800, 3_600, 10_800, 21_600, 43_200];

/// Sends what is due until the server ends.
pub(crate) async fn run(app: App) {
    let made = tokio::task::spawn_blocking(|| {
        outward::client(concat!("toft/", env!("CARGO_PKG_VERSION")))
    });
    let client = match made.await {
        Ok(Ok(client)) => client,
        Ok(Err(error)) => {
            tracing::error!(error = outward::told(&error), "webhooks cannot be told");
            return;
        }
        // The server ends.
        Err(_) => return,
    };
    let mut tick = interval(LOOK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sending = JoinSet::new();
    let mut busy: HashMap<WebhookId, u32> = HashMap::new();
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            Some(sent) = sending.join_next() => {
                let Ok(webhook) = sent else { continue };
                if let Some(count) = busy.get_mut(&webhook) {
                    *count -= 1;
                }
                busy.retain(|_, count| *count > 0);
            }
        }
        let room = AT_ONCE.saturating_sub(sending.len());
        if room == 0 {
            continue;
        }
        let (now, held): (u64, Vec<WebhookId>) =
            (app.clock.now_ms(), busy.keys().cloned().collect());
        let limit = u32::try_from(room).unwrap_or(u32::MAX);
        let of = Claiming { limit, per_webhook: AT_ONCE_EACH, busy: &held };
        let due = match app.store.claim_deliveries(&of, LEASE_MS, now).await {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!(%error, "what is to be told cannot be read");
                // Not again at once, however much comes to its end meanwhile.
                tokio::time::sleep(LOOK).await;
                continue;
            }
        };
        for delivery in due {
            *busy.entry(delivery.webhook.id.clone()).or_default() += 1;
            let (app, client) = (app.clone(), client.clone());
            sending.spawn(async move {
                let webhook = delivery.webhook.id.clone();
                send(&app, &client, delivery).await;
                webhook
            });
        }
    }
}

async fn send(app: &App, client: &reqwest::Client, delivery: Delivery) {
    let (is_delivered, is_final, said) = match once(app, client, &delivery).await {
        Ok(status) if status.is_success() => (true, true, status.to_string()),
        // The receiver wants no more of it.
        Ok(StatusCode::GONE) => (false, true, StatusCode::GONE.to_string()),
        Ok(status) => (false, false, status.to_string()),
        Err(why) => (false, false, why),
    };
    let now = app.clock.now_ms();
    let tried = usize::try_from(delivery.attempts.saturating_sub(1)).unwrap_or(usize::MAX);
    let next = if is_final { None } else { PAUSES.get(tried).map(|s| s * 1_000) };
    if !is_delivered && next.is_none() {
        tracing::warn!(webhook.id = %delivery.webhook.id, run.id = %delivery.run, said,
            "a webhook is not told of a run: it is given up");
    }
    if let Err(error) = app.store.put_delivery(&delivery.id, is_delivered, next, &said, now).await {
        // It is sent again, under its id.
        tracing::warn!(webhook.id = %delivery.webhook.id, %error, "what became of a delivery is not kept");
    }
}

async fn once(
    app: &App,
    client: &reqwest::Client,
    delivery: &Delivery,
) -> Result<StatusCode, String> {
    let run = app.store.run(&delivery.project, &delivery.run).await.map_err(|e| e.to_string())?;
    let run = run.ok_or("its project is deleted")?;
    let webhook = &delivery.webhook;
    let secret = {
        let vault = app.keyring.vault().await;
        let opened = vault.unseal(&webhook_place(webhook.id.as_str()), &webhook.sealed);
        opened.map_err(|_| "what it is signed with cannot be read with this master key")?
    };
    let now = app.clock.now_ms();
    let body = json!({
        "type": format!("run.{}", run.state.status.as_str()),
        "timestamp": rfc3339(delivery.created_at),
        "data": shown::summary(&run),
    })
    .to_string();
    let at = (now / 1_000).to_string();
    let signature = sign(secret.expose(), delivery.id.as_str(), &at, &body)?;
    let sent = client
        .post(&webhook.url)
        .header("content-type", "application/json")
        .header("webhook-id", delivery.id.as_str())
        .header("webhook-timestamp", at)
        .header("webhook-signature", signature)
        .timeout(ANSWER_TIMEOUT)
        .body(body)
        .send()
        .await;
    // Without the address, which may hold a key.
    sent.map(|answer| answer.status()).map_err(|error| outward::told(&error))
}

/// `v1,` and the signature of id, time and body.
fn sign(secret: &str, id: &str, at: &str, body: &str) -> Result<String, String> {
    let key = secret.strip_prefix(SECRET_PREFIX).and_then(|key| BASE64.decode(key).ok());
    let key = key.ok_or("what it is signed with is none")?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|error| error.to_string())?;
    mac.update(format!("{id}.{at}.{body}").as_bytes());
    Ok(format!("v1,{}", BASE64.encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_the_standards_own_example() {
        // From the specification of Standard Webhooks.
        let signed = sign(
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "1614265330",
            r#"{"test": 2432232314}"#,
        );
        assert_eq!(signed.unwrap(), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert!(sign("plain", "a", "1", "{}").is_err());
    }
}

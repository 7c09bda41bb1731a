//! Secrets: a change whose client leaves is told to the machine all the same.

use crate::{client::Call, world::World};
use serde_json::json;
use std::time::Duration;
use tokio::time::{sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(20);

#[tokio::test]
async fn a_change_whose_client_leaves_is_stored_and_told() {
    let world = World::new().await;
    let id = world.project().await;
    let of = format!("/v1/projects/{id}/secrets");
    let one = format!("{of}/KEY");
    world.ask(Call::post(&format!("/v1/projects/{id}/start"), &json!({}))).await.data();
    let changes =
        [Call::new("PUT", &one).json(&json!({"value": "canary-value"})), Call::new("DELETE", &one)];
    for (revision, change) in (1u64..).zip(changes) {
        world.machines.mute_init(&id, true);
        {
            let asked = world.ask(change);
            tokio::pin!(asked);
            let is_told = async {
                while world.machines.waits_for_init(&id) == 0 {
                    sleep(LOOK).await;
                }
            };
            tokio::select! {
                _ = &mut asked => panic!("init is mute"),
                () = is_told => {}
            }
            // The client leaves here.
        }
        sleep(5 * LOOK).await;
        world.machines.mute_init(&id, false);
        let in_force = async {
            loop {
                let found = world.ask(Call::get(&of)).await.data();
                assert_eq!(found["revision"], json!(revision));
                if found["inForce"] == json!(true) {
                    return;
                }
                sleep(LOOK).await;
            }
        };
        timeout(PATIENCE, in_force).await.expect("the machine is told");
    }
    world.end(true).await;
}

#[tokio::test]
async fn a_binding_comes_with_its_value_and_is_kept_as_it_is_understood() {
    let world = World::new().await;
    let id = world.project().await;
    let one = format!("/v1/projects/{id}/secrets/KEY");
    let put = |body: serde_json::Value| Call::new("PUT", &one).json(&body);
    let binding = json!({"hosts": ["API.a.test"], "methods": ["get"], "paths": ["/v1/*"]});
    for wrong in [
        json!({"value": "canary-value", "kind": "brokered"}),
        json!({"value": "canary-value", "kind": "other"}),
        json!({"value": "canary-value", "kind": "environment", "binding": binding}),
        json!({"value": "canary-value", "binding": {"hosts": []}}),
        json!({"value": "canary-value", "binding": {"hosts": ["10.0.0.1"]}}),
        json!({"value": "canary-value", "binding": {"host": ["canary-value"]}}),
        json!({"value": "canary-value", "binding": "canary-value"}),
        json!({"value": "canary\nvalue", "binding": binding}),
        json!({"value": "short", "binding": binding}),
        json!({"binding": binding}),
    ] {
        let answer = world.ask(put(wrong.clone())).await;
        assert_eq!(answer.status, 400, "{wrong}");
        assert!(!answer.text().contains("canary"), "{}", answer.text());
    }
    let set = world.ask(put(json!({"value": "canary-value", "binding": binding}))).await.data();
    let plain = json!({"hosts": ["api.a.test"], "methods": ["GET"], "paths": ["/v1/*"], "headers": ["authorization"]});
    let of = |answer: &serde_json::Value| {
        let row = &answer["secrets"][0];
        (row["kind"].clone(), row["binding"].clone(), row["state"].clone())
    };
    assert_eq!(of(&set), (json!("brokered"), plain.clone(), json!("set")));
    // A value alone changes neither; by its kind it becomes an ordinary one.
    let again = world.ask(put(json!({"value": "canary-second"}))).await.data();
    assert_eq!(of(&again), (json!("brokered"), plain, json!("set")));
    let rotate = format!("/v1/projects/{id}/rotate-secrets");
    world.ask(Call::post(&rotate, &json!({}))).await.data();
    let listed = world.ask(Call::get(&format!("/v1/projects/{id}/secrets"))).await.data();
    assert_eq!(of(&listed), of(&again));
    let plain = world.ask(put(json!({"value": "canary", "kind": "environment"}))).await.data();
    assert_eq!(of(&plain), (json!("environment"), json!(null), json!("set")));
    world.end(true).await;
}

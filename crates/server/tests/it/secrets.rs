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

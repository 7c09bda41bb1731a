//! Settings, provider keys and what is said of the host.

use crate::{client::Call, world::World};
use serde_json::{Value, json};

const CANARY: &str = "sk-canary-1234567890-wxyz";
const ENV_CANARY: &str = "sk-env-canary-1234567890-abcd";

fn provider(list: &Value, id: &str) -> Value {
    list.as_array().unwrap().iter().find(|p| p["id"] == id).unwrap().clone()
}

/// Every byte of every file below a folder.
fn all_bytes(dir: &std::path::Path, out: &mut Vec<u8>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all_bytes(&path, out);
        } else {
            out.extend(std::fs::read(&path).unwrap_or_default());
        }
    }
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|w| w == text.as_bytes())
}

#[tokio::test]
async fn keys_go_in_and_never_come_out() {
    let world = World::with(|config| {
        config.provider_env.insert("OPENAI_API_KEY".into(), ENV_CANARY.into());
    })
    .await;
    let list = world.ask(Call::get("/v1/providers")).await.data();
    let openai = provider(&list, "openai");
    assert_eq!(
        (&openai["configured"], &openai["source"], &openai["envVar"], &openai["keyHint"]),
        (&json!(true), &json!("env"), &json!("OPENAI_API_KEY"), &json!("…abcd"))
    );
    let anthropic = provider(&list, "anthropic");
    assert_eq!((&anthropic["configured"], &anthropic["source"]), (&json!(false), &json!(null)));
    assert!(anthropic["models"].as_u64().unwrap() > 0);

    let put = |id: &str, key: &str| {
        Call::new("PUT", &format!("/v1/providers/{id}/key")).json(&json!({"key": key}))
    };
    for id in ["anthropic", "openai"] {
        let set = world.ask(put(id, &format!("  {CANARY}\n"))).await.data();
        assert_eq!((&set["source"], &set["keyHint"]), (&json!("settings"), &json!("…wxyz")));
    }
    world.ask(put("nobody", CANARY)).await.failure(404, "not_found");
    world.ask(put("openai", "two words")).await.failure(400, "invalid_argument");
    world.ask(put("openai", "")).await.failure(400, "invalid_argument");
    for bad in ["AKID:", "AKID:secret:session:more", ":secret"] {
        world.ask(put("bedrock", bad)).await.failure(400, "invalid_argument");
    }
    let account = world.ask(put("bedrock", &format!("AKID:{CANARY}"))).await.data();
    assert_eq!((&account["configured"], &account["keyHint"]), (&json!(true), &json!("…wxyz")));

    let mut answers = Vec::new();
    for path in ["/v1/providers", "/v1/settings", "/v1/me", "/v1/doctor"] {
        answers.extend_from_slice(&world.ask(Call::get(path)).await.body);
    }
    let world = world.restart().await;
    answers.extend_from_slice(&world.ask(Call::get("/v1/providers")).await.body);
    let mut disk = Vec::new();
    all_bytes(world.data.path(), &mut disk);
    for canary in [CANARY, ENV_CANARY] {
        assert!(!holds(&answers, canary), "an answer holds the key");
        assert!(!holds(&disk, canary), "the data folder holds the key");
    }
    // The same search finds what is there.
    assert!(holds(&disk, "…wxyz"));
    let list = world.ask(Call::get("/v1/providers")).await.data();
    assert_eq!(provider(&list, "openai")["source"], "settings");
    let gone = world.ask(Call::new("DELETE", "/v1/providers/openai/key")).await.data();
    assert_eq!((&gone["configured"], &gone["source"]), (&json!(false), &json!(null)));
    world.end(false).await;
}

#[tokio::test]
async fn settings_are_checked_kept_and_unset() {
    let world = World::new().await;
    let put = |body: Value| Call::new("PUT", "/v1/settings").json(&body);
    let empty = json!({"defaultProvider": null, "defaultModel": null,
                       "defaultThinkingLevel": null, "localModels": false, "theme": null});
    assert_eq!(world.ask(Call::get("/v1/settings")).await.data(), empty);
    let all = json!({"defaultProvider": "anthropic", "defaultModel": "claude-x",
                     "defaultThinkingLevel": "high", "localModels": true, "theme": "dark"});
    assert_eq!(world.ask(put(all.clone())).await.data(), all);
    let world = world.restart().await;
    assert_eq!(world.ask(Call::get("/v1/settings")).await.data(), all);
    let changed = world.ask(put(json!({"theme": null}))).await.data();
    assert_eq!((&changed["theme"], &changed["defaultModel"]), (&json!(null), &json!("claude-x")));
    for bad in [
        json!({"theme": "pink"}),
        json!({"localModels": "on"}),
        json!({"defaultProvider": "nobody"}),
        json!({"defaultModel": "two words"}),
        json!({"defaultThinkingLevel": "very"}),
        json!({"defautlModel": "x"}),
    ] {
        world.ask(put(bad.clone())).await.failure(400, "invalid_argument");
    }
    // The theme is a person's own.
    let cookie = world.sign_in().await;
    let own = format!("http://{}", world.host());
    let mine = put(json!({"theme": "light"})).host(&world.host()).header("origin", &own);
    assert_eq!(world.send(mine.cookie(&cookie)).await.data()["theme"], "light");
    assert_eq!(world.ask(Call::get("/v1/settings")).await.data()["theme"], json!(null));
    world.end(false).await;
}

#[tokio::test]
async fn without_a_gateway_models_are_told_to_come_and_the_rest_works() {
    let world = World::new().await;
    world.ask(Call::get("/v1/models")).await.failure(409, "unavailable");
    let doctor = world.ask(Call::get("/v1/doctor")).await.data();
    assert_eq!(doctor["abilities"][0]["name"], "user namespaces");
    assert_eq!(doctor["dataDir"], world.data.path().to_str().unwrap());
    assert!(doctor["database"].as_str().unwrap().starts_with("SQLite 3."));
    world.end(false).await;
}

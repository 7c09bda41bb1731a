//! The server with a real gateway beside it. This program is that gateway too, when it is called as
//! one; so it has a `main` of its own instead of the usual test harness.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends there")]
#![expect(clippy::print_stdout, reason = "it stands in for the test harness")]

#[path = "it/backend.rs"]
#[expect(dead_code, reason = "shared with the other tests")]
mod backend;
#[path = "it/box_bridge.rs"]
#[expect(dead_code, reason = "shared with the other tests")]
mod box_bridge;
#[path = "it/box_init.rs"]
mod box_init;
#[path = "it/box_runs.rs"]
#[expect(dead_code, reason = "shared with the other tests")]
mod box_runs;
#[path = "it/client.rs"]
#[expect(dead_code, reason = "shared with the other tests")]
mod client;
#[path = "it/kept.rs"]
#[expect(dead_code, reason = "this test needs less of it")]
mod kept;
#[path = "it/resting.rs"]
mod resting;
#[path = "it/world.rs"]
#[expect(dead_code, reason = "shared with the other tests")]
mod world;

use crate::{client::Call, world::World};
use serde_json::{Value, json};
use std::{
    io::{Read as _, Write as _},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use toft_gateway::Gateway;
use toft_model::machine::EgressLevel;

const NAME: &str = "a_gateway_outlives_servers_and_is_started_again_when_it_is_killed";

fn main() -> ExitCode {
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    if args.first().is_some_and(|a| a == "gateway") {
        return toft_gateway::main(args.into_iter().skip(1));
    }
    // What runners of tests ask.
    if args.iter().any(|a| a == "--list") {
        if !args.iter().any(|a| a == "--ignored") {
            println!("{NAME}: test");
        }
        return ExitCode::SUCCESS;
    }
    let named = |a: &std::ffi::OsString| !a.to_string_lossy().starts_with('-');
    let wanted = args.iter().filter(|a| named(a)).all(|a| NAME.contains(&*a.to_string_lossy()));
    if wanted {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(story());
        println!("test {NAME} ... ok");
    }
    ExitCode::SUCCESS
}

/// The gateway of a data folder once it fits; another one than `not`.
async fn gateway(world: &World, not: u32, project: &str) -> Gateway {
    for _ in 0..500 {
        if let Ok(gateway) = Gateway::connect(world.data.path()).await
            && gateway.pid() != not
            && let Ok(machines) = gateway.machines().await
            && machines.iter().any(|m| m.project.as_str() == project)
        {
            return gateway;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("no gateway serves {project}");
}

/// Waits until the gateway serves this project and no other.
async fn only(gateway: &Gateway, project: &str) {
    for _ in 0..500 {
        let machines = gateway.machines().await.unwrap();
        if machines.iter().map(|m| m.project.as_str()).eq([project]) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the gateway serves {:?}", gateway.machines().await);
}

async fn models(world: &World) -> Value {
    for _ in 0..100 {
        let answer = world.ask(Call::get("/v1/models")).await;
        if answer.status == 200 {
            return answer.data();
        }
    }
    panic!("the gateway does not answer");
}

fn has_openai(models: &Value) -> bool {
    models["providers"].as_array().unwrap().iter().any(|p| p["id"] == "openai")
}

/// A server of models of this machine, which tells them once it is switched on.
struct Local {
    base_url: String,
    is_on: Arc<AtomicBool>,
}

impl Local {
    fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
        let is_on = Arc::new(AtomicBool::new(false));
        let on = Arc::clone(&is_on);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, mut head) = (stream.unwrap(), Vec::new());
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    if stream.read(&mut byte).unwrap_or(0) == 0 {
                        break;
                    }
                    head.push(byte[0]);
                }
                let list = r#"{"data":[{"id":"small","max_model_len":4096}]}"#;
                let body = if on.load(Ordering::SeqCst) { list } else { "{}" };
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
                );
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        Self { base_url, is_on }
    }
}

/// Waits until the server says so.
async fn until(world: &World, path: &str, holds: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..1_000 {
        let told = world.ask(Call::get(path)).await;
        if told.status == 200 && holds(&told.data()) {
            return told.data();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{path} stays {:?}", world.ask(Call::get(path)).await.data());
}

fn provider(list: &Value, id: &str) -> Value {
    list.as_array().unwrap().iter().find(|p| p["id"] == id).cloned().unwrap_or_default()
}

/// What people tell of models and servers of their own machine counts while the server runs.
async fn own_models(world: &World, local: &Local) {
    let list = world.ask(Call::get("/v1/providers")).await.data();
    let vllm = provider(&list, "vllm");
    assert_eq!((&vllm["local"], &vllm["configured"]), (&json!(true), &json!(false)), "{vllm}");
    assert!(vllm["problem"].as_str().unwrap().contains("does not answer at http://127"), "{vllm}");
    local.is_on.store(true, Ordering::SeqCst);
    let tested = world.ask(Call::post("/v1/providers/vllm/test", &json!({}))).await.data();
    assert_eq!(tested["message"], "vLLM answers and offers 1 model.");
    let list =
        until(world, "/v1/providers", |list| provider(list, "vllm")["configured"] == true).await;
    assert_eq!(provider(&list, "vllm")["models"], 1);
    let offered = models(world).await;
    let model = offered["models"].as_array().unwrap().iter().find(|m| m["provider"] == "vllm");
    assert_eq!(model.unwrap()["contextWindow"], 4096);

    let path = world.data.path().join("models.json");
    let text = |key: &str| {
        format!(
            r#"{{"providers":{{"mine":{{"name":"My server","api":"openai-completions",
                "baseUrl":"http://127.0.0.1:9/v1"{key},"models":[{{"id":"own-1","contextWindow":9000}}]}},
                "openai":{{"models":[{{"id":"gpt-5","cost":{{"input":1,"output":2}}}}]}}}}}}"#
        )
    };
    std::fs::write(&path, text("")).unwrap();
    let told = until(world, "/v1/models-file", |told| told["models"] == 2).await;
    assert_eq!((&told["providers"], &told["problem"]), (&json!(["mine"]), &json!(null)));
    let of = |list: &Value, provider: &str, id: &str| {
        let models = list["models"].as_array().unwrap();
        models.iter().find(|m| m["provider"] == provider && m["id"] == id).cloned()
    };
    let list = until(world, "/v1/models", |list| of(list, "mine", "own-1").is_some()).await;
    assert_eq!(of(&list, "mine", "own-1").unwrap()["contextWindow"], 9000);
    assert_eq!(of(&list, "openai", "gpt-5").unwrap()["price"]["output"], 2.0);
    let mine = provider(&world.ask(Call::get("/v1/providers")).await.data(), "mine");
    assert_eq!(
        (&mine["own"], &mine["keyless"], &mine["configured"]),
        (&json!(true), &json!(true), &json!(true))
    );

    // A key that it names and nobody set; Settings can hold it.
    std::fs::write(&path, text(r#","apiKey":"$MINE_KEY""#)).unwrap();
    let list =
        until(world, "/v1/providers", |list| provider(list, "mine")["configured"] == false).await;
    assert_eq!(provider(&list, "mine")["envVar"], "MINE_KEY");
    let put = Call::new("PUT", "/v1/providers/mine/key").json(&json!({"key": "own-key-123456"}));
    assert_eq!(world.ask(put).await.data()["source"], "settings");
    until(world, "/v1/models", |list| of(list, "mine", "own-1").is_some()).await;

    // What cannot be read is said, and changes nothing.
    std::fs::write(&path, text(r#","apiKey":"sk-canary""#)).unwrap();
    let told = until(world, "/v1/models-file", |told| told["problem"].is_string()).await;
    let problem = told["problem"].as_str().unwrap();
    assert!(problem.contains("providers.mine.apiKey") && !problem.contains("canary"), "{problem}");
    assert!(of(&models(world).await, "mine", "own-1").is_some());
    std::fs::remove_file(&path).unwrap();
    until(world, "/v1/models", |list| of(list, "mine", "own-1").is_none()).await;
    world.ask(Call::new("DELETE", "/v1/providers/mine/key")).await.failure(404, "not_found");
    local.is_on.store(false, Ordering::SeqCst);
    world.ask(Call::post("/v1/providers/vllm/test", &json!({}))).await.data();
}

async fn story() {
    let exe = std::env::current_exe().unwrap();
    let local = Local::start();
    let world = World::with(|config| {
        config.exe.clone_from(&exe);
        config.provider_env.insert("VLLM_BASE_URL".into(), local.base_url.clone());
    })
    .await;
    let id = world.project().await;
    let first = gateway(&world, 0, id.as_str()).await;
    let list = models(&world).await;
    assert_eq!(list["default"]["provider"], "demo");
    assert!(!has_openai(&list));

    // A key reaches it at once.
    let put = Call::new("PUT", "/v1/providers/openai/key").json(&json!({"key": "sk-test-123456"}));
    world.ask(put).await.data();
    let list = models(&world).await;
    assert!(has_openai(&list));
    assert_eq!(list["default"]["provider"], "openai");
    let choose = json!({"defaultProvider": "openai", "defaultModel": "gpt-x", "defaultThinkingLevel": "low"});
    world.ask(Call::new("PUT", "/v1/settings").json(&choose)).await.data();
    let list = models(&world).await;
    assert_eq!(list["default"], json!({"provider": "openai", "id": "gpt-x"}));
    assert_eq!(list["defaultThinkingLevel"], "low");
    let me = world.ask(Call::get("/v1/me")).await.data();
    assert_eq!(me["server"]["demoOnly"], false);

    own_models(&world, &local).await;

    // What the machine may reach is in force at once.
    let listed = EgressLevel::AllowList(vec!["a.test".into()]);
    let put = json!({"level": "allow-list", "rules": ["A.test"]});
    let egress = format!("/v1/projects/{id}/egress");
    world.ask(Call::new("PUT", &egress).json(&put)).await.data();
    assert_eq!(first.machines().await.unwrap()[0].egress, listed);

    // Killed, it is replaced, and the new one knows machine, level, key and defaults.
    let pid = first.pid();
    let killed =
        std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
    assert!(killed.success());
    let second = gateway(&world, pid, id.as_str()).await;
    assert_eq!(second.machines().await.unwrap()[0].egress, listed);
    let list = models(&world).await;
    assert!(has_openai(&list));
    assert_eq!(list["default"]["id"], "gpt-x");

    // A stopped machine is taken away from it, a started one is given back.
    let path = format!("/v1/projects/{id}");
    world.ask(Call::post(&format!("{path}/stop"), &json!({}))).await.data();
    assert!(second.machines().await.unwrap().is_empty());
    world.ask(Call::post(&format!("{path}/start"), &json!({}))).await.data();
    gateway(&world, 0, id.as_str()).await;
    assert_eq!(second.machines().await.unwrap()[0].egress, listed);

    // One that ended while no server lived: nobody took it away.
    let ghost = toft_model::id::ProjectId::random();
    let listen = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().into();
    second.add_machine(&ghost, "token", EgressLevel::Open, vec![listen(), listen()]).await.unwrap();

    // A new server adopts it, and takes away what runs no more.
    let world = world.restart_with(|config| config.exe.clone_from(&exe)).await;
    let third = gateway(&world, 0, id.as_str()).await;
    assert_eq!(third.pid(), second.pid());
    assert!(has_openai(&models(&world).await));
    only(&third, id.as_str()).await;
    assert_eq!(third.machines().await.unwrap()[0].egress, listed);

    // It ends with the machines.
    let token = world.cli_token();
    let down = Call::post("/v1/shutdown", &json!({"stopMachines": true})).key(&token);
    world.send(down).await.data();
    tokio::time::timeout(Duration::from_secs(20), third.closed()).await.expect("it ends");
    world.end(false).await;
}

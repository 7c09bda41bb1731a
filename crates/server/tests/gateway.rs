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
use std::{process::ExitCode, time::Duration};
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

async fn story() {
    let exe = std::env::current_exe().unwrap();
    let world = World::with(|config| config.exe.clone_from(&exe)).await;
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

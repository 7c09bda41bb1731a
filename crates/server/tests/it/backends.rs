//! Projects of two backends on one server: named when they are made, remembered, and refused where there is none.

use crate::{backend::Machines, client::Call, world::World};
use serde_json::json;
use toft_model::id::ProjectId;

#[tokio::test]
async fn a_project_is_of_the_backend_that_it_names_and_stays_so() {
    let (data, own, other) =
        (tempfile::tempdir().unwrap(), Machines::named("native"), Machines::named("oci"));
    let world = World::with_other(data, own, &other).await;
    let me = world.ask(Call::get("/v1/me")).await.data();
    assert_eq!(
        (&me["server"]["backend"], &me["server"]["backends"]),
        (&json!("native"), &json!(["native", "oci"]))
    );
    for (asked, status, words) in [
        ("host", 409, "--backends native,oci,host"),
        ("e2b", 409, "e2b"),
        ("moon", 400, "native, oci"),
    ] {
        let body = json!({"name": "Shop", "workspaceBackend": asked});
        let refused = world.ask(Call::post("/v1/projects", &body)).await;
        assert_eq!(refused.status.as_u16(), status, "{asked}");
        let said = refused.json()["error"]["message"].to_string();
        assert!(said.contains(words), "{said}");
    }
    let make = async |body: serde_json::Value| -> ProjectId {
        let made = world.ask(Call::post("/v1/projects", &body)).await.data();
        assert_eq!(made["state"], "running", "{made}");
        made["id"].as_str().unwrap().parse().unwrap()
    };
    let usual = make(json!({"name": "Usual"})).await;
    let boxed = make(json!({"id": "boxed", "name": "Boxed", "workspaceBackend": "oci"})).await;
    assert!(world.machines.is_running(&usual) && !world.machines.is_running(&boxed));
    assert!(other.is_running(&boxed) && !other.is_running(&usual));
    // The same again is the same, and on another backend it is not.
    let again = json!({"id": "boxed", "workspaceBackend": "oci"});
    assert_eq!(world.ask(Call::post("/v1/projects", &again)).await.data()["created"], false);
    let moved = json!({"id": "boxed", "workspaceBackend": "native"});
    assert_eq!(world.ask(Call::post("/v1/projects", &moved)).await.status.as_u16(), 409);
    for (project, backend) in [(&usual, "native"), (&boxed, "oci")] {
        let found = world.ask(Call::get(&format!("/v1/projects/{project}"))).await.data();
        assert_eq!(found["backend"], backend);
        let machine = world.ask(Call::get(&format!("/v1/projects/{project}/machine"))).await.data();
        assert_eq!(machine["backend"], backend);
    }
    let doctor = world.ask(Call::get("/v1/doctor")).await.data();
    let names: Vec<_> = doctor["backends"].as_array().unwrap().iter().map(|b| &b["name"]).collect();
    assert_eq!(names, ["native", "oci"]);

    // A fork is of its origin's.
    let forks =
        world.ask(Call::post(&format!("/v1/projects/{boxed}/fork"), &json!({}))).await.data();
    let fork: ProjectId = forks["projects"][0]["id"].as_str().unwrap().parse().unwrap();
    assert!(other.is_running(&fork));
    let found = world.ask(Call::get(&format!("/v1/projects/{fork}"))).await.data();
    assert_eq!(found["backend"], "oci");

    let (data, own) = world.leave().await;
    let world = World::with_other(data, own, &other).await;
    for project in [&usual, &boxed, &fork] {
        world.eventually(&format!("/v1/projects/{project}"), |p| p["state"] == "running").await;
        let gone = world.ask(Call::new("DELETE", &format!("/v1/projects/{project}"))).await;
        assert!(gone.status.is_success());
        assert!(!world.machines.is_running(project) && !other.is_running(project));
    }
    world.end(true).await;
}

#[tokio::test]
async fn a_run_may_name_what_its_project_can_be_moved_to() {
    let (data, own, other) =
        (tempfile::tempdir().unwrap(), Machines::named("native"), Machines::named("oci"));
    let world = World::with_other(data, own, &other).await;
    let project = world.project().await;
    let runs = format!("/v1/projects/{project}/runs");
    let ask = async |key: &str, backend: &str| {
        let body = json!({"prompt": "go", "workspaceBackend": backend});
        world.ask(Call::post(&runs, &body).header("idempotency-key", key)).await
    };
    assert_eq!(ask("a", "native").await.status.as_u16(), 200);
    // The machines of this test carry nothing.
    for (key, backend, status, words) in [
        ("b", "oci", 409, "cannot be moved to oci"),
        ("c", "host", 409, "--backends"),
        ("d", "e2b", 409, "--backends"),
        ("e", "moon", 400, "native, oci, host or e2b"),
    ] {
        let refused = ask(key, backend).await;
        assert_eq!(refused.status.as_u16(), status, "{backend}");
        let said = refused.json()["error"]["message"].to_string();
        assert!(said.contains(words), "{said}");
    }
    // One that has no machine yet takes it.
    let body = json!({"name": "Later", "start": false});
    let later = world.ask(Call::post("/v1/projects", &body)).await.data();
    let later: ProjectId = later["id"].as_str().unwrap().parse().unwrap();
    let runs = format!("/v1/projects/{later}/runs");
    let body = json!({"prompt": "go", "workspaceBackend": "oci"});
    let run = world.ask(Call::post(&runs, &body).header("idempotency-key", "k")).await.data();
    let run = format!("{runs}/{}", run["id"].as_str().unwrap());
    world.eventually(&format!("/v1/projects/{later}"), |p| p["backend"] == "oci").await;
    world.eventually(&format!("/v1/projects/{later}"), |p| p["state"] == "running").await;
    assert!(other.is_running(&later) && !world.machines.is_running(&later));
    let shown = world.ask(Call::get(&run)).await.data();
    assert_eq!(shown["meta"]["workspaceBackend"], "oci");
    // And a run that names none says where it works.
    let body = json!({"prompt": "go on"});
    let usual = format!("/v1/projects/{project}/runs");
    let run = world.ask(Call::post(&usual, &body).header("idempotency-key", "n")).await;
    assert_eq!(run.status.as_u16(), 200);
    world.end(true).await;
}

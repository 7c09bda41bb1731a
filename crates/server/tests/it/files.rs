//! Files of machines that rest: read from the disk, and nothing wakes.

use crate::{client::Call, world::World};
use serde_json::json;
use std::sync::atomic::Ordering;
use toft_model::id::ProjectId;

async fn asleep() -> (World, ProjectId, String) {
    let world = World::new().await;
    let id = world.project().await;
    let of = format!("/v1/projects/{id}");
    world.ask(Call::post(&format!("{of}/sleep"), &json!({}))).await.data();
    (world, id, of)
}

#[tokio::test]
async fn a_sleeping_machines_files_are_read_from_its_disk() {
    let (world, id, of) = asleep().await;
    let starts = world.machines.starts.load(Ordering::SeqCst);
    let folder = world.machines.files_dir(&id);
    std::os::unix::fs::symlink("/etc/passwd", folder.join("out")).unwrap();
    let get = |path: &str| Call::get(&format!("{of}/toft/{path}"));
    let looked = world.ask(get("files")).await;
    assert_eq!(looked.header("cache-control"), "no-store");
    let looked = looked.json();
    assert_eq!((&looked["command"], &looked["success"]), (&json!("get_file"), &json!(true)));
    assert_eq!((&looked["data"]["type"], &looked["data"]["path"]), (&json!("dir"), &json!(folder)));
    let named =
        |n: usize| (&looked["data"]["entries"][n]["name"], &looked["data"]["entries"][n]["type"]);
    assert_eq!(
        (named(0), named(1)),
        ((&json!("f"), &json!("file")), (&json!("out"), &json!("link")))
    );

    let whole = world.ask(get("files/content?path=f")).await;
    assert_eq!((whole.status.as_u16(), &whole.body[..]), (200, &b"0123456789"[..]));
    assert_eq!((whole.header("content-length"), whole.header("accept-ranges")), ("10", "bytes"));
    let tag = whole.header("etag").to_owned();
    let part = world.ask(get("files/content?path=f").header("range", "bytes=2-4")).await;
    assert_eq!((part.status.as_u16(), &part.body[..]), (206, &b"234"[..]));
    assert_eq!(part.header("content-range"), "bytes 2-4/10");
    let same = get("files/content?path=f").header("if-none-match", &tag);
    assert_eq!(world.ask(same).await.status, 304);
    let other =
        get("files/content?path=f").header("range", "bytes=2-4").header("if-range", "\"x\"");
    assert_eq!(world.ask(other).await.status, 200, "a range of another version");
    let head = world.ask(Call::new("HEAD", &format!("{of}/toft/files/content?path=f"))).await;
    assert_eq!((head.status.as_u16(), head.header("content-length")), (200, "10"));
    assert!(head.body.is_empty());
    for (path, status, code) in [
        ("files?path=none", 404, "not_found"),
        ("files/content?path=none", 404, "not_found"),
        ("files/content?path=.", 400, "invalid_argument"),
        ("files?path=a%00b", 400, "invalid_argument"),
        ("files?path=f/x", 400, "invalid_argument"),
        ("files?path=/etc/passwd", 409, "unavailable"),
        ("files/content?path=out", 409, "unavailable"),
    ] {
        let refused = world.ask(get(path)).await;
        assert_eq!(refused.status.as_u16(), status, "{path}: {}", refused.text());
        let told = refused.json();
        assert_eq!((&told["code"], &told["success"]), (&json!(code), &json!(false)), "{path}");
    }
    assert_eq!(world.machines.starts.load(Ordering::SeqCst), starts);
    // A change wakes it.
    let put = Call::new("PUT", &format!("{of}/toft/files/content?path=f")).body("new");
    assert_eq!(world.ask(put).await.status, 200);
    assert_eq!(world.machines.starts.load(Ordering::SeqCst), starts + 1);
    world.end(true).await;
}

#[tokio::test]
async fn a_look_at_what_only_a_running_machine_knows_wakes_nothing_either() {
    let (world, id, of) = asleep().await;
    for (method, path) in [
        ("GET", "processes/p1/output"),
        ("GET", "no-such-thing"),
        ("HEAD", "no-such-thing"),
        ("OPTIONS", "files"),
        ("OPTIONS", "prompt"),
    ] {
        let told = world.ask(Call::new(method, &format!("{of}/toft/{path}"))).await;
        assert_eq!(told.status, 409, "{method} {path}: {}", told.text());
    }
    for path in ["messages", "state", "terminals", "files"] {
        let told = world.ask(Call::new("HEAD", &format!("{of}/toft/{path}"))).await;
        assert_eq!((told.status.as_u16(), told.body.len()), (200, 0), "{path}");
    }
    assert!(!world.machines.is_running(&id));
    world.end(true).await;
}

#[tokio::test]
async fn a_project_without_a_disk_says_so_and_a_deleted_one_is_gone() {
    let (world, id, of) = asleep().await;
    world.ask(Call::post(&format!("{of}/stop"), &json!({}))).await.data();
    assert_eq!(world.ask(Call::get(&format!("{of}/toft/files"))).await.status, 200, "stopped");
    std::fs::remove_dir_all(world.machines.files_dir(&id)).unwrap();
    let told = world.ask(Call::get(&format!("{of}/toft/files"))).await;
    assert!(told.failure(409, "unavailable").contains("start its machine first"));
    world.ask(Call::new("DELETE", &of)).await.data();
    world.ask(Call::get(&format!("{of}/toft/files"))).await.failure(404, "not_found");
    world.end(true).await;
}

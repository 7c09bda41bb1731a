//! Requests that are meant for another host, or come from another site's page.

use crate::{
    client::Call,
    world::{AGENT_KEY, World},
};

#[tokio::test]
async fn a_foreign_host_is_refused_on_every_path_whatever_the_credential() {
    let world = World::new().await;
    let cookie = world.sign_in().await;
    for host in ["evil.test", "localhost.evil.test", "192.168.0.1", "x.localhost", "toft.invalid"] {
        for path in ["/", "/v1/me", "/sign-in?token=x", "/health", "/v1/projects"] {
            let call = Call::get(path).host(host).key(AGENT_KEY).cookie(&cookie);
            let answer = world.send(call).await;
            answer.failure(421, "misdirected");
            assert!(!answer.headers.contains_key("set-cookie"));
        }
    }
    // The request line and `Host` must agree.
    let odd = Call::get("http://evil.test/v1/me").host("localhost").key(AGENT_KEY);
    world.send(odd).await.failure(421, "misdirected");
    let fine = Call::get("http://localhost/v1/me").host("localhost").key(AGENT_KEY);
    world.send(fine).await.data();
    world.end(false).await;
}

#[tokio::test]
async fn upgrades_from_foreign_pages_are_refused_even_with_a_key() {
    let world = World::new().await;
    let id = world.project().await;
    let cookie = world.sign_in().await;
    let host = world.host();
    let upgrade = || {
        Call::get(&format!("/v1/projects/{id}/toft/ws"))
            .host(&host)
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
    };
    for bad in [
        upgrade().cookie(&cookie).header("origin", "http://evil.test"),
        upgrade().cookie(&cookie).header("origin", &format!("http://{id}.{host}")),
        upgrade().key(AGENT_KEY).header("origin", "http://evil.test"),
        upgrade().cookie(&cookie),
    ] {
        world.send(bad.clone()).await.failure(403, "forbidden");
    }
    for good in [
        upgrade().cookie(&cookie).header("origin", &format!("http://{host}")),
        upgrade().key(AGENT_KEY),
    ] {
        assert_eq!(good.open(world.addr).await.status(), 101, "{good:?}");
    }
    world.end(true).await;
}

#[tokio::test]
async fn files_out_of_a_machine_cannot_run_on_the_dashboards_origin() {
    let world = World::new().await;
    let id = world.project().await;
    let path = format!("/v1/projects/{id}/toft/files/evil.html");
    let answer = world.ask(Call::get(&path)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    let policy = answer.header("content-security-policy");
    assert!(policy.contains("sandbox") && policy.contains("default-src 'none'"), "{policy}");
    assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin");
    world.end(true).await;
}

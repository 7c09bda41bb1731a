//! Preview origins: who gets in, and what an app can see and set.

use crate::{
    box_bridge::seen,
    client::{Answer, Call},
    world::{AGENT_KEY, World},
};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use toft_model::id::ProjectId;
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest as _};

/// Host and path of a fresh entry URL.
async fn entry(world: &World, id: &ProjectId, port: Option<u16>, cookie: &str) -> (String, String) {
    let own = format!("http://{}", world.host());
    let call = Call::post(&format!("/v1/projects/{id}/preview"), &json!({"port": port}))
        .host(&world.host())
        .header("origin", &own)
        .cookie(cookie);
    let made = world.send(call).await.data();
    let url = made["url"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
    let (host, path) = url.split_once('/').unwrap();
    (host.to_owned(), format!("/{path}"))
}

async fn enter(world: &World, host: &str, path: &str) -> Answer {
    world.send(Call::get(path).host(host)).await
}

#[tokio::test]
async fn a_signed_url_opens_one_preview_for_those_who_hold_it() {
    let world = World::new().await;
    let id = world.project().await;
    let session = world.sign_in().await;
    let (host, path) = entry(&world, &id, None, &session).await;
    assert_eq!(host, format!("{id}.localhost:{}", world.addr.port()));

    let closed = world.send(Call::get("/").host(&host).header("accept", "text/html")).await;
    assert_eq!(closed.status, 401);
    assert!(closed.text().contains("Open the dashboard"), "{}", closed.text());
    world.send(Call::get("/").host(&host)).await.failure(401, "unauthenticated");

    let answer = enter(&world, &host, &path).await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (303, "/"));
    let cookie = answer.header("set-cookie").to_owned();
    for part in ["HttpOnly", "SameSite=None", "Secure", "Partitioned", "Path=/", "Max-Age=43200"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.to_lowercase().contains("domain"));
    let cookie = answer.set_cookie();
    let told = world.send(Call::get("/x?y=1").host(&host).cookie(&cookie)).await.json();
    assert_eq!((&told["uri"], &told["method"]), (&json!("/x?y=1"), &json!("GET")));

    // The cookie is bound to its host, and ends.
    let other = world.project().await;
    for host in [host.replace(id.as_str(), other.as_str()), format!("3000-{host}")] {
        world
            .send(Call::get("/").host(&host).cookie(&cookie))
            .await
            .failure(401, "unauthenticated");
    }
    let tampered = cookie.replace('.', "0.");
    world.send(Call::get("/").host(&host).cookie(&tampered)).await.failure(401, "unauthenticated");
    world.advance(12 * 3600 * 1000);
    world.send(Call::get("/").host(&host).cookie(&cookie)).await.failure(401, "unauthenticated");
    world.end(true).await;
}

#[tokio::test]
async fn an_entry_url_is_worth_nothing_later_elsewhere_or_after_signing_out() {
    let world = World::new().await;
    let id = world.project().await;
    let other = world.project().await;
    let session = world.sign_in().await;
    let (host, path) = entry(&world, &id, None, &session).await;
    for wrong in [host.replace(id.as_str(), other.as_str()), format!("8080-{host}")] {
        enter(&world, &wrong, &path).await.failure(401, "unauthenticated");
    }
    for changed in [path.replace("e=1", "e=2"), path.replace("&s=", "&s=x"), "/.toft/enter".into()]
    {
        enter(&world, &host, &changed).await.failure(401, "unauthenticated");
    }
    let cookie = enter(&world, &host, &path).await.set_cookie();
    world.send(Call::get("/").host(&host).cookie(&cookie)).await.json();
    world.advance(60 * 1000);
    enter(&world, &host, &path).await.failure(401, "unauthenticated");

    let (_, fresh) = entry(&world, &id, None, &session).await;
    let own = format!("http://{}", world.host());
    let out =
        Call::post("/v1/auth/sign-out", &json!({})).host(&world.host()).header("origin", &own);
    world.send(out.cookie(&session)).await.data();
    enter(&world, &host, &fresh).await.failure(401, "unauthenticated");
    world.send(Call::get("/").host(&host).cookie(&cookie)).await.failure(401, "unauthenticated");
    world.end(true).await;
}

#[tokio::test]
async fn an_app_sees_no_credential_of_ours_and_sets_no_cookie_beyond_its_host() {
    let world = World::new().await;
    let id = world.project().await;
    let session = world.sign_in().await;
    let (host, path) = entry(&world, &id, Some(8000), &session).await;
    assert!(host.starts_with("8000-"));
    let preview = enter(&world, &host, &path).await.set_cookie();
    let call = Call::get("/cookies")
        .host(&host)
        .cookie(&format!("app=1; {preview}; {session}"))
        .header("authorization", "Bearer the-apps-own")
        .header("x-toft-port", "22")
        .header("x-toft-user", "root")
        .header("x-forwarded-host", "evil.test")
        .header("x-forwarded-for", "6.6.6.6");
    let answer = world.send(call).await;
    let told = answer.json();
    assert_eq!(seen(&told, "cookie"), Some("app=1"));
    assert_eq!(seen(&told, "authorization"), Some("Bearer the-apps-own"));
    assert_eq!(seen(&told, "x-toft-port"), Some("8000"));
    assert_eq!(seen(&told, "x-toft-user"), None);
    assert_eq!(seen(&told, "x-forwarded-host"), Some(host.as_str()));
    assert_eq!(seen(&told, "x-forwarded-for"), None);
    assert_eq!(seen(&told, "host"), Some(host.as_str()));
    let set: Vec<_> = answer.headers.get_all("set-cookie").iter().collect();
    assert_eq!(set, ["id=1; Path=/"]);
    assert!(!answer.headers.contains_key("x-toft-port"));
    let policy = answer.header("content-security-policy");
    let port = world.addr.port();
    let frames = format!("frame-ancestors 'self' http://localhost:{port} http://127.0.0.1:{port}");
    assert!(policy.starts_with(&frames), "{policy}");

    // Keys open it too, and are taken off.
    for (name, value) in [
        ("x-agent-api-key", AGENT_KEY.to_owned()),
        ("authorization", format!("Bearer {AGENT_KEY}")),
    ] {
        let told = world.send(Call::get("/").host(&host).header(name, &value)).await.json();
        assert!(!told.to_string().contains(AGENT_KEY), "{told}");
    }
    // A session of the control plane opens nothing here.
    world.send(Call::get("/").host(&host).cookie(&session)).await.failure(401, "unauthenticated");
    world.end(true).await;
}

#[tokio::test]
async fn the_agents_api_on_a_preview_host_wants_a_key_and_never_a_cookie() {
    let world = World::new().await;
    let id = world.project().await;
    let session = world.sign_in().await;
    let (host, path) = entry(&world, &id, None, &session).await;
    let preview = enter(&world, &host, &path).await.set_cookie();
    let both = format!("{preview}; {session}");
    for path in ["/toft/state", "/starter/state", "/toft/prompt", "/toft", "/starter/events"] {
        let call = Call::get(path).host(&host).cookie(&both);
        world.send(call).await.failure(401, "unauthenticated");
    }
    for path in ["/toft/state", "/starter/state"] {
        let state = world.send(Call::get(path).host(&host).key(AGENT_KEY)).await.json();
        assert_eq!(state["command"], "get_state", "{path}");
    }
    let prompt =
        Call::post("/starter/prompt", &json!({"message": "hi"})).host(&host).key(AGENT_KEY);
    assert_eq!(world.send(prompt).await.status, 202);
    let mut events =
        Call::get("/starter/events?after=0").host(&host).key(AGENT_KEY).stream(world.addr).await;
    assert_eq!(events.until(4).await.len(), 4);
    // A path that only begins like it is the app's.
    let app = Call::get("/toftology").host(&host).cookie(&preview);
    assert_eq!(world.send(app).await.json()["uri"], "/toftology");
    world.end(true).await;
}

#[tokio::test]
async fn another_projects_page_cannot_use_the_cookie() {
    let world = World::new().await;
    let id = world.project().await;
    let other = world.project().await;
    let session = world.sign_in().await;
    let (host, path) = entry(&world, &id, None, &session).await;
    let cookie = enter(&world, &host, &path).await.set_cookie();
    let foreign = format!("http://{}", host.replace(id.as_str(), other.as_str()));
    let get = || Call::get("/").host(&host).cookie(&cookie);
    let post = || Call::post("/", &json!({})).host(&host).cookie(&cookie);
    for bad in [
        post().header("origin", &foreign),
        get().header("origin", &foreign),
        get().header("sec-fetch-site", "cross-site").header("sec-fetch-mode", "no-cors"),
        post().header("sec-fetch-site", "cross-site").header("sec-fetch-mode", "navigate"),
        post().header("origin", "null"),
        post().header("origin", &format!("http://{}", world.host())),
    ] {
        world.send(bad.clone()).await.failure(403, "forbidden");
    }
    for good in [
        get().header("sec-fetch-site", "cross-site").header("sec-fetch-mode", "navigate"),
        get().header("sec-fetch-site", "same-origin"),
        post().header("origin", &format!("http://{host}")).header("sec-fetch-site", "same-origin"),
        post()
            .header("origin", &format!("http://3000-{host}"))
            .header("sec-fetch-site", "cross-site"),
    ] {
        assert_eq!(world.send(good.clone()).await.status, 200, "{good:?}");
    }
    world.end(true).await;
}

#[tokio::test]
async fn websockets_reach_the_app_from_its_own_page_only() {
    let world = World::new().await;
    let id = world.project().await;
    let session = world.sign_in().await;
    let (host, path) = entry(&world, &id, None, &session).await;
    let cookie = enter(&world, &host, &path).await.set_cookie();
    let connect = |origin: Option<String>| {
        let mut req = format!("ws://{}/ws", world.addr).into_client_request().unwrap();
        let headers = req.headers_mut();
        headers.insert("host", host.parse().unwrap());
        headers.insert("cookie", cookie.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert("origin", origin.parse().unwrap());
        }
        async move {
            let stream = tokio::net::TcpStream::connect(world.addr).await.unwrap();
            tokio_tungstenite::client_async(req, stream).await
        }
    };
    assert!(connect(Some("http://evil.test".into())).await.is_err());
    assert!(connect(Some(format!("http://{}", world.host()))).await.is_err());
    for origin in [None, Some(format!("http://{host}"))] {
        let (mut socket, _) = connect(origin).await.unwrap();
        socket.send(Message::text("hello")).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("hello"));
        let bytes = Message::binary(vec![7u8; 300_000]);
        socket.send(bytes.clone()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), bytes);
    }
    // Signing out ends it.
    let (mut socket, _) = connect(None).await.unwrap();
    let own = format!("http://{}", world.host());
    let out =
        Call::post("/v1/auth/sign-out", &json!({})).host(&world.host()).header("origin", &own);
    world.send(out.cookie(&session)).await.data();
    assert!(!matches!(socket.next().await, Some(Ok(Message::Text(_)))));
    world.end(true).await;
}

#[tokio::test]
async fn a_visit_wakes_a_cold_machine_but_not_a_stopped_one() {
    let world = World::new().await;
    let id = world.project().await;
    let host = format!("{id}.localhost");
    world.dies(&id).await;
    let path = format!("/v1/projects/{id}");
    let told = world.send(Call::get("/hello").host(&host).key(AGENT_KEY)).await.json();
    assert_eq!(told["uri"], "/hello");
    let machine = world.ask(Call::get(&format!("{path}/machine"))).await.data();
    assert_eq!(machine["wakes"][0]["cause"], format!("a visit to {id}"));

    world.ask(Call::post(&format!("{path}/stop"), &json!({}))).await.data();
    let page = Call::get("/").host(&host).key(AGENT_KEY).header("accept", "text/html");
    let page = world.send(page).await;
    assert_eq!(page.status, 409);
    assert!(page.text().contains("start it first"));
    assert!(!world.machines.is_running(&id));
    world
        .send(Call::get("/").host("b23456789bcd.localhost").key(AGENT_KEY))
        .await
        .failure(404, "not_found");
    world.end(true).await;
}

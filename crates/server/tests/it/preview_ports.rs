//! Previews by port, for people who come by a bare address: one of 127.0.0.0/8 here, where names
//! below `localhost` lead nowhere either.

use crate::{
    box_bridge::seen,
    client::{Answer, Call},
    world::{AGENT_KEY, World},
};
use serde_json::json;
use std::{
    net::{Ipv4Addr, SocketAddr},
    ops::RangeInclusive,
    sync::atomic::{AtomicU8, Ordering},
};
use toft_model::id::ProjectId;
use tokio::net::TcpListener;

static TAKEN: AtomicU8 = AtomicU8::new(0);

/// An address that no other test uses. All servers begin with the same port for previews, so one that
/// is restarted would find its port taken by another test's server at the same address.
fn own_address() -> Ipv4Addr {
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let count = TAKEN.fetch_add(1, Ordering::Relaxed);
    Ipv4Addr::new(127, 128 + count, high, low.clamp(1, 254))
}

async fn world() -> World {
    let listen = SocketAddr::new(own_address().into(), 0);
    World::with(move |config| config.listen = listen).await
}

fn bare(world: &World) -> String {
    world.addr.to_string()
}

async fn asked(world: &World, id: &ProjectId, port: Option<u16>) -> Answer {
    let call = Call::post(&format!("/v1/projects/{id}/preview"), &json!({"port": port}));
    world.ask(call.host(&bare(world))).await
}

/// Address and path of a fresh entry URL.
async fn entry(world: &World, id: &ProjectId, port: Option<u16>) -> (SocketAddr, String) {
    let made = asked(world, id, port).await.data();
    let url = made["url"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
    let (host, path) = url.split_once('/').unwrap();
    (host.parse().unwrap(), format!("/{path}"))
}

async fn enter(at: SocketAddr, path: &str) -> Answer {
    Call::get(path).host(&at.to_string()).send(at).await
}

async fn visit(at: SocketAddr, cookie: &str) -> Answer {
    Call::get("/cookies").host(&at.to_string()).cookie(cookie).send(at).await
}

async fn is_open(at: SocketAddr) -> bool {
    tokio::net::TcpStream::connect(at).await.is_ok()
}

/// Waits until nothing listens there any more: the task that listens is told, and then ends.
async fn closes(at: SocketAddr) {
    while is_open(at).await {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn each_preview_of_a_bare_address_has_a_port_and_a_cookie_of_its_own() {
    let world = world().await;
    let id = world.project().await;
    let other = world.project().await;
    let (app, path) = entry(&world, &id, None).await;
    let (side, side_path) = entry(&world, &id, Some(3000)).await;
    let (foreign, foreign_path) = entry(&world, &other, None).await;
    assert_eq!(app.ip(), world.addr.ip());
    assert!(app.port() != side.port() && side.port() != foreign.port());
    assert_eq!(entry(&world, &id, None).await.0, app, "the same again");
    // By a name of this computer nothing changes.
    let call = Call::post(&format!("/v1/projects/{id}/preview"), &json!({}));
    let named = world.ask(call.host(&world.host())).await.data();
    assert!(named["url"].as_str().unwrap().starts_with(&format!("http://{id}.localhost:")));

    let page = Call::get("/").host(&app.to_string()).header("accept", "text/html").send(app).await;
    assert_eq!(page.status, 401);
    assert!(page.text().contains(&format!("http://{}", bare(&world))), "{}", page.text());
    enter(side, &path).await.failure(401, "unauthenticated");
    enter(foreign, &path).await.failure(401, "unauthenticated");

    let answer = enter(app, &path).await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (303, "/"));
    let set = answer.header("set-cookie").to_owned();
    for part in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=43200"] {
        assert!(set.contains(part), "{set}");
    }
    assert!(!set.contains("Secure") && !set.to_lowercase().contains("domain"), "{set}");
    let cookie = answer.set_cookie();
    let (name, value) = cookie.split_once('=').unwrap();
    assert_eq!(name, format!("toft_preview_{}", app.port()));

    // The browser sends all of them to every port: each is good for one.
    let side_cookie = enter(side, &side_path).await.set_cookie();
    let foreign_cookie = enter(foreign, &foreign_path).await.set_cookie();
    let jar = format!("{foreign_cookie}; {cookie}; {side_cookie}; toft_session=x; theme=dark");
    let told = visit(side, &jar).await.json();
    assert_eq!(seen(&told, "x-toft-port"), Some("3000"));
    assert_eq!(seen(&told, "cookie"), Some("theme=dark"), "no cookie of ours reaches an app");
    for wrong in [
        cookie.clone(),
        format!("toft_preview_{}={value}", side.port()),
        format!("toft_preview={value}"),
    ] {
        visit(side, &wrong).await.failure(401, "unauthenticated");
        visit(foreign, &wrong).await.failure(401, "unauthenticated");
    }
    let tossed = "; toft_preview_1=x".repeat(50).replace("_1", &format!("_{}", app.port()));
    assert_eq!(visit(app, &format!("a=1{tossed}; {cookie}")).await.status, 200, "not shut out");
    world.end(true).await;
}

#[tokio::test]
async fn a_preview_port_answers_for_the_address_only_and_is_framed_by_its_dashboard_only() {
    let world = world().await;
    let id = world.project().await;
    let (app, path) = entry(&world, &id, None).await;
    let cookie = enter(app, &path).await.set_cookie();
    for host in [
        format!("evil.test:{}", app.port()),
        format!("localhost:{}", app.port()),
        format!("127.0.0.1:{}", app.port()),
        format!("{id}.localhost:{}", app.port()),
        app.ip().to_string(),
        bare(&world),
        String::new(),
    ] {
        let refused = Call::get("/").host(&host).cookie(&cookie).send(app).await;
        refused.failure(421, "misdirected");
    }
    let answer = visit(app, &cookie).await;
    let policies: Vec<_> = answer.headers.get_all("content-security-policy").iter().collect();
    let want = format!("frame-ancestors 'self' http://{}", bare(&world));
    assert!(policies.iter().any(|p| *p == want.as_str()), "{policies:?}");
    assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin");
    // The agent's API is there, and no cookie opens it.
    Call::get("/toft/state")
        .host(&app.to_string())
        .cookie(&cookie)
        .send(app)
        .await
        .failure(401, "unauthenticated");
    let state = Call::get("/toft/state").host(&app.to_string()).key(AGENT_KEY).send(app).await;
    assert_eq!(state.status, 200);
    // Nor is anything of the control plane on that port.
    let me = Call::get("/v1/me").host(&app.to_string()).cookie(&cookie).send(app).await;
    assert!(me.json().get("ok").is_none(), "the app answers: {}", me.text());

    // The dashboard may show it and be shown by nobody.
    let page = Call::get("/").host(&bare(&world)).header("accept", "text/html");
    let page = world.send(page).await;
    let policy = page.header("content-security-policy");
    assert!(policy.contains(&format!("http://{}:*", app.ip())), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    let me = world.ask(Call::get("/v1/me").host(&bare(&world))).await.data();
    assert_eq!(me["server"]["previewPattern"], json!(null));
    world.end(true).await;
}

#[tokio::test]
async fn a_page_on_a_preview_port_cannot_use_the_dashboards_cookie() {
    let world = world().await;
    let id = world.project().await;
    let (app, path) = entry(&world, &id, None).await;
    let (side, side_path) = entry(&world, &id, Some(3000)).await;
    let other = world.project().await;
    let (foreign, _) = entry(&world, &other, None).await;
    let session = world.sign_in().await;
    let from = |at: SocketAddr| format!("http://{at}");
    let post = || {
        Call::post("/v1/projects", &json!({"name": "Evil"})).host(&bare(&world)).cookie(&session)
    };
    for call in [
        post().header("origin", &from(app)),
        post().header("origin", &from(app)).header("sec-fetch-site", "same-site"),
        post().header("sec-fetch-site", "same-site"),
        post().header("origin", "null"),
        post(),
    ] {
        let refused = world.send(call.clone()).await;
        assert!(refused.headers.keys().all(|k| !k.as_str().starts_with("access-control-")));
        refused.failure(403, "forbidden");
    }
    let own = format!("http://{}", bare(&world));
    assert_eq!(world.send(post().header("origin", &own)).await.status, 200);
    let socket = Call::get(&format!("/v1/projects/{id}/toft/terminals/x"))
        .host(&bare(&world))
        .cookie(&session)
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("origin", &from(app));
    world.send(socket).await.failure(403, "forbidden");
    let sign_in = Call::post("/v1/auth/password", &json!({"email": "a@b.c", "password": "x"}));
    world
        .send(sign_in.host(&bare(&world)).header("origin", &from(app)))
        .await
        .failure(403, "forbidden");

    // Another project's page cannot use a preview's cookie either; another port of the same can.
    let cookie = enter(app, &path).await.set_cookie();
    let side_cookie = enter(side, &side_path).await.set_cookie();
    let jar = format!("{cookie}; {side_cookie}");
    let post_app = |origin: String| {
        Call::post("/order", &json!({}))
            .host(&app.to_string())
            .cookie(&jar)
            .header("origin", &origin)
    };
    post_app(from(foreign)).send(app).await.failure(403, "forbidden");
    post_app(own).send(app).await.failure(403, "forbidden");
    assert_eq!(post_app(from(app)).send(app).await.status, 200);
    assert_eq!(post_app(from(side)).send(app).await.status, 200);
    world.end(true).await;
}

#[tokio::test]
async fn tossed_sign_ins_shut_nobody_out() {
    let world = world().await;
    let session = world.sign_in().await;
    let me = |cookies: String| {
        let call = Call::get("/v1/me").host(&bare(&world)).cookie(&cookies);
        async { world.send(call).await }
    };
    let garbage = "toft_session=evil; ";
    assert_eq!(me(format!("{garbage}{session}")).await.status, 200);
    // A flood is refused, and what was tossed is removed: the next request carries ours alone.
    let flooded = me(format!("{}{session}", garbage.repeat(9))).await;
    flooded.failure(401, "unauthenticated");
    let removed: Vec<_> = flooded.headers.get_all("set-cookie").iter().collect();
    assert!(removed.iter().any(|c| *c == "toft_session=; Path=/v1; Max-Age=0"), "{removed:?}");
    assert!(removed.iter().any(|c| *c == "toft_session=; Path=/v1/me; Max-Age=0"), "{removed:?}");
    assert!(removed.iter().all(|c| !c.to_str().unwrap().contains("Path=/;")), "ours stays");
    assert!(me("a=1".to_owned()).await.headers.get("set-cookie").is_none());
    world.end(true).await;
}

#[tokio::test]
async fn a_port_stays_with_its_preview_over_restarts_and_goes_with_its_project() {
    let world = world().await;
    let id = world.project().await;
    let (app, path) = entry(&world, &id, None).await;
    let cookie = enter(app, &path).await.set_cookie();
    let (listen, other) = (world.addr, world.project().await);
    let world = world.restart_with(move |config| config.listen = listen).await;
    assert_eq!(visit(app, &cookie).await.status, 200, "the tab goes on");
    assert_eq!(entry(&world, &id, None).await.0, app);

    // Long after the last cookie the listener goes; the port does not.
    world.advance(14 * 3600 * 1000);
    let (second, _) = entry(&world, &other, None).await;
    assert_ne!(second, app);
    closes(app).await;
    assert_eq!(entry(&world, &id, None).await.0, app);

    // A person stopped it: an hour is enough.
    world.ask(Call::post(&format!("/v1/projects/{id}/stop"), &json!({}))).await.data();
    world.advance(3600 * 1000);
    entry(&world, &other, Some(1234)).await;
    closes(app).await;

    world.ask(Call::new("DELETE", &format!("/v1/projects/{other}"))).await.data();
    closes(second).await;
    world.end(true).await;
}

async fn two_free_ports(at: Ipv4Addr) -> RangeInclusive<u16> {
    loop {
        let first = TcpListener::bind((at, 0)).await.unwrap();
        let port = first.local_addr().unwrap().port();
        if port < u16::MAX && TcpListener::bind((at, port + 1)).await.is_ok() {
            return port..=port + 1;
        }
    }
}

#[tokio::test]
async fn without_a_free_port_the_answer_says_what_to_do() {
    let at = own_address();
    let range = two_free_ports(at).await;
    let (first, last) = (*range.start(), *range.end());
    let world = World::with(move |config| {
        config.listen = SocketAddr::new(at.into(), 0);
        config.preview_ports = range;
    })
    .await;
    let foreign = TcpListener::bind((at, first)).await.unwrap();
    let (shop, blog) = (world.project().await, world.project().await);
    assert_eq!(entry(&world, &shop, None).await.0.port(), last, "the other is somebody else's");
    let message = asked(&world, &blog, None).await.failure(409, "unavailable");
    assert!(message.contains(&format!("{first}-{last}")), "{message}");
    assert!(message.contains("--preview-ports"), "{message}");
    // A deleted project leaves its port, and only then.
    world.ask(Call::new("DELETE", &format!("/v1/projects/{shop}"))).await.data();
    closes(SocketAddr::new(world.addr.ip(), last)).await;
    assert_eq!(entry(&world, &blog, None).await.0.port(), last);
    drop(foreign);
    world.end(true).await;
}

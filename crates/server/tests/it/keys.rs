//! Keys that admins make for programs: what each opens, where, and until when.

use crate::{
    client::{Answer, Call},
    world::{AGENT_KEY, START_MS, World},
};
use serde_json::{Value, json};

async fn make(world: &World, body: Value) -> (String, String) {
    let made = world.ask(Call::post("/v1/keys", &body)).await.data();
    let text = made["key"].as_str().unwrap().to_owned();
    assert!(text.starts_with(made["prefix"].as_str().unwrap()), "{made}");
    (made["id"].as_str().unwrap().to_owned(), text)
}

async fn revoke(world: &World, id: &str) -> Answer {
    world.ask(Call::new("DELETE", &format!("/v1/keys/{id}"))).await
}

fn bearer(call: Call, key: &str) -> Call {
    call.header("authorization", &format!("Bearer {key}"))
}

/// Whether a key gets past the guard; what is missing, if not.
fn missing(answer: &Answer) -> Option<String> {
    let json: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    (json["error"]["code"] == "scope_missing").then(|| {
        assert_eq!(answer.status.as_u16(), 403);
        let words = json["error"]["message"].as_str().unwrap();
        words.split('`').nth(1).unwrap().to_owned()
    })
}

#[tokio::test]
async fn a_key_opens_what_it_was_made_for_on_every_route() {
    let world = World::new().await;
    let id = world.project().await;
    let (_, models) = make(&world, json!({"name": "m", "scopes": ["models"]})).await;
    let (_, read) = make(&world, json!({"name": "r", "scopes": ["read"]})).await;
    let (_, admin) = make(&world, json!({"name": "a", "scopes": ["admin"]})).await;

    let listed = world.send(Call::get("/v1")).await.data();
    let listed = listed["endpoints"].as_array().unwrap().clone();
    // They are open, or judge by themselves.
    let open = ["/v1/health", "/v1/capabilities", "/v1/auth/password", "/v1/mcp/callback"];
    let routes = listed.iter().filter_map(Value::as_str);
    let routes = routes.filter_map(|route| route.split_once(' '));
    let routes: Vec<_> =
        routes.filter(|(_, path)| path.starts_with("/v1/") && !open.contains(path)).collect();
    assert!(routes.len() > 150, "{}", routes.len());
    for (method, path) in routes {
        // A project that is not there: nothing is done by those who get through.
        let path = path.replace("{id}", "a23456789bcd").replace(['{', '}'], "");
        let call = || Call::new(method, &path);
        let nobody = world.send(call()).await;
        assert_eq!(nobody.status.as_u16(), 401, "{method} {path}");
        let only_admin = method != "GET" || path == "/v1/keys" || path.contains("/webhooks");
        let want = if only_admin { "admin" } else { "read" };
        let of = async |key| missing(&world.send(bearer(call(), key)).await);
        assert_eq!(of(&models).await.as_deref(), Some(want), "{method} {path}");
        let refused = only_admin.then_some("admin");
        assert_eq!(of(&read).await.as_deref(), refused, "{method} {path}");
    }

    let app = format!("{id}.{}", world.host());
    for (call, want) in [
        (Call::get("/toft/state").host(&app), "read"),
        (Call::post("/toft/abort", &json!({})).host(&app), "admin"),
        // What a GET does in an app, only the app knows.
        (Call::get("/").host(&app), "admin"),
    ] {
        let answer = world.send(call.key(&models)).await;
        assert!(answer.text().contains(&format!("`{want}`")), "{}", answer.text());
        assert_eq!(answer.status.as_u16(), 403);
    }
    let state = Call::get("/toft/state").host(&app).key(&read);
    assert_eq!(missing(&world.send(state).await), None);

    let me = world.send(Call::get("/v1/me").key(&admin)).await.data();
    assert_eq!((&me["user"]["name"], &me["user"]["role"]), (&json!("a"), &json!("admin")));
    let me = world.send(Call::get("/v1/me").key(&read)).await.data();
    assert_eq!(me["user"]["role"], "member");
    // It opens nothing of what is the CLI's on this computer.
    let down = Call::post("/v1/shutdown", &json!({"stopMachines": true})).key(&admin);
    world.send(down).await.failure(403, "forbidden");
    world.end(true).await;
}

#[tokio::test]
async fn models_take_the_scope_models_wherever_the_key_stands() {
    let world = World::new().await;
    let (_, models) = make(&world, json!({"name": "m", "scopes": ["models"]})).await;
    let (_, read) = make(&world, json!({"name": "r", "scopes": ["read"]})).await;
    let ask = || Call::get("/llm/models");
    for name in ["x-agent-api-key", "x-api-key", "x-goog-api-key"] {
        let refused = world.send(ask().header(name, &read)).await;
        assert_eq!(missing(&refused).as_deref(), Some("models"));
        assert_eq!(refused.header("x-toft-error"), "scope_missing");
        assert_eq!(refused.json()["error"]["type"], "permission_error");
    }
    // There is no gateway here: who gets through is told so.
    let let_in = [
        ask().header("x-api-key", &models),
        bearer(ask(), &models),
        // The one that opens it goes before one that does not.
        ask().key(&read).header("x-goog-api-key", &models),
    ];
    for answer in futures_util::future::join_all(let_in.map(|call| world.send(call))).await {
        assert_eq!(answer.header("x-toft-error"), "gateway_unavailable", "{}", answer.text());
    }
    world.end(true).await;
}

#[tokio::test]
async fn a_key_of_a_project_opens_no_other_and_goes_with_it() {
    let world = World::new().await;
    let (own, other) = (world.project().await, world.project().await);
    let alias = json!({"id": "my-shop", "name": "Mine"});
    world.ask(Call::post("/v1/projects", &alias)).await.data();
    let wish = json!({"name": "Shop", "scopes": ["read", "models", "read"], "project": own});
    let made = world.ask(Call::post("/v1/keys", &wish)).await.data();
    assert_eq!((&made["projectId"], &made["scopes"]), (&json!(own), &json!(["models", "read"])));
    let key = made["key"].as_str().unwrap();
    let get = |path: String| world.send(Call::get(&path).key(key));
    get(format!("/v1/projects/{own}")).await.data();
    get(format!("/v1/projects/{own}/machine")).await.data();
    let not_there = get("/v1/projects/a23456789bcd".into()).await.failure(403, "forbidden");
    for path in [
        format!("/v1/projects/{other}"),
        "/v1/projects/my-shop".into(),
        format!("/v1/projects/{other}/toft/events"),
        "/v1/projects".into(),
        "/v1/usage".into(),
        "/v1/settings".into(),
    ] {
        assert_eq!(get(path).await.failure(403, "forbidden"), not_there);
    }
    let state = Call::get("/toft/state").key(key);
    let there = state.clone().host(&format!("{own}.{}", world.host()));
    world.send(there).await.json();
    let elsewhere = state.host(&format!("{other}.{}", world.host()));
    world.send(elsewhere).await.failure(403, "forbidden");

    world.ask(Call::new("DELETE", &format!("/v1/projects/{own}"))).await.data();
    get(format!("/v1/projects/{own}")).await.failure(401, "unauthenticated");
    let left = world.ask(Call::get("/v1/keys")).await.data();
    assert_eq!(left["keys"], json!([]));
    world.end(true).await;
}

#[tokio::test]
async fn what_was_begun_with_a_key_ends_when_it_is_revoked() {
    let world = World::new().await;
    let id = world.project().await;
    let (first, one) = make(&world, json!({"name": "one", "scopes": ["read"]})).await;
    let (second, two) = make(&world, json!({"name": "two", "scopes": ["admin"]})).await;
    let path = format!("/v1/projects/{id}/toft/events");
    let mut events = Call::get(&path).key(&one).stream(world.addr).await;
    let mut others = Call::get(&path).key(&two).stream(world.addr).await;
    assert_eq!(events.next().await.unwrap().kind, "hello");
    assert_eq!(others.next().await.unwrap().kind, "hello");
    let shown = Call::post(&format!("/v1/projects/{id}/preview"), &json!({}));
    let entry = world.send(shown.key(&two)).await.data()["url"].as_str().unwrap().to_owned();
    let host = format!("{id}.{}", world.host());
    let path_of = entry.split_once(&host).unwrap().1;
    let cookie = world.send(Call::get(path_of).host(&host)).await.set_cookie();
    let look = || Call::get("/").host(&host).cookie(&cookie);
    assert_ne!(world.send(look()).await.status.as_u16(), 401);

    assert_eq!(revoke(&world, &first).await.data(), json!({"id": first, "revoked": true}));
    assert_eq!(events.next().await, None);
    world.send(Call::get("/v1/me").key(&one)).await.failure(401, "unauthenticated");
    let seq = world.machines.push(&id, "s1", "notify", &json!({"message": "still here"}));
    assert_eq!(others.until(seq).await.last().unwrap().kind, "notify");
    revoke(&world, &second).await.data();
    assert_eq!(others.next().await, None);
    assert_eq!(world.send(look()).await.status.as_u16(), 401);
    revoke(&world, &second).await.failure(404, "not_found");
    world.end(true).await;
}

#[tokio::test]
async fn a_key_ends_by_itself_and_is_told_of_without_itself() {
    let world = World::new().await;
    let wish = json!({"name": "Build", "scopes": ["read"], "expiresAt": START_MS + 60_000});
    let (id, key) = make(&world, wish).await;
    let list = || async { world.ask(Call::get("/v1/keys")).await };
    let before = list().await.data()["keys"][0].clone();
    assert_eq!((&before["lastUsedAt"], &before["expired"]), (&json!(null), &json!(false)));
    world.advance(1_000);
    world.send(Call::get("/v1/me").key(&key)).await.data();
    let answer = list().await;
    assert!(!answer.text().contains(&key), "a key is shown once");
    let shown = answer.data()["keys"][0].clone();
    assert_eq!(shown["lastUsedAt"], START_MS + 1_000);
    assert_eq!((&shown["id"], &shown["createdBy"]), (&json!(id), &json!(null)));

    // It is known after a restart, and kept as a digest alone.
    let data = world.data.path().to_owned();
    let world = world.restart().await;
    world.send(Call::get("/v1/me").key(&key)).await.data();
    let listed = world.ask(Call::get("/v1/keys")).await.data();
    assert!(listed["keys"][0]["lastUsedAt"].as_u64().unwrap() >= START_MS + 1_000);
    for file in ["toft.db", "toft.db-wal"] {
        let bytes = std::fs::read(data.join(file)).unwrap_or_default();
        let secret = key.strip_prefix("toft_").unwrap().as_bytes();
        assert!(!bytes.windows(secret.len()).any(|part| part == secret), "{file}");
    }

    world.advance(60_000);
    let over = world.send(Call::get("/v1/me").key(&key)).await.failure(401, "unauthenticated");
    assert!(over.contains("expired"), "{over}");
    let listed = world.ask(Call::get("/v1/keys")).await.data();
    assert_eq!(listed["keys"][0]["expired"], true);
    world.end(true).await;
}

#[tokio::test]
async fn what_makes_no_sense_is_no_key() {
    let world = World::new().await;
    let id = world.project().await;
    let post = |body: Value| world.ask(Call::post("/v1/keys", &body));
    for (body, word) in [
        (json!({"name": "x", "scopes": []}), "scopes"),
        (json!({"name": "x", "scopes": ["write"]}), "scopes"),
        (json!({"name": "", "scopes": ["read"]}), "name"),
        (json!({"name": "x", "scopes": ["admin"], "project": id}), "admin"),
        (json!({"name": "x", "scopes": ["read"], "expiresAt": START_MS}), "expiresAt"),
        (json!({"name": "x", "scopes": ["read"], "admin": true}), "admin"),
    ] {
        let message = post(body.clone()).await.failure(400, "invalid_argument");
        assert!(message.contains(word), "{body}: {message}");
    }
    let nowhere = json!({"name": "x", "scopes": ["read"], "project": "nowhere"});
    post(nowhere).await.failure(404, "not_found");
    let wish = |n: usize| json!({"name": format!("key {n}"), "scopes": ["read"]});
    post(wish(0)).await.data();
    let taken = post(json!({"name": "KEY 0", "scopes": ["models"]})).await;
    taken.failure(409, "conflict");
    for n in 1..100 {
        post(wish(n)).await.data();
    }
    post(wish(100)).await.failure(409, "conflict");
    // The first keys go on beside so many.
    world.send(Call::get("/v1/me").key(AGENT_KEY)).await.data();
    world.end(true).await;
}

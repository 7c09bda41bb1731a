//! Signing in, and who may ask what from where.

use crate::{
    client::Call,
    world::{AGENT_KEY, World},
};
use serde_json::json;

#[tokio::test]
async fn the_printed_link_signs_the_first_admin_in_once() {
    let world = World::new().await;
    let path = format!("/sign-in{}", world.sign_in_url.split_once("/sign-in").unwrap().1);
    // A chat program that looks at the link first does not use it up.
    let looked = world.send(Call::new("HEAD", &path)).await;
    assert_eq!(looked.status.as_u16(), 303);
    assert!(!looked.headers.contains_key("set-cookie"));
    let answer = world.send(Call::get(&path)).await;
    let cookie = answer.header("set-cookie").to_owned();
    for part in ["HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    let me = world.send(Call::get("/v1/me").cookie(&answer.set_cookie())).await.data();
    assert_eq!(me["user"]["role"], "admin");
    assert_eq!(me["user"]["hasPassword"], false);
    assert_eq!(me["server"]["version"], "1.2.3");
    assert_eq!(me["server"]["demoOnly"], true);
    let pattern = me["server"]["previewPattern"].as_str().unwrap();
    assert_eq!(pattern, format!("http://{{label}}.localhost:{}", world.addr.port()));

    for bad in [path.as_str(), "/sign-in?token=wrong", "/sign-in"] {
        let again = world.send(Call::get(bad)).await;
        assert_eq!((again.status.as_u16(), again.header("location")), (303, "/?signIn=expired"));
        assert!(!again.headers.contains_key("set-cookie"));
    }
    world.end(false).await;
}

#[tokio::test]
async fn a_link_ends_after_a_quarter_of_an_hour_and_the_cli_makes_new_ones() {
    let world = World::new().await;
    world.advance(15 * 60 * 1000);
    let old = format!("/sign-in{}", world.sign_in_url.split_once("/sign-in").unwrap().1);
    assert_eq!(world.send(Call::get(&old)).await.header("location"), "/?signIn=expired");

    let make = Call::post("/v1/sign-in-links", &json!({}));
    world.send(make.clone()).await.failure(401, "unauthenticated");
    world.ask(make.clone()).await.failure(403, "forbidden");
    let made = world.send(make.key(&world.cli_token())).await.data();
    let url = made["url"].as_str().unwrap();
    let path = format!("/sign-in{}", url.split_once("/sign-in").unwrap().1);
    assert_eq!(world.send(Call::get(&path)).await.header("location"), "/");
    world.end(false).await;
}

#[tokio::test]
async fn every_key_form_works_and_a_wrong_key_is_not_made_up_for_by_a_cookie() {
    let world = World::new().await;
    let cookie = world.sign_in().await;
    let me = || Call::get("/v1/me");
    for good in [
        me().key(AGENT_KEY),
        me().header("authorization", &format!("Bearer {AGENT_KEY}")),
        me().header("authorization", &format!("bearer {}", world.cli_token())),
        me().cookie(&cookie),
        me().cookie(&format!("toft_session=tossed; {cookie}")),
    ] {
        world.send(good).await.data();
    }
    for bad in [
        me(),
        me().key("wrong"),
        me().key(""),
        me().key("wrong").cookie(&cookie),
        me().header("authorization", "Basic eDp5").cookie(&cookie),
        me().cookie("toft_session=wrong"),
        me().cookie("toft_session="),
    ] {
        let message = world.send(bad.clone()).await.failure(401, "unauthenticated");
        assert!(message.contains("sign in"), "{bad:?}");
    }
    world.end(false).await;
}

#[tokio::test]
async fn a_cookie_works_from_our_own_pages_only() {
    let world = World::new().await;
    let cookie = world.sign_in().await;
    let host = world.host();
    let own = format!("http://{host}");
    let post = || Call::post("/v1/projects", &json!({"id": "x"})).host(&host).cookie(&cookie);
    for bad in [
        post(),
        post().header("origin", "http://evil.test"),
        post().header("origin", "null"),
        post().header("origin", &format!("http://a23456789bcd.{host}")),
        post().header("origin", &format!("{own}.evil.test")),
        post().header("sec-fetch-site", "same-site"),
        post().header("sec-fetch-site", "cross-site").header("origin", "http://evil.test"),
        post().header("sec-fetch-site", "none"),
    ] {
        world.send(bad.clone()).await.failure(403, "forbidden");
    }
    assert_eq!(world.send(post().header("origin", &own)).await.data()["created"], true);
    let again = post().header("sec-fetch-site", "same-origin");
    assert_eq!(world.send(again).await.data()["created"], false);

    let read = || Call::get("/v1/me").host(&host).cookie(&cookie);
    world.send(read()).await.data();
    world.send(read().header("sec-fetch-site", "none")).await.data();
    for site in ["cross-site", "same-site"] {
        world.send(read().header("sec-fetch-site", site)).await.failure(403, "forbidden");
    }
    // A key needs no page.
    let foreign =
        Call::post("/v1/projects", &json!({"id": "x"})).header("origin", "http://evil.test");
    world.ask(foreign).await.data();
    world.end(true).await;
}

#[tokio::test]
async fn sign_ins_rotate_and_end() {
    let world = World::new().await;
    let cookie = world.sign_in().await;
    let own = format!("http://{}", world.host());
    let me = |cookie: &str| Call::get("/v1/me").cookie(cookie);
    let patch = |body: serde_json::Value, cookie: &str| {
        Call::new("PATCH", "/v1/me")
            .json(&body)
            .host(&world.host())
            .header("origin", &own)
            .cookie(cookie)
    };
    world.send(patch(json!({"password": "short"}), &cookie)).await.failure(400, "invalid_argument");
    world
        .send(patch(json!({"email": "no address"}), &cookie))
        .await
        .failure(400, "invalid_argument");
    let user = json!({"name": " Ada ", "email": "ada@example.org", "password": "correct horse"});
    let changed = world.send(patch(user, &cookie)).await.data();
    assert_eq!(changed["user"]["name"], "Ada");
    assert_eq!(changed["user"]["hasPassword"], true);

    let sign_in = |email: &str, password: &str| {
        Call::post("/v1/auth/password", &json!({"email": email, "password": password}))
            .host(&world.host())
    };
    let answer = world.send(sign_in("ADA@example.org", "correct horse").cookie(&cookie)).await;
    let second = answer.set_cookie();
    assert_ne!(second, cookie);
    world.send(me(&cookie)).await.failure(401, "unauthenticated");
    world.send(me(&second)).await.data();

    // Another site cannot sign this browser in as somebody else.
    for (name, value) in [("origin", "http://evil.test"), ("sec-fetch-site", "cross-site")] {
        let foreign = sign_in("ada@example.org", "correct horse").header(name, value);
        world.send(foreign).await.failure(403, "forbidden");
    }

    // A new password needs the old one and ends the others.
    let third = world.send(sign_in("ada@example.org", "correct horse")).await.set_cookie();
    let wrong = json!({"password": "battery staple", "currentPassword": "wrong"});
    world.send(patch(wrong, &third)).await.failure(403, "forbidden");
    let right = json!({"password": "battery staple", "currentPassword": "correct horse"});
    world.send(patch(right, &third)).await.data();
    world.send(me(&second)).await.failure(401, "unauthenticated");
    world.send(me(&third)).await.data();

    let out =
        Call::post("/v1/auth/sign-out", &json!({})).host(&world.host()).header("origin", &own);
    let answer = world.send(out.cookie(&third)).await;
    assert!(answer.header("set-cookie").contains("Max-Age=0"));
    world.send(me(&third)).await.failure(401, "unauthenticated");
    world.end(false).await;
}

#[tokio::test]
async fn a_sign_in_ends_when_it_is_idle_and_at_last_however_busy() {
    const DAY: u64 = 24 * 3600 * 1000;
    let world = World::new().await;
    let cookie = world.sign_in().await;
    let mut days = 0;
    // Used every six days it lives, until the thirtieth.
    while days < 24 {
        world.advance(6 * DAY);
        days += 6;
        world.send(Call::get("/v1/me").cookie(&cookie)).await.data();
        // The use is written down beside the answer.
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    world.advance(6 * DAY);
    world.send(Call::get("/v1/me").cookie(&cookie)).await.failure(401, "unauthenticated");

    let made = Call::post("/v1/sign-in-links", &json!({})).key(&world.cli_token());
    let url = world.send(made).await.data()["url"].as_str().unwrap().to_owned();
    let path = format!("/sign-in{}", url.split_once("/sign-in").unwrap().1);
    let cookie = world.send(Call::get(&path)).await.set_cookie();
    world.advance(7 * DAY);
    world.send(Call::get("/v1/me").cookie(&cookie)).await.failure(401, "unauthenticated");
    world.end(false).await;
}

#[tokio::test]
async fn guessing_passwords_is_locked_out_without_telling_who_exists() {
    let world = World::new().await;
    let cookie = world.sign_in().await;
    let own = format!("http://{}", world.host());
    let body = json!({"email": "ada@example.org", "password": "correct horse"});
    let patch = Call::new("PATCH", "/v1/me").json(&body).host(&world.host());
    world.send(patch.header("origin", &own).cookie(&cookie)).await.data();

    let try_one = |email: &str, password: &str| {
        Call::post("/v1/auth/password", &json!({"email": email, "password": password}))
    };
    let unknown =
        world.send(try_one("nobody@example.org", "x")).await.failure(401, "unauthenticated");
    for _ in 0..5 {
        let wrong = world.send(try_one("ada@example.org", "wrong")).await;
        assert_eq!(wrong.failure(401, "unauthenticated"), unknown);
    }
    let locked = world.send(try_one("ada@example.org", "correct horse")).await;
    assert_eq!(locked.failure(401, "unauthenticated"), unknown);
    world.advance(15 * 60 * 1000);
    world.send(try_one("ada@example.org", "correct horse")).await.data();
    world.end(false).await;
}

#[tokio::test]
async fn a_stream_ends_with_its_sign_in() {
    let world = World::new().await;
    let id = world.project().await;
    let cookie = world.sign_in().await;
    let path = format!("/v1/projects/{id}/toft/events");
    let mut events = Call::get(&path).cookie(&cookie).stream(world.addr).await;
    assert_eq!(events.next().await.unwrap().kind, "hello");
    let mut keyed = Call::get(&path).key(AGENT_KEY).stream(world.addr).await;
    assert_eq!(keyed.next().await.unwrap().kind, "hello");
    let own = format!("http://{}", world.host());
    let out =
        Call::post("/v1/auth/sign-out", &json!({})).host(&world.host()).header("origin", &own);
    world.send(out.cookie(&cookie)).await.data();
    assert_eq!(events.next().await, None);
    let seq = world.machines.push(&id, "s1", "notify", &json!({"message": "still here"}));
    assert_eq!(keyed.until(seq).await.last().unwrap().kind, "notify");
    world.end(true).await;
}

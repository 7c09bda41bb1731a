//! What a project may reach from its first moment on, and the most that any may.

use super::World;
use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use toft_stories::{
    abilities::connects_without_proxy,
    browser::Driver,
    internet::{HOSTS, Internet, ok},
};

impl World {
    /// Makes a project and at once, as its first command, has it ask two hosts by both ways.
    async fn first_words(&self, body: Value) -> Result<(String, String)> {
        let made = self.toft.call("POST", "/v1/projects", Some(body)).await?;
        let id = made["id"].as_str().context("an id")?.to_owned();
        let ask = "for host in allowed other; do curl -sS --max-time 20 http://$host.test/; \
                   curl -sS --max-time 20 --noproxy '*' http://$host.test/; done 2>&1";
        let ran = self.toft.exec(&id, ask).await?;
        Ok((id, ran["stdout"].as_str().unwrap_or_default().to_owned()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_project_is_made_with_holds_from_its_first_command_on() -> Result<()> {
    let Some(net) = Internet::enter(
        "way_out::ceiling::what_a_project_is_made_with_holds_from_its_first_command_on",
    )?
    else {
        return Ok(());
    };
    net.name("allowed.test", &[&[HOSTS[0]]]);
    net.name("other.test", &[&[HOSTS[1]]]);
    let allowed = net.web(HOSTS[0], 80, |_| ok("hello from allowed\n"))?;
    let other = net.web(HOSTS[1], 80, |_| ok("hello from other\n"))?;
    let world = World::open(net).await?;
    let ways = 1 + usize::from(connects_without_proxy(&world.toft, &world.project).await?);
    let came = || [&allowed, &other].map(|host| host.lock().expect("no holder panics").len());

    // The server's default is open: the control.
    let (_, said) = world.first_words(json!({"name": "Open"})).await?;
    assert_eq!(said.matches("hello").count(), 2 * ways, "{said}");
    assert_eq!(came(), [ways, ways]);
    let (closed, said) =
        world.first_words(json!({"name": "Closed", "egress": {"level": "none"}})).await?;
    assert!(!said.contains("hello"), "{said}");
    let listed = json!({"level": "allow-list", "rules": ["allowed.test"]});
    let (_, said) = world.first_words(json!({"name": "Some", "egress": listed})).await?;
    assert_eq!(said.matches("hello from allowed").count(), ways, "{said}");
    assert!(!said.contains("hello from other"), "{said}");
    assert_eq!(came(), [2 * ways, ways], "nothing came there");
    // So it stays after a cold start.
    let sleep = format!("/v1/projects/{closed}/sleep");
    world.toft.call("POST", &sleep, Some(json!({}))).await?;
    let ran = world.toft.exec(&closed, "curl -sS --max-time 20 http://allowed.test/").await?;
    assert!(ran["stdout"].as_str().unwrap_or_default().contains("`none`"), "{ran}");

    let out = world.toft.cli(&[
        "new",
        "By hand",
        "--egress",
        "allow-list",
        "--egress-allow",
        "Allowed.test,*.b.test",
    ])?;
    assert!(out.status.success(), "{out:?}");
    let shown = String::from_utf8(world.toft.cli(&["egress", "By hand"])?.stdout)?;
    assert_eq!(
        shown,
        "allow-list: the hosts below, and models\n  allowed.test\n  *.b.test\n\
         Ceiling: open (the server's)\n"
    );
    let wrong = world.toft.cli(&["new", "Wrong", "--egress-allow", "localhost"])?;
    assert!(!wrong.status.success());
    assert!(String::from_utf8(wrong.stderr)?.contains("localhost"));
    world.toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ceiling_narrows_what_is_open_and_gives_it_back_as_it_was() -> Result<()> {
    let Some(net) = Internet::enter(
        "way_out::ceiling::a_ceiling_narrows_what_is_open_and_gives_it_back_as_it_was",
    )?
    else {
        return Ok(());
    };
    net.name("allowed.test", &[&[HOSTS[0]]]);
    for name in ["other.test", "raised.test", "lowered.test"] {
        net.name(name, &[&[HOSTS[1]]]);
    }
    net.web(HOSTS[0], 80, |_| ok("hello from allowed"))?;
    net.web(HOSTS[1], 80, |_| ok("hello from other"))?;
    let mut world = World::open(net).await?;
    let path = format!("/v1/projects/{}/egress", world.project);
    world.set(json!({"level": "open", "rules": ["allowed.test"]})).await?;
    assert_eq!(world.curl("http://other.test/").await?, "hello from other");

    // The machine goes on under another server, with less.
    world.toft.kill_server();
    world.toft.up_with("TOFT_EGRESS_CEILING", "allow-list").await?;
    let shown = String::from_utf8(world.toft.cli(&["egress", "Shop"])?.stdout)?;
    assert_eq!(
        shown,
        "allow-list: the hosts below, and models\n  allowed.test\n\
         It is set to open; the ceiling holds.\nCeiling: allow-list (the server's)\n"
    );
    // The new server tells the gateway in a moment.
    let narrowed = loop {
        let said = world.curl("http://other.test/").await?;
        if !said.contains("hello") {
            break said;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert!(narrowed.contains("allow-list"), "{narrowed}");
    assert_eq!(world.curl("http://allowed.test/").await?, "hello from allowed");
    let (status, answer) = world.toft.request("PUT", &path, Some(json!({"level": "open"}))).await?;
    assert_eq!((status, &answer["error"]["code"]), (403, &json!("egress_ceiling")), "{answer}");
    let (status, answer) = world
        .toft
        .request("POST", "/v1/projects", Some(json!({"egress": {"level": "open"}})))
        .await?;
    assert_eq!((status, &answer["error"]["code"]), (403, &json!("egress_ceiling")), "{answer}");
    // An admin raises it for this project, and takes that back: at once, both.
    let raised = world.toft.cli(&["egress", "Shop", "--ceiling", "open"])?;
    let raised = String::from_utf8(raised.stdout)?;
    assert!(raised.ends_with("Ceiling: open (its own)\n"), "{raised}");
    assert_eq!(world.curl("http://other.test/").await?, "hello from other");
    world.toft.cli(&["egress", "Shop", "--ceiling", "default"])?;
    assert!(!world.curl("http://other.test/").await?.contains("hello"));

    // A person in the dashboard sees it, is offered nothing above it, and raises it as an admin.
    let made = json!({"project": world.project});
    let mut driver = Driver::start(&world.toft, "ceiling.mjs", made)?;
    while let Some(line) = driver.line().await? {
        match &*line {
            "raised" => {
                assert_eq!(world.curl("http://raised.test/").await?, "hello from other");
            }
            "lowered" => {
                assert!(!world.curl("http://lowered.test/").await?.contains("hello"));
            }
            _ => {}
        }
    }
    driver.done(&world.toft).await?;
    // Made in the dashboard so that it reaches nothing.
    let list = world.toft.call("GET", "/v1/projects", None).await?;
    let closed = list.as_array().into_iter().flatten().find(|one| one["name"] == "Closed garden");
    let closed = closed.and_then(|one| one["id"].as_str()).context("it was made")?;
    let of_it = world.toft.call("GET", &format!("/v1/projects/{closed}/egress"), None).await?;
    assert_eq!((&of_it["level"], &of_it["isDefault"]), (&json!("none"), &json!(false)));

    world.toft.kill_server();
    world.toft.up().await?;
    let back = world.toft.call("GET", &path, None).await?;
    assert_eq!((&back["level"], &back["inForce"]), (&json!("open"), &json!("open")));
    assert_eq!(
        world.curl("--retry 20 --retry-delay 1 --retry-all-errors -f http://other.test/").await?,
        "hello from other"
    );
    world.toft.down()
}

//! What a machine may reach, as people set it and as programs try to get around it: on an internet of
//! the story's own, with its own name server.

mod attacks;
mod ceiling;
mod flood;
mod names;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::{
    io::{Read as _, Write as _},
    time::Duration,
};
use toft_stories::{
    browser::Driver,
    internet::{HOSTS, Internet, ok},
    toft::{Start, Toft},
};

/// A server, a project in it, and the internet that it sees.
struct World {
    net: Internet,
    toft: Toft,
    project: String,
}

impl World {
    async fn open(net: Internet) -> Result<Self> {
        let toft = Toft::start(Start::default()).await?;
        let project = toft.new_project("Shop").await?;
        Ok(Self { net, toft, project })
    }

    async fn set(&self, level: Value) -> Result<Value> {
        self.toft.call("PUT", &format!("/v1/projects/{}/egress", self.project), Some(level)).await
    }

    async fn allow(&self, rules: &[&str]) -> Result<Value> {
        self.set(json!({"level": "allow-list", "rules": rules})).await
    }

    /// A command inside: its exit code and output.
    async fn sh(&self, command: &str) -> Result<(i64, String)> {
        let ran = self.toft.exec(&self.project, command).await?;
        let text = |field: &str| ran[field].as_str().unwrap_or_default().to_owned();
        Ok((ran["exitCode"].as_i64().unwrap_or(-1), text("stdout") + &text("stderr")))
    }

    /// What a program gets through the proxy that its environment names.
    async fn curl(&self, args: &str) -> Result<String> {
        Ok(self.sh(&format!("curl -sS --noproxy '' --max-time 20 {args} 2>&1")).await?.1)
    }

    async fn log(&self) -> Result<Vec<Value>> {
        let path = format!("/v1/projects/{}/egress/log?limit=1000", self.project);
        let mut page = self.toft.call("GET", &path, None).await?;
        Ok(std::mem::take(page["lines"].as_array_mut().context("lines")?))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_reaches_what_people_allow_it_and_they_see_what_it_tried() -> Result<()> {
    let Some(net) = Internet::enter(
        "way_out::a_project_reaches_what_people_allow_it_and_they_see_what_it_tried",
    )?
    else {
        return Ok(());
    };
    net.name("allowed.test", &[&[HOSTS[0]]]);
    net.name("other.test", &[&[HOSTS[1]]]);
    net.web(HOSTS[0], 80, |_| ok("hello from allowed"))?;
    let other = net.web(HOSTS[1], 80, |_| ok("hello from other"))?;
    let mut world = World::open(net).await?;
    let path = format!("/v1/projects/{}/egress", world.project);

    // As the server has it by default: every public host.
    let first = world.toft.call("GET", &path, None).await?;
    assert_eq!((&first["level"], &first["isDefault"]), (&json!("open"), &json!(true)));
    assert_eq!(world.curl("http://other.test/").await?, "hello from other");

    // A list, at once. What is understood is kept; what would allow nothing is refused by name.
    let kept = world.allow(&["Allowed.TEST", "allowed.test"]).await?;
    assert_eq!(kept["rules"], json!(["allowed.test"]));
    for wrong in ["https://a.test", "localhost", "10.0.0.1", "a.test.", "*"] {
        let body = json!({"rules": ["fine.test", wrong]});
        let (status, answer) = world.toft.request("PUT", &path, Some(body)).await?;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!("invalid_argument")));
        assert!(
            answer["error"]["message"].as_str().unwrap_or_default().contains(wrong),
            "{answer}"
        );
    }
    assert_eq!(world.curl("http://allowed.test/").await?, "hello from allowed");
    let refused = world.curl("http://other.test/").await?;
    assert!(refused.contains("allow-list") && !refused.contains("hello"), "{refused}");
    assert_eq!(other.lock().expect("no holder panics").len(), 1);

    // Seen with what decided, newest first, and allowed by one click.
    let lines = world.log().await?;
    let brief = |line: &Value| {
        format!("{} {} {} {}", line["verdict"], line["host"], line["rule"], line["via"])
            .replace('"', "")
    };
    assert_eq!(
        lines.iter().map(brief).collect::<Vec<_>>(),
        [
            "deny other.test not-listed http",
            "allow allowed.test allowed.test http",
            "allow other.test open http"
        ]
    );
    assert_eq!(lines[1]["bytesIn"], 18);
    let rule = lines[0]["allowRule"].clone();
    world.toft.call("POST", &format!("{path}/rules"), Some(json!({"rule": rule}))).await?;
    assert_eq!(world.curl("http://other.test/").await?, "hello from other");

    // News are waited for.
    let end = world.log().await?[0]["seq"].clone();
    let news = format!("{path}/log?after={end}&waitMs=20000");
    let (news, _) =
        tokio::join!(world.toft.call("GET", &news, None), world.curl("http://nobody.test/"));
    let news = news?;
    assert_eq!(brief(&news["lines"][0]), "deny nobody.test not-listed http");
    let page = world.toft.call("GET", &format!("{path}/log?before={end}&limit=2"), None).await?;
    assert_eq!(page["lines"].as_array().map(Vec::len), Some(2));

    // By the command line, too.
    let out = world.toft.cli(&["egress", "Shop", "none"])?;
    assert!(out.status.success(), "{out:?}");
    let out = String::from_utf8(out.stdout)?;
    assert!(out.starts_with("none: nothing but models\n  allowed.test"), "{out}");
    assert!(world.curl("http://allowed.test/").await?.contains("egress level is `none`"));
    let out = String::from_utf8(world.toft.cli(&["egress", "Shop", "--log"])?.stdout)?;
    assert!(
        out.lines().last().unwrap_or_default().contains("deny   allowed.test:80  [level-none]"),
        "{out}"
    );

    // It stays so: for a fork, after a cold start, after a new server and a new gateway.
    let fork = world
        .toft
        .call("POST", &format!("/v1/projects/{}/fork", world.project), Some(json!({})))
        .await?;
    let fork = fork["projects"][0]["id"].as_str().context("a fork")?.to_owned();
    let of_fork = world.toft.call("GET", &format!("/v1/projects/{fork}/egress"), None).await?;
    assert_eq!(
        (&of_fork["level"], &of_fork["rules"]),
        (&json!("none"), &json!(["allowed.test", "other.test"]))
    );
    let ran = world.toft.exec(&fork, "curl -sS --max-time 20 http://allowed.test/").await?;
    assert!(ran["stdout"].as_str().unwrap_or_default().contains("`none`"), "{ran}");
    world
        .toft
        .call("POST", &format!("/v1/projects/{}/sleep", world.project), Some(json!({})))
        .await?;
    assert!(world.curl("http://allowed.test/").await?.contains("`none`"));
    if let Some(pid) = world.toft.gateway_pid() {
        toft_stories::processes::kill9(pid);
    }
    world.toft.kill_server();
    world.toft.up().await?;
    let again =
        world.curl("--retry 20 --retry-delay 1 --retry-all-errors http://allowed.test/").await?;
    assert!(again.contains("`none`"), "{again}");
    world.toft.call("DELETE", &format!("/v1/projects/{fork}"), None).await?;
    assert!(!world.toft.data.join("usage/egress").join(&fork).exists());
    world.toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stricter_level_cuts_what_it_no_longer_allows_and_nothing_else() -> Result<()> {
    let Some(net) = Internet::enter(
        "way_out::a_stricter_level_cuts_what_it_no_longer_allows_and_nothing_else",
    )?
    else {
        return Ok(());
    };
    for (name, address) in [("kept.test", HOSTS[0]), ("cut.test", HOSTS[1])] {
        net.name(name, &[&[address]]);
        // Answers without end, a little at a time.
        net.host(address, 7000, move |mut stream| {
            let mut asked = [0; 64];
            let _ = stream.read(&mut asked);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
            while stream.write_all(b"more\n").is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        })?;
    }
    let world = World::open(net).await?;
    let path = format!("/v1/projects/{}/egress", world.project);
    let open = |count: usize| {
        let (toft, path) = (&world.toft, format!("{path}/log"));
        async move {
            let all = |page: &Value| page["open"].as_array().cloned().unwrap_or_default();
            let moves = |one: &Value| one["bytesIn"].as_u64() > Some(0);
            let wanted = |page: &Value| all(page).len() == count && all(page).iter().all(moves);
            anyhow::Ok(all(&toft.until(&path, wanted).await?))
        }
    };
    let tunnel = |name: &str, says: &str| {
        format!(
            "exec 3<>/dev/tcp/gateway.internal/3128; \
             printf 'CONNECT {name}.test:7000 HTTP/1.1\\r\\n\\r\\n{says}' >&3; timeout 100 cat <&3"
        )
    };
    let (kept, cut) = (tunnel("kept", "hello\\n"), tunnel("cut", "hello\\n"));
    // Nobody looked whether its requests are for that host.
    let unchecked = tunnel("kept", "GET / HTTP/1.1\\r\\nHost: other.test\\r\\n\\r\\n");
    let story = async {
        // Three in tunnels, one in plain HTTP.
        open(4).await?;
        let set = world.allow(&["kept.test:7000"]).await?;
        assert_eq!(set["cut"], 3, "{set}");
        let one = open(1).await?.remove(0);
        assert_eq!((&one["host"], &one["rule"]), (&json!("kept.test"), &json!("open")));
        // What is allowed goes on.
        let more = |page: &Value| page["open"][0]["bytesIn"].as_u64() > one["bytesIn"].as_u64();
        world.toft.until(&format!("{path}/log"), more).await?;
        let denied: Vec<Value> =
            world.log().await?.into_iter().filter(|line| line["verdict"] == "deny").collect();
        let mut rules: Vec<_> =
            denied.iter().map(|l| format!("{} {}", l["host"], l["rule"])).collect();
        rules.sort();
        let cut = r#""cut.test" "not-listed""#;
        assert_eq!(rules, [cut, cut, r#""kept.test" "host-unchecked""#]);
        assert!(denied.iter().all(|line| line["bytesIn"].as_u64() > Some(0)), "{denied:?}");
        assert_eq!(world.set(json!({"level": "none"})).await?["cut"], 1);
        open(0).await
    };
    let (story, kept, cut, unchecked, plain) = tokio::join!(
        story,
        world.sh(&kept),
        world.sh(&cut),
        world.sh(&unchecked),
        world.sh("curl -sS --max-time 100 http://cut.test:7000/"),
    );
    story?;
    for ended in [kept?, cut?, unchecked?, plain?] {
        assert!(ended.1.contains("more"), "{}", ended.1);
    }
    world.toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_sees_in_the_dashboard_what_was_blocked_and_allows_it() -> Result<()> {
    let Some(net) =
        Internet::enter("way_out::a_person_sees_in_the_dashboard_what_was_blocked_and_allows_it")?
    else {
        return Ok(());
    };
    net.name("other.test", &[&[HOSTS[1]]]);
    net.web(HOSTS[1], 80, |_| ok("hello from other"))?;
    net.host(HOSTS[1], 7000, |mut stream| {
        while stream.write_all(b"more\n").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    })?;
    let world = World::open(net).await?;
    let made = json!({"project": world.project});
    let mut driver = Driver::start(&world.toft, "network.mjs", made)?;
    let long = "exec 3<>/dev/tcp/gateway.internal/3128; \
        printf 'CONNECT other.test:7000 HTTP/1.1\\r\\n\\r\\nhello\\n' >&3; timeout 100 cat <&3";
    let mut held = None;
    while let Some(line) = driver.line().await? {
        match &*line {
            "blocked" => {
                let refused = world.curl("http://other.test/").await?;
                assert!(refused.contains("allow-list"), "{refused}");
            }
            "allowed" => {
                assert_eq!(world.curl("http://other.test/").await?, "hello from other");
            }
            "long" => {
                let path = format!("/v1/projects/{}/exec", world.project);
                let body = json!({"command": long});
                let url = format!("{}{path}", world.toft.base);
                let asked = world.toft.http().post(url).bearer_auth(&world.toft.token);
                held = Some(tokio::spawn(asked.json(&body).send()));
            }
            "cut" => {
                let ended = held.take().context("it was asked for")?.await??;
                assert!(ended.text().await?.contains("more"), "it was open, and is over");
            }
            _ => {}
        }
    }
    driver.done(&world.toft).await?;
    world.toft.down()
}

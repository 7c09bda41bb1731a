//! What a machine may reach: kept, shown, changed by several people at once; and the log of it.

use crate::{client::Call, world::World};
use serde_json::{Value, json};
use std::{fs, io::Write as _, time::Duration};
use toft_model::{
    id::ProjectId,
    machine::{EgressName, EgressSetting},
};

/// What the machines of this test are like.
const ENFORCED: bool = false;

fn of(id: &ProjectId) -> String {
    format!("/v1/projects/{id}/egress")
}

fn put(id: &ProjectId, body: &Value) -> Call {
    Call::new("PUT", &of(id)).json(body)
}

#[tokio::test]
async fn a_level_is_kept_as_it_is_understood_for_restarts_and_forks() {
    let shut = |rules: &[&str]| EgressSetting {
        level: EgressName::None,
        rules: rules.iter().map(ToString::to_string).collect(),
    };
    let world = World::with(|config| config.egress = shut(&["a.test"])).await;
    let (id, other) = (world.project().await, world.project().await);
    let default = world.ask(Call::get(&of(&id))).await.data();
    assert_eq!(
        default,
        json!({
            "level": "none", "rules": ["a.test"], "isDefault": true, "ceiling": "open",
            "ceilingIsDefault": true, "inForce": "none", "enforced": ENFORCED, "cut": 0,
        })
    );
    let set = json!({"level": "allow-list", "rules": ["B.test", "b.test", "*.C.test:443"]});
    let set = world.ask(put(&id, &set)).await.data();
    let kept = json!({
        "level": "allow-list", "rules": ["b.test", "*.c.test:443"], "isDefault": false,
        "ceiling": "open", "ceilingIsDefault": true, "inForce": "allow-list", "enforced": ENFORCED, "cut": 0,
    });
    assert_eq!(set, kept);
    // What is left out stays; the rules too, while another level holds.
    let open = world.ask(put(&id, &json!({"level": "open"}))).await.data();
    assert_eq!((&open["level"], &open["rules"]), (&json!("open"), &kept["rules"]));
    world.ask(put(&id, &json!({"level": "allow-list"}))).await.data();
    for wrong in [
        json!({"rules": ["fine.test", "127.0.0.1"]}),
        json!({"rules": ["http://x.test"]}),
        json!({"rules": "x.test"}),
        json!({"level": "closed"}),
        json!({"levels": "none"}),
        json!({"rules": vec!["x.test"; 1]
            .into_iter()
            .map(str::to_owned)
            .chain((0..1_000).map(|n| format!("x{n}.test")))
            .collect::<Vec<_>>()}),
    ] {
        world.ask(put(&id, &wrong)).await.failure(400, "invalid_argument");
    }
    let path = format!("/v1/projects/{id}");
    let machine = world.ask(Call::get(&format!("{path}/machine"))).await.data();
    assert_eq!(
        machine["egress"],
        json!({"level": "allow-list", "rules": kept["rules"], "inForce": "allow-list"})
    );
    let fork = world.ask(Call::post(&format!("{path}/fork"), &json!({}))).await.data();
    let fork: ProjectId = fork["projects"][0]["id"].as_str().unwrap().parse().unwrap();
    let world = world.restart_with(|config| config.egress = shut(&[])).await;
    for id in [&id, &fork] {
        assert_eq!(world.ask(Call::get(&of(id))).await.data(), kept);
    }
    // Who has nothing of its own follows the server.
    let follows = world.ask(Call::get(&of(&other))).await.data();
    assert_eq!((&follows["level"], &follows["rules"]), (&json!("none"), &json!([])));
    world.end(true).await;
}

#[tokio::test]
async fn the_ceiling_holds_whatever_is_set_and_an_admin_raises_it_for_one() {
    let world = World::with(|config| {
        config.egress = EgressSetting::nothing();
        config.egress_ceiling = EgressName::AllowList;
    })
    .await;
    let id = world.project().await;
    let get = |world: &World, id: &ProjectId| {
        let (call, addr) = (Call::get(&of(id)).key(crate::world::AGENT_KEY), world.addr);
        async move {
            let found = call.send(addr).await.data();
            ["level", "inForce", "ceiling"].map(|field| found[field].as_str().unwrap().to_owned())
        }
    };
    assert_eq!(get(&world, &id).await, ["none", "none", "allow-list"]);
    // Wider is refused, whoever asks, and says who may change it.
    let wide = json!({"level": "open", "rules": ["a.test"]});
    let said = world.ask(put(&id, &wide)).await.failure(403, "egress_ceiling");
    assert!(said.contains("allow-list") && said.contains("--ceiling open"), "{said}");
    let make =
        |egress: Value| Call::post("/v1/projects", &json!({"name": "Made", "egress": egress}));
    world.ask(make(wide.clone())).await.failure(403, "egress_ceiling");
    world.ask(make(json!({"rules": ["localhost"]}))).await.failure(400, "invalid_argument");
    world.ask(make(json!({"hosts": []}))).await.failure(400, "invalid_argument");
    let list = world.ask(Call::get("/v1/projects")).await.data();
    assert_eq!(list.as_array().map(Vec::len), Some(1), "none of them was made");
    // Its own ceiling, for this one.
    let own = json!({"level": "open", "ceiling": "open"});
    let raised = world.ask(put(&id, &own)).await.data();
    assert_eq!((&raised["inForce"], &raised["ceilingIsDefault"]), (&json!("open"), &json!(false)));
    // A fork has the setting, not the permission.
    let fork = async |id: &ProjectId| -> ProjectId {
        let path = format!("/v1/projects/{id}/fork");
        let made = world.ask(Call::post(&path, &json!({}))).await.data();
        made["projects"][0]["id"].as_str().unwrap().parse().unwrap()
    };
    let wide_fork = fork(&id).await;
    assert_eq!(get(&world, &wide_fork).await, ["open", "allow-list", "allow-list"]);
    // A ceiling that is narrower comes along.
    world.ask(put(&id, &json!({"ceiling": "none"}))).await.data();
    assert_eq!(get(&world, &id).await, ["open", "none", "none"]);
    let bound = fork(&id).await;
    assert_eq!(get(&world, &bound).await, ["open", "none", "none"]);
    // Made with a setting of its own: it is there with the project.
    let made = world.ask(make(json!({"level": "allow-list", "rules": ["B.test"]}))).await.data();
    let made: ProjectId = made["id"].as_str().unwrap().parse().unwrap();
    let found = world.ask(Call::get(&of(&made))).await.data();
    assert_eq!((&found["level"], &found["rules"]), (&json!("allow-list"), &json!(["b.test"])));
    assert_eq!(found["isDefault"], false);

    // Lowered at a restart, it narrows what holds; what was set stays, and counts again later.
    let world = world.restart_with(|config| config.egress_ceiling = EgressName::None).await;
    assert_eq!(get(&world, &made).await, ["allow-list", "none", "none"]);
    // Rules may be changed meanwhile.
    world.ask(put(&made, &json!({"rules": ["c.test"]}))).await.data();
    let world = world.restart_with(|_| {}).await;
    assert_eq!(get(&world, &made).await, ["allow-list", "allow-list", "open"]);
    assert_eq!(get(&world, &wide_fork).await, ["open", "open", "open"]);
    assert_eq!(get(&world, &bound).await, ["open", "none", "none"]);
    let back = world.ask(put(&id, &json!({"ceiling": null}))).await.data();
    assert_eq!((&back["inForce"], &back["ceilingIsDefault"]), (&json!("open"), &json!(true)));
    world.end(true).await;
}

#[tokio::test]
async fn rules_that_several_people_add_at_once_are_all_there() {
    let world = World::new().await;
    let id = world.project().await;
    world.ask(put(&id, &json!({"level": "allow-list"}))).await.data();
    let rules = format!("{}/rules", of(&id));
    let add = |n: usize| Call::post(&rules, &json!({"rule": format!("h{}.test", n % 10)}));
    let all = futures_util::future::join_all((0..20).map(|n| world.ask(add(n)))).await;
    assert!(all.iter().all(|answer| answer.status == 200));
    let kept = world.ask(Call::get(&of(&id))).await.data();
    assert_eq!(kept["rules"].as_array().unwrap().len(), 10);
    let wrong = Call::post(&rules, &json!({"rule": "metadata.google.internal"}));
    let message = world.ask(wrong).await.failure(400, "invalid_argument");
    assert!(message.contains("metadata.google.internal") && message.contains("allow nothing"));
    world.end(true).await;
}

/// What a gateway writes.
fn line(n: u64, verdict: &str, rule: &str) -> String {
    json!({
        "ts": 1_700_000_000_000_u64 + n, "via": "connect", "host": format!("h{n}.test"), "port": 443,
        "verdict": verdict, "rule": rule, "bytesIn": n, "bytesOut": 1, "durationMs": 2,
    })
    .to_string()
        + "\n"
}

#[tokio::test]
async fn the_log_is_read_back_page_by_page_and_news_are_waited_for() {
    let world = World::new().await;
    let id = world.project().await;
    let path = format!("{}/log", of(&id));
    let get = |query: &str| world.ask(Call::get(&format!("{path}{query}")));
    let hosts = |page: &Value| -> Vec<String> {
        let lines = page["lines"].as_array().unwrap();
        lines.iter().map(|l| l["host"].as_str().unwrap().to_owned()).collect()
    };
    let empty = get("").await.data();
    assert_eq!(empty, json!({"lines": [], "open": [], "end": 0}));

    let dir = world.data.path().join("usage/egress").join(id.as_str());
    fs::create_dir_all(&dir).unwrap();
    let file = dir.join("egress.jsonl");
    let text: String = (0..5)
        .map(|n| if n == 4 { line(n, "deny", "not-listed") } else { line(n, "allow", "open") })
        .collect();
    fs::write(&file, text).unwrap();
    let page = get("?limit=2").await.data();
    assert_eq!(hosts(&page), ["h4.test", "h3.test"]);
    let newest = &page["lines"][0];
    assert_eq!((&newest["verdict"], &newest["allowRule"]), (&json!("deny"), &json!("h4.test")));
    assert_eq!((&newest["seq"], &newest["at"]), (&page["end"], &json!("2023-11-14T22:13:20.004Z")));
    assert_eq!(page["lines"][1]["allowRule"], Value::Null);
    assert_eq!((&newest["count"], &newest["lastAt"]), (&json!(1), &Value::Null));
    let older = get(&format!("?limit=9&before={}", page["lines"][1]["seq"])).await.data();
    assert_eq!(hosts(&older), ["h2.test", "h1.test", "h0.test"]);

    let after = get(&format!("?after={}", older["lines"][0]["seq"])).await.data();
    assert_eq!(hosts(&after), ["h4.test", "h3.test"]);
    assert_eq!(after["end"], page["end"]);
    // Nothing new is an answer at once, unless it is waited for.
    assert!(hosts(&get(&format!("?after={}", page["end"])).await.data()).is_empty());
    let waits = format!("?after={}&waitMs=20000", page["end"]);
    let (news, ()) = tokio::join!(get(&waits), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let mut log = fs::File::options().append(true).open(&file).unwrap();
        log.write_all(line(5, "allow", "open").as_bytes()).unwrap();
    });
    assert_eq!(hosts(&news.data()), ["h5.test"]);
    // Many of a kind in one line, and many hosts in one.
    let mut many: Value = serde_json::from_str(&line(6, "deny", "several")).unwrap();
    many["host"] = json!("");
    many["port"] = json!(0);
    many["count"] = json!(9);
    many["lastTs"] = json!(1_700_000_000_000_u64 + 99);
    fs::File::options()
        .append(true)
        .open(&file)
        .unwrap()
        .write_all(format!("{many}\n").as_bytes())
        .unwrap();
    let many = get("?limit=1").await.data()["lines"][0].clone();
    assert_eq!(
        (&many["host"], &many["port"], &many["allowRule"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    assert_eq!((&many["count"], &many["lastAt"]), (&json!(9), &json!("2023-11-14T22:13:20.099Z")));
    // A place that is beyond the end is set right.
    let beyond = get("?after=99999999").await.data();
    assert!(beyond["end"].as_u64().unwrap() < 99_999_999 && hosts(&beyond).is_empty());
    get("?after=1&before=2").await.failure(400, "invalid_argument");
    get("?from=1").await.failure(400, "invalid_argument");

    // It goes with its project.
    world.ask(Call::new("DELETE", &format!("/v1/projects/{id}"))).await.data();
    assert!(!dir.exists());
    world.end(true).await;
}

//! Somebody has the same work done several times, looks at the results side by side and keeps one: each candidate works
//! in a fork of its own, nobody has to clear anything up, and a server that dies in the middle leaves no half.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{collections::BTreeSet, fs, sync::Arc, time::Duration};
use toft_stories::{
    provider::{Provider, Say, Script},
    toft::{STEP_TIMEOUT, Start, Toft},
};

const PLAN: &str = "```json\n{\"summary\": \"A file.\", \"todos\": [{\"id\": \"a\", \"title\": \"Make it\"}]}\n```";

const SLOW: &str = "```json\n{\"summary\": \"Slowly.\", \"todos\": [{\"id\": \"a\", \"title\": \"Work slowly\"}]}\n```";

/// Plans, and builds what it was asked for: files that tell the machines apart, and a check of them.
fn script() -> Script {
    Arc::new(|user, turn| {
        let say = |text: &str| Say { text: text.into(), tools: vec![] };
        let run = |command: &str| Say {
            text: "Now.".into(),
            tools: vec![("bash".into(), json!({ "command": command }))],
        };
        let building = user.contains("[Plan mode is over");
        match turn {
            0 if building && user.contains("slowly") => run("sleep 3600"),
            0 if building => run(
                "cat /proc/sys/kernel/random/uuid > answer; printf 'one\\ntwo\\n' > kept.txt; echo more >> known.txt; \
                 printf 'test:\\n\\ttest -s answer\\n' > Makefile; make test",
            ),
            _ if user.contains("[Plan mode.") && user.contains("slowly") => say(SLOW),
            _ if user.contains("[Plan mode.") => say(PLAN),
            _ => say("It is done."),
        }
    })
}

async fn send(toft: &Toft, path: &str, key: Option<&str>, body: Value) -> Result<(u16, Value)> {
    let mut request = toft.http().post(format!("{}{path}", toft.base)).timeout(2 * STEP_TIMEOUT);
    request = request.bearer_auth(&toft.token).json(&body);
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    let answer = request.send().await?;
    Ok((answer.status().as_u16(), answer.json().await?))
}

async fn place(toft: &Toft) -> Result<String> {
    let project = toft.new_project("Shop").await?;
    let made = toft
        .exec(
            &project,
            "git init -q -b main . && git config user.email a@b.c && git config user.name a && echo here > known.txt \
             && git add -A && git commit -qm first",
        )
        .await?;
    ensure!(made["exitCode"] == 0, "{made}");
    Ok(project)
}

/// Status of the comparison's runs, in their order.
fn runs(found: &Value) -> Vec<&str> {
    let all = found["candidates"].as_array().map_or(&[][..], Vec::as_slice);
    all.iter().map(|one| one["run"]["status"].as_str().unwrap_or("none")).collect()
}

fn forks(found: &Value) -> Vec<String> {
    let all = found["candidates"].as_array().map_or(&[][..], Vec::as_slice);
    all.iter().filter_map(|one| one["projectId"].as_str().map(str::to_owned)).collect()
}

async fn projects(toft: &Toft, query: &str) -> Result<BTreeSet<String>> {
    let all = toft.call("GET", &format!("/v1/projects{query}"), None).await?;
    let all = all.as_array().context("a list")?;
    Ok(all.iter().filter_map(|one| one["id"].as_str().map(str::to_owned)).collect())
}

fn disks(toft: &Toft) -> BTreeSet<String> {
    let found = std::fs::read_dir(toft.data.join("store/pool/p")).into_iter().flatten().flatten();
    found.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// What is there of projects: rows that are shown or hidden, and disks.
async fn only_there(toft: &Toft, projects_wanted: &[&str], when: &str) -> Result<()> {
    let wanted: BTreeSet<String> = projects_wanted.iter().map(|id| (*id).to_owned()).collect();
    assert_eq!(projects(toft, "?candidates=true").await?, wanted, "{when}");
    assert_eq!(disks(toft), wanted, "disks {when}");
    Ok(())
}

async fn refused(
    toft: &Toft,
    path: &str,
    key: Option<&str>,
    body: Value,
    want: (u16, &str),
) -> Result<()> {
    let (status, answer) = send(toft, path, key, body.clone()).await?;
    let message = answer["error"]["message"].as_str().unwrap_or_default();
    ensure!(status == want.0 && message.contains(want.1), "{body}: {status} {answer}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_runs_one_is_kept_and_the_others_are_gone() -> Result<()> {
    let provider = Provider::start(Duration::ZERO, script()).await?;
    let toft = Toft::start(Start { env: provider.env("sk-s"), ..Start::default() }).await?;
    let project = place(&toft).await?;
    let of = format!("/v1/projects/{project}");
    let asks = format!("{of}/runs");
    for (body, want) in [
        (json!({"prompt": "go", "n": 1}), "n is a number from 2 to 8"),
        (json!({"prompt": "go", "n": 9}), "n is a number from 2 to 8"),
        (json!({"prompt": "go", "models": []}), "2 to 8"),
        (json!({"prompt": "go", "n": 2, "models": []}), "not both"),
        (json!({"prompt": " ", "n": 2}), "prompt is empty"),
        (json!({"prompt": "go", "n": 2, "stream": true}), "stream is of one run"),
        (json!({"prompt": "go", "n": 2, "secrets": ["NOBODY"]}), "NOBODY"),
        (json!({"prompt": "go", "models": [{"provider": "nobody"}, {}]}), "nobody"),
    ] {
        refused(&toft, &asks, Some("bad"), body, (400, want)).await?;
    }
    refused(&toft, &asks, None, json!({"prompt": "go", "n": 2}), (400, "Idempotency-Key")).await?;

    let body = json!({"prompt": "make an answer", "n": 3});
    let (status, made) = send(&toft, &asks, Some("one"), body.clone()).await?;
    assert_eq!((status, &made["data"]["created"]), (200, &json!(true)), "{made}");
    let id = made["data"]["id"].as_str().context("an id")?.to_owned();
    let at = format!("{of}/comparisons/{id}");
    let (_, again) = send(&toft, &asks, Some("one"), body).await?;
    assert_eq!((&again["data"]["id"], &again["data"]["created"]), (&json!(id), &json!(false)));
    // The key is one of the project's, for whatever it was used.
    refused(&toft, &asks, Some("one"), json!({"prompt": "go"}), (409, "Idempotency-Key")).await?;
    refused(&toft, &asks, Some("one"), json!({"prompt": "go", "n": 2}), (409, "Idempotency-Key"))
        .await?;

    let open = toft.until(&at, |now| runs(now) == ["completed"; 3]).await?;
    let candidates = open["candidates"].as_array().context("candidates")?.clone();
    let ids: Vec<&Value> = candidates.iter().map(|one| &one["runId"]).collect();
    let asked: Vec<&Value> = made["data"]["candidates"]
        .as_array()
        .context("candidates")?
        .iter()
        .map(|one| &one["runId"])
        .collect();
    assert_eq!(ids, asked, "their ids were known from the begin");
    let forks = forks(&open);
    assert_eq!(forks.len(), 3);
    // They stand with their project, and not beside it.
    assert_eq!(projects(&toft, "").await?, BTreeSet::from([project.clone()]));
    let all = projects(&toft, "?candidates=true").await?;
    ensure!(forks.iter().all(|fork| all.contains(fork)) && all.len() == 4, "{all:?}");
    let fork = toft.call("GET", &format!("/v1/projects/{}", forks[0]), None).await?;
    assert_eq!(fork["candidateOf"], json!({"projectId": project, "comparisonId": id}));
    let mut answers = BTreeSet::new();
    for (fork, one) in forks.iter().zip(&candidates) {
        let made = toft.exec(fork, "cat answer kept.txt known.txt && git log --format=%s").await?;
        let made = made["stdout"].as_str().unwrap_or_default().to_owned();
        ensure!(made.contains("one\ntwo\nhere\nmore\nchore(agent): apply run"), "{made}");
        answers.insert(made);
        let checks = one["checks"].as_array().context("checks")?;
        ensure!(
            checks
                .iter()
                .any(|check| check["command"] == "make test" && check["result"] == "passed"),
            "{one}"
        );
        ensure!(one["run"]["usage"]["totalTokens"].as_u64() > Some(0), "{one}");
        ensure!(
            one["durationMs"].as_u64().is_some() && one["run"]["output"] == "It is done.",
            "{one}"
        );
        ensure!(one["url"].as_str().is_some_and(|url| url.contains(fork)), "{one}");
        let diff = format!("{at}/candidates/{}/diff", one["runId"].as_str().unwrap_or_default());
        let found = toft.call("GET", &diff, None).await?;
        let changed = |name: &str| {
            found["changes"].as_array().and_then(|all| {
                let path = format!("/home/project/{name}");
                all.iter().find(|change| change["path"] == path).cloned()
            })
        };
        let kept = changed("kept.txt").context("kept.txt differs")?;
        assert_eq!(
            (&kept["kind"], &kept["added"], &kept["removed"]),
            (&json!("added"), &json!(2), &json!(0))
        );
        let known = changed("known.txt").context("known.txt differs")?;
        assert_eq!((&known["kind"], &known["added"]), (&json!("modified"), &json!(1)));
        // kept.txt, known.txt, answer and the two lines of the Makefile.
        assert_eq!((&found["added"], &found["removed"]), (&json!(6), &json!(0)), "{found}");
        let file = toft.call("GET", &format!("{diff}?path=/home/project/known.txt"), None).await?;
        ensure!(
            file["unified"].as_str().is_some_and(|text| text.contains("\n here\n+more\n")),
            "{file}"
        );
    }
    assert_eq!(answers.len(), 3, "each worked for itself");
    let untouched = toft.exec(&project, "ls; cat known.txt").await?;
    assert_eq!(untouched["stdout"], "known.txt\nhere\n");

    // While a run of the project works, nothing is exchanged below it.
    let (_, slow) = send(&toft, &asks, Some("slow"), json!({"prompt": "work slowly"})).await?;
    let slow = format!("{asks}/{}", slow["data"]["id"].as_str().unwrap_or_default());
    toft.until(&slow, |run| run["phase"] == "build").await?;
    let keep = format!("{at}/keep");
    let second = json!({"runId": candidates[1]["runId"]});
    refused(&toft, &keep, None, second.clone(), (409, "a run that is not over")).await?;
    refused(&toft, &keep, None, json!({"runId": "nobody"}), (404, "candidate not found")).await?;
    send(&toft, &format!("{slow}/cancel"), None, json!({})).await?;
    toft.until(&slow, |run| run["status"] == "cancelled").await?;
    let said = toft.exec(&project, "echo mine > of-the-person; echo over >> known.txt").await?;
    ensure!(said["exitCode"] == 0, "{said}");

    // What fails changes nothing, and is done again.
    let left = toft.data.join(format!("artifacts/runs/{project}"));
    let aside = toft.data.join("aside");
    let is_there = left.exists();
    if is_there {
        fs::rename(&left, &aside)?;
    }
    fs::write(&left, "no folder")?;
    let (status, failed) = send(&toft, &keep, None, second.clone()).await?;
    assert_eq!(status, 500, "{failed}");
    let untouched = toft.exec(&project, "cat of-the-person known.txt; ls answer").await?;
    assert_eq!(untouched["stdout"], "mine\nhere\nover\n", "{failed}");
    assert_eq!(toft.call("GET", &at, None).await?["status"], "open");
    fs::remove_file(&left)?;
    if is_there {
        fs::rename(&aside, &left)?;
    }

    // Pressed twice it is done once.
    let (first, double) = tokio::join!(
        send(&toft, &keep, None, second.clone()),
        send(&toft, &keep, None, second.clone())
    );
    for (status, answer) in [first?, double?, send(&toft, &keep, None, second).await?] {
        assert_eq!((status, &answer["data"]["status"]), (200, &json!("kept")), "{answer}");
        assert_eq!(answer["data"]["candidates"][1]["kept"], true);
    }
    only_there(&toft, &[&project], "after it was kept").await?;
    let now = toft
        .exec(
            &project,
            "cat answer known.txt; test -e of-the-person || echo gone; git log -1 --format=%H",
        )
        .await?;
    let now = now["stdout"].as_str().unwrap_or_default();
    let commit = candidates[1]["run"]["commitSha"].as_str().context("a commit")?;
    ensure!(now.contains("here\nmore\ngone\n") && now.trim_end().ends_with(commit), "{now}");
    // Its run is the project's latest, with all that it told and left, and its conversation goes on here.
    let run = format!("{asks}/{}", candidates[1]["runId"].as_str().unwrap_or_default());
    let kept = toft.call("GET", &run, None).await?;
    assert_eq!(
        (&kept["projectId"], &kept["runIndex"], &kept["writable"], &kept["checkpointId"]),
        (&json!(project), &json!(2), &json!(true), &open["baseCheckpointId"]),
    );
    let zip = toft
        .http()
        .get(format!("{}{run}/download.zip", toft.base))
        .bearer_auth(&toft.token)
        .send()
        .await?;
    ensure!(zip.status().is_success() && zip.bytes().await?.starts_with(b"PK"), "its workspace");
    let told = toft
        .http()
        .get(format!("{}{run}/stream", toft.base))
        .bearer_auth(&toft.token)
        .send()
        .await?;
    ensure!(told.text().await?.contains("event: done"), "its events");
    let session = kept["sessionId"].as_str().context("a conversation")?;
    let said = toft.call("GET", &format!("{of}/toft/messages?sessionId={session}"), None).await?;
    ensure!(said.to_string().contains("make an answer"), "{said}");
    let (_, more) =
        send(&toft, &format!("{of}/messages"), Some("more"), json!({"content": "and more"}))
            .await?;
    let more = format!("{asks}/{}", more["data"]["run"]["id"].as_str().unwrap_or_default());
    let more = toft.until(&more, |run| run["status"] == "completed").await?;
    assert_eq!((&more["sessionId"], &more["parentRunId"]), (&kept["sessionId"], &kept["id"]));
    // What the project was is one step back.
    let list = toft.call("GET", &format!("{of}/checkpoints"), None).await?;
    let before = list["checkpoints"]
        .as_array()
        .context("a list")?
        .iter()
        .find(|one| one["cause"] == "restore");
    let before = before.and_then(|one| one["id"].as_str()).context("a checkpoint of before")?;
    toft.call("POST", &format!("{of}/checkpoints/{before}/restore"), Some(json!({}))).await?;
    let back = toft.exec(&project, "cat of-the-person known.txt").await?;
    assert_eq!(back["stdout"], "mine\nhere\nover\n");
    // The line that is left of the others.
    let over = toft.call("GET", &at, None).await?;
    assert_eq!(over["candidates"][0]["outcome"]["status"], "completed", "{over}");
    refused(
        &toft,
        &keep,
        None,
        json!({"runId": candidates[0]["runId"]}),
        (409, "another candidate"),
    )
    .await?;
    refused(&toft, &format!("{at}/drop"), None, json!({}), (409, "another candidate")).await?;
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn candidates_go_with_their_comparison_and_with_their_project() -> Result<()> {
    let provider = Provider::start(Duration::ZERO, script()).await?;
    let toft = Toft::start(Start { env: provider.env("sk-s"), ..Start::default() }).await?;
    let project = place(&toft).await?;
    let of = format!("/v1/projects/{project}");
    let asks = format!("{of}/runs");
    let models = json!([{"provider": "demo"}, {}]);
    let (_, made) =
        send(&toft, &asks, Some("a"), json!({"prompt": "work slowly", "models": models})).await?;
    let id = made["data"]["id"].as_str().context("an id")?;
    let at = format!("{of}/comparisons/{id}");
    assert_eq!(made["data"]["candidates"][0]["provider"], "demo", "{made}");
    let open = toft.until(&at, |now| now["candidates"][1]["run"]["phase"] == "build").await?;
    // One that works is not kept under its hands.
    let works = json!({"runId": open["candidates"][1]["runId"]});
    refused(&toft, &format!("{at}/keep"), None, works, (409, "this candidate's run is not over"))
        .await?;
    // Dropped while they work, as often as somebody says so.
    for _ in 0..2 {
        let (status, gone) = send(&toft, &format!("{at}/drop"), None, json!({})).await?;
        assert_eq!((status, &gone["data"]["status"]), (200, &json!("dropped")), "{gone}");
    }
    only_there(&toft, &[&project], "after it was dropped").await?;
    let left = toft.call("GET", &format!("{of}/checkpoints"), None).await?;
    assert_eq!(left["checkpoints"], json!([]), "their checkpoint goes with them");

    // As many as a project may have, then no more.
    for n in 0..4 {
        let (status, made) =
            send(&toft, &asks, Some(&format!("k{n}")), json!({"prompt": "work slowly", "n": 2}))
                .await?;
        assert_eq!(status, 200, "{made}");
    }
    refused(&toft, &asks, Some("k4"), json!({"prompt": "go", "n": 2}), (409, "nobody has decided"))
        .await?;
    let list = toft.call("GET", &format!("{of}/comparisons"), None).await?;
    let newest = list[0]["id"].as_str().context("the newest")?;
    toft.until(&format!("{of}/comparisons/{newest}"), |now| now["status"] == "open").await?;
    toft.call("DELETE", &of, None).await?;
    let until = std::time::Instant::now() + STEP_TIMEOUT;
    while !disks(&toft).is_empty() || !projects(&toft, "?candidates=true").await?.is_empty() {
        ensure!(std::time::Instant::now() < until, "{:?} stay", disks(&toft));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    toft.down()
}

/// kill -9 of the server where a step was done; the next server goes on, and nothing is left twice or half.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_step_of_a_comparison_leaves_no_half() -> Result<()> {
    let provider = Provider::start(Duration::ZERO, script()).await?;
    let mut toft = Toft::start(Start { env: provider.env("sk-s"), ..Start::default() }).await?;
    let project = place(&toft).await?;
    let of = format!("/v1/projects/{project}");
    let asks = format!("{of}/runs");
    // Also in the middle of the forks, of which the second is just made.
    let of_forks = ["fork.begun:1", "fork.copied:2", "fork.placed:2", "fork.recorded:1"];
    let own = toft_machine::steps::OF_COMPARISONS.iter().map(|step| format!("{step}:1"));
    let mut kept = 0;
    for step in of_forks.iter().map(|step| (*step).to_owned()).chain(own) {
        let key = format!("cut at {step}");
        let body = json!({"prompt": "make an answer", "n": 2});
        let decides = ["keeping", "taken", "restored", "artifacts", "kept", "dropping", "dropped"];
        let is_late = decides.iter().any(|word| step == format!("compare.{word}:1"));
        let mut id = String::new();
        if is_late {
            let (status, made) = send(&toft, &asks, Some(&key), body.clone()).await?;
            assert_eq!(status, 200, "{step}: {made}");
            id = made["data"]["id"].as_str().context("an id")?.to_owned();
            let at = format!("{of}/comparisons/{id}");
            toft.until(&at, |now| runs(now) == ["completed"; 2]).await?;
        }
        toft.kill_server();
        toft.up_with("TOFT_KILL_AT", &step).await?;
        if is_late {
            let at = format!("{of}/comparisons/{id}");
            let now = toft.call("GET", &at, None).await?;
            let run = json!({"runId": now["candidates"][0]["runId"]});
            let cut = send(&toft, &format!("{at}/keep"), None, run).await;
            assert!(cut.is_err(), "{step} is not come by: {cut:?}");
        } else {
            // It may be answered before it is cut.
            drop(send(&toft, &asks, Some(&key), body.clone()).await);
        }
        toft.await_end().with_context(|| format!("{step} is not come by"))?;
        toft.up().await?;
        // The same again is the same comparison, whatever was told of it.
        let (status, again) = send(&toft, &asks, Some(&key), body).await?;
        assert_eq!((status, &again["data"]["created"]), (200, &json!(false)), "{step}: {again}");
        id = again["data"]["id"].as_str().context("an id")?.to_owned();
        let at = format!("{of}/comparisons/{id}");
        let done = if is_late {
            toft.until(&at, |now| now["status"] == "kept").await?
        } else {
            let open = toft.until(&at, |now| runs(now) == ["completed"; 2]).await?;
            let forks = forks(&open);
            only_there(&toft, &[&project, &forks[0], &forks[1]], &step).await?;
            for fork in &forks {
                let runs = toft.call("GET", &format!("/v1/projects/{fork}/runs"), None).await?;
                assert_eq!(runs.as_array().map(Vec::len), Some(1), "{step}: {runs}");
            }
            let run = json!({"runId": open["candidates"][0]["runId"]});
            let (status, done) = send(&toft, &format!("{at}/keep"), None, run).await?;
            assert_eq!((status, &done["data"]["status"]), (200, &json!("kept")), "{step}: {done}");
            done["data"].clone()
        };
        kept += 1;
        only_there(&toft, &[&project], &step).await?;
        let run = format!("{asks}/{}", done["keptRunId"].as_str().unwrap_or_default());
        let run = toft.call("GET", &run, None).await?;
        assert_eq!(
            (&run["status"], &run["runIndex"], &run["writable"]),
            (&json!("completed"), &json!(kept), &json!(true)),
            "{step}: {run}"
        );
        let head = toft.exec(&project, "git log -1 --format=%H").await?;
        assert_eq!(head["stdout"].as_str().map(str::trim), run["commitSha"].as_str(), "{step}");
    }
    toft.down()
}

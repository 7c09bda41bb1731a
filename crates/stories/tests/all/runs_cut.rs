//! What goes wrong in the middle of a run, brought about for real: whoever works on it dies, its model fails, the same
//! request comes a hundred times, or it takes its server down with it. It is done once, told once, or asked about.

use anyhow::{Context as _, Result, ensure};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};
use toft_stories::{
    processes::kill9,
    provider::{Fate, Fates, Provider, Say, Script},
    runs::{adds_a_line, ask, ask_once, builder, completed, follow, is_over, place, times},
    servers::Kept,
    toft::{STEP_TIMEOUT, Start, Toft},
};

async fn house(kept: &Kept, provider: &Provider, more: &[(&str, &str)]) -> Result<Toft> {
    let mut env = provider.env("sk-c");
    env.extend(kept.env());
    env.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    Toft::start(Start { env, ..Start::default() }).await
}

async fn lines(toft: &Toft, project: &str) -> Result<usize> {
    let made = toft.exec(project, "cat made 2>/dev/null | wc -l").await?;
    Ok(made["stdout"].as_str().unwrap_or_default().trim().parse()?)
}

/// Words that come slowly, each with its number, so that one that is told twice shows.
const WORDS: usize = 120;

fn slow_words() -> Script {
    let last: Vec<String> = (0..WORDS).map(|n| format!("word-{n}")).collect();
    let last = last.join(" ");
    let adds = adds_a_line();
    Arc::new(move |user, turn| match adds(user, turn) {
        Say { tools, .. } if tools.is_empty() && user.contains("[Plan mode is over") => {
            Say { text: last.clone(), tools }
        }
        other => other,
    })
}

/// The server ends in mid answer, alone or with the gateway that reads it.
async fn cut_in_mid_answer(kept: &Kept) -> Result<()> {
    let provider = Provider::start(Duration::from_millis(12), slow_words()).await?;
    let mut toft = house(kept, &provider, &[]).await?;
    for (number, with_gateway) in [false, true].into_iter().enumerate() {
        let project = place(&toft).await?;
        let run = ask(&toft, &project, "one", "a line").await?;
        let url = format!("{}{run}/stream", toft.base);
        let mut stream = toft.http().get(url).bearer_auth(&toft.token).send().await?;
        let mut heard = String::new();
        while !heard.contains("word-30 ") {
            let piece = stream.chunk().await?.context("the answer has many words")?;
            heard.push_str(std::str::from_utf8(&piece)?);
        }
        let gateway = toft.gateway_pid().context("there is a gateway")?;
        toft.kill_server();
        if with_gateway {
            kill9(gateway);
        }
        toft.up().await?;
        let all = follow(&toft, &run).await?;
        completed(&toft, &run).await?;
        for once in ["queued", "running", "plan_ready", "phase_transition", "git_commit"] {
            assert_eq!(times(&all, once), 1, "{number}: {once} of {all:?}");
        }
        // What was told of an answer that was cut is void; of what counts each word is told once, in order.
        let void = all.iter().rposition(|told| told.status() == Some("message_restarted"));
        assert_eq!(void.is_some(), with_gateway, "{number}");
        let tokens: String = all[void.unwrap_or(0)..]
            .iter()
            .filter(|told| told.kind == "token")
            .filter_map(|told| told.data["token"].as_str())
            .collect();
        let at: Vec<usize> = tokens.match_indices("word-").map(|(at, _)| at).collect();
        let said: Vec<&str> =
            at.iter().filter_map(|at| tokens[*at..].split_whitespace().next()).collect();
        let want: Vec<String> = (0..WORDS).map(|n| format!("word-{n}")).collect();
        assert_eq!(said, want, "{number}");
        assert_eq!(lines(&toft, &project).await?, 1, "{number}");
    }
    assert_eq!(provider.faults(), Vec::<String>::new());
    toft.down()
}

/// Three days.
const DAYS_MS: u64 = 3 * 24 * 60 * 60 * 1_000;

/// A hundred requests of one key at once, half of them for something else.
async fn asked_a_hundred_times(kept: &Kept) -> Result<()> {
    let provider = Provider::start(Duration::ZERO, adds_a_line()).await?;
    let mut toft = house(kept, &provider, &[]).await?;
    let project = place(&toft).await?;
    let asks = (0..100).map(|n| {
        let prompt = if n % 2 == 0 { "a line" } else { "another line" };
        ask_once(&toft, &project, "the-key", prompt)
    });
    let answers = join_all(asks).await.into_iter().collect::<Result<Vec<_>>>()?;
    // Whichever came first is the run; the other ones are told so.
    let (taken, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|(status, _)| *status == 200);
    assert_eq!((taken.len(), refused.len()), (50, 50));
    ensure!(
        refused
            .iter()
            .all(|(status, said)| { *status == 409 && said["error"]["code"] == "conflict" }),
        "{refused:?}"
    );
    let ids: BTreeSet<&str> =
        taken.iter().filter_map(|(_, said)| said["data"]["id"].as_str()).collect();
    let made = taken.iter().filter(|(_, said)| said["data"]["created"] == true).count();
    assert_eq!((ids.len(), made), (1, 1));
    let run = format!("/v1/projects/{project}/runs/{}", ids.first().context("a run")?);
    completed(&toft, &run).await?;
    // Days later, and after another one of its project, it is still the same one.
    let (_, next) = ask_once(&toft, &project, "another-key", "a line").await?;
    let next = next["data"]["id"].as_str().context("a run")?.to_owned();
    completed(&toft, &format!("/v1/projects/{project}/runs/{next}")).await?;
    let of_run = ["created_at", "updated_at", "started_at", "completed_at"];
    let aged = of_run.map(|column| format!("{column} = {column} - {DAYS_MS}")).join(", ");
    kept.sql(&toft.data, &format!("UPDATE run SET {aged}"))?;
    toft.kill_server();
    toft.up().await?;
    let (status, late) = ask_once(&toft, &project, "the-key", "a line").await?;
    let (other, _) = ask_once(&toft, &project, "the-key", "another line").await?;
    assert_eq!([status, other].iter().min(), Some(&200));
    if status == 200 {
        assert_eq!(late["data"]["created"], false);
    }
    let runs = toft.call("GET", &format!("/v1/projects/{project}/runs"), None).await?;
    assert_eq!(runs.as_array().map(Vec::len), Some(2), "{runs}");
    assert_eq!(lines(&toft, &project).await?, 2);
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_in_mid_answer_goes_on_where_it_was() -> Result<()> {
    cut_in_mid_answer(&Kept::sqlite()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_a_hundred_times_at_once_is_one_run() -> Result<()> {
    asked_a_hundred_times(&Kept::sqlite()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn so_it_is_on_postgres() -> Result<()> {
    let Some(kept) = Kept::postgres("runs that are cut, on PostgreSQL")? else { return Ok(()) };
    asked_a_hundred_times(&kept).await?;
    // Each server that begins there is a new one: the data folder of the one before is gone.
    let Some(kept) = Kept::postgres("runs that are cut, on PostgreSQL")? else { return Ok(()) };
    cut_in_mid_answer(&kept).await
}

/// Answers the question as a person who looks at it does. Each bridge asks under an id of its own.
async fn have_it_again(toft: &Toft, project: &str, session: &Value) -> Result<()> {
    let of = format!("/v1/projects/{project}/toft");
    let state = format!("{of}/state?sessionId={}", session.as_str().context("a conversation")?);
    let until = Instant::now() + STEP_TIMEOUT;
    loop {
        let asked = toft.until(&state, |state| !state["question"].is_null()).await?;
        let question = &asked["question"];
        assert_eq!(question["kind"], "doubt", "{asked}");
        let id = question.get("id").filter(|id| id.is_string()).unwrap_or(&question["toolCallId"]);
        let answer = json!({"toolCallId": id, "answer": "Run it again", "sessionId": session});
        let sent = toft.request("POST", &format!("{of}/answer"), Some(answer)).await;
        if sent.as_ref().is_ok_and(|(status, _)| *status == 200) {
            return Ok(());
        }
        ensure!(Instant::now() < until, "no answer is taken: {sent:?}, {asked}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_effect_in_doubt_is_asked_about_although_nobody_watches() -> Result<()> {
    // The second time it would end at once, wherever the first one was cut behind its line.
    let command = "n=3600; test ! -e again || n=0; touch again; echo a line >> made; sleep $n";
    let provider = Provider::start(Duration::ZERO, builder(move |_| command.into())).await?;
    let mut toft = house(&Kept::sqlite(), &provider, &[]).await?;
    for with_server in [false, true] {
        let project = place(&toft).await?;
        let run = ask(&toft, &project, "one", "a line").await?;
        toft.until(&run, |run| run["phase"] == "build").await?;
        let until = Instant::now() + STEP_TIMEOUT;
        while lines(&toft, &project).await? == 0 {
            ensure!(Instant::now() < until, "it builds nothing");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // The machine dies with the command in it: nobody can know how far that came.
        kill9(toft.init_pid(&project).context("its machine runs")?);
        if with_server {
            toft.kill_server();
            toft.up().await?;
        }
        let waits = toft.until(&run, |run| run["waitsFor"] == "answer" || is_over(run)).await?;
        assert_eq!(
            (&waits["status"], &waits["waitsFor"]),
            (&json!("running"), &json!("answer")),
            "{waits}"
        );
        // However often whoever works on it ends, it is asked and not done.
        kill9(toft.bridge(&project).await?);
        toft.bridge(&project).await?;
        toft.until(&run, |run| run["waitsFor"] == "answer").await?;
        assert_eq!(lines(&toft, &project).await?, 1, "it was repeated by itself");
        have_it_again(&toft, &project, &waits["sessionId"]).await?;
        completed(&toft, &run).await?;
        assert_eq!(lines(&toft, &project).await?, 2, "a person had it done again");
        let all = follow(&toft, &run).await?;
        let waits: Vec<&Value> = all
            .iter()
            .filter(|told| told.status() == Some("waiting"))
            .map(|told| &told.data["waitsFor"])
            .collect();
        assert_eq!((waits.first(), waits.last()), (Some(&&json!("answer")), Some(&&Value::Null)));
    }
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_down_is_waited_for_and_cut_answers_are_asked_anew() -> Result<()> {
    let refuse = |status| Fate::Refuse { status, retry_after: Some(1), message: "come back later" };
    // Planning: more refusals than tries of a moment. Building: cut before the first byte, and within the arguments of
    // the call. The last words: cut behind their end mark.
    let within = 1 + 1 + 1 + 1 + 2;
    let fates: Fates = Arc::new(move |n| match n {
        0 | 4 => refuse(429),
        1 | 5 => refuse(500),
        2 => refuse(529),
        3 => refuse(408),
        7 => Fate::CutAfter(0),
        8 => Fate::CutAfter(within),
        10 => Fate::CutAfter(1_000),
        _ => Fate::Answer,
    });
    let provider = Provider::start_with(Duration::ZERO, adds_a_line(), fates).await?;
    let toft = house(&Kept::sqlite(), &provider, &[]).await?;
    let project = place(&toft).await?;
    let run = ask(&toft, &project, "one", "a line").await?;
    let waits = toft.until(&run, |run| !run["waitsFor"].is_null() || is_over(run)).await?;
    assert_eq!(
        (&waits["status"], &waits["waitsFor"]),
        (&json!("running"), &json!("provider")),
        "{waits}"
    );
    let done = completed(&toft, &run).await?;
    assert_eq!((&done["meta"]["attempt"], &done["waitsFor"]), (&json!(1), &Value::Null), "{done}");
    let all = follow(&toft, &run).await?;
    let waits: Vec<&Value> = all
        .iter()
        .filter(|told| told.status() == Some("waiting"))
        .map(|told| &told.data["waitsFor"])
        .collect();
    assert_eq!(waits, [&json!("provider"), &Value::Null], "told once, and that it is over");
    assert_eq!(times(&all, "attempt_failed") + times(&all, "retrying"), 0);
    // What was cut counts for nothing, and what was whole is not asked for again.
    let starts: Vec<_> =
        all.iter().filter(|told| told.kind == "tool" && told.data["phase"] == "start").collect();
    assert_eq!(starts.len(), 1, "{starts:?}");
    assert_eq!(lines(&toft, &project).await?, 1);
    assert_eq!(provider.requests().len(), 11, "refused 6, planned 1, built 3, said 1");
    assert_eq!(provider.faults(), Vec::<String>::new());

    // One that is cancelled while it waits is over at once.
    drop(provider);
    let body = json!({"content": "and one more"});
    let message = toft
        .http()
        .post(format!("{}/v1/projects/{project}/messages", toft.base))
        .bearer_auth(&toft.token)
        .header("idempotency-key", "two")
        .json(&body)
        .send()
        .await?;
    let message: Value = message.json().await?;
    let run = format!(
        "/v1/projects/{project}/runs/{}",
        message["data"]["run"]["id"].as_str().context("an id")?
    );
    toft.until(&run, |run| run["waitsFor"] == "provider").await?;
    toft.call("POST", &format!("{run}/cancel"), None).await?;
    let ended = toft.until(&run, is_over).await?;
    assert_eq!(
        (&ended["status"], &ended["waitsFor"]),
        (&json!("cancelled"), &Value::Null),
        "{ended}"
    );
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_ends_its_server_each_time_is_left_alone_and_the_queue_goes_on() -> Result<()> {
    let provider = Provider::start(Duration::ZERO, adds_a_line()).await?;
    let mut toft = house(&Kept::sqlite(), &provider, &[]).await?;
    let good = place(&toft).await?;
    let body = json!({"name": "Poison", "start": false});
    let poison = toft.call("POST", "/v1/projects", Some(body)).await?;
    let poison = poison["id"].as_str().context("an id")?.to_owned();
    toft.kill_server();

    // Whenever it wakes the machine of that run, the server dies; it is started again as a supervisor would.
    let (mut deaths, mut asked) = (0, Vec::new());
    let over = loop {
        let up = toft.up_with("TOFT_KILL_AT", "start.folders:1").await;
        if asked.is_empty() {
            up?;
            let bad = ask_once(&toft, &poison, "bad", "a line").await;
            let bad =
                bad.map(|(_, said)| said["data"]["id"].as_str().unwrap_or_default().to_owned());
            asked.push(bad.unwrap_or_default());
        }
        // Dead, or at peace with the run.
        let at = format!("/v1/projects/{poison}/runs");
        let over = loop {
            match toft.call("GET", &at, None).await {
                Ok(runs) if is_over(&runs[0]) => break Some(runs[0].clone()),
                Ok(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                Err(_) => break None,
            }
        };
        if let Some(over) = over {
            break over;
        }
        toft.await_end()?;
        deaths += 1;
        ensure!(deaths < 10, "it is never left alone");
    };
    assert_eq!((deaths, &over["status"]), (3, &json!("error")), "{over}");
    ensure!(over["error"].as_str().is_some_and(|why| why.contains("not tried again")), "{over}");
    // The same server, which would still die of it, works on.
    let run = ask(&toft, &good, "fine", "a line").await?;
    completed(&toft, &run).await?;
    assert_eq!(lines(&toft, &good).await?, 1);
    let next = ask(&toft, &poison, "next", "a line").await?;
    drop(toft.until(&next, is_over).await);
    toft.await_end()?;
    toft.up().await?;
    completed(&toft, &next)
        .await
        .context("what follows in that project is not held up for ever")?;
    let bad = follow(
        &toft,
        &format!("/v1/projects/{poison}/runs/{}", over["id"].as_str().context("an id")?),
    )
    .await?;
    assert_eq!(bad.last().map(|told| told.kind.as_str()), Some("error"));
    toft.down()
}

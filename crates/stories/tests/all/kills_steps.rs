//! kill -9 of the server at every durable step of every deed: the old state or the new one, whole,
//! and nothing besides. Which steps there are is told by the code that does them; one that its deed
//! does not come by fails this.

use crate::kills_life::{inits, project, soon, traces};
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use toft_machine::steps;
use toft_stories::{
    abilities::{is_kept_running, rest_if_needed},
    lane, processes,
    toft::{Start, Toft},
};

/// In the lane of every day: the middle of each deed.
const FEW: &[&str] = &[
    "create.placed",
    "start.written",
    "checkpoint.kept",
    "restore.exchanged",
    "fork.placed",
    "freeze.frozen",
    "stop.ended",
    "delete.taken",
];

/// Files of the server itself among the folders of machines.
pub(crate) const FILES: &[&str] = &["files.log", "gateway.log", "trial.log"];

/// A deed, and what it is asked for with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Create,
    Start,
    Wake,
    Checkpoint,
    Drop,
    Restore,
    Fork,
    Freeze,
    Thaw,
    Stop,
    Sleep,
    Delete,
}

impl Deed {
    /// The deeds that come by a step.
    fn of(step: &str) -> Result<&'static [Self]> {
        Ok(match step {
            "start.wanted" => &[Self::Start],
            "stop.wanted" => &[Self::Stop],
            _ => match step.split('.').next().unwrap_or_default() {
                "create" => &[Self::Create],
                "start" => &[Self::Start, Self::Wake],
                "checkpoint" => &[Self::Checkpoint],
                "drop" => &[Self::Drop],
                "restore" => &[Self::Restore],
                "fork" => &[Self::Fork],
                "freeze" => &[Self::Freeze],
                "thaw" => &[Self::Thaw],
                "stop" => &[Self::Stop, Self::Sleep],
                "delete" => &[Self::Delete],
                other => bail!("no deed is known that does {other}"),
            },
        })
    }

    fn request(self, project: &str, checkpoint: &str) -> (&'static str, String, Value) {
        let of = |rest: &str| format!("/v1/projects/{project}{rest}");
        let none = json!({});
        match self {
            Self::Create => ("POST", "/v1/projects".into(), json!({"id": project, "name": "Made"})),
            Self::Start => ("POST", of("/start"), none),
            Self::Wake => ("POST", of("/wake"), none),
            Self::Checkpoint => ("POST", of("/checkpoints"), json!({"label": "just now"})),
            Self::Drop => ("DELETE", of(&format!("/checkpoints/{checkpoint}")), none),
            Self::Restore => ("POST", of(&format!("/checkpoints/{checkpoint}/restore")), none),
            Self::Fork => ("POST", of("/fork"), none),
            Self::Freeze => ("POST", of("/freeze"), none),
            Self::Thaw => ("POST", of("/thaw"), none),
            Self::Stop => ("POST", of("/stop"), none),
            Self::Sleep => ("POST", of("/sleep"), none),
            Self::Delete => ("DELETE", of(""), none),
        }
    }

    /// States that are the old one or the new one; the wish is written down before the deed.
    fn allowed(self, copies_run: bool) -> &'static [&'static str] {
        match self {
            Self::Create | Self::Wake | Self::Sleep | Self::Delete => &["running", "cold"],
            // Cold where only what rests can be copied.
            Self::Checkpoint | Self::Fork if !copies_run => &["cold"],
            Self::Checkpoint | Self::Drop | Self::Fork | Self::Restore => &["running"],
            Self::Freeze | Self::Thaw => &["running", "frozen"],
            Self::Start => &["stopped", "cold", "running"],
            Self::Stop => &["running", "stopped"],
        }
    }
}

async fn post(toft: &Toft, project: &str, verb: &str) -> Result<Value> {
    toft.call("POST", &format!("/v1/projects/{project}/{verb}"), Some(json!({}))).await
}

/// Brings a project to where the deed begins; answers its id (or the alias that it will have) and
/// its checkpoint.
async fn prepare(toft: &Toft, deed: Deed, n: usize) -> Result<(String, String)> {
    if deed == Deed::Create {
        return Ok((format!("made-{n}"), String::new()));
    }
    let project = toft.new_project("Steps").await?;
    toft.exec(&project, "echo old > kept.txt; sync -f kept.txt").await?;
    let mut checkpoint = String::new();
    if matches!(deed, Deed::Drop | Deed::Restore | Deed::Delete | Deed::Fork) {
        rest_if_needed(toft, &project).await?;
        let taken = post(toft, &project, "checkpoints").await?;
        taken["id"].as_str().context("a checkpoint has an id")?.clone_into(&mut checkpoint);
        toft.exec(&project, "echo new > kept.txt; sync -f kept.txt").await?;
    }
    match deed {
        Deed::Start => drop(post(toft, &project, "stop").await?),
        Deed::Wake => drop(post(toft, &project, "sleep").await?),
        Deed::Thaw => drop(post(toft, &project, "freeze").await?),
        Deed::Checkpoint | Deed::Fork => rest_if_needed(toft, &project).await?,
        _ => {}
    }
    Ok((project, checkpoint))
}

async fn all_projects(toft: &Toft) -> Result<Vec<Value>> {
    let list = toft.call("GET", "/v1/projects", None).await?;
    Ok(list.as_array().context("a list of projects")?.clone())
}

/// What this data folder holds of the host, without the numbers of processes.
pub(crate) fn held(toft: &Toft) -> Vec<String> {
    let mut held: Vec<String> = processes::remains(&toft.data)
        .into_iter()
        .map(|line| match line.strip_prefix("process ") {
            Some(process) => process.split_once(' ').unwrap_or_default().1.to_owned(),
            None => line,
        })
        .collect();
    held.sort();
    held
}

/// Every checkpoint that is listed is whole.
async fn check_checkpoints(toft: &Toft, of: &str) -> Result<()> {
    let list = toft.call("GET", &format!("{of}/checkpoints"), None).await?;
    for one in list["checkpoints"].as_array().context("a list of checkpoints")? {
        let id = one["id"].as_str().context("an id")?;
        let path = format!("{of}/checkpoints/{id}/diff?to=now&path=/home/project/kept.txt");
        let diff = toft.call("GET", &path, None).await?;
        ensure!(diff["before"].is_string(), "checkpoint {id}: {diff}");
    }
    Ok(())
}

async fn killed_at(toft: &mut Toft, step: &str, deed: Deed, n: usize) -> Result<()> {
    let before = held(toft);
    let (given, checkpoint) = prepare(toft, deed, n).await?;
    toft.kill_server();
    toft.up_with("TOFT_KILL_AT", &format!("{step}:1")).await?;
    let (method, path, body) = deed.request(&given, &checkpoint);
    let request = toft
        .http()
        .request(method.parse()?, format!("{}{path}", toft.base))
        .bearer_auth(&toft.token)
        .json(&body)
        .send();
    let asked = tokio::spawn(request);
    if let Err(error) = toft.await_end() {
        let answer = match asked.await?? {
            answer if answer.status().is_success() => "it was done".to_owned(),
            answer => answer.text().await?,
        };
        return Err(error.context(format!("the deed does not come by this step: {answer}")));
    }
    asked.abort();
    toft.up().await?;

    if let Some(found) = project(toft, &given).await? {
        let id = found["id"].as_str().context("a project has an id")?.to_owned();
        let of = format!("/v1/projects/{id}");
        let found = toft.until(&of, |p| p["state"] != "creating").await?;
        let state = found["state"].as_str().unwrap_or_default();
        let allowed = deed.allowed(is_kept_running(toft, &id).await?);
        ensure!(allowed.contains(&state), "the state is {state}: {found}");
        if !matches!(state, "running" | "frozen") {
            soon("processes of a machine that does not run", || {
                inits(toft, &id).iter().map(|p| format!("{p:?}")).collect()
            })
            .await?;
        }
        if deed != Deed::Create {
            check_checkpoints(toft, &of).await?;
        }
        let started = post(toft, &id, "start").await?;
        ensure!(started["state"] == "running", "it does not start again: {started}");
        let kept = toft.exec(&id, "cat kept.txt 2>/dev/null || echo none").await?;
        let wanted: &[&str] = match deed {
            Deed::Create => &["none\n"],
            Deed::Restore => &["old\n", "new\n"],
            Deed::Drop | Deed::Fork | Deed::Delete => &["new\n"],
            _ => &["old\n"],
        };
        ensure!(wanted.iter().any(|w| kept["stdout"] == **w), "{kept}");
    } else {
        ensure!(matches!(deed, Deed::Create | Deed::Delete), "the project is gone");
        if deed == Deed::Delete {
            soon("of a deleted project", || traces(toft, &given)).await?;
        }
    }
    // A fork is whole, too, or nothing of it is there.
    for one in all_projects(toft).await? {
        let id = one["id"].as_str().context("an id")?;
        post(toft, id, "start").await?;
        if deed == Deed::Fork {
            let kept = toft.exec(id, "cat kept.txt").await?;
            ensure!(kept["stdout"] == "new\n", "{kept}");
        }
        soon("one init", || {
            let found = inits(toft, id);
            let lines = found.iter().map(|p| format!("{p:?}"));
            if found.len() == 1 { Vec::new() } else { lines.chain(["not one".into()]).collect() }
        })
        .await?;
        toft.call("DELETE", &format!("/v1/projects/{id}"), None).await?;
        let left = traces(toft, id);
        ensure!(left.is_empty(), "{left:#?}");
    }
    let mut differs = Vec::new();
    soon("what the host holds is as before", || {
        let now = held(toft);
        differs = if now == before { Vec::new() } else { vec![format!("{now:#?}\n{before:#?}")] };
        differs.clone()
    })
    .await?;
    for folder in ["store/pool/p", "store/pool/ck", "store/slots", "logs", "run/m"] {
        let entries = std::fs::read_dir(toft.data.join(folder)).into_iter().flatten().flatten();
        let names = entries.map(|e| e.file_name().to_string_lossy().into_owned());
        let left: Vec<String> = names.filter(|name| !FILES.contains(&name.as_str())).collect();
        ensure!(left.is_empty(), "{folder}: {left:?}");
    }
    Ok(())
}

/// Steps that this host does not come by, as the server says.
async fn is_absent(toft: &Toft, step: &str) -> Result<bool> {
    let doctor = toft.call("GET", "/v1/doctor", None).await?;
    let abilities = doctor["abilities"].as_array().context("abilities")?;
    let enforced =
        |name: &str| abilities.iter().any(|a| a["name"] == name && a["enforced"] == true);
    Ok(match step {
        "create.slot" | "fork.slot" | "delete.slot" => !enforced("id range"),
        "create.copied" => !enforced("storage"),
        _ if step.starts_with("freeze.") || step.starts_with("thaw.") => !enforced("freezer"),
        _ => false,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_at_any_step_leaves_the_old_state_or_the_new_one() -> Result<()> {
    killed_at_each(Start::default()).await
}

/// The same on every backend.
pub(crate) async fn killed_at_each(start: Start) -> Result<()> {
    let mut toft = Toft::start(start).await?;
    // The template, which the first deed of a data folder waits for.
    let first = toft.new_project("First").await?;
    toft.call("DELETE", &format!("/v1/projects/{first}"), None).await?;
    let listed: Vec<&str> = steps::ALL.iter().chain(steps::OF_SERVER).copied().collect();
    ensure!(FEW.iter().all(|step| listed.contains(step)), "the few are among all");
    let mut n = 0;
    for step in if lane::deep() { listed } else { FEW.to_vec() } {
        if is_absent(&toft, step).await? {
            lane::skip(step, "this host does not do it");
            continue;
        }
        let deeds = Deed::of(step)?;
        for deed in if lane::deep() { deeds } else { &deeds[..1] } {
            n += 1;
            killed_at(&mut toft, step, *deed, n)
                .await
                .with_context(|| format!("{deed:?}, killed at {step}"))?;
        }
    }
    toft.down()
}

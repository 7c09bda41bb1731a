//! The HTTP API does what its document says. Schemathesis reads `/openapi.json` and asks every operation with what fits
//! and what does not; no answer is a failure of the server, and none has another status, type or shape than is told.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{fmt::Write as _, path::Path, time::Duration};
use toft_stories::{
    lane, peers,
    toft::{Start, Toft},
};
use tokio::process::Command;

const KEY: &str = "program-key-4712-for-schemathesis";
/// The same requests each time.
const SEED: &str = "4712";
/// Requests of one operation that are made up, beside those that try its edges.
const EXAMPLES_MAX: u32 = 6;
/// Of the whole, on a machine that does something else too.
const TIMEOUT: Duration = Duration::from_mins(8);

/// What is left out, and why.
const LEFT_OUT: [(&str, &str); 12] = [
    ("POST /v1/shutdown", "it ends the server"),
    ("POST /v1/vault/rotate", "it seals everything anew each time"),
    ("DELETE /v1/projects/{id}", "the others need the project"),
    ("POST /v1/projects", "each answer is a machine that starts"),
    ("POST /v1/projects/{id}/fork", "each answer is up to twenty machines that start"),
    ("POST /v1/images", "it asks registries, whose names would be made up"),
    ("PUT /v1/providers/{id}/key", "with a key, made-up calls would go to a real provider"),
    ("POST /v1/providers/{id}/test", "it asks a real provider"),
    ("POST /v1/projects/{id}/toft/abort", "it ends the answer that another request waits for"),
    ("GET /v1/projects/{id}/toft/terminals/{terminal}", "a WebSocket is none of its protocols"),
    ("GET /sign-in", "its answer leads to the dashboard"),
    ("GET /v1/mcp/callback", "a page for who comes back from a real sign-in"),
];

/// What a project holds that paths name.
struct Made {
    project: String,
    /// Takes what makes a machine useless to the others.
    spare: String,
    /// Whose machine may be given too little of everything.
    bounded: String,
    checkpoint: String,
    schedule: String,
    run: String,
    webhook: String,
    session: String,
}

async fn make(toft: &Toft) -> Result<Made> {
    let project = toft.new_project("Asked").await?;
    let spare = toft.new_project("Spare").await?;
    let bounded = toft.new_project("Bounded").await?;
    let base = format!("/v1/projects/{project}");
    let text = |value: &Value, name: &str| {
        value[name].as_str().map(str::to_owned).with_context(|| format!("{name} of {value}"))
    };
    let post = async |path: &str, body: Value| {
        toft.call("POST", &format!("{base}{path}"), Some(body)).await
    };
    let checkpoint = text(&post("/checkpoints", json!({"label": "asked"})).await?, "id")?;
    let schedule = json!({"name": "asked", "when": {"everyS": 86_400}, "do": {"command": "true"}});
    let schedule = text(&post("/schedules", schedule).await?, "id")?;
    let webhook = json!({"url": "http://127.0.0.1:9/"});
    let webhook = text(&post("/webhooks", webhook).await?, "id")?;
    let url = format!("{}{base}/runs", toft.base);
    let run = toft.http().post(url).bearer_auth(KEY).header("Idempotency-Key", "one");
    let run: Value =
        run.json(&json!({"prompt": "Say hello", "provider": "demo"})).send().await?.json().await?;
    let run = text(&run["data"], "id")?;
    let sessions = toft.call("GET", &format!("{base}/toft/sessions"), None).await?;
    let session = text(&sessions, "current")?;
    Ok(Made { project, spare, bounded, checkpoint, schedule, run, webhook, session })
}

/// What it is told beside the document: real names for the parts of paths, and what it leaves out.
fn settings(made: &Made) -> String {
    let Made { project, spare, bounded, checkpoint, schedule, run, webhook, session } = made;
    let mut out = format!(
        "seed = {SEED}\nworkers = 1\nrequest-timeout = 30\nmax-stream-events = 1\ncontinue-on-failure = true\n\
         suppress-health-check = [\"all\"]\n\
         [cache]\nenabled = false\n\
         [headers]\nX-Agent-Api-Key = \"{KEY}\"\n\
         [warnings]\nenabled = false\n\
         [generation]\nmax-examples = {EXAMPLES_MAX}\ndatabase = \"none\"\nwith-security-parameters = false\n\
         [phases.stateful]\nenabled = false\n\
         [checks]\nenabled = false\n"
    );
    let checks = [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_schema_conformance",
    ];
    for check in checks {
        let _ = writeln!(out, "{check} = {{ enabled = true }}");
    }
    let _ = writeln!(
        out,
        "[parameters]\n\"path.checkpoint\" = \"{checkpoint}\"\n\"path.sid\" = \"{schedule}\"\n\
         \"path.run\" = \"{run}\"\n\"path.job\" = \"{run}\"\n\"path.session\" = \"{session}\"\n\
         \"query.waitMs\" = 0"
    );
    for (name, _) in LEFT_OUT {
        let _ = writeln!(out, "[[operations]]\ninclude-name = \"{name}\"\nenabled = false");
    }
    // Of those that fit an operation the first counts.
    let _ = writeln!(
        out,
        "[[operations]]\ninclude-path-regex = \"/webhooks/\"\ninclude-method = \"GET\"\n\
         parameters = {{ \"path.id\" = \"{project}\", \"path.webhook\" = \"{webhook}\" }}"
    );
    // What ends, pauses or starves a machine does so to the other one.
    let harsh = [
        "stop",
        "sleep",
        "freeze",
        "thaw",
        "start",
        "wake",
        "restore",
        "restore-message",
        "rotate-secrets",
    ];
    let harsh = harsh.join("|");
    for (paths, id) in [
        ("^/v1/projects/\\\\{id\\\\}/limits$".to_owned(), bounded),
        (format!("^/v1/projects/\\\\{{id\\\\}}.*/({harsh})$"), spare),
        ("^/v1/projects/\\\\{id\\\\}".to_owned(), project),
    ] {
        let _ = writeln!(
            out,
            "[[operations]]\ninclude-path-regex = \"{paths}\"\nparameters = {{ \"path.id\" = \"{id}\" }}"
        );
    }
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_answers_as_the_document_says() -> Result<()> {
    let Some(python) = peers::python("schemathesis") else {
        lane::skip("Schemathesis", "it is not installed: `make prepare` does that with PyPI");
        return Ok(());
    };
    let env = vec![("AGENT_API_KEY".to_owned(), KEY.to_owned())];
    let toft = Toft::start(Start { env, ..Start::default() }).await?;
    let made = make(&toft).await?;
    let folder = tempfile::tempdir()?;
    let told = folder.path().join("schemathesis.toml");
    std::fs::write(&told, settings(&made))?;
    let ran = Command::new(python)
        .args(["-m", "schemathesis.cli", "--config-file"])
        .arg(&told)
        .args(["run", &format!("{}/openapi.json", toft.base), "--no-color"])
        .env("NO_PROXY", "*")
        .current_dir(folder.path())
        .kill_on_drop(true)
        .output();
    let ran = tokio::time::timeout(TIMEOUT, ran).await.context("it hangs")??;
    let said = String::from_utf8_lossy(&ran.stdout);
    let errors = String::from_utf8_lossy(&ran.stderr);
    if let Some(path) = std::env::var_os("TOFT_SCHEMATHESIS_LOG") {
        std::fs::write(Path::new(&path), said.as_bytes())?;
    }
    ensure!(ran.status.success(), "{said}\n{errors}\nserver log: {}", toft.log());
    toft.down()
}

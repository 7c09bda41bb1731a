//! What agents have in runs, what variables of the document narrow of it, and going back to before a run.

use super::{As, Client, started};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use toft_stories::toft::Toft;

#[tokio::test(flavor = "multi_thread")]
async fn a_run_has_the_documents_tools_and_the_project_goes_back_to_before_it() -> Result<()> {
    let (toft, provider) = started(&[]).await?;
    let client = Client(&toft);
    let project = toft.new_project("Tools").await?;
    toft.exec(&project, "git init -q -b main . && git config user.email a@b.c && git config user.name a && echo x > x && echo {} > package.json && git add . && git commit -qm first").await?;
    let runs = format!("/v1/projects/{project}/runs");
    let body = json!({"prompt": "make folders", "stream": true}).to_string();
    let told =
        client.send(As::Header, ("POST", &runs), Some("k"), Some(&body)).await?.text().await?;
    let events: Vec<Value> = told
        .lines()
        .filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok())
        .collect();
    let data = |of: &str| {
        events
            .iter()
            .filter(move |event| event["event"] == of)
            .map(|event| &event["data"])
            .collect::<Vec<_>>()
    };
    // The attempt while planning is refused and told; looking is not.
    let warned =
        data("status").into_iter().find(|status| status["status"] == "plan_policy_warning");
    assert_eq!(warned.with_context(|| format!("it is told: {told}"))?["tool"], "sandbox_cmd");
    let ends: Vec<Value> = data("tool")
        .iter()
        .filter(|tool| tool["phase"] == "end")
        .filter_map(|tool| serde_json::from_str(tool["output"].as_str()?).ok())
        .collect();
    let acts: Vec<_> = ends.iter().filter_map(|end| end["action"].as_str()).collect();
    assert_eq!(acts, ["detect_project", "rollback_list_commits"]);
    ensure!(
        ends.iter()
            .any(|end| end["ok"] == true && end["executedCmd"] == "mkdir -p made/by 'a run'"),
        "{ends:?}"
    );
    let denied =
        ends.iter().find(|end| end["executedCmd"] == "rm -rf .git && true").context("an answer")?;
    ensure!(
        denied["ok"] == false
            && denied["error"].as_str().is_some_and(|why| why.contains("Not allowed")),
        "{denied}"
    );
    // What a program says is told as it comes, by stream.
    let complaint: Vec<&Value> = data("tool")
        .into_iter()
        .filter(|tool| tool["phase"] == "stream" && tool["cmd"] == "mkdir made")
        .collect();
    for piece in &complaint {
        assert_eq!(
            (&piece["runPhase"], &piece["tool"], &piece["stream"], &piece["internal"]),
            (&json!("build"), &json!("sandbox_cmd"), &json!("stderr"), &json!(false)),
            "{piece}"
        );
    }
    // However many writes it takes for that.
    let said: String = complaint.iter().filter_map(|piece| piece["chunk"].as_str()).collect();
    ensure!(said.starts_with("mkdir: ") && said.contains("made"), "{said}");
    let commits =
        ends.iter().find(|end| end["action"] == "rollback_list_commits").context("a list")?;
    assert_eq!(commits["commits"][0]["subject"], "first", "{commits}");
    let there = toft.exec(&project, "ls -d made/by 'a run' too-early .git").await?;
    assert_eq!(there["stdout"], ".git\na run\nmade/by\n");

    // Runs have these tools, conversations have not; they cost prompt.
    let first = provider.requests().into_iter().next().context("a request")?;
    let names = |request: &Value| -> Vec<String> {
        let tools = request["tools"].as_array().into_iter().flatten();
        tools.filter_map(|tool| tool["name"].as_str().map(str::to_owned)).collect()
    };
    ensure!(names(&first).contains(&"project_actions".to_owned()), "{:?}", names(&first));
    let before = provider.requests().len();
    toft.call("POST", &format!("/v1/projects/{project}/toft/sessions/new"), Some(json!({})))
        .await?;
    toft.call(
        "POST",
        &format!("/v1/projects/{project}/toft/prompt"),
        Some(json!({"message": "hello"})),
    )
    .await?;
    toft.until(&format!("/v1/projects/{project}/toft/state"), |state| state["status"] == "idle")
        .await?;
    let asked = provider.requests().into_iter().nth(before).context("a request")?;
    ensure!(!names(&asked).iter().any(|name| name == "project_actions" || name == "sandbox_cmd"));

    // Back to before it, but not while another one works.
    let run = toft.call("GET", &runs, None).await?[0].clone();
    let at = format!("{runs}/{}", run["id"].as_str().context("an id")?);
    let slow =
        client.data(("POST", &runs), Some("slow"), Some(&json!({"prompt": "work slowly"}))).await?;
    let slow = format!("{runs}/{}", slow["id"].as_str().context("an id")?);
    toft.until(&slow, |run| run["phase"] == "build").await?;
    let before = run["checkpointId"].as_str().context("an id")?;
    for restore in
        [format!("{at}/restore"), format!("/v1/projects/{project}/checkpoints/{before}/restore")]
    {
        assert_eq!(
            client.code(("POST", &restore), None, Some(&json!({}))).await?,
            (409, "conflict".into()),
            "{restore}"
        );
    }
    client.data(("POST", &format!("{slow}/cancel")), None, None).await?;
    toft.until(&slow, |run| run["status"] == "cancelled").await?;
    let done = toft.cli(&["runs", &project, "1", "--restore", "--json"])?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let done: Value = serde_json::from_slice(&done.stdout)?;
    assert_eq!(done["checkpoint"]["id"], run["checkpointId"], "{done}");
    let there = toft.exec(&project, "ls; git log --format=%s").await?;
    assert_eq!(there["stdout"], "package.json\nx\nfirst\n");
    // How it was in between is kept, and what was said stays.
    let kept = format!(
        "/v1/projects/{project}/checkpoints/{}/restore",
        done["before"]["id"].as_str().context("an id")?
    );
    toft.call("POST", &kept, Some(json!({}))).await?;
    assert_eq!(toft.exec(&project, "ls -d made/by").await?["stdout"], "made/by\n");
    ensure!(provider.faults().is_empty(), "{:?}", provider.faults());
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_project_begins_with_the_instructions_that_the_server_was_given() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let template = dir.path().join("template.md");
    std::fs::write(&template, "Say moo at each end.\n")?;
    let path = template.to_str().context("a path")?;
    let (toft, provider) = started(&[("AGENTS_TEMPLATE_PATH", path)]).await?;
    let client = Client(&toft);
    let project = toft.new_project("Begins").await?;
    assert_eq!(toft.exec(&project, "cat AGENTS.md").await?["stdout"], "Say moo at each end.\n");
    let runs = format!("/v1/projects/{project}/runs");
    let run = client.data(("POST", &runs), Some("k"), Some(&json!({"prompt": "hello"}))).await?;
    toft.until(&format!("{runs}/{}", run["id"].as_str().context("an id")?), |run| {
        run["status"] == "completed"
    })
    .await?;
    ensure!(
        provider.requests().first().is_some_and(|first| first.to_string().contains("Say moo")),
        "its agent reads it"
    );
    // Who takes it away does not find it again, neither there nor in a fork.
    toft.exec(&project, "rm AGENTS.md").await?;
    toft.call("POST", &format!("/v1/projects/{project}/sleep"), Some(json!({}))).await?;
    toft.call("POST", &format!("/v1/projects/{project}/wake"), Some(json!({}))).await?;
    let forked =
        toft.call("POST", &format!("/v1/projects/{project}/fork"), Some(json!({}))).await?;
    let fork = forked["projects"][0]["id"].as_str().context("a fork")?.to_owned();
    for id in [&project, &fork] {
        assert_eq!(toft.exec(id, "ls AGENTS.md || echo none").await?["stdout"], "none\n", "{id}");
    }
    // One whose machine is made by the first who needs it has it too.
    let body = json!({"name": "Later", "start": false});
    let later = client.data(("POST", "/v1/projects"), None, Some(&body)).await?;
    let later = later["id"].as_str().context("an id")?;
    assert_eq!(toft.exec(later, "cat AGENTS.md").await?["stdout"], "Say moo at each end.\n");
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_that_is_too_large_is_told_and_not_downloaded() -> Result<()> {
    let (toft, _provider) = started(&[("ZIP_MAX_FILES", "2"), ("ZIP_MAX_BYTES", "65536")]).await?;
    let client = Client(&toft);
    let project = toft.new_project("Large").await?;
    let runs = format!("/v1/projects/{project}/runs");
    // The second has less than may be kept; what the archive says of it makes it more.
    let cases = [
        ("touch one two three", "2 files"),
        ("rm one two; head -c 65530 /dev/urandom > three", "The archive has"),
    ];
    for (makes, said) in cases {
        toft.exec(&project, makes).await?;
        let at = completed(&toft, &runs, makes).await?;
        let told = client.send(As::Header, ("GET", &format!("{at}/stream")), None, None).await?;
        let told = told.text().await?;
        ensure!(told.contains("workspace_snapshot_store_failed") && told.contains(said), "{told}");
        let got = client.code(("GET", &format!("{at}/download.zip")), None, None).await?;
        assert_eq!(got, (413, "payload_too_large".into()));
    }
    // With less in it the next one's is kept.
    toft.exec(&project, "rm three").await?;
    let zip = format!("{}/download.zip", completed(&toft, &runs, "less").await?);
    let zip = client.send(As::Header, ("GET", &zip), None, None).await?;
    assert_eq!(zip.status().as_u16(), 200);
    toft.down()
}

/// The path of a run that has worked and completed.
async fn completed(toft: &Toft, runs: &str, key: &str) -> Result<String> {
    let key = key.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let body = json!({"prompt": "hello"});
    let run = Client(toft).data(("POST", runs), Some(&key), Some(&body)).await?;
    let at = format!("{runs}/{}", run["id"].as_str().context("an id")?);
    toft.until(&at, |run| run["status"] == "completed").await?;
    Ok(at)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documents_variables_narrow_what_runs_have() -> Result<()> {
    let servers = r#"{"mcpServers":{"docs":{"command":"docs-server"}}}"#;
    let variables = [
        ("ALLOWED_TOOLS", "read, glob, sandbox_cmd, task"),
        ("ENABLE_SUBAGENTS", "false"),
        ("MCP_SERVERS", servers),
    ];
    let (toft, provider) = started(&variables).await?;
    let client = Client(&toft);
    let project = toft.new_project("Narrow").await?;
    let runs = format!("/v1/projects/{project}/runs");
    let run = client.data(("POST", &runs), Some("k"), Some(&json!({"prompt": "hello"}))).await?;
    toft.until(&format!("{runs}/{}", run["id"].as_str().context("an id")?), |run| {
        run["status"] == "completed"
    })
    .await?;
    let first = provider.requests().into_iter().next().context("a request")?;
    let tools: Vec<_> = first["tools"]
        .as_array()
        .context("tools")?
        .iter()
        .filter_map(|t| t["name"].as_str())
        .collect();
    assert_eq!(tools, ["read", "find", "sandbox_cmd"]);
    let can = client.data(("GET", "/v1/capabilities"), None, None).await?;
    assert_eq!(can["constraints"]["noArbitraryShell"], true);
    let mcp = toft.call("GET", &format!("/v1/projects/{project}/toft/mcp"), None).await?;
    assert_eq!(
        (&mcp["servers"][0]["name"], &mcp["servers"][0]["source"]),
        (&json!("docs"), &json!("MCP_SERVERS"))
    );
    // A project's own declaration comes in its place.
    let own = json!({"value": r#"{"mine":{"command":"mine"}}"#});
    toft.call("PUT", &format!("/v1/projects/{project}/secrets/MCP_SERVERS"), Some(own)).await?;
    let mcp = toft
        .until(&format!("/v1/projects/{project}/toft/mcp"), |mcp| {
            mcp["servers"][0]["name"] == "mine"
        })
        .await?;
    assert_eq!(mcp["servers"].as_array().map(Vec::len), Some(1));
    toft.down()
}

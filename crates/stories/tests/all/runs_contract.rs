//! A client that was written for the Platform Agent finds its routes, envelopes, codes, credentials and tools here.

mod bad_input;
mod checks;
mod ends;
mod models;
mod same_request;
mod tools;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use toft_stories::{
    provider::{Provider, Say, Script},
    toft::{STEP_TIMEOUT, Start, Toft},
};

const KEY: &str = "the-key-of-the-document-0123456789";
const PLAN: &str = "```json\n{\"summary\": \"Folders.\", \"todos\": [{\"id\": \"a\", \"title\": \"Make them\"}]}\n```";
const SLOW: &str = "```json\n{\"summary\": \"Slowly.\", \"todos\": [{\"id\": \"a\", \"title\": \"Work slowly\"}]}\n```";

fn say(text: &str) -> Say {
    Say { text: text.into(), tools: vec![] }
}

fn calls(tools: &[(&str, Value)]) -> Say {
    let tools =
        tools.iter().map(|(name, arguments)| ((*name).to_owned(), arguments.clone())).collect();
    Say { text: "Now.".into(), tools }
}

/// Tries to change something while it plans; makes folders when it builds; `slowly` builds for long.
fn script() -> Script {
    Arc::new(|user, turn| {
        let building = user.contains("[Plan mode is over");
        match (building, turn) {
            (false, 0) if user.contains("folders") => calls(&[
                ("sandbox_cmd", json!({"cmd": "mkdir too-early"})),
                ("project_actions", json!({"action": "detect_project"})),
            ]),
            (false, _) if user.contains("slowly") => say(SLOW),
            (false, _) => say(PLAN),
            (true, 0) if user.contains("slowly") => {
                calls(&[("bash", json!({"command": "sleep 3600"}))])
            }
            (true, 0) => calls(&[
                ("sandbox_cmd", json!({"cmd": "mkdir -p made/by 'a run'"})),
                ("sandbox_cmd", json!({"cmd": "mkdir made"})),
                ("sandbox_cmd", json!({"cmd": "rm -rf .git && true"})),
                ("project_actions", json!({"action": "rollback_list_commits"})),
            ]),
            (true, _) => say("Made."),
        }
    })
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq)]
enum As {
    Nobody,
    Header,
    Bearer,
}

struct Client<'a>(&'a Toft);

impl Client<'_> {
    async fn send(
        &self,
        who: As,
        (method, path): (&str, &str),
        key: Option<&str>,
        body: Option<&str>,
    ) -> Result<reqwest::Response> {
        let url = format!("{}{path}", self.0.base);
        let mut request = self.0.http().request(method.parse()?, url).timeout(STEP_TIMEOUT);
        request = match who {
            As::Nobody => request,
            As::Header => request.header("X-Agent-Api-Key", KEY),
            As::Bearer => request.bearer_auth(KEY),
        };
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_owned());
        }
        Ok(request.send().await?)
    }

    /// Status and the whole answer, whose envelope is looked at.
    async fn ask(
        &self,
        who: As,
        route: (&str, &str),
        key: Option<&str>,
        body: Option<&Value>,
    ) -> Result<(u16, Value)> {
        let body = body.map(Value::to_string);
        let answer = self.send(who, route, key, body.as_deref()).await?;
        let status = answer.status();
        ensure!(answer.headers()["cache-control"] == "no-store", "{route:?}");
        let answer: Value = answer.json().await.with_context(|| format!("{route:?}"))?;
        ensure!(answer["meta"]["apiVersion"] == "v1", "{route:?}: {answer}");
        ensure!(answer["meta"]["ts"].as_str().is_some_and(|ts| ts.ends_with('Z')), "{answer}");
        ensure!(answer["ok"] == status.is_success(), "{answer}");
        ensure!(answer.get("data").is_some() == status.is_success(), "{answer}");
        if !status.is_success() {
            ensure!(
                answer["error"]["message"].as_str().is_some_and(|words| words.len() > 10),
                "{answer}"
            );
        }
        Ok((status.as_u16(), answer))
    }

    async fn data(
        &self,
        route: (&str, &str),
        key: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Value> {
        let (status, mut answer) = self.ask(As::Header, route, key, body).await?;
        ensure!(status == 200, "{route:?}: {status} {answer}");
        Ok(answer["data"].take())
    }

    async fn code(
        &self,
        route: (&str, &str),
        key: Option<&str>,
        body: Option<&Value>,
    ) -> Result<(u16, String)> {
        let (status, answer) = self.ask(As::Header, route, key, body).await?;
        Ok((status, answer["error"]["code"].as_str().unwrap_or_default().to_owned()))
    }
}

fn has_fields(value: &Value, fields: &str) -> Result<()> {
    for field in fields.split_whitespace() {
        ensure!(value.get(field).is_some(), "{field} is missing in {value}");
    }
    Ok(())
}

/// The server with the document's key, and what it asks.
async fn started(more: &[(&str, &str)]) -> Result<(Toft, Provider)> {
    let provider = Provider::start(Duration::ZERO, script()).await?;
    let mut env = provider.env("sk-s");
    env.push(("AGENT_API_KEY".into(), KEY.into()));
    env.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let toft = Toft::start(Start { env, ..Start::default() }).await?;
    Ok((toft, provider))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_of_the_document_answers_as_it_says() -> Result<()> {
    let (toft, _provider) = started(&[("E2B_API_KEY", "e2b_s3cret-canary")]).await?;
    let client = Client(&toft);

    // Bare, and without credentials.
    for (path, fields) in [
        ("/", "name status version docs endpoints legacyEndpoints"),
        ("/health", "status ts"),
        ("/capabilities", "name actions constraints env"),
    ] {
        let answer = client.send(As::Nobody, ("GET", path), None, None).await?;
        assert_eq!(answer.headers()["cache-control"].to_str()?, "no-store", "{path}");
        let bare: Value = answer.json().await?;
        has_fields(&bare, fields)?;
        ensure!(bare.get("ok").is_none() && bare.get("meta").is_none(), "{path}: {bare}");
    }
    for (path, fields) in [
        ("/v1", "name status version docs endpoints legacyEndpoints"),
        ("/v1/health", "status ts"),
        ("/v1/capabilities", "name actions constraints env"),
    ] {
        let (status, answer) = client.ask(As::Nobody, ("GET", path), None, None).await?;
        ensure!(status == 200, "{path}: {answer}");
        has_fields(&answer["data"], fields)?;
    }
    let can = client.data(("GET", "/v1/capabilities"), None, None).await?;
    has_fields(&can["constraints"], "nextOnly bunOnly noArbitraryShell secrets")?;
    has_fields(
        &can["constraints"]["secrets"],
        "readDotEnvDenied envExampleReadable envExampleSyncAvailable",
    )?;
    has_fields(&can["env"], "AGENT_API_KEY QWEN_MODEL AUTO_GIT_COMMIT E2B_API_KEY ZIP_MAX_FILES")?;
    ensure!(
        can["actions"].as_array().is_some_and(|all| all.contains(&json!("rollback_run"))),
        "{can}"
    );
    ensure!(!can.to_string().contains("canary"), "no value is shown");
    ensure!(
        toft.log().contains("E2B_API_KEY is set") && !toft.log().contains("canary"),
        "what does nothing is said"
    );

    // Projects: 200 both ways.
    let wanted = json!({"id": "default", "name": "Default Project"});
    let made = client.data(("POST", "/v1/projects"), None, Some(&wanted)).await?;
    has_fields(&made, "id name latestRunId createdAt updatedAt created")?;
    assert_eq!((&made["created"], &made["name"]), (&json!(true), &json!("Default Project")));
    let again = client.data(("POST", "/v1/projects"), None, Some(&wanted)).await?;
    assert_eq!((&again["created"], &again["id"]), (&json!(false), &made["id"]));
    let all = client.data(("GET", "/v1/projects?limit=50&offset=0"), None, None).await?;
    assert_eq!(all.as_array().context("a list")?.len(), 1);
    has_fields(&all[0], "id name latestRunId createdAt updatedAt")?;
    assert_eq!(client.data(("GET", "/v1/projects/default"), None, None).await?["id"], made["id"]);

    // A run, by the client's own name of the project.
    let runs = "/v1/projects/default/runs";
    let messages = "/v1/projects/default/messages";
    let body = json!({"prompt": "hello", "input": {"a": 1}});
    let run = client.data(("POST", runs), Some("k1"), Some(&body)).await?;
    has_fields(&run, "id projectId status runIndex writable parentRunId created")?;
    let at = format!("{runs}/{}", run["id"].as_str().context("an id")?);
    let over =
        toft.until(&at, |run| run["status"] == "completed" || run["status"] == "error").await?;
    assert_eq!(over["status"], "completed", "{over}");
    has_fields(
        &over,
        "id projectId runIndex writable parentRunId status createdAt startedAt completedAt updatedAt prompt input output \
         error usage cost meta",
    )?;
    has_fields(
        &over["usage"],
        "inputTokens outputTokens totalTokens cachedInputTokens reasoningOutputTokens",
    )?;
    has_fields(
        &over["meta"],
        "provider model modelSource usageSource pricingSource attempt maxAttempts sandboxId idempotencyKey",
    )?;
    assert_eq!(over["meta"]["usageSource"], "response_usage");
    let said = client.data(("GET", &format!("{at}/messages")), None, None).await?;
    has_fields(&said[0], "id projectId runId role content input createdAt")?;
    let ended = client.data(("POST", &format!("{at}/cancel")), None, None).await?;
    has_fields(&ended, "id projectId status cancelled writable")?;
    assert_eq!(ended["cancelled"], false);
    let zip = client.send(As::Bearer, ("GET", &format!("{at}/download.zip")), None, None).await?;
    assert_eq!(
        (zip.status().as_u16(), zip.headers()["content-type"].to_str()?),
        (200, "application/zip")
    );
    let name = format!("run-{}-workspace.zip", run["id"].as_str().unwrap_or_default());
    ensure!(zip.headers()["content-disposition"].to_str()?.contains(&name));
    let told = client.send(As::Header, ("GET", &format!("{at}/stream")), None, None).await?;
    assert_eq!(told.headers()["x-run-id"].to_str()?, run["id"].as_str().unwrap_or_default());
    ensure!(told.headers()["content-type"].to_str()?.starts_with("text/event-stream"));
    let told = told.text().await?;
    ensure!(told.contains("event: done\n"), "{told}");

    // The same request is the same run, as an answer and as a stream; another one is not.
    let mut streamed = body.clone();
    streamed["stream"] = true.into();
    for _ in 0..2 {
        let replay = client
            .send(As::Header, ("POST", runs), Some("k1"), Some(&streamed.to_string()))
            .await?;
        assert_eq!(replay.text().await?, told);
    }
    let content = json!({"content": "and more"});
    let message = client.data(("POST", messages), Some("k2"), Some(&content)).await?;
    has_fields(&message, "run message")?;
    has_fields(&message["message"], "role content createdAt")?;
    assert_eq!(
        (&message["run"]["runIndex"], &message["run"]["parentRunId"]),
        (&json!(2), &run["id"])
    );
    let same = client.data(("POST", messages), Some("k2"), Some(&content)).await?;
    assert_eq!(
        (&same["run"]["id"], &same["run"]["created"]),
        (&message["run"]["id"], &json!(false))
    );
    let at2 = format!("{runs}/{}", message["run"]["id"].as_str().context("an id")?);
    toft.until(&at2, |run| run["status"] == "completed").await?;
    let mut streamed = content.clone();
    streamed["stream"] = true.into();
    let replay = client
        .send(As::Header, ("POST", messages), Some("k2"), Some(&streamed.to_string()))
        .await?;
    let text = replay.text().await?;
    ensure!(text.contains("event: done\n"), "{text}");
    for (path, key, other) in [
        (runs, "k1", json!({"prompt": "other"})),
        (runs, "k1", json!({"prompt": "hello"})),
        (messages, "k2", json!({"content": "other"})),
        (messages, "k1", json!({"content": "hello", "input": {"a": 1}})),
        (runs, "k2", json!({"prompt": "and more"})),
    ] {
        assert_eq!(
            client.code(("POST", path), Some(key), Some(&other)).await?,
            (409, "conflict".into()),
            "{key} {other}"
        );
    }
    assert_eq!(
        client.data(("GET", runs), None, None).await?.as_array().context("a list")?.len(),
        2
    );

    // What is refused, by its code.
    let zip = format!("{runs}/none/download.zip");
    let big = json!({"prompt": "x".repeat(2 << 20)});
    let long = "k".repeat(201);
    let go = json!({"prompt": "go"});
    for (route, key, body, want) in [
        (("POST", runs), None, Some(&go), (400, "invalid_argument")),
        (("POST", messages), None, Some(&content), (400, "invalid_argument")),
        (("POST", runs), Some(""), Some(&go), (400, "invalid_argument")),
        (("POST", runs), Some(long.as_str()), Some(&go), (400, "invalid_argument")),
        (("POST", runs), Some("k"), Some(&json!({"prompt": 7})), (400, "invalid_argument")),
        (
            ("POST", runs),
            Some("k"),
            Some(&json!({"prompt": "x", "workspaceBackend": "moon"})),
            (400, "invalid_argument"),
        ),
        (
            ("POST", runs),
            Some("k"),
            Some(&json!({"prompt": "x", "workspaceBackend": "e2b"})),
            (409, "unavailable"),
        ),
        (
            ("POST", messages),
            Some("k"),
            Some(&json!({"content": "x", "workspaceBackend": "oci"})),
            (409, "unavailable"),
        ),
        (("POST", runs), Some("k"), Some(&big), (413, "payload_too_large")),
        (("GET", "/v1/projects/nobody"), None, None, (404, "not_found")),
        (("GET", "/v1/projects/nobody/runs"), None, None, (404, "not_found")),
        (("GET", "/v1/projects/default/runs/none"), None, None, (404, "not_found")),
        (("GET", "/v1/projects/default/runs/none/messages"), None, None, (404, "not_found")),
        (("GET", "/v1/projects/default/runs/none/stream"), None, None, (404, "not_found")),
        (("POST", "/v1/projects/default/runs/none/cancel"), None, None, (404, "not_found")),
        (
            ("POST", "/v1/projects/default/runs/none/restore"),
            None,
            Some(&json!({})),
            (404, "not_found"),
        ),
        (("GET", zip.as_str()), None, None, (404, "not_found")),
        (("GET", "/v1/projects/default/runs?limit=0"), None, None, (400, "invalid_argument")),
        (("GET", "/v1/nothing"), None, None, (404, "not_found")),
        (("DELETE", runs), None, None, (405, "method_not_allowed")),
    ] {
        let got = client.code(route, key, body).await?;
        assert_eq!((got.0, got.1.as_str()), want, "{route:?} {key:?}");
    }
    let broken = client.send(As::Header, ("POST", runs), Some("k"), Some("{\"prompt\":")).await?;
    assert_eq!(broken.status().as_u16(), 400);
    assert_eq!(broken.json::<Value>().await?["error"]["code"], "invalid_json");

    // Each route opens by either header, and without one not at all.
    for (method, path) in [
        ("GET", "/v1/projects".to_owned()),
        ("GET", "/v1/projects/default".to_owned()),
        ("GET", runs.to_owned()),
        ("GET", at.clone()),
        ("GET", format!("{at}/messages")),
        ("GET", format!("{at}/stream")),
        ("GET", format!("{at}/download.zip")),
        ("POST", format!("{at}/cancel")),
        ("POST", "/v1/projects".to_owned()),
        ("POST", runs.to_owned()),
        ("POST", messages.to_owned()),
    ] {
        let body = match path.as_str() {
            "/v1/projects" if method == "POST" => Some(wanted.to_string()),
            path if path == runs && method == "POST" => Some(body.to_string()),
            path if path == messages => Some(content.to_string()),
            _ => None,
        };
        let key = if path == runs { "k1" } else { "k2" };
        for (who, want) in [(As::Nobody, 401), (As::Header, 200), (As::Bearer, 200)] {
            let answer = client.send(who, (method, &path), Some(key), body.as_deref()).await?;
            assert_eq!(answer.status().as_u16(), want, "{method} {path} {who:?}");
            if who == As::Nobody {
                assert_eq!(
                    answer.json::<Value>().await?["error"]["code"],
                    "unauthenticated",
                    "{path}"
                );
            }
        }
    }
    toft.down()
}

//! Whatever is sent to the routes of runs, the answer has a stable code, says what is wrong, and what to do.

use super::{As, Client, started};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

/// Status of most of it.
const INVALID: u16 = 400;

/// Status and code of what must not fit, and a word that its message has.
type Wanted = (u16, &'static str, &'static str);

async fn refused(client: &Client<'_>, route: (&str, &str), body: &str, want: Wanted) -> Result<()> {
    let answer = client.send(As::Header, route, Some("bad"), Some(body)).await?;
    let status = answer.status().as_u16();
    let said: Value = answer.json().await.with_context(|| format!("{route:?}"))?;
    let shown: String = body.chars().take(80).collect();
    assert_eq!(
        (status, said["error"]["code"].as_str()),
        (want.0, Some(want.1)),
        "{route:?} {shown}: {said}"
    );
    let message = said["error"]["message"].as_str().unwrap_or_default();
    ensure!(message.contains(want.2), "{route:?} {shown}: {message}");
    ensure!(said["ok"] == false && said["meta"]["apiVersion"] == "v1", "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_refused_in_words_and_makes_no_run() -> Result<()> {
    let (toft, _provider) = started(&[("TOFT_RUNS_AT_ONCE", "0")]).await?;
    let client = Client(&toft);
    let body = json!({"id": "bad", "name": "Bad", "start": false});
    client.data(("POST", "/v1/projects"), None, Some(&body)).await?;
    let long = "m".repeat(300);
    let deep = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
    let huge = "x".repeat(2 << 20);
    for (path, text) in [("runs", "prompt"), ("messages", "content")] {
        let path = format!("/v1/projects/bad/{path}");
        let route = ("POST", path.as_str());
        let with = |more: &str| format!("{{\"{text}\": \"go\", {more}}}");
        for (body, want) in [
            // Texts.
            ("{}".to_owned(), (INVALID, "invalid_argument", text)),
            (String::new(), (INVALID, "invalid_argument", text)),
            (format!("{{\"{text}\": null}}"), (INVALID, "invalid_argument", text)),
            (format!("{{\"{text}\": \" \\n\\t\"}}"), (INVALID, "invalid_argument", "is empty")),
            (format!("{{\"{text}\": \"a\\u0000b\"}}"), (INVALID, "invalid_argument", "NUL")),
            // Wrong types, each by its name.
            (format!("{{\"{text}\": 7}}"), (INVALID, "invalid_argument", text)),
            (format!("{{\"{text}\": [\"go\"]}}"), (INVALID, "invalid_argument", text)),
            (with("\"stream\": \"yes\""), (INVALID, "invalid_argument", "stream")),
            (with("\"approval\": 1"), (INVALID, "invalid_argument", "approval")),
            (with("\"priority\": \"high\""), (INVALID, "invalid_argument", "priority")),
            (with("\"priority\": 4294967296"), (INVALID, "invalid_argument", "priority")),
            (with("\"priority\": 1.5"), (INVALID, "invalid_argument", "priority")),
            (with("\"provider\": {}"), (INVALID, "invalid_argument", "provider")),
            (with("\"model\": 5"), (INVALID, "invalid_argument", "model")),
            (with("\"workspaceBackend\": []"), (INVALID, "invalid_argument", "workspaceBackend")),
            // Values that there are none of.
            (with("\"provider\": \"moon\""), (INVALID, "invalid_argument", "moon")),
            (with("\"provider\": \"\""), (INVALID, "invalid_argument", "provider")),
            (with("\"model\": \"a\\u0000b\""), (INVALID, "invalid_argument", "model")),
            (with(&format!("\"model\": \"{long}\"")), (INVALID, "invalid_argument", "model")),
            (
                with("\"model\": \"nothing-of-that-name\""),
                (INVALID, "invalid_argument", "/v1/models"),
            ),
            (
                with("\"workspaceBackend\": \"moon\""),
                (INVALID, "invalid_argument", "workspaceBackend"),
            ),
            (with("\"input\": {\"a\": \"\\u0000\"}"), (INVALID, "invalid_argument", "NUL")),
            // Fields that there are none of.
            (with("\"approve\": true"), (INVALID, "invalid_argument", "approve")),
            (
                with("\"workspace_backend\": \"host\""),
                (INVALID, "invalid_argument", "workspace_backend"),
            ),
            (with(&format!("\"{text}\": \"again\"")), (INVALID, "invalid_argument", "twice")),
            // No object, no JSON, too deep, too much.
            ("[\"go\"]".to_owned(), (INVALID, "invalid_argument", "object")),
            ("\"go\"".to_owned(), (INVALID, "invalid_argument", "object")),
            ("null".to_owned(), (INVALID, "invalid_argument", "object")),
            ("{".to_owned(), (INVALID, "invalid_json", "JSON")),
            (with("\"input\": NaN"), (INVALID, "invalid_json", "JSON")),
            (with("\"input\": \"\\ud800\""), (INVALID, "invalid_argument", "half a character")),
            (with(&format!("\"input\": {deep}")), (INVALID, "invalid_argument", "too deep")),
            (with(&format!("\"input\": \"{huge}\"")), (413, "payload_too_large", "KiB")),
        ] {
            refused(&client, route, &body, want).await?;
        }
        // No UTF-8.
        let answer = toft
            .http()
            .post(format!("{}{path}", toft.base))
            .bearer_auth(super::KEY)
            .header("idempotency-key", "bad")
            .header("content-type", "application/json")
            .body(b"{\"prompt\": \"\xff\xfe\", \"content\": \"\xff\"}".to_vec())
            .send()
            .await?;
        assert_eq!(answer.status().as_u16(), 400);
        assert_eq!(answer.json::<Value>().await?["error"]["code"], "invalid_json");
    }
    let several = |more: &str| format!("{{\"prompt\": \"go\", {more}}}");
    for (body, word) in [
        (several("\"n\": 1"), "n is a number"),
        (several("\"n\": 9"), "n is a number"),
        (several("\"n\": -1"), "n"),
        (several("\"n\": \"2\""), "n"),
        (several("\"models\": []"), "2"),
        (several("\"models\": [{\"model\": \"demo/x\"}]"), "2"),
        (several("\"models\": [{}, {\"name\": \"x\"}]"), "name"),
        (several("\"n\": 2, \"models\": [{}, {}]"), "not both"),
        (several("\"n\": 2, \"stream\": true"), "stream"),
        (several("\"n\": 2, \"secrets\": \"none\""), "secrets"),
        (several("\"n\": 2, \"secrets\": [\"NOT_THERE\"]"), "NOT_THERE"),
        (several("\"secrets\": []"), "secrets"),
    ] {
        let want = (400, "invalid_argument", word);
        refused(&client, ("POST", "/v1/projects/bad/runs"), &body, want).await?;
    }
    let none = client.data(("GET", "/v1/projects/bad/runs"), None, None).await?;
    assert_eq!(none, json!([]), "nothing of it was taken");
    let none = client.data(("GET", "/v1/projects/bad/comparisons"), None, None).await?;
    assert_eq!(none, json!([]));
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_ids_and_pages_are_refused_on_every_route() -> Result<()> {
    let (toft, _provider) = started(&[("TOFT_RUNS_AT_ONCE", "0")]).await?;
    let client = Client(&toft);
    let body = json!({"id": "odd", "name": "Odd", "start": false});
    client.data(("POST", "/v1/projects"), None, Some(&body)).await?;
    let go = json!({"prompt": "go"});
    let run = client.data(("POST", "/v1/projects/odd/runs"), Some("k"), Some(&go)).await?;
    let run = run["id"].as_str().context("an id")?.to_owned();
    let ids = [
        "none",
        "%00",
        "a%2Fb",
        "..%2f..%2fetc",
        "%F0%9F%A6%80",
        "'%20OR%201=1--",
        "%22%3E%3Cscript%3E",
        &*run.to_uppercase(),
        &*"a".repeat(5_000),
        "-1",
        "%20",
    ];
    for id in ids {
        for (method, path) in [
            ("GET", format!("/v1/projects/{id}")),
            ("GET", format!("/v1/projects/{id}/runs")),
            ("GET", format!("/v1/projects/{id}/runs/{run}")),
            ("GET", format!("/v1/projects/odd/runs/{id}")),
            ("GET", format!("/v1/projects/odd/runs/{id}/messages")),
            ("GET", format!("/v1/projects/odd/runs/{id}/stream")),
            ("GET", format!("/v1/projects/odd/runs/{id}/download.zip")),
            ("POST", format!("/v1/projects/odd/runs/{id}/cancel")),
            ("GET", format!("/v1/projects/odd/comparisons/{id}")),
        ] {
            let got = client.code((method, &path), None, None).await?;
            assert_eq!(got, (404, "not_found".into()), "{method} {path}");
        }
    }
    let bad = client.code(("GET", "/v1/projects/odd/runs/%FF"), None, None).await?;
    assert_eq!(bad, (400, "invalid_argument".into()), "it is no text");
    for query in [
        "limit=0",
        "limit=-1",
        "limit=1001",
        "limit=x",
        "limit=",
        "limit=1.5",
        "limit=4294967296",
        "offset=-1",
        "offset=x",
        "offset=4294967296",
        "limit=1&limit=2",
    ] {
        for path in ["/v1/projects", "/v1/projects/odd/runs", "/v1/projects/odd/comparisons"] {
            let path = format!("{path}?{query}");
            let got = client.code(("GET", &path), None, None).await?;
            assert_eq!(got, (400, "invalid_argument".into()), "{path}");
        }
    }
    for path in ["/v1/projects", "/v1/projects/odd/runs"] {
        let past = client
            .data(("GET", &format!("{path}?limit=1000&offset=4294967295")), None, None)
            .await?;
        assert_eq!(past, json!([]), "{path}");
    }
    let at = format!("/v1/projects/odd/runs/{run}");
    for after in ["x", "-1", "1.5", "99", "18446744073709551616", "1,2", "%00"] {
        let path = format!("{at}/stream?after={after}");
        let got = client.code(("GET", &path), None, None).await?;
        assert_eq!(got, (400, "invalid_argument".into()), "{path}");
    }
    let cancel = format!("{at}/cancel");
    let broken = client.send(As::Header, ("POST", &cancel), None, Some("{")).await?;
    assert_eq!(broken.status().as_u16(), 400, "its sender did not mean that");
    assert_eq!(client.data(("GET", &at), None, None).await?["status"], "queued");
    let not = client.code(("GET", &format!("{at}/download.zip")), None, None).await?;
    assert_eq!(not, (409, "unavailable".into()));
    let restore = ("POST", format!("{at}/restore"));
    for (body, want) in [
        ("{\"force\": \"yes\"}", (400, "invalid_argument", "force")),
        ("{\"forced\": true}", (400, "invalid_argument", "forced")),
        ("{}", (409, "no_checkpoint", "checkpoint")),
    ] {
        refused(&client, (restore.0, &restore.1), body, want).await?;
    }
    for (path, body, word) in [
        ("/v1/projects", json!({"id": "a b"}), "id must be"),
        ("/v1/projects", json!({"id": "x".repeat(200)}), "id must be"),
        ("/v1/projects", json!({"name": 7}), "name"),
        ("/v1/projects", json!({"title": "x"}), "title"),
    ] {
        refused(&client, ("POST", path), &body.to_string(), (400, "invalid_argument", word))
            .await?;
    }
    for (body, word) in [
        (json!({}), "inputCostPer1k"),
        (json!({"inputCostPer1k": -1, "outputCostPer1k": 1}), "inputCostPer1k"),
        (json!({"inputCostPer1k": 1, "outputCostPer1k": 1001}), "outputCostPer1k"),
        (json!({"inputCostPer1k": "1", "outputCostPer1k": 1}), "inputCostPer1k"),
        (json!({"inputCostPer1k": 1, "outputCostPer1k": 1, "currency": "a\nb"}), "currency"),
        (json!({"inputCostPer1k": 1, "outputCostPer1k": 1, "enabled": false}), "enabled"),
    ] {
        let path = "/v1/model-pricing/openai/gpt-5";
        let want = (400, "invalid_argument", word);
        refused(&client, ("PUT", path), &body.to_string(), want).await?;
    }
    toft.down()
}

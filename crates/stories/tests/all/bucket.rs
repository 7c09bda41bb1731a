//! What runs leave lies in a bucket: a person gets it from there, and a bucket that cannot be used is told at once.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Arc,
    time::Duration,
};
use toft_stories::{
    lane, peers,
    provider::{Provider, Say},
    toft::{STEP_TIMEOUT, Start, Toft},
};

/// A double of S3 that others wrote, and that checks signatures.
struct Double {
    child: Child,
    ask: ChildStdin,
    said: BufReader<ChildStdout>,
    about: Value,
}

impl Drop for Double {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Double {
    fn start() -> Result<Option<Self>> {
        let Some(python) = peers::python("s3") else { return Ok(None) };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/s3/s3.py");
        let mut command = Command::new(python);
        command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        let ask = child.stdin.take().context("its input")?;
        let said = BufReader::new(child.stdout.take().context("its output")?);
        let mut double = Self { child, ask, said, about: Value::Null };
        double.about = double.line()?;
        Ok(Some(double))
    }

    fn line(&mut self) -> Result<Value> {
        let mut line = String::new();
        self.said.read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    }

    fn list(&mut self) -> Result<Value> {
        writeln!(self.ask, "list")?;
        self.line()
    }

    fn start_with(&self, mut env: Vec<(String, String)>, secret: &str) -> Start {
        let text = |name: &str| self.about[name].as_str().unwrap_or_default().to_owned();
        for (name, value) in [
            ("AWS_ACCESS_KEY_ID", text("key")),
            ("AWS_SECRET_ACCESS_KEY", secret.to_owned()),
            ("AWS_ENDPOINT_URL", text("url")),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
        ] {
            env.push((name.to_owned(), value));
        }
        let args = vec!["--artifacts".to_owned(), format!("s3://{}/of/toft", text("bucket"))];
        Start { env, args, ..Start::default() }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_leaves_comes_from_the_bucket_and_goes_with_its_project() -> Result<()> {
    let Some(mut double) = Double::start()? else {
        lane::skip("bucket", "no moto; `.ci/prepare tests` installs it");
        return Ok(());
    };
    let provider = Provider::start(
        Duration::ZERO,
        Arc::new(|user, _| {
            let building = user.contains("[Plan mode is over");
            let plan = "```json\n{\"summary\": \"Nothing.\", \"todos\": [{\"id\": \"a\", \"title\": \"Nothing\"}]}\n```";
            Say { text: if building { "It is done." } else { plan }.into(), tools: vec![] }
        }),
    )
    .await?;
    let wrong = Toft::start(double.start_with(provider.env("sk-s"), "canary-of-a-key")).await;
    let said = format!("{:#}", wrong.err().context("its key is wrong")?);
    ensure!(
        said.contains("AWS_SECRET_ACCESS_KEY") && said.contains("s3://artifacts/of/toft"),
        "{said}"
    );
    ensure!(!said.contains("canary-of-a-key"), "{said}");

    let secret = double.about["secret"].as_str().context("a key")?.to_owned();
    let toft = Toft::start(double.start_with(provider.env("sk-s"), &secret)).await?;
    let project = toft.new_project("Kept").await?;
    let filled =
        toft.exec(&project, "head -c 12000000 /dev/urandom > big && sha256sum < big").await?;
    ensure!(filled["exitCode"] == 0, "{filled}");
    let asked = toft
        .http()
        .post(format!("{}/v1/projects/{project}/runs", toft.base))
        .bearer_auth(&toft.token)
        .header("idempotency-key", "one")
        .json(&json!({"prompt": "go"}))
        .send()
        .await?;
    let asked: Value = asked.json().await?;
    let at =
        format!("/v1/projects/{project}/runs/{}", asked["data"]["id"].as_str().context("an id")?);
    let run =
        toft.until(&at, |run| run["status"] == "completed" || run["status"] == "error").await?;
    assert_eq!(run["status"], "completed", "{run}");
    let listed = double.list()?;
    let objects = listed["objects"].as_array().context("a list")?;
    assert_eq!((objects.len(), &listed["uploads"]), (1, &json!([])), "{listed}");
    let url = format!("{}{at}/download.zip", toft.base);
    let zip = toft.http().get(url).bearer_auth(&toft.token).timeout(STEP_TIMEOUT).send().await?;
    ensure!(zip.status().is_success(), "{}", zip.status());
    let zip = zip.bytes().await?;
    ensure!(zip.starts_with(b"PK") && zip.len() > 12_000_000, "{}", zip.len());
    assert_eq!(listed["sizes"][objects[0].as_str().unwrap_or_default()], zip.len());
    ensure!(!toft.data.join("artifacts").exists(), "nothing lies in the data folder");
    toft.call("DELETE", &format!("/v1/projects/{project}"), None).await?;
    assert_eq!(double.list()?["objects"], json!([]));
    toft.down()
}

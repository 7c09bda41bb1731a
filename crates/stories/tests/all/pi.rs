//! Pi, a foreign agent, as npm has it, works inside a machine with models of every provider, in every
//! wire format that it knows, and without a provider's key anywhere near it.

use super::wire::Double;
use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use std::path::{Path, PathBuf};
use toft_stories::{
    lane,
    peers::{self, Toolchain},
    processes,
    toft::{Start, Toft},
};

/// Each of Pi's formats with a model that does not speak it, and the base URL that it takes.
const WAYS: [(&str, &str, &str); 4] = [
    ("openai-completions", "$OPENAI_BASE_URL", "anthropic/claude-opus-4-5"),
    ("openai-responses", "$OPENAI_BASE_URL", "google/gemini-2.5-flash"),
    ("anthropic-messages", "$ANTHROPIC_BASE_URL", "openai/gpt-5"),
    ("google-generative-ai", "$GOOGLE_GEMINI_BASE_URL/v1beta", "anthropic/claude-opus-4-5"),
];

#[tokio::test(flavor = "multi_thread")]
async fn pi_works_inside_with_every_provider_and_no_key() -> Result<()> {
    let Some(from) = peers::installed("peers") else {
        lane::skip("Pi", "it is not installed: `make prepare` does that with npm");
        return Ok(());
    };
    if !lane::root() {
        lane::skip("Pi", "a folder that machines may read is made in /opt, which is root's");
        return Ok(());
    }
    let toolchain = Toolchain::of(&from.join("node_modules"))?;
    let modules = toolchain.copy().display();
    let pi = format!("#!/bin/sh\nexec {modules}/node/bin/node {modules}/.bin/pi \"$@\"\n");
    toolchain.script("pi", &pi)?;
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/sdks");
    let double = Double::with(&peers.join("double.json")).await?;
    let env = ["openai", "anthropic", "google"].iter().flat_map(|id| double.env(id)).collect();
    let toft = Toft::start(Start { env, ..Start::default() }).await?;
    let order = json!({"folders": [toolchain.path()]});
    let image = toft.call("POST", "/v1/images", Some(order)).await?;
    let of = format!("/v1/images/{}", image["key"].as_str().context("a key")?);
    toft.until(&of, |image| image["state"] != "making").await?;
    let order = json!({"name": "Pi", "image": image["key"]});
    let project = toft.call("POST", "/v1/projects", Some(order)).await?;
    let project = project["id"].as_str().context("an id")?.to_owned();

    for (api, base, model) in WAYS {
        let config = json!({"providers": {"toft": {"baseUrl": base, "api": api,
            "apiKey": "$TOFT_TOKEN", "models": [{"id": model}]}}});
        // The shell puts the addresses in; the key stays a name, which Pi looks up.
        let config = config.to_string().replace("\"$TOFT_TOKEN\"", "\"\\$TOFT_TOKEN\"");
        let command = format!(
            "mkdir -p ~/.pi/agent && cat > ~/.pi/agent/models.json <<CONFIG\n{config}\nCONFIG\n\
             rm -f note.txt; PI_OFFLINE=1 pi --provider toft --model {model} -p 'write a note' \
             </dev/null && cat note.txt"
        );
        let done = toft.exec(&project, &command).await?;
        let said = done["stdout"].as_str().unwrap_or_default();
        let wanted = "The note is written.\nfrom the double\n";
        ensure!(said == wanted, "{api} {model}: {done}\nserver log: {}", toft.log());
    }
    let found = toft.exec(&project, "env | grep -c sk-double").await?;
    assert_eq!(found["stdout"], "0\n");
    assert_eq!(processes::files_holding(&toft.data, b"sk-double"), Vec::<PathBuf>::new());
    toft.down()
}

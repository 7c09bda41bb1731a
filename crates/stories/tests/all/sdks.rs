//! The official SDKs of OpenAI, Anthropic and Google, unpatched, talk to the models of every provider
//! in their own wire formats. The driver is `peers/sdks/drive.py`; the provider is aimock.

use super::wire::Double;
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::{collections::BTreeMap, path::Path, time::Duration};
use toft_stories::{
    lane, peers,
    toft::{STEP_TIMEOUT, Start, Toft},
};
use tokio::process::Command;

const KEY: &str = "program-key-4712-for-sdks";

/// The driver talks to a slow double on purpose.
const DRIVER_TIMEOUT: Duration = Duration::from_mins(4);

/// How the calls of each provider ended: `whole`, or what cut them short.
fn endings(toft: &Toft) -> BTreeMap<(String, String), usize> {
    let text = std::fs::read_to_string(toft.data.join("usage/journal.jsonl")).unwrap_or_default();
    let mut endings = BTreeMap::new();
    for line in text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        if line["status"] == 200 {
            let provider = line["provider"].as_str().unwrap_or_default().to_owned();
            let ending = line["error"].as_str().unwrap_or("whole").to_owned();
            *endings.entry((provider, ending)).or_default() += 1;
        }
    }
    endings
}

#[tokio::test(flavor = "multi_thread")]
async fn official_sdks_talk_to_the_models_of_every_provider() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/sdks");
    let Some(python) = peers::python("sdks") else {
        lane::skip("official SDKs", "they are not installed: `make prepare` does that with PyPI");
        return Ok(());
    };
    let double = Double::with(&folder.join("double.json")).await?;
    let mut env: Vec<(String, String)> =
        ["openai", "anthropic", "google"].iter().flat_map(|id| double.env(id)).collect();
    env.push(("AGENT_API_KEY".into(), KEY.into()));
    let toft = Toft::start(Start { env, ..Start::default() }).await?;
    let driver = Command::new(python)
        .arg(folder.join("drive.py"))
        .args([&toft.base, KEY])
        .env("NO_PROXY", "*")
        .kill_on_drop(true)
        .output();
    let driver = tokio::time::timeout(DRIVER_TIMEOUT, driver).await.context("it hangs")??;
    let said = String::from_utf8_lossy(&driver.stdout);
    let errors = String::from_utf8_lossy(&driver.stderr);
    ensure!(driver.status.success(), "{said}\n{errors}\nserver log: {}", toft.log());
    ensure!(said.trim_end().ends_with("done"), "it did not come to its end: {said}");

    // Four formats for each provider: in each one answer was cut and one given up, and that was seen
    // at the provider; all others came whole: two questions asked twice, streaming and not.
    let wanted: BTreeMap<(String, String), usize> = ["openai", "anthropic", "google"]
        .into_iter()
        .flat_map(|id| [("whole", 16), ("cut", 4), ("client_closed", 4)].map(|(e, n)| (id, e, n)))
        .map(|(id, ending, count)| ((id.to_owned(), ending.to_owned()), count))
        .collect();
    let look = async {
        while endings(&toft) != wanted {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let counted = tokio::time::timeout(STEP_TIMEOUT, look).await;
    ensure!(counted.is_ok(), "{:?} is not {wanted:?}", endings(&toft));
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_inside_asks_any_model_with_what_its_environment_holds() -> Result<()> {
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/sdks");
    let double = Double::with(&peers.join("double.json")).await?;
    let env = ["openai", "anthropic", "google"].iter().flat_map(|id| double.env(id)).collect();
    let toft = Toft::start(Start { env, ..Start::default() }).await?;
    let project = toft.new_project("Inside").await?;
    let program = std::fs::read_to_string(peers.join("inside.py"))?;
    let command = format!("python3 - <<'PROGRAM'\n{program}\nPROGRAM\nenv | grep -c sk-double");
    let done = toft.exec(&project, &command).await?;
    let said = done["stdout"].as_str().unwrap_or_default();
    let wanted = "[\"anthropic/claude-opus-4-5\", \"I look.\"]\n\
        [\"google/gemini-2.5-flash\", \"I look.\"]\n[\"openai/gpt-5\", \"I look.\"]\n0\n";
    ensure!(said == wanted, "{done}");
    toft.down()
}

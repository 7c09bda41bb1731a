//! Checkpoints and forks as they are typed.

use super::{output, post, prompts, text, texts, with_prompts};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use toft_stories::{
    abilities::is_kept_before_prompts,
    toft::{Start, Toft, binary},
};

/// Runs `toft` and gives what it printed.
fn typed(toft: &Toft, args: &[&str]) -> Result<String> {
    let mut command = std::process::Command::new(binary());
    command.arg("--data").arg(&toft.data).args(args).env_clear();
    let out = command.stdin(std::process::Stdio::null()).output()?;
    ensure!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    Ok(String::from_utf8(out.stdout)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_command_line_one_picks_a_message_by_its_words_and_forks_or_goes_back() -> Result<()>
{
    let toft = Toft::start(Start::default()).await?;
    if !is_kept_before_prompts(&toft).await? {
        return toft.down();
    }
    let (project, session, _) = with_prompts(&toft, &["one", "two", "three"]).await?;
    post(&toft, &project, "checkpoints", json!({"label": "by hand"})).await?;
    let listed = typed(&toft, &["checkpoints", &project])?;
    let rows: Vec<&str> = listed.lines().collect();
    ensure!(rows[0].ends_with("BEFORE THE MESSAGE") && rows[1].ends_with("by hand"), "{listed}");
    let entry = |words: &str| -> Result<String> {
        let row = rows.iter().find(|row| row.ends_with(words)).context("a row with the words")?;
        let entry = row.trim_end_matches(words).split_whitespace().last();
        Ok(entry.context("an id")?.to_owned())
    };
    let (two, three) = (entry("run `echo two > f`")?, entry("run `echo three > f`")?);
    let forked = typed(&toft, &["fork", &project, "--message", &two, "--json"])?;
    let fork = text(&serde_json::from_str::<Value>(&forked)?["projects"][0]["id"]);
    assert_eq!(output(&toft, &fork, "cat f").await?, "one\n");
    assert_eq!(texts(&prompts(&toft, &fork).await?), ["run `echo one > f`"]);
    typed(&toft, &["restore", &project, "--message", &three])?;
    assert_eq!(output(&toft, &project, "cat f").await?, "two\n");
    // One that was left is still in the list, and in its conversation.
    typed(&toft, &["restore", &project, "--message", &two, "--session", &session])?;
    assert_eq!(output(&toft, &project, "cat f").await?, "one\n");
    toft.down()
}

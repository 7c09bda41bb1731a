//! Files that should not be lost, and machines that start again whatever was done to their folders.

use anyhow::{Result, ensure};
use serde_json::json;
use toft_stories::toft::{Start, Toft};

#[tokio::test(flavor = "multi_thread")]
async fn one_request_never_removes_a_whole_project() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Dear").await?;
    toft.exec(&project, "echo kept > f").await?;
    let files = format!("/v1/projects/{project}/toft/files");
    for path in
        ["", "?path=", "?path=.", "?path=/", "?path=/home", "?path=/home/starter", "?path=/usr"]
    {
        let (status, answer) = toft.request("DELETE", &format!("{files}{path}"), None).await?;
        assert_eq!((status, answer["code"].as_str()), (400, Some("invalid_argument")), "{path}");
    }
    let body = json!({"from": "/", "to": "elsewhere"});
    let (status, answer) = toft.request("POST", &format!("{files}/move"), Some(body)).await?;
    ensure!((400..500).contains(&status), "{status} {answer}");
    assert_eq!(toft.exec(&project, "cat f").await?["stdout"], "kept\n");
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_starts_whatever_became_of_its_folders() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    for harm in [
        "rm -rf /home",
        "rm -rf /home /etc /var /tmp /root",
        "rm -rf /home; ln -s /etc/passwd /home",
        "rm -rf /home/project; touch /home/project",
        "rm -rf /home/starter; ln -s nowhere /home/starter",
        "chmod 000 /home /home/starter /home/project",
    ] {
        let project = toft.new_project("Harmed").await?;
        let of = format!("/v1/projects/{project}");
        let body = json!({"command": harm, "cwd": "/"});
        toft.call("POST", &format!("{of}/exec"), Some(body)).await?;
        toft.call("POST", &format!("{of}/stop"), Some(json!({}))).await?;
        let started = toft.call("POST", &format!("{of}/start"), Some(json!({}))).await?;
        assert_eq!(started["state"], "running", "{harm}");
        toft.call("GET", &format!("{of}/toft/terminals"), None).await?;
        let ran = toft.exec(&project, "pwd; echo works > f && cat f").await?;
        assert_eq!(ran["stdout"], "/home/project\nworks\n", "{harm}: {ran}");
        toft.call("DELETE", &of, None).await?;
    }
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_folder_that_was_removed_is_there_for_the_next_command() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Empty").await?;
    toft.exec(&project, "rm -rf /home/project").await?;
    let ran = toft.exec(&project, "pwd").await?;
    assert_eq!((&ran["stdout"], &ran["exitCode"]), (&json!("/home/project\n"), &json!(0)), "{ran}");
    toft.down()
}

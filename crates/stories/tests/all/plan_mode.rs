//! A person has the agent plan first: nothing of the project changes, whatever its programs try, and only
//! what the person approved is built, over the end of the agent's process.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use toft_lane::skip;
use toft_stories::{
    processes::kill9,
    provider::{Provider, Say, Script},
    session::{self, Follow},
    toft::{Start, Toft},
};

const PLAN: &str = "```json\n{\"summary\": \"A file.\", \"todos\": [{\"id\": \"a\", \"title\": \"Make it\"}]}\n```";

/// What a model might try in plan mode. Each says how it ended.
const TRIED: &str = r#"
python3 -c "open('x','w')" 2>/dev/null; echo "python=$?"
( echo x > x ) 2>/dev/null; echo "shell=$?"
chmod 777 kept 2>/dev/null; echo "mode=$?"
mount -o remount,rw / 2>/dev/null; echo "remount=$?"
nsenter -t 1 -m touch /home/project/x 2>/dev/null; echo "enter=$?"
for p in /proc/[0-9]*/root/home/project; do ( echo x > $p/x ) 2>/dev/null && echo "through=$p"; done
echo "token=[$TOFT_TOKEN$ANTHROPIC_API_KEY]"
echo "api=$(curl -s -o /dev/null -w '%{http_code}' -X PUT --data x 'localhost:8080/toft/files/content?path=x')"
echo z > /tmp/z && echo "tmp=$(cat /tmp/z)"
cat kept
"#;

fn say(text: &str) -> Say {
    Say { text: text.into(), tools: vec![] }
}

fn call(tool: &str, arguments: Value) -> Say {
    Say { text: "Now.".into(), tools: vec![(tool.into(), arguments)] }
}

/// Plans, builds what fails its check, and mends it.
fn script() -> Script {
    let makefile = "check:\n\ttest -e mended\n";
    Arc::new(move |user, turn| {
        // The last thing that it is told before it builds.
        let building = user.contains("[Plan mode is over");
        match turn {
            0 if user.contains("Mend what it") => call("bash", json!({"command": "touch mended"})),
            0 if building => call("write", json!({"path": "Makefile", "content": makefile})),
            1 if building => call("bash", json!({"command": "echo made > made"})),
            0 if user.contains("[Plan mode.") => call("bash", json!({"command": TRIED})),
            1 if user.contains("[Plan mode.") => {
                call("write", json!({"path": "y", "content": "y"}))
            }
            _ if user.contains("[Plan mode.") => say(PLAN),
            _ => say("It is done."),
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_changes_before_a_person_approves_and_then_it_is_built_and_checked() -> Result<()> {
    let provider = Provider::start(Duration::ZERO, script()).await?;
    let toft = Toft::start(Start { env: provider.env("sk-s"), ..Start::default() }).await?;
    let project = toft.new_project("Plan").await?;
    toft.exec(&project, "echo kept > kept; setsid sleep 3600 >/dev/null 2>&1 &").await?;
    let at = |route: &str| format!("/v1/projects/{project}/toft/{route}");
    let state = toft.call("GET", &at("state"), None).await?;
    let session = state["sessionId"].as_str().context("there is a conversation")?.to_owned();
    let (mode, plan) =
        (at(&format!("sessions/{session}/mode")), at(&format!("sessions/{session}/plan")));
    let now = toft.call("GET", &plan, None).await?;
    if now["readOnlyPrograms"] == false {
        skip("plan mode", "this machine runs no read-only programs");
        return toft.down();
    }
    toft.call("POST", &mode, Some(json!({"mode": "plan"}))).await?;
    let look = "ls -la --time-style=full-iso . /root; cat kept";
    let before = toft.exec(&project, look).await?;
    let mut follow = Follow::from(&toft, &project, 0).await?;
    session::prompt(&toft, &project, "plan it").await?;
    let told = follow.until_agent_end().await?;
    assert!(told.iter().any(|e| e.kind == "plan_ready" && e.data["summary"] == "A file."));
    let results: Vec<String> = session::transcript(&toft, &project)
        .await?
        .iter()
        .filter(|m| m["role"] == "toolResult")
        .map(|m| m["content"][0]["text"].as_str().unwrap_or_default().to_owned())
        .collect();
    let tried = &results[0];
    for ended in ["python", "shell", "mode", "remount", "enter"] {
        assert!(tried.contains(&format!("{ended}=")), "{ended}: {tried}");
        assert!(!tried.contains(&format!("{ended}=0\n")), "{ended}: {tried}");
    }
    for line in ["token=[]\n", "api=401\n", "tmp=z\n", "kept"] {
        assert!(tried.contains(line), "{line:?}: {tried}");
    }
    assert!(!tried.contains("through="), "{tried}");
    assert!(results[1].contains("plan mode"), "{}", results[1]);
    let after = toft.exec(&project, look).await?;
    assert_eq!(after["stdout"], before["stdout"]);
    // The agent's process ends: what waits for a person waits on.
    let bridge = toft.bridge(&project).await?;
    kill9(bridge);
    let now = toft.until(&plan, |now| now["planState"] == "proposed").await?;
    let plan_id = now["plan"]["planId"].clone();
    let approve = json!({"action": "approve", "planId": plan_id});
    toft.call("POST", &plan, Some(approve)).await?;
    let told = follow.until_agent_end().await?;
    let checks: Vec<&str> = told
        .iter()
        .filter(|e| e.kind == "auto_check")
        .filter_map(|e| e.data["status"].as_str())
        .collect();
    let kinds: Vec<&str> = told.iter().map(|e| &*e.kind).collect();
    assert_eq!(checks, ["started", "fix_attempt", "started", "passed"], "{kinds:?}");
    let made = toft.exec(&project, "cat made; ls mended x y 2>/dev/null").await?;
    assert_eq!(made["stdout"], "made\nmended\n");
    let state = toft.call("GET", &at("state"), None).await?;
    assert_eq!((&state["mode"], &state["planState"]), (&json!("build"), &json!("approved")));
    assert_eq!(provider.faults(), Vec::<String>::new());
    toft.down()
}

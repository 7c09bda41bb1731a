//! A machine that asks for what it may not have, as fast as it can.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use toft_stories::{
    abilities::connects_without_proxy,
    lane,
    toft::{Start, Toft},
};

/// Connections of many threads, each until it is over: to one port over and over, and to a thousand others.
/// Says how many were made.
const FLOOD: &str = r#"cat > /root/flood.py <<'E'
import socket, threading
made, lock = 0, threading.Lock()
def ask(port):
    global made
    try:
        with socket.create_connection(("93.184.216.34", port)) as s:
            s.sendall(b"x\n")
            while s.recv(64): pass
    except ConnectionResetError:
        pass
    with lock: made += 1
def work(first):
    for n in range(first, 3000, 30): ask(81)
    for n in range(first, 1000, 30): ask(1000 + n)
all = [threading.Thread(target=work, args=(n,)) for n in range(30)]
for one in all: one.start()
for one in all: one.join()
print(made)
E
python3 /root/flood.py"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_refusals_is_a_few_lines_that_count_them_all() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let project = toft.new_project("Loud").await?;
    if !connects_without_proxy(&toft, &project).await? {
        lane::skip(
            "way_out::flood::a_flood_of_refusals_is_a_few_lines_that_count_them_all",
            "the kernel of this host cannot hand connections to the gateway",
        );
        return toft.down();
    }
    let path = format!("/v1/projects/{project}/egress");
    toft.call("PUT", &path, Some(json!({"level": "none"}))).await?;
    let ran = toft.exec(&project, FLOOD).await?;
    let made: u64 = ran["stdout"].as_str().context("words")?.trim().parse().context("a number")?;
    assert_eq!(made, 4_000, "each was told: {ran}");
    // All of them are counted in the end, in few lines.
    let lines = |page: &Value| page["lines"].as_array().cloned().unwrap_or_default();
    let count = |lines: &[Value]| lines.iter().filter_map(|one| one["count"].as_u64()).sum::<u64>();
    let log = format!("{path}/log?limit=1000");
    let page = toft.until(&log, |page| count(&lines(page)) >= made).await?;
    let lines = lines(&page);
    assert_eq!(count(&lines), made);
    assert!(lines.len() < 250, "{} lines", lines.len());
    assert!(lines.iter().all(|one| one["verdict"] == "deny" && one["via"] == "direct"));
    let several = |one: &Value| one["rule"] == "several" && one["host"].is_null();
    assert!(lines.iter().any(several), "ports that are not told apart");
    let same = |one: &Value| one["port"] == 81 && one["count"].as_u64() > Some(100);
    assert!(lines.iter().any(same), "one port in one line");
    toft.down()
}

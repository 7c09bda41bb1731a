//! `toft mcp …`: the MCP servers of a project, and sign-ins at them.

use crate::{
    args::{At, mcp::Mcp},
    client::Client,
    output,
    verbs::secret,
};
use anyhow::Result;
use serde_json::{Value, json};

pub(crate) async fn run(at: &At, verb: &Mcp, as_json: bool) -> Result<()> {
    let client = Client::find(at)?;
    match verb {
        Mcp::List { project } => {
            let base = format!("/v1/projects/{}", client.project(project).await?);
            let mut all = client.get(&format!("{base}/toft/mcp")).await?;
            let signed_in = client.get(&format!("{base}/mcp")).await?;
            all["connections"] = signed_in["connections"].clone();
            output::answer(&all, as_json, show);
        }
        Mcp::Connect { project, server, client_id, client_secret, scope } => {
            let id = client.project(project).await?;
            let mut body = json!({});
            if let Some(client_id) = client_id {
                body["clientId"] = client_id.as_str().into();
            }
            if *client_secret {
                body["clientSecret"] = secret::value("the client's secret")?.into();
            }
            if !scope.is_empty() {
                body["scopes"] = json!(scope);
            }
            let path = format!("/v1/projects/{id}/mcp/{server}/connect");
            let started = client.post(&path, &body).await?;
            output::answer(&started, as_json, |started| {
                let text = |field: &str| output::text(&started[field]);
                output::line(&text("authorizationUrl"));
                output::remark(&format!(
                    "Open it in the browser in which you are signed in to Toft, within ten minutes. It is \
                     {}, and the token goes to {} alone.",
                    text("host"),
                    text("serverHost")
                ));
            });
        }
        Mcp::Disconnect { project, server } => {
            let id = client.project(project).await?;
            let path = format!("/v1/projects/{id}/mcp/{server}/disconnect");
            let done = client.post(&path, &json!({})).await?;
            output::answer(&done, as_json, |done| {
                output::line(if done["revoked"] == true {
                    "Disconnected; the token was taken back."
                } else {
                    "Disconnected and deleted here. Who gave the token was not told: take it back there if in doubt."
                });
            });
        }
        Mcp::Restart { project, server } => {
            let id = client.project(project).await?;
            let path = format!("/v1/projects/{id}/toft/mcp/{server}/restart");
            let done = client.post(&path, &json!({})).await?;
            output::answer(&done, as_json, |_| output::line("It starts."));
        }
    }
    Ok(())
}

fn show(all: &Value) {
    let list = |field: &str| all[field].as_array().map(Vec::as_slice).unwrap_or_default();
    if list("servers").is_empty() {
        output::line("No MCP servers. Declare some in .mcp.json of the project (docs/mcp.md).");
    } else {
        let heads = ["NAME", "STATE", "TOOLS", "FROM", "SIGNED IN"];
        let mut rows = vec![heads.map(str::to_owned).to_vec()];
        for server in list("servers") {
            let connection = list("connections").iter().find(|one| one["server"] == server["name"]);
            let signed_in = connection.map_or(String::new(), |one| match one["state"].as_str() {
                Some("connected") => output::text(&one["host"]),
                _ => "ended: connect it again".to_owned(),
            });
            let state = if server["disabled"] == true {
                "switched off".to_owned()
            } else {
                output::text(&server["state"]).replace('_', " ")
            };
            rows.push(vec![
                output::text(&server["name"]),
                state,
                server["toolCount"].to_string(),
                output::text(&server["source"]),
                signed_in,
            ]);
        }
        output::table(&rows);
    }
    for server in list("servers").iter().filter(|server| server["error"].is_string()) {
        let text = |field: &str| output::text(&server[field]);
        output::remark(&format!("{}: {}", text("name"), text("error")));
    }
    for fault in list("faults") {
        output::remark(&output::text(fault));
    }
}

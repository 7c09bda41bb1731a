//! Verbs on one project: new, start, stop, wake, sleep, open, rm; and `ps` over all of them.

use crate::{
    args::{At, BackendName},
    client::Client,
    output,
};
use anyhow::{Result, bail};
use http::Method;
use serde_json::{Value, json};
use std::io::{BufRead as _, IsTerminal as _};

/// A project to make.
#[derive(Clone, Copy)]
pub(crate) struct Made<'a> {
    pub(crate) name: &'a str,
    pub(crate) image: Option<&'a str>,
    pub(crate) backend: Option<BackendName>,
}

pub(crate) async fn new(
    at: &At,
    made: Made<'_>,
    egress: Option<Value>,
    as_json: bool,
) -> Result<()> {
    let client = Client::find(at)?;
    let mut body = json!({"name": made.name});
    if let Some(image) = made.image {
        body["image"] = image.into();
    }
    if let Some(backend) = made.backend {
        body["workspaceBackend"] = backend.word().into();
    }
    if let Some(egress) = egress {
        body["egress"] = egress;
    }
    let project = client.post("/v1/projects", &body).await?;
    if as_json {
        output::json(&project);
    } else {
        output::line(&format!(
            "{}  {}",
            output::text(&project["id"]),
            output::text(&project["url"])
        ));
    }
    Ok(())
}

pub(crate) async fn ps(at: &At, as_json: bool) -> Result<()> {
    let client = Client::find(at)?;
    let projects = client.projects().await?;
    if as_json {
        output::json(&Value::Array(projects));
        return Ok(());
    }
    if projects.is_empty() {
        output::line("No projects yet. `toft new NAME` makes one.");
        return Ok(());
    }
    let mut rows =
        vec![["ID", "NAME", "MACHINE", "BACKEND", "AGENT", "CHANGED"].map(str::to_owned).to_vec()];
    for project in &projects {
        rows.push(
            ["id", "name", "state", "backend", "agentStatus", "updatedAt"]
                .iter()
                .map(|field| output::text(&project[*field]))
                .collect(),
        );
    }
    output::table(&rows);
    Ok(())
}

/// `start`, `stop`, `wake` or `sleep`.
pub(crate) async fn machine(at: &At, project: &str, verb: &str, as_json: bool) -> Result<()> {
    let client = Client::find(at)?;
    let id = client.project(project).await?;
    let machine = client.post(&format!("/v1/projects/{id}/{verb}"), &json!({})).await?;
    if as_json {
        output::json(&machine);
    } else {
        output::line(&output::text(&machine["state"]));
    }
    Ok(())
}

pub(crate) async fn open(at: &At, project: &str, port: Option<u16>, as_json: bool) -> Result<()> {
    let client = Client::find(at)?;
    let id = client.project(project).await?;
    let link = client.post(&format!("/v1/projects/{id}/preview"), &json!({"port": port})).await?;
    if as_json {
        output::json(&link);
    } else {
        output::line(&output::text(&link["url"]));
    }
    Ok(())
}

pub(crate) async fn rm(at: &At, project: &str, yes: bool, as_json: bool) -> Result<()> {
    let client = Client::find(at)?;
    let id = client.project(project).await?;
    let known = client.get(&format!("/v1/projects/{id}")).await?;
    if !yes && !confirmed(&known)? {
        bail!("nothing was deleted");
    }
    let done = client.call(Method::DELETE, &format!("/v1/projects/{id}"), None).await?;
    if as_json {
        output::json(&done);
    } else {
        output::line(&format!("Deleted {id}."));
    }
    Ok(())
}

fn confirmed(project: &Value) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        bail!("deleting a project is final: add --yes to do it without being asked");
    }
    output::remark(&format!(
        "This deletes {} with its machine, files and conversations. Type its name to go on:",
        output::text(&project["name"])
    ));
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim() == project["name"].as_str().unwrap_or_default())
}

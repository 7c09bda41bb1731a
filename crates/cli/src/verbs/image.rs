//! `toft image add`, `ls`, `rm` and `default`.

use crate::{
    args::{At, ImageAdd, ImageVerb},
    client::Client,
    config, output,
    refused::Refused,
};
use anyhow::{Context as _, Result, bail};
use http::Method;
use serde_json::{Value, json};
use std::{fs, io::IsTerminal as _, path::Path, time::Duration};

/// Between two looks at an image that is being made.
const LOOK_PAUSE: Duration = Duration::from_millis(200);

pub(crate) async fn run(at: &At, verb: &ImageVerb, as_json: bool) -> Result<()> {
    let client = Client::find(at)?;
    match verb {
        ImageVerb::Add(order) => add(&client, order, as_json).await,
        ImageVerb::Ls => {
            let all = client.get("/v1/images").await?;
            if as_json {
                output::json(&all);
            } else {
                list(&all);
            }
            Ok(())
        }
        ImageVerb::Rm { image } => {
            let path = format!("/v1/images/{}", segment(image));
            let gone = client.call(Method::DELETE, &path, None).await?;
            let told = format!("Deleted {image}. Projects made of it stay.");
            show(&gone, as_json, &told);
            Ok(())
        }
        ImageVerb::Default { image } => {
            let path = format!("/v1/images/{}", segment(image));
            let body = json!({"default": true});
            let now = client.call(Method::PATCH, &path, Some(&body)).await?;
            show(
                &now,
                as_json,
                &format!("New projects are made of {}.", output::text(&now["name"])),
            );
            Ok(())
        }
    }
}

fn show(value: &Value, as_json: bool, text: &str) {
    if as_json { output::json(value) } else { output::line(text) }
}

/// A name in a path of a URL.
fn segment(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~:".contains(&b);
    text.bytes()
        .map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

async fn add(client: &Client, order: &ImageAdd, as_json: bool) -> Result<()> {
    let mut body = json!({});
    match (order.source.as_slice(), &order.from, &order.over) {
        ([one], None, None) => body["source"] = whole(one)?.into(),
        ([], Some(project), None) => {
            let id = client.project(project).await?;
            let checkpoint = if let Some(checkpoint) = &order.checkpoint {
                client.checkpoint(&id, checkpoint).await?
            } else {
                let path = format!("/v1/projects/{id}/checkpoints");
                let taken = client.post(&path, &json!({})).await?;
                output::text(&taken["id"])
            };
            body["fromCheckpoint"] = json!({"projectId": id, "checkpointId": checkpoint});
        }
        ([], None, Some(image)) => body["fromImage"] = image.as_str().into(),
        (many, _, _) => {
            let folders: Result<Vec<String>> = many.iter().map(|one| whole(one)).collect();
            body["folders"] = folders?.into();
        }
    }
    if let Some(name) = &order.name {
        body["name"] = name.as_str().into();
    }
    if let Some(file) = &order.setup {
        let script = fs::read_to_string(file)
            .with_context(|| format!("reading the set-up script {}", file.display()))?;
        body["setup"] = script.into();
    }
    if order.plain_http {
        body["plainHttp"] = true.into();
    }
    if let Some(user) = &order.user {
        let password = config::registry_password()
            .context("--user needs the password in the variable TOFT_REGISTRY_PASSWORD")?;
        body["user"] = user.as_str().into();
        body["password"] = password.into();
    }
    let begun = client.post("/v1/images", &body).await?;
    let image = if order.no_wait { begun } else { finished(client, begun).await? };
    show(
        &image,
        as_json,
        &format!(
            "{}  {}  {}",
            output::text(&image["key"]),
            output::text(&image["name"]),
            output::text(&image["state"])
        ),
    );
    Ok(())
}

/// A path of this host as the server must have it; what is none here is passed on as it is.
fn whole(source: &str) -> Result<String> {
    let path = match source.rsplit_once(':') {
        Some((folder, _)) if !Path::new(source).exists() => Path::new(folder),
        _ => Path::new(source),
    };
    if !path.exists() {
        return Ok(source.to_owned());
    }
    let rest = &source[path.as_os_str().len()..];
    let path = std::path::absolute(path)?;
    let path = path.to_str().context("the path has letters that are no UTF-8")?;
    Ok(format!("{path}{rest}"))
}

/// Waits until an image is ready.
async fn finished(client: &Client, mut image: Value) -> Result<Value> {
    let shows = std::io::stderr().is_terminal();
    let path = format!("/v1/images/{}", output::text(&image["key"]));
    let mut told = String::new();
    while image["state"] == "making" {
        let now = progress(&image);
        if shows && now != told {
            output::remark(&now);
            told = now;
        }
        tokio::time::sleep(LOOK_PAUSE).await;
        image = client.get(&path).await?;
    }
    if image["state"] == "failed" {
        bail!(Refused {
            code: "image_failed".to_owned(),
            message: format!(
                "the image {} could not be made: {}",
                output::text(&image["name"]),
                output::text(&image["reason"])
            ),
        });
    }
    Ok(image)
}

fn progress(image: &Value) -> String {
    let seen = &image["progress"];
    let stage = seen["stage"].as_str().filter(|s| !s.is_empty()).unwrap_or("beginning");
    match (seen["doneBytes"].as_u64(), seen["totalBytes"].as_u64()) {
        (Some(done), Some(total)) if total > 0 => {
            format!("{stage}: {} of {} MiB", done >> 20, total.div_ceil(1 << 20))
        }
        _ => stage.to_owned(),
    }
}

fn list(all: &Value) {
    let mut rows =
        vec![["KEY", "NAME", "KIND", "STATE", "SIZE", "SOURCE"].map(str::to_owned).to_vec()];
    for image in all["images"].as_array().into_iter().flatten() {
        let mut name = output::text(&image["name"]);
        if image["default"] == true {
            name.push_str(" (default)");
        }
        let size = image["bytes"].as_u64().filter(|bytes| *bytes > 0);
        let size =
            size.map_or_else(String::new, |bytes| format!("{} MiB", bytes.div_ceil(1 << 20)));
        let [key, kind, state, mut source] =
            ["key", "kind", "state", "source"].map(|f| output::text(&image[f]));
        if let Some(reason) = image["reason"].as_str() {
            // All of it is in the answer to `--json`.
            let line: String =
                reason.lines().next().unwrap_or_default().chars().take(100).collect();
            source = format!("{source} ({line})");
        }
        rows.push(vec![key, name, kind, state, size, source]);
    }
    output::table(&rows);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_here_gets_its_whole_path_and_a_name_of_a_registry_stays() {
        let dir = tempfile::tempdir().unwrap();
        let layout = dir.path().join("layout").display().to_string();
        std::fs::create_dir(&layout).unwrap();
        for (given, expected) in [
            ("alpine:3.20", "alpine:3.20"),
            ("127.0.0.1:5000/a/b:v1", "127.0.0.1:5000/a/b:v1"),
            ("/no/such.tar", "/no/such.tar"),
            (layout.as_str(), layout.as_str()),
            (&format!("{layout}:latest"), &format!("{layout}:latest")),
        ] {
            assert_eq!(whole(given).unwrap(), expected);
        }
        assert!(whole("src").unwrap().starts_with('/'), "this crate has a folder of that name");
    }

    #[test]
    fn names_are_safe_in_a_path() {
        assert_eq!(segment("alpine:3.20"), "alpine:3.20");
        assert_eq!(segment("a/b c"), "a%2Fb%20c");
    }
}

//! kill -9 of the server at every durable step of making and deleting an image: there is none of it, or
//! all, and nothing besides. Which steps there are is told by the code that does them; one that its
//! deed does not come by fails this.

use crate::{
    images::little,
    kills_life::soon,
    kills_steps::{FILES, held},
};
use anyhow::{Context as _, Result, bail, ensure};
use axum::{Router, http::StatusCode, http::Uri, http::header::CONTENT_TYPE};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, path::Path, process::Command, sync::Arc};
use toft_machine::steps;
use toft_stories::{
    abilities::rest_if_needed,
    lane,
    toft::{Start, Toft},
};

/// In the lane of every day: the middle of each deed.
const FEW: &[&str] = &[
    "pull.pulled",
    "unpack.finished",
    "keep.copied",
    "image.placed",
    "setup.started",
    "setup.kept",
    "unimage.taken",
];
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// A deed, and so what the image is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    /// Of a registry.
    Pull,
    /// Of a tarball.
    Unpack,
    /// Of a checkpoint.
    Keep,
    /// Of a tarball and a script.
    SetUp,
    Delete,
}

impl Deed {
    /// The deeds that come by a step.
    fn of(step: &str) -> Result<&'static [Self]> {
        Ok(match step.split('.').next().unwrap_or_default() {
            "pull" => &[Self::Pull],
            "unpack" => &[Self::Unpack, Self::Pull],
            "keep" => &[Self::Keep, Self::SetUp],
            "image" => &[Self::Unpack, Self::Keep, Self::SetUp],
            "setup" => &[Self::SetUp],
            "unimage" => &[Self::Delete],
            other => bail!("no deed is known that does {other}"),
        })
    }
}

fn sha256(bytes: &[u8], dir: &Path) -> Result<String> {
    let file = dir.join("part");
    fs::write(&file, bytes)?;
    let out = Command::new("sha256sum").arg(&file).output()?;
    let said = String::from_utf8(out.stdout)?;
    Ok(said.split(' ').next().context("a sum")?.to_owned())
}

/// A registry with one image of one layer; answers its name.
async fn registry(layer: Vec<u8>, dir: &Path) -> Result<String> {
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let config = json!({"os": "linux", "architecture": arch}).to_string().into_bytes();
    let mut parts = BTreeMap::new();
    let mut part = |kind: &'static str, bytes: Vec<u8>| -> Result<Value> {
        let digest = format!("sha256:{}", sha256(&bytes, dir)?);
        let told = json!({"mediaType": kind, "digest": digest, "size": bytes.len()});
        parts.insert(digest, (kind, bytes));
        Ok(told)
    };
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST,
        "config": part(CONFIG, config)?, "layers": [part(LAYER, layer)?]});
    let top = part(MANIFEST, manifest.to_string().into_bytes())?;
    let top = top["digest"].as_str().context("a digest")?.to_owned();
    let parts = Arc::new(parts);
    let answer = move |uri: Uri| {
        let name = uri.path().rsplit('/').next().unwrap_or_default();
        let name = if name == "v1" { top.as_str() } else { name };
        let found = parts.get(name).cloned();
        async move {
            match found {
                Some((kind, bytes)) => (StatusCode::OK, [(CONTENT_TYPE, kind)], bytes),
                None => (StatusCode::OK, [(CONTENT_TYPE, "application/json")], b"{}".to_vec()),
            }
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let name = format!("{}/little:v1", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    Ok(name)
}

struct Sources {
    tarball: String,
    registry: String,
}

impl Sources {
    /// What the image of a deed is ordered with, once it is prepared, and what machines of it say.
    async fn order(&self, toft: &Toft, deed: Deed) -> Result<(Value, &'static str)> {
        Ok(match deed {
            Deed::Pull => (json!({"source": self.registry}), "ID=little\n"),
            Deed::Unpack | Deed::Delete => (json!({"source": self.tarball}), "ID=little\n"),
            Deed::SetUp => {
                let setup = "echo set up > /etc/os-release; echo told > /home/starter/left";
                (json!({"source": self.tarball, "setup": setup}), "set up\n")
            }
            Deed::Keep => {
                let project = toft.new_project("Origin").await?;
                // A link into `/usr`, which is not everywhere the machine's own.
                let command =
                    "rm /etc/os-release; echo kept > /etc/os-release; sync -f /etc/os-release";
                toft.exec(&project, command).await?;
                rest_if_needed(toft, &project).await?;
                let taken = format!("/v1/projects/{project}/checkpoints");
                let taken = toft.call("POST", &taken, Some(json!({}))).await?;
                let from = json!({"projectId": project, "checkpointId": taken["id"]});
                (json!({"fromCheckpoint": from}), "kept\n")
            }
        })
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.retain(|name| !FILES.contains(&name.as_str()) && !name.starts_with("spare"));
    names.sort();
    names
}

/// What lies about and belongs to no image and no project that is told of.
async fn astray(toft: &Toft) -> Result<Vec<String>> {
    let images = toft.call("GET", "/v1/images", None).await?;
    let images = images["images"].as_array().context("a list of images")?;
    let ready = images.iter().filter(|i| i["state"] == "ready" && i["kind"] != "host");
    let ready: Vec<&str> = ready.filter_map(|i| i["key"].as_str()).collect();
    let projects = toft.call("GET", "/v1/projects", None).await?;
    let projects = projects.as_array().context("a list of projects")?;
    let projects: Vec<&str> = projects.iter().filter_map(|p| p["id"].as_str()).collect();
    let mut found = Vec::new();
    for (place, known) in [
        ("store/pool/img", &ready),
        ("store/pool/p", &projects),
        ("store/pool/ck", &projects),
        ("store/pool/tmp", &Vec::new()),
        ("run/m", &projects),
        ("logs", &projects),
    ] {
        let all = names(&toft.data.join(place));
        let other = all.iter().filter(|name| !known.contains(&name.as_str()));
        found.extend(other.map(|name| format!("{place}/{name}")));
    }
    for key in ready {
        if !toft.data.join("store/pool/img").join(key).exists() {
            found.push(format!("nothing of the image {key}"));
        }
    }
    if names(&toft.data.join("store/slots")).len() > projects.len() {
        found.push("an id range of nobody".to_owned());
    }
    Ok(found)
}

async fn nothing_astray(toft: &Toft) -> Result<()> {
    let until = std::time::Instant::now() + toft_stories::toft::STEP_TIMEOUT;
    loop {
        let found = astray(toft).await?;
        if found.is_empty() {
            return Ok(());
        }
        ensure!(std::time::Instant::now() < until, "astray: {found:?}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

async fn made(toft: &Toft, order: &Value) -> Result<String> {
    let begun = toft.call("POST", "/v1/images", Some(order.clone())).await?;
    let key = begun["key"].as_str().context("a key")?.to_owned();
    let image = toft.until(&format!("/v1/images/{key}"), |i| i["state"] != "making").await?;
    ensure!(image["state"] == "ready", "it was not made again: {image}");
    Ok(key)
}

async fn killed_at(toft: &mut Toft, sources: &Sources, step: &str, deed: Deed) -> Result<()> {
    let before = held(toft);
    let (order, said) = sources.order(toft, deed).await?;
    let (method, path, body) = if deed == Deed::Delete {
        let key = made(toft, &order).await?;
        ("DELETE", format!("/v1/images/{key}"), None)
    } else {
        ("POST", "/v1/images".to_owned(), Some(order.clone()))
    };
    toft.kill_server();
    toft.up_with("TOFT_KILL_AT", &format!("{step}:1")).await?;
    let mut request = toft
        .http()
        .request(method.parse()?, format!("{}{path}", toft.base))
        .bearer_auth(&toft.token);
    if let Some(body) = &body {
        request = request.json(body);
    }
    let asked = tokio::spawn(request.send());
    if let Err(error) = toft.await_end() {
        let answer = asked.await??.text().await?;
        return Err(error.context(format!("the deed does not come by this step: {answer}")));
    }
    asked.abort();
    toft.up().await?;

    nothing_astray(toft).await?;
    let all = toft.call("GET", "/v1/images", None).await?;
    let all = all["images"].as_array().context("a list of images")?;
    let found: Vec<&Value> = all.iter().filter(|image| image["kind"] != "host").collect();
    match (deed, found.as_slice()) {
        (Deed::Delete, []) => {}
        (Deed::Delete, _) => bail!("the row went before this step: {found:?}"),
        (_, [image]) if image["state"] == "ready" => ensure!(step == "image.recorded", "{image}"),
        (_, [image]) => {
            let reason = image["reason"].as_str().unwrap_or_default();
            ensure!(image["state"] == "failed" && reason.contains("server ended"), "{image}");
        }
        (_, found) => bail!("not one image: {found:?}"),
    }

    // The same again, and all of it.
    let key = made(toft, &order).await?;
    let project = toft.call("POST", "/v1/projects", Some(json!({"image": key}))).await?;
    let project = project["id"].as_str().context("a project has an id")?.to_owned();
    let told = toft.exec(&project, "cat /etc/os-release; ls -A /home/starter | grep left").await?;
    ensure!(told["stdout"] == said, "{told}");
    toft.call("DELETE", &format!("/v1/images/{key}"), None).await?;
    for one in toft.call("GET", "/v1/projects", None).await?.as_array().into_iter().flatten() {
        let id = one["id"].as_str().context("an id")?;
        toft.call("DELETE", &format!("/v1/projects/{id}"), None).await?;
    }
    nothing_astray(toft).await?;
    soon("what the host holds is as before", || {
        let now = held(toft);
        if now == before { Vec::new() } else { vec![format!("{now:#?}\n{before:#?}")] }
    })
    .await
}

async fn killed_at_each(start: Start) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let Some(tarball) = little(dir.path())? else { return Ok(()) };
    let registry = registry(fs::read(&tarball)?, dir.path()).await?;
    let sources = Sources { tarball: tarball.display().to_string(), registry };
    let mut toft = Toft::start(start).await?;
    // The template, which the first deed of a data folder waits for.
    let first = toft.new_project("First").await?;
    toft.call("DELETE", &format!("/v1/projects/{first}"), None).await?;
    let listed = steps::OF_IMAGES;
    ensure!(FEW.iter().all(|step| listed.contains(step)), "the few are among all");
    for step in if lane::deep() { listed } else { FEW } {
        let deeds = Deed::of(step)?;
        for deed in if lane::deep() { deeds } else { &deeds[..1] } {
            killed_at(&mut toft, &sources, step, *deed)
                .await
                .with_context(|| format!("{deed:?}, killed at {step}"))?;
        }
    }
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_at_any_step_of_an_image_leaves_all_of_it_or_nothing() -> Result<()> {
    killed_at_each(Start::default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_of_images_where_disks_are_plain_folders() -> Result<()> {
    if !lane::deep() {
        lane::skip("images in plain folders", "it takes long: only in the deep lane");
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("data");
    fs::create_dir_all(data.join("store"))?;
    fs::write(data.join("store/kind"), "plain")?;
    killed_at_each(Start { data: Some(data), ..Start::default() }).await
}

//! The documents of OCI images (image-spec 1.1, and Docker's of the same shape) as far as machines
//! need them, and the folder layout that holds them. Not where they come from otherwise.

use super::{
    compressed,
    digest::{self, Checked},
    progress::Progress,
    root::{Below, Root},
    unpack::{Room, unpack},
    words::ImageError,
};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Largest manifest, index or configuration; registries themselves take 4 MiB.
pub(crate) const DOCUMENT_BYTES_MAX: u64 = 4 << 20;
/// Indexes that name indexes.
const INDEXES_MAX: usize = 4;
/// Layers of one image: container engines make no more than 127.
const LAYERS_MAX: usize = 256;
/// The annotation that names an image in a layout.
const NAME: &str = "org.opencontainers.image.ref.name";
/// Kinds of layers that are archives: the rest says how they are compressed, which their first
/// bytes say, too.
const LAYER_KINDS: &[&str] = &[
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
];

/// Names something by its content.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    #[serde(default)]
    pub(crate) media_type: String,
    pub(crate) digest: String,
    pub(crate) size: u64,
    #[serde(default)]
    platform: Option<Platform>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Deserialize)]
struct Platform {
    architecture: String,
    os: String,
}

/// What a manifest says.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
}

#[derive(Debug, Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Debug, Deserialize)]
struct ConfigFile {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
    #[serde(default)]
    config: Option<Config>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    #[serde(default)]
    env: Option<Vec<String>>,
}

/// What a document at the top is.
#[derive(Debug)]
pub(crate) enum Top {
    /// This image.
    Manifest(Manifest),
    /// One of several; this is ours.
    Choose(Descriptor),
}

impl Descriptor {
    /// The digest's hexadecimal part.
    pub(crate) fn hex(&self) -> Result<&str, ImageError> {
        let hex = self.digest.strip_prefix("sha256:").filter(|hex| {
            hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        });
        hex.ok_or_else(|| {
            let shown: String = self.digest.chars().take(100).collect();
            ImageError::refused(format!(
                "the image names a part by a digest that is no sha256: {shown:?}"
            ))
        })
    }
}

/// This host's name for its processor, as images have it (Go's `GOARCH`).
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Reads a manifest, or chooses from an index. `name`: only what has that name there.
pub(crate) fn top(bytes: &[u8], name: Option<&str>) -> Result<Top, ImageError> {
    let unreadable = |e: serde_json::Error| {
        ImageError::refused(format!("the image's manifest cannot be read: {e}"))
    };
    let shape: BTreeMap<String, serde_json::Value> =
        serde_json::from_slice(bytes).map_err(unreadable)?;
    if shape.contains_key("manifests") {
        let index: Index = serde_json::from_slice(bytes).map_err(unreadable)?;
        return choose(index, name).map(Top::Choose);
    }
    let manifest: Manifest = serde_json::from_slice(bytes).map_err(unreadable)?;
    check_layers(manifest.layers.len())?;
    for layer in &manifest.layers {
        layer.hex()?;
        if !LAYER_KINDS.iter().any(|kind| layer.media_type.starts_with(kind)) {
            return Err(ImageError::refused(format!(
                "it is no container image: a layer is of the kind {:?}",
                layer.media_type
            )));
        }
    }
    manifest.config.hex()?;
    Ok(Top::Manifest(manifest))
}

/// Refuses more layers than images have, and none.
pub(crate) fn check_layers(count: usize) -> Result<(), ImageError> {
    if (1..=LAYERS_MAX).contains(&count) {
        return Ok(());
    }
    Err(ImageError::refused(format!(
        "the image has {count} layers; 1 to {LAYERS_MAX} are possible"
    )))
}

fn choose(index: Index, name: Option<&str>) -> Result<Descriptor, ImageError> {
    let named = |d: &Descriptor| d.annotations.get(NAME).cloned();
    let ours = |d: &Descriptor| {
        d.platform.as_ref().is_none_or(|p| p.os == "linux" && p.architecture == architecture())
    };
    let known: Vec<String> = index.manifests.iter().filter_map(named).collect();
    let platforms: Vec<String> = index
        .manifests
        .iter()
        .filter_map(|d| d.platform.as_ref().map(|p| format!("{} on {}", p.os, p.architecture)))
        .collect();
    let platforms = platforms.join(", ");
    let mut fitting: Vec<Descriptor> = index
        .manifests
        .into_iter()
        .filter(|d| ours(d) && name.is_none_or(|name| named(d).as_deref() == Some(name)))
        .collect();
    match (fitting.len(), name) {
        (0, Some(name)) if !known.iter().any(|k| k == name) => Err(ImageError::refused(format!(
            "there is no image {name:?} in it; it has: {}",
            known.join(", ")
        ))),
        (0, _) => Err(ImageError::refused(format!(
            "it has no image for linux on {}, only for: {}",
            architecture(),
            if platforms.is_empty() { "nothing" } else { platforms.as_str() }
        ))),
        (1, _) => Ok(fitting.remove(0)),
        // Variants of one processor: the first is the plain one.
        _ if known.len() < 2 || name.is_some() => Ok(fitting.remove(0)),
        _ => Err(ImageError::refused(format!(
            "it has several images: choose one as FOLDER:NAME, of {}",
            known.join(", ")
        ))),
    }
}

/// Variables that an image's configuration sets. Refused when it is made for another processor.
pub(crate) fn environment(config: &[u8]) -> Result<Vec<(String, String)>, ImageError> {
    let file: ConfigFile = serde_json::from_slice(config).map_err(|e| {
        ImageError::refused(format!("the image's configuration cannot be read: {e}"))
    })?;
    let fits = (file.os.is_empty() || file.os == "linux")
        && (file.architecture.is_empty() || file.architecture == architecture());
    if !fits {
        return Err(ImageError::refused(format!(
            "the image is made for {} on {}, and this host is linux on {}",
            file.os,
            file.architecture,
            architecture()
        )));
    }
    let env = file.config.and_then(|c| c.env).unwrap_or_default();
    Ok(env
        .iter()
        .filter_map(|pair| pair.split_once('='))
        .filter(|(name, value)| is_variable(name) && !value.contains('\0'))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect())
}

fn is_variable(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    !name.is_empty() && name.bytes().all(plain) && !name.as_bytes()[0].is_ascii_digit()
}

/// Where a part lies in a layout that is being written.
pub(crate) fn blob(layout: &Path, hex: &str) -> PathBuf {
    layout.join("blobs/sha256").join(hex)
}

/// The same in one that is read.
fn part(hex: &str) -> Result<Below, ImageError> {
    let path = Below::fixed("blobs/sha256").with(hex.as_bytes());
    path.map_err(|e| ImageError::refused(e.to_string()))
}

fn missing(what: &Descriptor) -> ImageError {
    ImageError::refused(format!(
        "its part {} is missing or has another length: the layout is not complete, copy it again",
        what.digest
    ))
}

/// A small part of a layout, checked.
fn document(layout: &Root, what: &Descriptor) -> Result<Vec<u8>, ImageError> {
    let hex = what.hex()?;
    let bytes = layout.read(&part(hex)?, DOCUMENT_BYTES_MAX).ok_or_else(|| missing(what))?;
    if digest::of(&bytes) != hex {
        return Err(ImageError::refused(format!(
            "{} is not what its name says: the layout is damaged, copy it again",
            what.digest
        )));
    }
    Ok(bytes)
}

/// Refuses a layout that lacks a part of this image. What is in the parts is looked at when they are
/// unpacked.
pub(crate) fn check_parts(layout: &Root, manifest: &Manifest) -> Result<(), ImageError> {
    for what in manifest.layers.iter().chain([&manifest.config]) {
        let file = layout.open_file(&part(what.hex()?)?).map_err(|_| missing(what))?;
        if file.metadata().is_ok_and(|meta| meta.len() != what.size) {
            return Err(missing(what));
        }
    }
    Ok(())
}

/// The manifest of a layout folder, and its digest.
pub(crate) fn open_layout(
    layout: &Root,
    name: Option<&str>,
) -> Result<(Manifest, String), ImageError> {
    let index = layout.read(&Below::fixed("index.json"), DOCUMENT_BYTES_MAX);
    let mut bytes = index.ok_or_else(|| {
        ImageError::refused("its index.json is missing or too large: it is no complete OCI layout")
    })?;
    let mut name = name;
    let mut digest = None;
    for _ in 0..=INDEXES_MAX {
        match top(&bytes, name)? {
            Top::Manifest(manifest) => {
                let digest = digest.unwrap_or_else(|| digest::of(&bytes));
                return Ok((manifest, digest));
            }
            Top::Choose(next) => {
                bytes = document(layout, &next)?;
                digest = Some(next.hex()?.to_owned());
                name = None;
            }
        }
    }
    Err(ImageError::refused("its indexes name each other without an end"))
}

/// Unpacks all layers of a layout, each checked. Answers the environment that the image sets.
pub(crate) fn unpack_layers(
    layout: &Root,
    manifest: &Manifest,
    root: &Root,
    room: &mut Room,
    progress: &Progress,
) -> Result<Vec<(String, String)>, ImageError> {
    let env = environment(&document(layout, &manifest.config)?)?;
    progress.begin("unpacking", manifest.layers.iter().map(|l| l.size).sum());
    for layer in &manifest.layers {
        let hex = layer.hex()?;
        let path = part(hex)?;
        let done = layout.open_file(&path).and_then(|file| {
            let mut checked = Checked::new(file, layer.size, progress);
            let from = compressed::open(&mut checked)?;
            let _ = unpack(root, from, true, room, progress)?;
            checked.finish(hex)
        });
        done.map_err(|e| ImageError::unpacking(&layer.digest, progress, &e))?;
    }
    Ok(env)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn descriptor(n: u8) -> serde_json::Value {
        json!({"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
               "digest": format!("sha256:{}", digest::of(&[n])), "size": 1})
    }

    fn chosen(manifests: &[serde_json::Value], name: Option<&str>) -> Result<String, String> {
        let index = serde_json::to_vec(&json!({"manifests": manifests})).unwrap();
        match top(&index, name) {
            Ok(Top::Choose(d)) => Ok(d.digest),
            Ok(other) => panic!("{other:?}"),
            Err(e) => Err(e.to_string()),
        }
    }

    #[test]
    fn of_several_images_the_one_for_this_host_is_taken() {
        let of = |n: u8, os: &str, arch: &str| {
            let mut d = descriptor(n);
            d["platform"] = json!({"os": os, "architecture": arch});
            d
        };
        let all = [
            of(1, "windows", architecture()),
            of(2, "linux", "s390x"),
            of(3, "linux", architecture()),
            of(4, "unknown", "unknown"),
        ];
        assert_eq!(chosen(&all, None).unwrap(), descriptor(3)["digest"]);
        assert!(chosen(&all[..2], None).unwrap_err().contains("no image for linux"));
        let named = |n: u8, name: &str| {
            let mut d = descriptor(n);
            d["annotations"] = json!({NAME: name});
            d
        };
        let two = [named(1, "a"), named(2, "b")];
        assert_eq!(chosen(&two, Some("b")).unwrap(), descriptor(2)["digest"]);
        assert!(chosen(&two, None).unwrap_err().contains("a, b"));
        assert!(chosen(&two, Some("c")).unwrap_err().contains("no image \"c\""));
    }

    #[test]
    fn what_is_no_container_image_is_refused() {
        let manifest = |layer: serde_json::Value| {
            let text = json!({"config": descriptor(0), "layers": [layer]});
            top(&serde_json::to_vec(&text).unwrap(), None).map(|_| ()).map_err(|e| e.to_string())
        };
        assert_eq!(manifest(descriptor(1)), Ok(()));
        for (field, value) in [
            ("mediaType", "application/wasm"),
            ("digest", "sha512:00"),
            ("digest", "sha256:../../../etc/passwd"),
        ] {
            let mut layer = descriptor(1);
            layer[field] = value.into();
            manifest(layer).unwrap_err();
        }
        assert!(top(b"{}", None).is_err() && top(b"nonsense", None).is_err());
    }

    #[test]
    fn variables_are_taken_over_and_another_processor_is_refused() {
        let config = json!({"os": "linux", "architecture": architecture(),
            "config": {"Env": ["PATH=/x", "A=b=c", "bad name=1", "none"]}});
        let env = environment(&serde_json::to_vec(&config).unwrap()).unwrap();
        assert_eq!(env, [("PATH".into(), "/x".into()), ("A".into(), "b=c".into())]);
        let other = json!({"os": "linux", "architecture": "s390x"});
        assert!(environment(&serde_json::to_vec(&other).unwrap()).is_err());
    }
}

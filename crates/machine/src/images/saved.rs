//! Images as `docker save` and `podman save` write them: the parts of an image in one archive, named by
//! `manifest.json` (Docker's image specification 1.2), or an OCI layout without it. The archive was
//! unpacked into a root of its own before, and is trusted no more than any other.

use super::{
    compressed,
    oci::{self, DOCUMENT_BYTES_MAX},
    progress::Progress,
    root::{Below, Root},
    unpack::{Room, unpack},
    words::ImageError,
};
use serde::Deserialize;
use std::io;

const MANIFEST: &str = "manifest.json";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    layers: Vec<String>,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
}

/// Whether a root that was unpacked is an image in parts.
pub(crate) fn is_saved(root: &Root) -> bool {
    [MANIFEST, "oci-layout"].iter().any(|name| root.inode(&Below::fixed(name)).is_some())
        && !["bin", "usr"].iter().any(|name| root.inode(&Below::fixed(name)).is_some())
}

/// Unpacks its layers. Answers the environment that the image sets.
pub(crate) fn unpack_saved(
    saved: &Root,
    root: &Root,
    room: &mut Room,
    progress: &Progress,
) -> Result<Vec<(String, String)>, ImageError> {
    let Some(manifest) = saved.read(&Below::fixed(MANIFEST), DOCUMENT_BYTES_MAX) else {
        let (manifest, _) = oci::open_layout(saved, None)?;
        return oci::unpack_layers(saved, &manifest, root, room, progress);
    };
    let all: Vec<Saved> = serde_json::from_slice(&manifest)
        .map_err(|e| ImageError::refused(format!("its {MANIFEST} cannot be read: {e}")))?;
    let [image] = all.as_slice() else {
        let names: Vec<&str> = all
            .iter()
            .filter_map(|image| Some(image.repo_tags.as_ref()?.first()?.as_str()))
            .collect();
        return Err(ImageError::refused(format!(
            "it holds {} images ({}), and one is wanted: save that one alone",
            all.len(),
            names.join(", ")
        )));
    };
    oci::check_layers(image.layers.len())?;
    let config = saved.read(&part(&image.config)?, DOCUMENT_BYTES_MAX);
    let env = oci::environment(&config.ok_or_else(|| missing(&image.config))?)?;
    let files = image
        .layers
        .iter()
        .map(|name| saved.open_file(&part(name)?).map_err(|_| missing(name)))
        .collect::<Result<Vec<_>, _>>()?;
    let sizes = files.iter().map(|file| file.metadata().map_or(0, |meta| meta.len()));
    progress.begin("unpacking", sizes.sum());
    for (name, file) in image.layers.iter().zip(files) {
        let length = file.metadata().map_or(0, |meta| meta.len());
        compressed::open(file)
            .and_then(|from| unpack(root, from, true, room, progress).map(|_| ()))
            .map_err(|e| ImageError::unpacking(&format!("its layer {name:?}"), progress, &e))?;
        progress.add(length);
    }
    Ok(env)
}

fn part(name: &str) -> Result<Below, ImageError> {
    Below::parse(name.as_bytes()).map_err(|e: io::Error| ImageError::refused(e.to_string()))
}

fn missing(name: &str) -> ImageError {
    ImageError::refused(format!(
        "its part {name:?} is missing: the archive is not complete, save it again"
    ))
}

//! Fetches an image from a registry into a layout folder, by the crate `oci-client`. What it brings
//! is checked like any other layout. TLS unless the registry is on this host or somebody said so.

use super::{
    digest,
    oci::{self, DOCUMENT_BYTES_MAX, Descriptor, Manifest, Top},
    progress::Progress,
    words::{ImageError, RegistrySource},
};
use oci_client::{
    Client, Reference,
    client::{ClientConfig, ClientProtocol},
    errors::OciDistributionError,
    manifest::OciDescriptor,
    secrets::RegistryAuth,
};
use std::{path::Path, sync::Arc, time::Duration};
use tokio::io::AsyncWriteExt as _;

/// A registry that does not even take a connection in this time is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Between two pieces of an answer.
const READ_TIMEOUT: Duration = Duration::from_mins(1);
/// A manifest: small, but registries may have to fetch it themselves.
const MANIFEST_TIMEOUT: Duration = Duration::from_mins(2);
/// Kinds of manifests that are understood.
const MANIFEST_KINDS: &[&str] = &[
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];
/// Indexes that name indexes.
const INDEXES_MAX: usize = 4;

struct Registry {
    client: Client,
    reference: Reference,
    auth: RegistryAuth,
}

impl Registry {
    fn of(from: &RegistrySource) -> Result<Self, ImageError> {
        let reference: Reference = from.reference.parse().map_err(|e| {
            ImageError::refused(format!(
                "{:?} is neither a path on the server (from `/` on) nor the name of an image in a \
                 registry: {e}",
                from.reference
            ))
        })?;
        let host = reference.resolve_registry();
        let plain = from.plain_http || is_loopback(host);
        // The first one stays; whoever came before has installed the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = ClientConfig {
            protocol: if plain { ClientProtocol::Http } else { ClientProtocol::Https },
            connect_timeout: Some(CONNECT_TIMEOUT),
            read_timeout: Some(READ_TIMEOUT),
            user_agent: "toft",
            ..ClientConfig::default()
        };
        let client = Client::try_from(config)
            .map_err(|e| ImageError::Registry(format!("no registry can be asked: {e}")))?;
        let auth = match &from.login {
            Some((name, password)) => RegistryAuth::Basic(name.clone(), password.clone()),
            None => RegistryAuth::Anonymous,
        };
        Ok(Self { client, reference, auth })
    }

    fn failed(&self, e: &OciDistributionError) -> ImageError {
        let at = self.reference.resolve_registry();
        let why = match e {
            OciDistributionError::UnauthorizedError { .. }
            | OciDistributionError::AuthenticationFailure(_) => {
                "it wants a login, or does not have this image: check the name, or give a user"
                    .to_owned()
            }
            OciDistributionError::ImageManifestNotFoundError(_) => {
                "it has no such image".to_owned()
            }
            OciDistributionError::RegistryError { envelope, .. } => {
                let said: Vec<&str> =
                    envelope.errors.iter().map(|e| e.message.as_str()).take(3).collect();
                format!("it said: {}", said.join("; "))
            }
            other => chain(other),
        };
        ImageError::Registry(format!("{} from {at}: {why}", self.reference))
    }

    async fn document(&self, reference: &Reference) -> Result<(Vec<u8>, String), ImageError> {
        let asked = self.client.pull_manifest_raw(reference, &self.auth, MANIFEST_KINDS);
        let answer = tokio::time::timeout(MANIFEST_TIMEOUT, asked).await.map_err(|_| {
            ImageError::Registry(format!("{reference}: the registry did not answer in time"))
        })?;
        let (bytes, _) = answer.map_err(|e| self.failed(&e))?;
        let digest = digest::of(&bytes);
        let asked = reference.digest().and_then(|d| d.strip_prefix("sha256:"));
        let fits = asked.is_none_or(|asked| asked == digest);
        if !fits || bytes.len() as u64 > DOCUMENT_BYTES_MAX {
            return Err(ImageError::Registry(format!(
                "{reference}: the registry sent another manifest than was asked for"
            )));
        }
        Ok((bytes.to_vec(), digest))
    }
}

/// The manifest of the image for this host, and its digest.
pub(crate) async fn manifest(from: &RegistrySource) -> Result<(Manifest, String), ImageError> {
    let registry = Registry::of(from)?;
    let mut reference = registry.reference.clone();
    for _ in 0..=INDEXES_MAX {
        let (bytes, digest) = registry.document(&reference).await?;
        match oci::top(&bytes, None)? {
            Top::Manifest(manifest) => return Ok((manifest, digest)),
            Top::Choose(next) => {
                next.hex()?;
                reference = reference.clone_with_digest(next.digest);
            }
        }
    }
    Err(ImageError::refused("its indexes name each other without an end"))
}

/// Fetches the configuration and all layers into `layout`, which exists.
pub(crate) async fn pull(
    from: &RegistrySource,
    manifest: &Manifest,
    layout: &Path,
    bytes_max: u64,
    progress: Arc<Progress>,
) -> Result<(), ImageError> {
    let registry = Registry::of(from)?;
    let parts: Vec<&Descriptor> = manifest.layers.iter().chain([&manifest.config]).collect();
    let total = parts.iter().try_fold(0u64, |sum, part| sum.checked_add(part.size));
    let Some(total) = total.filter(|total| *total <= bytes_max) else {
        return Err(ImageError::NoRoom(
            "the image is larger than the room in the data folder's storage: free some space, or \
             take a smaller image"
                .to_owned(),
        ));
    };
    progress.begin("pulling", total);
    // A manifest is asked for with it, parts are not.
    let at = registry.reference.resolve_registry();
    registry.client.store_auth_if_needed(at, &registry.auth).await;
    let blobs = layout.join("blobs/sha256");
    tokio::fs::create_dir_all(&blobs).await.map_err(ImageError::step("pulling the image"))?;
    for part in parts {
        let path = oci::blob(layout, part.hex()?);
        if !path.exists() {
            fetch(&registry, part, &path, &progress).await?;
        }
    }
    Ok(())
}

/// Its digest is checked by whoever reads it; here only that it is not longer than it should be.
async fn fetch(
    registry: &Registry,
    part: &Descriptor,
    path: &Path,
    progress: &Progress,
) -> Result<(), ImageError> {
    use futures_util::StreamExt as _;
    let writing = ImageError::step("writing what the registry sends");
    let asked = OciDescriptor {
        digest: part.digest.clone(),
        media_type: part.media_type.clone(),
        size: i64::try_from(part.size).unwrap_or(i64::MAX),
        ..OciDescriptor::default()
    };
    let mut stream = registry
        .client
        .pull_blob_stream(&registry.reference, &asked)
        .await
        .map_err(|e| registry.failed(&e))?
        .stream;
    let written = async {
        let mut file = tokio::fs::File::create(path).await?;
        let mut left = part.size;
        while let Some(piece) = stream.next().await {
            progress.check()?;
            let piece = piece?;
            left = left.checked_sub(piece.len() as u64).ok_or_else(|| {
                std::io::Error::other("the registry sends more than the manifest says")
            })?;
            file.write_all(&piece).await?;
            progress.add(piece.len() as u64);
        }
        file.flush().await
    };
    match written.await {
        Ok(()) => Ok(()),
        Err(_) if progress.is_cancelled() => Err(ImageError::Cancelled),
        Err(e) if e.kind() == std::io::ErrorKind::StorageFull => Err(writing(e)),
        Err(e) => {
            let why = format!("{} from {}: {e}", part.digest, registry.reference);
            Err(ImageError::Registry(why))
        }
    }
}

/// Whether a registry lies on this host: it needs no TLS.
fn is_loopback(host: &str) -> bool {
    let name = host
        .strip_prefix("[::1]")
        .map_or_else(|| host.split(':').next().unwrap_or_default(), |_| "::1");
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_registries_on_this_host_go_without_tls() {
        for (host, expected) in [
            ("127.0.0.1:5000", true),
            ("localhost", true),
            ("[::1]:5000", true),
            ("127.0.0.1.example.org", false),
            ("localhost.example.org:80", false),
            ("registry.example.org", false),
        ] {
            assert_eq!(is_loopback(host), expected, "{host}");
        }
    }
}

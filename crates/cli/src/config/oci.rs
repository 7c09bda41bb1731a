//! What the backend `oci` is told: where its engine listens, and what machines are made of.

use crate::args::{BackendName, Oci};
use anyhow::{Context as _, Result, bail};
use std::{
    env,
    path::{Path, PathBuf},
};
use toft_machine::oci::OciImage;

/// Where engines of the whole host listen: Podman, then Docker.
const SOCKETS: &[&str] = &["/run/podman/podman.sock", "/run/docker.sock", "/var/run/docker.sock"];

/// All that the backend needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OciParts {
    pub(crate) sockets: Vec<PathBuf>,
    pub(crate) image: OciImage,
}

/// `None` with another backend.
pub(super) fn parts(backend: BackendName, given: Oci) -> Result<Option<OciParts>> {
    match backend {
        BackendName::Native | BackendName::Host | BackendName::E2b => {
            // From the environment they may be meant for another start; as flags they are not.
            return Ok(None);
        }
        BackendName::Oci => {}
    }
    let Some(image) = given.image else {
        bail!(
            "--backend oci needs --oci-image: an image that the engine has (`podman images` or \
             `docker images` lists them), or the path of a tarball with a whole root file system"
        );
    };
    let sockets = match given.socket {
        Some(socket) => vec![std::path::absolute(without_scheme(&socket)?)?],
        None => match env::var("DOCKER_HOST").ok().filter(|v| !v.is_empty()) {
            Some(host) => vec![without_scheme(Path::new(&host)).context("in DOCKER_HOST")?],
            None => usual(env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from)),
        },
    };
    Ok(Some(OciParts { sockets, image: named(&image)? }))
}

/// `unix:///run/podman/podman.sock` or a path. An engine behind a network cannot see the data folder.
fn without_scheme(given: &Path) -> Result<PathBuf> {
    let text = given.to_string_lossy();
    match text.split_once("://") {
        None => Ok(given.to_owned()),
        Some(("unix", path)) => Ok(PathBuf::from(path)),
        Some((scheme, _)) => bail!(
            "{text} is no socket of this host: machines need an engine that sees the data folder, \
             so {scheme}:// cannot be used. Name a socket with --oci-socket PATH"
        ),
    }
}

/// A user's own Podman comes first: it needs no rights.
fn usual(runtime: Option<PathBuf>) -> Vec<PathBuf> {
    let own = runtime.map(|dir| dir.join("podman/podman.sock"));
    own.into_iter().chain(SOCKETS.iter().map(PathBuf::from)).collect()
}

/// What looks like a path is one.
fn named(image: &str) -> Result<OciImage> {
    let tarball = [".tar", ".tgz"].iter().any(|end| image.contains(end));
    if image.starts_with(['/', '.']) || (tarball && Path::new(image).exists()) {
        let path =
            std::path::absolute(image).with_context(|| format!("resolving the tarball {image}"))?;
        return Ok(OciImage::Tarball(path));
    }
    Ok(OciImage::Name(image.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_tarball_and_anything_else_an_image() {
        let tarball = |text| matches!(named(text).unwrap(), OciImage::Tarball(_));
        assert!(tarball("/srv/root.tar.gz") && tarball("./root"));
        assert!(!tarball("debian:bookworm") && !tarball("localhost/tools") && !tarball("a.tar"));
    }

    #[test]
    fn only_a_socket_of_this_host_will_do() {
        let path = |text| without_scheme(Path::new(text));
        assert_eq!(path("unix:///run/x.sock").unwrap(), Path::new("/run/x.sock"));
        assert_eq!(path("/run/x.sock").unwrap(), Path::new("/run/x.sock"));
        let said = path("tcp://10.0.0.1:2375").unwrap_err().to_string();
        assert!(said.contains("--oci-socket"), "{said}");
    }

    #[test]
    fn the_image_must_be_named_and_another_backend_needs_none() {
        let said = parts(BackendName::Oci, Oci::default()).unwrap_err().to_string();
        assert!(said.contains("--oci-image"), "{said}");
        assert_eq!(parts(BackendName::Native, Oci::default()).unwrap(), None);
    }
}

//! The container engine that is asked: Podman or Docker, through the socket that both answer in
//! Docker's words. Says what is wrong when it cannot be used; knows nothing of projects' disks.

use crate::backend::MachineError;
use bollard::{
    API_DEFAULT_VERSION, Docker,
    errors::Error,
    models::{ContainerCreateBody, ContainerUpdateBody},
    query_parameters::{
        CreateContainerOptionsBuilder, InspectContainerOptions, ListContainersOptionsBuilder,
        RemoveContainerOptionsBuilder, StartContainerOptions,
    },
};
use std::{
    collections::HashMap,
    io,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};
use toft_model::machine::Limits;
use tokio::time::sleep;

/// An answer to anything but the moving of whole images.
const ANSWER_TIMEOUT_S: u64 = 60;
/// Images of some gigabytes on a slow disk.
pub(super) const IMAGE_TIMEOUT: Duration = Duration::from_mins(15);
/// Docker 19.03 and Podman 3 speak this: the last with a change that matters here (`none` limits of
/// processes, 1.40).
const API_MINOR_MIN: u32 = 40;
/// A container that is just ending is gone after some hundredths of a second.
const REMOVE_TRIES: u32 = 10;
const REMOVE_PAUSE: Duration = Duration::from_millis(20);
/// What is told apart in the answers of engines.
const NOT_FOUND: u16 = 404;
const CONFLICT: u16 = 409;

/// See the module.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) docker: Docker,
    /// `Podman 4.3.1`, `Docker 28.1`.
    pub(super) name: String,
    pub(super) socket: PathBuf,
}

/// How a container is now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) running: bool,
    /// Why it ended, when it says so.
    pub(super) said: String,
}

/// Finds an engine behind one of these sockets: the first that is there.
pub(super) async fn find(sockets: &[PathBuf]) -> Result<Engine, MachineError> {
    let Some(socket) = sockets.iter().find(|path| path.exists()) else {
        let places: Vec<String> = sockets.iter().map(|p| p.display().to_string()).collect();
        return Err(MachineError::Unsupported {
            missing: format!("no container engine answers: there is no {}", places.join(", no ")),
            remedy: "Install Podman and start its socket (`systemctl start podman.socket`, or \
                     `podman system service --time 0`), or start Docker; one elsewhere is named \
                     with `--oci-socket PATH`."
                .to_owned(),
        });
    };
    reachable(socket)?;
    let shown = socket.display();
    let silent = |e: &Error| MachineError::Unsupported {
        missing: format!("what listens at {shown} is no container engine: {}", words(e)),
        remedy: "Name the socket of Podman or Docker with `--oci-socket PATH`.".to_owned(),
    };
    let path = socket.to_string_lossy();
    let docker = Docker::connect_with_unix(&path, ANSWER_TIMEOUT_S, API_DEFAULT_VERSION)
        .map_err(|e| silent(&e))?;
    let version = docker.version().await.map_err(|e| silent(&e))?;
    let name = version
        .components
        .iter()
        .flatten()
        .find(|part| part.name.starts_with("Podman"))
        .map_or_else(
            || format!("Docker {}", version.version.as_deref().unwrap_or("?")),
            |podman| format!("Podman {}", podman.version),
        );
    if api_minor(version.api_version.as_deref()) < Some(API_MINOR_MIN) {
        return Err(MachineError::Unsupported {
            missing: format!(
                "{name} at {shown} is too old: it speaks version {} of the interface",
                version.api_version.as_deref().unwrap_or("?")
            ),
            remedy: "Use Podman 3 or Docker 19.03, or a later one.".to_owned(),
        });
    }
    let docker = docker.negotiate_version().await.map_err(|e| silent(&e))?;
    Ok(Engine { docker, name, socket: socket.clone() })
}

/// `1.41` gives 41; a version 2 is later than all of them.
fn api_minor(version: Option<&str>) -> Option<u32> {
    let (major, minor) = version?.split_once('.')?;
    if major.parse::<u32>().ok()? > 1 { Some(u32::MAX) } else { minor.parse().ok() }
}

fn reachable(socket: &Path) -> Result<(), MachineError> {
    let shown = socket.display();
    let (missing, remedy) = match UnixStream::connect(socket) {
        Ok(_) => return Ok(()),
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => (
            format!("the container engine's socket {shown} is not open to your user"),
            "Run Toft as root, use a Podman of your own (`systemctl --user start podman.socket`), \
             or let your user into the engine's group; who may use Docker's socket is root on \
             this host.",
        ),
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => (
            format!("nobody listens at {shown}"),
            "Start the engine (`systemctl start podman.socket` or `systemctl start docker`), or \
             name another socket with `--oci-socket PATH`.",
        ),
        Err(e) => (
            format!("the container engine's socket {shown} cannot be used: {e}"),
            "Name another one with `--oci-socket PATH`.",
        ),
    };
    Err(MachineError::Unsupported { missing, remedy: remedy.to_owned() })
}

/// What an engine said, without our library's frame around it.
pub(super) fn words(e: &Error) -> String {
    match e {
        Error::DockerResponseServerError { message, .. } => message.trim().to_owned(),
        Error::RequestTimeoutError => "the container engine did not answer in time".to_owned(),
        e if is_away(e) => {
            format!("the container engine does not answer; start it, then try again ({e})")
        }
        other => other.to_string(),
    }
}

/// Whether nobody answered, or the answer was cut off: the engine has ended.
fn is_away(e: &Error) -> bool {
    matches!(
        e,
        Error::HyperLegacyError { .. }
            | Error::HyperResponseError { .. }
            | Error::SocketNotFoundError(_)
    )
}

/// For `map_err`.
pub(super) fn as_io(e: Error) -> io::Error {
    match e {
        Error::IOError { err } => err,
        Error::RequestTimeoutError => io::Error::new(io::ErrorKind::TimedOut, words(&e)),
        e if is_away(&e) => io::Error::new(io::ErrorKind::NotConnected, words(&e)),
        e if status(&e) == Some(NOT_FOUND) => io::Error::new(io::ErrorKind::NotFound, words(&e)),
        other => io::Error::other(words(&other)),
    }
}

pub(super) fn status(e: &Error) -> Option<u16> {
    match e {
        Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

impl Engine {
    /// A way to the same engine for what takes long.
    pub(super) fn patient(&self) -> Docker {
        self.docker.clone().with_timeout(IMAGE_TIMEOUT)
    }

    /// Makes a container in place of one of that name.
    pub(super) async fn create(&self, name: &str, body: ContainerCreateBody) -> io::Result<()> {
        let options = || Some(CreateContainerOptionsBuilder::new().name(name).build());
        match self.docker.create_container(options(), body.clone()).await {
            // One that a killed server has left. Podman answers 500 for it.
            Err(e) if status(&e) == Some(CONFLICT) || words(&e).contains("already in use") => {
                self.remove(name).await?;
                self.docker.create_container(options(), body).await.map_err(as_io)?;
            }
            made => drop(made.map_err(as_io)?),
        }
        Ok(())
    }

    pub(super) async fn start(&self, name: &str) -> io::Result<()> {
        let started = self.docker.start_container(name, None::<StartContainerOptions>).await;
        started.map_err(as_io)
    }

    /// Ends a container and removes it. Not there: done.
    ///
    /// Asked until it is gone: one that is just ending by itself is in the hands of the engine's own
    /// cleaning, and may outlive a removal that was answered with success (seen with Podman 4.3).
    pub(super) async fn remove(&self, name: &str) -> io::Result<()> {
        let mut tries = 0;
        loop {
            let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
            let removed = self.docker.remove_container(name, Some(options)).await;
            tries += 1;
            match removed {
                Err(e) if status(&e) == Some(NOT_FOUND) => return Ok(()),
                Err(e) if tries >= REMOVE_TRIES => return Err(as_io(e)),
                Ok(()) if self.condition(name).await?.is_none() => return Ok(()),
                Ok(()) if tries >= REMOVE_TRIES => {
                    return Err(io::Error::other("the container is there after its removal"));
                }
                Err(_) | Ok(()) => sleep(REMOVE_PAUSE * tries).await,
            }
        }
    }

    /// `None`: there is no such container.
    pub(super) async fn condition(&self, name: &str) -> io::Result<Option<Condition>> {
        match self.docker.inspect_container(name, None::<InspectContainerOptions>).await {
            Err(e) if status(&e) == Some(NOT_FOUND) => Ok(None),
            Err(e) => Err(as_io(e)),
            Ok(found) => {
                let state = found.state.unwrap_or_default();
                let code = state.exit_code.unwrap_or_default();
                let said = state.error.filter(|e| !e.is_empty());
                Ok(Some(Condition {
                    running: state.running == Some(true) || state.paused == Some(true),
                    said: said.unwrap_or_else(|| format!("it ended with code {code}")),
                }))
            }
        }
    }

    /// Changes the limits of a container that runs.
    pub(super) async fn update(&self, name: &str, limits: &Limits) -> io::Result<()> {
        let body = ContainerUpdateBody {
            memory: Some(memory(limits).unwrap_or(-1)),
            memory_swap: Some(memory(limits).unwrap_or(-1)),
            nano_cpus: Some(nano_cpus(limits).unwrap_or(0)),
            pids_limit: Some(pids(limits).unwrap_or(-1)),
            ..ContainerUpdateBody::default()
        };
        match self.docker.update_container(name, body).await {
            // Podman before 5 has its own way to say it.
            Err(e) if status(&e) == Some(NOT_FOUND) && self.name.starts_with("Podman") => {
                super::libpod::update(&self.socket, name, limits).await
            }
            updated => updated.map_err(as_io),
        }
    }

    /// Names and labels of containers that have a label with this value.
    pub(super) async fn labelled(
        &self,
        label: &str,
        value: &str,
    ) -> io::Result<Vec<(String, HashMap<String, String>)>> {
        let filters = HashMap::from([("label", vec![format!("{label}={value}")])]);
        let filters: HashMap<String, Vec<String>> =
            filters.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        let found = self.docker.list_containers(Some(options)).await.map_err(as_io)?;
        Ok(found.into_iter().filter_map(|c| Some((c.id?, c.labels.unwrap_or_default()))).collect())
    }
}

/// Bytes of memory as engines take them.
pub(super) fn memory(limits: &Limits) -> Option<i64> {
    limits.memory_bytes.and_then(|bytes| i64::try_from(bytes).ok())
}

/// Processors in their billionths.
pub(super) fn nano_cpus(limits: &Limits) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "processors number in the thousands")]
    limits.cpus.map(|cpus| (cpus * 1e9) as i64)
}

/// Processes and threads.
pub(super) fn pids(limits: &Limits) -> Option<i64> {
    limits.pids.and_then(|pids| i64::try_from(pids).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refused(sockets: &[PathBuf]) -> String {
        find(sockets).await.map(|engine| engine.name).unwrap_err().to_string()
    }

    #[tokio::test]
    async fn an_engine_that_is_not_there_is_named_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("engine.sock");
        let said = refused(std::slice::from_ref(&socket)).await;
        assert!(said.contains("engine.sock") && said.contains("podman.socket"), "{said}");
        drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
        let said = refused(std::slice::from_ref(&socket)).await;
        assert!(said.contains("nobody listens") && said.contains("--oci-socket"), "{said}");
    }

    #[tokio::test]
    async fn something_else_behind_the_socket_is_told_apart_and_so_is_an_old_engine() {
        let dir = tempfile::tempdir().unwrap();
        for (answer, wanted) in [
            ("<p>hello</p>", "no container engine"),
            (r#"{"Version":"1.2","ApiVersion":"1.24"}"#, "too old"),
        ] {
            let socket = dir.path().join(wanted);
            let listener = tokio::net::UnixListener::bind(&socket).unwrap();
            let serving = tokio::spawn(async move {
                use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
                while let Ok((mut stream, _)) = listener.accept().await {
                    let mut asked = [0; 4096];
                    if stream.read(&mut asked).await.unwrap_or(0) == 0 {
                        continue;
                    }
                    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json";
                    let text =
                        format!("{head}\r\ncontent-length: {}\r\n\r\n{answer}", answer.len());
                    stream.write_all(text.as_bytes()).await.unwrap();
                }
            });
            let said = refused(&[socket]).await;
            assert!(said.contains(wanted), "{said}");
            serving.abort();
        }
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(api_minor(Some("1.41")) > api_minor(Some("1.9")));
        assert!(api_minor(Some("2.0")) > api_minor(Some("1.99")));
        assert_eq!(api_minor(Some("x")), None);
    }
}

//! What the tests of the gateway as a process share: its binary, a data folder of its own, a machine's door.

use std::{
    io::Write as _,
    net::{TcpListener, TcpStream},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};
use toft_gateway::{Gateway, SpawnConfig};
use toft_model::id::ProjectId;

/// Built by `cargo test` beside this test.
pub(crate) fn exe() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let exe = test.parent().unwrap().parent().unwrap().join("examples/alone");
    assert!(exe.exists(), "run `cargo build -p toft-gateway --examples` first");
    exe
}

pub(crate) struct Home(tempfile::TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) async fn gateway(&self) -> Gateway {
        Gateway::connect_or_spawn(SpawnConfig::new(exe(), self.path())).await.unwrap()
    }
}

/// A failed test leaves no gateway behind.
impl Drop for Home {
    fn drop(&mut self) {
        let path = toft_gateway::folder::lock_path(self.path());
        let pid = std::fs::read_to_string(path).ok().and_then(|pid| pid.trim().parse().ok());
        let Some(pid) = pid.filter(|pid| lives(*pid)) else { return };
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&command).contains(&*self.path().to_string_lossy()) {
            kill(pid);
        }
    }
}

pub(crate) struct Door {
    pub(crate) project: ProjectId,
    listeners: [TcpListener; 2],
}

impl Door {
    pub(crate) fn new() -> Self {
        let listeners = [0, 1].map(|_| TcpListener::bind("127.0.0.1:0").unwrap());
        Self { project: ProjectId::random(), listeners }
    }

    pub(crate) fn descriptors(&self) -> Vec<OwnedFd> {
        self.listeners.iter().map(|l| l.try_clone().unwrap().into()).collect()
    }

    /// Sends a call; what it returns waits for the answer.
    pub(crate) fn call(&self, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.listeners[0].local_addr().unwrap()).unwrap();
        let request = format!(
            "POST /llm/openai/v1/chat/completions HTTP/1.1\r\nhost: gateway.internal\r\n\
             authorization: Bearer project-token\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }
}

pub(crate) fn kill(pid: u32) {
    let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

/// Whether a process is there and no zombie.
pub(crate) fn lives(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap().starts_with(" Z"))
}

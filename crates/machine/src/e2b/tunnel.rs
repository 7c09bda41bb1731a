//! The server's end of a tunnel into a sandbox: brings the program there, starts it, opens channels to init
//! and bridge, and leads the machine's connections to the gateway's doors on this host.

use super::{
    carrier,
    envd::{Envd, Tagged},
    http::Fault,
    mirror::Mirror,
};
use crate::{
    backend::MachineError,
    error::step,
    tunnel::{
        SUPERSEDED,
        mux::{self, Channel, End, Opener},
        wire::{self, Answer, Ask},
    },
};
use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use toft_model::id::ProjectId;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpStream, UnixStream},
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// Toft's folder in a sandbox, below the home of the user that programs run as.
const FOLDER: &str = ".toft";
/// By this the tunnels of earlier servers are found and ended. A dot and the number of their server come after it.
const TAG: &str = "toft-tunnel";
/// From a program that started to its first word: it looks at the machine first.
const FIRST_WORD: Duration = Duration::from_secs(30);
/// Between two words that each end gives the other.
const WORDS: Duration = Duration::from_secs(10);
/// From a word to its echo: the line is dead after that.
const ECHO_TIMEOUT: Duration = Duration::from_secs(30);
/// Answers that are given at once.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// Starting a machine: as long as the launcher takes at the most, and more.
const START_TIMEOUT: Duration = Duration::from_secs(40);
/// Stopping one, beyond the grace of its programs.
const STOP_MARGIN: Duration = Duration::from_secs(25);

/// The program that goes into sandboxes.
#[derive(Debug, Clone)]
pub(super) struct Program {
    pub(super) exe: PathBuf,
    /// Names its content.
    pub(super) key: String,
    pub(super) bytes: u64,
}

impl Program {
    fn path(&self) -> String {
        format!("{FOLDER}/toft-{}", self.key)
    }

    fn new_path(&self) -> String {
        format!("{}.new", self.path())
    }

    /// Brings it there, if it is not.
    pub(super) async fn bring(&self, envd: &Envd) -> Result<(), Fault> {
        let (path, new) = (self.path(), self.new_path());
        for there in [&path, &new] {
            if envd.size(there).await? == Some(self.bytes) {
                return Ok(());
            }
        }
        tracing::info!(bytes = self.bytes, "taking toft into a sandbox");
        envd.upload(&self.exe, &new).await
    }

    /// A whole upload becomes the program, which is then run in the shell's place.
    fn script(&self, project: &ProjectId, fence: u64) -> String {
        let (path, new) = (self.path(), self.new_path());
        format!(
            "if [ ! -e {path} ]; then chmod 0755 {new} && mv {new} {path} || exit 126; fi; \
             exec {path} tunnel {project} {fence}"
        )
    }
}

/// See the module. Dropping it ends the line; what runs in the sandbox goes on.
#[derive(Debug)]
pub(super) struct Tunnel {
    pub(super) opener: Opener,
    pub(super) ended: CancellationToken,
    mirror: Mirror,
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.end();
    }
}

impl Tunnel {
    /// Opens one in a sandbox that is awake, in place of any other of a server with no larger number. `doors`: the gateway's on this host;
    /// `log`: where the copy of the machine's log folder lies.
    pub(super) async fn open(
        envd: &Envd,
        program: &Program,
        project: &ProjectId,
        doors: [SocketAddr; 2],
        log: &Path,
        fence: u64,
    ) -> Result<Self, MachineError> {
        let failed = |fault: Fault| step(project, "opening the tunnel into the sandbox")(fault);
        let superseded = || MachineError::Superseded(project.clone());
        program.bring(envd).await.map_err(failed)?;
        if !envd.end_tagged(|tag| of_tag(tag, fence)).await.map_err(failed)? {
            return Err(superseded());
        }
        let (script, tag) = (program.script(project, fence), format!("{TAG}.{fence}"));
        let started = envd.start("/bin/sh", &["-c", &script], &tag).await.map_err(failed)?;
        let ended = CancellationToken::new();
        let (line, said) = carrier::line(envd.clone(), started, &ended);
        let (opener, incoming, carrying) = mux::begin(line, End::Server);
        let token = ended.clone();
        tokio::spawn(async move {
            if let Some(Err(error)) = token.run_until_cancelled(carrying).await {
                tracing::debug!(%error, "a tunnel ended");
            }
            token.cancel();
        });
        let first = timeout(FIRST_WORD, greeted(&opener));
        let greeted = ended.run_until_cancelled(first).await;
        let Some(Ok(Ok(alive))) = greeted else {
            ended.cancel();
            let said = said.text();
            if said.contains(SUPERSEDED) {
                return Err(superseded());
            }
            let why = if said.is_empty() { "it says nothing".to_owned() } else { said };
            return Err(MachineError::DidNotStart {
                project: project.clone(),
                detail: format!(
                    "the program of the tunnel does not answer in the sandbox: {why}. A template \
                     needs /bin/sh and a C library at least as new as this server's"
                ),
            });
        };
        tokio::spawn(keep_alive(alive, ended.clone()));
        tokio::spawn(pass_on(incoming, doors, ended.clone()));
        let mirror = Mirror::begin(opener.clone(), log.to_owned(), &ended);
        Ok(Self { opener, ended, mirror })
    }

    pub(super) fn end(&self) {
        self.ended.cancel();
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    pub(super) async fn until_ended(&self) {
        self.ended.cancelled().await;
    }

    /// Sees to it that the copy of the logs holds what they hold now.
    pub(super) async fn copy_logs(&self) {
        self.mirror.up_to_date().await;
    }

    /// Asks for something that is answered in one frame.
    pub(super) async fn ask(&self, ask: &Ask, project: &ProjectId) -> Result<Answer, MachineError> {
        let limit = match ask {
            Ask::Start(_) => START_TIMEOUT,
            Ask::Stop { grace_ms } => Duration::from_millis(*grace_ms) + STOP_MARGIN,
            _ => ANSWER_TIMEOUT,
        };
        let asking = async {
            let mut channel = self.opener.open().await?;
            wire::send(&mut channel, ask).await?;
            wire::receive::<Answer>(&mut channel).await
        };
        let asked = self.ended.run_until_cancelled(timeout(limit, asking)).await;
        let answer = match asked {
            Some(Ok(answered)) => answered,
            Some(Err(_)) => Err(io::ErrorKind::TimedOut.into()),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        };
        match answer.map_err(step(project, "asking the machine in its sandbox"))? {
            Answer::NotRunning => Err(MachineError::NotRunning(project.clone())),
            Answer::Refused(detail) if matches!(ask, Ask::Start(_)) => {
                Err(MachineError::DidNotStart { project: project.clone(), detail })
            }
            Answer::Refused(why) => {
                Err(step(project, "asking the machine in its sandbox")(io::Error::other(why)))
            }
            answer => Ok(answer),
        }
    }

    /// A connection to init or bridge: one end of a pair of sockets whose other end is a channel.
    pub(super) async fn connect(
        &self,
        ask: &Ask,
        project: &ProjectId,
    ) -> Result<UnixStream, MachineError> {
        let connecting = "connecting to the machine in its sandbox";
        let opening = async {
            let mut channel = self.opener.open().await?;
            wire::send(&mut channel, ask).await?;
            let answer = wire::receive::<Answer>(&mut channel).await?;
            Ok::<_, io::Error>((channel, answer))
        };
        let opened = self.ended.run_until_cancelled(timeout(ANSWER_TIMEOUT, opening)).await;
        let opened = match opened {
            Some(Ok(opened)) => opened,
            Some(Err(_)) => Err(io::ErrorKind::TimedOut.into()),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        };
        let (mut channel, answer) = opened.map_err(step(project, connecting))?;
        match answer {
            Answer::Done => {}
            Answer::NotRunning => return Err(MachineError::NotRunning(project.clone())),
            Answer::Refused(why) => return Err(step(project, connecting)(io::Error::other(why))),
            Answer::Found(_) | Answer::Uses { .. } | Answer::Carried(_) => {
                return Err(step(project, connecting)(io::Error::from(io::ErrorKind::InvalidData)));
            }
        }
        let (ours, mut theirs) = UnixStream::pair().map_err(step(project, connecting))?;
        let ended = self.ended.clone();
        tokio::spawn(async move {
            // Whoever has the other end sees that it is closed.
            ended.run_until_cancelled(copy_bidirectional(&mut theirs, &mut channel)).await
        });
        Ok(ours)
    }
}

/// What becomes of a program in the sandbox when a server with this number opens a tunnel.
fn of_tag(tag: &str, fence: u64) -> Option<Tagged> {
    let rest = tag.strip_prefix(TAG)?;
    // Of earlier versions, which had no numbers.
    let theirs = if rest.is_empty() { 0 } else { rest.strip_prefix('.')?.parse().ok()? };
    Some(if theirs > fence { Tagged::Stays } else { Tagged::Ends })
}

/// The first word on a channel for such, and its echo.
async fn greeted(opener: &Opener) -> io::Result<Channel> {
    let mut alive = opener.open().await?;
    wire::send(&mut alive, &Ask::Alive).await?;
    word(&mut alive).await?;
    Ok(alive)
}

async fn word(alive: &mut Channel) -> io::Result<()> {
    alive.write_u8(1).await?;
    alive.flush().await?;
    alive.read_u8().await.map(|_| ())
}

async fn keep_alive(mut alive: Channel, ended: CancellationToken) {
    let words = async {
        loop {
            sleep(WORDS).await;
            if !matches!(timeout(ECHO_TIMEOUT, word(&mut alive)).await, Ok(Ok(()))) {
                return;
            }
        }
    };
    ended.run_until_cancelled(words).await;
    ended.cancel();
}

/// Leads what the machine opens to the gateway's doors, and nowhere else.
async fn pass_on(
    mut incoming: mpsc::Receiver<Channel>,
    doors: [SocketAddr; 2],
    ended: CancellationToken,
) {
    let doors = Arc::new(doors);
    while let Some(Some(channel)) = ended.run_until_cancelled(incoming.recv()).await {
        let (doors, ended) = (Arc::clone(&doors), ended.clone());
        tokio::spawn(async move {
            // The machine sees that it is closed.
            ended.run_until_cancelled(lead(channel, &doors)).await
        });
    }
}

async fn lead(mut channel: Channel, doors: &[SocketAddr; 2]) -> io::Result<()> {
    let asked = timeout(ANSWER_TIMEOUT, wire::receive(&mut channel)).await;
    let Ask::Gateway(door) = asked.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?? else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let door = doors.get(door).ok_or(io::ErrorKind::InvalidData)?;
    let mut stream = TcpStream::connect(door).await?;
    let _ = stream.set_nodelay(true);
    copy_bidirectional(&mut stream, &mut channel).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tunnels_of_older_servers_end_and_those_of_newer_ones_stay() {
        let check = |tag: &str, want| assert_eq!(of_tag(tag, 3), want, "{tag}");
        for older in ["toft-tunnel", "toft-tunnel.1", "toft-tunnel.3"] {
            check(older, Some(Tagged::Ends));
        }
        check("toft-tunnel.4", Some(Tagged::Stays));
        for other in ["", "x", "toft-tunnels", "toft-tunnel.", "toft-tunnel.x", "toft-tunnel.-1"] {
            check(other, None);
        }
    }
}

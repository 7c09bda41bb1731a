//! The machine's end of a tunnel: `toft tunnel PROJECT`, with the line on its standard streams. It starts
//! and finds the machine by the backend `host`, whose init and bridge are processes of their own: they go
//! on when the tunnel ends, and the next one finds them. It ends when its line does, or when nobody is
//! heard on it.

use super::{
    SUPERSEDED, carrying,
    doors::Doors,
    fence::Fence,
    logs::{Have, Sent, Source},
    mux::{self, Channel, End, Opener},
    wire::{self, Answer, Ask, Found, Order},
};
use crate::{
    backend::{Backend as _, MachineError, Part, Running},
    blocking::blocking,
    carried::Place,
    host::{self, Host, HostConfig},
    walls::Walls,
};
use std::{
    env,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use toft_model::id::ProjectId;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional, join},
    net::UnixStream,
    sync::Mutex as AsyncMutex,
    time::{sleep, timeout},
};

/// Folder for everything that is Toft's, in that of the program itself.
const DATA: &str = "data";
/// Folder with the project, in the user's home.
const PROJECTS: &str = "projects";
/// What programs of Toft are called in the folder of this one.
const PROGRAM: &str = "toft-";
/// From the opening of a channel to the word what it is.
const ASK_TIMEOUT: Duration = Duration::from_secs(20);
/// Nobody is heard for this long: the other end is gone without a word, and a new tunnel will come.
const SILENCE_MAX: Duration = Duration::from_mins(1);
/// Between two looks at the logs, at the silence, and whether another server has come.
const LOOK: Duration = Duration::from_millis(500);

/// Why a tunnel ended at once.
#[derive(Debug, thiserror::Error)]
pub enum TunnelError {
    /// It was not told of which project.
    #[error("say of which project: toft tunnel PROJECT")]
    NoProject,
    /// It cannot work here.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A server with a larger number has the machine.
    #[error("{SUPERSEDED}")]
    Superseded,
    /// No machine can be made here.
    #[error("{0}")]
    Machine(#[from] MachineError),
}

/// Runs a tunnel until its line ends.
pub fn main(mut argv: impl Iterator<Item = OsString>) -> Result<(), TunnelError> {
    let project = argv.next().and_then(|arg| arg.into_string().ok()?.parse().ok());
    let project: ProjectId = project.ok_or(TunnelError::NoProject)?;
    // Servers of earlier versions have no number, and nobody to take over from.
    let fence = argv.next().and_then(|arg| arg.into_string().ok()?.parse().ok()).unwrap_or(0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let served = runtime.block_on(serve(project, fence));
    // A read of standard input that never ends must not hold up the exit.
    runtime.shutdown_background();
    served
}

pub(super) struct Inside {
    project: ProjectId,
    host: Host,
    log: PathBuf,
    fence: Fence,
    /// Of the programs of the machine.
    home: PathBuf,
    /// Toft's folder in it.
    own: PathBuf,
    opener: Opener,
    doors: AsyncMutex<Doors>,
    began: Instant,
    /// Milliseconds from `began` to when the other end was heard last.
    heard_ms: AtomicU64,
}

async fn serve(project: ProjectId, fence: u64) -> Result<(), TunnelError> {
    let exe = env::current_exe()?;
    let own = exe.parent().unwrap_or(Path::new("/")).to_owned();
    let of_user = |name: &str, default: &str| env::var(name).unwrap_or_else(|_| default.to_owned());
    let home = of_user("HOME", "/root");
    let allowed_dir = Path::new(&home).join(PROJECTS);
    fs::create_dir_all(&allowed_dir)?;
    let config = HostConfig {
        data_dir: own.join(DATA),
        exe: exe.clone(),
        allowed_dir,
        path: of_user("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        user: of_user("USER", "root"),
        home: home.clone(),
        is_walled: true,
    };
    let host = host::open(config).await?;
    // Before anything is done, and until all is: the lock goes with the process.
    let folder = own.clone();
    let fence = blocking(move || Fence::take(&folder, fence)).await?;
    let fence = fence.ok_or(TunnelError::Superseded)?;
    let (opener, mut incoming, carrying) =
        mux::begin(join(tokio::io::stdin(), tokio::io::stdout()), End::Machine);
    let inside = Arc::new(Inside {
        log: host.log_dir(&project),
        home: home.into(),
        own,
        project,
        host,
        fence,
        opener,
        doors: AsyncMutex::default(),
        began: Instant::now(),
        heard_ms: AtomicU64::new(0),
    });
    let answering = async {
        // One that was started by an earlier tunnel.
        if let Ok(Some(running)) = inside.host.adopt(&inside.project).await {
            let _ = inside.runs(running).await;
        }
        while let Some(channel) = incoming.recv().await {
            let inside = Arc::clone(&inside);
            tokio::spawn(async move {
                // The other end sees that it is closed.
                let _ = inside.answer(channel).await;
            });
        }
    };
    tokio::select! {
        carried = carrying => carried?,
        () = answering => {}
        () = inside.silence() => {}
        () = inside.superseded() => return Err(TunnelError::Superseded),
    }
    Ok(())
}

impl Inside {
    fn heard(&self) {
        let ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heard_ms.store(ms, Ordering::Relaxed);
    }

    async fn silence(&self) {
        loop {
            sleep(LOOK).await;
            let heard = Duration::from_millis(self.heard_ms.load(Ordering::Relaxed));
            if self.began.elapsed().saturating_sub(heard) > SILENCE_MAX {
                return;
            }
        }
    }

    /// Ends when another server has come.
    async fn superseded(&self) {
        while !matches!(self.fence.holds(), Ok(false)) {
            sleep(LOOK).await;
        }
    }

    async fn answer(&self, mut channel: Channel) -> io::Result<()> {
        let asked = timeout(ASK_TIMEOUT, wire::receive(&mut channel)).await;
        let ask: Ask = asked.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        self.heard();
        if !self.fence.holds()? {
            return Ok(());
        }
        let host = &self.host;
        match ask {
            Ask::Init => {
                return join_with(host.connect_init(&self.project).await, channel).await;
            }
            Ask::Bridge => {
                return join_with(host.connect_bridge(&self.project).await, channel).await;
            }
            Ask::Alive => return self.echo(channel).await,
            Ask::Pack(part) => {
                let place = self.place(part, true).await;
                return carrying::pack(&self.project, place, channel).await;
            }
            Ask::Unpack(part) => {
                let place = self.place(part, false).await;
                return carrying::unpack(&self.project, place, channel).await;
            }
            Ask::Logs(had) => return self.send_logs(channel, had).await,
            // Nobody outside has doors in here.
            Ask::Gateway(_) => return Ok(()),
            Ask::Start(_) | Ask::Adopt | Ask::Stop { .. } | Ask::Stats | Ask::SetLimits(_) => {}
        }
        let answer = self.done(ask).await.unwrap_or_else(|error| Answer::refused(&error));
        wire::send(&mut channel, &answer).await?;
        channel.shutdown().await
    }

    /// What is answered in one frame.
    async fn done(&self, ask: Ask) -> Result<Answer, MachineError> {
        let (host, project) = (&self.host, &self.project);
        Ok(match ask {
            Ask::Start(order) => Answer::Found(Some(self.start(*order).await?)),
            Ask::Adopt => {
                if let Some(running) = host.adopt(project).await? {
                    return Ok(Answer::Found(Some(self.runs(running).await?)));
                }
                self.doors.lock().await.close();
                Answer::Found(None)
            }
            Ask::Stop { grace_ms } => {
                host.stop(project, Duration::from_millis(grace_ms)).await?;
                self.doors.lock().await.close();
                Answer::Done
            }
            Ask::Stats => Answer::uses(host.stats(project).await?),
            Ask::SetLimits(limits) => {
                host.set_limits(project, &limits).await?;
                Answer::Done
            }
            Ask::Init
            | Ask::Bridge
            | Ask::Gateway(_)
            | Ask::Logs(_)
            | Ask::Pack(_)
            | Ask::Unpack(_)
            | Ask::Alive => Answer::Done,
        })
    }

    /// Where a part of what the project carries lies in here, when it goes or when it comes. All of this system is
    /// the project's, the home of its programs too; what is Toft's in that is left out, and so is the project's own
    /// folder.
    async fn place(&self, part: Part, goes: bool) -> Result<Place, MachineError> {
        self.host.create(&self.project).await?;
        if let Some(place) = Walls::place(&self.host, &self.project, part) {
            return Ok(place.in_system());
        }
        let own = self.own.strip_prefix(&self.home).ok().and_then(Path::to_str);
        let others = fs::read_dir(self.home.join(PROJECTS)).into_iter().flatten().flatten();
        let has_others = others.count() > 1;
        // What it lies in is not the project's either, unless there is more in it.
        let project = if goes && !has_others {
            PROJECTS.to_owned()
        } else {
            format!("{PROJECTS}/{}", self.project)
        };
        let without = own.map(str::to_owned).into_iter().chain([project]);
        Ok(Place::of_system(self.home.clone(), without.collect()))
    }

    async fn start(&self, order: Order) -> Result<Found, MachineError> {
        self.host.create(&self.project).await?;
        let running = self.host.start(order.into_spec(self.project.clone())).await?;
        if !running.adopted {
            blocking(forget_older_programs).await;
        }
        self.runs(running).await
    }

    /// Takes the connections of one that runs.
    async fn runs(&self, running: Running) -> Result<Found, MachineError> {
        let Running { token, gateway_listeners, init_pid, started_at, adopted, .. } = running;
        let of = (init_pid, started_at);
        let opened = self.doors.lock().await.open(of, gateway_listeners, &self.opener);
        opened.map_err(crate::error::step(&self.project, "taking the machine's connections"))?;
        Ok(Found { token, init_pid, started_at, adopted })
    }

    async fn echo(&self, mut channel: Channel) -> io::Result<()> {
        loop {
            let byte = channel.read_u8().await?;
            self.heard();
            channel.write_u8(byte).await?;
            channel.flush().await?;
        }
    }

    /// Sends what is new until the channel is closed; a byte on it asks for all that there is.
    async fn send_logs(&self, mut channel: Channel, had: Vec<Have>) -> io::Result<()> {
        let mut source = Source::new(self.log.clone(), had);
        loop {
            source = send_new(&mut channel, source).await?;
            match timeout(LOOK, channel.read_u8()).await {
                Err(_) => {}
                Ok(Err(_)) => return Ok(()),
                Ok(Ok(_)) => {
                    source = send_new(&mut channel, source).await?;
                    let (files, back) = blocking(move || (source.names(), source)).await;
                    source = back;
                    wire::send(&mut channel, &Sent::UpToDate { files }).await?;
                }
            }
        }
    }
}

async fn send_new(channel: &mut Channel, mut source: Source) -> io::Result<Source> {
    loop {
        let (next, back) = blocking(move || (source.next(), source)).await;
        source = back;
        let Some((sent, part)) = next? else { return Ok(source) };
        wire::send(channel, &sent).await?;
        channel.write_all(&part).await?;
        channel.flush().await?;
    }
}

/// Says whether there is a connection, and joins both.
async fn join_with(
    connected: Result<UnixStream, MachineError>,
    mut channel: Channel,
) -> io::Result<()> {
    match connected {
        Ok(mut stream) => {
            wire::send(&mut channel, &Answer::Done).await?;
            copy_bidirectional(&mut stream, &mut channel).await?;
        }
        Err(error) => {
            wire::send(&mut channel, &Answer::refused(&error)).await?;
            channel.shutdown().await?;
        }
    }
    Ok(())
}

/// Removes the programs of earlier versions: a machine was just started with this one, and nothing else
/// runs here.
fn forget_older_programs() {
    let Ok(exe) = env::current_exe() else { return };
    let others =
        exe.parent().and_then(|own| fs::read_dir(own).ok()).into_iter().flatten().flatten();
    for entry in others {
        let is_program = entry.file_name().to_str().is_some_and(|name| name.starts_with(PROGRAM));
        if is_program && entry.path() != exe {
            // It only takes room.
            let _ = fs::remove_file(entry.path());
        }
    }
}

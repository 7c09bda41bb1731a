//! The contract of a machine backend, and its words. Not an implementation.

pub use crate::error::MachineError;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::{os::fd::OwnedFd, time::Duration};
use toft_model::{
    checkpoint::{CheckpointId, Diff, Ticket},
    event::LimitHit,
    id::ProjectId,
    machine::{Ability, Can, DiskUse, Limits},
};
use tokio::{
    net::UnixStream,
    sync::{broadcast, watch},
};

/// How a machine at somebody else's was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Far {
    /// It is awake.
    Awake,
    /// It stands still, with what ran in it.
    Paused,
}

/// Makes, starts, finds again, stops and destroys machines. Every method may be called at any
/// time, also for machines that do not exist, and leaves the old state or the new one.
#[async_trait]
pub trait Backend: Send + Sync {
    /// `native`, `host`.
    fn name(&self) -> &'static str;
    /// The one that a project is of, where this is [`crate::several::Several`].
    fn one_of(&self, _project: &ProjectId) -> Option<&dyn Backend> {
        None
    }
    /// Backends that projects may be of, the server's own first.
    fn choices(&self) -> Vec<&'static str> {
        vec![self.name()]
    }
    /// Whether one of them is at work; the others are opened when they are needed.
    fn is_open(&self, name: &str) -> bool {
        name == self.name()
    }
    /// What one of [`Backend::choices`] is here: opened for it, if it is not open yet.
    async fn look_at(&self, name: &str) -> Result<Report, MachineError> {
        if name == self.name() {
            return Ok(Report { abilities: self.abilities().await, storage: self.storage() });
        }
        Err(no_such(name))
    }
    /// Takes note of which backend a project is, also when that one cannot be opened just now, which is the
    /// error. Until this is called a project is of the server's own.
    async fn assign(&self, _project: &ProjectId, name: &str) -> Result<(), MachineError> {
        if name == self.name() { Ok(()) } else { Err(no_such(name)) }
    }
    /// Makes the project's disk with another backend, of what is the same on all of them: its folder, home,
    /// conversations and log. The machine must not run. The project stays what it is: see
    /// [`Backend::assign`] and [`Backend::leave_others`].
    async fn carry(&self, _project: &ProjectId, to: &str) -> Result<(), MachineError> {
        Err(no_such(to))
    }
    /// Whether [`Backend::carry`] can be done, as far as it is known without trying; or why not.
    fn can_carry(&self, _project: &ProjectId, to: &str) -> Result<(), String> {
        Err(no_such(to).to_string())
    }
    /// Removes disks of a project that lie with other backends than its own: what [`Backend::carry`] began, or
    /// left. Their checkpoints stay. Does nothing while its own has none.
    async fn leave_others(&self, _project: &ProjectId) -> Result<(), MachineError> {
        Ok(())
    }
    /// Writes a part of what [`Backend::carry`] carries as an archive of tar's. The machine does not run.
    async fn pack(
        &self,
        _project: &ProjectId,
        _part: Part,
        _to: OwnedFd,
    ) -> Result<(), MachineError> {
        Err(no_carrying(self.name()))
    }
    /// Puts such a part on a disk that has just been made, and has not been started.
    async fn unpack(
        &self,
        _project: &ProjectId,
        _part: Part,
        _from: OwnedFd,
    ) -> Result<(), MachineError> {
        Err(no_carrying(self.name()))
    }
    /// Lets what was awake for [`Backend::pack`] or [`Backend::unpack`] sleep, with all that was written to it.
    async fn rest(&self, _project: &ProjectId) -> Result<(), MachineError> {
        Ok(())
    }
    /// Removes its disk and log, and not its checkpoints. It does not run.
    async fn leave(&self, _project: &ProjectId) -> Result<(), MachineError> {
        Err(no_carrying(self.name()))
    }
    /// Whether it can be the one that a project is carried from, or to; or why not.
    fn carries(&self) -> Result<(), String> {
        Err(format!("the backend `{}` cannot", self.name()))
    }
    /// Lets go of what the host gives for machines (mounts, groups) when none runs; does nothing else.
    async fn close(&self) -> Result<(), MachineError> {
        Ok(())
    }
    /// What is in force here and how, from probing; cached after the first call.
    async fn abilities(&self) -> Vec<Ability>;
    /// Name of the storage in use (`btrfs`, `btrfs loop image`, `plain copy`).
    fn storage(&self) -> String;
    /// Id of the sandbox that a project's machine is at somebody else's. `None`: it has none, or there is no such place.
    fn sandbox(&self, _project: &ProjectId) -> Option<String> {
        None
    }
    /// What this backend can do here.
    fn can(&self) -> Can {
        Can::default()
    }
    /// Images other than `host`; `None`: there are none with this backend.
    fn images(&self) -> Option<&dyn crate::images::Images> {
        None
    }
    /// Makes the disk. Known: does nothing.
    async fn create(&self, project: &ProjectId) -> Result<(), MachineError>;
    /// Whether its disk is there: whoever is asked for that knows, wherever it lies.
    async fn is_made(&self, project: &ProjectId) -> Result<bool, MachineError> {
        Ok(self.files(project).await?.is_some())
    }
    /// Starts processes on the disk. Running already: as [`Backend::adopt`].
    async fn start(&self, spec: StartSpec) -> Result<Running, MachineError>;
    /// Finds a machine that runs, also one started by an earlier server. `None`: not running.
    async fn adopt(&self, project: &ProjectId) -> Result<Option<Running>, MachineError>;
    /// Ends all processes of it; returns when none is left.
    async fn stop(&self, project: &ProjectId, grace: Duration) -> Result<(), MachineError>;
    /// Stops it and removes its disk and every trace.
    async fn destroy(&self, project: &ProjectId) -> Result<(), MachineError>;
    /// Removes what machines that no longer run have left here (cgroups, sockets, half-made disks). `known`:
    /// projects of this server.
    async fn sweep(&self, known: &[ProjectId]) -> Result<(), MachineError>;
    /// Removes what lies at somebody else's for projects that there are no more. `known`: projects of all servers
    /// on its database, for another one may have gone on with what was made from here.
    async fn sweep_far(&self, _known: &[ProjectId]) -> Result<(), MachineError> {
        Ok(())
    }

    /// Those of [`Backend::choices`] whose machines are at somebody else's: another server can go on with them.
    fn far(&self) -> Vec<&'static str> {
        Vec::new()
    }
    /// Takes note of what all servers on one database call themselves there.
    fn called(&self, _installation: &str) {}
    /// Takes note of the number that the server has which has a project. It grows with each server that goes on with
    /// it; whoever comes to the machine with a smaller one than it knows is refused ([`MachineError::Superseded`]).
    fn fenced(&self, _project: &ProjectId, _fence: u64) {}
    /// Whether the machine of a project that another server made is reached from here, too: asked without waking
    /// it. `None`: it is not.
    async fn reaches(&self, _project: &ProjectId) -> Result<Option<Far>, MachineError> {
        Ok(None)
    }
    /// Another server goes on with a project: forgets all that is here of it, and touches nothing there.
    async fn let_go(&self, _project: &ProjectId) -> Result<(), MachineError> {
        Ok(())
    }
    /// A connection to its init ([`toft_model::init`]).
    async fn connect_init(&self, project: &ProjectId) -> Result<UnixStream, MachineError>;
    /// A connection to its bridge (HTTP/1.1).
    async fn connect_bridge(&self, project: &ProjectId) -> Result<UnixStream, MachineError>;
    /// What it uses now.
    async fn stats(&self, project: &ProjectId) -> Result<Stats, MachineError>;
    /// Where the bridge's event log (`events.jsonl`) lies on the host: readable while it is cold.
    /// The content comes from inside: not trusted, opened without following links.
    fn log_dir(&self, project: &ProjectId) -> std::path::PathBuf;

    /// Keeps the disk as it is now. The caller chooses the id; there already: does nothing. A machine
    /// that runs stands still meanwhile: for a millisecond or two where [`Can::live_checkpoint`], for
    /// as long as copying takes elsewhere.
    async fn checkpoint(
        &self,
        _project: &ProjectId,
        _id: &CheckpointId,
    ) -> Result<Checkpointed, MachineError> {
        Err(no_copies(self.name()))
    }
    /// The checkpoints that lie on disk, in the order of their ids.
    async fn checkpoints(&self, _project: &ProjectId) -> Result<Vec<CheckpointId>, MachineError> {
        Ok(Vec::new())
    }
    /// The same of another backend that it was of before.
    async fn checkpoints_at(
        &self,
        project: &ProjectId,
        backend: &str,
    ) -> Result<Vec<CheckpointId>, MachineError> {
        if backend == self.name() { self.checkpoints(project).await } else { Err(no_such(backend)) }
    }
    /// Removes a checkpoint. Not there: done.
    async fn drop_checkpoint(
        &self,
        _project: &ProjectId,
        _id: &CheckpointId,
    ) -> Result<(), MachineError> {
        Ok(())
    }
    /// Identity of what its disk lies over now ([`Checkpointed::base`]). `None`: not known here.
    async fn base(&self, _project: &ProjectId) -> Result<Option<String>, MachineError> {
        Ok(None)
    }
    /// Whether its disk has at most so many files and folders, and bytes in them: told without
    /// reading files, and without looking further than that.
    async fn is_small(
        &self,
        _project: &ProjectId,
        _files_max: u64,
        _bytes_max: u64,
    ) -> Result<bool, MachineError> {
        Ok(false)
    }
    /// Puts the disk back to a checkpoint, all of it or nothing. The machine must not run. The
    /// sessions as they were stay in [`toft_model::checkpoint::SESSIONS_BEFORE`], and the ticket
    /// tells the next bridge. `force`: also over another base ([`MachineError::BaseChanged`]).
    async fn restore(
        &self,
        _project: &ProjectId,
        _id: &CheckpointId,
        _ticket: &Ticket,
        _force: bool,
    ) -> Result<(), MachineError> {
        Err(no_copies(self.name()))
    }
    /// Makes the disk of `to` from one of `from`: as it is now, or from a checkpoint, whatever its
    /// base (nothing is lost when its programs do not run). Not started. There already: does
    /// nothing.
    async fn fork(
        &self,
        _from: &ProjectId,
        _checkpoint: Option<&CheckpointId>,
        _to: &ProjectId,
        _ticket: &Ticket,
    ) -> Result<(), MachineError> {
        Err(no_copies(self.name()))
    }
    /// Writes its disk as it was at a checkpoint, for another data folder.
    async fn export(
        &self,
        _project: &ProjectId,
        _id: &CheckpointId,
        _to: OwnedFd,
    ) -> Result<(), MachineError> {
        Err(no_copies(self.name()))
    }
    /// Makes a disk of what [`Backend::export`] has written. There already: an error.
    async fn import(&self, _project: &ProjectId, _from: OwnedFd) -> Result<(), MachineError> {
        Err(no_copies(self.name()))
    }
    /// Keeps the disk of `from`, as it is now, as a checkpoint of `to`, which can go back to it then. There already:
    /// does nothing.
    async fn keep_of(
        &self,
        _from: &ProjectId,
        _to: &ProjectId,
        _id: &CheckpointId,
    ) -> Result<Checkpointed, MachineError> {
        Err(no_copies(self.name()))
    }
    /// What differs between a checkpoint of `origin` and the disk of one that was grown from it, as [`Backend::diff`].
    async fn diff_of_fork(
        &self,
        _origin: &ProjectId,
        _from: &CheckpointId,
        _fork: &ProjectId,
        _max: usize,
    ) -> Result<Diff, MachineError> {
        Err(no_copies(self.name()))
    }
    /// What differs between a checkpoint and another one, or now: at most `max` paths, as they are
    /// seen inside. Told by size, time, mode and kind, without reading files; Toft's own folder
    /// `/home/starter` is left out.
    async fn diff(
        &self,
        _project: &ProjectId,
        _from: &CheckpointId,
        _to: Option<&CheckpointId>,
        _max: usize,
    ) -> Result<Diff, MachineError> {
        Err(no_copies(self.name()))
    }
    /// Pauses all work processes of a running machine in memory; init and bridge too. Frozen
    /// already: does nothing.
    async fn freeze(&self, _project: &ProjectId) -> Result<(), MachineError> {
        Err(MachineError::Unable {
            what: "pausing a machine",
            why: format!("the backend `{}` cannot", self.name()),
        })
    }
    /// Lets it go on. Not frozen: does nothing.
    async fn thaw(&self, _project: &ProjectId) -> Result<(), MachineError> {
        Ok(())
    }
    /// Whether it is frozen: asked after an adoption.
    async fn is_frozen(&self, _project: &ProjectId) -> Result<bool, MachineError> {
        Ok(false)
    }
    /// Changes the limits of a machine that runs (a disk limit also of one that does not). What is
    /// in use above a new limit is not taken away; memory above it may be reclaimed or end a
    /// process.
    async fn set_limits(&self, _project: &ProjectId, _limits: &Limits) -> Result<(), MachineError> {
        Ok(())
    }
    /// Limits that were reached from now on, of all machines. A slow reader loses the oldest.
    fn limit_hits(&self) -> broadcast::Receiver<(ProjectId, LimitHit)> {
        broadcast::channel(1).1
    }
    /// Room on disk that all projects share, looked at while machines run. When it is short, whoever
    /// keeps checkpoints removes some: the receiver is told at every look until there is enough.
    fn room(&self) -> watch::Receiver<Room> {
        watch::channel(Room::default()).1
    }
    /// Why programs of a machine that write are paused just now, and what helps. `None`: none are.
    async fn why_paused(&self, _project: &ProjectId) -> Option<String> {
        None
    }
    /// What the project takes on disk, as far as anything counts it here.
    async fn disk(&self, _project: &ProjectId) -> Result<DiskUse, MachineError> {
        Ok(DiskUse::default())
    }
    /// Bytes that the project's disk and checkpoints hold and that others have written: its origin, an
    /// image, a template. On disk, as of now; files so small that they lie among the names are left
    /// out. `None`: it is not known here, or there is too much to look at. Slower than
    /// [`Backend::disk`]: it looks at every file's place.
    async fn shared_bytes(&self, _project: &ProjectId) -> Result<Option<u64>, MachineError> {
        Ok(None)
    }
    /// Its files on disk, as they are seen inside: for reading them while nobody inside can be asked.
    /// Waits for nobody who starts or stops it. `None`: it has no disk.
    async fn files(
        &self,
        _project: &ProjectId,
    ) -> Result<Option<crate::at_rest::Files>, MachineError> {
        Err(MachineError::Unable {
            what: "reading the files of a machine that does not run",
            why: format!("the backend `{}` cannot", self.name()),
        })
    }
    /// One regular file of a checkpoint, or of now. `None`: there is none of this path (a link is
    /// none, nor is a file of the image that the machine has not changed). Longer than `max` bytes:
    /// [`MachineError::Unable`]. The content comes from inside: not trusted.
    async fn read(
        &self,
        _project: &ProjectId,
        _at: Option<&CheckpointId>,
        _path: &str,
        _max: u64,
    ) -> Result<Option<Vec<u8>>, MachineError> {
        Err(no_copies(self.name()))
    }
}

impl dyn Backend {
    /// The one that a project is of.
    pub fn of<'a>(&'a self, project: &ProjectId) -> &'a (dyn Backend + 'a) {
        self.one_of(project).unwrap_or(self)
    }
}

/// What there is on every backend of a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The folder that it is worked in.
    Project,
    /// `HOME` of its programs. Left behind where that is a person's own.
    Home,
    /// Toft's own: conversations, inspect database.
    Own,
    /// Event log and kept output.
    Log,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Project, Self::Home, Self::Own, Self::Log];
}

/// What a backend is on this host.
#[derive(Debug, Clone)]
pub struct Report {
    /// What is in force here and how.
    pub abilities: Vec<Ability>,
    /// Name of the storage in use.
    pub storage: String,
}

pub(crate) fn no_such(name: &str) -> MachineError {
    MachineError::Unable {
        what: "making a machine with it",
        why: format!(
            "this server offers no backend `{name}`: name it with --backends at its start"
        ),
    }
}

fn no_carrying(backend: &str) -> MachineError {
    MachineError::Unable {
        what: "carrying a project to another backend",
        why: format!("`{backend}` cannot"),
    }
}

pub(crate) fn no_copies(backend: &str) -> MachineError {
    MachineError::Unable {
        what: "keeping copies of a project",
        why: format!("the backend `{backend}` has no storage of its own; use `native`"),
    }
}

/// Room on disk that all projects share.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Room {
    /// Whether there is any.
    pub state: RoomState,
    /// Bytes that may still be written; `None`: nobody knows.
    pub free_bytes: Option<u64>,
    /// Bytes that should be free: checkpoints yield until they are.
    pub wanted_bytes: u64,
}

/// See [`Room`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RoomState {
    /// Enough.
    #[default]
    Ample,
    /// Little: checkpoints are to yield.
    Short,
    /// None: programs that write are paused until there is some.
    Full,
}

/// A checkpoint that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpointed {
    /// Identity of what the machine's disk lies over: the host's programs, or an image.
    pub base: String,
    /// Bytes that were copied for it, where copies cost any.
    pub copied_bytes: Option<u64>,
    /// Whether nothing was written meanwhile. Otherwise all that programs had synced is in it, and
    /// what they wrote just then may be there in one file and not yet in another, as after a power
    /// cut. False too for one that was there already.
    pub one_moment: bool,
}

/// How to start.
#[derive(Debug, Clone)]
pub struct StartSpec {
    /// Which.
    pub project: ProjectId,
    /// Its name, for the prompt and the host name.
    pub name: String,
    /// Limits of the `work` group.
    pub limits: Limits,
    /// How the app is reached from a browser.
    pub app_url: String,
    /// Added to the environment of work processes.
    pub env: Vec<(String, String)>,
    /// Whether its bridge is started only when its init was told an environment.
    pub awaits_environment: bool,
}

/// A machine that runs.
#[derive(Debug)]
pub struct Running {
    /// Which.
    pub project: ProjectId,
    /// Its project token (made at start, kept in a host-only file for the next server).
    pub token: String,
    /// Sockets inside the machine that belong to the gateway: the listening ones of the model API
    /// and of the egress proxy; where connections without a proxy come to it too, the listening one
    /// of those and the UDP one of DNS.
    pub gateway_listeners: Vec<OwnedFd>,
    /// Pid of init on the host.
    pub init_pid: u32,
    /// Unix milliseconds.
    pub started_at: u64,
    /// Whether it was found running rather than started now.
    pub adopted: bool,
}

/// What a machine uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes of memory, all processes.
    pub memory_bytes: Option<u64>,
    /// Processes.
    pub pids: Option<u64>,
}

//! What the launcher is told and what it reports. Plain data; how it is done lies in the other
//! modules.

use crate::copy::Order;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Descriptor of the listening unix socket of init, in the program that is started.
pub const FD_INIT: i32 = 3;
/// Descriptor of the listening unix socket of the bridge.
pub const FD_BRIDGE: i32 = 4;
/// Descriptor of a file with [`Spec::boot`], at its start.
pub const FD_BOOT: i32 = 5;
/// Descriptor of the gateway's listening TCP socket for the model API.
pub const FD_MODEL: i32 = 6;
/// Descriptor of the gateway's listening TCP socket for the egress proxy.
pub const FD_EGRESS: i32 = 7;
/// Descriptor of the listening TCP socket of the machine's own port; only when confined.
pub const FD_APP: i32 = 8;
/// Descriptor of a folder that only init and bridge may write to; only with [`Jail::handed`].
pub const FD_HANDED: i32 = 11;

/// Descriptor of the gateway's listening TCP socket for connections that go through no proxy; only
/// with [`Facts::direct`].
pub const FD_DIRECT: i32 = 9;
/// Descriptor of the gateway's UDP socket for DNS; only with [`Facts::direct`].
pub const FD_DNS: i32 = 10;
/// Descriptor of the mount namespace for programs that only read; only with [`Facts::read_only`].
pub const FD_READ_ONLY: i32 = 15;

/// Address inside a machine at which the gateway listens. A part of 127/8 that nothing else uses,
/// so that a program in the machine may take 127.0.0.1:80 for itself.
pub const GATEWAY_ADDRESS: [u8; 4] = [127, 77, 0, 1];
/// Port of the model API.
pub const MODEL_PORT: u16 = 80;
/// Port of the egress proxy; the one that proxies usually have.
pub const EGRESS_PORT: u16 = 3128;
/// Port of DNS.
pub const DNS_PORT: u16 = 53;
/// Port on which a machine's bridge listens inside.
pub const APP_PORT: u16 = 8080;

/// Folder inside a machine with what is Toft's own: a read-only mount, so that nothing there can be
/// exchanged.
pub const OWN_INSIDE: &str = "/run/toft";

/// Where the binary is seen inside a machine.
pub const BINARY_INSIDE: &str = "/run/toft/toft";

/// Folder in which the loader and the libraries of the binary are seen.
pub const LIBRARIES_INSIDE: &str = "/run/toft/lib";

/// What the names of control groups for single programs begin with. The host makes them, below the
/// group whose file is named in `InitBoot::work_cgroup_procs`; init gives each program one.
pub const PROGRAM_GROUP: &str = "program-";

/// One piece of work for the launcher. It comes with descriptors: for [`Spec::run`] the listening
/// sockets of init and bridge, and without [`Spec::jail`] those of the gateway too.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Spec {
    /// The walls. `None`: an ordinary process in a session of its own.
    pub jail: Option<Jail>,
    /// What happens then.
    pub task: Task,
    /// Groups to be born into.
    pub cgroups: Cgroups,
}

/// What happens inside the walls.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "snake_case")]
pub enum Task {
    /// Replaces the launcher's child by a program.
    Run(Run),
    /// Nothing: the walls were built to see which of them stand.
    Probe,
    /// Removes these folders with all that is in them: for disks with files of other ids.
    Remove {
        /// Which, as seen from outside.
        paths: Vec<PathBuf>,
    },
    /// Copies a tree of a disk, with the rights of the machine's root over its files. Ends when the
    /// connection does.
    Copy(Order),
}

/// The program that becomes pid 1.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Run {
    /// Program (a path) and arguments.
    pub argv: Vec<String>,
    /// Its whole environment.
    pub env: Vec<(String, String)>,
    /// Its working directory.
    pub cwd: String,
    /// Bytes for [`FD_BOOT`].
    pub boot: String,
    /// How many files it may have open, where whoever starts it may have more.
    #[serde(default)]
    pub open_files: Option<u64>,
}

/// Control groups that the new process is born into.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Cgroups {
    /// Folder of a cgroup v2 group.
    pub unified: Option<PathBuf>,
    /// `tasks` files of v1 groups. Writing `0` there skips the lock that `cgroup.procs` takes,
    /// which can cost 10 ms.
    pub tasks: Vec<PathBuf>,
    /// Also hide the names of the groups above (a cgroup namespace).
    pub namespace: bool,
}

/// The walls of a machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Jail {
    /// Host name.
    pub hostname: String,
    /// Which ids it has.
    pub ids: Ids,
    /// Folder with `rootfs/` and the upper and work folders of the overlays.
    pub disk: PathBuf,
    /// Writable layers over read-only folders of the host.
    pub overlays: Vec<Overlay>,
    /// What a layer that cannot be written to means.
    pub layers: Layers,
    /// Whether connections that go through no proxy come to the gateway too.
    pub direct: Direct,
    /// Files and folders of the host that are shown inside, in this order.
    pub binds: Vec<Bind>,
    /// Shown read-only, with a descriptor to write to it by for who is started first.
    pub handed: Option<Handed>,
}

/// A folder of the host that programs inside only read.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Handed {
    /// On the host.
    pub source: PathBuf,
    /// Where it is seen inside.
    pub target: String,
}

/// Ids of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ids", rename_all = "snake_case")]
pub enum Ids {
    /// `0..count` inside are `base..` outside; files on disk keep the ids from inside.
    /// Needs root.
    Range {
        /// First id outside.
        base: u32,
        /// How many.
        count: u32,
    },
    /// Only id 0 inside, which is the launcher's own user.
    Single {
        /// The launcher's user.
        uid: u32,
        /// The launcher's group.
        gid: u32,
    },
    /// Id 0 is the launcher's own user, the following ones are the user's range of `/etc/subuid`
    /// and `/etc/subgid`, mapped by `newuidmap` and `newgidmap`.
    Delegated {
        /// The launcher's user.
        uid: u32,
        /// The launcher's group.
        gid: u32,
        /// First and number of the delegated users.
        uids: (u32, u32),
        /// First and number of the delegated groups.
        gids: (u32, u32),
    },
}

/// A folder of the host below a layer of the machine's own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Overlay {
    /// Folder of the host.
    pub lower: PathBuf,
    /// Name of the folder with the changes, below [`Jail::disk`].
    pub upper: String,
    /// Name of the folder that the kernel works in, below [`Jail::disk`].
    pub work: String,
    /// Where it is seen inside.
    pub target: String,
}

/// A file or folder of the host that is shown inside.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Bind {
    /// On the host.
    pub source: PathBuf,
    /// Where it is seen inside.
    pub target: String,
    /// Whether it can be written to.
    pub writable: bool,
    /// How it shows.
    pub view: View,
    /// Whether it is left out when the host has no such thing.
    pub optional: bool,
}

/// How a file or folder of the host shows inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum View {
    /// Its owners are mapped like those of the disk, where the kernel can: what only the host's root
    /// may use, the machine's root may.
    Mapped,
    /// It belongs to whom it belongs outside, which is nobody inside: only what is open to
    /// everybody is open.
    AsOutside,
    /// A folder as [`View::AsOutside`], and no way to whoever listens on a socket or pipe in it.
    /// Left out where the kernel cannot. Not for writable ones.
    Apart,
}

/// What the launcher says, one message each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "snake_case")]
pub enum Report {
    /// The process exists; its pid outside.
    Cloned {
        /// Pid as the launcher sees it.
        pid: i32,
    },
    /// The walls stand. Comes with copies of the gateway's sockets when they were made inside: model
    /// API, proxy, and with [`Facts::direct`] those of [`FD_DIRECT`] and [`FD_DNS`]. [`Task::Run`] then waits for a [`Commit`] and starts its program; the end of
    /// the connection without a [`Report::Failed`] says that it did.
    Ready(Facts),
    /// [`Task::Copy`] is done.
    Copied {
        /// Bytes that took new room.
        bytes: u64,
    },
    /// It did not work.
    Failed {
        /// What was being done.
        step: String,
        /// Why.
        why: String,
        /// The kernel's error number, if there was one.
        errno: Option<i32>,
    },
}

/// Answer to [`Report::Ready`]: the new process is written down somewhere and shall go on. If the
/// connection ends instead, it ends too, and nothing runs that nobody knows of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit;

/// What really stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// How each overlay came up, by target.
    pub overlays: Vec<(String, Layer)>,
    /// Whether the owners of files on disk are mapped by the kernel (else they are stored as they
    /// are outside).
    pub disk_mapped: bool,
    /// Whether the names of the control groups above are hidden.
    pub cgroup_namespace: bool,
    /// Whether connections that go through no proxy, and DNS, come to the gateway.
    #[serde(default)]
    pub direct: bool,
    /// Why not, where it was tried.
    #[serde(default)]
    pub no_direct: Option<String>,
    /// Whether programs can be started where everything is read-only.
    #[serde(default)]
    pub read_only: bool,
    /// Why not.
    #[serde(default)]
    pub no_read_only: Option<String>,
    /// Whether the system call filter is in force.
    pub seccomp: bool,
    /// The dynamic loader of the binary, on the host; only told by a [`Task::Probe`].
    pub loader: Option<PathBuf>,
    /// What was left out, in words.
    pub notes: Vec<String>,
}

/// Whether connections that go through no proxy come to the gateway. Without it they have no route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direct {
    /// They do not.
    Left,
    /// They do where the kernel can.
    Tried,
    /// They do, or nothing starts.
    Needed,
}

/// Whether a machine may have overlays that cannot be written to. One that came up so stays so for as
/// long as it is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layers {
    /// It may: they are [`Layer::ReadOnly`]. A disk without room is an error all the same.
    AsTheyAre,
    /// It may not: nothing starts.
    Writable,
}

/// How an overlay came up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// Writable, and the host's files belong to the machine's root.
    Mapped,
    /// Writable where the machine owns the folder; the host's files belong to nobody.
    Unmapped,
    /// Not writable: the kernel refused the overlay.
    ReadOnly,
}

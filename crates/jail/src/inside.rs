//! The child's side: everything between its first breath in the new namespaces and its exec.
//! Runs as a copy of the launcher with one thread.

use crate::{
    caps, child, copy,
    copy::Order,
    failure::{Failure, step},
    handover::{Go, HIGH, Seat, report},
    loader,
    mounts::{self, Built},
    net, open_files, seccomp,
    spec::{
        Commit, FD_APP, FD_BOOT, FD_BRIDGE, FD_DIRECT, FD_DNS, FD_EGRESS, FD_HANDED, FD_INIT,
        FD_MODEL, FD_READ_ONLY, Facts, Ids, Jail, Report, Run, Spec, Task,
    },
    sys, tree, wire,
};
use rustix::{
    fs::{MemfdFlags, Mode, OFlags, memfd_create},
    io::fcntl_dupfd_cloexec,
    process::{Resource, Rlimit, setrlimit, setsid, umask},
    system::sethostname,
    thread::{set_thread_gid, set_thread_groups, set_thread_uid},
};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, Write as _},
    os::{
        fd::{AsFd as _, BorrowedFd, OwnedFd},
        unix::{fs::OpenOptionsExt as _, process::CommandExt as _},
    },
    process::Command,
};

/// Does the task; never returns.
pub(crate) fn main(seat: Seat) -> ! {
    let Ok(socket) = fcntl_dupfd_cloexec(&seat.socket, HIGH) else { std::process::exit(1) };
    match act(seat) {
        Ok(()) => std::process::exit(0),
        Err(failure) => {
            report(&socket, &failure);
            std::process::exit(1)
        }
    }
}

fn act(seat: Seat) -> Result<(), Failure> {
    let Seat { spec, socket, descriptors, launcher } = seat;
    setsid().map_err(step("start a session"))?;
    let loader = match &spec.task {
        // Afterwards the paths of the host are gone.
        Task::Probe => loader::own().map_err(step("look at its own loader"))?,
        Task::Run(_) | Task::Remove { .. } | Task::Copy(_) => None,
    };
    umask(Mode::from_raw_mode(0o022));
    let (facts, listeners, built) = match &spec.jail {
        None => (Facts::default(), None, None),
        Some(jail) => {
            let mut facts = Facts::default();
            let listeners = net::set_up(jail.direct, &mut facts)?;
            let go = wire::recv::<Go>(&launcher).map_err(step("hear from the launcher"))?;
            let Some(go) = go else {
                // The launcher failed, and has said why.
                std::process::exit(1)
            };
            take_ids(&jail.ids)?;
            match &spec.task {
                Task::Remove { paths } => return remove(paths),
                Task::Copy(order) => return copy_tree(order, &socket),
                Task::Run(_) | Task::Probe => {}
            }
            let built = confine(&spec, jail, go, &mut facts)?;
            (facts, Some(listeners), Some(built))
        }
    };
    match &spec.task {
        Task::Remove { paths } => remove(paths),
        Task::Copy(order) => copy_tree(order, &socket),
        Task::Probe => {
            let mut facts = facts;
            seccomp::install()?;
            facts.seccomp = true;
            facts.loader = loader;
            wire::send(&socket, &Report::Ready(facts), &[]).map_err(step("report"))
        }
        Task::Run(run) => start(run, facts, (listeners, built), descriptors, &socket),
    }
}

fn remove(paths: &[std::path::PathBuf]) -> Result<(), Failure> {
    for path in paths {
        tree::remove(path).map_err(step("remove a folder"))?;
    }
    Ok(())
}

/// Whoever asked may end meanwhile: then nobody knows of the copy, and this ends, too.
fn copy_tree(order: &Order, socket: &OwnedFd) -> Result<(), Failure> {
    let watched = socket.try_clone().map_err(step("watch the connection"))?;
    std::thread::spawn(move || {
        // Nothing is sent: it returns when the other side is gone.
        let _ = wire::recv::<Commit>(&watched);
        std::process::exit(1)
    });
    let copied = copy::copy(order).map_err(|failed| match failed.source.raw_os_error() {
        // The number is worth more to the caller than the words.
        Some(_) => step("copy a file")(failed.source),
        None => step("copy a file")(io::Error::from(failed)),
    });
    wire::send(socket, &Report::Copied { bytes: copied? }, &[]).map_err(step("report"))
}

/// Becomes the machine's root.
fn take_ids(ids: &Ids) -> Result<(), Failure> {
    use rustix::process::{Gid, Uid};
    match ids {
        // The kernel refuses setgroups there, and the user's own groups are harmless.
        Ids::Single { .. } => {}
        Ids::Range { .. } | Ids::Delegated { .. } => {
            set_thread_groups(&[]).map_err(step("drop the groups of the launcher"))?;
        }
    }
    set_thread_gid(Gid::ROOT).map_err(step("become the machine's root"))?;
    set_thread_uid(Uid::ROOT).map_err(step("become the machine's root"))
}

fn confine(
    spec: &Spec,
    jail: &Jail,
    go: (Go, Vec<OwnedFd>),
    facts: &mut Facts,
) -> Result<Built, Failure> {
    let built = mounts::build(jail, &go.0.mapped, go.1, facts)?;
    sethostname(jail.hostname.as_bytes()).map_err(step("set the host name"))?;
    name_in_files(&jail.hostname);
    if spec.cgroups.namespace {
        match sys::new_cgroup_namespace() {
            Ok(()) => facts.cgroup_namespace = true,
            Err(e) => facts.notes.push(format!("the names of control groups show inside: {e}")),
        }
    }
    caps::drop_capabilities(built.read_only.is_some())?;
    Ok(built)
}

/// Writes the host name where programs look it up. The files belong to the machine: they may be
/// anything, and a machine that wants them otherwise only hurts itself.
fn name_in_files(hostname: &str) {
    /// More than a usual `/etc/hosts`.
    const HOSTS_BYTES_MAX: u64 = 64 << 10;
    /// Beside the files: what is written goes there first.
    const BESIDE: &str = "/etc/.toft-name";
    let wanted = format!("{hostname}\n");
    let read = |path: &str| -> io::Result<String> {
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        let mut text = String::new();
        file.take(HOSTS_BYTES_MAX).read_to_string(&mut text)?;
        // What was not read would be lost.
        let is_whole = u64::try_from(text.len()).is_ok_and(|len| len < HOSTS_BYTES_MAX);
        is_whole.then_some(text).ok_or_else(|| io::ErrorKind::FileTooLarge.into())
    };
    // On a disk without room the old file stays: without its hosts a machine finds no gateway.
    let replace = |path: &str, text: &str| -> io::Result<()> {
        // Left by a start that was cut off.
        let _ = fs::remove_file(BESIDE);
        let written = File::create_new(BESIDE)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .and_then(|()| fs::rename(BESIDE, path));
        if written.is_err() {
            let _ = fs::remove_file(BESIDE);
        }
        written
    };
    if read("/etc/hostname").is_ok_and(|old| old == wanted) {
        return;
    }
    let Ok(hosts) = read("/etc/hosts") else { return };
    let mut lines: Vec<&str> = hosts.lines().filter(|l| !l.starts_with("127.0.1.1")).collect();
    let own = format!("127.0.1.1\t{hostname}");
    lines.push(&own);
    let text = lines.join("\n") + "\n";
    // Failing, the name is missing in a file: nothing that would keep a machine from starting.
    let _ = replace("/etc/hosts", &text).and_then(|()| replace("/etc/hostname", &wanted));
}

/// Puts the descriptors in their places, reports, and execs.
fn start(
    run: &Run,
    mut facts: Facts,
    (listeners, built): (Option<net::Listeners>, Option<Built>),
    descriptors: Vec<OwnedFd>,
    socket: &OwnedFd,
) -> Result<(), Failure> {
    let placing = "put the descriptors in their places";
    let boot = boot_file(&run.boot)?;
    let mut given = descriptors.into_iter();
    let mut next = || {
        given.next().ok_or_else(|| {
            step("find the descriptors to pass on")(io::Error::other("there are too few"))
        })
    };
    let (init, bridge) = (next()?, next()?);
    let confined = listeners.is_some();
    let (model, egress, app, direct) = match listeners {
        Some(l) => (l.model, l.egress, Some(l.app), l.direct),
        None => (next()?, next()?, None, None),
    };
    // Compiling takes memory and time, and reporting needs the socket: both before the last steps.
    let mut places = vec![
        (FD_INIT, init),
        (FD_BRIDGE, bridge),
        (FD_BOOT, boot),
        (FD_MODEL, model),
        (FD_EGRESS, egress),
    ];
    places.extend(app.map(|app| (FD_APP, app)));
    places.extend(direct.into_iter().flat_map(|d| [(FD_DIRECT, d.connections), (FD_DNS, d.dns)]));
    if let Some(Built { handed, read_only }) = built {
        places.extend(handed.map(|folder| (FD_HANDED, folder)));
        places.extend(read_only.map(|namespace| (FD_READ_ONLY, namespace)));
    }
    for (_, fd) in &mut places {
        *fd = fcntl_dupfd_cloexec(&*fd, HIGH).map_err(step(placing))?;
    }
    let null = OpenOptions::new().read(true).open("/dev/null").map_err(step("open /dev/null"))?;
    let null = fcntl_dupfd_cloexec(&null, HIGH).map_err(step(placing))?;
    sys::place_descriptor(null.as_fd(), 0).map_err(step(placing))?;
    // Those that are put in their places stay open.
    child::mark_close_on_exec_from(FD_INIT).map_err(step("close other descriptors"))?;
    for (number, fd) in &places {
        sys::place_descriptor(fd.as_fd(), *number).map_err(step(placing))?;
    }
    open_files::restore(run.open_files);
    if confined {
        keep_cores_inside()?;
        seccomp::install()?;
        facts.seccomp = true;
    }
    let gateway: Vec<BorrowedFd<'_>> = places
        .iter()
        .filter(|(n, _)| confined && matches!(*n, FD_MODEL | FD_EGRESS | FD_DIRECT | FD_DNS))
        .map(|(_, fd)| fd.as_fd())
        .collect();
    wire::send(socket, &Report::Ready(facts), &gateway).map_err(step("report"))?;
    // Whoever started this must have written down that it exists: if it died before, so does this.
    wire::recv::<Commit>(socket)
        .map_err(step("hear that the start is wanted"))?
        .ok_or(io::ErrorKind::BrokenPipe)
        .map_err(step("hear that the start is wanted"))?;
    let program = run.argv.first().map_or("", String::as_str);
    let why = Command::new(program)
        .args(run.argv.iter().skip(1))
        .env_clear()
        .envs(run.env.iter().map(|(k, v)| (k, v)))
        .current_dir(&run.cwd)
        .exec();
    Err(step("start the first program")(why))
}

/// Where the host has crashed programs read by one of its own, as its root, none of a machine's gets
/// there: a limit of one byte is what the kernel takes for that (core(5), `do_coredump`).
pub(crate) fn keep_cores_inside() -> Result<(), Failure> {
    let keeping = "keep core files inside";
    let pattern = fs::read("/proc/sys/kernel/core_pattern").map_err(step(keeping))?;
    if pattern.starts_with(b"|") {
        let none = Rlimit { current: Some(1), maximum: Some(1) };
        setrlimit(Resource::Core, none).map_err(step(keeping))?;
    }
    Ok(())
}

pub(crate) fn boot_file(boot: &str) -> Result<OwnedFd, Failure> {
    let fd = memfd_create("toft-boot", MemfdFlags::CLOEXEC).map_err(step("keep the boot data"))?;
    let mut file = File::from(fd);
    file.write_all(boot.as_bytes())
        .and_then(|()| file.rewind())
        .map_err(step("keep the boot data"))?;
    Ok(file.into())
}

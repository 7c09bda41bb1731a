//! Pausing a machine that has no control group which can: each of its processes is told to stop, from
//! init down, and to go on, up to init. So init stands still as long as anything does, and a server
//! that is killed in between leaves what the next one puts right.
//!
//! Unlike a freezer this is felt inside: a parent is told that its child goes on. What had been
//! stopped before (a job that a shell was told to suspend) stays so.

use crate::{
    cgroup,
    procs::{self, descendants},
    state::State,
};
use rustix::process::{Signal, pidfd_send_signal};
use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

/// Between two looks.
const LOOK_PAUSE: Duration = Duration::from_micros(200);
/// What is said of this way.
pub(crate) const HALTS: &str =
    "stop signals to every process, since no control group of ours can: a program may notice";
/// Beside the state file: what stood still before a machine was frozen.
const BEFORE: &str = "halted.json";

/// A process by pid and start, as [`procs::hold`] wants them.
type Process = (u32, u64);

/// A machine stands still until this is dropped.
#[derive(Debug)]
pub(crate) enum Paused {
    /// By its control group.
    Group(#[expect(dead_code, reason = "held for its end")] cgroup::Paused),
    /// By signals.
    Signals(#[expect(dead_code, reason = "held for its end")] Halted),
    /// It stood still already.
    Before,
}

/// All below an init stand still until this is dropped.
#[derive(Debug)]
pub(crate) struct Halted {
    init: Process,
    /// What had been stopped before.
    before: HashSet<Process>,
    folder: PathBuf,
}

impl Drop for Halted {
    fn drop(&mut self) {
        go_on(self.init, &self.before);
        if let Err(e) = forget(&self.folder) {
            tracing::warn!(folder = %self.folder.display(), "what stood still stays written down: {e}");
        }
    }
}

impl State {
    fn init(&self) -> Process {
        (self.init_pid, self.start_ticks)
    }

    /// Pauses a machine that runs until the answer is dropped. One that is paused already stays so.
    /// `folder` is that of the state file.
    pub(crate) fn pause(&self, folder: &Path, limit: Duration) -> io::Result<Paused> {
        if let Some(paused) = self.groups.pause(limit)? {
            return Ok(Paused::Group(paused));
        }
        if self.is_held() {
            return Ok(Paused::Before);
        }
        let before = self.halt(folder, limit)?;
        Ok(Paused::Signals(Halted { init: self.init(), before, folder: folder.to_owned() }))
    }

    /// Pauses it until [`State::thaw`].
    pub(crate) fn freeze(&self, folder: &Path, limit: Duration) -> io::Result<()> {
        if self.groups.freeze(limit)? {
            return Ok(());
        }
        self.halt(folder, limit).map(drop)
    }

    /// What stood still before is written down first, for a server that has to let the rest go on.
    fn halt(&self, folder: &Path, limit: Duration) -> io::Result<HashSet<Process>> {
        let write = |before: &HashSet<Process>| {
            fs::write(folder.join(BEFORE), serde_json::to_vec(before).map_err(io::Error::other)?)
        };
        let mut before = stopped(self.init_pid);
        let were = before.len();
        write(&before)?;
        halt(self.init(), &mut before, limit).inspect_err(|_| {
            let _ = forget(folder);
        })?;
        if before.len() < were {
            // Else what we stopped ourselves would stay so.
            write(&before).inspect_err(|_| go_on(self.init(), &before))?;
        }
        Ok(before)
    }

    /// Whether the machine was told to stand still.
    pub(crate) fn is_held(&self) -> bool {
        if self.groups.can_freeze() {
            return self.groups.is_held();
        }
        self.hold().is_some() && is_stopped(self.init_pid)
    }

    /// Lets the machine go on.
    pub(crate) fn thaw(&self, folder: &Path) -> io::Result<()> {
        if self.groups.can_freeze() {
            return self.groups.thaw();
        }
        if self.is_held() {
            let before = fs::read(folder.join(BEFORE)).ok();
            let before = before.and_then(|text| serde_json::from_slice(&text).ok());
            go_on(self.init(), &before.unwrap_or_default());
        }
        forget(folder)
    }
}

/// Forgets what stood still before: the machine goes on, or has ended. Kept, a later pause would take it
/// for its own.
pub(crate) fn forget(folder: &Path) -> io::Result<()> {
    match fs::remove_file(folder.join(BEFORE)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Init and all below it that now live; parents before their children.
fn all(init: u32) -> Vec<Process> {
    let mut pids = vec![init];
    pids.extend(descendants(init));
    pids.into_iter().filter_map(|pid| Some((pid, procs::stat(pid)?.start_ticks))).collect()
}

/// Those that stand still because somebody in the machine wants it.
fn stopped(init: u32) -> HashSet<Process> {
    all(init).into_iter().filter(|(pid, _)| is_stopped(*pid)).collect()
}

/// Returns when all stand still; otherwise all go on. What stood still before and was let go on meanwhile,
/// by a shell or a debugger that still ran, is taken out of `before`: we stop it.
fn halt(init: Process, before: &mut HashSet<Process>, limit: Duration) -> io::Result<()> {
    let deadline = Instant::now() + limit;
    let mut told = before.clone();
    loop {
        let all = all(init.0);
        let moving: HashSet<u32> =
            all.iter().map(|process| process.0).filter(|pid| !is_stopped(*pid)).collect();
        let mut all_still = true;
        for &process in &all {
            // Those that it has made meanwhile are found the next time. Told again: somebody who still ran
            // may have let it go on.
            if told.insert(process) || moving.contains(&process.0) {
                all_still = false;
                before.remove(&process);
                send(process, Signal::STOP);
            }
        }
        if all_still {
            return Ok(());
        }
        // Whoever has made a process that borrows its memory (vfork(2)) cannot stop before that one has
        // its own: it goes on until the next look.
        for &process in all.iter().filter(|process| !before.contains(process)) {
            let parent = procs::stat(process.0).map(|stat| stat.parent);
            let parent = parent.filter(|parent| moving.contains(parent));
            if parent.is_some_and(|parent| states(parent).contains(&'D')) {
                send(process, Signal::CONT);
            }
        }
        if Instant::now() > deadline {
            go_on(init, before);
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "a process does not stand still, probably in a disk operation that hangs",
            ));
        }
        sleep(LOOK_PAUSE);
    }
}

fn go_on(init: Process, before: &HashSet<Process>) {
    // A parent that runs first would be told that its child has stopped.
    for process in all(init.0).into_iter().rev().filter(|process| !before.contains(process)) {
        send(process, Signal::CONT);
    }
}

/// One that has ended meanwhile needs no signal.
fn send((pid, start_ticks): Process, signal: Signal) {
    if let Some(pidfd) = procs::hold(pid, start_ticks)
        && let Err(e) = pidfd_send_signal(&pidfd, signal)
    {
        tracing::debug!(pid, ?signal, "a process is not told: {e}");
    }
}

/// Whether all threads of a process are stopped, or ended.
fn is_stopped(pid: u32) -> bool {
    states(pid).iter().all(|state| matches!(state, 'T' | 't' | 'Z' | 'X' | 'x'))
}

/// Of each thread of a process, as proc_pid_stat(5) has them.
fn states(pid: u32) -> Vec<char> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let stats = threads.filter_map(|thread| fs::read_to_string(thread.path().join("stat")).ok());
    // The name before the state may hold anything, brackets too.
    stats.filter_map(|line| line.rsplit_once(") ")?.1.chars().next()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::Groups;
    use std::process::{Child, Command, Stdio};

    const LONG: Duration = Duration::from_secs(10);

    /// A process that others hang below; ended with all of them when dropped.
    struct Family(Child);

    impl Family {
        fn of(script: &str) -> (Self, State) {
            use std::os::unix::process::CommandExt as _;
            let child = Command::new("sh")
                .args(["-c", script])
                .stdin(Stdio::null())
                .process_group(0)
                .spawn()
                .unwrap();
            let state = State {
                init_pid: child.id(),
                start_ticks: procs::stat(child.id()).unwrap().start_ticks,
                boot_id: procs::boot_id().unwrap(),
                token: String::new(),
                started_at: 0,
                groups: Groups::default(),
                gateway_fds: Vec::new(),
            };
            (Self(child), state)
        }
    }

    impl Drop for Family {
        fn drop(&mut self) {
            let group = rustix::process::Pid::from_child(&self.0);
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
            let _ = self.0.wait();
        }
    }

    fn wait_until(what: &str, is_so: impl Fn() -> bool) {
        let deadline = Instant::now() + LONG;
        while !is_so() {
            assert!(Instant::now() < deadline, "never: {what}");
            sleep(Duration::from_millis(2));
        }
    }

    fn bytes(file: &Path) -> u64 {
        fs::metadata(file).map_or(0, |about| about.len())
    }

    #[test]
    fn a_family_that_goes_on_forking_stands_still_and_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("out");
        let script = format!(
            "while :; do (sh -c 'echo x >> {0}') & wait; done & \
             while :; do sh -c 'echo y >> {0}'; done",
            file.display()
        );
        let (_family, state) = Family::of(&script);
        wait_until("it writes", || bytes(&file) > 20);
        let paused = state.pause(dir.path(), LONG).unwrap();
        assert!(state.is_held());
        let then = bytes(&file);
        sleep(Duration::from_millis(50));
        assert_eq!(bytes(&file), then);
        // A short pause within leaves it as it is.
        drop(state.pause(dir.path(), LONG).unwrap());
        assert!(state.is_held());
        drop(paused);
        assert!(!state.is_held());
        wait_until("it goes on", || bytes(&file) > then + 20);
    }

    #[test]
    fn what_was_suspended_before_stays_so_also_after_another_server() {
        let dir = tempfile::tempdir().unwrap();
        let (_family, state) = Family::of("sh -c 'kill -STOP $$; sleep 100' & sleep 100; wait");
        wait_until("one is suspended", || stopped(state.init_pid).len() == 1);
        let suspended = stopped(state.init_pid);
        state.freeze(dir.path(), LONG).unwrap();
        assert!(state.is_held() && all(state.init_pid).len() == stopped(state.init_pid).len());
        state.clone().thaw(dir.path()).unwrap();
        wait_until("the others go on", || !state.is_held());
        assert_eq!(stopped(state.init_pid), suspended);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        // Nothing to do: the suspended one is nobody's to let go on.
        state.thaw(dir.path()).unwrap();
        assert_eq!(stopped(state.init_pid), suspended);
    }
}

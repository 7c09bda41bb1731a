//! Starting a child for init: a session of its own, the work group, a clean signal state, and no
//! descriptor but those that it is given. Not a sandbox: the machine's own walls are made by the
//! launcher before init runs.
//!
//! One of the few places with `unsafe`: what runs between `fork` and `exec` may only call
//! functions that are safe after a fork (no allocation, no lock), and that cannot be said in safe
//! Rust.

use crate::caps::{self, OWN_NUMBER};
use std::{
    ffi::{CStr, CString},
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
        unix::{ffi::OsStrExt as _, process::CommandExt},
    },
    path::Path,
    process::{Command, Stdio},
};

/// First descriptor number that is not a standard stream.
const FIRST_OTHER_FD: RawFd = 3;

/// Descriptors looked at one by one where the kernel cannot mark them all: the usual soft limit.
const OLD_KERNEL_FDS: RawFd = 1_024;

/// Largest signal number of Linux (`_NSIG`).
const SIGNAL_MAX: i32 = 64;

/// A child to start.
#[derive(Debug)]
pub struct ChildSpec<'a> {
    /// Program and arguments; a program without a slash is looked up in the child's `PATH`.
    pub argv: &'a [String],
    /// Its whole environment; a later value of a name wins.
    pub env: &'a [(String, String)],
    /// Working directory.
    pub cwd: &'a Path,
    /// Standard input; a terminal's slave when `controlling_terminal`.
    pub stdin: OwnedFd,
    /// Standard output.
    pub stdout: OwnedFd,
    /// Standard error.
    pub stderr: OwnedFd,
    /// Make `stdin` the controlling terminal of the child's session.
    pub controlling_terminal: bool,
    /// Open `cgroup.procs` files of the groups that the child joins before it runs anything.
    pub join: Vec<BorrowedFd<'a>>,
    /// Descriptors that stay open in the child under the same numbers.
    pub keep: Vec<BorrowedFd<'a>>,
    /// Kill the child when the thread that started it ends.
    pub die_with_parent: bool,
    /// Toft's own: it keeps the capability that closes it to all others (`caps::OWN_NUMBER`).
    pub own: bool,
    /// The mount namespace in which it only reads ([`crate::spec::FD_READ_ONLY`]), with the few
    /// capabilities that leave it no way out. It is not for `own`.
    pub read_only: Option<BorrowedFd<'a>>,
}

/// How a child is prepared between `fork` and `exec`: numbers and C strings, made before.
struct Steps {
    join: Vec<RawFd>,
    keep: Vec<RawFd>,
    terminal: bool,
    die: bool,
    own: bool,
    /// Mount namespace, and the folder to go to in it.
    read_only: Option<(RawFd, CString)>,
}

/// Starts the child in a session and process group of its own, and returns its pid. The caller
/// reaps it. Fails with the error of the step that failed, also of a failed `exec`; then there is
/// no child left to reap.
pub fn spawn(spec: ChildSpec<'_>) -> io::Result<u32> {
    let Some((program, arguments)) = spec.argv.split_first() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "argv is empty"));
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .envs(spec.env.iter().map(|(name, value)| (name, value)))
        .current_dir(spec.cwd)
        .stdin(Stdio::from(spec.stdin))
        .stdout(Stdio::from(spec.stdout))
        .stderr(Stdio::from(spec.stderr));
    let cwd = CString::new(spec.cwd.as_os_str().as_bytes())?;
    let steps = Steps {
        join: spec.join.iter().map(AsRawFd::as_raw_fd).collect(),
        keep: spec.keep.iter().map(AsRawFd::as_raw_fd).collect(),
        terminal: spec.controlling_terminal,
        die: spec.die_with_parent,
        own: spec.own,
        read_only: spec.read_only.map(|namespace| (namespace.as_raw_fd(), cwd)),
    };
    #[expect(unsafe_code, reason = "the steps between fork and exec have no safe form")]
    // SAFETY: the closure only makes system calls on numbers that were collected before the fork
    // (`BorrowedFd`s of `spec` keep them open until `spawn` returns) and allocates nothing.
    unsafe {
        command.pre_exec(move || before_exec(&steps));
    }
    // Dropping the handle neither waits nor kills: init reaps by itself.
    command.spawn().map(|child| child.id())
}

/// Runs in the child, after its standard streams and working directory are set.
fn before_exec(steps: &Steps) -> io::Result<()> {
    for fd in &steps.join {
        // "0" names the writer itself, whatever its pid is called here.
        check(syscall_write(*fd, b"0"))?;
    }
    reset_signals();
    become_killable();
    #[expect(unsafe_code, reason = "raw system calls after fork")]
    // SAFETY: plain system calls with integer arguments.
    unsafe {
        check(libc::setsid())?;
        if steps.terminal {
            check(libc::ioctl(0, libc::TIOCSCTTY, 0))?;
        }
        if steps.die {
            check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
        }
        if !steps.own {
            // Whoever becomes root at `exec` gets what is in this set, and what is inheritable: that is
            // nothing (`hand_on_nothing`). It fails for an ordinary user, who has none of them to give.
            let _ = libc::prctl(libc::PR_CAPBSET_DROP, OWN_NUMBER, 0, 0, 0);
        }
    }
    if let Some((namespace, cwd)) = &steps.read_only {
        only_read(*namespace, cwd)?;
    }
    mark_close_on_exec_from(FIRST_OTHER_FD)?;
    for fd in &steps.keep {
        #[expect(unsafe_code, reason = "raw system calls after fork")]
        // SAFETY: a plain system call on a number.
        unsafe {
            check(libc::fcntl(*fd, libc::F_SETFD, 0))?;
        }
    }
    Ok(())
}

/// Goes where everything is read-only, and gives up what other programs have beyond reading. What stays of
/// capabilities until `exec` is for our own few steps until then.
fn only_read(namespace: RawFd, cwd: &CStr) -> io::Result<()> {
    #[expect(unsafe_code, reason = "raw system calls after fork")]
    // SAFETY: plain system calls with integer arguments and a C string that the caller holds.
    unsafe {
        check(libc::setns(namespace, libc::CLONE_NEWNS))?;
        // The way there leads to the root of those mounts.
        check(libc::chdir(cwd.as_ptr()))?;
        for number in (0..caps::NUMBERS).filter(|number| !caps::reads_with(*number)) {
            if libc::prctl(libc::PR_CAPBSET_DROP, number, 0, 0, 0) < 0 {
                let why = io::Error::last_os_error();
                // The kernel knows no capability of this number, and so none above it.
                if why.raw_os_error() == Some(libc::EINVAL) {
                    break;
                }
                return Err(why);
            }
        }
    }
    keep_to_itself();
    Ok(())
}

/// From here on this process and what it starts signal and trace only each other: also a process of root's
/// that has even less capabilities, which would be open to them otherwise. Best effort: kernels know it
/// from 6.12 on (landlock(7), ABI 6), some without.
fn keep_to_itself() {
    /// `struct landlock_ruleset_attr`. A rule about files would also refuse what `rename` does.
    #[repr(C)]
    struct Ruleset {
        files: u64,
        network: u64,
        scoped: u64,
    }
    const SCOPE_SIGNAL: u64 = 1 << 1;
    let rules = Ruleset { files: 0, network: 0, scoped: SCOPE_SIGNAL };
    #[expect(unsafe_code, reason = "raw system calls after fork")]
    // SAFETY: `rules` outlives the call and has the size that is passed; the descriptor is used and closed
    // right here.
    unsafe {
        let size = size_of::<Ruleset>();
        let fd = libc::syscall(libc::SYS_landlock_create_ruleset, &raw const rules, size, 0);
        if let Ok(fd) = RawFd::try_from(fd)
            && fd >= 0
        {
            let _ = libc::syscall(libc::SYS_landlock_restrict_self, fd, 0);
            libc::close(fd);
        }
    }
}

/// Every signal back to its default: an ignored one would stay ignored across `exec`. The mask is
/// emptied by `std` before this runs.
fn reset_signals() {
    for signal in 1..=SIGNAL_MAX {
        #[expect(unsafe_code, reason = "raw system calls after fork")]
        // SAFETY: setting a default disposition; numbers that cannot be set are refused.
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
        }
    }
}

/// Init and bridge may be spared by the out-of-memory killer; what they start is not. Best effort:
/// there may be no `/proc`.
fn become_killable() {
    #[expect(unsafe_code, reason = "raw system calls after fork")]
    // SAFETY: a constant C string, and a descriptor that is used and closed right here.
    unsafe {
        let fd = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if fd >= 0 {
            let _ = syscall_write(fd, b"0");
            libc::close(fd);
        }
    }
}

#[expect(unsafe_code, reason = "raw system calls after fork")]
fn syscall_write(fd: RawFd, bytes: &[u8]) -> i32 {
    // SAFETY: the pointer and length describe a live slice.
    let written = unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
    if written < 0 { -1 } else { 0 }
}

fn check(result: i32) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Marks every open descriptor from `first` on as closed on `exec`. For a process that inherited
/// descriptors without that mark.
pub fn mark_close_on_exec_from(first: RawFd) -> io::Result<()> {
    #[expect(unsafe_code, reason = "close_range has no safe form")]
    // SAFETY: only flags of descriptors change; none is closed.
    let result = unsafe {
        libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC)
    };
    if result == 0 {
        return Ok(());
    }
    // Kernels before 5.11 do not know the flag: one by one then.
    for fd in first..OLD_KERNEL_FDS {
        #[expect(unsafe_code, reason = "raw system calls after fork")]
        // SAFETY: only a flag changes; numbers that are not open are refused.
        unsafe {
            libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
        }
    }
    Ok(())
}

/// Takes over a descriptor that this process was started with, under its number, which others look for
/// it by; a standard stream stays, and a copy is returned. Closed on exec.
///
/// To be called at most once per number, at the start of the process, before anything else could
/// own that number.
pub fn inherited(fd: RawFd) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    #[expect(unsafe_code, reason = "a bare number becomes an owned descriptor here")]
    // SAFETY: the kernel checks the number in both calls, so it is open. A copy is owned by nobody else;
    // of the number itself the caller says that nothing in this process owns it.
    unsafe {
        let owned = if fd < FIRST_OTHER_FD {
            libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, FIRST_OTHER_FD)
        } else if libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) == 0 {
            fd
        } else {
            -1
        };
        if owned < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(owned)) }
    }
}

/// Makes `fd`'s open file non-blocking, as an event loop wants it.
pub fn set_nonblocking(fd: impl AsFd) -> io::Result<()> {
    let fd = fd.as_fd();
    let flags = rustix::fs::fcntl_getfl(fd)?;
    Ok(rustix::fs::fcntl_setfl(fd, flags | rustix::fs::OFlags::NONBLOCK)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{Pid, WaitOptions, waitpid};
    use std::{fs::File, io::Read};

    fn null() -> OwnedFd {
        File::options().read(true).write(true).open("/dev/null").unwrap().into()
    }

    /// Runs `script` and returns what it printed.
    fn run(script: &str, env: &[(&str, &str)], keep: &[BorrowedFd<'_>]) -> String {
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let env: Vec<(String, String)> =
            env.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let pid = spawn(ChildSpec {
            argv: &["/bin/sh".into(), "-c".into(), script.into()],
            env: &env,
            cwd: Path::new("/"),
            stdin: null(),
            stdout: write.try_clone().unwrap(),
            stderr: write,
            controlling_terminal: false,
            join: Vec::new(),
            keep: keep.to_vec(),
            die_with_parent: true,
            own: false,
            read_only: None,
        })
        .unwrap();
        let mut text = String::new();
        File::from(read).read_to_string(&mut text).unwrap();
        let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        let (_, status) = waitpid(Some(pid), WaitOptions::empty()).unwrap().unwrap();
        assert_eq!(status.exit_status(), Some(0), "{text}");
        text
    }

    #[test]
    fn the_environment_is_only_what_was_given() {
        let text = run("env", &[("PATH", "/usr/bin:/bin"), ("A", "1"), ("A", "2")], &[]);
        assert!(text.contains("A=2\n"), "{text}");
        assert!(!text.contains("CARGO"), "{text}");
    }

    #[test]
    fn the_child_leads_a_session_of_its_own() {
        let text = run("echo $$; cut -d' ' -f5,6 /proc/$$/stat", &[("PATH", "/usr/bin:/bin")], &[]);
        let (pid, rest) = text.trim().split_once('\n').unwrap();
        assert_eq!(rest, format!("{pid} {pid}"));
    }

    #[test]
    fn only_descriptors_that_are_named_stay_open() {
        let kept = null();
        let leaked = null();
        rustix::io::fcntl_setfd(&leaked, rustix::io::FdFlags::empty()).unwrap();
        let text = run("ls /proc/$$/fd", &[("PATH", "/usr/bin:/bin")], &[kept.as_fd()]);
        let open: Vec<i32> = text.lines().map(|l| l.parse().unwrap()).collect();
        assert!(open.contains(&kept.as_raw_fd()), "{open:?}");
        assert!(!open.contains(&leaked.as_raw_fd()), "{open:?}");
    }

    #[test]
    fn a_program_that_does_not_exist_is_an_error_of_spawn() {
        let err = spawn(ChildSpec {
            argv: &["/no/such/program".into()],
            env: &[],
            cwd: Path::new("/"),
            stdin: null(),
            stdout: null(),
            stderr: null(),
            controlling_terminal: false,
            join: Vec::new(),
            keep: Vec::new(),
            die_with_parent: false,
            own: false,
            read_only: None,
        })
        .unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn the_child_joins_the_groups_it_is_given() {
        // Any writable file stands for `cgroup.procs`: what is written is what the kernel would get.
        let file = tempfile::NamedTempFile::new().unwrap();
        let fd = File::options().append(true).open(file.path()).unwrap();
        let pid = spawn(ChildSpec {
            argv: &["/bin/true".into()],
            env: &[],
            cwd: Path::new("/"),
            stdin: null(),
            stdout: null(),
            stderr: null(),
            controlling_terminal: false,
            join: vec![fd.as_fd()],
            keep: Vec::new(),
            die_with_parent: false,
            own: false,
            read_only: None,
        })
        .unwrap();
        let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        waitpid(Some(pid), WaitOptions::empty()).unwrap();
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), "0");
    }
}

//! Starts a program for a request and puts the tasks around it that carry its output and wait for
//! its end.

use super::{
    Init, Refusal,
    exec::{Exec, PIECE_BYTES, raw, window},
    hunt::{MARK_ID, MARK_INIT},
    output::{OutputLog, Stream},
    places, read_only,
    receipts::Asked,
    table::RUNNING_MAX,
};
use rustix::{
    pipe::{PipeFlags, pipe_with},
    process::Pid,
    pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt},
};
use std::{
    cell::{Cell, RefCell},
    fs::File,
    io,
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
    rc::Rc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use toft_jail::child::{ChildSpec, set_nonblocking, spawn};
use toft_model::{
    id::random_hex,
    init::{ExecSpec, PtySize},
};
use tokio::{
    io::AsyncWriteExt as _,
    net::unix::pipe,
    sync::{Notify, mpsc},
    task::spawn_local,
    time::timeout,
};

/// After its process ended, a program's outputs may stay open in a child that goes on in the
/// background. Its end is told after this long all the same: enough for what is still in the pipe.
const OUTPUT_GRACE: Duration = Duration::from_millis(200);

/// Frames of input that wait for a program that does not read; then its caller waits.
const INPUT_FRAMES_MAX: usize = 8;

/// `ExecSpec::id`, from the protocol.
const ID_BYTES_MAX: usize = 128;

/// `argv` and environment of one program; the kernel's own limit for both is near 2 MiB.
const ARGUMENT_BYTES_MAX: usize = 1 << 20;

/// Characters of a label: with all kept programs the list stays far below a frame's limit.
const LABEL_CHARS_MAX: usize = 200;

/// What a terminal is called for programs when a request does not say.
const TERM: &str = "xterm-256color";

/// Code of what is refused because too much runs already, which is not the fault of what was asked.
const PROCESS_LIMIT: &str = "process_limit";

/// One end for the child, one for init.
struct Streams {
    child: [OwnedFd; 3],
    stdin: Option<pipe::Sender>,
    outputs: Vec<(Stream, pipe::Receiver)>,
    terminal: Option<OwnedFd>,
}

/// Starts what `spec` says.
pub(super) fn start(init: &Rc<Init>, spec: ExecSpec) -> Result<Rc<Exec>, Refusal> {
    check(&spec)?;
    if init.table.running().len() >= RUNNING_MAX {
        return Err(Refusal::new(
            PROCESS_LIMIT,
            format!("{RUNNING_MAX} programs run already; end some of them first"),
        ));
    }
    let number = init.next_number();
    let named = spec.id.is_some();
    let id = spec.id.unwrap_or_else(|| format!("x-{}", random_hex(6)));
    let cwd = if let Some(cwd) = spec.cwd.as_deref() {
        init.cwd.join(cwd)
    } else {
        places::make(&init.cwd);
        init.cwd.clone()
    };
    let env = environment(init, &id, spec.env, spec.pty.is_some());
    let (env, read_only) = if spec.read_only {
        (read_only::environment(init, env), Some(read_only::mounts(init)?))
    } else {
        (env, None)
    };
    let streams = match spec.pty {
        Some(size) => on_terminal(size),
        None => on_pipes(spec.stdin, spec.merge_stderr),
    }
    .map_err(|err| Refusal::new("io", format!("no pipe or terminal could be made: {err}")))?;
    let asked = spec.receipt.map(|of| Asked::new(of, &spec.argv, &cwd, &init.environment.mask()));
    let groups = init.groups.for_program(number);
    let [stdin, stdout, stderr] = streams.child;
    let started = Instant::now();
    let pid = spawn(ChildSpec {
        argv: &spec.argv,
        env: &env,
        cwd: &cwd,
        stdin,
        stdout,
        stderr,
        controlling_terminal: spec.pty.is_some(),
        join: groups.join.iter().map(|file| file.as_fd()).collect(),
        keep: Vec::new(),
        die_with_parent: false,
        own: false,
        read_only,
    })
    .map_err(|err| not_started(&err, &spec.argv[0], &cwd, spec.read_only))?;
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a pid is above zero");
    let ended = init.reaper.expect(pid);
    let name = format!("{id}.out");
    let file = named.then(|| init.log.exec_dir().join(&name));
    let shown = named.then(|| init.log.exec_shown.join(&name));
    let exec = Rc::new(Exec {
        named,
        number,
        pid,
        label: label(spec.label, &spec.argv),
        started_at: unix_ms(),
        environment: init.environment.revision(),
        read_only: spec.read_only,
        started,
        size: Cell::new(spec.pty),
        group: groups.own,
        output: RefCell::new(
            OutputLog::new(file, spec.spill_bytes_max, init.environment.mask()).shown_as(shown),
        ),
        exit: RefCell::new(None),
        reaped: Cell::new(false),
        stdin: RefCell::new(None),
        stdin_task: RefCell::new(None),
        open_outputs: Cell::new(0),
        changed: Notify::new(),
        drained: Notify::new(),
        cursors: RefCell::new(Vec::new()),
        pty: streams.terminal.is_some(),
        terminal: RefCell::new(streams.terminal),
        id,
    });
    init.table.insert(Rc::clone(&exec));
    for (stream, from) in streams.outputs {
        exec.open_outputs.set(exec.open_outputs.get() + 1);
        spawn_local(read_output(Rc::clone(init), Rc::clone(&exec), stream, from));
    }
    if let Some(stdin) = streams.stdin {
        give_input(&exec, |input| write_input(stdin, input));
    }
    let (init, watched) = (Rc::clone(init), Rc::clone(&exec));
    spawn_local(async move {
        // The reaper lives as long as init: it always tells.
        let Ok(status) = ended.await else { return };
        watched.reaped.set(true);
        let ran = watched.started.elapsed();
        let _ = timeout(OUTPUT_GRACE, watched.outputs_closed()).await;
        let exit = watched.finish(status, ran);
        if let Some(asked) = asked {
            init.receipts.ended(&init, &watched, asked, &exit);
        }
        init.table.ended(&watched);
    });
    tracing::debug!(exec.id = %exec.id, pid = raw(exec.pid), "program started");
    Ok(exec)
}

fn check(spec: &ExecSpec) -> Result<(), Refusal> {
    let invalid = |message: &str| Err(Refusal::new("invalid", message.to_owned()));
    if let Some(id) = &spec.id
        && !id_is_valid(id)
    {
        return invalid("an exec id is 1 to 128 of the characters A-Z a-z 0-9 _ . : -");
    }
    if spec.argv.first().is_none_or(String::is_empty) {
        return invalid("`argv` needs a program to run");
    }
    let env = spec.env.iter().map(|(n, v)| n.len() + v.len());
    if spec.argv.iter().map(String::len).chain(env).sum::<usize>() > ARGUMENT_BYTES_MAX {
        return invalid(
            "arguments and environment are longer than 1 MiB; pass long input by stdin",
        );
    }
    if spec.env.iter().any(|(name, _)| name.is_empty() || name.contains('=')) {
        return invalid("an environment name may neither be empty nor hold `=`");
    }
    let texts = spec.argv.iter().chain(spec.env.iter().flat_map(|(n, v)| [n, v]));
    if texts.chain(&spec.cwd).any(|text| text.contains('\0')) {
        return invalid("arguments, environment and folder may not hold a NUL byte");
    }
    Ok(())
}

/// `[A-Za-z0-9_.:-]{1,128}`, from the protocol.
pub(super) fn id_is_valid(id: &str) -> bool {
    (1..=ID_BYTES_MAX).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.:-".contains(&b))
}

/// What people see: one line of a list, not a whole script.
fn label(given: Option<String>, argv: &[String]) -> String {
    given.unwrap_or_else(|| argv.join(" ")).chars().take(LABEL_CHARS_MAX).collect()
}

fn environment(
    init: &Init,
    id: &str,
    extra: Vec<(String, String)>,
    terminal: bool,
) -> Vec<(String, String)> {
    let mut env = init.work_env.clone();
    if terminal {
        env.push(("TERM".to_owned(), TERM.to_owned()));
    }
    env.extend(init.environment.vars());
    env.extend(extra);
    env.push((MARK_INIT.to_owned(), init.mark.clone()));
    env.push((MARK_ID.to_owned(), id.to_owned()));
    env
}

fn not_started(err: &io::Error, program: &str, cwd: &Path, only_reads: bool) -> Refusal {
    let message = if only_reads && read_only::is_other(cwd) {
        format!(
            "a program that only reads cannot start in {}: that folder is another one for it",
            cwd.display()
        )
    } else if !cwd.is_dir() {
        format!("the folder {} does not exist in the machine", cwd.display())
    } else if err.kind() == io::ErrorKind::NotFound {
        let message = format!("there is no program `{program}` in the machine's PATH");
        return Refusal::new("not_executable", message);
    } else if err.kind() == io::ErrorKind::PermissionDenied {
        let message = format!("`{program}` is no program that may be run: {err}");
        return Refusal::new("not_executable", message);
    } else if err.kind() == io::ErrorKind::ArgumentListTooLong {
        // MAX_ARG_STRLEN of Linux, for one argument.
        "an argument is longer than 128 KiB; write it to a file, or pass it by stdin".to_owned()
    } else if err.kind() == io::ErrorKind::WouldBlock {
        // What `fork` says where the cgroup or the user may have no more.
        let message = format!(
            "`{program}` could not be started: the machine has as many processes as it may. End some, \
             stop and start the project, or raise its process limit"
        );
        return Refusal::new(PROCESS_LIMIT, message);
    } else {
        format!("`{program}` could not be started: {err}")
    };
    Refusal::new("spawn", message)
}

fn on_pipes(stdin: bool, merged: bool) -> io::Result<Streams> {
    let (child_in, stdin) = if stdin {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        (read, Some(pipe::Sender::from_owned_fd(write)?))
    } else {
        (File::open("/dev/null")?.into(), None)
    };
    let (out_read, child_out) = pipe_with(PipeFlags::CLOEXEC)?;
    let mut outputs = vec![(Stream::Out, pipe::Receiver::from_owned_fd(out_read)?)];
    let child_err = if merged {
        child_out.try_clone()?
    } else {
        let (err_read, child_err) = pipe_with(PipeFlags::CLOEXEC)?;
        outputs.push((Stream::Err, pipe::Receiver::from_owned_fd(err_read)?));
        child_err
    };
    Ok(Streams { child: [child_in, child_out, child_err], stdin, outputs, terminal: None })
}

fn on_terminal(size: PtySize) -> io::Result<Streams> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags)?;
    unlockpt(&master)?;
    rustix::termios::tcsetwinsize(&master, window(size))?;
    let slave = ioctl_tiocgptpeer(&master, flags)?;
    set_nonblocking(&master)?;
    Ok(Streams {
        child: [slave.try_clone()?, slave.try_clone()?, slave],
        // A terminal is no pipe, but it is polled, read and written like one.
        stdin: Some(pipe::Sender::from_owned_fd_unchecked(master.try_clone()?)?),
        outputs: vec![(Stream::Out, pipe::Receiver::from_owned_fd_unchecked(master.try_clone()?)?)],
        terminal: Some(master),
    })
}

/// Makes the queue for input and starts the task that empties it.
fn give_input<F>(exec: &Exec, writer: impl FnOnce(mpsc::Receiver<Vec<u8>>) -> F)
where
    F: Future<Output = ()> + 'static,
{
    let (give, take) = mpsc::channel(INPUT_FRAMES_MAX);
    *exec.stdin.borrow_mut() = Some(give);
    let task = spawn_local(writer(take));
    *exec.stdin_task.borrow_mut() = Some(task.abort_handle());
}

async fn write_input(mut to: pipe::Sender, mut input: mpsc::Receiver<Vec<u8>>) {
    while let Some(bytes) = input.recv().await {
        // The program closed its input: what still comes is dropped with the queue.
        if to.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

async fn read_output(init: Rc<Init>, exec: Rc<Exec>, stream: Stream, from: pipe::Receiver) {
    loop {
        if from.readable().await.is_err() {
            break;
        }
        match init
            .with_scratch(|buf| from.try_read(buf).inspect(|n| exec.append(stream, &buf[..*n])))
        {
            Ok(0) => break,
            Ok(_) => held_back(&exec).await,
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => {}
            // EIO is how a terminal says that its last user is gone.
            Err(_) => break,
        }
    }
    exec.output_closed();
}

/// Waits for followers, and lets other tasks run even when output never ceases.
async fn held_back(exec: &Exec) {
    exec.wait_for_followers().await;
    tokio::task::consume_budget().await;
}

/// A buffer that all readers share: they only use it between two awaits.
pub(super) struct Scratch(RefCell<Box<[u8]>>);

impl Scratch {
    pub(super) fn new() -> Self {
        Self(RefCell::new(vec![0; PIECE_BYTES].into_boxed_slice()))
    }

    pub(super) fn with<T>(&self, use_it: impl FnOnce(&mut [u8]) -> T) -> T {
        use_it(&mut self.0.borrow_mut())
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_start_says_whose_fault_it_is() {
        let code = |kind: io::ErrorKind| not_started(&kind.into(), "x", Path::new("/"), false).code;
        assert_eq!(code(io::ErrorKind::WouldBlock), "process_limit");
        assert_eq!(code(io::ErrorKind::NotFound), "not_executable");
        assert_eq!(code(io::ErrorKind::ArgumentListTooLong), "spawn");
    }
}

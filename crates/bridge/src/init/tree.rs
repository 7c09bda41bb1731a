//! The project's tree, read by a child of init's own: nothing waits for it, what it stumbles over is its own, and
//! no program of the machine gets at its memory or its words.

use super::{Init, stderr};
use rustix::{
    pipe::{PipeFlags, pipe_with},
    process::{Pid, Signal, kill_process},
};
use std::{
    cell::RefCell,
    fs::File,
    io,
    path::Path,
    rc::Rc,
    time::{Duration, Instant},
};
use toft_jail::child::{ChildSpec, spawn};
use toft_tools::tree::{PART, Seen};
use tokio::{io::AsyncReadExt as _, net::unix::pipe, sync::Mutex, time::timeout};

/// The largest trees take half of it when nothing of them is in memory.
const TIME_MAX: Duration = Duration::from_mins(1);

/// What it says has a few hundred bytes.
const ANSWER_BYTES_MAX: u64 = 4 << 10;

/// See the module.
#[derive(Default)]
pub(super) struct Trees {
    /// One look at a time.
    turn: Mutex<()>,
    /// When the last one began, and what it saw.
    last: RefCell<Option<(Instant, Option<Seen>)>>,
    /// What may be known to be unchanged the next time.
    known: RefCell<Option<Seen>>,
}

/// The tree as it is at some moment from now on; `None` when it could not be read.
pub(super) async fn look(init: &Rc<Init>) -> Option<Seen> {
    let came = Instant::now();
    let trees = &init.trees;
    let _turn = trees.turn.lock().await;
    // One that began while this one waited is as good.
    if let Some((_, seen)) = trees.last.borrow().as_ref().filter(|(began, _)| *began >= came) {
        return seen.clone();
    }
    let began = Instant::now();
    let seen = read(init).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "the project's tree could not be read");
        None
    });
    if let Some(seen) = seen.as_ref().filter(|seen| seen.fingerprint.is_some()) {
        *trees.known.borrow_mut() = Some(seen.clone());
    }
    *trees.last.borrow_mut() = Some((began, seen.clone()));
    seen
}

async fn read(init: &Init) -> io::Result<Option<Seen>> {
    let known = init.trees.known.borrow().as_ref().map(serde_json::to_string).transpose()?;
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    let mut answer = pipe::Receiver::from_owned_fd(read)?.take(ANSWER_BYTES_MAX);
    // As the bridge is started, in another part.
    let own = init.bridge_argv.split_last().map_or(&[][..], |(_, own)| own);
    let mut argv = own.to_vec();
    argv.extend([PART.to_owned(), init.bridge_boot.cwd.clone()]);
    argv.extend(known);
    let pid = spawn(ChildSpec {
        argv: &argv,
        env: &[],
        cwd: Path::new("/"),
        stdin: File::open("/dev/null")?.into(),
        stdout: write,
        stderr: stderr::own()?,
        controlling_terminal: false,
        join: Vec::new(),
        keep: Vec::new(),
        die_with_parent: true,
        own: true,
        read_only: None,
    })?;
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a pid is above zero");
    let ended = init.reaper.expect(pid);
    let mut text = Vec::new();
    let whole = async {
        answer.read_to_end(&mut text).await?;
        io::Result::Ok(ended.await.ok())
    };
    let Ok(whole) = timeout(TIME_MAX, whole).await else {
        let _ = kill_process(pid, Signal::KILL);
        return Ok(None);
    };
    let succeeded = whole?.and_then(rustix::process::WaitStatus::exit_status) == Some(0);
    Ok(serde_json::from_slice(&text).ok().filter(|_| succeeded))
}

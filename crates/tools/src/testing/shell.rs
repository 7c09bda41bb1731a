//! Programs of this system behind the promises of a machine's shell.

use super::lock;
use crate::host::{Shell, ShellError, ShellEvent, ShellRun};
use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use toft_model::init::{ExecExit, ExecSpec, ExecStatus};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{ChildStdin, Command},
    sync::watch,
};

/// Programs of this system, each in a process group of its own, with init's promises: the same id
/// never starts twice, output is kept, a kill reaches the whole group.
#[derive(Debug)]
pub struct LocalShell {
    runs: Mutex<BTreeMap<String, Arc<Kept>>>,
    folder: PathBuf,
    lose_after: AtomicU64,
    made: AtomicU64,
    env: Mutex<Vec<(String, String)>>,
    own_program: Mutex<Vec<String>>,
}

#[derive(Debug)]
struct Kept {
    pid: u32,
    label: String,
    read_only: bool,
    started_at: u64,
    state: watch::Sender<State>,
    input: tokio::sync::Mutex<Option<ChildStdin>>,
}

#[derive(Debug, Clone, Default)]
struct State {
    output: Arc<Vec<u8>>,
    /// Which parts of it came on the stream of errors: where each begins and ends.
    errors: Arc<Vec<(usize, usize)>>,
    exit: Option<ExecExit>,
}

impl State {
    fn take(&mut self, bytes: &[u8], is_errors: bool) {
        let from = self.output.len();
        Arc::make_mut(&mut self.output).extend_from_slice(bytes);
        if is_errors {
            Arc::make_mut(&mut self.errors).push((from, self.output.len()));
        }
    }

    /// The next part of one stream from there on.
    fn part(&self, at: usize) -> (ShellEvent, usize) {
        let next = self.errors.iter().find(|(_, end)| *end > at);
        let (to, is_errors) = match next {
            Some((from, end)) if *from <= at => (*end, true),
            Some((from, _)) => (*from, false),
            None => (self.output.len(), false),
        };
        let bytes = self.output[at..to].to_vec();
        (if is_errors { ShellEvent::Errors(bytes) } else { ShellEvent::Output(bytes) }, to)
    }
}

impl LocalShell {
    /// Keeps output files in `folder`.
    pub fn new(folder: &Path) -> Self {
        Self {
            runs: Mutex::default(),
            folder: folder.to_owned(),
            lose_after: AtomicU64::new(u64::MAX),
            made: AtomicU64::new(0),
            env: Mutex::default(),
            own_program: Mutex::default(),
        }
    }

    /// What plays parts of Toft; without it none can be played.
    pub fn set_own_program(&self, argv: &[&str]) {
        *lock(&self.own_program) = argv.iter().map(|arg| (*arg).to_owned()).collect();
    }

    /// Every later program gets this variable.
    pub fn set_env(&self, name: &str, value: &str) {
        lock(&self.env).push((name.to_owned(), value.to_owned()));
    }

    /// The next connection is lost after so many bytes of output.
    pub fn lose_after_bytes(&self, bytes: u64) {
        self.lose_after.store(bytes, Ordering::SeqCst);
    }

    fn find(&self, id: &str) -> Option<Arc<Kept>> {
        lock(&self.runs).get(id).cloned()
    }

    fn follow(&self, id: &str, kept: &Kept) -> ShellRun {
        let lose_after = self.lose_after.swap(u64::MAX, Ordering::SeqCst);
        let watched = kept.state.subscribe();
        let events =
            stream::unfold((watched, 0usize, false), move |(mut watched, at, over)| async move {
                if over {
                    return None;
                }
                if at as u64 >= lose_after {
                    return Some((ShellEvent::Lost, (watched, at, true)));
                }
                let state = watched
                    .wait_for(|s| s.output.len() > at || s.exit.is_some())
                    .await
                    .ok()?
                    .clone();
                if state.output.len() > at {
                    let (event, to) = state.part(at);
                    return Some((event, (watched, to, false)));
                }
                let exit = state.exit?;
                Some((ShellEvent::Exit(exit), (watched, at, true)))
            });
        ShellRun { id: id.to_owned(), pid: kept.pid, events: events.boxed() }
    }
}

impl Drop for LocalShell {
    fn drop(&mut self) {
        for kept in lock(&self.runs).values() {
            if kept.state.borrow().exit.is_none() {
                signal_group(kept.pid, "KILL");
            }
        }
    }
}

/// Takes in what comes from a pipe until all its writers are gone.
async fn listen(kept: &Kept, from: std::io::PipeReader, is_errors: bool) {
    let file = std::fs::File::from(std::os::fd::OwnedFd::from(from));
    let mut reader = tokio::fs::File::from_std(file);
    let mut buf = vec![0; 64 << 10];
    while let Ok(n) = reader.read(&mut buf).await
        && n > 0
    {
        kept.state.send_modify(|state| state.take(&buf[..n], is_errors));
    }
}

/// Signals a process group; `unsafe` is for the jail only, so a program does it.
fn signal_group(pid: u32, signal: &str) {
    let _ = std::process::Command::new("kill")
        .args([&format!("-{signal}"), "--", &format!("-{pid}")])
        .stderr(Stdio::null())
        .status();
}

/// Whether anything of a process group still runs (zombies do not).
fn group_runs(group: u32) -> bool {
    let Ok(entries) = std::fs::read_dir("/proc") else { return false };
    entries.filter_map(Result::ok).any(|entry| {
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // pid (comm) state ppid pgrp …; comm may hold anything but the last `)`.
        let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let mut fields = rest.split_whitespace();
        let state = fields.next().unwrap_or("Z");
        let pgrp = fields.nth(1).and_then(|p| p.parse::<u32>().ok());
        pgrp == Some(group) && !matches!(state, "Z" | "X")
    })
}

#[async_trait]
impl Shell for LocalShell {
    async fn start(&self, spec: ExecSpec) -> Result<ShellRun, ShellError> {
        let number = self.made.fetch_add(1, Ordering::SeqCst);
        let id = spec.id.clone().unwrap_or_else(|| format!("exec{number}"));
        if let Some(kept) = self.find(&id) {
            return Ok(self.follow(&id, &kept));
        }
        let failed = |code: &str, message: String| ShellError { code: code.into(), message };
        let Some((program, rest)) = spec.argv.split_first() else {
            return Err(failed("invalid", "there is no program to run".into()));
        };
        // Both streams in one pipe, in the order they were written, unless they are wanted apart.
        let (reader, writer) = std::io::pipe().map_err(|e| failed("io", e.to_string()))?;
        let (apart, errors) = std::io::pipe().map_err(|e| failed("io", e.to_string()))?;
        let stdout = writer.try_clone().map_err(|e| failed("io", e.to_string()))?;
        let stderr = if spec.merge_stderr { writer } else { errors };
        let mut command = Command::new(program);
        command
            .args(rest)
            .envs(lock(&self.env).iter().cloned())
            .envs(spec.env.iter().cloned())
            .stdin(if spec.stdin { Stdio::piped() } else { Stdio::null() })
            .stdout(stdout)
            .stderr(stderr)
            .process_group(0);
        if let Some(cwd) = &spec.cwd {
            command.current_dir(cwd);
        }
        let mut child = command.spawn().map_err(|e| failed("spawn", format!("{program}: {e}")))?;
        // Its copies of the pipe's end would keep the pipe open.
        drop(command);
        let pid = child.id().unwrap_or_default();
        let started = Instant::now();
        let (state, _) = watch::channel(State::default());
        let kept = Arc::new(Kept {
            pid,
            label: spec.label.clone().unwrap_or_else(|| spec.argv.join(" ")),
            read_only: spec.read_only,
            started_at: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)),
            state,
            input: tokio::sync::Mutex::new(child.stdin.take()),
        });
        lock(&self.runs).insert(id.clone(), Arc::clone(&kept));
        let path = self.folder.join(format!("{}.out", id.replace(':', "_")));
        let run = self.follow(&id, &kept);
        // Owned by the process: ends with it, and Drop ends that.
        tokio::spawn(async move {
            let ((), (), status) = tokio::join!(
                listen(&kept, reader, false),
                listen(&kept, apart, true),
                child.wait(),
            );
            let status = status.ok();
            let output = Arc::clone(&kept.state.borrow().output);
            let spilled = tokio::fs::write(&path, output.as_slice()).await.is_ok();
            let exit = ExecExit {
                code: status.and_then(|s| s.code()),
                signal: status.and_then(|s| std::os::unix::process::ExitStatusExt::signal(&s)),
                output_bytes: output.len() as u64,
                truncated: false,
                output_path: spilled.then(|| path.display().to_string()),
                duration_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            };
            *kept.input.lock().await = None;
            kept.state.send_modify(|state| state.exit = Some(exit));
        });
        Ok(run)
    }

    async fn kill(&self, id: &str, grace_ms: u64) -> Result<(), ShellError> {
        let Some(kept) = self.find(id) else {
            return Err(ShellError {
                code: "not_found".into(),
                message: format!("there is no program {id}"),
            });
        };
        let wait = async || {
            while group_runs(kept.pid) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if grace_ms > 0 {
            signal_group(kept.pid, "TERM");
        }
        if tokio::time::timeout(Duration::from_millis(grace_ms), wait()).await.is_err() {
            signal_group(kept.pid, "KILL");
            wait().await;
        }
        let mut state = kept.state.subscribe();
        let _ = state.wait_for(|s| s.exit.is_some()).await;
        Ok(())
    }

    async fn forget(&self, id: &str) -> Result<(), ShellError> {
        lock(&self.runs).remove(id);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<ExecStatus>, ShellError> {
        let mut all: Vec<ExecStatus> = lock(&self.runs)
            .iter()
            .map(|(id, kept)| {
                let state = kept.state.borrow();
                ExecStatus {
                    id: id.clone(),
                    pid: kept.pid,
                    label: kept.label.clone(),
                    pty: false,
                    size: None,
                    stdin: kept.input.try_lock().is_ok_and(|input| input.is_some()),
                    started_at: kept.started_at,
                    output_bytes: state.output.len() as u64,
                    environment: 0,
                    read_only: kept.read_only,
                    exit: state.exit.clone(),
                }
            })
            .collect();
        all.sort_by_key(|status| status.started_at);
        Ok(all)
    }

    /// Takes their word for it: nothing keeps them from writing here.
    async fn has_read_only(&self) -> bool {
        true
    }

    async fn input(&self, id: &str, bytes: &[u8], close: bool) -> Result<(), ShellError> {
        let failed = |code: &str| ShellError { code: code.into(), message: id.to_owned() };
        let kept = self.find(id).ok_or_else(|| failed("not_found"))?;
        let mut input = kept.input.lock().await;
        let Some(pipe) = &mut *input else { return Err(failed("invalid")) };
        pipe.write_all(bytes).await.map_err(|_| failed("invalid"))?;
        if close {
            *input = None;
        }
        Ok(())
    }

    fn own_program(&self) -> Vec<String> {
        lock(&self.own_program).clone()
    }

    fn home(&self) -> PathBuf {
        self.folder.join("home")
    }
}

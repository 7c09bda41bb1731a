//! Programs with names in a test's machine: they go on when their caller leaves, and starting a
//! known one attaches to it.

use super::reply;
use std::{
    collections::HashMap,
    process::Stdio,
    sync::{Arc, Mutex},
};
use toft_model::{
    frame::{FrameKind, encode},
    init::{ExecExit, ExecSpec, ExecStatus, InitReply},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    sync::watch,
};
use tokio_util::task::AbortOnDropHandle;

/// All of one machine.
#[derive(Default)]
pub(crate) struct Named(Mutex<HashMap<String, Arc<Program>>>);

struct Program {
    pid: u32,
    /// What it printed, and how it ended.
    told: watch::Receiver<(Vec<u8>, Option<ExecExit>)>,
    _runs: AbortOnDropHandle<()>,
}

impl Named {
    fn get(&self, id: &str) -> Option<Arc<Program>> {
        self.0.lock().unwrap().get(id).cloned()
    }

    pub(crate) async fn exec(
        &self,
        stream: &mut UnixStream,
        spec: ExecSpec,
    ) -> std::io::Result<()> {
        let id = spec.id.clone().unwrap();
        assert!(spec.detach, "it would end with its caller");
        let attached = {
            let mut all = self.0.lock().unwrap();
            let known = all.contains_key(&id);
            if !known {
                all.insert(id.clone(), Arc::new(start(&spec)));
            }
            known
        };
        self.follow(stream, &id, attached).await
    }

    pub(crate) async fn attach(&self, stream: &mut UnixStream, id: &str) -> std::io::Result<()> {
        if self.get(id).is_none() {
            let message = format!("no program is called {id}");
            reply(stream, &InitReply::Failed { code: "not_found".into(), message }).await;
            return Ok(());
        }
        self.follow(stream, id, true).await
    }

    pub(crate) fn list(&self) -> Vec<ExecStatus> {
        let status = |(id, program): (&String, &Arc<Program>)| ExecStatus {
            id: id.clone(),
            pid: program.pid,
            label: id.clone(),
            pty: false,
            size: None,
            stdin: false,
            started_at: 1,
            output_bytes: program.told.borrow().0.len() as u64,
            environment: 0,
            read_only: false,
            exit: program.told.borrow().1.clone(),
        };
        self.0.lock().unwrap().iter().map(status).collect()
    }

    pub(crate) fn forget(&self, id: &str) {
        self.0.lock().unwrap().remove(id);
    }

    pub(crate) fn kill(&self, id: &str) {
        if let Some(program) = self.get(id) {
            let group = format!("-{}", program.pid);
            let _ = std::process::Command::new("kill").args(["-9", "--", &group]).status();
        }
    }

    async fn follow(
        &self,
        stream: &mut UnixStream,
        id: &str,
        attached: bool,
    ) -> std::io::Result<()> {
        let Some(program) = self.get(id) else { return Ok(()) };
        let started =
            InitReply::Started { id: id.into(), pid: program.pid, attached, environment: 0 };
        reply(stream, &started).await;
        let mut told = program.told.clone();
        let mut at = 0;
        loop {
            let (output, exit) = told.borrow_and_update().clone();
            if output.len() > at {
                stream.write_all(&encode(FrameKind::Stdout, &output[at..])).await?;
                at = output.len();
            }
            if let Some(exit) = exit {
                reply(stream, &InitReply::Exit(exit)).await;
                return Ok(());
            }
            if told.changed().await.is_err() {
                return Ok(());
            }
        }
    }
}

fn start(spec: &ExecSpec) -> Program {
    let mut child = tokio::process::Command::new(&spec.argv[0])
        .args(&spec.argv[1..])
        // No profile of whoever runs the tests.
        .env("HOME", "/")
        .current_dir(spec.cwd.as_deref().unwrap_or("/"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let pid = child.id().unwrap();
    let (tell, told) = watch::channel((Vec::new(), None));
    let runs = tokio::spawn(async move {
        let mut out = child.stdout.take().unwrap();
        let mut buf = vec![0u8; 32_768];
        while let Ok(n @ 1..) = out.read(&mut buf).await {
            tell.send_modify(|(output, _)| output.extend_from_slice(&buf[..n]));
        }
        let status = child.wait().await.unwrap();
        let exit = ExecExit {
            code: status.code(),
            signal: std::os::unix::process::ExitStatusExt::signal(&status),
            output_bytes: tell.borrow().0.len() as u64,
            truncated: false,
            output_path: None,
            duration_ms: 1,
        };
        tell.send_modify(|(_, told)| *told = Some(exit));
        // What was told stays readable.
        tell.closed().await;
    });
    Program { pid, told, _runs: AbortOnDropHandle::new(runs) }
}

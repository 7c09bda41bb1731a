//! The init of a test's machine: runs real programs, streams what they print, kills them.

#[path = "box_named.rs"]
mod named;

use named::Named;
use std::{
    collections::HashMap,
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use toft_model::{
    frame::{Decoder, FrameKind, encode},
    init::{ExecExit, ExecSpec, InitInput, InitReply, InitRequest},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixListener, UnixStream},
    task::JoinHandle,
};
use tokio_util::task::AbortOnDropHandle;

/// A program that a full machine does not start.
pub(crate) const FULL: &str = "one-too-many";

/// Programs by id, for `Kill`.
static EXECS: Mutex<Option<HashMap<String, u32>>> = Mutex::new(None);
static NEXT_EXEC: AtomicU64 = AtomicU64::new(1);

pub(crate) async fn serve(listener: UnixListener, is_bridge_dead: Arc<AtomicBool>) {
    // They end with the machine, not with the connection that started them.
    let named = Arc::new(Named::default());
    let mut conns: Vec<AbortOnDropHandle<()>> = Vec::new();
    while let Ok((stream, _)) = listener.accept().await {
        conns.retain(|c| !c.is_finished());
        let is_bridge_dead = is_bridge_dead.load(Ordering::SeqCst);
        let named = Arc::clone(&named);
        conns.push(AbortOnDropHandle::new(tokio::spawn(async move {
            let _ = Box::pin(init_connection(stream, is_bridge_dead, &named)).await;
        })));
    }
}

pub(crate) async fn reply(stream: &mut (impl tokio::io::AsyncWrite + Unpin), reply: &InitReply) {
    let frame = encode(FrameKind::Json, &serde_json::to_vec(reply).unwrap());
    let _ = stream.write_all(&frame).await;
}

async fn init_connection(
    mut stream: UnixStream,
    is_bridge_dead: bool,
    named: &Named,
) -> std::io::Result<()> {
    let mut decoder = Decoder::default();
    let mut buf = [0u8; 4096];
    let request = loop {
        let n = stream.read(&mut buf).await?;
        if n == 0 {
            return Ok(());
        }
        decoder.push(&buf[..n]);
        if let Some((_, payload)) = decoder.next_frame().unwrap() {
            break serde_json::from_slice::<InitRequest>(&payload).unwrap();
        }
    };
    match request {
        InitRequest::Exec(spec) if spec.id.is_some() => named.exec(&mut stream, spec).await,
        InitRequest::Attach { id, .. } => named.attach(&mut stream, &id).await,
        InitRequest::List => {
            reply(&mut stream, &InitReply::List { execs: named.list() }).await;
            Ok(())
        }
        InitRequest::Forget { id } => {
            named.forget(&id);
            reply(&mut stream, &InitReply::Done).await;
            Ok(())
        }
        InitRequest::Exec(spec) => run_program(stream, decoder, spec).await,
        InitRequest::Kill { id, .. } => {
            named.kill(&id);
            let pid = EXECS.lock().unwrap().get_or_insert_default().get(&id).copied();
            if let Some(pid) = pid {
                // The group that the program leads.
                let group = format!("-{pid}");
                let _ = std::process::Command::new("kill").args(["-9", "--", &group]).status();
            }
            reply(&mut stream, &InitReply::Done).await;
            Ok(())
        }
        InitRequest::Hello => {
            let hello = InitReply::Hello {
                protocol: 1,
                version: "1.2.3".into(),
                bridge_pid: (!is_bridge_dead).then_some(7),
                bridge_starts: if is_bridge_dead { 5 } else { 1 },
                read_only: false,
            };
            reply(&mut stream, &hello).await;
            Ok(())
        }
        InitRequest::SetEnvironment(_) => {
            reply(&mut stream, &InitReply::Done).await;
            Ok(())
        }
        other => panic!("the server asked init for {other:?}"),
    }
}

async fn run_program(
    mut stream: UnixStream,
    mut decoder: Decoder,
    spec: ExecSpec,
) -> std::io::Result<()> {
    let child = tokio::process::Command::new(&spec.argv[0])
        .args(&spec.argv[1..])
        // No profile of whoever runs the tests.
        .env("HOME", "/")
        .envs(spec.env)
        .current_dir(spec.cwd.unwrap_or_else(|| "/".into()))
        .stdin(if spec.stdin { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn();
    if spec.argv[0] == FULL {
        let message = "the machine has as many processes as it may".into();
        reply(&mut stream, &InitReply::Failed { code: "process_limit".into(), message }).await;
        return Ok(());
    }
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            let message = format!("{} could not be started: {error}", spec.argv[0]);
            reply(&mut stream, &InitReply::Failed { code: "spawn".into(), message }).await;
            return Ok(());
        }
    };
    let id = format!("exec-{}", NEXT_EXEC.fetch_add(1, Ordering::SeqCst));
    let pid = child.id().unwrap();
    EXECS.lock().unwrap().get_or_insert_default().insert(id.clone(), pid);
    reply(&mut stream, &InitReply::Started { id, pid, attached: false, environment: 0 }).await;
    let (mut read, mut write) = stream.into_split();
    let mut stdin = child.stdin.take();
    let input: JoinHandle<()> = tokio::spawn(async move {
        let mut buf = vec![0u8; 65536];
        loop {
            while let Ok(Some((kind, payload))) = decoder.next_frame() {
                if kind == FrameKind::Stdin {
                    if let Some(pipe) = &mut stdin {
                        let _ = pipe.write_all(&payload).await;
                    }
                } else if serde_json::from_slice::<InitInput>(&payload).is_ok() {
                    stdin = None;
                }
            }
            match read.read(&mut buf).await {
                Ok(n) if n > 0 => decoder.push(&buf[..n]),
                _ => return,
            }
        }
    });
    let input = AbortOnDropHandle::new(input);
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let (mut out_buf, mut err_buf) = (vec![0u8; 32768], vec![0u8; 32768]);
    let (mut out_open, mut err_open) = (true, true);
    let mut bytes = 0u64;
    while out_open || err_open {
        let (kind, chunk) = tokio::select! {
            n = out.read(&mut out_buf), if out_open => (FrameKind::Stdout, &out_buf[..n?]),
            n = err.read(&mut err_buf), if err_open => (FrameKind::Stderr, &err_buf[..n?]),
        };
        if chunk.is_empty() {
            if kind == FrameKind::Stdout {
                out_open = false;
            } else {
                err_open = false;
            }
            continue;
        }
        bytes += chunk.len() as u64;
        write.write_all(&encode(kind, chunk)).await?;
    }
    let status = child.wait().await?;
    drop(input);
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    let exit = ExecExit {
        code: status.code(),
        signal,
        output_bytes: bytes,
        truncated: false,
        output_path: None,
        duration_ms: 1,
    };
    reply(&mut write, &InitReply::Exit(exit)).await;
    Ok(())
}

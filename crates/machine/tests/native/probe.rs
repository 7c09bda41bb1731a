//! A stand-in for the `toft` binary in the tests of this crate: the real launcher, and an init that
//! speaks just enough of its protocol to look around from inside. The real init lives in a crate
//! above this one; its own tests and the stories use it.

#![expect(clippy::print_stderr, reason = "what init says there is what a test looks for")]

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use std::{
    fs::File,
    io::{self, IoSlice, Read as _, Write as _},
    mem::MaybeUninit,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};
use toft_machine::{
    backend::{Backend, MachineError, StartSpec},
    native::{self, NativeConfig},
    oci::{self, OciConfig, OciImage},
    steps,
};
use toft_model::{
    boot::InitBoot,
    checkpoint::{CheckpointId, Ticket},
    frame::{Decoder, FrameKind, encode},
    id::ProjectId,
    init::{ExecExit, ExecSpec, INIT_PROTOCOL, InitReply, InitRequest},
    machine::Limits,
};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let number = |at: usize| args[at].parse::<i32>().expect("a descriptor number");
    match args.get(1).map(String::as_str) {
        Some("__launch") => toft_jail::launch::main(number(2)),
        // By descriptor, or in a container by the socket of its seat.
        Some("init") => match args[2].parse() {
            Ok(boot) => init(boot).expect("init works"),
            Err(_) => toft_jail::contained::take(args[2].as_ref())
                .and_then(|()| init(toft_jail::spec::FD_BOOT))
                .expect("init takes its seat"),
        },
        Some("oci") => oci(&args[2..]).expect("the deed is done"),
        Some("deed") => deed(&args[2..]).expect("the deed is done"),
        Some("churn") => churn(&args[2..]).expect("copies are made and removed"),
        other => panic!("{other:?} is no task"),
    }
}

/// The same of the backend `oci`: `oci DATA_DIR SOCKET TARBALL STEP PROJECT FORK CHECKPOINT`.
fn oci(args: &[String]) -> Result<(), MachineError> {
    let [data_dir, socket, tarball, rest @ ..] = args else { panic!("oci: seven arguments") };
    let config = OciConfig {
        data_dir: data_dir.into(),
        exe: std::env::current_exe().expect("this program has a path"),
        sockets: vec![socket.into()],
        image: OciImage::Tarball(tarball.into()),
        disk_bytes_max: None,
    };
    let runtime = tokio::runtime::Runtime::new().expect("threads can be made");
    runtime.block_on(async { act(&oci::open(config).await?, rest).await })?;
    removed(data_dir.as_ref());
    Ok(())
}

/// A server that takes checkpoints, goes back to them, forks and deletes, until it is killed:
/// `churn DATA_DIR PROJECT FORK`.
fn churn(args: &[String]) -> Result<(), MachineError> {
    let [data_dir, project, fork] = args else { panic!("churn DATA_DIR PROJECT FORK") };
    let parse = |id: &String| id.parse::<ProjectId>().expect("an id");
    let (project, fork) = (parse(project), parse(fork));
    let exe = std::env::current_exe().expect("this program has a path");
    let config = NativeConfig { data_dir: data_dir.into(), exe, disk_bytes_max: None };
    let runtime = tokio::runtime::Runtime::new().expect("threads can be made");
    runtime.block_on(async {
        let native = native::open(config).await?;
        for at in 1.. {
            let id = CheckpointId::random();
            native.checkpoint(&project, &id).await?;
            let ticket = Ticket::Restore {
                checkpoint_id: id.clone(),
                label: None,
                at,
                taken_at: at,
                place: None,
            };
            native.restore(&project, &id, &ticket, false).await?;
            let ticket = Ticket::Fork {
                from: project.clone(),
                seq: at,
                checkpoint_id: None,
                at,
                place: None,
            };
            native.fork(&project, Some(&id), &fork, &ticket).await?;
            native.destroy(&fork).await?;
            // One of three stays.
            if at % 3 != 0 {
                native.drop_checkpoint(&project, &id).await?;
            }
        }
        Ok(())
    })
}

/// A server that does one thing, and is killed at one of its steps: `deed DATA_DIR STEP PROJECT FORK
/// CHECKPOINT`.
fn deed(args: &[String]) -> Result<(), MachineError> {
    let [data_dir, rest @ ..] = args else { panic!("deed: five arguments") };
    let exe = std::env::current_exe().expect("this program has a path");
    let config = NativeConfig { data_dir: data_dir.into(), exe, disk_bytes_max: None };
    let runtime = tokio::runtime::Runtime::new().expect("threads can be made");
    runtime.block_on(async { act(&native::open(config).await?, rest).await })?;
    removed(data_dir.as_ref());
    Ok(())
}

/// Waits until what a deed replaced is removed, which goes on behind it: a runtime that ends drops what it has not
/// begun yet.
fn removed(data_dir: &Path) {
    let end = Instant::now() + Duration::from_secs(10);
    let scratch = data_dir.join("store/pool/tmp");
    let stays = |name: std::ffi::OsString| !name.to_string_lossy().starts_with("spare-");
    while std::fs::read_dir(&scratch)
        .is_ok_and(|entries| entries.flatten().any(|entry| stays(entry.file_name())))
        && Instant::now() < end
    {
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// `STEP PROJECT FORK CHECKPOINT`; what is done is the first part of the step's name.
async fn act(backend: &dyn Backend, args: &[String]) -> Result<(), MachineError> {
    let [step, project, fork, id] = args else { panic!("STEP PROJECT FORK CHECKPOINT") };
    let parse = |id: &String| id.parse::<ProjectId>().expect("an id");
    let (project, fork) = (parse(project), parse(fork));
    let id: CheckpointId = id.parse().expect("an id");
    steps::arm(&format!("{step}:1")).expect("it is a step");
    match step.split('.').next().unwrap_or_default() {
        "create" => backend.create(&project).await,
        "start" => backend.start(start_spec(&project)).await.map(|_| ()),
        "checkpoint" => backend.checkpoint(&project, &id).await.map(|_| ()),
        "drop" => backend.drop_checkpoint(&project, &id).await,
        "restore" => {
            let ticket = Ticket::Restore {
                checkpoint_id: id.clone(),
                label: None,
                at: 1,
                taken_at: 1,
                place: None,
            };
            backend.restore(&project, &id, &ticket, false).await
        }
        "fork" => {
            let from = project.clone();
            let ticket = Ticket::Fork { from, seq: 1, checkpoint_id: None, at: 1, place: None };
            backend.fork(&project, None, &fork, &ticket).await
        }
        "freeze" => backend.freeze(&project).await,
        "thaw" => backend.thaw(&project).await,
        "stop" => backend.stop(&project, Duration::from_millis(200)).await,
        "delete" => backend.destroy(&project).await,
        other => panic!("{other} is no deed"),
    }
}

fn start_spec(project: &ProjectId) -> StartSpec {
    StartSpec {
        project: project.clone(),
        name: "deed".to_owned(),
        limits: Limits::default(),
        app_url: "http://localhost".to_owned(),
        env: Vec::new(),
        awaits_environment: false,
    }
}

fn init(boot_fd: i32) -> io::Result<()> {
    let mut text = String::new();
    File::from(toft_jail::child::inherited(boot_fd)?).read_to_string(&mut text)?;
    let boot: InitBoot = serde_json::from_str(&text)?;
    rustix::thread::set_name(c"toft")?;
    if boot.bridge.name == "dies at once" {
        eprintln!("init was told to die");
        std::process::exit(3);
    }
    toft_jail::hand_on_nothing()?;
    let read_only = boot.read_only_fd.map(toft_jail::child::inherited).transpose()?;
    let listener = UnixListener::from(toft_jail::child::inherited(boot.init_fd)?);
    let gateway = boot
        .gateway_fds
        .iter()
        .map(|fd| toft_jail::child::inherited(*fd))
        .collect::<io::Result<Vec<_>>>()?;
    let work: Vec<File> = boot
        .work_cgroup_procs
        .iter()
        .map(|path| File::options().write(true).open(path))
        .collect::<io::Result<_>>()?;
    for stream in listener.incoming() {
        if !serve(&mut stream?, &boot, &gateway, &work, read_only.as_ref())? {
            return Ok(());
        }
    }
    Ok(())
}

/// False: it was told to stop.
fn serve(
    stream: &mut UnixStream,
    boot: &InitBoot,
    gateway: &[OwnedFd],
    work: &[File],
    read_only: Option<&OwnedFd>,
) -> io::Result<bool> {
    let mut decoder = Decoder::default();
    let mut buf = [0u8; 4096];
    let request: InitRequest = loop {
        let read = stream.read(&mut buf)?;
        if read == 0 {
            return Ok(true);
        }
        decoder.push(&buf[..read]);
        if let Some((_, payload)) = decoder.next_frame().map_err(io::Error::other)? {
            break serde_json::from_slice(&payload)?;
        }
    };
    match request {
        InitRequest::Hello => {
            let hello = InitReply::Hello {
                protocol: INIT_PROTOCOL,
                version: "probe".to_owned(),
                bridge_pid: None,
                bridge_starts: 0,
                read_only: read_only.is_some(),
            };
            reply(stream, &hello)?;
        }
        InitRequest::GatewayListeners => {
            let fds: Vec<_> = gateway.iter().map(|fd| fd.as_fd()).collect();
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
            let frame = encode(FrameKind::Json, &serde_json::to_vec(&InitReply::Done)?);
            sendmsg(&*stream, &[IoSlice::new(&frame)], &mut control, SendFlags::empty())?;
        }
        InitRequest::Stop { .. } => {
            reply(stream, &InitReply::Done)?;
            return Ok(false);
        }
        InitRequest::Exec(spec) => exec(stream, boot, work, read_only, &spec)?,
        other => panic!("{other:?} is not for this init"),
    }
    Ok(true)
}

fn exec(
    stream: &mut UnixStream,
    boot: &InitBoot,
    work: &[File],
    read_only: Option<&OwnedFd>,
    spec: &ExecSpec,
) -> io::Result<()> {
    let null = || File::open("/dev/null").map(OwnedFd::from);
    let (mut out, write) = io::pipe()?;
    let argv = &spec.argv;
    let mut env = boot.work_env.clone();
    env.extend(spec.env.iter().cloned());
    let pid = if work.is_empty() && !spec.read_only {
        Command::new(&argv[0])
            .args(&argv[1..])
            .env_clear()
            .envs(env)
            .current_dir(&boot.bridge.cwd)
            .stdin(Stdio::from(null()?))
            .stdout(write.try_clone()?)
            .stderr(write)
            .spawn()?
            .id()
    } else {
        toft_jail::child::spawn(toft_jail::child::ChildSpec {
            argv,
            env: &env,
            cwd: boot.bridge.cwd.as_ref(),
            stdin: null()?,
            stdout: write.try_clone()?.into(),
            stderr: write.into(),
            controlling_terminal: false,
            join: work.iter().map(|f| f.as_fd()).collect(),
            keep: Vec::new(),
            die_with_parent: false,
            own: false,
            read_only: read_only.filter(|_| spec.read_only).map(OwnedFd::as_fd),
        })?
    };
    reply(
        stream,
        &InitReply::Started { id: "one".to_owned(), pid, attached: false, environment: 0 },
    )?;
    let mut text = Vec::new();
    out.read_to_end(&mut text)?;
    for piece in text.chunks(60_000) {
        stream.write_all(&encode(FrameKind::Stdout, piece))?;
    }
    let raw = rustix::process::Pid::from_raw(pid.cast_signed()).expect("a pid");
    let status = rustix::process::waitpid(Some(raw), rustix::process::WaitOptions::empty())?
        .expect("waited without NOHANG")
        .1;
    let exit = ExecExit {
        code: status.exit_status(),
        signal: status.terminating_signal(),
        output_bytes: text.len() as u64,
        truncated: false,
        output_path: None,
        duration_ms: 0,
    };
    reply(stream, &InitReply::Exit(exit))
}

fn reply(stream: &mut UnixStream, reply: &InitReply) -> io::Result<()> {
    stream.write_all(&encode(FrameKind::Json, &serde_json::to_vec(reply)?))
}

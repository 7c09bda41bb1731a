//! Create, start, adopt, stop, destroy.

use super::lab::{GRACE, Lab, spec};
use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    os::{fd::AsFd as _, unix::fs::MetadataExt as _},
};
use toft_lane::skip;
use toft_machine::backend::{Backend as _, MachineError};
use toft_model::id::ProjectId;

/// The story that must hold for root and for an ordinary user alike.
#[tokio::test(flavor = "multi_thread")]
async fn a_machine_starts_keeps_its_files_over_a_stop_and_leaves_nothing_behind() {
    let Some(lab) = Lab::open().await else { return };
    println!("storage: {}", lab.native.storage());
    for ability in lab.native.abilities().await {
        println!("{}: {} ({})", ability.name, ability.enforced, ability.how);
    }
    let (project, running) = lab.machine().await;
    let listeners = if lab.enforced("connections without proxy").await { 4 } else { 2 };
    assert!(!running.adopted && running.gateway_listeners.len() == listeners);
    assert_eq!(
        lab.says(&project, "hostname; id -u; pwd; echo $$ > /dev/null; cat /proc/1/comm")
            .await
            .lines()
            .collect::<Vec<_>>(),
        ["my-shop", "0", "/home/project", "toft"]
    );
    assert_eq!(
        lab.says(&project, "getent hosts gateway.internal my-shop")
            .await
            .split_whitespace()
            .collect::<Vec<_>>(),
        ["127.77.0.1", "gateway.internal", "127.0.1.1", "my-shop"]
    );
    lab.says(&project, "echo kept > /home/project/file").await;
    fs::write(lab.native.log_dir(&project).join("line"), "log\n").unwrap();
    assert_eq!(lab.says(&project, "cat /var/lib/toft/line").await, "log");
    let (out, exit) = lab.shell(&project, "echo more > /var/lib/toft/line").await;
    assert!(exit.code != Some(0) && out.contains("Read-only"), "{out}");
    let stats = lab.native.stats(&project).await.unwrap();
    assert!(stats.pids.unwrap() >= 1 && stats.memory_bytes.unwrap() > 0, "{stats:?}");

    lab.native.stop(&project, GRACE).await.unwrap();
    lab.native.stop(&project, GRACE).await.unwrap();
    // Gone, or waiting for whoever reaps orphans on this host.
    let status = fs::read_to_string(format!("/proc/{}/status", running.init_pid));
    assert!(status.is_err() || status.is_ok_and(|s| s.contains("State:\tZ")));
    let gone = lab.native.connect_init(&project).await.unwrap_err();
    assert!(matches!(gone, MachineError::NotRunning(_)), "{gone}");
    assert!(lab.native.adopt(&project).await.unwrap().is_none());

    lab.native.start(spec(&project)).await.unwrap();
    assert_eq!(lab.says(&project, "cat /home/project/file").await, "kept");
    lab.close(&[&project]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_server_adopts_the_same_process_with_its_token_and_listeners() {
    let Some(lab) = Lab::open().await else { return };
    let (project, first) = lab.machine().await;
    let second = lab.reopen().await;
    let found = second.adopt(&project).await.unwrap().unwrap();
    assert!(found.adopted);
    assert_eq!((found.init_pid, &found.token), (first.init_pid, &first.token));
    assert_eq!(found.started_at, first.started_at);
    // A connection from inside arrives at the adopted listener.
    let gateway = TcpListener::from(found.gateway_listeners.into_iter().next().unwrap());
    assert_eq!(gateway.local_addr().unwrap().ip().to_string(), "127.77.0.1");
    let answer = std::thread::spawn(move || {
        let (mut stream, _) = gateway.accept().unwrap();
        stream.write_all(b"from outside\n").unwrap();
    });
    let heard = lab
        .says(&project, "exec bash -c 'exec 3<>/dev/tcp/gateway.internal/80; head -1 <&3'")
        .await;
    assert_eq!(heard, "from outside");
    answer.join().unwrap();
    // Known machines survive a sweep; starting again is adopting.
    second.sweep(std::slice::from_ref(&project)).await.unwrap();
    assert!(second.start(spec(&project)).await.unwrap().adopted);
    second.sweep(&[]).await.unwrap();
    assert!(second.adopt(&project).await.unwrap().is_none());
    lab.close(&[&project]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_dies_at_its_start_says_why() {
    let Some(lab) = Lab::open().await else { return };
    let project = ProjectId::random();
    lab.native.create(&project).await.unwrap();
    let mut doomed = spec(&project);
    doomed.name = "dies at once".to_owned();
    let error = lab.native.start(doomed).await.unwrap_err();
    assert!(
        matches!(&error, MachineError::DidNotStart { detail, .. }
        if detail.contains("init was told to die")),
        "{error}"
    );
    // Nothing is left that would keep it from starting properly.
    lab.native.start(spec(&project)).await.unwrap();
    let missing = ProjectId::random();
    let error = lab.native.start(spec(&missing)).await.unwrap_err();
    assert!(error.to_string().contains("open the machine's disk"), "{error}");
    lab.native.destroy(&missing).await.unwrap();
    lab.close(&[&project]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_are_made_and_started_side_by_side() {
    let Some(lab) = Lab::open().await else { return };
    let projects: Vec<ProjectId> = (0..4).map(|_| ProjectId::random()).collect();
    let starts = projects.iter().map(|project| async {
        lab.native.create(project).await.unwrap();
        lab.native.create(project).await.unwrap();
        lab.native.start(spec(project)).await.unwrap()
    });
    let running = futures_util::future::join_all(starts).await;
    let mut tokens: Vec<_> = running.iter().map(|r| r.token.clone()).collect();
    tokens.sort();
    tokens.dedup();
    assert_eq!(tokens.len(), 4);
    if lab.enforced("id range").await {
        let mut maps = Vec::new();
        for project in &projects {
            maps.push(lab.says(project, "cat /proc/self/uid_map").await);
        }
        maps.sort();
        maps.dedup();
        assert_eq!(maps.len(), 4, "every project has ids of its own");
    }
    lab.close(&projects.iter().collect::<Vec<_>>()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_on_disk_keep_the_ids_from_inside() {
    let Some(lab) = Lab::open().await else { return };
    if !lab.enforced("id range").await {
        skip("ids on disk", "no id range per project here");
        return;
    }
    let (project, running) = lab.machine().await;
    lab.says(
        &project,
        "cd /home/project && touch a b && chown 33:33 b && test $(stat -c %u b) = 33",
    )
    .await;
    let disk = lab.data().join("store/pool/p").join(project.as_str()).join("rootfs/home/project");
    assert_eq!(fs::metadata(disk.join("a")).unwrap().uid(), 0);
    assert_eq!(fs::metadata(disk.join("b")).unwrap().uid(), 33);
    // The processes themselves have none of the host's ids.
    let status = fs::read_to_string(format!("/proc/{}/status", running.init_pid)).unwrap();
    let uid: u32 = status
        .lines()
        .find_map(|l| l.strip_prefix("Uid:"))
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!(uid >= 0x7000_0000, "{uid}");
    lab.close(&[&project]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_systems_folders_change_for_one_machine_only() {
    let Some(lab) = Lab::open().await else { return };
    let (project, _) = lab.machine().await;
    if lab.enforced("system folders").await {
        let name = format!("toft-test-{project}");
        lab.says(&project, &format!("echo x > /usr/bin/{name} && chmod +x /usr/bin/{name} && rm /usr/bin/head && test ! -e /usr/bin/head && test -u /usr/bin/su -o ! -e /usr/bin/su")).await;
        assert!(!std::path::Path::new("/usr/bin").join(name).exists());
        assert!(std::path::Path::new("/usr/bin/head").exists());
    } else {
        // At least folders of its own: where packages of languages go.
        lab.says(&project, "mkdir -p /usr/local/lib/x && touch /usr/local/bin/tool").await;
        assert!(!std::path::Path::new("/usr/local/bin/tool").exists());
    }
    lab.close(&[&project]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn init_inherits_nothing_but_its_sockets() {
    let Some(lab) = Lab::open().await else { return };
    let (project, running) = lab.machine().await;
    let mut kinds = Vec::new();
    for entry in fs::read_dir(format!("/proc/{}/fd", running.init_pid)).unwrap().flatten() {
        if let Ok(target) = fs::read_link(entry.path()) {
            kinds.push(target.to_string_lossy().into_owned());
        }
    }
    let expected = |kind: &String| {
        kind == "/dev/null"
            || kind.starts_with("socket:")
            // Its log folder, from which no path leads out.
            || kind == "/"
            // Where programs run that may only read (decision 18).
            || kind.starts_with("mnt:")
            || kind.ends_with("init.log")
            || kind.contains("toft-boot")
            || kind.contains("tasks")
            || kind.contains("cgroup.procs")
            || kind.contains("/cg/")
    };
    assert!(kinds.iter().all(expected), "{kinds:?}");
    let environment = fs::read(format!("/proc/{}/environ", running.init_pid)).unwrap();
    let names: Vec<String> = environment
        .split(|b| *b == 0)
        .filter_map(|v| Some(String::from_utf8_lossy(v).split_once('=')?.0.to_owned()))
        .collect();
    assert_eq!(names, ["HOME", "LANG", "PATH"], "{names:?}");
    lab.close(&[&project]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_the_gateways_and_the_machines_own_listener_are_open() {
    let Some(lab) = Lab::open().await else { return };
    let (project, running) = lab.machine().await;
    let mut open = String::new();
    fs::File::open(format!("/proc/{}/net/tcp", running.init_pid))
        .unwrap()
        .read_to_string(&mut open)
        .unwrap();
    let listening: Vec<&str> =
        open.lines().skip(1).filter_map(|l| l.split_whitespace().nth(1)).collect();
    // 0.0.0.0:8080 and, at 127.77.0.1, the gateway's ports, as proc_net_tcp writes them.
    let mut expected = if lab.enforced("connections without proxy").await {
        vec!["00000000:1F90", "01004D7F:0004", "01004D7F:0006", "01004D7F:0008"]
    } else {
        vec!["00000000:1F90", "01004D7F:0050", "01004D7F:0C38"]
    };
    expected.sort_unstable();
    let mut found = listening.clone();
    found.sort_unstable();
    assert_eq!(found, expected);
    lab.close(&[&project]).await;
}

#[test]
fn a_start_whose_server_dies_before_it_is_written_down_runs_nothing() {
    use toft_jail::{
        spec::{Cgroups, Report, Run, Spec, Task},
        wire,
    };
    let dir = tempfile::tempdir().unwrap();
    let ran = dir.path().join("ran");
    let run = Run {
        argv: vec!["/bin/touch".to_owned(), ran.to_string_lossy().into_owned()],
        env: Vec::new(),
        cwd: "/".to_owned(),
        boot: String::new(),
        open_files: None,
    };
    let spec = Spec { jail: None, task: Task::Run(run), cgroups: Cgroups::default() };
    let (ours, theirs) = wire::pair().unwrap();
    let null = fs::File::open("/dev/null").unwrap();
    let four = [null.as_fd(); 4];
    wire::send(&ours, &spec, &four).unwrap();
    let mut launcher = std::process::Command::new(super::lab::exe())
        .args(["__launch", "0"])
        .stdin(theirs)
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    // In whichever order: one is said by the launcher, the other by its child.
    let (mut pid, mut is_ready) = (None, false);
    while pid.is_none() || !is_ready {
        match wire::recv::<Report>(&ours).unwrap().unwrap().0 {
            Report::Cloned { pid: cloned } => pid = rustix::process::Pid::from_raw(cloned),
            Report::Ready(_) => is_ready = true,
            Report::Copied { .. } => panic!("nothing is copied"),
            Report::Failed { step, why, .. } => panic!("{step}: {why}"),
        }
    }
    let held =
        rustix::process::pidfd_open(pid.unwrap(), rustix::process::PidfdFlags::empty()).unwrap();
    // What a killed server looks like from there.
    drop(ours);
    launcher.wait().unwrap();
    let mut fds = [rustix::event::PollFd::new(&held, rustix::event::PollFlags::IN)];
    let limit = rustix::time::Timespec { tv_sec: 10, tv_nsec: 0 };
    assert_eq!(rustix::event::poll(&mut fds, Some(&limit)).unwrap(), 1, "it waits on");
    assert!(!ran.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_whose_libc_is_broken_starts_and_its_programs_say_so() {
    let Some(lab) = Lab::open().await else { return };
    let (project, _) = lab.machine().await;
    let broken = "libc=$(ldd /bin/sh | sed -n 's/.*libc.so.6 => \\([^ ]*\\).*/\\1/p'); \
        echo garbage > $libc.new && exec mv $libc.new $libc";
    let (out, _) = lab.shell(&project, broken).await;
    lab.native.stop(&project, GRACE).await.unwrap();
    lab.native.start(spec(&project)).await.unwrap();
    let (said, exit) = lab.shell(&project, "echo up").await;
    if lab.enforced("system folders").await {
        assert!(exit.code != Some(0) && said.contains("libc.so.6"), "{out}{said}");
    } else {
        // Nobody can break what nobody can change.
        assert_eq!(said, "up\n");
    }
    lab.close(&[&project]).await;
}

//! The life of a machine in a container, and its copies.

use super::lab::{GRACE, Lab, spec};
use std::{fs, net::TcpListener};
use toft_lane::skip;
use toft_machine::backend::{Backend as _, MachineError};
use toft_model::{
    checkpoint::{CheckpointId, TICKET_PATH, Ticket},
    id::ProjectId,
    machine::Limits,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_lives_in_a_container_and_leaves_nothing() {
    let Some(lab) = Lab::open().await else { return };
    let (project, running) = lab.machine().await;
    assert_eq!(running.gateway_listeners.len(), 2);
    let own = lab.says(&project, "id -u; cat /etc/hostname; cat /proc/1/comm").await;
    assert!(own.starts_with("0\n") && own.ends_with("toft"), "{own}");

    // No network but a loopback, no capability that reaches the host, nothing that is not kept.
    let devices = lab.says(&project, "cat /proc/net/dev").await;
    assert_eq!(devices.lines().skip(2).count(), 1, "{devices}");
    let caps = lab.says(&project, "cat /proc/self/status").await;
    assert!(caps.contains("NoNewPrivs:\t1") && caps.contains("Seccomp:\t2"), "{caps}");
    for forbidden in
        ["mount -t tmpfs none /tmp", "touch /planted", "touch /run/toft/toft", "ls /data"]
    {
        assert_ne!(lab.shell(&project, forbidden).await.1, Some(0), "{forbidden}");
    }
    // The accounts are the image's own and can be changed: the engine shows none of its own over them.
    let accounts =
        lab.says(&project, "echo x:x:9:9::/:/bin/sh >> /etc/passwd; cat /etc/passwd").await;
    assert_eq!(accounts, "root:x:0:0:root:/root:/bin/sh\nx:x:9:9::/:/bin/sh");

    // The gateway's listener is inside, and its copy is ours.
    let [model, _] = <[_; 2]>::try_from(running.gateway_listeners).unwrap();
    let model = TcpListener::from(model);
    assert_eq!(model.local_addr().unwrap().to_string(), "127.77.0.1:80");
    let answering = std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        model.set_nonblocking(false).unwrap();
        let (mut stream, _) = model.accept().unwrap();
        assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
        stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nfrom outside").unwrap();
    });
    let hosts = lab.says(&project, "cat /etc/hosts").await;
    assert!(hosts.contains("127.77.0.1\tgateway.internal"), "{hosts}");
    // By address: a static program finds no library that resolves names in this image.
    let said = lab.says(&project, "echo GET / | nc 127.77.0.1 80").await;
    assert!(said.ends_with("from outside"), "{said}");
    answering.join().unwrap();

    // What it writes is there in its next life, and its token is another one.
    let write =
        "for f in /home/project/a /usr/tool /var/tmp/b; do echo kept > $f; done; touch /run/gone";
    lab.says(&project, write).await;
    lab.oci.stop(&project, GRACE).await.unwrap();
    assert!(lab.oci.adopt(&project).await.unwrap().is_none());
    assert_eq!(lab.podman.containers(), Vec::<String>::new());
    let again = lab.oci.start(spec(&project)).await.unwrap();
    assert_ne!(again.token, running.token);
    assert_eq!(
        lab.says(&project, "cat /home/project/a /usr/tool /var/tmp/b; ls /run").await,
        "kept\nkept\nkept\ntoft"
    );

    // A second start, and another server, find it.
    assert!(lab.oci.start(spec(&project)).await.unwrap().adopted);
    let other = lab.reopen().await;
    other.sweep(std::slice::from_ref(&project)).await.unwrap();
    let found = other.adopt(&project).await.unwrap().unwrap();
    assert_eq!((found.init_pid, found.token), (again.init_pid, again.token));
    assert!(other.stats(&project).await.unwrap().memory_bytes.is_some_and(|b| b > 0));
    // Nobody knows it any more.
    other.sweep(&[]).await.unwrap();
    assert!(lab.oci.adopt(&project).await.unwrap().is_none());
    assert_eq!(lab.podman.containers(), Vec::<String>::new());
    lab.close(&[&project]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_is_kept_put_back_and_forked() {
    for lab in [Lab::open().await, Lab::open_plain().await] {
        let Some(lab) = lab else { return };
        copies(lab).await;
    }
}

async fn copies(lab: Lab) {
    let can = lab.oci.can();
    assert!(can.checkpoint && can.fork && can.egress);
    let (project, _) = lab.machine().await;
    lab.says(&project, "mkdir -p /home/starter/sessions; echo one > /home/project/a").await;
    let id: CheckpointId = CheckpointId::random();
    let pauses = can.freeze;
    if !pauses && !can.live_checkpoint {
        skip("the copies of a machine that runs", "this engine cannot pause it");
        lab.oci.stop(&project, GRACE).await.unwrap();
    }
    let kept = lab.oci.checkpoint(&project, &id).await.unwrap();
    assert_eq!(kept.base, "whole");
    assert_eq!(kept.one_moment, pauses || !can.live_checkpoint);
    assert_eq!(lab.oci.checkpoints(&project).await.unwrap(), std::slice::from_ref(&id));
    if lab.oci.adopt(&project).await.unwrap().is_none() {
        lab.oci.start(spec(&project)).await.unwrap();
    }
    lab.says(&project, "echo two > /home/project/a; echo new > /opt/b").await;

    let diff = lab.oci.diff(&project, &id, None, 100).await.unwrap();
    let paths: Vec<&str> = diff.changes.iter().map(|c| c.path.as_str()).collect();
    assert!(paths.contains(&"/home/project/a") && paths.contains(&"/opt/b"), "{paths:?}");
    let read = |at: Option<CheckpointId>| {
        let (oci, project) = (lab.oci.clone(), project.clone());
        async move { oci.read(&project, at.as_ref(), "/home/project/a", 99).await.unwrap() }
    };
    assert_eq!(read(Some(id.clone())).await.unwrap(), b"one\n");
    assert_eq!(read(None).await.unwrap(), b"two\n");

    // Running, it does not go back.
    let ticket =
        Ticket::Restore { checkpoint_id: id.clone(), label: None, taken_at: 1, at: 1, place: None };
    let refused = lab.oci.restore(&project, &id, &ticket, false).await.unwrap_err();
    assert!(matches!(refused, MachineError::Unable { .. }), "{refused}");
    lab.oci.stop(&project, GRACE).await.unwrap();
    let fork = ProjectId::random();
    let grown =
        Ticket::Fork { from: project.clone(), seq: 1, checkpoint_id: None, at: 1, place: None };
    lab.oci.fork(&project, None, &fork, &grown).await.unwrap();
    lab.oci.restore(&project, &id, &ticket, false).await.unwrap();
    lab.oci.start(spec(&project)).await.unwrap();
    lab.oci.start(spec(&fork)).await.unwrap();
    assert_eq!(lab.says(&project, "cat /home/project/a; ls /opt").await, "one");
    assert_eq!(lab.says(&fork, "cat /home/project/a /opt/b").await, "two\nnew");
    lab.says(&fork, &format!("cat /{TICKET_PATH}")).await;
    lab.oci.drop_checkpoint(&project, &id).await.unwrap();
    assert!(lab.oci.checkpoints(&project).await.unwrap().is_empty());
    lab.close(&[&project, &fork]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_paused_and_limited_where_the_engine_can_and_says_so() {
    let Some(lab) = Lab::open().await else { return };
    let can = lab.oci.can();
    let (project, running) = lab.machine().await;
    let stopped = ProjectId::random();
    assert!(matches!(
        lab.oci.freeze(&stopped).await,
        Err(MachineError::NotRunning(_) | MachineError::Unable { .. })
    ));
    if can.freeze {
        lab.oci.freeze(&project).await.unwrap();
        lab.oci.freeze(&project).await.unwrap();
        // Another server finds it so, and it stays so.
        let other = lab.reopen().await;
        other.sweep(std::slice::from_ref(&project)).await.unwrap();
        assert!(other.is_frozen(&project).await.unwrap());
        other.thaw(&project).await.unwrap();
        assert!(!lab.oci.is_frozen(&project).await.unwrap());
        lab.says(&project, "id").await;
        // Stopping needs no thaw first.
        lab.oci.freeze(&project).await.unwrap();
        lab.oci.stop(&project, GRACE).await.unwrap();
        assert!(!lab.oci.is_frozen(&project).await.unwrap());
        lab.oci.start(spec(&project)).await.unwrap();
    } else {
        skip("pausing", "this engine cannot");
    }
    if can.limits.iter().any(|name| name == "pids") {
        let tight = Limits { pids: Some(12), ..Limits::default() };
        lab.oci.set_limits(&project, &tight).await.unwrap();
        let fixed = lab.oci.abilities().await.into_iter().any(|a| a.how.contains("next start"));
        if fixed {
            skip("limits while it runs", "those of this engine wait for the next start");
            lab.oci.stop(&project, GRACE).await.unwrap();
            lab.oci
                .start(toft_machine::backend::StartSpec { limits: tight, ..spec(&project) })
                .await
                .unwrap();
        }
        let many = "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14; do sleep 9 >/dev/null 2>&1 & done; echo all";
        let (out, code) = lab.shell(&project, many).await;
        assert!(code != Some(0) || !out.contains("all"), "{out}");
    } else {
        skip("limits", "none is in force with this engine");
    }
    assert!(running.init_pid > 1);
    lab.close(&[&project]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_whose_init_is_killed_from_outside_starts_again() {
    let Some(lab) = Lab::open().await else { return };
    let (project, running) = lab.machine().await;
    let pid = rustix::process::Pid::from_raw(running.init_pid.cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    while fs::exists(format!("/proc/{}/ns", running.init_pid)).unwrap()
        && lab.oci.adopt(&project).await.ok().flatten().is_some()
    {
        tokio::task::yield_now().await;
    }
    let again = lab.oci.start(spec(&project)).await.unwrap();
    assert_ne!(again.init_pid, running.init_pid);
    assert!(!again.adopted);
    lab.close(&[&project]).await;
}

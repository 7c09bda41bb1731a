//! Two real backends in one: projects of both at the same time, and one on its way between them.

use super::lab::{GRACE, Lab, exe, groups_of, spec};
use std::{fs, path::PathBuf, sync::Arc};
use toft_machine::{
    backend::Backend,
    host::{self, HostConfig},
    init_client::{self, ExecEvent},
    several::{Lazy, Several, opening},
};
use toft_model::{
    checkpoint::{CheckpointId, Ticket},
    id::ProjectId,
    init::ExecSpec,
};

fn host_config(lab: &Lab) -> HostConfig {
    let allowed_dir = lab.dir.path().join("allowed");
    fs::create_dir_all(&allowed_dir).unwrap();
    HostConfig {
        data_dir: lab.dir.path().join("data/backends/host"),
        exe: exe(),
        allowed_dir,
        path: "/usr/bin:/bin".to_owned(),
        home: lab.dir.path().to_string_lossy().into_owned(),
        user: "somebody".to_owned(),
        is_walled: false,
    }
}

fn several(lab: &Lab) -> Arc<dyn Backend> {
    let config = host_config(lab);
    let place = config.data_dir.clone();
    let others = vec![Lazy { name: "host", place, open: Ok(opening(config, host::open)) }];
    Arc::new(Several::new(Arc::new(lab.native.clone()), others))
}

async fn says(backend: &Arc<dyn Backend>, project: &ProjectId, command: &str) -> String {
    let stream = backend.connect_init(project).await.unwrap();
    let argv = ["/bin/sh", "-c", command].map(str::to_owned).into();
    let mut handle =
        init_client::exec(stream, ExecSpec { argv, ..ExecSpec::default() }).await.unwrap();
    let mut out = String::new();
    while let Some(event) = handle.next().await.unwrap() {
        match event {
            ExecEvent::Stdout(bytes) | ExecEvent::Stderr(bytes) => {
                out.push_str(&String::from_utf8_lossy(&bytes));
            }
            ExecEvent::Gap(_) => {}
            ExecEvent::Exit(exit) => assert_eq!(exit.code, Some(0), "{command}: {out}"),
        }
    }
    out.trim().to_owned()
}

fn folder_on_host(lab: &Lab, project: &ProjectId) -> PathBuf {
    lab.dir.path().join("allowed").join(project.as_str())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_project_has_the_walls_of_its_own_backend_at_the_same_time() {
    let Some(lab) = Lab::open().await else { return };
    let all = several(&lab);
    assert_eq!(all.choices(), ["native", "host"]);
    let (walled, bare) = (ProjectId::random(), ProjectId::random());
    assert!(!lab.dir.path().join("data/backends").exists(), "nobody needed it yet");
    all.assign(&bare, "host").await.unwrap();
    for project in [&walled, &bare] {
        all.create(project).await.unwrap();
        all.start(spec(project)).await.unwrap();
    }
    assert_eq!(says(&all, &walled, "pwd").await, "/home/project");
    assert_eq!(
        says(&all, &bare, "pwd").await,
        fs::canonicalize(folder_on_host(&lab, &bare)).unwrap().display().to_string()
    );
    assert!(all.of(&walled).can().checkpoint && !all.of(&bare).can().checkpoint);
    let id = CheckpointId::random();
    all.checkpoint(&walled, &id).await.unwrap();
    let refused = all.checkpoint(&bare, &id).await.unwrap_err().to_string();
    assert!(refused.contains("`host`"), "{refused}");

    // Another server finds both, and its sweep leaves them.
    let next = several(&lab);
    next.assign(&bare, "host").await.unwrap();
    let known = [walled.clone(), bare.clone()];
    next.sweep(&known).await.unwrap();
    for project in &known {
        assert!(next.adopt(project).await.unwrap().is_some(), "{project}");
    }
    // One of which nobody knows any more goes, whichever backend it is of.
    next.sweep(&known[..1]).await.unwrap();
    assert!(next.adopt(&bare).await.unwrap().is_none());
    for project in &known {
        next.destroy(project).await.unwrap();
        assert_eq!(groups_of(project), Vec::<PathBuf>::new());
    }
    assert!(!folder_on_host(&lab, &bare).exists());
    next.close().await.unwrap();
    lab.close(&[&walled]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_is_carried_there_and_back_with_what_is_its_own() {
    let Some(lab) = Lab::open().await else { return };
    let all = several(&lab);
    let project = ProjectId::random();
    all.create(&project).await.unwrap();
    if let Err(why) = all.can_carry(&project, "host") {
        toft_lane::skip("carrying", why);
        lab.close(&[&project]).await;
        return;
    }
    all.start(spec(&project)).await.unwrap();
    says(
        &all,
        &project,
        "echo work > file; ln -s file link; mkdir -p .toft/log .toft/skills && \
         echo forged > .toft/log/x && echo how > .toft/skills/x; \
         mkdir -p /home/starter/sessions && echo said > /home/starter/sessions/a.jsonl; \
         echo own > /root/.rc; touch -d @1000000000 file",
    )
    .await;
    let refused = all.carry(&project, "moon").await.unwrap_err().to_string();
    assert!(refused.contains("moon"), "{refused}");
    all.stop(&project, GRACE).await.unwrap();
    let log = all.log_dir(&project);
    fs::write(log.join("events.jsonl"), "{}\n").unwrap();
    let kept = CheckpointId::random();
    all.checkpoint(&project, &kept).await.unwrap();

    // A half that an earlier server has left is no part of it.
    let folder = folder_on_host(&lab, &project);
    fs::create_dir_all(folder.join(".toft/log")).unwrap();
    fs::write(folder.join("stale"), "x").unwrap();
    all.carry(&project, "host").await.unwrap();
    assert_eq!(all.of(&project).name(), "native", "it is what it was until somebody says so");
    assert!(!folder.join("stale").exists());
    assert_eq!(fs::read_to_string(folder.join("file")).unwrap(), "work\n");
    assert!(!folder.join(".toft/log/x").exists(), "a project forges nothing of Toft's own");
    assert_eq!(fs::read_to_string(folder.join(".toft/skills/x")).unwrap(), "how\n");
    assert_eq!(fs::read_to_string(folder.join(".toft/home/sessions/a.jsonl")).unwrap(), "said\n");
    // Nobody has said so: what was carried goes.
    all.leave_others(&project).await.unwrap();
    assert!(!folder.exists() && all.files(&project).await.unwrap().is_some());

    all.carry(&project, "host").await.unwrap();
    all.assign(&project, "host").await.unwrap();
    all.leave_others(&project).await.unwrap();
    assert!(!lab.data().join("store/pool/p").join(project.as_str()).exists());
    assert!(!log.exists());
    assert!(all.log_dir(&project).join("events.jsonl").exists());
    // Its checkpoint stays where it was taken.
    assert_eq!(all.checkpoints(&project).await.unwrap(), []);
    let there = all.checkpoints_at(&project, "native").await.unwrap();
    assert_eq!(there, std::slice::from_ref(&kept));
    let ticket = Ticket::Restore {
        checkpoint_id: kept.clone(),
        label: None,
        at: 1,
        taken_at: 1,
        place: None,
    };
    let refused = all.restore(&project, &kept, &ticket, false).await.unwrap_err().to_string();
    assert!(refused.contains("`native`") && refused.contains("`host`"), "{refused}");
    let read = all.read(&project, Some(&kept), "/home/project/file", 99).await.unwrap();
    assert_eq!(read.unwrap(), b"work\n");

    all.start(spec(&project)).await.unwrap();
    says(&all, &project, "test -L link && echo more >> file").await;
    all.stop(&project, GRACE).await.unwrap();
    all.carry(&project, "native").await.unwrap();
    all.assign(&project, "native").await.unwrap();
    all.leave_others(&project).await.unwrap();
    assert!(!folder.exists());
    assert_eq!(all.checkpoints(&project).await.unwrap(), std::slice::from_ref(&kept));
    all.start(spec(&project)).await.unwrap();
    let found =
        "cat file; stat -c %u file; cat /home/starter/sessions/a.jsonl; ls /root/.rc || true";
    let said = says(&all, &project, found).await;
    assert!(said.starts_with("work\nmore\n0\nsaid\n"), "{said}");
    all.stop(&project, GRACE).await.unwrap();
    all.restore(&project, &kept, &ticket, false).await.unwrap();
    all.destroy(&project).await.unwrap();
    all.close().await.unwrap();
    lab.close(&[&project]).await;
}

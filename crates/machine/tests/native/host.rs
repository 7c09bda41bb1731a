//! Backend `host`: the same life without walls.

use super::lab::{GRACE, exe, groups_of, spec};
use std::{fs, io::Write as _, net::TcpListener};
use toft_machine::{
    backend::Backend as _,
    host::{self, HostConfig},
    init_client::{self, ExecEvent},
};
use toft_model::{id::ProjectId, init::ExecSpec};

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_without_walls_is_started_adopted_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let config = HostConfig {
        data_dir: dir.path().join("data"),
        exe: exe(),
        allowed_dir: dir.path().join("allowed"),
        path: "/usr/bin:/bin".to_owned(),
        home: dir.path().to_string_lossy().into_owned(),
        user: "somebody".to_owned(),
        is_walled: false,
    };
    let refused = host::open(config.clone()).await.unwrap_err();
    assert!(refused.to_string().contains("--allow-host"), "{refused}");
    fs::create_dir(&config.allowed_dir).unwrap();
    let host = host::open(config.clone()).await.unwrap();
    assert!(host.abilities().await.iter().any(|a| a.name == "network isolation" && !a.enforced));
    let project = ProjectId::random();
    host.create(&project).await.unwrap();
    let first = host.start(spec(&project)).await.unwrap();

    let second = host::open(config.clone()).await.unwrap();
    let found = second.adopt(&project).await.unwrap().unwrap();
    assert_eq!((found.init_pid, found.gateway_listeners.len()), (first.init_pid, 2));
    let gateway = TcpListener::from(found.gateway_listeners.into_iter().next().unwrap());
    let port = gateway.local_addr().unwrap().port();
    let answer = std::thread::spawn(move || {
        gateway.accept().unwrap().0.write_all(b"hello\n").unwrap();
    });
    let script =
        "pwd; echo $OPENAI_BASE_URL; exec 3<>/dev/tcp/127.0.0.1/${OPENAI_BASE_URL//[^0-9]/ }"
            .replace("${OPENAI_BASE_URL//[^0-9]/ }", &port.to_string());
    let argv = ["/bin/bash", "-c", &format!("{script}; head -1 <&3")].map(str::to_owned).into();
    let stream = second.connect_init(&project).await.unwrap();
    let exec = ExecSpec { argv, ..ExecSpec::default() };
    let mut handle = init_client::exec(stream, exec).await.unwrap();
    let mut said = String::new();
    while let Some(event) = handle.next().await.unwrap() {
        if let ExecEvent::Stdout(bytes) = event {
            said.push_str(&String::from_utf8_lossy(&bytes));
        }
    }
    answer.join().unwrap();
    let folder = fs::canonicalize(&config.allowed_dir).unwrap().join(project.as_str());
    let expected = format!("{}\nhttp://127.0.0.1:{port}/llm/openai/v1\nhello\n", folder.display());
    assert_eq!(said, expected);
    assert!(second.log_dir(&project).starts_with(folder.join(".toft")));

    second.stop(&project, GRACE).await.unwrap();
    assert!(second.adopt(&project).await.unwrap().is_none());
    assert!(folder.is_dir(), "a stop keeps the files");
    second.destroy(&project).await.unwrap();
    assert!(!folder.exists());
    assert_eq!(groups_of(&project), Vec::<std::path::PathBuf>::new());
    host.close().await.unwrap();
}

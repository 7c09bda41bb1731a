//! Images that lie over the host's programs: a toolchain's folder, a template made of a checkpoint.

use super::{images, import, machine_of};
use crate::lab::{GRACE, Lab, spec};
use std::{fs, path::Path};
use toft_machine::{
    backend::{Backend as _, MachineError},
    images::{ImageError, ImageKey},
};
use toft_model::checkpoint::CheckpointId;

#[tokio::test]
async fn a_toolchains_folder_shows_beside_the_hosts_programs_and_cannot_be_changed() {
    let Some(lab) = Lab::open().await else { return };
    let tools = lab.dir.path().join("tools");
    fs::create_dir_all(tools.join("bin")).unwrap();
    let open = |path: &Path| {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    };
    fs::write(tools.join("bin/greet"), "#!/bin/sh\necho hello from the tools\n").unwrap();
    open(&tools.join("bin/greet"));
    let key = import(&lab, &tools).await;
    let one = machine_of(&lab, &key).await;
    let tools = fs::canonicalize(&tools).unwrap();
    assert_eq!(lab.says(&one, "greet").await, "hello from the tools");
    assert_eq!(
        lab.says(&one, "command -v greet").await,
        tools.join("bin/greet").display().to_string()
    );
    assert_ne!(lab.shell(&one, &format!("touch {}/x", tools.display())).await.1.code, Some(0));
    assert!(!tools.join("x").exists());
    lab.says(&one, "test -x /usr/bin/env").await;
    lab.native.stop(&one, GRACE).await.unwrap();
    let taken = lab.native.checkpoint(&one, &CheckpointId::random()).await.unwrap();
    assert!(taken.base.ends_with(&format!("+{key}")), "{}", taken.base);
    // Machines of `host` see nothing of it.
    let (other, _) = lab.machine().await;
    assert_ne!(lab.shell(&other, &format!("ls {}", tools.display())).await.1.code, Some(0));
    // A toolchain that is gone is missed by its programs only.
    fs::remove_dir_all(&tools).unwrap();
    lab.native.start(spec(&one)).await.unwrap();
    assert_ne!(lab.shell(&one, "greet").await.1.code, Some(0));
    lab.close(&[&one, &other]).await;
}

#[tokio::test]
async fn a_template_has_the_files_of_a_checkpoint_and_none_of_its_conversations() {
    let Some(lab) = Lab::open().await else { return };
    let (origin, _) = lab.machine().await;
    lab.says(
        &origin,
        "echo site > /home/project/index.html && mkdir -p /home/starter/sessions && \
         echo secret talk > /home/starter/sessions/s1.jsonl && echo x > /home/starter/inspect.db && \
         mkdir -p /usr/local/bin && echo tool > /usr/local/bin/mine",
    )
    .await;
    let id = CheckpointId::random();
    lab.native.checkpoint(&origin, &id).await.unwrap();
    lab.says(&origin, "echo later > /home/project/index.html").await;
    let key = ImageKey::of_checkpoint(&origin, &id);
    let running = images(&lab).keep(&origin, None, &key).await.unwrap_err();
    assert!(matches!(running, ImageError::Machine(MachineError::Unable { .. })), "{running}");
    assert!(images(&lab).keep(&origin, Some(&id), &key).await.unwrap() > 0);
    lab.native.destroy(&origin).await.unwrap();
    let one = machine_of(&lab, &key).await;
    assert_eq!(lab.says(&one, "cat /home/project/index.html").await, "site");
    assert_eq!(lab.says(&one, "cat /usr/local/bin/mine").await, "tool");
    assert_eq!(lab.says(&one, "ls -A /home/starter").await, "");
    let taken = lab.native.checkpoint(&one, &CheckpointId::random()).await.unwrap();
    assert!(taken.base.ends_with(&format!("+{key}")), "{}", taken.base);
    lab.close(&[&origin, &one]).await;
}

//! Disks with links to folders of the host where a machine's own should be: neither going back nor a
//! fork follows them.

use super::{fork_ticket, labs, ticket};
use crate::lab::{GRACE, spec};
use std::{fs, path::PathBuf};
use toft_machine::backend::{Backend as _, MachineError};
use toft_model::id::ProjectId;

#[tokio::test(flavor = "multi_thread")]
async fn hostile_trees_lead_nowhere() {
    for lab in labs().await {
        // A folder of the host, laid out as a machine's home.
        let host = tempfile::tempdir().unwrap();
        let own = host.path().join("starter");
        fs::create_dir_all(own.join("sessions")).unwrap();
        fs::write(own.join("sessions/secret"), "of the host").unwrap();
        let untouched = || {
            let names = |path: &PathBuf| {
                fs::read_dir(path).unwrap().map(|e| e.unwrap().file_name()).collect::<Vec<_>>()
            };
            assert_eq!(
                (names(&own), names(&own.join("sessions"))),
                (vec!["sessions".into()], vec!["secret".into()])
            );
        };
        let at = host.path().display();
        let plots = [
            format!("rm -rf /home && ln -s {at} /home"),
            format!("rm -rf /home/starter && ln -s {at}/starter /home/starter"),
            format!("rm -rf /home/starter && ln -s ../../../../../../..{at}/starter /home/starter"),
        ];
        for plot in &plots {
            let (project, _) = lab.machine().await;
            lab.says(&project, &format!("cd /; {plot}")).await;
            let bad = lab.keep(&project).await;
            lab.native.stop(&project, GRACE).await.unwrap();
            let e = lab.native.restore(&project, &bad, &ticket(&bad), false).await.unwrap_err();
            assert!(
                matches!(&e, MachineError::Unable { why, .. } if why.contains("plain folder")),
                "{e}"
            );
            let other = ProjectId::random();
            let e = lab.native.fork(&project, Some(&bad), &other, &fork_ticket(&project)).await;
            assert!(matches!(e, Err(MachineError::Unable { .. })), "{e:?}");
            assert!(!lab.disk(&other).exists());
            for path in ["/home/starter/sessions/secret", "/home/sessions/secret"] {
                assert_eq!(lab.native.read(&project, Some(&bad), path, 99).await.unwrap(), None);
                assert_eq!(lab.native.read(&project, None, path, 99).await.unwrap(), None);
            }
            let none = lab.native.diff(&project, &bad, None, 99).await.unwrap();
            assert!(!format!("{none:?}").contains("secret"), "{none:?}");
            untouched();
            lab.native.destroy(&other).await.unwrap();
            lab.native.destroy(&project).await.unwrap();
        }
        // A good checkpoint, and a tree of now that is not: going back works, and brings nothing
        // of the host along.
        let (project, _) = lab.machine().await;
        let good = lab.keep(&project).await;
        let inside = format!(
            "cd /home/starter && rm -rf sessions .sessions-before .toft-ticket.json && ln -s {at}/starter/sessions sessions && \
             ln -s {at}/starter/sessions .sessions-before && ln -s {at}/starter/sessions/secret .toft-ticket.json"
        );
        for plot in plots.iter().chain([&inside]) {
            lab.says(&project, &format!("cd /; {plot}")).await;
            lab.restored(&project, &good).await;
            untouched();
            let home = lab.disk(&project).join("rootfs/home/starter");
            assert!(home.join(".toft-ticket.json").symlink_metadata().unwrap().is_file());
            assert!(!home.join(".sessions-before/secret").exists());
            lab.native.start(spec(&project)).await.unwrap();
        }
        // The links lie in the checkpoint.
        lab.says(&project, &inside).await;
        let linked = lab.keep(&project).await;
        lab.says(&project, "cd /home/starter; rm sessions; mkdir sessions; echo 1 > sessions/x; mkfifo sessions/pipe").await;
        lab.restored(&project, &linked).await;
        untouched();
        let home = lab.disk(&project).join("rootfs/home/starter");
        assert!(home.join(".toft-ticket.json").symlink_metadata().unwrap().is_file());
        let before = home.join(".sessions-before");
        assert!(before.symlink_metadata().unwrap().is_dir());
        assert_eq!(fs::read_dir(before).unwrap().count(), 1);
        lab.close(&[&project]).await;
    }
}

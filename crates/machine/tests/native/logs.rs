//! The log folder of a machine, `/var/lib/toft` inside: bounded where the storage can, and no way to
//! lose a machine or the host's disk.

use super::lab::{GRACE, Lab, spec};
use std::{fs, path::PathBuf};
use toft_lane::skip;
use toft_machine::backend::Backend as _;
use toft_model::{checkpoint::Ticket, id::ProjectId};

const INSIDE: &str = "/var/lib/toft";
const GIB: u64 = 1 << 30;
/// Room is taken without writing it, but for the last of it; then names.
const FILL: &str = "cd /var/lib/toft; n=1000; while [ $n -gt 0 ]; do fallocate -l ${n}M \
                    fill-$n 2>/dev/null; n=$((n / 2)); done; head -c 16777216 /dev/urandom > rest; \
                    sync -f .; i=0; while [ $i -lt 3000 ] && : > name-$i; do i=$((i+1)); done";

impl Lab {
    fn link(&self, project: &ProjectId) -> PathBuf {
        self.data().join("logs").join(project.as_str())
    }

    fn place(&self, project: &ProjectId) -> PathBuf {
        self.data().join("store/pool/log").join(project.as_str())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fills_its_log_folder_fills_nothing_else_and_starts_again() {
    let Some(lab) = Lab::open().await else { return };
    if !lab.enforced("disk limit").await {
        skip("the size of log folders", "nothing bounds them here");
        return lab.close(&[]).await;
    }
    let (project, _) = lab.machine().await;
    let (other, _) = lab.machine().await;
    assert_eq!(lab.native.log_dir(&project), lab.place(&project));
    for start in 0..2 {
        let (out, exit) = lab.shell(&project, FILL).await;
        assert!(exit.code != Some(0) && out.contains("uota exceeded"), "start {start}: {out}");
        let size = lab.says(&project, &format!("du -sm {INSIDE} | cut -f1")).await;
        assert!((900..=1_024).contains(&size.parse().unwrap()), "start {start}: {size} MiB");
        // Nobody else's, and not its own disk.
        lab.says(&other, &format!("fallocate -l 100M {INSIDE}/f && rm {INSIDE}/f")).await;
        lab.says(&project, "fallocate -l 100M f && rm f").await;
        lab.native.stop(&project, GRACE).await.unwrap();
        lab.native.start(spec(&project)).await.unwrap();
    }
    // What a start was lent is taken back.
    let (out, exit) = lab.shell(&project, &format!("fallocate -l 20M {INSIDE}/more")).await;
    assert!(exit.code != Some(0) && out.contains("uota exceeded"), "{out}");
    lab.says(&project, &format!("rm -rf {INSIDE}/*; sync -f {INSIDE}")).await;
    lab.says(&project, &format!("fallocate -l 900M {INSIDE}/f")).await;
    // People find it where they expect it.
    let size = fs::metadata(lab.link(&project).join("f")).unwrap().len();
    assert!((GIB * 8 / 10..GIB).contains(&size), "{size}");
    lab.close(&[&project, &other]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_folder_that_is_half_made_is_completed_and_an_old_one_goes_on() {
    let Some(lab) = Lab::open().await else { return };
    let (project, _) = lab.machine().await;
    lab.says(&project, &format!("echo kept > {INSIDE}/mine")).await;
    lab.native.stop(&project, GRACE).await.unwrap();
    if lab.place(&project).exists() {
        // As a server leaves it that is killed between the two.
        fs::remove_file(lab.link(&project)).unwrap();
    }
    lab.native.start(spec(&project)).await.unwrap();
    assert_eq!(fs::read_to_string(lab.link(&project).join("mine")).unwrap(), "kept\n");
    // Of a version that knew only folders.
    let old = ProjectId::random();
    fs::create_dir(lab.link(&old)).unwrap();
    fs::write(lab.link(&old).join("mine"), "old\n").unwrap();
    lab.native.create(&old).await.unwrap();
    lab.native.start(spec(&old)).await.unwrap();
    assert_eq!(lab.says(&old, &format!("cat {INSIDE}/mine")).await, "old");
    assert_eq!(lab.native.log_dir(&old), lab.link(&old));
    assert!(!lab.place(&old).exists());
    // A fork has one of its own.
    let fork = ProjectId::random();
    let ticket =
        Ticket::Fork { from: project.clone(), seq: 1, checkpoint_id: None, at: 1, place: None };
    lab.native.fork(&project, None, &fork, &ticket).await.unwrap();
    lab.native.start(spec(&fork)).await.unwrap();
    assert_eq!(
        lab.says(&fork, &format!("ls {INSIDE}/mine 2>/dev/null || echo none")).await,
        "none"
    );
    lab.close(&[&project, &old, &fork]).await;
}

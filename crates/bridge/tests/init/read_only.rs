//! Programs that only read, as init starts them. That nothing can be written there, and that there is no
//! way around it, is tried with real walls in `toft-machine`.

use crate::support::{Machine, ran, sh};
use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};
use toft_machine::init_client;
use toft_model::init::ExecSpec;

fn reading(script: &str) -> ExecSpec {
    ExecSpec { read_only: true, ..sh(script) }
}

/// Other mounts, for as long as a process of theirs lives.
struct Mounts(Child);

impl Mounts {
    /// `None`, and says why, where this user can make none.
    fn make() -> Option<Self> {
        if !toft_lane::root() {
            toft_lane::skip("mounts of a program", "only root can make them without a machine");
            return None;
        }
        let script = "mount -t tmpfs none /mnt && touch /mnt/here && echo made && exec sleep 3600";
        let child = Command::new("unshare")
            .args(["-m", "sh", "-c", script])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut mounts = Self(child);
        let mut said = String::new();
        BufReader::new(mounts.0.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "made\n");
        Some(mounts)
    }

    fn namespace(&self) -> std::os::fd::OwnedFd {
        File::open(format!("/proc/{}/ns/mnt", self.0.id())).unwrap().into()
    }
}

impl Drop for Mounts {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_machine_without_read_only_mounts_says_so_and_starts_nothing() {
    let machine = Machine::start();
    assert!(!init_client::hello(machine.init().await).await.unwrap().read_only);
    let mark = machine.path("ran");
    let spec = reading(&format!("touch {}", mark.display()));
    let refused = init_client::exec(machine.init().await, spec).await.err().unwrap();
    assert_eq!(refused.code(), "not_read_only");
    assert!(!mark.exists());
    assert!(init_client::list(machine.init().await).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_program_that_only_reads_has_its_own_mounts_its_folder_and_no_token() {
    let Some(mounts) = Mounts::make() else { return };
    let machine = Machine::reading_in(&mounts.namespace());
    assert!(init_client::hello(machine.init().await).await.unwrap().read_only);
    let spec = ExecSpec {
        id: Some("reads".into()),
        detach: true,
        env: vec![
            ("KEY".into(), "project-token".into()),
            ("URL".into(), "http://x:project-token@host".into()),
            ("OTHER".into(), "stays".into()),
        ],
        ..reading("pwd; ls /mnt; env | sort; grep CapBnd /proc/self/status")
    };
    let said = ran(machine.exec(spec).await).await.out;
    let mut lines = said.lines();
    assert_eq!(lines.next(), machine.path("project").to_str());
    assert_eq!(lines.next(), Some("here"));
    assert!(!said.contains("project-token"), "{said}");
    assert!(
        said.contains("OTHER=stays\n") && said.contains("XDG_CACHE_HOME=/tmp/.cache\n"),
        "{said}"
    );
    assert!(said.ends_with("000000000000041b\n"), "{said}");
    let listed = init_client::list(machine.init().await).await.unwrap();
    assert!(listed.iter().all(|status| status.read_only), "{listed:?}");
    // Others are as ever.
    let said = machine.sh("ls -A /mnt; env").await.out;
    assert!(!said.contains("here\n") && !said.contains("XDG_CACHE_HOME"), "{said}");
}

#[tokio::test]
async fn a_program_that_only_reads_is_killed_with_all_that_it_started() {
    let Some(mounts) = Mounts::make() else { return };
    let machine = Machine::reading_in(&mounts.namespace());
    let spec = ExecSpec {
        id: Some("reads".into()),
        detach: true,
        ..reading("setsid sleep 3600 >/dev/null 2>&1 & echo $!; wait")
    };
    let mut handle = machine.exec(spec).await;
    let hidden = crate::support::line(&mut handle).await.parse().unwrap();
    init_client::kill(machine.init().await, "reads", 0).await.unwrap();
    assert!(!crate::support::lives(hidden));
    assert_eq!(ran(handle).await.exit.signal, Some(9));
}

#[tokio::test]
async fn a_folder_that_is_another_one_for_it_is_no_place_to_start_in() {
    let Some(mounts) = Mounts::make() else { return };
    let machine = Machine::reading_in(&mounts.namespace());
    let spec = ExecSpec { cwd: Some("/tmp/no-such-folder".into()), ..reading("true") };
    let refused = init_client::exec(machine.init().await, spec).await.err().unwrap();
    assert!(refused.to_string().contains("/tmp"), "{refused}");
}

//! Git in its cases, with a real one.

use super::*;
use serde_json::json;
use std::{os::unix::fs::PermissionsExt as _, process::Command};
use tempfile::TempDir;
use toft_tools::testing::LocalShell;

struct Place {
    project: TempDir,
    exec: TempDir,
    shell: LocalShell,
    id: JobId,
    order: RunOrder,
}

impl Place {
    fn new() -> Self {
        let [project, exec] = [(), ()].map(|()| tempfile::tempdir().unwrap());
        let shell = Self::shell(&exec);
        let order = json!({
            "fence": 1, "prompt": "go", "plan": false, "commit": true,
            "planTimeoutS": 1, "buildTimeoutS": 1,
        });
        let order = serde_json::from_value(order).unwrap();
        Self { project, exec, shell, id: JobId::random(), order }
    }

    /// One that knows no settings of whoever runs this.
    fn shell(exec: &TempDir) -> LocalShell {
        let shell = LocalShell::new(exec.path());
        shell.set_env("HOME", &exec.path().display().to_string());
        shell.set_env("XDG_CONFIG_HOME", &exec.path().display().to_string());
        shell.set_env("GIT_CONFIG_NOSYSTEM", "1");
        shell
    }

    fn git(&self, args: &[&str]) -> String {
        let sign = ["-c", "user.name=Bob", "-c", "user.email=bob@example.com"];
        let mut git = Command::new("git");
        let done = git.args(sign).args(args).current_dir(self.project.path()).output().unwrap();
        assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.project.path().join(name), text).unwrap();
    }

    async fn make(&self) -> Commit {
        self.make_in(self.project.path(), None).await
    }

    async fn make_in(&self, cwd: &Path, began: Option<u64>) -> Commit {
        make(&self.shell, &Mask::default(), cwd, &self.id, &self.order, began).await
    }
}

fn skipped(reason: &str) -> Commit {
    Commit::Skipped { reason: reason.to_owned() }
}

#[tokio::test]
async fn a_folder_that_is_no_repository_is_left_alone() {
    let place = Place::new();
    place.write("a.txt", "a");
    assert_eq!(place.make().await, skipped("not_git_repo"));
    assert!(!place.project.path().join(".git").exists());
}

#[tokio::test]
async fn all_that_changed_is_committed_but_what_is_ignored() {
    let mut place = Place::new();
    place.git(&["init", "-q"]);
    place.write("gone.txt", "gone");
    place.git(&["add", "-A"]);
    place.git(&["commit", "-q", "-m", "first"]);
    std::fs::remove_file(place.project.path().join("gone.txt")).unwrap();
    place.write("new.txt", "new");
    place.write(".gitignore", "secret\n");
    place.write("secret", "s");
    let signature = |name: &str| Signature { name: name.into(), email: format!("{name}@x") };
    place.order.author = Some(signature("ada"));
    place.order.committer = Some(signature("cy"));
    let made = place.make().await;
    assert_eq!(made, Commit::Made { sha: place.git(&["rev-parse", "HEAD"]) });
    let told = place.git(&["log", "-1", "--format=%an %ae %cn %ce %B"]);
    assert_eq!(told, format!("ada ada@x cy cy@x chore(agent): apply run {}", place.id));
    assert_eq!(place.git(&["ls-files"]), ".gitignore\nnew.txt");
    assert_eq!(place.git(&["status", "--porcelain"]), "");
}

#[tokio::test]
async fn secrets_that_are_in_no_commit_stay_out_of_it() {
    let place = Place::new();
    place.git(&["init", "-q"]);
    place.write("tracked.pem", "known");
    place.git(&["add", "-A"]);
    place.git(&["commit", "-q", "-m", "first"]);
    place.write("tracked.pem", "changed");
    std::fs::create_dir(place.project.path().join("app")).unwrap();
    for name in [".env", ".env.local", "app/.ENV", "app/id.key", ".npmrc", ".git-credentials"] {
        place.write(name, "s");
    }
    for name in [".env.example", "app/.env.example", "a.txt"] {
        place.write(name, "example");
    }
    assert!(matches!(place.make().await, Commit::Made { .. }));
    let made = place.git(&["show", "--format=", "--name-status"]);
    assert_eq!(made, "A\t.env.example\nA\ta.txt\nA\tapp/.env.example\nM\ttracked.pem");
    let left = place.git(&["ls-files", "--others"]);
    assert_eq!(left, ".env\n.env.local\n.git-credentials\n.npmrc\napp/.ENV\napp/id.key",);
}

#[tokio::test]
async fn what_is_staged_elsewhere_in_a_larger_repository_stays_staged() {
    let place = Place::new();
    place.git(&["init", "-q"]);
    let app = place.project.path().join("app");
    std::fs::create_dir(&app).unwrap();
    place.write("app/old.txt", "old");
    place.git(&["add", "-A"]);
    place.git(&["commit", "-q", "-m", "first"]);
    place.write("mine.txt", "of a person");
    place.git(&["add", "mine.txt"]);
    let make = async || {
        let made = place.make_in(&app, None).await;
        place.shell.forget(&program_of(&place.id)).await.unwrap();
        made
    };
    assert_eq!(make().await, skipped("no_changes"));
    std::fs::remove_file(app.join("old.txt")).unwrap();
    place.write("app/new.txt", "new");
    assert!(matches!(make().await, Commit::Made { .. }));
    let made = place.git(&["show", "--format=", "--name-status"]);
    assert_eq!(made, "A\tapp/new.txt\nD\tapp/old.txt");
    assert_eq!(place.git(&["status", "--porcelain"]), "A  mine.txt");
}

#[tokio::test]
async fn a_first_commit_needs_no_settings_of_git_and_none_without_a_change_is_made() {
    let mut place = Place::new();
    place.git(&["init", "-q"]);
    assert_eq!(place.make().await, skipped("no_changes"));
    place.shell.forget(&program_of(&place.id)).await.unwrap();
    place.write("a.txt", "a");
    assert!(matches!(place.make().await, Commit::Made { .. }));
    place.id = JobId::random();
    assert_eq!(place.make().await, skipped("no_changes"));
}

#[tokio::test]
async fn a_commit_is_made_once_also_when_the_machine_ended_meanwhile() {
    let mut place = Place::new();
    place.git(&["init", "-q"]);
    place.write("a.txt", "a");
    let made = place.make().await;
    // Whoever comes back finds the program, or, after the machine's end, the commit.
    place.write("b.txt", "b");
    assert_eq!(place.make().await, made);
    place.shell = Place::shell(&place.exec);
    assert_eq!(place.make().await, made);
    assert_eq!(place.git(&["rev-list", "--count", "HEAD"]), "1");
}

#[tokio::test]
async fn no_hook_runs_and_nothing_is_signed() {
    let place = Place::new();
    place.git(&["init", "-q"]);
    place.git(&["config", "commit.gpgsign", "true"]);
    place.git(&["config", "gpg.program", "false"]);
    place.git(&["config", "log.showSignature", "true"]);
    for hook in ["pre-commit", "prepare-commit-msg", "commit-msg", "post-commit"] {
        let path = place.project.path().join(".git/hooks").join(hook);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, format!("#!/bin/sh\ntouch ran-{hook}\nexit 1\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    place.write("a.txt", "a");
    assert!(matches!(place.make().await, Commit::Made { .. }));
    assert_eq!(place.git(&["status", "--porcelain"]), "");
    assert!(!place.project.path().join("ran-post-commit").exists());
}

#[tokio::test]
async fn what_git_refuses_is_told_in_its_words() {
    let place = Place::new();
    place.git(&["init", "-q"]);
    place.write("a.txt", "a");
    place.write(".git/index.lock", "");
    let failed = place.make().await;
    assert!(
        matches!(&failed, Commit::Failed { error } if error.contains("index.lock")),
        "{failed:?}"
    );
}

#[tokio::test]
async fn locks_of_a_machine_that_was_killed_are_taken_away_and_no_other() {
    let began = machine_began().expect("this machine has a first process");
    let place = Place::new();
    place.git(&["init", "-q", "-b", "main"]);
    let locks = ["index.lock", "HEAD.lock", "refs/heads/main.lock"];
    let make = async |began: u64| {
        place.write("a.txt", "a");
        for lock in locks {
            place.write(&format!(".git/{lock}"), "");
        }
        let made = place.make_in(place.project.path(), Some(began)).await;
        place.shell.forget(&program_of(&place.id)).await.unwrap();
        made
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!(began < now, "{began}");
    assert!(matches!(make(began).await, Commit::Failed { .. }), "they are of this machine");
    let made = make(now + 60).await;
    assert!(matches!(made, Commit::Made { .. }), "{made:?}");
    assert_eq!(place.git(&["status", "--porcelain"]), "");
    // Also behind a commit that was made, but not heard of.
    assert_eq!(make(now + 60).await, made);
    for lock in locks {
        assert!(!place.project.path().join(".git").join(lock).exists(), "{lock}");
    }
}

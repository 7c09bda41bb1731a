//! What a run changed is kept in git: a program below init, as the agent's tools run programs, under a name of the
//! run's, so that a bridge that comes back follows it to its end. No hook runs, nothing is signed, and a project
//! that is no repository is left alone. After the machine's end it runs anew: a commit with the run's message is
//! its own, and locks of programs that ended with it are taken away.

use futures_util::StreamExt as _;
use std::{fs, path::Path, time::Duration};
use toft_model::{
    init::{ExecExit, ExecSpec},
    mask::Mask,
    run::{Commit, JobId, RunOrder, Signature},
};
use toft_tools::host::{Shell, ShellError, ShellEvent, ShellRun};
use tokio::time::{sleep, timeout};

/// How long git may take: it reads every file of a large project once.
const GIT_TIMEOUT: Duration = Duration::from_mins(3);

/// Between TERM and KILL: git takes its locks away.
const GRACE_MS: u64 = 300;

/// Wait before init is asked again.
const LOST_WAIT: Duration = Duration::from_millis(100);

/// Its last words that are read.
const WORDS_BYTES_MAX: usize = 4 << 10;

/// Of `/proc`, on every architecture that this is built for.
const TICKS_PER_SECOND: u64 = 100;

/// Exit code of [`SCRIPT`]: there is no repository.
const NO_REPOSITORY: i32 = 10;

/// The same: nothing changed.
const NO_CHANGES: i32 = 11;

/// Prints the commit's hash last.
const SCRIPT: &str = r#"
message=$1 began=$2
g() { git -c core.hooksPath=/dev/null -c commit.gpgsign=false "$@"; }
if ! command -v git >/dev/null 2>&1; then
    [ -e .git ] || exit 10
    echo 'git is not installed in this machine'
    exit 1
fi
if [ "$(g rev-parse --is-inside-work-tree 2>/dev/null)" != true ]; then
    [ -e .git ] || exit 10
    g rev-parse --is-inside-work-tree
    exit 1
fi
# Locks from before this machine began: whoever held them was killed with the one before.
if [ -n "$began" ]; then
    for name in index HEAD "$(g symbolic-ref -q HEAD)"; do
        lock=$(g rev-parse --git-path "$name.lock")
        made=$(stat -c %Y "$lock" 2>/dev/null) || continue
        [ "$made" -gt "$began" ] || rm -f "$lock"
    done
fi
if [ "$(g log -1 --no-show-signature --format=%s 2>/dev/null)" = "$message" ]; then
    g rev-parse HEAD
    exit
fi
# What a person has staged elsewhere in a larger repository is not the run's. A merge is committed whole.
below=
[ -z "$(g rev-parse --show-prefix)" ] || g rev-parse -q --verify MERGE_HEAD >/dev/null || below=.
[ -z "$(g ls-files -- . | head -n 1)" ] || g add -u -- . || exit 1
# Files that hold secrets and are in no commit are nobody's to publish.
g add -A -- . ':(exclude,glob,icase)**/.env' ':(exclude,glob,icase)**/.env.*' ':(exclude,glob,icase)**/*.pem' \
    ':(exclude,glob,icase)**/*.key' ':(exclude,glob)**/.npmrc' ':(exclude,glob)**/.git-credentials' || exit 1
g ls-files --others --exclude-standard -z -- ':(glob)**/.env.example' | g update-index --add -z --stdin || exit 1
g diff --cached --quiet --no-ext-diff -- $below
case $? in 0) exit 11 ;; 1) ;; *) exit 1 ;; esac
if ! g var GIT_AUTHOR_IDENT >/dev/null 2>&1 || ! g var GIT_COMMITTER_IDENT >/dev/null 2>&1; then
    : "${GIT_AUTHOR_NAME:=Toft}" "${GIT_AUTHOR_EMAIL:=toft@localhost}"
    : "${GIT_COMMITTER_NAME:=$GIT_AUTHOR_NAME}" "${GIT_COMMITTER_EMAIL:=$GIT_AUTHOR_EMAIL}"
    export GIT_AUTHOR_NAME GIT_AUTHOR_EMAIL GIT_COMMITTER_NAME GIT_COMMITTER_EMAIL
fi
g commit --quiet --no-verify -m "$message" -- $below || exit 1
g rev-parse HEAD
"#;

/// The name of a run's git in the machine.
pub(super) fn program_of(id: &JobId) -> String {
    format!("run-{id}.git")
}

/// The message of a run's commit, in the words of the source.
pub(super) fn message_of(id: &JobId) -> String {
    format!("chore(agent): apply run {id}")
}

/// When the first process of this machine began, in Unix seconds.
pub(super) fn machine_began() -> Option<u64> {
    let first = fs::read_to_string("/proc/1/stat").ok()?;
    // The 22nd field; names before it may hold anything.
    let ticks: u64 = first.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()?;
    let all = fs::read_to_string("/proc/stat").ok()?;
    let booted = all.lines().find_map(|line| line.strip_prefix("btime "))?;
    let booted: u64 = booted.trim().parse().ok()?;
    Some(booted + ticks / TICKS_PER_SECOND)
}

/// Commits what changed below `cwd`, as `order` says. `began`: when the machine did, if nothing from before that works
/// in the project any more.
pub(super) async fn make(
    shell: &dyn Shell,
    mask: &Mask,
    cwd: &Path,
    id: &JobId,
    order: &RunOrder,
    began: Option<u64>,
) -> Commit {
    let message = message_of(id);
    let began = began.map(|began| began.to_string()).unwrap_or_default();
    let spec = ExecSpec {
        id: Some(program_of(id)),
        argv: ["sh", "-c", SCRIPT, "toft-commit", &message, &began].map(str::to_owned).to_vec(),
        cwd: Some(cwd.display().to_string()),
        env: environment(order),
        merge_stderr: true,
        detach: true,
        label: Some(format!("git commit of run {id}")),
        ..ExecSpec::default()
    };
    let ended = timeout(GIT_TIMEOUT, until_it_ends(shell, spec)).await;
    let failed = |error: &str| Commit::Failed { error: mask.text(error).into_owned() };
    let (exit, words) = match ended {
        Ok(Ok(ended)) => ended,
        Ok(Err(error)) => return failed(&error.message),
        Err(_) => {
            stop(shell, id).await;
            let seconds = GIT_TIMEOUT.as_secs();
            return failed(&format!("git took longer than {seconds} seconds, and was ended"));
        }
    };
    let last = words.lines().next_back().unwrap_or_default().trim();
    let is_hash = matches!(last.len(), 40 | 64) && last.bytes().all(|b| b.is_ascii_hexdigit());
    match exit.code {
        Some(0) if is_hash => Commit::Made { sha: last.to_owned() },
        Some(NO_REPOSITORY) => Commit::Skipped { reason: "not_git_repo".to_owned() },
        Some(NO_CHANGES) => Commit::Skipped { reason: "no_changes".to_owned() },
        _ if words.trim().is_empty() => failed("git ended without a word"),
        _ => failed(words.trim()),
    }
}

/// Ends it, if it works.
pub(super) async fn stop(shell: &dyn Shell, id: &JobId) {
    // Mostly it is not known there.
    let _ = shell.kill(&program_of(id), GRACE_MS).await;
}

/// Starts it, or goes on following it; gives its end and its last words.
async fn until_it_ends(
    shell: &dyn Shell,
    spec: ExecSpec,
) -> Result<(ExecExit, String), ShellError> {
    loop {
        match shell.start(spec.clone()).await {
            Ok(run) => {
                if let Some(ended) = follow(run).await {
                    return Ok(ended);
                }
            }
            Err(error) if matches!(error.code.as_str(), "lost" | "io") => {}
            Err(error) => return Err(error),
        }
        sleep(LOST_WAIT).await;
    }
}

/// `None`: the connection to it was lost.
async fn follow(mut run: ShellRun) -> Option<(ExecExit, String)> {
    let mut words: Vec<u8> = Vec::new();
    loop {
        match run.events.next().await {
            Some(ShellEvent::Output(piece) | ShellEvent::Errors(piece)) => {
                words.extend_from_slice(&piece);
                let more = words.len().saturating_sub(WORDS_BYTES_MAX);
                words.drain(..more);
            }
            Some(ShellEvent::Gap(_)) => words.clear(),
            Some(ShellEvent::Exit(exit)) => {
                return Some((exit, String::from_utf8_lossy(&words).into_owned()));
            }
            Some(ShellEvent::Lost) | None => return None,
        }
    }
}

fn environment(order: &RunOrder) -> Vec<(String, String)> {
    let mut env: Vec<(String, String)> =
        [("GIT_TERMINAL_PROMPT", "0"), ("LC_ALL", "C")].map(|(n, v)| (n.into(), v.into())).into();
    let mut sign = |who: &str, signature: Option<&Signature>| {
        if let Some(Signature { name, email }) = signature {
            env.push((format!("GIT_{who}_NAME"), name.clone()));
            env.push((format!("GIT_{who}_EMAIL"), email.clone()));
        }
    };
    sign("AUTHOR", order.author.as_ref());
    sign("COMMITTER", order.committer.as_ref().or(order.author.as_ref()));
    env
}

#[cfg(test)]
mod tests;

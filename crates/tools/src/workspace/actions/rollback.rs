//! Going back to a commit by git. History is never rewritten: the files become those of the commit, and a commit of
//! the run says so. What was not committed is kept first, under a name of its own below `refs/toft/`.

use super::{Done, Failed, program};
use crate::{
    host::ToolContext,
    workspace::{
        Bounds,
        files::Files,
        program::{Order, run},
    },
};
use serde_json::{Value, json};

pub(super) const LIMIT_DEFAULT: usize = 30;
const LIMIT_MAX: usize = 200;
/// Characters of so many commits, each line of which git cuts.
const LIST_CHARS_MAX: usize = 512 << 10;
/// What must be said.
const CONFIRM: &str = "rollback";
/// Parts a commit's fields.
const FIELD: char = '\u{1f}';

/// No hook runs, nothing is signed. `$1`: the commit; `$2`: where what is now is kept. Prints the commit, and the name
/// under which what was not committed is kept, if there was any. Files that hold secrets and are in no commit, and
/// those that git ignores, stay as they are; where the commit has a file in such a one's place, git refuses.
const SCRIPT: &str = r#"
g() { git -c core.hooksPath=/dev/null -c commit.gpgsign=false "$@"; }
fail() { echo "$1" >&2; exit 1; }
[ "$(g rev-parse --is-inside-work-tree 2>/dev/null)" = true ] || fail 'the project is no git repository'
[ -z "$(g rev-parse --show-prefix)" ] || fail 'the project is a part of a larger git repository'
sha=$(g rev-parse --quiet --verify "$1^{commit}") || fail 'there is no such commit'
g merge-base --is-ancestor "$sha" HEAD || fail 'the commit is not in the history of the present one'
g add -u || exit 1
others() { g ls-files --others --exclude-standard -z -- "$@" | g update-index --add -z --stdin; }
others . ':(exclude,glob,icase)**/.env' ':(exclude,glob,icase)**/.env.*' ':(exclude,glob,icase)**/*.pem' \
    ':(exclude,glob,icase)**/*.key' ':(exclude,glob)**/.npmrc' ':(exclude,glob)**/.git-credentials' || exit 1
others ':(glob)**/.env.example' || exit 1
tree=$(g write-tree) || exit 1
kept=
if [ "$tree" != "$(g rev-parse 'HEAD^{tree}')" ]; then
    : "${GIT_AUTHOR_NAME:=Toft}" "${GIT_AUTHOR_EMAIL:=toft@localhost}"
    : "${GIT_COMMITTER_NAME:=$GIT_AUTHOR_NAME}" "${GIT_COMMITTER_EMAIL:=$GIT_AUTHOR_EMAIL}"
    export GIT_AUTHOR_NAME GIT_AUTHOR_EMAIL GIT_COMMITTER_NAME GIT_COMMITTER_EMAIL
    now=$(g commit-tree "$tree" -p HEAD -m "Not committed before the rollback to $sha") || exit 1
    g update-ref "$2" "$now" || exit 1
    kept=$2
fi
g read-tree -m -u "$tree" "$sha" || exit 1
echo "$sha"
echo "$kept"
"#;

/// The newest commits, newest first.
pub(super) async fn list(
    ctx: &ToolContext,
    bounds: Bounds,
    files: &Files,
    limit: usize,
) -> Result<Done, Failed> {
    if limit > LIMIT_MAX {
        return Err(format!("limit is a number from 1 to {LIMIT_MAX}"));
    }
    let count = format!("--max-count={limit}");
    let format = format!("--format=%H{FIELD}%aI{FIELD}%<(100,trunc)%an{FIELD}%<(300,trunc)%s");
    let argv = ["git", "--no-pager", "log", "--no-show-signature", "--no-color", &count, &format];
    // Whole: what is cut off would be the newest ones.
    let bounds = Bounds { chars_max: LIST_CHARS_MAX, ..bounds };
    let ran = program(ctx, bounds, files, &argv).await;
    if !ran.is_ok() {
        let why = if ran.stderr.trim().is_empty() {
            ran.error.clone()
        } else {
            Some(ran.stderr.trim().to_owned())
        };
        let said = json!({ "ok": false, "error": why, "commits": [] });
        return Ok(Done::Ran(Box::new(ran), said, Vec::new()));
    }
    let commits: Vec<Value> = ran.stdout.lines().filter_map(commit).collect();
    let said = json!({ "ok": true, "commits": commits });
    Ok(Done::Ran(Box::new(ran), said, Vec::new()))
}

fn commit(line: &str) -> Option<Value> {
    let mut fields = line.splitn(4, FIELD);
    let (sha, at, author) = (fields.next()?, fields.next()?, fields.next()?);
    let subject = fields.next().unwrap_or_default();
    Some(
        json!({ "commitSha": sha, "committedAt": at, "author": author.trim_end(), "subject": subject.trim_end() }),
    )
}

/// The files become those of a commit.
pub(super) async fn back(
    ctx: &ToolContext,
    bounds: Bounds,
    files: &Files,
    confirm: Option<&str>,
    sha: &str,
) -> Result<Done, Failed> {
    if confirm != Some(CONFIRM) {
        return Err(format!(
            "confirm must be {CONFIRM:?}: all files become those of the commit. Nothing was done"
        ));
    }
    let sha = sha.trim();
    if !(7..=64).contains(&sha.len()) || !sha.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(
            "commitSha is a commit's hash: rollback_list_commits names them. Nothing was done"
                .to_owned(),
        );
    }
    // The call's own name: done again it is the same one.
    let name: String = ctx
        .run_id
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' })
        .collect();
    let kept = format!("refs/toft/before-rollback/{name}");
    let order = Order {
        argv: ["sh", "-c", SCRIPT, "toft-rollback", sha, &kept].map(str::to_owned).to_vec(),
        shown: format!("rollback to {sha}"),
        line: String::new(),
        cwd: files.root(),
        env: vec![("GIT_TERMINAL_PROMPT".into(), "0".into()), ("LC_ALL".into(), "C".into())],
        limit: None,
    };
    let ran = run(ctx, bounds, order).await;
    let mut lines = ran.stdout.lines();
    let (commit, kept) = (lines.next(), lines.next().filter(|kept| !kept.is_empty()));
    let said = if ran.is_ok() {
        json!({ "ok": true, "commitSha": commit, "uncommittedKeptAs": kept })
    } else {
        let words = ran.stderr.trim();
        let why = ran.error.as_deref().unwrap_or(words);
        json!({ "ok": false, "error": why })
    };
    Ok(Done::Ran(Box::new(ran), said, Vec::new()))
}

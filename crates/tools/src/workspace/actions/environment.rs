//! Variables that a project reads: named in `.env.example`, set by people as the project's secrets. No value is ever
//! read or shown.

use super::{Failed, detect};
use crate::{blocking::blocking, host::ToolContext, workspace::files::Files};
use ignore::WalkBuilder;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use toft_policy::workspace;

const EXAMPLE: &str = ".env.example";
/// How code reads a variable; its name comes next.
const READS: [&str; 6] = [
    "process.env.",
    "process.env[\"",
    "process.env['",
    "import.meta.env.",
    "Bun.env.",
    "Deno.env.get(\"",
];
/// What source ends with.
const SOURCE: [&str; 6] = ["ts", "tsx", "js", "jsx", "mjs", "cjs"];
/// Files and bytes that are looked at: more is no project of people.
const FILES_MAX: usize = 20_000;
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Characters of the file that a model gets.
const TEXT_CHARS_MAX: usize = 20_000;
/// Names that the platform itself gives.
const GIVEN: [&str; 4] = ["NODE_ENV", "CI", "PORT", "VERCEL"];
/// What goes with a package.
const RECOMMENDED: [(&str, &[&str]); 5] = [
    ("next-auth", &["AUTH_SECRET", "AUTH_URL"]),
    ("@auth/core", &["AUTH_SECRET", "AUTH_URL"]),
    (
        "@supabase/supabase-js",
        &["NEXT_PUBLIC_SUPABASE_URL", "NEXT_PUBLIC_SUPABASE_ANON_KEY", "SUPABASE_SERVICE_ROLE_KEY"],
    ),
    ("drizzle-orm", &["DATABASE_URL"]),
    ("next", &["NEXT_PUBLIC_APP_URL"]),
];

/// Names in `.env.example`, in its order.
fn declared(files: &Files) -> Result<Vec<String>, Failed> {
    let mut names: Vec<String> = Vec::new();
    for line in files.read(EXAMPLE)?.unwrap_or_default().lines() {
        let line = line.trim().trim_start_matches("export ");
        let Some((name, _)) = line.split_once('=') else { continue };
        let name = name.trim();
        if is_name(name) && !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    !name.is_empty() && name.chars().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// Names that the project's source reads.
async fn read_in_source(files: &Files) -> BTreeSet<String> {
    let root = files.root().to_owned();
    // Many files.
    let found = blocking(move || Files::open(&root).map(|files| look(&files)));
    found.await.unwrap_or_else(|_| Ok(BTreeSet::new())).unwrap_or_default()
}

fn look(files: &Files) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let root = files.root();
    let walk = WalkBuilder::new(root).hidden(true).require_git(false).git_global(false).build();
    for entry in walk
        .filter_map(Result::ok)
        .filter(|e| e.file_type().is_some_and(|t| t.is_file()))
        .take(FILES_MAX)
    {
        let Ok(path) = entry.path().strip_prefix(root) else { continue };
        let end = path.extension().and_then(|end| end.to_str()).unwrap_or_default();
        let small = entry.metadata().is_ok_and(|meta| meta.len() <= FILE_BYTES_MAX);
        if !small || !SOURCE.contains(&end) || workspace::readable(&path.to_string_lossy()).is_err()
        {
            continue;
        }
        let Ok(Some(text)) = files.read(&path.to_string_lossy()) else { continue };
        for reads in READS {
            for (at, _) in text.match_indices(reads) {
                let rest = &text[at + reads.len()..];
                let name: String =
                    rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                if is_name(&name) && !GIVEN.contains(&name.as_str()) {
                    names.insert(name);
                }
            }
        }
    }
    names
}

async fn parted(ctx: &ToolContext, names: &[String]) -> (Vec<String>, Vec<String>) {
    let missing = ctx.secrets.missing(names).await;
    let set = names.iter().filter(|name| !missing.contains(name)).cloned().collect();
    (set, missing)
}

pub(super) async fn status(ctx: &ToolContext, files: &Files) -> Result<Value, Failed> {
    let declared = declared(files)?;
    let read = read_in_source(files).await;
    let undeclared: Vec<&String> = read.iter().filter(|name| !declared.contains(name)).collect();
    let (set, missing) = parted(ctx, &declared).await;
    Ok(json!({
        "ok": true, "hasEnvExample": files.has(EXAMPLE), "set": set, "missing": missing,
        "readButNotNamed": undeclared,
        "hint": "People set secrets of the project: ask for them with the tool ask_secrets.",
    }))
}

pub(super) async fn validate(ctx: &ToolContext, files: &Files) -> Result<Value, Failed> {
    if !files.has(EXAMPLE) {
        return Err(format!("there is no {EXAMPLE}: secrets_sync_env_example makes one"));
    }
    let (set, missing) = parted(ctx, &declared(files)?).await;
    let mut said = json!({ "ok": missing.is_empty(), "set": set, "missing": missing });
    if !missing.is_empty() {
        said["error"] = format!("not set: {}", missing.join(", ")).into();
    }
    Ok(said)
}

pub(super) fn example(files: &Files) -> Result<Value, Failed> {
    let text = files.read(EXAMPLE)?;
    let text =
        text.ok_or_else(|| format!("there is no {EXAMPLE}: secrets_sync_env_example makes one"))?;
    let content: String = text.chars().take(TEXT_CHARS_MAX).collect();
    Ok(json!({ "ok": true, "content": content, "names": declared(files)? }))
}

/// Names what the code reads. What stands there stays as it is.
pub(super) async fn sync(files: &mut Files, recommended: bool) -> Result<Value, Failed> {
    let mut wanted = read_in_source(files).await;
    if recommended && let Some(package) = detect::package(files)? {
        let packages = detect::packages(&package);
        for (name, names) in RECOMMENDED {
            if packages.contains_key(name) {
                wanted.extend(names.iter().map(|name| (*name).to_owned()));
            }
        }
    }
    let added = declare(files, wanted)?;
    Ok(json!({ "ok": true, "added": added, "names": declared(files)? }))
}

/// Adds names without values to `.env.example`; gives those that were not there.
pub(super) fn declare(
    files: &mut Files,
    names: impl IntoIterator<Item = String>,
) -> Result<Vec<String>, Failed> {
    let known = declared(files)?;
    let added: Vec<String> = names.into_iter().filter(|name| !known.contains(name)).collect();
    if added.is_empty() {
        return Ok(added);
    }
    let mut text = files.read(EXAMPLE)?.unwrap_or_default();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    for name in &added {
        text.push_str(name);
        text.push_str("=\n");
    }
    files.write(EXAMPLE, &text)?;
    Ok(added)
}

//! Files that a kind of project begins with. What is there stays as it is.

use super::{Failed, dependencies, dependencies::Dep, detect, environment};
use crate::workspace::files::Files;
use serde_json::{Value, json};

/// Of Auth.js with Supabase's database by Drizzle. Tables are those that the adapter reads.
const AUTH: [(&str, &str); 5] = [
    ("auth.ts", include_str!("scaffold/auth.ts.txt")),
    ("app/api/auth/[...nextauth]/route.ts", include_str!("scaffold/route.ts.txt")),
    ("db/schema.ts", include_str!("scaffold/schema.ts.txt")),
    ("db/index.ts", include_str!("scaffold/db.ts.txt")),
    ("drizzle.config.ts", include_str!("scaffold/drizzle.config.ts.txt")),
];
const AUTH_NAMES: [&str; 5] =
    ["AUTH_SECRET", "AUTH_URL", "AUTH_GITHUB_ID", "AUTH_GITHUB_SECRET", "DATABASE_URL"];
const AUTH_PACKAGES: [(&str, &str, bool); 5] = [
    ("next-auth", "5.0.0-beta.32", false),
    ("@auth/drizzle-adapter", "^1.11.0", false),
    ("drizzle-orm", "^0.45.0", false),
    ("postgres", "^3.4.0", false),
    ("drizzle-kit", "^0.31.0", true),
];

/// Of a job that Supabase's scheduler calls once a day.
const CRON: [(&str, &str); 2] = [
    ("app/api/cron/daily/route.ts", include_str!("scaffold/daily.ts.txt")),
    ("supabase/migrations/00000000000000_daily_cron.sql", include_str!("scaffold/daily.sql.txt")),
];
const CRON_NAMES: [&str; 2] = ["CRON_SECRET", "NEXT_PUBLIC_APP_URL"];

pub(super) fn auth(files: &mut Files) -> Result<Value, Failed> {
    let Some(package) = detect::package(files)? else {
        return Err(
            "there is no package.json in the project's folder: make the Next.js project first"
                .to_owned(),
        );
    };
    let mut said = lay(files, &AUTH, &AUTH_NAMES)?;
    let there = detect::packages(&package);
    let wanted = AUTH_PACKAGES.iter().filter(|(name, ..)| !there.contains_key(*name));
    let deps: Vec<Dep> = wanted.map(|(name, version, dev)| Dep::new(name, version, *dev)).collect();
    if !deps.is_empty() {
        said["dependencies"] = dependencies::add(files, &deps)?["added"].take();
    }
    said["next"] = json!(["run_install", "secrets_status", "generate_drizzle_migration"]);
    Ok(said)
}

pub(super) fn cron(files: &mut Files) -> Result<Value, Failed> {
    let mut said = lay(files, &CRON, &CRON_NAMES)?;
    said["next"] = json!([
        "put the app's address and CRON_SECRET into Supabase's vault as app_url and cron_secret",
        "apply the migration",
    ]);
    Ok(said)
}

/// Writes what is not there, and names the variables.
fn lay(files: &mut Files, all: &[(&str, &str)], names: &[&str]) -> Result<Value, Failed> {
    // Projects may have their source below `src`.
    let below = if files.has("src/app") { "src/" } else { "" };
    let (mut written, mut kept) = (Vec::new(), Vec::new());
    for (path, text) in all {
        let moves = path.starts_with("app/") || path.starts_with("db/") || *path == "auth.ts";
        let path = if moves { format!("{below}{path}") } else { (*path).to_owned() };
        if files.has(&path) {
            kept.push(path);
            continue;
        }
        let text = text.replace("{src}", below);
        files.write(&path, &text)?;
        written.push(path);
    }
    let names = names.iter().map(|name| (*name).to_owned());
    let named = environment::declare(files, names)?;
    Ok(json!({ "ok": true, "written": written, "leftAsTheyWere": kept, "envAdded": named }))
}

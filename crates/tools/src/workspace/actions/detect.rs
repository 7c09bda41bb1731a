//! What kind of project it is, from the files that say so.

use super::Failed;
use crate::workspace::files::Files;
use serde_json::{Map, Value, json};

const PACKAGE: &str = "package.json";
/// Where Drizzle is set up.
const DRIZZLE: [&str; 3] = ["drizzle.config.ts", "drizzle.config.js", "drizzle.config.json"];
/// Who installed, by the file that they leave.
const LOCKS: [(&str, &str); 5] = [
    ("bun.lock", "bun"),
    ("bun.lockb", "bun"),
    ("package-lock.json", "npm"),
    ("pnpm-lock.yaml", "pnpm"),
    ("yarn.lock", "yarn"),
];

/// `package.json`; `None` when there is none.
pub(super) fn package(files: &Files) -> Result<Option<Map<String, Value>>, Failed> {
    let Some(text) = files.read(PACKAGE)? else { return Ok(None) };
    match serde_json::from_str(&text) {
        Ok(Value::Object(package)) => Ok(Some(package)),
        Ok(_) => Err(format!("{PACKAGE} is no object")),
        Err(error) => Err(format!("{PACKAGE} is no JSON: {error}")),
    }
}

/// Writes it as npm does: two blanks, a line's end.
pub(super) fn put_package(files: &mut Files, package: &Map<String, Value>) -> Result<(), Failed> {
    let text = serde_json::to_string_pretty(package).map_err(|error| error.to_string())?;
    files.write(PACKAGE, &(text + "\n"))
}

pub(super) fn has_drizzle(files: &Files) -> bool {
    DRIZZLE.iter().any(|name| files.has(name))
}

pub(super) fn has_script(files: &Files, name: &str) -> Result<bool, Failed> {
    let package = package(files)?;
    Ok(package
        .is_some_and(|package| package.get("scripts").is_some_and(|all| all.get(name).is_some())))
}

/// Packages and their versions, of both kinds.
pub(super) fn packages(package: &Map<String, Value>) -> Map<String, Value> {
    let mut all = Map::new();
    for kind in ["devDependencies", "dependencies"] {
        if let Some(of_kind) = package.get(kind).and_then(Value::as_object) {
            all.extend(of_kind.clone());
        }
    }
    all
}

pub(super) fn project(files: &Files) -> Result<Value, Failed> {
    let package = package(files)?.unwrap_or_default();
    let packages = packages(&package);
    let manager = LOCKS.iter().find(|(file, _)| files.has(file)).map(|(_, manager)| *manager);
    let has = |name: &str| packages.contains_key(name);
    let router = ["app", "src/app"].iter().any(|dir| files.has(dir));
    let pages = ["pages", "src/pages"].iter().any(|dir| files.has(dir));
    Ok(json!({
        "ok": true,
        "hasPackageJson": files.has(PACKAGE),
        "name": package.get("name"),
        "packageManager": manager,
        "isNext": has("next"),
        "nextVersion": packages.get("next"),
        "router": if router { Some("app") } else if pages { Some("pages") } else { None },
        "isTypescript": files.has("tsconfig.json"),
        "hasDrizzle": has_drizzle(files) || has("drizzle-orm"),
        "hasAuthjs": has("next-auth") || has("@auth/core"),
        "hasSupabase": files.has("supabase") || has("@supabase/supabase-js"),
        "hasEnvExample": files.has(".env.example"),
        "isGit": files.has(".git"),
        "scripts": package.get("scripts"),
        "dependencies": packages.len(),
    }))
}

//! Packages in `package.json`.

use super::{Failed, detect};
use crate::{arguments::Refused, workspace::files::Files};
use serde_json::{Map, Value, json};

/// Packages in one call.
const DEPS_MAX: usize = 100;
/// Characters of a package's name (npm's own bound), and of a version.
const NAME_CHARS_MAX: usize = 214;
const VERSION_CHARS_MAX: usize = 100;
const MIGRATION_CHARS_MAX: usize = 100;

/// A package to add.
pub(super) struct Dep {
    name: String,
    version: String,
    dev: bool,
}

impl Dep {
    pub(super) fn new(name: &str, version: &str, dev: bool) -> Self {
        Self { name: name.to_owned(), version: version.to_owned(), dev }
    }
}

fn is_package(name: &str) -> bool {
    let plain = |part: &str| {
        !part.is_empty()
            && !part.starts_with(['.', '_'])
            && part.chars().all(|c| {
                c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.' | '_')
            })
    };
    name.len() <= NAME_CHARS_MAX
        && match name.strip_prefix('@') {
            Some(scoped) => {
                scoped.split_once('/').is_some_and(|(scope, rest)| plain(scope) && plain(rest))
            }
            None => plain(name),
        }
}

/// A range of versions or a tag; no address, no folder.
fn is_version(version: &str) -> bool {
    let plain = |c: char| {
        c.is_ascii_alphanumeric()
            || matches!(c, '.' | '-' | '+' | '^' | '~' | '*' | '<' | '>' | '=' | '|' | ' ')
    };
    !version.trim().is_empty() && version.len() <= VERSION_CHARS_MAX && version.chars().all(plain)
}

pub(super) fn parse(given: Vec<Value>) -> Result<Vec<Dep>, Refused> {
    let wrong = |why: String| Refused::new(format!("{why} Nothing was done."));
    if given.is_empty() || given.len() > DEPS_MAX {
        return Err(wrong(format!("deps has 1 to {DEPS_MAX} packages.")));
    }
    let mut deps = Vec::with_capacity(given.len());
    for (i, one) in given.into_iter().enumerate() {
        let (name, version) = match &one {
            Value::String(name) => (Some(name.as_str()), None),
            one => (one["name"].as_str(), one["version"].as_str()),
        };
        let name = name.map(str::trim).filter(|name| is_package(name));
        let name =
            name.ok_or_else(|| wrong(format!("deps[{i}].name is no name of an npm package.")))?;
        let version = version.unwrap_or("latest");
        if !is_version(version) {
            return Err(wrong(format!("deps[{i}].version is no version, range or tag.")));
        }
        let dev = one["dev"].as_bool().unwrap_or(false);
        deps.push(Dep::new(name, version, dev));
    }
    Ok(deps)
}

/// Writes them into `package.json`, sorted as bun does. One that was of the other kind moves.
pub(super) fn add(files: &mut Files, deps: &[Dep]) -> Result<Value, Failed> {
    let Some(mut package) = detect::package(files)? else {
        return Err("there is no package.json in the project's folder".to_owned());
    };
    let mut added = Vec::new();
    for dep in deps {
        let (kind, other) = if dep.dev {
            ("devDependencies", "dependencies")
        } else {
            ("dependencies", "devDependencies")
        };
        if let Some(Value::Object(of_other)) = package.get_mut(other) {
            of_other.shift_remove(&dep.name);
        }
        let of_kind = package.entry(kind).or_insert_with(|| Value::Object(Map::new()));
        let Value::Object(of_kind) = of_kind else {
            return Err(format!("package.json: {kind} is no object"));
        };
        of_kind.insert(dep.name.clone(), dep.version.clone().into());
        of_kind.sort_keys();
        added.push(json!({ "name": dep.name, "version": dep.version, "dev": dep.dev }));
    }
    detect::put_package(files, &package)?;
    Ok(json!({ "ok": true, "added": added }))
}

/// A migration's name is a part of a file's.
pub(super) fn migration_name(name: &str) -> Result<String, Refused> {
    let name = name.trim();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if name.len() > MIGRATION_CHARS_MAX || name.starts_with('-') || !name.chars().all(plain) {
        return Err(Refused::new(format!(
            "name has at most {MIGRATION_CHARS_MAX} letters, digits, `_` and `-`. Nothing was done."
        )));
    }
    Ok(name.to_owned())
}

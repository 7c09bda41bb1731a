//! Where tools for files keep to the project's folder: in a machine without walls. It keeps an agent that errs from a
//! person's other files, and from secrets that it should not see; who may run programs can do without these tools.

use super::Places;
use std::path::{Path, PathBuf};
use toft_policy::workspace::{self, PathDenied};
use toft_tools::About;

/// What lies within the project's folder and is not the project's, and what lies outside and is the agent's.
#[derive(Debug, Clone, Default)]
pub struct Bounds {
    /// Folders of Toft's own.
    pub own: Vec<PathBuf>,
    /// Folders that may be touched nevertheless: what tools keep there for the agent to read.
    pub also: Vec<PathBuf>,
}

impl Bounds {
    /// Whether a call keeps within them.
    pub(crate) fn judge(&self, about: &About, places: &Places<'_>) -> Result<(), PathDenied> {
        let About::Paths(paths) = about else { return Ok(()) };
        for path in paths {
            let mut meant = places.meant(path);
            // What is kept for the agent may lie elsewhere in truth: skills are often links.
            if meant.first().is_some_and(|(_, named)| self.also(named)) {
                meant.truncate(1);
            }
            for (cwd, meant) in meant {
                self.one(&cwd, &meant)?;
            }
        }
        Ok(())
    }

    fn also(&self, path: &Path) -> bool {
        self.also.iter().any(|also| path.starts_with(also))
    }

    fn one(&self, cwd: &Path, path: &Path) -> Result<(), PathDenied> {
        if self.also(path) {
            return Ok(());
        }
        let name = || path.display().to_string();
        if self.own.iter().any(|own| path.starts_with(own)) {
            return Err(PathDenied::Own(name()));
        }
        let below = path.strip_prefix(cwd).map_err(|_| PathDenied::Outside(name()))?;
        workspace::readable(&below.to_string_lossy()).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::symlink};

    #[test]
    fn what_is_not_the_projects_is_denied_also_behind_links() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        fs::create_dir_all(at("project/src")).unwrap();
        fs::create_dir_all(at("elsewhere/skill")).unwrap();
        fs::create_dir_all(at("home/.agents/skills")).unwrap();
        symlink(at("elsewhere"), at("project/out")).unwrap();
        symlink(at("project/src"), at("project/in")).unwrap();
        symlink(at("elsewhere/skill"), at("home/.agents/skills/one")).unwrap();
        let cwd = at("project");
        let places = Places { cwd: &cwd, home: at("home") };
        let bounds = Bounds {
            own: vec![at("project/.toft/log")],
            also: vec![at("project/.toft/log/exec"), at("home/.agents/skills")],
        };
        let judged =
            |path: &str| bounds.judge(&About::Paths(vec!["src/a.py".into(), path.into()]), &places);
        let absolute = |path: &str| at(path).display().to_string();
        for fine in [
            ".",
            "src/new.html",
            "in/a.ts",
            ".toft/skills/x/SKILL.md",
            ".toft/log/exec/1.out",
            "~/.agents/skills/one/SKILL.md",
            &absolute("project/src/a.rs"),
        ] {
            assert_eq!(judged(fine), Ok(()), "{fine}");
        }
        for (path, part) in [
            ("../elsewhere/a.md", "outside"),
            ("/etc/passwd", "outside"),
            ("~/.bashrc", "outside"),
            ("~/.agents/skills/../../.ssh/id", "outside"),
            ("out/a.md", "outside"),
            (".toft/log/events.jsonl", "Toft"),
            (".git/hooks/pre-commit", ".git"),
            ("web/node_modules/a/index.js", "node_modules"),
            (".env", "secrets"),
        ] {
            let denied = judged(path).unwrap_err().to_string();
            assert!(denied.contains(part), "{path}: {denied}");
        }
        let command = About::Command("cat /etc/passwd".into());
        assert_eq!(bounds.judge(&command, &places), Ok(()), "that is no wall");
    }
}

//! The source's names for how machines are made: a backend, and the folder of the one without walls.

use super::Refused;
use crate::args::BackendName;
use anyhow::Result;
use clap::ValueEnum as _;
use std::path::PathBuf;

/// In order: the first that is set counts.
const BACKEND: [&str; 2] = ["AGENT_WORKSPACE_BACKEND", "WORKSPACE_BACKEND"];
const ROOT: &str = "WORKSPACE_ROOT";

/// The backend that the environment names by the source's names.
pub(super) fn backend(tells: &dyn Fn(&str) -> Option<String>) -> Result<Option<BackendName>> {
    let Some((name, given)) = BACKEND.iter().find_map(|name| Some((*name, tells(name)?))) else {
        return Ok(None);
    };
    let given = given.trim().to_ascii_lowercase();
    if let Ok(known) = BackendName::from_str(&given, true) {
        return Ok(Some(known));
    }
    let message = format!("{name} is native, oci, host or e2b, not {given:?}");
    Err(Refused { code: "invalid_setting".into(), message }.into())
}

/// E2B's own variables: both together choose it.
const E2B: [&str; 2] = ["E2B_API_KEY", "E2B_TEMPLATE"];

/// `e2b`, where nobody names another and both of its variables are set.
pub(super) fn of_keys(tells: &dyn Fn(&str) -> Option<String>) -> Option<BackendName> {
    let both = E2B.iter().all(|name| tells(name).is_some());
    both.then_some(BackendName::E2b)
}

/// All that projects may be of, the server's own first. Where nobody names them, those that have walls and need nothing
/// but what was said already.
pub(super) fn offered(
    own: BackendName,
    named: Option<Vec<BackendName>>,
    tells: &dyn Fn(&str) -> Option<String>,
) -> Vec<BackendName> {
    let more =
        named.unwrap_or_else(|| [BackendName::Native].into_iter().chain(of_keys(tells)).collect());
    let mut all = vec![own];
    for name in more {
        if !all.contains(&name) {
            all.push(name);
        }
    }
    all
}

/// The folder in which projects live with the backend `host`.
pub(super) fn root(tells: &dyn Fn(&str) -> Option<String>, has_host: bool) -> Option<PathBuf> {
    tells(ROOT).filter(|_| has_host).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use BackendName::{Host, Native, Oci};

    #[test]
    fn what_has_no_walls_is_offered_only_by_name() {
        let none = |_: &str| None;
        assert_eq!(offered(Native, None, &none), [Native]);
        assert_eq!(offered(Oci, None, &none), [Oci, Native]);
        assert_eq!(offered(Host, None, &none), [Host, Native]);
        assert_eq!(offered(Native, Some(vec![Host, Native, Host]), &none), [Native, Host]);
        assert_eq!(offered(Oci, Some(vec![Oci]), &none), [Oci], "the admin may want no other");
    }

    #[test]
    fn e2b_is_chosen_by_both_of_its_variables() {
        let both = |name: &str| name.starts_with("E2B_").then(|| "x".to_owned());
        assert_eq!(of_keys(&both), Some(BackendName::E2b));
        assert_eq!(offered(Native, None, &both), [Native, BackendName::E2b]);
        for one in E2B {
            let alone = |name: &str| (name == one).then(|| "x".to_owned());
            assert_eq!(of_keys(&alone), None);
            assert_eq!(offered(Native, None, &alone), [Native]);
        }
    }
}

//! Which limits control groups put in force here, how, and what would help where they do not: for
//! `toft doctor` and the machine's page. The same words whatever else is around a machine.

use super::detect::{CgroupHost, Way};
use toft_model::machine::Ability;

/// What people call the limit of a controller.
const LIMITS: [(&str, &str); 3] =
    [("memory limit", "memory"), ("process limit", "pids"), ("cpu limit", "cpu")];

/// One for each limit.
pub(crate) fn limits(host: &CgroupHost, is_root: bool) -> Vec<Ability> {
    let one = |(name, controller): (&str, &str)| {
        let way = host.way(controller);
        Ability {
            name: name.to_owned(),
            enforced: way.is_some(),
            how: match way {
                Some(way) => format!("{}, controller {controller}", word(way)),
                None => reason(host, controller),
            },
            remedy: way.is_none().then(|| remedy(is_root).to_owned()),
        }
    };
    LIMITS.into_iter().map(one).collect()
}

fn word(way: Way) -> &'static str {
    match way {
        Way::V2 => "cgroup v2",
        Way::V1 => "cgroup v1",
    }
}

fn remedy(is_root: bool) -> &'static str {
    if is_root {
        "Let this process make control groups (in a container: `--privileged` and \
         `--cgroupns=host`), then start it again."
    } else {
        "Run Toft as root, or below a group that is delegated: `systemd-run --user --scope -p \
         Delegate=yes toft up`."
    }
}

/// Every version that was tried, since either would do.
fn reason(host: &CgroupHost, controller: &str) -> String {
    let is_its = |note: &&String| note.contains(controller) || note.starts_with("cgroup v2:");
    let notes: Vec<&str> = host.notes.iter().filter(is_its).map(String::as_str).collect();
    if notes.is_empty() {
        return "this host has no control groups that we may use".to_owned();
    }
    format!("not available: {}", notes.join("; "))
}

#[cfg(test)]
mod tests {
    use super::super::layouts::{Layout, Tree};
    use super::*;

    fn check(layout: Layout, expected: [(bool, &str); 3], pauses: Option<Way>) {
        let host = Tree::new(layout).detect();
        assert_eq!(host.freezer(), pauses, "{layout:?}");
        let said = limits(&host, true);
        assert_eq!(said.len(), expected.len());
        for ((said, (name, _)), (enforced, how)) in said.iter().zip(LIMITS).zip(expected) {
            assert_eq!(
                (said.name.as_str(), said.enforced),
                (name, enforced),
                "{layout:?}: {said:?}"
            );
            assert!(said.how.contains(how), "{layout:?}: {said:?}");
            assert_eq!(said.remedy.is_some(), !enforced, "{said:?}");
        }
    }

    #[test]
    fn each_layout_says_what_is_in_force_and_by_which_version() {
        let by = |version: &str| {
            ["memory", "pids", "cpu"].map(|name| format!("{version}, controller {name}"))
        };
        let (v2, v1) = (by("cgroup v2"), by("cgroup v1"));
        check(Layout::V2, v2.each_ref().map(|how| (true, how.as_str())), Some(Way::V2));
        check(Layout::V1, v1.each_ref().map(|how| (true, how.as_str())), Some(Way::V1));
        check(Layout::Hybrid, v1.each_ref().map(|how| (true, how.as_str())), Some(Way::V2));
        check(Layout::None, [(false, "this host has no control groups"); 3], None);
    }

    #[test]
    fn what_is_not_handed_down_is_not_claimed_and_says_why() {
        let v2 = (true, "cgroup v2");
        let without = (false, "cgroup v2 cpu: not delegated to this group");
        check(Layout::V2Without("cpu"), [v2, v2, without], Some(Way::V2));
        let closed = ["cgroup v1 memory: ", "cgroup v1 pids: ", "cgroup v1 cpu: "];
        check(Layout::Closed, closed.map(|why| (false, why)), None);
        check(Layout::Closed, [(false, "cgroup v2: "); 3], None);
    }
}

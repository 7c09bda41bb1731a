//! Which ids machines can have here: ranges when we are root, a delegated range or a single id
//! otherwise.

use crate::slots::{SLOT_IDS, Slots};
use rustix::process::{getegid, geteuid};
use std::{fs, io, path::Path};
use toft_jail::spec::Ids;
use toft_model::id::ProjectId;

/// How machines get their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IdKind {
    /// A range per project.
    Ranges,
    /// Our own id, and a range that `/etc/subuid` gives us, for all projects.
    Delegated { uids: (u32, u32), gids: (u32, u32) },
    /// Our own id.
    Single,
}

impl IdKind {
    /// What to try on this host, best first.
    pub(super) fn candidates() -> Vec<Self> {
        if geteuid().is_root() {
            return vec![Self::Ranges];
        }
        let mut kinds = vec![Self::Single];
        if let Some((uids, gids)) = delegated() {
            kinds.insert(0, Self::Delegated { uids, gids });
        }
        kinds
    }

    /// The ids of one project.
    pub(super) fn of(self, project: &ProjectId, slots: &Slots) -> io::Result<Ids> {
        Ok(match self {
            Self::Ranges => Ids::Range { base: slots.base(project)?, count: SLOT_IDS },
            other => other.own(),
        })
    }

    /// The same for a trial, which belongs to no project.
    pub(super) fn for_trial(self) -> Ids {
        /// Below every slot of a project.
        const TRIAL_BASE: u32 = 0x6FFF_0000;
        match self {
            Self::Ranges => Ids::Range { base: TRIAL_BASE, count: SLOT_IDS },
            other => other.own(),
        }
    }

    fn own(self) -> Ids {
        let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
        match self {
            Self::Delegated { uids, gids } => Ids::Delegated { uid, gid, uids, gids },
            Self::Ranges | Self::Single => Ids::Single { uid, gid },
        }
    }
}

/// First and number of the users and groups that we may map, when the programs for it are there.
fn delegated() -> Option<((u32, u32), (u32, u32))> {
    let programs = ["newuidmap", "newgidmap"];
    if !programs.iter().all(|p| Path::new("/usr/bin").join(p).exists()) {
        return None;
    }
    let uid = geteuid().as_raw();
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    let name = passwd.lines().find_map(|l| {
        let mut fields = l.split(':');
        let (name, id) = (fields.next()?, fields.nth(1)?);
        (id.parse() == Ok(uid)).then_some(name)
    });
    let find = |file: &str| range(&fs::read_to_string(file).ok()?, name, uid);
    Some((find("/etc/subuid")?, find("/etc/subgid")?))
}

/// The first range of a user in a file of subuid(5), at most as many ids as a machine has.
fn range(text: &str, name: Option<&str>, uid: u32) -> Option<(u32, u32)> {
    let number = uid.to_string();
    text.lines().find_map(|l| {
        let mut fields = l.split(':');
        let who = fields.next()?;
        let (first, count): (u32, u32) =
            (fields.next()?.parse().ok()?, fields.next()?.trim().parse().ok()?);
        let ours = Some(who) == name || who == number;
        (ours && count > 0).then_some((first, count.min(SLOT_IDS - 1)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_range_is_found_by_name_or_number() {
        let text = "ann:100000:65536\n1001:200000:1000\nbad\nann:5:0\n";
        assert_eq!(range(text, Some("ann"), 1000), Some((100_000, 65_535)));
        assert_eq!(range(text, Some("bob"), 1001), Some((200_000, 1_000)));
        assert_eq!(range(text, None, 7), None);
    }
}

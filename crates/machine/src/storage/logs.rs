//! Log folders of machines: `/var/lib/toft` inside, where their bridges write and programs can, too.
//! Never part of a checkpoint. Where the storage counts what is written, each is a subvolume with a bound of
//! its own, and what people know as the log folder is a link to it; elsewhere it is a plain folder
//! there, which nothing can bound. One that was made as a folder stays one.

use super::{Lent, Pool};
use crate::folders::{private, rand_name};
use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};
use toft_jail::quota::Group;

/// What a log folder may hold, as it lies on disk: years of events, which compress well.
pub(crate) const LOG_BYTES_MAX: u64 = 1 << 30;

/// The way from a link to where log folders lie: a data folder that is moved keeps its logs.
const WAY: &str = "../store/pool/log";

impl Pool {
    pub(super) fn logs(&self) -> PathBuf {
        self.root.join("log")
    }

    /// Where the log folder that people know as `link` lies, made or not.
    pub(crate) fn log(&self, link: &Path) -> PathBuf {
        match link.file_name() {
            Some(name) if self.quotas.is_some() && !is_folder(link) => self.logs().join(name),
            _ => link.to_owned(),
        }
    }

    /// Makes it: all of it or nothing, and again what is missing of it. There already: done.
    pub(crate) fn make_log(&self, link: &Path) -> io::Result<()> {
        let place = self.log(link);
        if place == link {
            return private(link);
        }
        if !place.is_dir() && fs::rename(self.spare_log(), &place).is_err() {
            let half = self.new_log("log")?;
            fs::rename(&half, &place).inspect_err(|_| self.drop_disk(&half))?;
        }
        let way = Path::new(WAY).join(place.file_name().unwrap_or_default());
        match symlink(way, link) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    /// Takes it away from where it is found, for the caller to remove. `None`: there is none.
    pub(crate) fn take_log(&self, link: &Path) -> io::Result<Option<PathBuf>> {
        let place = self.log(link);
        if place != link {
            match fs::remove_file(link) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        if !place.exists() {
            return Ok(None);
        }
        let gone = self.scratch().join(format!("log-{}", rand_name()));
        // The same file system, except a folder beside an image.
        Ok(Some(if fs::rename(&place, &gone).is_ok() { gone } else { place }))
    }

    /// Bounds it anew, and lends it what a start takes if it is full.
    pub(crate) fn lend_log(&self, link: &Path) -> io::Result<Option<Lent>> {
        let place = self.log(link);
        let Some(quotas) = self.quotas.as_ref().filter(|_| place != link) else { return Ok(None) };
        let group = Group::of_subvolume(&place)?;
        if quotas.bound(group)? != Some(LOG_BYTES_MAX) {
            quotas.limit(group, Some(LOG_BYTES_MAX))?;
        }
        Lent::to(quotas, group)
    }

    /// Keeps one ready for the next project, where that saves it time.
    pub(crate) fn make_spare_log(&self) {
        let spare = self.spare_log();
        if self.quotas.is_none() || spare.exists() {
            return;
        }
        let made = self
            .new_log("spare-log")
            .and_then(|half| fs::rename(&half, &spare).inspect_err(|_| self.drop_disk(&half)));
        if let Err(e) = made {
            tracing::warn!("no log folder could be kept ready: {e}");
        }
    }

    fn spare_log(&self) -> PathBuf {
        self.root.join("log-spare")
    }

    /// One that belongs to nobody yet, among what is half made.
    fn new_log(&self, name: &str) -> io::Result<PathBuf> {
        let half = self.scratch().join(format!("{name}-{}", rand_name()));
        let made = || -> io::Result<()> {
            self.storage.make(&half)?;
            fs::set_permissions(&half, Permissions::from_mode(0o700))?;
            match &self.quotas {
                Some(quotas) => quotas.limit(Group::of_subvolume(&half)?, Some(LOG_BYTES_MAX)),
                None => Ok(()),
            }
        };
        match made() {
            Ok(()) => Ok(half),
            Err(e) => {
                self.drop_disk(&half);
                Err(e)
            }
        }
    }
}

fn is_folder(link: &Path) -> bool {
    fs::symlink_metadata(link).is_ok_and(|there| there.is_dir())
}

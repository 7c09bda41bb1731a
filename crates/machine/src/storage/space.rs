//! How much room all disks together have, and what it is that ends it: said to people whenever
//! something is refused or paused for want of it.

/// Bytes that new data may take, and how many there are in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Space {
    pub(crate) free: u64,
    pub(crate) total: u64,
    pub(crate) by: Bound,
}

/// What ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Bound {
    /// `--disk-max`.
    Cap(u64),
    /// The size of our own image.
    Image(u64),
    /// The disk of the host that the data folder lies on.
    Host,
}

impl Bound {
    /// After "of" or "fills".
    pub(crate) fn what(self) -> String {
        match self {
            Self::Cap(max) => {
                format!("the {} that --disk-max lets all projects take together", mib(max))
            }
            Self::Image(bytes) => format!("the {} of the image that all disks lie in", mib(bytes)),
            Self::Host => "the disk that the data folder lies on".to_owned(),
        }
    }

    /// What makes room.
    pub(crate) fn remedy(self) -> &'static str {
        match self {
            Self::Cap(_) => {
                "Delete files, checkpoints or projects, or start the server with a larger --disk-max."
            }
            Self::Image(_) => {
                "Delete files, checkpoints or projects; with more room on the host the image grows \
                 when the server starts next."
            }
            Self::Host => "Delete files, checkpoints or projects, or make room on the host.",
        }
    }
}

impl Space {
    /// Why something that takes so much is refused.
    pub(crate) fn too_little_for(self, bytes: u64) -> String {
        let (free, by) = (mib(self.free), self.by);
        format!("it takes {}, and {free} are left of {}. {}", mib(bytes), by.what(), by.remedy())
    }
}

/// Rounded down: what is less than a bound never looks like it.
pub(crate) fn mib(bytes: u64) -> String {
    let tenths = (u128::from(bytes) * 10) >> 20;
    if tenths % 10 == 0 {
        format!("{} MiB", tenths / 10)
    } else {
        format!("{}.{} MiB", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_refused_reads_how_much_is_left_of_what_and_what_helps() {
        let said = |free, by| Space { free, total: 100 << 20, by }.too_little_for(64 << 20);
        assert_eq!(
            said((64 << 20) - 1, Bound::Cap(100 << 20)),
            "it takes 64 MiB, and 63.9 MiB are left of the 100 MiB that --disk-max lets all projects \
             take together. Delete files, checkpoints or projects, or start the server with a larger \
             --disk-max."
        );
        for (by, words) in [
            (Bound::Image(512 << 20), "512 MiB of the image"),
            (Bound::Host, "the disk that the data folder lies on"),
        ] {
            let said = said(0, by);
            assert!(said.contains(words) && !said.contains("--disk-max"), "{said}");
        }
    }
}

//! A process that holds keys keeps its memory to itself: neither a core file nor another program of the
//! same user shows it. Not a wall against root.

use rustix::{
    io,
    process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit},
};

/// To be called before a key is read. What this process starts is open again from its `exec` on, and may
/// raise its own limit of core files.
pub fn keep_to_itself() -> io::Result<()> {
    let most = getrlimit(Resource::Core).maximum;
    let none = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: most });
    set_dumpable_behavior(DumpableBehavior::NotDumpable).and(none)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::dumpable_behavior;

    #[test]
    fn a_process_with_keys_leaves_no_core_and_reads_itself() {
        keep_to_itself().unwrap();
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
        assert_eq!(getrlimit(Resource::Core).current, Some(0));
        for file in ["status", "mounts", "cgroup", "exe", "fd/0"] {
            std::fs::metadata(format!("/proc/self/{file}")).unwrap();
        }
    }
}

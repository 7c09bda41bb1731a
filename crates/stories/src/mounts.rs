//! Mounts that a program has to itself.

/// Shell: takes other stories' disks out of a mount namespace that was just made. Its copy of a mount would keep the
/// disk in use for as long as its programs run.
pub const WITHOUT_OTHERS: &str = r#"mount --make-rprivate /
mounts=$(cat /proc/mounts)
echo "$mounts" | while read -r of at _; do
    case "$of $at" in
        '/dev/loop'*' /') ;;
        /dev/loop*) umount -l "$at" || true ;;
    esac
done
"#;

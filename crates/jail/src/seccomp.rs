//! System calls that a machine may not make. A deny list over what the namespaces and dropped
//! capabilities already refuse: it keeps whole kernel subsystems with a history of escapes out of
//! reach. It is no sandbox by itself.

use crate::failure::{Failure, step};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op, SeccompCondition,
    SeccompFilter, SeccompRule, apply_filter, sock_filter,
};
use std::{collections::BTreeMap, io};

/// Answered with "operation not permitted".
const REFUSED: &[i64] = &[
    // The mount family: the walls are made of it.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_mount_setattr,
    SYS_OPEN_TREE_ATTR,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    // Keyrings are not separated by user namespaces alone.
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    // Large attack surfaces.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_fanotify_init,
    libc::SYS_lookup_dcookie,
    libc::SYS_kcmp,
    // Handles lead around every mount.
    libc::SYS_open_by_handle_at,
    // The host itself.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_reboot,
    libc::SYS_acct,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    libc::SYS_nfsservctl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_uselib,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ustat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_sysfs,
    #[cfg(target_arch = "x86_64")]
    libc::SYS__sysctl,
];

/// Answered with "no such call", so that programs take their older way: `clone3` hides its flags
/// behind a pointer that no filter can read, and `io_uring` goes around every other rule here.
const UNKNOWN: &[i64] = &[
    libc::SYS_clone3,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
];

/// `open_tree_attr` (kernel 6.15), the same number on all of our architectures.
const SYS_OPEN_TREE_ATTR: i64 = 467;
/// Bits of `clone` and `unshare` that make namespaces.
const NAMESPACE_FLAGS: &[u64] = &[
    0x0002_0000, // mount
    0x0200_0000, // cgroup
    0x0400_0000, // uts
    0x0800_0000, // ipc
    0x1000_0000, // user
    0x2000_0000, // pid
    0x4000_0000, // net
];
/// CLONE_NEWTIME; in `clone` the bit is part of the exit signal.
const NAMESPACE_TIME: u64 = 0x80;
/// Socket families that programs need.
const FAMILIES: &[u64] =
    &[libc::AF_UNIX as u64, libc::AF_INET as u64, libc::AF_INET6 as u64, libc::AF_NETLINK as u64];
/// Netlink protocols that programs need: route, sock_diag, audit (PAM), kobject_uevent.
const NETLINK_PROTOCOLS: &[u64] = &[0, 4, 9, 15];
/// Protocols of the internet families that programs need: none named, ICMP, TCP, UDP, ICMPv6, MPTCP.
/// Any other would make the host load a module for it (SCTP, DCCP, SMC, L2TP).
const INTERNET_PROTOCOLS: &[u64] = &[0, 1, 6, 17, 58, 262];
/// The type of socket, without its flags; and the old type that means another family.
const TYPE_MASK: u64 = 0xF;
const SOCK_PACKET: u64 = 10;
/// `ioctl`s that type into one's own terminal, or paste into a console.
const TYPING: &[u64] = &[0x5412, 0x541C];
/// `ioctl`s of btrfs (type 0x94): subvolumes made inside would stay behind. Cloning and comparing
/// ranges share the type and are for everyone.
const BTRFS_TYPE: u64 = 0x9400;
const BTRFS_FOR_EVERYONE: &[u64] = &[0x4004_9409, 0x4020_940D, 0xC018_9436];

/// Installs the filters for this thread and what it execs. They cannot be taken off again; this
/// also sets `no_new_privs`.
pub(crate) fn install() -> Result<(), Failure> {
    for program in programs().map_err(step("compile the system call filter"))? {
        apply_filter(&program)
            .map_err(|e| step("install the system call filter")(io::Error::other(e)))?;
    }
    Ok(())
}

/// From here on, this process and its threads load no code and run no other program: a library that is
/// asked for later (for names, characters, locales) would be the machine's own. To be called by the
/// only thread; holds for all that it starts.
pub fn no_more_code() -> io::Result<()> {
    const MAPPED: &[i64] = &[libc::SYS_mmap, libc::SYS_mprotect, libc::SYS_pkey_mprotect];
    let runnable = libc::PROT_EXEC as u64;
    let mut rules =
        BTreeMap::from([(libc::SYS_execve, Vec::new()), (libc::SYS_execveat, Vec::new())]);
    for call in MAPPED {
        let rule = rule(vec![arg(2, Len::Dword, Op::MaskedEq(runnable), runnable)?])?;
        rules.insert(*call, vec![rule]);
    }
    apply_filter(&compile(rules, libc::EPERM)?).map_err(io::Error::other)
}

fn programs() -> io::Result<Vec<BpfProgram>> {
    let mut refused: BTreeMap<i64, Vec<SeccompRule>> =
        REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    let mut namespaces: Vec<SeccompRule> = Vec::new();
    for bit in NAMESPACE_FLAGS {
        namespaces.push(rule(vec![arg(0, Len::Qword, Op::MaskedEq(*bit), *bit)?])?);
    }
    refused.insert(libc::SYS_clone, namespaces.clone());
    namespaces.push(rule(vec![arg(0, Len::Qword, Op::MaskedEq(NAMESPACE_TIME), NAMESPACE_TIME)?])?);
    refused.insert(libc::SYS_unshare, namespaces);
    // Init puts programs that only read into mounts of their own. It alone has the capability that this
    // takes; the process that it starts loses it with `exec`.
    let mounts = libc::CLONE_NEWNS as u64;
    refused.insert(libc::SYS_setns, vec![rule(vec![arg(1, Len::Dword, Op::Ne, mounts)?])?]);

    let none_of = |index, allowed: &[u64]| -> io::Result<Vec<SeccompCondition>> {
        allowed.iter().map(|value| arg(index, Len::Dword, Op::Ne, *value)).collect()
    };
    let mut sockets = vec![
        rule(none_of(0, FAMILIES)?)?,
        rule(vec![arg(1, Len::Dword, Op::MaskedEq(TYPE_MASK), SOCK_PACKET)?])?,
    ];
    for (family, protocols) in [
        (libc::AF_NETLINK as u64, NETLINK_PROTOCOLS),
        (libc::AF_INET as u64, INTERNET_PROTOCOLS),
        (libc::AF_INET6 as u64, INTERNET_PROTOCOLS),
    ] {
        let mut odd = vec![arg(0, Len::Dword, Op::Eq, family)?];
        odd.extend(none_of(2, protocols)?);
        sockets.push(rule(odd)?);
    }
    // A pair is made of sockets of any family before it is refused for most.
    refused.insert(libc::SYS_socketpair, sockets.clone());
    refused.insert(libc::SYS_socket, sockets);

    let mut btrfs = vec![arg(1, Len::Dword, Op::MaskedEq(0xFF00), BTRFS_TYPE)?];
    btrfs.extend(none_of(1, BTRFS_FOR_EVERYONE)?);
    let mut ioctls = vec![rule(btrfs)?];
    for call in TYPING {
        ioctls.push(rule(vec![arg(1, Len::Dword, Op::Eq, *call)?])?);
    }
    refused.insert(libc::SYS_ioctl, ioctls);

    let unknown = UNKNOWN.iter().map(|call| (*call, Vec::new())).collect();
    Ok(vec![
        compile(refused, libc::EPERM)?,
        compile(unknown, libc::ENOSYS)?,
        #[cfg(target_arch = "x86_64")]
        no_x32(),
    ])
}

fn compile(rules: BTreeMap<i64, Vec<SeccompRule>>, errno: i32) -> io::Result<BpfProgram> {
    let arch = std::env::consts::ARCH.try_into().map_err(io::Error::other)?;
    SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        SeccompAction::Errno(errno.unsigned_abs()),
        arch,
    )
    .and_then(TryInto::try_into)
    .map_err(io::Error::other)
}

/// The x32 calls have the same architecture word and other numbers: without this they would be a
/// second door to everything above.
#[cfg(target_arch = "x86_64")]
fn no_x32() -> BpfProgram {
    const X32_BIT: u32 = 0x4000_0000;
    const LOAD_WORD: u16 = 0x20;
    const JUMP_IF_GE: u16 = 0x35;
    const RETURN: u16 = 0x06;
    const RET_ALLOW: u32 = 0x7FFF_0000;
    const RET_ERRNO: u32 = 0x0005_0000;
    vec![
        sock_filter { code: LOAD_WORD, jt: 0, jf: 0, k: 0 },
        sock_filter { code: JUMP_IF_GE, jt: 0, jf: 1, k: X32_BIT },
        sock_filter { code: RETURN, jt: 0, jf: 0, k: RET_ERRNO | libc::ENOSYS.unsigned_abs() },
        sock_filter { code: RETURN, jt: 0, jf: 0, k: RET_ALLOW },
    ]
}

fn arg(index: u8, len: Len, op: Op, value: u64) -> io::Result<SeccompCondition> {
    SeccompCondition::new(index, len, op, value).map_err(io::Error::other)
}

fn rule(conditions: Vec<SeccompCondition>) -> io::Result<SeccompRule> {
    SeccompRule::new(conditions).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filters_compile_within_the_kernels_limit() {
        // BPF_MAXINSNS of linux/filter.h.
        for program in programs().unwrap() {
            assert!((1..=4096).contains(&program.len()), "{}", program.len());
        }
    }

    #[test]
    fn a_process_that_needs_no_more_code_gets_none() {
        // A filter cannot be taken off: on a thread of its own, which ends with it.
        let tried = std::thread::spawn(|| {
            let lists = || std::process::Command::new("/bin/true").status();
            assert!(lists().unwrap().success());
            no_more_code().unwrap();
            let kept = vec![7u8; 1 << 20];
            let ran = std::thread::spawn(move || kept.len()).join();
            (lists().unwrap_err().raw_os_error(), ran.ok())
        });
        assert_eq!(tried.join().unwrap(), (Some(libc::EPERM), Some(1 << 20)));
    }
}

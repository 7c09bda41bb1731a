//! Ways out, each tried from inside. None is ever skipped silently.

use super::lab::Lab;
use std::{
    fs,
    io::Write as _,
    net::TcpListener,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};
use toft_lane::skip;
use toft_machine::backend::{Backend as _, MachineError};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_the_host_is_visible() {
    let Some(lab) = Lab::open().await else { return };
    let (project, _) = lab.machine().await;
    let (other, _) = lab.machine().await;
    // Something in a folder that every user of the host can read.
    let mut planted = tempfile::NamedTempFile::new().unwrap();
    planted.write_all(b"of the host").unwrap();
    let data = lab.data();
    for path in [
        planted.path(),
        &data,
        &data.join("master.key"),
        &data.join("store/pool/p").join(other.as_str()),
        Path::new("/etc/machine-id"),
        Path::new("/etc/ssh"),
        Path::new("/boot"),
        Path::new("/dev/kmsg"),
        Path::new("/dev/mem"),
        Path::new("/dev/loop-control"),
        Path::new("/sys/fs"),
        Path::new("/sys/kernel"),
        Path::new("/root/.cargo"),
        Path::new("/proc/1/root/host"),
    ] {
        let (out, exit) = lab.shell(&project, &format!("ls -d {}", path.display())).await;
        assert_ne!(exit.code, Some(0), "{} is visible: {out}", path.display());
    }
    assert_eq!(lab.says(&project, "ls /home").await, "project\nstarter");
    assert_eq!(lab.says(&project, "ls -A /root | sort | tr '\\n' ' '").await, ".bashrc .profile");
    let shadow = lab.says(&project, "cat /etc/shadow").await;
    assert!(shadow.lines().all(|l| l.split(':').nth(1) == Some("*")), "{shadow}");
    // Mounts tell no path of the host but that of its file systems' own names.
    let mounts = lab.says(&project, "cat /proc/self/mountinfo").await;
    for line in mounts.lines() {
        let point = line.split(' ').nth(4).unwrap();
        let known = [
            "/",
            "/dev",
            "/proc",
            "/sys",
            "/usr",
            "/run",
            "/var/lib/dpkg",
            "/var/lib/toft",
            "/opt",
            "/bin",
            "/sbin",
            "/lib",
        ];
        assert!(
            known.iter().any(|k| point == *k
                || (*k != "/" && point.starts_with(&format!("{k}/")))
                || (k.starts_with("/lib") && point.starts_with("/lib"))),
            "{line}"
        );
    }
    // Pids of the host do not exist here.
    let pids = lab.says(&project, "ls /proc | grep -c '^[0-9]'").await;
    assert!(pids.parse::<u32>().unwrap() < 8, "{pids}");
    for masked in [
        "/proc/cmdline",
        "/proc/interrupts",
        "/proc/kallsyms",
        "/proc/kcore",
        "/proc/keys",
        "/proc/latency_stats",
        "/proc/sysrq-trigger",
        "/proc/timer_list",
    ] {
        if Path::new(masked).exists() {
            assert_eq!(
                lab.says(&project, &format!("head -c 100 {masked} | wc -c")).await,
                "0",
                "{masked}"
            );
        }
    }
    for locked in
        ["/proc/sys/kernel/core_pattern", "/proc/sys/vm/drop_caches", "/proc/sysrq-trigger"]
    {
        let (_, exit) =
            lab.shell(&project, &format!("test -c {locked} || echo x > {locked}")).await;
        assert!(
            exit.code != Some(0)
                || lab.says(&project, &format!("test -c {locked} && echo null")).await == "null",
            "{locked}"
        );
    }
    lab.close(&[&project, &other]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_network_is_a_loopback_and_no_port_of_the_host_answers() {
    let Some(lab) = Lab::open().await else { return };
    let (project, _) = lab.machine().await;
    assert_eq!(
        lab.says(&project, "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '").await,
        "lo"
    );
    assert_eq!(lab.says(&project, "tail -n +2 /proc/net/route").await, "");
    let host = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = host.local_addr().unwrap().port();
    // TCP to other addresses is the gateway's (`direct`).
    for address in
        [format!("tcp/127.0.0.1/{port}"), "udp/1.1.1.1/80".to_owned(), "udp/10.0.0.1/80".to_owned()]
    {
        let (out, exit) =
            lab.exec(&project, &["/bin/bash", "-c", &format!("exec 3<>/dev/{address}")]).await;
        assert_ne!(exit.code, Some(0), "{address} answers: {out}");
        assert!(out.contains("refused") || out.contains("unreachable"), "{address}: {out}");
    }
    lab.close(&[&project]).await;
}

/// System calls as `perl` makes them, with the errors that a machine must get. Perl is essential
/// on Debian and Ubuntu; without it this says so.
#[cfg(target_arch = "x86_64")]
#[tokio::test(flavor = "multi_thread")]
async fn dangerous_system_calls_are_refused() {
    let Some(lab) = Lab::open().await else { return };
    assert!(lab.enforced("system call filter").await);
    if !Path::new("/usr/bin/perl").exists() {
        skip("system calls", "no perl on this host");
        return;
    }
    let (project, _) = lab.machine().await;
    let new_user = libc::CLONE_NEWUSER;
    let (eperm, enosys) = (libc::EPERM, libc::ENOSYS);
    for (name, call, errno) in [
        ("mount", format!("{}, 'tmpfs', '/mnt', 'tmpfs', 0, 0", libc::SYS_mount), eperm),
        ("umount", format!("{}, '/proc', 2", libc::SYS_umount2), eperm),
        ("pivot_root", format!("{}, '/', '/'", libc::SYS_pivot_root), eperm),
        ("open_tree", format!("{}, -100, '/', 1", libc::SYS_open_tree), eperm),
        ("fsopen", format!("{}, 'tmpfs', 0", libc::SYS_fsopen), eperm),
        ("mount_setattr", format!("{}, -100, '/', 0, 0, 0", libc::SYS_mount_setattr), eperm),
        ("unshare user", format!("{}, {new_user}", libc::SYS_unshare), eperm),
        ("unshare mount", format!("{}, {}", libc::SYS_unshare, libc::CLONE_NEWNS), eperm),
        (
            "clone user",
            format!("{}, {}, 0, 0, 0, 0", libc::SYS_clone, new_user | libc::SIGCHLD),
            eperm,
        ),
        ("clone3", format!("{}, 0, 0", libc::SYS_clone3), enosys),
        ("setns", format!("{}, 0, 0", libc::SYS_setns), eperm),
        ("keyctl", format!("{}, 0, 0", libc::SYS_keyctl), eperm),
        ("add_key", format!("{}, 'user', 'x', 'y', 1, -3", libc::SYS_add_key), eperm),
        ("bpf", format!("{}, 0, 0, 0", libc::SYS_bpf), eperm),
        ("perf_event_open", format!("{}, 0, 0, 0, 0, 0", libc::SYS_perf_event_open), eperm),
        ("userfaultfd", format!("{}, 0", libc::SYS_userfaultfd), eperm),
        ("io_uring_setup", format!("{}, 1, 0", libc::SYS_io_uring_setup), enosys),
        ("open_by_handle_at", format!("{}, 0, 0, 0", libc::SYS_open_by_handle_at), eperm),
        ("init_module", format!("{}, 0, 0, ''", libc::SYS_init_module), eperm),
        ("kexec_load", format!("{}, 0, 0, 0, 0", libc::SYS_kexec_load), eperm),
        ("reboot", format!("{}, 0, 0, 0, 0", libc::SYS_reboot), eperm),
        ("vsock", format!("{}, {}, 1, 0", libc::SYS_socket, libc::AF_VSOCK), eperm),
        ("packet", format!("{}, {}, 3, 0", libc::SYS_socket, libc::AF_PACKET), eperm),
        ("alg", format!("{}, {}, 5, 0", libc::SYS_socket, libc::AF_ALG), eperm),
        ("netfilter", format!("{}, {}, 3, 12", libc::SYS_socket, libc::AF_NETLINK), eperm),
        ("old packet", format!("{}, {}, 10, 768", libc::SYS_socket, libc::AF_INET), eperm),
        ("sctp", format!("{}, {}, 1, 132", libc::SYS_socket, libc::AF_INET), eperm),
        ("dccp", format!("{}, {}, 6, 33", libc::SYS_socket, libc::AF_INET6), eperm),
        ("smc", format!("{}, {}, 1, 256", libc::SYS_socket, libc::AF_INET), eperm),
        ("pair of tipc", format!("{}, 30, 1, 0, 0", libc::SYS_socketpair), eperm),
        ("pair of alg", format!("{}, {}, 5, 0, 0", libc::SYS_socketpair, libc::AF_ALG), eperm),
        ("pair of sctp", format!("{}, {}, 1, 132, 0", libc::SYS_socketpair, libc::AF_INET), eperm),
        ("btrfs subvolume", format!("{}, 0, {}, 0", libc::SYS_ioctl, 0x5000_940Eu32), eperm),
        ("tiocsti", format!("{}, 0, {}, 'x'", libc::SYS_ioctl, 0x5412), eperm),
        ("tioclinux", format!("{}, 0, {}, 'x'", libc::SYS_ioctl, 0x541C), eperm),
        ("x32", format!("{}, 0", 0x4000_0000 + libc::SYS_getpid), enosys),
    ] {
        let program = format!(
            "my @c = ({call}); $r = syscall(shift(@c), @c); print $r == -1 ? $!+0 : \"done\""
        );
        let (out, _) = lab.exec(&project, &["/usr/bin/perl", "-e", &program]).await;
        assert_eq!(out, errno.to_string(), "{name}");
    }
    // What programs need goes on working.
    for call in [
        format!("{}, {}, 1, 0", libc::SYS_socket, libc::AF_UNIX),
        format!("{}, {}, 3, 0", libc::SYS_socket, libc::AF_NETLINK),
        format!("{}, {}, 1, 0", libc::SYS_socket, libc::AF_INET6),
        format!("{}, {}, 1, 6", libc::SYS_socket, libc::AF_INET),
        format!("{}, {}, 2, 17", libc::SYS_socket, libc::AF_INET6),
        format!("{}, {}, 1, 0, my $pair = ' ' x 8", libc::SYS_socketpair, libc::AF_UNIX),
    ] {
        let program = format!("print syscall({call}) >= 0 ? 'works' : $!");
        let (out, _) = lab.exec(&project, &["/usr/bin/perl", "-e", &program]).await;
        assert_eq!(out, "works", "{call}");
    }
    let status = lab.says(&project, "cat /proc/self/status").await;
    let field = |name: &str| {
        status.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_default().trim().to_owned()
    };
    assert_eq!(field("NoNewPrivs:"), "1");
    assert_eq!(field("Seccomp:"), "2");
    // sys_admin (21), sys_ptrace (19), net_admin (12), net_raw (13), sys_module (16), mknod (27)
    let bounding = u64::from_str_radix(&field("CapBnd:"), 16).unwrap();
    for capability in [12, 13, 16, 19, 21, 27] {
        assert_eq!(bounding & (1 << capability), 0, "capability {capability}");
    }
    lab.close(&[&project]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_machine_plants_in_its_log_folder_does_not_lead_the_host_astray() {
    let Some(lab) = Lab::open().await else { return };
    let (project, _) = lab.machine().await;
    let victim = lab.dir.path().join("victim");
    fs::write(&victim, "untouched").unwrap();
    // By an init that somebody has taken over.
    let log = lab.native.log_dir(&project);
    fs::remove_file(log.join("init.log")).unwrap();
    symlink(&victim, log.join("init.log")).unwrap();
    // Also mount points and files that the launcher writes.
    lab.says(&project, "rm -rf /srv /mnt; rm /etc/hostname; mkfifo /etc/hostname; mv /var/lib /var/lib2; ln -s /etc /var/lib").await;
    lab.native.stop(&project, super::lab::GRACE).await.unwrap();
    lab.native.start(super::lab::spec(&project)).await.unwrap();
    assert_eq!(lab.says(&project, "echo up").await, "up");
    assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
    lab.close(&[&project]).await;
}

/// While a machine's tree is put together, its own links must not lead back over the new root.
#[tokio::test(flavor = "multi_thread")]
async fn a_planted_link_above_the_root_does_not_reach_the_host() {
    let Some(lab) = Lab::open().await else { return };
    let (project, _) = lab.machine().await;
    // Where everybody may write: a machine's ids have no rights anywhere else.
    let host = tempfile::tempdir_in("/var/tmp").unwrap();
    fs::set_permissions(host.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let link = format!("mv /var /var2; ln -s /..{} /var", host.path().display());
    lab.says(&project, &link).await;
    lab.native.stop(&project, super::lab::GRACE).await.unwrap();
    // Such a machine may have made itself unable to start.
    match lab.native.start(super::lab::spec(&project)).await {
        Ok(_) | Err(MachineError::DidNotStart { .. }) => {}
        Err(e) => panic!("{e}"),
    }
    let found: Vec<_> = fs::read_dir(host.path()).unwrap().flatten().collect();
    assert!(found.is_empty(), "the launcher made {found:?} on the host");
    lab.close(&[&project]).await;
}

/// A crash inside must not be fed to a program of the host that reads it as the host's root.
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_reaches_no_program_of_the_host() {
    let Some(lab) = Lab::open().await else { return };
    let (project, _) = lab.machine().await;
    let piped = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap().starts_with('|');
    let limit = lab.says(&project, "awk '/core file/ { print $5, $6 }' /proc/self/limits").await;
    let own = fs::read_to_string("/proc/self/limits").unwrap();
    let own = own.lines().find(|l| l.contains("core file")).unwrap();
    let own: Vec<&str> = own.split_whitespace().skip(4).take(2).collect();
    let expected = if piped { "1 1".to_owned() } else { own.join(" ") };
    assert_eq!(limit, expected);
    lab.close(&[&project]).await;
}

/// `/opt` is the host's: what only its root may read there, and services that listen there, are not
/// a machine's business.
#[tokio::test(flavor = "multi_thread")]
async fn secrets_and_services_of_the_host_below_opt_stay_closed() {
    let Ok(opt) = tempfile::tempdir_in("/opt") else {
        skip("/opt", "nothing can be put into it");
        return;
    };
    let put = |name: &str, mode| {
        let path = opt.path().join(name);
        fs::write(&path, name).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    };
    put("program", 0o755);
    put("secret", 0o600);
    let socket = opt.path().join("socket");
    let _service = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o777)).unwrap();
    fs::set_permissions(opt.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let Some(lab) = Lab::open().await else { return };
    let (project, _) = lab.machine().await;
    let folder = opt.path().display();
    assert_eq!(lab.says(&project, &format!("cat {folder}/program")).await, "program");
    let (out, exit) = lab.shell(&project, &format!("cat {folder}/secret")).await;
    assert_ne!(exit.code, Some(0), "{out}");
    let (out, exit) = lab.shell(&project, &format!("echo x > {folder}/new")).await;
    assert_ne!(exit.code, Some(0), "{out}");
    let program = format!(
        "use Socket; socket(S, AF_UNIX, SOCK_STREAM, 0); \
         print connect(S, pack_sockaddr_un('{folder}/socket')) ? 'reached' : $!"
    );
    if Path::new("/usr/bin/perl").exists() {
        let (out, _) = lab.exec(&project, &["/usr/bin/perl", "-e", &program]).await;
        assert_eq!(out, "Connection refused");
    }
    lab.close(&[&project]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secret_settings_of_the_hosts_own_programs_stay_out() {
    let Ok(etc) = tempfile::tempdir_in("/usr/local/etc") else {
        skip("/usr/local/etc", "nothing can be put into it");
        return;
    };
    fs::set_permissions(etc.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for (name, mode) in [("open", 0o644), ("secret", 0o600)] {
        let path = etc.path().join(name);
        fs::write(&path, "of the host").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
    let Some(lab) = Lab::open().await else { return };
    let (project, _) = lab.machine().await;
    let shown = format!("ls {}; ls /usr/local | grep bin", etc.path().display());
    assert_eq!(lab.says(&project, &shown).await, "open\nbin\nsbin");
    lab.close(&[&project]).await;
}

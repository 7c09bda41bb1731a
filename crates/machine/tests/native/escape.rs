//! Ways out, each tried from inside. None is ever skipped silently.

use super::lab::Lab;
use std::{fs, io::Write as _, net::TcpListener, path::Path};
use toft_machine::backend::Backend as _;

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
    for masked in ["/proc/kcore", "/proc/sysrq-trigger", "/proc/keys"] {
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
    for address in
        [format!("127.0.0.1/{port}"), "1.1.1.1/80".to_owned(), "169.254.169.254/80".to_owned()]
    {
        let (out, exit) =
            lab.exec(&project, &["/bin/bash", "-c", &format!("exec 3<>/dev/tcp/{address}")]).await;
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
        println!("skipped: no perl on this host");
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
        ("btrfs subvolume", format!("{}, 0, {}, 0", libc::SYS_ioctl, 0x5000_940Eu32), eperm),
        ("tiocsti", format!("{}, 0, {}, 'x'", libc::SYS_ioctl, 0x5412), eperm),
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
    lab.says(
        &project,
        &format!("cd /var/lib/toft; rm -f init.log; ln -s {} init.log", victim.display()),
    )
    .await;
    // Also mount points and files that the launcher writes.
    lab.says(&project, "rm -rf /srv /mnt; rm /etc/hostname; mkfifo /etc/hostname; mv /var/lib /var/lib2; ln -s /etc /var/lib").await;
    lab.native.stop(&project, super::lab::GRACE).await.unwrap();
    lab.native.start(super::lab::spec(&project)).await.unwrap();
    assert_eq!(lab.says(&project, "echo up").await, "up");
    assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
    lab.close(&[&project]).await;
}

//! Programs that only read, as plan mode runs them: every way to change a file, tried from inside.

use super::lab::Lab;
use toft_lane::skip;

/// The number of `setns`'s flag for mounts, for `perl`.
const NEWNS: i32 = libc::CLONE_NEWNS;

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_only_reads_changes_no_file_and_finds_no_way_around() {
    let Some(lab) = Lab::open().await else { return };
    if !lab.enforced("read-only programs").await {
        skip("read-only programs", "this kernel makes no read-only mounts");
        return;
    }
    let (project, _) = lab.machine().await;
    lab.says(&project, "echo kept > kept; mkdir folder; echo secret > /tmp/of-others").await;
    // A program of the machine's that can write, with a file of the project's open.
    let other = "setsid sleep 3600 3>>kept >/dev/null 2>&1 & echo $!";
    let other = lab.says(&project, other).await;
    let look = "ls -laR --time-style=full-iso /home /root /etc /var/lib/dpkg/status; md5sum kept";
    let before = lab.says(&project, look).await;
    let python = "import os; os.setuid(65534)";
    let tried = [
        ("a new file", "echo x > x".to_owned()),
        ("a file that is there", "echo x >> kept".to_owned()),
        ("by an absolute path", "echo x > /home/project/x".to_owned()),
        ("truncate", "perl -e 'truncate(\"kept\", 0) or exit 1'".to_owned()),
        ("remove", "rm -f kept".to_owned()),
        ("rename", "mv kept kept2".to_owned()),
        ("a folder", "mkdir new".to_owned()),
        ("a hard link to where it may write", "ln kept /tmp/kept".to_owned()),
        ("mode", "chmod 777 kept".to_owned()),
        (
            "mode by descriptor",
            "perl -e 'open(my $f, \"<\", \"kept\"); chmod(0777, $f) or exit 1'".to_owned(),
        ),
        ("owner", "chown 1 kept".to_owned()),
        ("times", "touch -d 2001-01-01 kept".to_owned()),
        ("home", "echo x > /root/x".to_owned()),
        ("conversations", "echo x > /home/starter/x".to_owned()),
        ("system", "echo x > /usr/local/bin/x".to_owned()),
        ("settings", "echo x >> /etc/hosts".to_owned()),
        ("log", "echo x > /var/lib/toft/x".to_owned()),
        ("run", "echo x > /run/x".to_owned()),
        ("devices", "echo x > /dev/x".to_owned()),
        ("remount", "mount -o remount,rw /".to_owned()),
        ("remount the folder", "mount -o remount,bind,rw /home/project".to_owned()),
        ("bind", "mount --bind / /tmp".to_owned()),
        ("uncover", "umount /tmp".to_owned()),
        ("new user namespace", "unshare -r true".to_owned()),
        ("new mounts", "unshare -m true".to_owned()),
        ("mounts of init", "nsenter -t 1 -m touch /home/project/x".to_owned()),
        ("mounts of another program", format!("nsenter -t {other} -m touch /home/project/x")),
        ("root of init", "echo x > /proc/1/root/home/project/x".to_owned()),
        ("root of another program", format!("echo x > /proc/{other}/root/home/project/x")),
        ("folder of another program", format!("echo x > /proc/{other}/cwd/x")),
        ("descriptor of another program", format!("echo x > /proc/{other}/fd/3")),
        ("memory of another program", format!("echo x > /proc/{other}/mem")),
        ("environment of another program", format!("cat /proc/{other}/environ")),
        ("another user", "perl -e '$< = $> = 65534; exit($! ? 1 : 0)'".to_owned()),
        ("another user by C", format!("python3 -c '{python}'")),
        ("another root", "chroot / true".to_owned()),
        ("a device of disks", "mknod /tmp/disk b 254 0".to_owned()),
    ];
    for (name, command) in tried {
        let (out, exit) = lab.reading(&project, &["/bin/sh", "-c", &command]).await;
        assert_ne!(exit.code, Some(0), "{name} works: {out}");
    }
    if cfg!(target_arch = "x86_64") {
        let handle = "open($main::f, '<', '/proc/self/ns/mnt'); fileno($main::f)";
        for (name, call) in [
            ("setns", format!("{}, do {{ {handle} }}, {NEWNS}", libc::SYS_setns)),
            ("mount_setattr", format!("{}, -100, '/', 0, 0, 0", libc::SYS_mount_setattr)),
            ("trace", format!("{}, 16, {other}, 0, 0", libc::SYS_ptrace)),
            ("seize", format!("{}, 0x4206, {other}, 0, 0", libc::SYS_ptrace)),
            ("memory", format!("{}, {other}, 0, 1, 0, 1, 0", libc::SYS_process_vm_writev)),
            ("handle", format!("{}, 0, 0, 0", libc::SYS_open_by_handle_at)),
            (
                "descriptor",
                format!(
                    "{}, syscall({}, {other}, 0), 3, 0",
                    libc::SYS_pidfd_getfd,
                    libc::SYS_pidfd_open
                ),
            ),
        ] {
            let script = format!(
                "my @c = ({call}); $r = syscall(shift(@c), @c); print $r == -1 ? $!+0 : 'done'"
            );
            let (out, _) = lab.reading(&project, &["/usr/bin/perl", "-e", &script]).await;
            // `process_vm_writev` looks at its (empty) arguments first.
            let refused = out == libc::EPERM.to_string() || (name == "memory" && out != "done");
            assert!(refused, "{name}: {out}");
        }
    }
    assert_eq!(lab.says(&project, look).await, before);
    lab.close(&[&project]).await;
}

/// Whom the capabilities leave open: a process of root's that has none.
#[cfg(target_arch = "x86_64")]
#[tokio::test(flavor = "multi_thread")]
async fn nor_does_a_process_lead_out_that_has_even_less_rights() {
    let Some(lab) = Lab::open().await else { return };
    let (project, _) = lab.machine().await;
    let version = "print syscall(444, 0, 0, 1)";
    let (version, _) = lab.exec(&project, &["/usr/bin/perl", "-e", version]).await;
    if !lab.enforced("read-only programs").await || version.parse().unwrap_or(0) < 6 {
        skip("processes without rights", "this kernel knows no scopes of Landlock");
        lab.close(&[&project]).await;
        return;
    }
    let weak = "setsid setpriv --bounding-set=-all sleep 3600 >/dev/null 2>&1 & echo $!";
    let weak = lab.says(&project, weak).await;
    let rights = format!("grep CapPrm /proc/{weak}/status | cut -f2");
    while lab.says(&project, &rights).await != "0000000000000000" {}
    // To others it is open: what is refused below is refused for what they are.
    lab.says(&project, &format!("ls /proc/{weak}/root/")).await;
    for (name, command) in [
        ("its root", format!("echo x > /proc/{weak}/root/home/project/x")),
        ("its folder", format!("echo x > /proc/{weak}/cwd/x")),
        ("a signal", format!("kill {weak}")),
    ] {
        let (out, exit) = lab.reading(&project, &["/bin/sh", "-c", &command]).await;
        assert_ne!(exit.code, Some(0), "{name} works: {out}");
    }
    let moved = "mkdir /tmp/a /tmp/b && echo x > /tmp/a/x && perl -e 'rename(\"/tmp/a/x\", \"/tmp/b/x\") or exit 1'";
    let (out, exit) = lab.reading(&project, &["/bin/sh", "-c", moved]).await;
    assert_eq!(exit.code, Some(0), "{out}");
    lab.close(&[&project]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_only_reads_can_work_with_what_it_reads() {
    let Some(lab) = Lab::open().await else { return };
    if !lab.enforced("read-only programs").await {
        skip("read-only programs", "this kernel makes no read-only mounts");
        return;
    }
    let (project, _) = lab.machine().await;
    lab.says(&project, "echo kept > kept; mkfifo pipe; echo secret > /tmp/of-others").await;
    for (command, said) in [
        ("pwd", "/home/project"),
        ("cat kept", "kept"),
        ("ls -A /tmp", ""),
        (
            "mkdir /tmp/work && cp kept /tmp/work && chmod 700 /tmp/work/kept && cat /tmp/work/kept",
            "kept",
        ),
        // What one of them left there another one finds.
        ("ls -A /tmp", "work"),
        ("echo x > /dev/shm/x && cat /dev/shm/x; rm /dev/shm/x", "x"),
        ("echo x > /dev/null; head -c 4 /dev/zero | wc -c", "4"),
        ("cut -c1-3 /proc/self/cmdline", "cut"),
        ("ls /proc/self/fd | tr '\\n' ' '", "0 1 2 3"),
        ("grep CapBnd /proc/self/status | cut -f2", "000000000000041b"),
        ("sleep 60 & kill $!; wait $! 2>/dev/null; echo done", "done"),
    ] {
        let (out, exit) = lab.reading(&project, &["/bin/sh", "-c", command]).await;
        assert_eq!((exit.code, out.trim()), (Some(0), said), "{command}");
    }
    // The others go on as ever, and see nothing of it.
    assert_eq!(lab.says(&project, "ls -A /tmp; echo y > kept; cat kept").await, "of-others\ny");
    let (out, _) = lab.reading(&project, &["/bin/cat", "kept"]).await;
    assert_eq!(out, "y\n", "what others write shows at once");
    lab.close(&[&project]).await;
}

//! The host reads files of disks whose owners change them meanwhile: links planted, and folders
//! exchanged for links in a loop. Nothing outside the disk is ever read.

use crate::lab::Lab;
use std::{fs, path::Path};
use toft_lane::{deep, skip};
use toft_machine::backend::Backend as _;

/// Reads while the machine exchanges; the long lane makes as many as an attacker has patience for.
const READS: usize = 4_000;
const READS_DEEP: usize = 100_000;
const SECRET: &str = "of-the-host";

#[tokio::test(flavor = "multi_thread")]
async fn no_link_of_a_disk_leads_the_host_out_of_it() {
    let Some(lab) = Lab::open().await else { return };
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("f"), SECRET).unwrap();
    let out = outside.path().display();
    let (project, _) = lab.machine().await;
    let plant = format!(
        "cd /home/project && ln -s {out} folder && ln -s {out}/f file && \
         ln -s /proc/self/root/{out} magic && ln -s / top && mkdir real && echo own > real/f && \
         ln -s ../../../../../../../../../../{out} up && ln real/f hard && mkfifo pipe"
    );
    lab.says(&project, &plant).await;
    let read = async |path: &str| lab.native.read(&project, None, path, 1 << 20).await.unwrap();
    assert_eq!(read("/home/project/real/f").await.unwrap(), b"own\n", "the control");
    assert_eq!(read("/home/project/hard").await.unwrap(), b"own\n");
    for path in [
        "/home/project/folder/f",
        "/home/project/file",
        "/home/project/magic/f",
        "/home/project/up/f",
        "/home/project/top/etc/hostname",
        "/home/project/pipe",
        "/home/project/real/../../../../f",
        "/../../../../../../etc/shadow",
        "../etc/shadow",
        "home/project/real/f",
        "/home/project/real/f/",
        "/proc/self/root/etc/shadow",
        "//etc//./hostname/",
        "/home/project/real/f\0/x",
        "",
        "/",
    ] {
        let got = read(path).await;
        let text = got.as_deref().map(String::from_utf8_lossy);
        assert!(!text.is_some_and(|t| t.contains(SECRET) || t.contains("root:")), "{path:?}");
    }
    lab.close(&[&project]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_exchanged_for_a_link_while_the_host_reads_leads_nowhere() {
    let Some(lab) = Lab::open().await else { return };
    if !Path::new("/usr/bin/perl").exists() || !cfg!(target_arch = "x86_64") {
        skip("the race", "the exchange needs perl, and its number on this architecture");
        return;
    }
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("f"), SECRET).unwrap();
    let (project, _) = lab.machine().await;
    let plant = format!(
        "cd /home/project && mkdir a && echo own > a/f && ln -s {} b",
        outside.path().display()
    );
    lab.says(&project, &plant).await;
    let (mut own, mut none) = (0, 0);
    let wanted = if deep() { READS_DEEP } else { READS };
    while own + none < wanted {
        let exchange = lab.shell(
            &project,
            "cd /home/project && perl -e 'my ($a, $b) = qw(a b); \
             for (1..3000) { syscall(316, -100, $a, -100, $b, 2) == 0 or die $! }'",
        );
        tokio::pin!(exchange);
        let ended = loop {
            tokio::select! {
                biased;
                ended = &mut exchange => break ended,
                read = lab.native.read(&project, None, "/home/project/a/f", 1 << 20) => {
                    match read.unwrap() {
                        Some(bytes) => {
                            assert_eq!(bytes, b"own\n");
                            own += 1;
                        }
                        None => none += 1,
                    }
                }
            }
        };
        assert_eq!(ended.1.code, Some(0), "{}", ended.0);
    }
    assert!(own > 0 && none > 0, "the exchange ran meanwhile: {own} own, {none} refused");
    lab.close(&[&project]).await;
}

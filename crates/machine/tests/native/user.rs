//! The main story once more as an ordinary user, when this runs as root.

use super::lab::{PROBE, exe, is_root};
use std::{
    fs,
    os::unix::{fs::chown, process::CommandExt as _},
    path::Path,
    process::Command,
};
use toft_lane::{deep, skip};

/// An id that no account has; files of it are removed with the test.
const SOMEBODY: u32 = 61_234;
const STORIES: [&str; 14] = [
    "checkpoints::a_restore_brings_files_back_and_keeps_longer_sessions",
    "checkpoints::a_fork_stands_alone",
    "checkpoints::hostile::hostile_trees_lead_nowhere",
    "images::a_root_tarball_becomes_machines_that_have_nothing_of_the_hosts_programs",
    "images::over_host::a_toolchains_folder_shows_beside_the_hosts_programs_and_cannot_be_changed",
    "frozen::a_frozen_machine_stays_so_until_somebody_thaws_or_ends_it",
    "life::a_machine_starts_keeps_its_files_over_a_stop_and_leaves_nothing_behind",
    "life::a_new_server_adopts_the_same_process_with_its_token_and_listeners",
    "direct::a_connection_to_any_address_comes_to_the_gateway_and_keeps_it",
    "direct::dns_reaches_the_gateway_and_nothing_but_tcp_has_a_route",
    "escape::nothing_of_the_host_is_visible",
    "escape::the_network_is_a_loopback_and_no_port_of_the_host_answers",
    "read_only::a_program_that_only_reads_changes_no_file_and_finds_no_way_around",
    "read_only::a_program_that_only_reads_can_work_with_what_it_reads",
];
/// Those that take long where disks are copied file by file.
const LONG: [&str; 1] = ["steps::a_server_killed_at_any_step_leaves_the_old_state_or_the_new_one"];

#[test]
fn the_stories_hold_for_an_ordinary_user() {
    if !is_root() {
        skip("an ordinary user", "the other tests have shown it, they did not run as root");
        return;
    }
    // The build folder may lie where others may not look.
    let dir = tempfile::tempdir().unwrap();
    let tests = dir.path().join("tests");
    fs::copy(std::env::current_exe().unwrap(), &tests).unwrap();
    fs::copy(exe(), dir.path().join("probe")).unwrap();
    let home = dir.path().join("home");
    fs::create_dir(&home).unwrap();
    chown(&home, Some(SOMEBODY), Some(SOMEBODY)).unwrap();
    fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut run = Command::new(&tests);
    passes(run.uid(SOMEBODY).gid(SOMEBODY), &home, &STORIES);
    if deep() {
        let mut run = Command::new(&tests);
        passes(run.uid(SOMEBODY).gid(SOMEBODY), &home, &LONG);
    }
    // The same where something is mounted below /usr: only together may a user's namespace have them.
    let Some(place) = ["/usr/local/games", "/usr/games", "/usr/local/src"]
        .into_iter()
        .find(|place| Path::new(place).is_dir())
    else {
        skip("a mount below /usr", "no folder to mount on");
        return;
    };
    let mut run = Command::new("unshare");
    let mounted = format!(
        "mount -t tmpfs none {place} && exec setpriv --reuid {SOMEBODY} --regid {SOMEBODY} \
         --clear-groups \"$0\" \"$@\""
    );
    passes(run.args(["-m", "sh", "-c", &mounted]).arg(&tests), &home, &STORIES[..1]);
}

fn passes(run: &mut Command, home: &Path, stories: &[&str]) {
    let run = run
        .args(["--exact", "--nocapture", "--test-threads=1"])
        .args(stories)
        .env("TMPDIR", home)
        .env(PROBE, home.with_file_name("probe"))
        .current_dir("/")
        .output()
        .unwrap();
    let said =
        String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
    println!("{said}");
    assert!(run.status.success());
    assert!(said.contains(&format!("{} passed", stories.len())), "the stories were found by name");
}

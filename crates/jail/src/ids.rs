//! Id maps of a user namespace, written by the launcher from outside.

use crate::{
    failure::{Failure, step},
    spec::Ids,
};
use std::{fs, io, process::Command};

/// Maps the ids of the process `pid`, whose user namespace is new.
pub(crate) fn map(pid: i32, ids: &Ids) -> Result<(), Failure> {
    match ids {
        Ids::Range { base, count } => {
            let line = format!("0 {base} {count}");
            write(pid, "uid_map", &line)?;
            write(pid, "gid_map", &line)
        }
        Ids::Single { uid, gid } => {
            // Without this an ordinary user could drop groups that deny access.
            write(pid, "setgroups", "deny")?;
            write(pid, "uid_map", &format!("0 {uid} 1"))?;
            write(pid, "gid_map", &format!("0 {gid} 1"))
        }
        Ids::Delegated { uid, gid, uids, gids } => {
            delegate("newuidmap", pid, *uid, *uids)?;
            delegate("newgidmap", pid, *gid, *gids)
        }
    }
}

fn write(pid: i32, file: &str, text: &str) -> Result<(), Failure> {
    fs::write(format!("/proc/{pid}/{file}"), text).map_err(step("map the ids of the machine"))
}

fn delegate(program: &str, pid: i32, own: u32, range: (u32, u32)) -> Result<(), Failure> {
    let numbers = [pid.unsigned_abs(), 0, own, 1, 1, range.0, range.1];
    let out = Command::new(program)
        .args(numbers.map(|n| n.to_string()))
        .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
        .output()
        .map_err(step("run newuidmap and newgidmap"))?;
    if out.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&out.stderr).trim().to_owned();
    Err(step("map the delegated ids of the machine")(io::Error::other(format!(
        "{program}: {said}"
    ))))
}

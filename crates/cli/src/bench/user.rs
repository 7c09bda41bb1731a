//! The same rows as an ordinary user of this host: a second column. Only root can do that; whoever is
//! an ordinary user already has it in the first.

use super::{Row, child::Ends, scratch::Scratch};
use crate::output;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::{
    collections::HashMap,
    os::unix::fs::{PermissionsExt as _, chown},
    process::Stdio,
};
use tokio::process::Command;

/// p50 and p99 by the row's name.
pub(super) type Column = HashMap<String, (f64, f64)>;

/// Runs each row once more in a process of that user's. A row that fails there is named and left out.
pub(super) async fn column(user: &str, rows: &[&str], rounds: usize) -> Result<Column> {
    if !rustix::process::geteuid().is_root() {
        bail!("--user needs root: an ordinary user's figures are those without it");
    }
    let (uid, gid) = ids(user)?;
    let home = Scratch::make()?;
    std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o700))?;
    let program = home.path().join("toft");
    std::fs::copy(std::env::current_exe()?, &program).context("copying this program")?;
    for path in [home.path(), &program] {
        chown(path, Some(uid), Some(gid)).context("giving the program to the user")?;
    }
    let mut column = Column::new();
    for row in rows {
        output::remark(&format!("measuring {row} as {user} …"));
        let child = Command::new(&program)
            .args(["bench", "--json", "--rows", row, "--rounds", &rounds.to_string()])
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", home.path())
            .env("TMPDIR", home.path())
            .current_dir(home.path())
            .uid(uid)
            .gid(gid)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("running this program as another user")?;
        let (status, stdout, stderr) = Ends(child).said().await?;
        let answer: Option<Value> = serde_json::from_slice(&stdout).ok();
        let Some(found) = answer.filter(|_| status.success()) else {
            let said = String::from_utf8_lossy(&stderr);
            let last = said.lines().last().unwrap_or("it said nothing");
            output::remark(&format!("{row} is left out for {user}: {last}"));
            continue;
        };
        for row in found["rows"].as_array().into_iter().flatten() {
            let figure = |name: &str| row[name].as_f64();
            if let (Some(name), Some(p50), Some(p99)) =
                (row["name"].as_str(), figure("p50"), figure("p99"))
            {
                column.insert(name.to_owned(), (p50, p99));
            }
        }
    }
    Ok(column)
}

/// Of passwd(5).
fn ids(user: &str) -> Result<(u32, u32)> {
    let users = std::fs::read_to_string("/etc/passwd").context("reading the list of users")?;
    users
        .lines()
        .find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            let uid: u32 = fields.nth(1)?.parse().ok()?;
            let gid: u32 = fields.next()?.parse().ok()?;
            (name == user || uid.to_string() == user).then_some((uid, gid))
        })
        .with_context(|| format!("there is no user {user:?} on this host"))
}

/// The two cells of a row.
pub(super) fn cells(column: &Column, row: &Row) -> [String; 2] {
    let found = column.get(&row.name);
    let cell = |figure: Option<f64>| figure.map_or_else(|| "–".to_owned(), |f| format!("{f:.2}"));
    [cell(found.map(|f| f.0)), cell(found.map(|f| f.1))]
}

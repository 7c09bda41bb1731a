//! Whether somebody else has a service's port already, and who: from `/proc/net/tcp` and the open
//! descriptors of processes (proc(5)). Said before the service is started, in words that help.

use crate::app_port::listening;
use std::fs;

/// What stands in the way of a server that wants this port; `None`: nothing does.
pub(super) fn of_port(port: u16) -> Option<String> {
    if !listening::ports().contains(&port) {
        return None;
    }
    let holder = match holder(port) {
        Some((pid, command)) => format!("pid {pid} (`{command}`)"),
        None => "another program".to_owned(),
    };
    Some(format!(
        "Port {port} is in use by {holder}. End that program, or give the service another port; it \
         starts by itself then."
    ))
}

/// Pid and command of a process that listens there, where that can be seen.
fn holder(port: u16) -> Option<(u32, String)> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|table| {
        let text = listening::whole(table).ok()?;
        text.lines().skip(1).find_map(|line| listening::inode(line, port))
    })?;
    let wanted = format!("socket:[{inode}]");
    fs::read_dir("/proc").ok()?.find_map(|entry| {
        let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let mut open = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
        let has = open.any(|fd| {
            fd.and_then(|fd| fs::read_link(fd.path()))
                .is_ok_and(|link| link.to_string_lossy() == wanted)
        });
        has.then(|| (pid, command(pid)))
    })
}

fn command(pid: u32) -> String {
    let argv = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let text = String::from_utf8_lossy(&argv).replace('\0', " ");
    text.trim().chars().take(COMMAND_CHARS_MAX).collect()
}

/// Characters of a command that people are told.
const COMMAND_CHARS_MAX: usize = 120;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_that_has_the_port_is_named() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let said = of_port(port).unwrap();
        assert!(said.contains(&format!("pid {}", std::process::id())), "{said}");
        drop(listener);
        assert_eq!(of_port(port), None);
    }
}

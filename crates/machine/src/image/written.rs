//! What a template has of its own: accounts without passwords, name resolution, PAM, the package
//! system's way out, shells.

use super::put;
use std::{fs, io, path::Path};
use toft_jail::spec::{EGRESS_PORT, GATEWAY_ADDRESS};

/// Ids below this belong to the system (`SYS_UID_MAX` and below of Debian's policy); those of
/// people are not shown.
const SYSTEM_IDS_END: u32 = 1000;
/// The id of "nobody" and "nogroup".
const NOBODY: u32 = 65534;

/// Tells packages not to start daemons (Debian's `invoke-rc.d` protocol: 101 is "forbidden").
pub(crate) const POLICY_RC_D: &str = "#!/bin/sh\nexit 101\n";

/// Files first: the gateway's name stands there.
pub(crate) const NSSWITCH: &str = "passwd: files\ngroup: files\nshadow: files\ngshadow: files\n\
hosts: files dns\nnetworks: files\nprotocols: files\nservices: files\nethers: files\nrpc: files\n";

/// The gateway answers there; where it cannot listen, programs that ask fail at once. While one gateway
/// follows another, a question waits.
pub(crate) const RESOLV: &str = "nameserver 127.77.0.1\noptions timeout:3 attempts:2\n";

const PAM_ALL: &str = "auth required pam_permit.so\naccount required pam_permit.so\n\
password required pam_deny.so\nsession required pam_permit.so\n";
const PAM_SU: &str = "auth sufficient pam_rootok.so\nauth required pam_deny.so\n\
account required pam_permit.so\npassword required pam_deny.so\nsession required pam_permit.so\n";
/// Debian's `common-*` names, which packages include.
const PAM_COMMON: &[(&str, &str)] = &[
    ("common-auth", "auth required pam_permit.so\n"),
    ("common-account", "account required pam_permit.so\n"),
    ("common-password", "password required pam_deny.so\n"),
    ("common-session", "session required pam_permit.so\n"),
    ("common-session-noninteractive", "session required pam_permit.so\n"),
];

const PROFILE: &str = r#"# Login shells. PATH and the rest of the environment come from the machine.
: "${PATH:=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}"
export PATH
if [ -n "${BASH_VERSION-}" ] && [ -n "${PS1-}" ] && [ -f /etc/bash.bashrc ]; then
  . /etc/bash.bashrc
fi
for i in /etc/profile.d/*.sh; do
  [ -r "$i" ] && . "$i"
done
unset i
"#;

const BASHRC: &str = r#"# Interactive shells.
[ -z "${PS1-}" ] && return
shopt -s checkwinsize histappend
PS1='\[\e[1;32m\]\h\[\e[0m\]:\[\e[1;34m\]\w\[\e[0m\]\$ '
HISTCONTROL=ignoreboth
alias ls='ls --color=auto'
alias grep='grep --color=auto'
alias ll='ls -l'
if [ -f /usr/share/bash-completion/bash_completion ]; then
  . /usr/share/bash-completion/bash_completion
fi
"#;

const ROOT_PROFILE: &str =
    "# Login shells of root.\n[ -n \"${BASH_VERSION-}\" ] && [ -f ~/.bashrc ] && . ~/.bashrc\n:\n";
const ROOT_BASHRC: &str = "# Interactive shells of root; /etc/bash.bashrc was read before.\n";

const SUDOERS: &str = "Defaults env_keep += \"*_proxy *_PROXY NO_PROXY TOFT_*\"\n\
root ALL=(ALL:ALL) NOPASSWD: ALL\n%sudo ALL=(ALL:ALL) NOPASSWD: ALL\n";

/// Names that every machine knows.
pub(crate) fn hosts() -> String {
    let gateway = std::net::Ipv4Addr::from(GATEWAY_ADDRESS);
    format!("127.0.0.1\tlocalhost\n{gateway}\tgateway.internal\n::1\tip6-localhost ip6-loopback\n")
}

/// How Debian's package system gets out.
pub(crate) fn apt() -> String {
    let proxy = format!("http://gateway.internal:{EGRESS_PORT}");
    format!(
        "Acquire::http::Proxy \"{proxy}\";\nAcquire::https::Proxy \"{proxy}\";\n\
         APT::Sandbox::User \"root\";\nAPT::Update::Error-Mode \"any\";\n"
    )
}

/// Writes it all below `root`.
pub(super) fn write_into(root: &Path) -> io::Result<()> {
    let (passwd, shadow) = accounts(&read_or_empty("/etc/passwd"));
    let (group, gshadow) = groups(&read_or_empty("/etc/group"));
    let (hosts, apt) = (hosts(), apt());
    for (path, text, mode) in [
        ("etc/passwd", passwd.as_str(), 0o644),
        ("etc/shadow", &shadow, 0o640),
        ("etc/group", &group, 0o644),
        ("etc/gshadow", &gshadow, 0o640),
        ("etc/hosts", &hosts, 0o644),
        ("etc/nsswitch.conf", NSSWITCH, 0o644),
        ("etc/resolv.conf", RESOLV, 0o644),
        ("etc/profile", PROFILE, 0o644),
        ("etc/bash.bashrc", BASHRC, 0o644),
        ("root/.profile", ROOT_PROFILE, 0o644),
        ("root/.bashrc", ROOT_BASHRC, 0o644),
        ("etc/environment", "", 0o644),
        ("etc/sudoers", SUDOERS, 0o440),
        ("etc/pam.d/other", PAM_ALL, 0o644),
        ("etc/pam.d/login", PAM_ALL, 0o644),
        ("etc/pam.d/sudo", PAM_ALL, 0o644),
        ("etc/pam.d/runuser", PAM_SU, 0o644),
        ("etc/pam.d/runuser-l", PAM_SU, 0o644),
        ("etc/pam.d/su", PAM_SU, 0o644),
        ("etc/pam.d/su-l", PAM_SU, 0o644),
        ("etc/apt/apt.conf.d/99toft", &apt, 0o644),
    ] {
        put(root, path, text, mode)?;
    }
    for (name, text) in PAM_COMMON {
        put(root, &format!("etc/pam.d/{name}"), text, 0o644)?;
    }
    std::os::unix::fs::symlink("/proc/self/mounts", root.join("etc/mtab"))?;
    sources(root)
}

fn read_or_empty(path: &str) -> String {
    // A host without the file has no accounts to take over; root is always written.
    fs::read_to_string(path).unwrap_or_default()
}

/// Names of the host's system accounts, so that packages find theirs; no passwords, no real names.
fn accounts(host: &str) -> (String, String) {
    let shell = if Path::new("/bin/bash").exists() { "/bin/bash" } else { "/bin/sh" };
    let mut passwd = format!("root:x:0:0:root:/root:{shell}\n");
    let mut shadow = "root:*:19000:0:99999:7:::\n".to_owned();
    for line in host.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, _, home, shell] = fields[..] else { continue };
        let (Ok(uid), Ok(gid)) = (uid.parse::<u32>(), gid.parse::<u32>()) else { continue };
        let system = (1..SYSTEM_IDS_END).contains(&uid) || uid == NOBODY;
        if !system || gid > NOBODY {
            continue;
        }
        passwd +=
            &[name, ":x:", &uid.to_string(), ":", &gid.to_string(), "::", home, ":", shell, "\n"]
                .concat();
        shadow += &[name, ":*:19000:0:99999:7:::\n"].concat();
    }
    (passwd, shadow)
}

/// Names of the host's system groups, without members.
fn groups(host: &str) -> (String, String) {
    let (mut group, mut gshadow) = ("root:x:0:\n".to_owned(), "root:*::\n".to_owned());
    for line in host.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, gid, _] = fields[..] else { continue };
        let Ok(gid) = gid.parse::<u32>() else { continue };
        if (1..SYSTEM_IDS_END).contains(&gid) || gid == NOBODY {
            group += &[name, ":x:", &gid.to_string(), ":\n"].concat();
            gshadow += &[name, ":*::\n"].concat();
        }
    }
    (group, gshadow)
}

/// The host's package sources, without any password in an address.
fn sources(root: &Path) -> io::Result<()> {
    let apt = Path::new("/etc/apt");
    let mut files = vec![apt.join("sources.list")];
    if let Ok(entries) = fs::read_dir(apt.join("sources.list.d")) {
        files.extend(entries.flatten().map(|e| e.path()));
    }
    for path in files {
        let known = path.extension().is_some_and(|e| e == "list" || e == "sources");
        let Ok(text) = fs::read_to_string(&path) else { continue };
        if known && let Ok(below) = path.strip_prefix("/") {
            put(root, &below.to_string_lossy(), &without_credentials(&text), 0o644)?;
        }
    }
    Ok(())
}

/// Takes `user:password@` out of every address.
fn without_credentials(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (head, tail) = rest.split_at(at + 3);
        out.push_str(head);
        let end = tail.find(|c: char| c == '/' || c.is_whitespace()).unwrap_or(tail.len());
        rest = tail[..end].rfind('@').map_or(tail, |at| &tail[at + 1..]);
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lose_their_credentials_and_nothing_else() {
        for (given, expected) in [
            ("deb https://me:pw@host/x y", "deb https://host/x y"),
            ("URIs: http://a@b:80 https://c/d@e", "URIs: http://b:80 https://c/d@e"),
            ("no address", "no address"),
            ("http://me:p@ss@host", "http://host"),
        ] {
            assert_eq!(without_credentials(given), expected);
        }
    }

    #[test]
    fn people_of_the_host_are_not_taken_over() {
        let (passwd, shadow) = accounts(
            "root:x:0:0:root:/root:/bin/zsh\nmail:x:8:8:Mail Person:/var/mail:/usr/sbin/nologin\n\
             ann:x:1000:1000:Ann:/home/ann:/bin/bash\nbad line\n",
        );
        assert_eq!(passwd.lines().count(), 2);
        assert!(passwd.contains("mail:x:8:8::/var/mail:/usr/sbin/nologin\n"));
        assert!(!shadow.contains("ann"));
        let (group, _) = groups("sudo:x:27:ann\nann:x:1000:\n");
        assert_eq!(group, "root:x:0:\nsudo:x:27:\n");
    }
}

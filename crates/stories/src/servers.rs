//! Servers that are no part of Toft, each in a folder of its own that goes with it: OpenSSH and
//! PostgreSQL as the distribution has them. On loopback addresses of this host.

use crate::{made, mounts::WITHOUT_OTHERS, ports, processes};
use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    ffi::OsString,
    fs,
    net::{SocketAddr, TcpStream},
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// How long such a server may take to begin.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// The user "nobody" of every distribution: PostgreSQL refuses to run as root.
const NOBODY: u32 = 65534;

/// What PostgreSQL was asked with its own client, which ends by itself.
pub struct Asked(Child);

impl Asked {
    /// Once it was done.
    pub fn done(self) -> Result<()> {
        let done = self.0.wait_with_output()?;
        ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        Ok(())
    }
}

/// A server that runs until it is dropped.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its files.
    pub folder: TempDir,
    child: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It leads a group of its own.
        let _ = self.stand_still(false);
        if let Some(group) = Pid::from_raw(self.child.id().cast_signed()) {
            let _ = rustix::process::kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

impl Server {
    fn start(mut command: Command, address: SocketAddr, folder: TempDir) -> Result<Self> {
        let log = fs::File::create(folder.path().join("log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        let child = command.spawn().context("starting a server")?;
        let mut server = Self { address, folder, child };
        server.begun()?;
        Ok(server)
    }

    /// Waits until it takes connections.
    fn begun(&mut self) -> Result<()> {
        let until = Instant::now() + START_TIMEOUT;
        while TcpStream::connect(self.address).is_err() {
            let ended = self.child.try_wait()?;
            ensure!(
                ended.is_none() && Instant::now() < until,
                "a server does not begin ({ended:?}): {}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// What it says.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// OpenSSH with one user, `git`, whose key is [`Self::key`]. `None`: there is none here. Needs
    /// root.
    pub fn ssh() -> Result<Option<Self>> {
        let Some((sshd, libraries)) = sshd() else { return Ok(None) };
        let folder = folder("toft-sshd-")?;
        let at = |name: &str| folder.path().join(name);
        for key in ["host", "key"] {
            let args = ["-q", "-t", "ed25519", "-N", "", "-C", "story", "-f"];
            let made = Command::new("ssh-keygen").args(args).arg(at(key)).status()?;
            ensure!(made.success(), "ssh-keygen makes a key");
        }
        fs::copy(at("key.pub"), at("authorized"))?;
        let home = folder.path().display();
        let address = ports::free_address();
        // Accounts of its own, in mounts of its own: the host's stay as they are.
        fs::write(
            at("passwd"),
            format!(
                "root:x:0:0::/:/bin/sh\ngit:x:0:0::{home}:/bin/sh\nsshd:x:65533:65534::/:/bin/sh\n"
            ),
        )?;
        fs::write(at("shadow"), "root:*:1::::::\ngit:*:1::::::\nsshd:*:1::::::\n")?;
        fs::write(
            at("config"),
            format!(
                "ListenAddress {address}\nHostKey {home}/host\nAuthorizedKeysFile {home}/authorized\n\
                 StrictModes no\nUsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\n\
                 KbdInteractiveAuthentication no\nPidFile none\n"
            ),
        )?;
        let own = "mount --bind \"$1/passwd\" /etc/passwd && mount --bind \"$1/shadow\" /etc/shadow && \
                   mount -t tmpfs tmpfs /run && mkdir /run/sshd && exec \"$2\" -D -e -f \"$1/config\"";
        let mut command = Command::new("unshare");
        let mounts = format!("{WITHOUT_OTHERS}{own}");
        command.args(["--mount", "sh", "-c", &mounts, "sh"]).arg(folder.path()).arg(sshd);
        command.envs(libraries.map(|path| ("LD_LIBRARY_PATH", path)));
        Self::start(command, address, folder).map(Some)
    }

    /// The private key of the user of [`Self::ssh`].
    pub fn key(&self) -> Result<String> {
        Ok(fs::read_to_string(self.folder.path().join("key"))?)
    }

    /// PostgreSQL with one user, `story`, who needs no password. `None`: there is none here. Needs
    /// root.
    pub fn postgres() -> Result<Option<Self>> {
        Self::postgres_behind(&[], ports::free_address())
    }

    /// The same, started by a program that is put in front of it, at an address that there is then.
    pub fn postgres_behind(before: &[String], address: SocketAddr) -> Result<Option<Self>> {
        let Some(programs) = postgres_programs() else { return Ok(None) };
        let folder = folder("toft-postgres-")?;
        chown(folder.path(), Some(NOBODY), Some(NOBODY))?;
        let data = folder.path().join("data");
        let made = as_nobody(&programs.join("initdb"), folder.path())
            .args(["--auth=trust", "--username=story", "--encoding=UTF8", "--no-sync", "--pgdata"])
            .arg(&data)
            .output()?;
        ensure!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let mut command = postgres_at(&programs, folder.path(), address);
        if let Some((first, others)) = before.split_first() {
            fs::write(data.join("pg_hba.conf"), "host all all all trust\n")?;
            let nobody = NOBODY.to_string();
            let mut behind = Command::new(first);
            behind.args(others).args(["setpriv", "--reuid", &nobody, "--regid", &nobody]);
            behind
                .args(["--clear-groups", "--"])
                .arg(command.get_program())
                .args(command.get_args());
            behind.current_dir(folder.path()).env("LC_ALL", "C.UTF-8");
            command = behind;
        }
        let server = Self::start(command, address, folder)?;
        // It takes connections before it answers.
        let until = Instant::now() + START_TIMEOUT;
        while server.sql("SELECT 1").is_err() {
            ensure!(Instant::now() < until, "a database does not answer: {}", server.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Some(server))
    }

    /// The address of a database of [`Self::postgres`].
    pub fn database(&self, name: &str) -> String {
        format!("postgres://story@{}/{name}", self.address)
    }

    /// The first process of PostgreSQL, by the file in which it says which that is.
    fn postmaster(&self) -> Result<u32> {
        let file = fs::read_to_string(self.folder.path().join("data/postmaster.pid"))?;
        Ok(file.lines().next().context("a process")?.trim().parse()?)
    }

    /// Ends PostgreSQL as a crash would.
    pub fn crash(&mut self) -> Result<()> {
        signal(self.postmaster()?, Signal::QUIT)?;
        self.child.wait()?;
        Ok(())
    }

    /// PostgreSQL and all who work for it stand still, or go on.
    pub fn stand_still(&self, still: bool) -> Result<()> {
        for process in processes::tree(self.postmaster()?) {
            // Some end while they are looked at.
            let _ = signal(process.pid, if still { Signal::STOP } else { Signal::CONT });
        }
        Ok(())
    }

    /// What a person does with PostgreSQL's own client.
    pub fn sql(&self, statements: &str) -> Result<()> {
        self.sql_meanwhile(statements)?.done()
    }

    /// The same, while the story goes on.
    pub fn sql_meanwhile(&self, statements: &str) -> Result<Asked> {
        let psql = postgres_programs().context("PostgreSQL was here")?.join("psql");
        let mut command = Command::new(psql);
        command.args(["--no-psqlrc", "--quiet", "-v", "ON_ERROR_STOP=1", "-c", statements]);
        command.arg(self.database("postgres")).stdout(Stdio::null()).stderr(Stdio::piped());
        Ok(Asked(command.spawn()?))
    }

    /// Begins it again.
    pub fn begin(&mut self) -> Result<()> {
        let programs = postgres_programs().context("PostgreSQL was here")?;
        let mut command = postgres_at(&programs, self.folder.path(), self.address);
        let log = fs::File::options().append(true).open(self.folder.path().join("log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        self.child = command.spawn().context("starting PostgreSQL again")?;
        self.begun()
    }
}

fn signal(pid: u32, signal: Signal) -> Result<()> {
    let pid = Pid::from_raw(pid.cast_signed()).context("a process")?;
    Ok(kill_process(pid, signal)?)
}

fn as_nobody(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.uid(NOBODY).gid(NOBODY).current_dir(folder).env("LC_ALL", "C.UTF-8");
    command
}

fn postgres_at(programs: &Path, folder: &Path, address: SocketAddr) -> Command {
    let mut command = as_nobody(&programs.join("postgres"), folder);
    command.arg("-D").arg(folder.join("data")).arg("-k").arg(folder).args([
        "-h",
        &address.ip().to_string(),
        "-p",
        &address.port().to_string(),
        "-F",
    ]);
    command
}

/// The folder of PostgreSQL's own programs.
pub fn postgres_programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut found: Vec<PathBuf> =
        versions.flatten().map(|entry| entry.path().join("bin")).collect();
    found.retain(|path| path.join("postgres").exists());
    found.sort();
    found.pop()
}

/// OpenSSH's server, installed or unpacked by `.ci/prepare tests`, and where its libraries are.
fn sshd() -> Option<(PathBuf, Option<OsString>)> {
    let installed = PathBuf::from("/usr/sbin/sshd");
    if installed.exists() {
        return Some((installed, None));
    }
    let unpacked = made::folder()?.join("ssh");
    let mut libraries = fs::read_dir(unpacked.join("usr/lib")).ok()?.flatten().map(|e| e.path());
    let libraries = libraries.find(|path| path.join("libwrap.so.0").exists())?;
    let program = unpacked.join("usr/sbin/sshd");
    program.exists().then(|| (program, Some(libraries.into_os_string())))
}

fn folder(prefix: &str) -> Result<TempDir> {
    let folder = tempfile::Builder::new().prefix(prefix).tempdir()?;
    fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    Ok(folder)
}

/// What starts a program in mounts of its own where these names mean 127.0.0.1. Needs root.
pub fn with_names(folder: &Path, names: &[&str]) -> Result<Vec<String>> {
    let path = folder.join("hosts");
    let own = fs::read_to_string("/etc/hosts").unwrap_or_default();
    // The gateway asks for whole names, with the dot at their end.
    let lines: Vec<String> =
        names.iter().map(|name| format!("127.0.0.1 {name} {name}.\n")).collect();
    fs::write(&path, format!("{own}\n{}", lines.concat()))?;
    let mount = format!(
        "{WITHOUT_OTHERS}mount --bind '{}' /etc/hosts && exec \"$0\" \"$@\"",
        path.display()
    );
    Ok(["unshare", "--mount", "sh", "-c", &mount].map(str::to_owned).into())
}

/// A database that a story is told on: SQLite's file in the data folder, or a PostgreSQL of its own.
pub struct Kept {
    /// `None`: SQLite.
    pub postgres: Option<Server>,
}

/// Runs statements on a file of SQLite's.
pub fn sqlite(database: &Path, statements: &str) -> Result<()> {
    let code = "import sqlite3, sys\ndb = sqlite3.connect(sys.argv[1])\ndb.executescript(sys.argv[2])\ndb.close()";
    let done = Command::new("python3").args(["-c", code]).arg(database).arg(statements).status()?;
    ensure!(done.success(), "{statements}");
    Ok(())
}

impl Kept {
    /// Runs statements on the database of the server with this data folder.
    pub fn sql(&self, data: &Path, statements: &str) -> Result<()> {
        match &self.postgres {
            Some(server) => server.sql(statements),
            None => sqlite(&data.join("toft.db"), statements),
        }
    }

    /// SQLite's.
    pub fn sqlite() -> Self {
        Self { postgres: None }
    }

    /// PostgreSQL's; `None`, and said so: there is none here.
    pub fn postgres(story: &str) -> Result<Option<Self>> {
        let postgres = if crate::lane::root() { Server::postgres()? } else { None };
        if postgres.is_none() {
            let why = "no PostgreSQL, or no right to start one; `.ci/prepare tests` installs it";
            crate::lane::skip(story, why);
        }
        Ok(postgres.map(|postgres| Self { postgres: Some(postgres) }))
    }

    /// What tells a server of it.
    pub fn env(&self) -> Vec<(String, String)> {
        let database = self.postgres.as_ref().map(|server| server.database("postgres"));
        database.map(|database| ("TOFT_DATABASE".into(), database)).into_iter().collect()
    }
}

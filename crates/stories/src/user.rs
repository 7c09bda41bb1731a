//! An ordinary user of this host for the time of a story, made by root: what a server can do that
//! nobody gave any rights.

use anyhow::{Context as _, Result, ensure};
use std::{
    env,
    fs::{self, File},
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

static MADE: AtomicU32 = AtomicU32::new(0);

/// See the module. Gone, with its home, when dropped: end its processes before.
pub struct User {
    name: String,
    id: u32,
    home: PathBuf,
}

impl User {
    /// Makes one; takes root.
    pub fn make() -> Result<Self> {
        // Several stories may run in one process.
        let count = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("toft-{}-{count}", std::process::id());
        let home = env::temp_dir().join(&name);
        let _turn = turn()?;
        run(system("useradd")
            .args(["--create-home", "--shell", "/bin/bash", "--home-dir"])
            .arg(&home)
            .arg(&name))?;
        // From here on dropping it removes what was made.
        let mut user = Self { name, id: 0, home };
        let id = run(system("id").args(["-u", &user.name]))?;
        user.id = id.trim().parse().with_context(|| format!("an id: {id}"))?;
        Ok(user)
    }

    /// Its id on the host.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Its data folder.
    pub fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    /// What is put in front of a command that runs as this user.
    pub fn before(&self) -> Vec<String> {
        let name = self.name.as_str();
        ["setpriv", "--reuid", name, "--regid", name, "--clear-groups", "--inh-caps=-all", "--"]
            .map(str::to_owned)
            .to_vec()
    }

    /// The program where this user can look: a build folder may be closed to others.
    pub fn own(&self, program: &Path) -> Result<PathBuf> {
        let own = self.home.join("toft");
        // The same file if it can be: it is large, and there are many stories.
        if fs::hard_link(program, &own).is_err() {
            fs::copy(program, &own)?;
            fs::set_permissions(&own, fs::Permissions::from_mode(0o755))?;
        }
        Ok(own)
    }

    /// Gives this user the temporary folder that a path lies in, if that is what it names: a story
    /// made it for the server.
    pub fn give(&self, path: &Path) -> Result<()> {
        let temp = env::temp_dir();
        let Some(first) = path.strip_prefix(&temp).ok().and_then(|rest| rest.components().next())
        else {
            return Ok(());
        };
        self.give_below(&temp.join(first))
    }

    fn give_below(&self, path: &Path) -> Result<()> {
        let Ok(kind) = path.symlink_metadata().map(|m| m.file_type()) else { return Ok(()) };
        if kind.is_symlink() {
            return Ok(());
        }
        chown(path, Some(self.id), None)?;
        if kind.is_dir() {
            for entry in fs::read_dir(path)? {
                self.give_below(&entry?.path())?;
            }
        }
        Ok(())
    }
}

/// One after the other: whoever waits for the list of users gives up after some seconds.
fn turn() -> Result<File> {
    // The folder itself, so that no file of a lock stays behind.
    let folder = File::open(env::temp_dir())?;
    folder.lock()?;
    Ok(folder)
}

fn system(program: &str) -> Command {
    let mut command = Command::new(program);
    command.env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin");
    command
}

fn run(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let out = command.output().with_context(|| program.clone())?;
    ensure!(out.status.success(), "{program}: {}", String::from_utf8_lossy(&out.stderr));
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

impl Drop for User {
    fn drop(&mut self) {
        let _turn = turn();
        let _ = system("userdel").args(["--remove", &self.name]).output();
        let _ = fs::remove_dir_all(&self.home);
    }
}

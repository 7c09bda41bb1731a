//! `toft backup` and `toft restore-backup`: all of a server in one encrypted file, and a data folder made of one.

use crate::{
    args::{
        At,
        backup::{Backup, Passphrase, Restore},
    },
    client::Client,
    config, hidden,
    machines::{Opened, open},
    output,
};
use anyhow::{Context as _, Result, bail, ensure};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, IsTerminal as _, Write as _},
    os::{
        fd::OwnedFd,
        unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
};
use toft_machine::backend::MachineError;
use toft_model::id::ProjectId;
use toft_server::{Disks, KnownBackup, RestoredAs, Secret, remember_backup};
use tokio::{runtime::Handle, task::JoinHandle};

/// What the server says that is not in it.
const LEFT_OUT: &str = "x-toft-left-out";
/// Ends the name of one that got it here.
const ENDING: &str = "toft.age";

pub(crate) async fn make(at: &At, verb: &Backup, as_json: bool) -> Result<()> {
    ensure!(
        at.url.is_none(),
        "a backup is made beside the server, by whoever its data folder belongs to"
    );
    let client = Client::find(at)?;
    let to = place(&verb.to)?;
    let passphrase = passphrase(&verb.passphrase, true)?;
    let name = to.file_name().context("the backup needs a name")?;
    let beside = to.with_file_name(format!("{}.part", name.to_string_lossy()));
    let mut file = alone(&beside)?;
    // Whoever had it before may have come to the end of theirs.
    let written = match is_free(&to) {
        Ok(()) => write(&client, &mut file, &body(&passphrase, &verb.leave_out)).await,
        Err(error) => Err(error),
    };
    let done = written.and_then(|(bytes, left_out)| {
        // Under its name it is whole, or not there.
        fs::rename(&beside, &to).context("giving the backup its name")?;
        if let Some(folder) = to.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            File::open(folder)?.sync_all()?;
        }
        Ok((bytes, left_out))
    });
    if done.is_err() {
        // Nobody else's: it is locked.
        let _ = fs::remove_file(&beside);
    }
    let (bytes, left_out) = done?;
    let known = KnownBackup {
        file: std::path::absolute(&to).unwrap_or_else(|_| to.clone()),
        made_at: u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default(),
    };
    if let Err(error) = remember_backup(&config::data_dir(at)?, known) {
        output::remark(&format!("The data folder does not remember it: {error}"));
    }
    if as_json {
        output::json(&json!({"file": to, "bytes": bytes, "leftOut": left_out}));
    } else {
        output::line(&format!("Backup: {} ({bytes} bytes)", to.display()));
        for what in left_out {
            output::remark(&format!("Not in it: {what}."));
        }
        output::remark("Keep its passphrase elsewhere: without it nobody reads it, you neither.");
    }
    Ok(())
}

fn body(passphrase: &Secret, leave_out: &[String]) -> Value {
    json!({"passphrase": passphrase.expose(), "leaveOut": leave_out})
}

/// A file that is written by nobody else, empty.
fn alone(path: &Path) -> Result<File> {
    loop {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .with_context(|| format!("opening {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!(
                    "a backup is just being made at {}: wait for it, or choose another name",
                    path.display()
                );
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("locking {}", path.display()));
            }
        }
        // Whoever had it may have given it its name, or removed it, in between: then it is theirs.
        let ours = file.metadata()?;
        let is_still =
            fs::metadata(path).is_ok_and(|now| (now.dev(), now.ino()) == (ours.dev(), ours.ino()));
        if is_still {
            file.set_len(0)?;
            return Ok(file);
        }
    }
}

async fn write(client: &Client, file: &mut File, body: &Value) -> Result<(u64, Vec<String>)> {
    let mut bytes = 0;
    let taken = client
        .post_to("/v1/backup", body, |piece| {
            bytes += piece.len() as u64;
            file.write_all(piece)
        })
        .await;
    // The server's log says why when it breaks off.
    let headers = taken?;
    file.sync_all().context("writing the backup to the disk")?;
    let left_out = headers.get(LEFT_OUT).and_then(|told| told.to_str().ok());
    let left_out = left_out.map(serde_json::from_str).transpose();
    Ok((bytes, left_out.context("what is not in the backup")?.unwrap_or_default()))
}

/// The file that is to be made.
fn place(given: &Path) -> Result<PathBuf> {
    let to = if given.is_dir() {
        let now = Timestamp::now().strftime("%Y%m%d-%H%M%S");
        given.join(format!("toft-{now}.{ENDING}"))
    } else {
        given.to_owned()
    };
    is_free(&to)?;
    Ok(to)
}

fn is_free(to: &Path) -> Result<()> {
    if to.exists() {
        bail!("{} is there already: choose another name, or remove it", to.display());
    }
    Ok(())
}

/// Nothing of it is ever an argument, which others see.
fn passphrase(given: &Passphrase, is_new: bool) -> Result<Secret> {
    if let Some(file) = &given.file {
        let text =
            fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        return Ok(Secret::new(text.lines().next().unwrap_or_default().to_owned()));
    }
    if let Some(passphrase) = config::backup_passphrase() {
        return Ok(Secret::new(passphrase));
    }
    if !io::stdin().is_terminal() {
        bail!("name a file with --passphrase-file, or set TOFT_BACKUP_PASSPHRASE");
    }
    let typed = hidden::line("Passphrase of the backup: ")?;
    if is_new && hidden::line("Once more: ")? != typed {
        bail!("the two are not the same");
    }
    Ok(Secret::new(typed))
}

pub(crate) async fn restore(at: &At, verb: &Restore, as_json: bool) -> Result<()> {
    ensure!(at.url.is_none(), "a backup is restored into a data folder here: name it with --data");
    let data = config::data_dir(at)?;
    let file =
        File::open(&verb.backup).with_context(|| format!("opening {}", verb.backup.display()))?;
    let passphrase = passphrase(&verb.passphrase, false)?;
    let database = verb.database.clone().map(Secret::new);
    let becomes = if verb.take_over { RestoredAs::TheSame } else { RestoredAs::Another };
    let runtime = Handle::current();
    let mut made = Made { at: at.clone(), runtime: runtime.clone(), opened: None, importing: None };
    let (about, opened) = tokio::task::spawn_blocking(move || {
        let database = database.as_ref();
        let about =
            toft_server::restore(file, &passphrase, &data, database, becomes, &runtime, &mut made);
        (about, made.opened)
    })
    .await
    .context("restoring")?;
    if let Some(opened) = opened {
        opened.close().await;
    }
    let about = about?;
    if as_json {
        output::json(
            &json!({"madeAt": about.made_at, "version": about.version, "database": about.database}),
        );
    } else {
        output::line("Restored. Start it with `toft up` on this data folder.");
    }
    Ok(())
}

/// Makes disks one after the other, as they come.
struct Made {
    at: At,
    runtime: Handle,
    opened: Option<Opened>,
    importing: Option<(ProjectId, JoinHandle<Result<(), MachineError>>)>,
}

impl Disks for Made {
    fn begin(
        &mut self,
        project: ProjectId,
        backend: Option<&str>,
        from: OwnedFd,
    ) -> Result<(), String> {
        self.end()?;
        if self.opened.is_none() {
            // By now the folder says how its machines are made.
            let resolved = config::resolve(&self.at, &config::last(&self.at));
            let resolved = resolved.map_err(|e| format!("{e:#}"))?;
            let opened = self.runtime.block_on(open(&resolved)).map_err(|e| e.to_string())?;
            self.opened = Some(opened);
        }
        let Some(opened) = &self.opened else { return Ok(()) };
        let (all, id) = (opened.backend(), project.clone());
        let name = backend.map(str::to_owned);
        let importing = self.runtime.spawn(async move {
            if let Some(name) = &name {
                all.assign(&id, name).await?;
            }
            all.import(&id, from).await
        });
        self.importing = Some((project, importing));
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        let Some((project, importing)) = self.importing.take() else { return Ok(()) };
        match self.runtime.block_on(importing) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(error) => Err(format!("making the disk of {project} failed: {error}")),
        }
    }
}

//! Backend `e2b`: a machine in a sandbox of E2B, or of whoever speaks its API. The same init and bridge as
//! anywhere else, started in the sandbox by the backend `host`; this server speaks to them through a tunnel
//! (`crate::tunnel`), whose other end is a program in the sandbox. Models are asked through it too, back to
//! the gateway on this host: no key is ever in the sandbox. `docs/decisions/0031-*` says why so.

mod api;
mod carrier;
mod carry;
mod contract;
pub(crate) mod envd;
pub(crate) mod envelope;
mod http;
mod life;
mod live;
mod mirror;
mod record;
mod settings;
mod takeover;
mod tunnel;

pub use settings::{ApiKey, E2bConfig, Retry};

use crate::{backend::MachineError, blocking::blocking, folders::Folders, turns::Turns};
use api::Api;
use http::Http;
use live::Live;
use sha2::{Digest as _, Sha256};
use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use toft_model::id::{ProjectId, hex};
use tunnel::Program;

/// File with the name of this data folder among those who have sandboxes with the same key.
const IDENTITY: &str = "e2b-identity";
/// The number of the server that made a project's machine; the database begins with it, too.
const FENCE_FIRST: u64 = 1;
/// Bytes of a digest that name a program.
const KEY_BYTES: usize = 8;

/// See the module. Cheap to clone.
#[derive(Debug, Clone)]
pub struct E2b(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folders: Folders,
    api: Api,
    http: Http,
    sandbox_url: Option<String>,
    program: Arc<Program>,
    turns: Turns,
    lives: Mutex<HashMap<ProjectId, Arc<Live>>>,
    fences: Mutex<HashMap<ProjectId, u64>>,
}

/// Opens the backend: `Unsupported` says what is missing, and what to do.
pub async fn open(config: E2bConfig) -> Result<E2b, MachineError> {
    let (http, folders, identity, program, config) = blocking(move || prepare(config)).await?;
    let api = Api::new(&config, http.clone(), identity).map_err(|fault| unusable(&fault))?;
    api.check().await.map_err(|fault| api.explain(None, fault))?;
    let sandbox_url = config.sandbox_url;
    let (program, turns, lives) = (Arc::new(program), Turns::default(), Mutex::default());
    let fences = Mutex::default();
    Ok(E2b(Arc::new(Inner { folders, api, http, sandbox_url, program, turns, lives, fences })))
}

fn unusable(fault: &http::Fault) -> MachineError {
    MachineError::Unsupported {
        missing: fault.to_string(),
        remedy: "Set E2B_API_KEY and E2B_API_URL to what your E2B account says.".to_owned(),
    }
}

type Prepared = (Http, Folders, String, Program, E2bConfig);

fn prepare(config: E2bConfig) -> Result<Prepared, MachineError> {
    let cannot = |what: &str, e: &dyn std::fmt::Display, remedy: &str| MachineError::Unsupported {
        missing: format!("{what} cannot be used: {e}"),
        remedy: remedy.to_owned(),
    };
    let http = Http::new(&config)
        .map_err(|e| cannot("HTTP", &e, "Look at the message, then start again."))?;
    let choose = "Check who owns it, or choose another with `--data DIR`.";
    let folders = Folders::open(&config.data_dir);
    let folders = folders.map_err(|e| cannot("the data folder", &e, choose))?;
    let identity = folders.identity(IDENTITY);
    let identity = identity.map_err(|e| cannot("the data folder", &e, choose))?;
    let program = program(&config.exe)
        .map_err(|e| cannot("this program", &e, "Start `toft` from where it is installed."))?;
    Ok((http, folders, identity, program, config))
}

/// The program and what names its content: another one is another file in the sandbox.
fn program(exe: &Path) -> io::Result<Program> {
    let exe = fs::canonicalize(exe)?;
    let mut digest = Sha256::new();
    let bytes = io::copy(&mut File::open(&exe)?, &mut HashTo(&mut digest))?;
    let key = hex(&digest.finalize()[..KEY_BYTES]);
    Ok(Program { exe, key, bytes })
}

struct HashTo<'a>(&'a mut Sha256);

impl io::Write for HashTo<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl E2b {
    /// Nothing is held here that would have to be let go of.
    pub async fn close(&self) -> Result<(), MachineError> {
        let lives: Vec<_> = self.0.lives().drain().map(|(_, live)| live).collect();
        for live in lives {
            live.rest().await;
        }
        Ok(())
    }
}

impl Inner {
    fn log(&self, project: &ProjectId) -> PathBuf {
        self.folders.log(project)
    }

    /// This server's number for a project: the first one's, unless it took it over.
    fn fence(&self, project: &ProjectId) -> u64 {
        let fences = self.fences.lock().unwrap_or_else(PoisonError::into_inner);
        fences.get(project).copied().unwrap_or(FENCE_FIRST)
    }

    fn fenced(&self, project: &ProjectId, fence: u64) {
        let mut fences = self.fences.lock().unwrap_or_else(PoisonError::into_inner);
        fences.insert(project.clone(), fence);
    }

    fn lives(&self) -> MutexGuard<'_, HashMap<ProjectId, Arc<Live>>> {
        self.lives.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

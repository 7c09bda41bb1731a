//! Configuration of `toft up`: flags, then environment, then `toft.toml`. This crate is the only
//! reader of environment and files of configuration.

mod checks;
mod e2b;
mod egress;
mod fallbacks;
mod idle;
mod keys;
mod last;
mod oci;
mod runs;
pub(crate) mod variables;
mod workspace;

use crate::{
    amounts,
    args::{At, BackendName, Oci, Up, egress::Level},
    refused::Refused,
};
use anyhow::{Context, Result, anyhow, bail};
pub(crate) use checks::check;
pub(crate) use e2b::E2bParts;
use keys::Watched;
pub(crate) use last::{first, last, remember};
pub(crate) use oci::OciParts;
pub(crate) use runs::{mcp_servers, runs};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    env, fs,
    io::ErrorKind,
    net::SocketAddr,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};
use toft_machine::native::DISK_BYTES_MAX_LEAST;
use toft_model::{
    machine::{EgressName, EgressSetting, IdleRule},
    provider::Fallbacks,
};
use toft_server::{ArtifactPlace, KeysFile, Secret, TraceSettings};

/// Where the server listens when nothing else is said.
const LISTEN_DEFAULT: &str = "127.0.0.1:4000";

/// `toft.toml`, as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    listen: Option<SocketAddr>,
    domain: Option<String>,
    preview_domain: Option<String>,
    preview_ports: Option<String>,
    backend: Option<BackendName>,
    backends: Option<Vec<BackendName>>,
    allow_host: Option<PathBuf>,
    oci_socket: Option<PathBuf>,
    oci_image: Option<String>,
    disk_max: Option<String>,
    freeze_after: Option<String>,
    cold_after: Option<String>,
    egress: Option<Level>,
    egress_allow: Option<Vec<String>>,
    keys: Option<PathBuf>,
    local_models: Option<bool>,
    fallbacks: Option<BTreeMap<String, Vec<String>>>,
    fallback_first_byte: Option<String>,
    egress_ceiling: Option<Level>,
    database: Option<String>,
    artifacts: Option<String>,
    advertise: Option<String>,
}

/// The address of a database. It may hold a password, so it is not printed.
pub(crate) struct Database(pub(crate) Secret);

impl Database {
    fn new(url: String) -> Self {
        Self(Secret::new(url))
    }
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Database(…)")
    }
}

/// All resolved.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) data: PathBuf,
    pub(crate) listen: SocketAddr,
    pub(crate) domain: Option<String>,
    pub(crate) preview_domain: Option<String>,
    pub(crate) preview_ports: Option<RangeInclusive<u16>>,
    pub(crate) backend: BackendName,
    /// All that projects may be of; that one first.
    pub(crate) backends: Vec<BackendName>,
    /// The one whose machines lie in the data folder itself.
    pub(crate) first: BackendName,
    pub(crate) allow_host: Option<PathBuf>,
    /// When the backend `oci` is among them.
    pub(crate) oci: Option<OciParts>,
    /// With the backend `e2b`.
    pub(crate) e2b: Option<E2bParts>,
    /// What all projects may take on disk together.
    pub(crate) disk_bytes_max: Option<u64>,
    /// When machines that nobody uses are put away.
    pub(crate) idle: IdleRule,
    /// What machines may reach that have nothing of their own.
    pub(crate) egress: EgressSetting,
    /// The most that any may.
    pub(crate) egress_ceiling: EgressName,
    /// Provider keys of a file.
    pub(crate) keys: Option<KeysFile>,
    /// That file from then on.
    pub(crate) watched: Watched,
    /// Models that stand in for others.
    pub(crate) fallbacks: Fallbacks,
    /// Whether servers of models of this machine are looked for.
    pub(crate) local_models: bool,
    /// A PostgreSQL database in place of the file in the data folder. May hold a password.
    pub(crate) database: Option<Database>,
    /// Where what runs leave is kept, if not in the data folder.
    pub(crate) artifacts: Option<ArtifactPlace>,
    pub(crate) advertise: Option<String>,
}

/// Resolves what `toft up` was told.
pub(crate) fn resolve(at: &At, up: &Up) -> Result<Resolved> {
    resolve_with(at, up, &|name| env::var(name).ok().filter(|value| !value.trim().is_empty()))
}

fn resolve_with(at: &At, up: &Up, tells: &dyn Fn(&str) -> Option<String>) -> Result<Resolved> {
    let data = data_dir(at)?;
    let file = read_file(&data, up.config.as_deref())?;
    let listen = match up.listen.or(file.listen) {
        Some(addr) => addr,
        None => LISTEN_DEFAULT.parse().expect("the default is an address"),
    };
    let told = match up.backend {
        Some(flag) => Some(flag),
        None => workspace::backend(tells)?.or(file.backend),
    };
    if let (None, Some(before @ (BackendName::Oci | BackendName::Host | BackendName::E2b))) =
        (told, last(at).backend)
    {
        bail!(
            "the machines of this data folder were made with --backend {}: say that again (with its \
             options, or in the configuration file), or --backend native to leave them",
            before.word()
        );
    }
    let backend = told.or_else(|| workspace::of_keys(tells)).unwrap_or(BackendName::Native);
    let named = if up.backends.is_empty() { file.backends } else { Some(up.backends.clone()) };
    let backends = workspace::offered(backend, named, tells);
    let first = first(&data).unwrap_or(backend);
    let has_host = backends.contains(&BackendName::Host);
    let allow_host =
        up.allow_host.clone().or_else(|| workspace::root(tells, has_host)).or(file.allow_host);
    match (has_host, &allow_host) {
        (true, None) => bail!(
            "the backend host runs projects without any sandbox, so it needs --allow-host DIR: the \
             folder in which they may live"
        ),
        (false, Some(_)) => bail!(
            "--allow-host means nothing without the backend `host`: add --backend host (or \
             --backends native,host), or leave it out"
        ),
        (false, None) | (true, Some(_)) => {}
    }
    let oci = Oci {
        socket: up.oci.socket.clone().or(file.oci_socket),
        image: up.oci.image.clone().or(file.oci_image),
    };
    let oci = oci::parts(&backends, oci)?;
    let e2b = e2b::parts(tells, &backends)?;
    let domain = up.domain.clone().or(file.domain);
    let preview_domain = up.preview_domain.clone().or(file.preview_domain);
    if domain.is_some() && domain == preview_domain {
        bail!(
            "--domain and --preview-domain must be different sites: apps that agents write must \
             not share one with the control plane"
        );
    }
    let preview_ports = up.preview_ports.clone().or(file.preview_ports);
    let preview_ports = preview_ports.as_deref().map(ports).transpose()?;
    let disk_max = up.disk_max.clone().or(file.disk_max);
    let disk_bytes_max = disk_max.as_deref().map(disk_max_bytes).transpose()?.flatten();
    let idle = idle::rule(
        up.freeze_after.as_deref().or(file.freeze_after.as_deref()),
        up.cold_after.as_deref().or(file.cold_after.as_deref()),
    )?;
    let of_file = file.egress_allow.as_deref().unwrap_or_default();
    let allow = if up.egress_allow.is_empty() { of_file } else { &up.egress_allow };
    let (egress, egress_ceiling) = egress::setting(
        up.egress.or(file.egress),
        allow,
        up.egress_ceiling.or(file.egress_ceiling),
    )?;
    let names = toft_server::provider_env_names().collect();
    let mut watched = Watched::new(&data, up.keys.as_ref().or(file.keys.as_ref()), names)?;
    let keys = watched.read()?;
    let first_byte = up.fallback_first_byte.as_deref().or(file.fallback_first_byte.as_deref());
    let fallbacks = fallbacks::setting(&up.fallback, file.fallbacks, first_byte)?;
    Ok(Resolved {
        data,
        listen,
        domain,
        preview_domain,
        preview_ports,
        backend,
        backends,
        first,
        allow_host,
        oci,
        e2b,
        disk_bytes_max,
        idle,
        egress,
        egress_ceiling,
        keys,
        watched,
        fallbacks,
        local_models: up.local_models || file.local_models.unwrap_or(false),
        database: runs::database(tells, up.database.as_deref(), file.database.as_deref())
            .map(Database::new),
        advertise: runs::advertise(up.advertise.as_deref().or(file.advertise.as_deref()))?,
        artifacts: runs::artifacts(up.artifacts.as_deref().or(file.artifacts.as_deref()))?,
    })
}

/// A size, or `none`.
fn disk_max_bytes(text: &str) -> Result<Option<u64>> {
    let size = amounts::size(text).map_err(|e| anyhow!("--disk-max: {e}"))?.get();
    if size.is_some_and(|bytes| bytes < DISK_BYTES_MAX_LEAST) {
        bail!(
            "--disk-max {text:?} is too little to make a project in: give at least {}M (all projects, \
             their checkpoints and what machines begin with share it), or none",
            DISK_BYTES_MAX_LEAST >> 20
        );
    }
    Ok(size)
}

/// `FIRST-LAST`.
fn ports(text: &str) -> Result<RangeInclusive<u16>> {
    let port = |t: &str| t.trim().parse::<u16>().ok().filter(|p| *p > 0);
    let range = text.split_once('-').and_then(|(a, b)| Some(port(a)?..=port(b)?));
    range.filter(|r| !r.is_empty()).with_context(|| {
        format!("--preview-ports {text:?} is no range of ports: write it as 4100-4199")
    })
}

/// The data folder: flag or `TOFT_DATA`, else below the user's own data folder.
pub(crate) fn data_dir(at: &At) -> Result<PathBuf> {
    if let Some(dir) = &at.data {
        return std::path::absolute(dir).context("resolving the data folder");
    }
    if let Some(dir) = env::var_os("XDG_DATA_HOME").filter(|v| !v.is_empty()) {
        return Ok(PathBuf::from(dir).join("toft"));
    }
    let home = env::var_os("HOME").filter(|v| !v.is_empty()).context(
        "no data folder: neither HOME nor XDG_DATA_HOME is set. Give one with --data DIR",
    )?;
    Ok(PathBuf::from(home).join(".local/share/toft"))
}

fn read_file(data: &Path, given: Option<&Path>) -> Result<File> {
    let path = given.map_or_else(|| data.join("toft.toml"), Path::to_owned);
    match fs::read_to_string(&path) {
        Ok(text) => toml::from_str(&text).with_context(|| format!("reading {}", path.display())),
        // What is wrong with a data folder that is none is said by whoever opens it.
        Err(e)
            if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
                && given.is_none() =>
        {
            Ok(File::default())
        }
        Err(e) => Err(e).with_context(|| format!("reading {}", path.display())),
    }
}

/// The admin key of the documents, if it is set.
pub(crate) fn agent_api_key() -> Option<String> {
    // Read from a file it ends with a line.
    let key = env::var("AGENT_API_KEY").ok()?.trim().to_owned();
    (!key.is_empty()).then_some(key)
}

/// Where traces go: what OpenTelemetry's and LangSmith's own variables say.
pub(crate) fn traces() -> Result<TraceSettings> {
    let variable = |name: &str| env::var(name).ok();
    TraceSettings::read(&variable)
        .map_err(|error| Refused { code: error.code.to_owned(), message: error.to_string() }.into())
}

/// Where tests want the server to be killed (`toft_machine::steps`).
pub(crate) fn kill_at() -> Option<String> {
    env::var("TOFT_KILL_AT").ok().filter(|v| !v.is_empty())
}

/// Password of a registry, for `toft image add --user`.
pub(crate) fn registry_password() -> Option<String> {
    env::var("TOFT_REGISTRY_PASSWORD").ok().filter(|v| !v.is_empty())
}

/// What a backup is encrypted with.
pub(crate) fn backup_passphrase() -> Option<String> {
    env::var("TOFT_BACKUP_PASSPHRASE").ok().filter(|v| !v.is_empty())
}

/// The key for a server somewhere else.
pub(crate) fn client_api_key() -> Option<String> {
    env::var("TOFT_API_KEY").ok().filter(|v| !v.is_empty()).or_else(agent_api_key)
}

/// The user's folder for what can be had again (XDG base directory specification).
pub(crate) fn cache_dir() -> Option<PathBuf> {
    let named = |name| env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    named("XDG_CACHE_HOME").or_else(|| Some(named("HOME")?.join(".cache")))
}

/// Whether the environment lets us colour what we print (no-color.org; terminals without abilities).
pub(crate) fn wants_colour() -> bool {
    let set = |name| env::var_os(name).filter(|v| !v.is_empty());
    set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb")
}

/// What the gateway needs of our environment: where certificate authorities are kept.
pub(crate) fn gateway_env() -> Vec<(String, String)> {
    ["SSL_CERT_FILE", "SSL_CERT_DIR"]
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), env::var(name).ok()?)))
        .collect()
}

/// `PATH`, `HOME` and `USER` for programs of the backend without a sandbox.
pub(crate) fn own_environment() -> [String; 3] {
    let value = |name, default: &str| env::var(name).unwrap_or_else(|_| default.to_owned());
    [value("PATH", "/usr/local/bin:/usr/bin:/bin"), value("HOME", "/"), value("USER", "nobody")]
}

/// Values of the variables that name provider keys and base URLs.
pub(crate) fn provider_env(names: impl Iterator<Item = &'static str>) -> BTreeMap<String, String> {
    names
        .filter_map(|name| Some((name.to_owned(), env::var(name).ok()?)))
        .filter(|(_, value)| !value.trim().is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(data: &Path) -> At {
        At { data: Some(data.to_owned()), url: None }
    }

    fn up() -> Up {
        Up::default()
    }

    #[test]
    fn a_flag_wins_over_the_file() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("toft.toml"), "listen = \"127.0.0.1:1\"\ndomain = \"a.test\"\n")
            .unwrap();
        let from_file = resolve(&at(dir.path()), &up()).unwrap();
        assert_eq!(from_file.listen.port(), 1);
        assert_eq!(from_file.domain.as_deref(), Some("a.test"));
        let flagged = Up { listen: Some("127.0.0.1:2".parse().unwrap()), ..up() };
        assert_eq!(resolve(&at(dir.path()), &flagged).unwrap().listen.port(), 2);
    }

    #[test]
    fn preview_ports_are_a_range_that_holds_something() {
        assert_eq!(ports("4100-4199").unwrap(), 4100..=4199);
        assert_eq!(ports("5 - 5").unwrap(), 5..=5);
        for wrong in ["", "4100", "4199-4100", "0-5", "1-70000", "a-b", "1-2-3"] {
            let error = format!("{:#}", ports(wrong).unwrap_err());
            assert!(error.contains("--preview-ports") && error.contains("4100-4199"), "{error}");
        }
    }

    #[test]
    fn a_bound_in_which_no_project_could_be_made_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        for small in ["0", "10M", "255M", "much"] {
            let capped = Up { disk_max: Some(small.to_owned()), ..up() };
            let error = format!("{:#}", resolve(&at(dir.path()), &capped).unwrap_err());
            assert!(error.contains("--disk-max") && error.contains(small), "{error}");
            assert!(small == "much" || error.contains("256M"), "{error}");
        }
        for (text, bytes) in [("256M", Some(256 << 20)), ("none", None)] {
            let capped = Up { disk_max: Some(text.to_owned()), ..up() };
            assert_eq!(resolve(&at(dir.path()), &capped).unwrap().disk_bytes_max, bytes);
        }
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("toft.toml"), "lisen = \"127.0.0.1:1\"\n").unwrap();
        let error = format!("{:#}", resolve(&at(dir.path()), &up()).unwrap_err());
        assert!(error.contains("lisen") && error.contains("toft.toml"), "{error}");
    }

    #[test]
    fn the_unsafe_backend_needs_its_folder_and_the_other_refuses_it() {
        let dir = tempfile::tempdir().unwrap();
        let host = Up { backend: Some(BackendName::Host), ..up() };
        assert!(resolve(&at(dir.path()), &host).is_err());
        let odd = Up { allow_host: Some("/x".into()), ..up() };
        assert!(resolve(&at(dir.path()), &odd).is_err());
    }

    #[test]
    fn machines_of_another_backend_are_not_left_by_a_forgotten_flag() {
        let dir = tempfile::tempdir().unwrap();
        let host = Up { allow_host: Some("/x".into()), ..up() };
        remember(dir.path(), BackendName::Host, &host).unwrap();
        let error = format!("{:#}", resolve(&at(dir.path()), &up()).unwrap_err());
        assert!(error.contains("--backend host"), "{error}");
        let native = Up { backend: Some(BackendName::Native), ..up() };
        assert_eq!(resolve(&at(dir.path()), &native).unwrap().backend, BackendName::Native);
        let again = super::last(&at(dir.path()));
        assert_eq!(resolve(&at(dir.path()), &again).unwrap().backend, BackendName::Host);
    }
}

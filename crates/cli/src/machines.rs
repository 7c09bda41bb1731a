//! The backends of a server, made of what its configuration says: its own at once, each other one that it offers when a
//! project needs it. A backend is added here with an arm of [`opener`], and offered by a name.

use crate::{
    args::BackendName,
    config::{self, E2bParts, OciParts, Resolved},
    output, parts,
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use toft_machine::{
    backend::{Backend, MachineError},
    e2b::{self, E2bConfig},
    host::{self, HostConfig},
    native::{self, NativeConfig},
    oci::{self, OciConfig},
    several::{Lazy, Open, Several, opening},
};
use toft_model::machine::BACKENDS_DIR;

/// What machines are made with, and what to do when the last one has been ended.
pub(crate) struct Opened {
    backend: Arc<dyn Backend>,
}

impl Opened {
    pub(crate) fn backend(&self) -> Arc<dyn Backend> {
        Arc::clone(&self.backend)
    }

    /// Lets go of storage and control groups; does nothing while machines run.
    pub(crate) async fn close(&self) {
        if let Err(error) = self.backend.close().await {
            output::remark(&format!("something of the machines stays behind: {error}"));
        }
    }
}

/// Opens the server's own; the others wait.
pub(crate) async fn open(resolved: &Resolved) -> Result<Opened, MachineError> {
    let exe = parts::exe().map_err(|source| MachineError::Unsupported {
        missing: format!("the path of this program ({source})"),
        remedy: "Start it by its full path".into(),
    })?;
    let own = opener(resolved.backend, resolved, &exe);
    let own = own.map_err(|missing| MachineError::Unsupported {
        missing,
        remedy: "Then start it again.".into(),
    })?;
    let own = own().await?;
    let others = BackendName::ALL.into_iter().filter(|name| *name != resolved.backend);
    let lazy = |name: BackendName| Lazy {
        name: name.word(),
        place: place(name, resolved),
        open: if resolved.backends.contains(&name) {
            opener(name, resolved, &exe)
        } else {
            Err(format!("the server does not offer it: its admin names it with --backends {name}"))
        },
    };
    Ok(Opened { backend: Arc::new(Several::new(own, others.map(lazy).collect())) })
}

/// The folder in which a backend keeps what is its own: that of the data folder for the first that it had.
fn place(name: BackendName, resolved: &Resolved) -> PathBuf {
    if name == resolved.first {
        return resolved.data.clone();
    }
    resolved.data.join(BACKENDS_DIR).join(name.word())
}

/// How a backend is opened; or what is missing for it in the configuration, and what to do.
fn opener(name: BackendName, resolved: &Resolved, exe: &Path) -> Result<Open, String> {
    let data_dir = place(name, resolved);
    let (exe, disk_bytes_max) = (exe.to_owned(), resolved.disk_bytes_max);
    Ok(match name {
        BackendName::Native => {
            opening(NativeConfig { data_dir, exe, disk_bytes_max }, native::open)
        }
        BackendName::Host => {
            let Some(allowed_dir) = resolved.allow_host.clone() else {
                return Err(
                    "it needs --allow-host DIR, the folder in which projects may live".into()
                );
            };
            let [path, home, user] = config::own_environment();
            let config =
                HostConfig { data_dir, exe, allowed_dir, path, home, user, is_walled: false };
            opening(config, host::open)
        }
        BackendName::Oci => {
            let Some(OciParts { sockets, image }) = resolved.oci.clone() else {
                return Err("it needs --oci-image, what its machines are made of".into());
            };
            let config = OciConfig { data_dir, exe, sockets, image, disk_bytes_max };
            opening(config, oci::open)
        }
        BackendName::E2b => {
            let Some(parts) = resolved.e2b.clone() else {
                return Err("it needs E2B_API_KEY and E2B_TEMPLATE".into());
            };
            let E2bParts {
                key,
                template,
                api_url,
                sandbox_url,
                request_timeout,
                retry,
                sandbox_timeout,
            } = parts;
            let config = E2bConfig {
                data_dir,
                exe,
                api_url,
                sandbox_url,
                key,
                template,
                request_timeout,
                retry,
                sandbox_timeout,
            };
            opening(config, e2b::open)
        }
    })
}

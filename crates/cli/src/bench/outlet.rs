//! A gateway of the bench's own, with doors on the loopback device as machines have them inside. Whom
//! it may reach, and what is measured, is the rows'.

use anyhow::{Context, Result};
use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use toft_gateway::{Gateway, GatewayConfig, Reach, SpawnConfig};
use toft_model::{id::ProjectId, machine::EgressLevel};

/// The token of each machine.
pub(super) const TOKEN: &str = "token";

/// A running gateway; ended by [`Outlet::close`].
pub(super) struct Outlet {
    pub(super) gateway: Gateway,
    folder: Folder,
}

/// Where it works. Dropped, because a row failed or the bench was interrupted, the gateway is ended too.
struct Folder(Option<PathBuf>);

/// Where a machine's programs find the gateway.
#[derive(Debug, Clone, Copy)]
pub(super) struct Doors {
    /// The model API.
    pub(super) models: SocketAddr,
    /// The egress proxy.
    pub(super) proxy: SocketAddr,
}

impl Outlet {
    pub(super) async fn open(config: GatewayConfig) -> Result<Self> {
        Self::trusting(config, None).await
    }

    /// One that takes the authorities in this file for those of the internet.
    pub(super) async fn trusting(
        config: GatewayConfig,
        authorities: Option<&Path>,
    ) -> Result<Self> {
        let name = format!("toft-bench-{}", toft_model::id::random_hex(6));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder).with_context(|| format!("making {}", folder.display()))?;
        let exe = std::env::current_exe().context("finding this program")?;
        let mut spawn = SpawnConfig::new(exe, &folder);
        let authorities = authorities.map(|path| path.display().to_string());
        spawn.env.extend(authorities.map(|path| ("SSL_CERT_FILE".to_owned(), path)));
        let folder = Folder(Some(folder));
        let gateway = Gateway::connect_or_spawn(spawn).await?;
        gateway.set_config(config).await?;
        Ok(Self { gateway, folder })
    }

    /// Doors of one more machine, which may reach everything that the configuration allows.
    pub(super) async fn machine(&self) -> Result<Doors> {
        self.reaching(&ProjectId::random(), EgressLevel::Open).await
    }

    /// The same for one with something besides.
    pub(super) async fn reaching(
        &self,
        project: &ProjectId,
        reach: impl Into<Reach>,
    ) -> Result<Doors> {
        let sockets = [loopback()?, loopback()?];
        let doors = Doors { models: sockets[0].local_addr()?, proxy: sockets[1].local_addr()? };
        let sockets = sockets.map(Into::into).into();
        self.gateway.add_machine(project, TOKEN, reach, sockets).await?;
        Ok(doors)
    }

    pub(super) async fn close(mut self) -> Result<()> {
        self.gateway.shutdown().await?;
        let Some(folder) = self.folder.0.take() else { return Ok(()) };
        std::fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let Some(folder) = self.0.take() else { return };
        if let Ok(exe) = std::env::current_exe() {
            let mut down = Command::new(exe);
            down.arg("down").arg("--data").arg(&folder).stdout(Stdio::null()).stderr(Stdio::null());
            let _ = down.status();
        }
        let _ = std::fs::remove_dir_all(folder);
    }
}

/// A port of the loopback device that was free.
pub(super) fn loopback() -> Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listening on the loopback device")
}

/// Does what blocks.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await?
}

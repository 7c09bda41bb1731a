//! TLS to the hosts themselves, whose certificates are checked against the host's own roots.

use crate::api_error::{ApiError, Code};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use std::{sync::Arc, time::Duration};
use toft_policy::{Host, HostPort};
use tokio::{net::TcpStream, sync::OnceCell, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// From the first byte to a connection that is ready.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);

/// The roots, read when they are first needed (`SSL_CERT_FILE` and `SSL_CERT_DIR` name others).
#[derive(Default)]
pub(crate) struct Roots(
    OnceCell<TlsConnector>,
    #[cfg(test)] std::sync::Mutex<Option<TlsConnector>>,
);

impl Roots {
    /// From now on this one only.
    #[cfg(test)]
    pub(crate) fn trust(&self, root: rustls::pki_types::CertificateDer<'static>) {
        let mut roots = RootCertStore::empty();
        roots.add(root).unwrap();
        *self.1.lock().unwrap() = Some(connector(roots).unwrap());
    }

    #[cfg(test)]
    async fn connector(&self) -> Result<TlsConnector, ApiError> {
        let told = self.1.lock().unwrap().clone();
        match told {
            Some(told) => Ok(told),
            None => self.0.get_or_try_init(load).await.cloned(),
        }
    }

    #[cfg(not(test))]
    async fn connector(&self) -> Result<&TlsConnector, ApiError> {
        self.0.get_or_try_init(load).await
    }

    /// Speaks TLS with a host whose certificate must be for the name that was judged.
    pub(crate) async fn connect(
        &self,
        target: &HostPort,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, ApiError> {
        let connector = self.connector().await?;
        let name = match &target.host {
            Host::Name(name) => ServerName::try_from(name.clone()).ok(),
            Host::Address(address) => Some(ServerName::IpAddress((*address).into())),
        };
        let Some(name) = name else {
            let message = format!("{target} is no name that a certificate can have.");
            return Err(ApiError::new(Code::InvalidRequest, message));
        };
        match timeout(HANDSHAKE_TIMEOUT, connector.connect(name, stream)).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(why)) => Err(ApiError::new(
                Code::UpstreamUnreachable,
                format!("{target} and the gateway came to no TLS connection ({why})."),
            )),
            Err(_) => Err(ApiError::new(
                Code::UpstreamTimeout,
                format!("{target} did not finish its TLS handshake within 15 s."),
            )),
        }
    }
}

async fn load() -> Result<TlsConnector, ApiError> {
    let failed = |why: &dyn std::fmt::Display| {
        ApiError::new(
            Code::UpstreamUnreachable,
            format!(
                "The certificates of the host that Toft runs on cannot be used ({why}): install the \
                 package ca-certificates there and restart the gateway."
            ),
        )
    };
    let found = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await;
    let found = found.map_err(|e| failed(&e))?;
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let why = found.errors.first().map_or_else(|| "there are none".into(), ToString::to_string);
        return Err(failed(&why));
    }
    connector(roots).map_err(|e| failed(&e))
}

fn connector(roots: RootCertStore) -> Result<TlsConnector, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

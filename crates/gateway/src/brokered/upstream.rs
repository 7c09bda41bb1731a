//! TLS to the hosts themselves, whose certificates are checked against the host's own roots.

use crate::api_error::{ApiError, Code};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use std::{sync::Arc, time::Duration};
use toft_policy::{Host, HostPort};
use tokio::{net::TcpStream, sync::OnceCell, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// From the first byte to a connection that is ready.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);

/// What is spoken within TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

impl Protocol {
    /// Its name in a handshake (RFC 7301).
    pub(crate) fn alpn(self) -> &'static [u8] {
        match self {
            Self::Http1 => b"http/1.1",
            Self::Http2 => b"h2",
        }
    }

    /// The one of that name.
    pub(crate) fn named(alpn: &[u8]) -> Option<Self> {
        [Self::Http1, Self::Http2].into_iter().find(|one| one.alpn() == alpn)
    }
}

/// TLS that has been agreed on, and what is spoken within it.
pub(crate) struct Secured {
    pub(crate) stream: TlsStream<TcpStream>,
    pub(crate) protocol: Protocol,
}

/// The roots, read when they are first needed (`SSL_CERT_FILE` and `SSL_CERT_DIR` name others).
#[derive(Default)]
pub(crate) struct Roots(
    OnceCell<ClientConfig>,
    #[cfg(test)] std::sync::Mutex<Option<ClientConfig>>,
);

impl Roots {
    /// From now on this one only.
    #[cfg(test)]
    pub(crate) fn trust(&self, root: rustls::pki_types::CertificateDer<'static>) {
        let mut roots = RootCertStore::empty();
        roots.add(root).unwrap();
        *self.1.lock().unwrap() = Some(config(roots).unwrap());
    }

    async fn config(&self) -> Result<ClientConfig, ApiError> {
        #[cfg(test)]
        if let Some(told) = self.1.lock().unwrap().clone() {
            return Ok(told);
        }
        self.0.get_or_try_init(load).await.cloned()
    }

    /// Speaks TLS with a host whose certificate must be for the name that was judged, and within it one
    /// of the protocols that are offered, HTTP/1.1 if the host names none.
    pub(crate) async fn connect(
        &self,
        target: &HostPort,
        stream: TcpStream,
        offered: &[Protocol],
    ) -> Result<Secured, ApiError> {
        let mut config = self.config().await?;
        config.alpn_protocols = offered.iter().map(|one| one.alpn().to_vec()).collect();
        let connector = TlsConnector::from(Arc::new(config));
        let name = match &target.host {
            Host::Name(name) => ServerName::try_from(name.clone()).ok(),
            Host::Address(address) => Some(ServerName::IpAddress((*address).into())),
        };
        let Some(name) = name else {
            let message = format!("{target} is no name that a certificate can have.");
            return Err(ApiError::new(Code::InvalidRequest, message));
        };
        match timeout(HANDSHAKE_TIMEOUT, connector.connect(name, stream)).await {
            Ok(Ok(stream)) => {
                let taken = stream.get_ref().1.alpn_protocol().and_then(Protocol::named);
                Ok(Secured { protocol: taken.unwrap_or(Protocol::Http1), stream })
            }
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

async fn load() -> Result<ClientConfig, ApiError> {
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
    config(roots).map_err(|e| failed(&e))
}

fn config(roots: RootCertStore) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

//! Requests within TLS, to a host that a brokered secret is bound to: the machine's TLS ends here, each
//! request is judged as one without TLS is, gets the values that it may have, and goes on within TLS of
//! our own. The machine is offered what the host speaks.

use super::{
    connection::{Connection, Inside, Tls, replayed},
    front::Front,
    log::Log,
    streams,
};
use crate::{brokered::Protocol, records::egress_log::Via};
use futures_util::future::BoxFuture;
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;

/// From the first bytes of a handshake to its end; it is between processes of one host.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves it until it ends.
pub(super) fn serve(inside: Inside) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let Inside { state, machine, target, client, seen, upstream } = inside;
        let broker = machine.broker();
        // Unbound in this moment: the program connects again.
        let Some(leaves) = broker.reads(&target) else { return };
        let mut config = match leaves.for_host(&target.host) {
            Ok(config) => (*config).clone(),
            Err(error) => {
                tracing::error!(project.id = %machine.project, %error, "no certificate for a host");
                return;
            }
        };
        // It does not trust us, speaks nothing that is spoken here, or went away.
        let failed = || Log::failed(&state, &machine, &target, Via::Https, "tls_failed");
        let greeting =
            LazyConfigAcceptor::new(rustls::server::Acceptor::default(), replayed(client, seen));
        let Ok(Ok(greeted)) = timeout(HANDSHAKE_TIMEOUT, greeting).await else {
            return failed();
        };
        let place = machine.http2_connection();
        let speaks = |protocol: &Protocol| *protocol == Protocol::Http1 || place.is_some();
        let offered: Vec<Protocol> = match greeted.client_hello().alpn() {
            Some(names) => names.filter_map(Protocol::named).filter(speaks).collect(),
            None => vec![Protocol::Http1],
        };
        if offered.is_empty() {
            // It is told so by the handshake.
            config.alpn_protocols = vec![Protocol::Http1.alpn().to_vec()];
            drop(timeout(HANDSHAKE_TIMEOUT, greeted.into_stream(Arc::new(config))).await);
            return failed();
        }
        let early = state.roots.connect(&target, upstream, &offered).await;
        // Without the host it is said to the machine in what it likes best.
        let protocol = early.as_ref().map_or(offered[0], |secured| secured.protocol);
        config.alpn_protocols = vec![protocol.alpn().to_vec()];
        let accepting = greeted.into_stream(Arc::new(config));
        let Ok(Ok(client)) = timeout(HANDSHAKE_TIMEOUT, accepting).await else {
            return failed();
        };
        let place = place.filter(|_| protocol == Protocol::Http2);
        let connection = Connection::new(state, machine, Some(Tls::new(protocol, early)));
        let front = Arc::new(Front::new(connection, target));
        match protocol {
            Protocol::Http1 => front.serve_one_by_one(client).await,
            Protocol::Http2 => streams::serve(&front, client).await,
        }
        drop(place);
    })
}

//! Names to addresses, with the host's own resolver, bounded. No cache: the host's resolver has
//! one, and an answer is only good for the connection that it was checked for.

use futures_util::future::BoxFuture;
use std::{io, net::IpAddr, sync::Arc, time::Duration};
use tokio::{sync::Semaphore, time::timeout};

/// A slow name server asked twice (glibc: 5 s each).
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Lookups at once; each takes a thread of its own while it runs.
const LOOKUPS_MAX: usize = 32;

/// Addresses of a name that are looked at. Names with more exist; all of theirs are alike.
const ADDRESSES_MAX: usize = 16;

/// Finds addresses. Injected, so that tests can play a name server that cheats.
pub(crate) trait Resolver: Send + Sync {
    /// Addresses of a name, in the order in which they should be tried.
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;
}

/// The host's resolver.
pub(crate) struct SystemResolver {
    lookups: Arc<Semaphore>,
}

impl Default for SystemResolver {
    fn default() -> Self {
        Self { lookups: Arc::new(Semaphore::new(LOOKUPS_MAX)) }
    }
}

impl Resolver for SystemResolver {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let lookups = Arc::clone(&self.lookups);
            // The dot keeps the resolver from trying the name in the host's own domains.
            let absolute = format!("{name}.");
            // A lookup cannot be interrupted: it keeps its permit until its thread is done, also
            // when nobody waits any more.
            let lookup = tokio::spawn(async move {
                let _permit = lookups.acquire_owned().await.map_err(io::Error::other)?;
                let found = tokio::net::lookup_host((absolute, 0)).await?;
                Ok(found.map(|address| address.ip()).take(ADDRESSES_MAX).collect())
            });
            match timeout(RESOLVE_TIMEOUT, lookup).await {
                Ok(done) => done.map_err(io::Error::other)?,
                Err(_) => Err(io::ErrorKind::TimedOut.into()),
            }
        })
    }
}

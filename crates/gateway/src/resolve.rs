//! Names to addresses, with the host's own resolver, bounded. No cache: the host's resolver has
//! one, and an answer is only good for the connection that it was checked for.

use futures_util::future::BoxFuture;
use std::{collections::BTreeMap, future::ready, io, net::IpAddr, sync::Arc, time::Duration};
use tokio::{sync::Semaphore, time::timeout};

/// A slow name server asked twice (glibc: 5 s each).
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Lookups at once; each takes a thread of its own while it runs.
const LOOKUPS_MAX: usize = 32;

/// Those of one machine: a browser asks for a handful of names together, and waits for them.
pub(crate) const MACHINE_LOOKUPS_MAX: usize = 4;

/// Addresses of a name that are looked at. Names with more exist; all of theirs are alike.
const ADDRESSES_MAX: usize = 16;

/// Finds addresses. Injected, so that tests can play a name server that cheats.
pub(crate) trait Resolver: Send + Sync {
    /// Addresses of a name, in the order in which they should be tried.
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;
}

/// The host's resolver.
pub(crate) struct SystemResolver;

impl Resolver for SystemResolver {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            // The dot keeps the resolver from trying the name in the host's own domains.
            let found = tokio::net::lookup_host((format!("{name}."), 0)).await?;
            Ok(found.map(|address| address.ip()).take(ADDRESSES_MAX).collect())
        })
    }
}

/// A resolver with the places for its lookups.
pub(crate) struct Lookups {
    resolver: Arc<dyn Resolver>,
    places: Arc<Semaphore>,
}

impl Lookups {
    pub(crate) fn new(resolver: Arc<dyn Resolver>) -> Self {
        Self { resolver, places: Arc::new(Semaphore::new(LOOKUPS_MAX)) }
    }

    /// For one machine, within its own places.
    pub(crate) fn within(&self, share: Arc<Semaphore>) -> impl Resolver {
        Shared { resolver: Arc::clone(&self.resolver), share, places: Arc::clone(&self.places) }
    }
}

/// A resolver that a test has told some names.
pub(crate) struct Named<'n, R> {
    pub(crate) names: &'n BTreeMap<String, IpAddr>,
    pub(crate) others: R,
}

impl<R: Resolver> Resolver for Named<'_, R> {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        match self.names.get(name) {
            Some(address) => Box::pin(ready(Ok(vec![*address]))),
            None => self.others.resolve(name),
        }
    }
}

struct Shared {
    resolver: Arc<dyn Resolver>,
    share: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

impl Resolver for Shared {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        let answered = async move {
            // Its own place first: what waits for one of all has one, so nobody fills that queue. Who
            // no longer waits leaves both queues.
            let own = Arc::clone(&self.share).acquire_owned().await.map_err(io::Error::other)?;
            let place = Arc::clone(&self.places).acquire_owned().await.map_err(io::Error::other)?;
            let (resolver, name) = (Arc::clone(&self.resolver), name.to_owned());
            // A lookup cannot be interrupted: it keeps its places until its thread is done, also when
            // nobody waits any more.
            let lookup = tokio::spawn(async move {
                let _places = (own, place);
                resolver.resolve(&name).await
            });
            lookup.await.map_err(io::Error::other)?
        };
        Box::pin(async move {
            let timed_out = |_| Err(io::ErrorKind::TimedOut.into());
            timeout(RESOLVE_TIMEOUT, answered).await.unwrap_or_else(timed_out)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::join_all;
    use std::net::Ipv4Addr;

    /// A name server that is silent about some names.
    struct Silent;

    impl Resolver for Silent {
        fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
            Box::pin(async move {
                if name == "silent.test" {
                    std::future::pending::<()>().await;
                }
                Ok(vec![Ipv4Addr::LOCALHOST.into()])
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_machine_whose_names_are_never_answered_keeps_no_other_from_its_own() {
        let lookups = Lookups::new(Arc::new(Silent));
        let machine = || lookups.within(Arc::new(Semaphore::new(MACHINE_LOOKUPS_MAX)));
        let (stuck, other) = (machine(), machine());
        let asked = || join_all((0..4 * LOOKUPS_MAX).map(|_| stuck.resolve("silent.test")));
        // Some are waited for, and some given up at once.
        let (waited, given_up) = (asked(), asked());
        assert!(timeout(Duration::from_millis(1), given_up).await.is_err());
        for found in waited.await {
            assert_eq!(found.unwrap_err().kind(), io::ErrorKind::TimedOut);
        }
        assert_eq!(lookups.places.available_permits(), LOOKUPS_MAX - MACHINE_LOOKUPS_MAX);
        let found = join_all((0..2 * LOOKUPS_MAX).map(|_| other.resolve("a.test"))).await;
        assert!(found.into_iter().all(|found| found.is_ok()));
    }
}

//! A rate with a store for bursts, in one number: what a machine may have done for it. Whoever comes when it is
//! empty is turned away, or waits.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// See the module.
#[derive(Debug)]
pub(crate) struct Bucket {
    per_second: f64,
    burst: f64,
    /// Below zero: promised to those who wait.
    left: f64,
    at: Instant,
}

impl Bucket {
    /// Full.
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        let burst = f64::from(burst);
        Self { per_second: f64::from(per_second), burst, left: burst, at: Instant::now() }
    }

    /// Takes one, if there is one.
    pub(crate) fn take(&mut self) -> bool {
        self.fill();
        let has = self.left >= 1.0;
        if has {
            self.left -= 1.0;
        }
        has
    }

    /// Takes one that may be there only after that time.
    fn promise(&mut self) -> Duration {
        self.fill();
        self.left -= 1.0;
        Duration::from_secs_f64((-self.left / self.per_second).max(0.0))
    }

    fn fill(&mut self) {
        let now = Instant::now();
        let come = now.duration_since(self.at).as_secs_f64() * self.per_second;
        (self.left, self.at) = (self.burst.min(self.left + come), now);
    }
}

/// A bucket at which to wait.
#[derive(Debug)]
pub(crate) struct Turns(Mutex<Bucket>);

impl Turns {
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        Self(Mutex::new(Bucket::new(per_second, burst)))
    }

    /// Comes back when there is one for the caller, in the order of asking.
    pub(crate) async fn next(&self) {
        let wait = self.0.lock().unwrap_or_else(PoisonError::into_inner).promise();
        if !wait.is_zero() {
            sleep(wait).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_at_once_and_then_the_rate_holds_however_many_ask() {
        let turns = Turns::new(100, 50);
        let began = Instant::now();
        for _ in 0..50 {
            turns.next().await;
        }
        assert_eq!(began.elapsed(), Duration::ZERO);
        let many = (0..300).map(|_| turns.next());
        futures_util::future::join_all(many).await;
        let took = began.elapsed();
        assert!((2_990..3_100).contains(&took.as_millis()), "{took:?}");
        // What was not used is kept up to the burst, and no further.
        sleep(Duration::from_hours(1)).await;
        let mut bucket = Bucket::new(100, 50);
        sleep(Duration::from_hours(1)).await;
        assert_eq!((0..1_000).filter(|_| bucket.take()).count(), 50);
        sleep(Duration::from_millis(105)).await;
        assert_eq!((0..1_000).filter(|_| bucket.take()).count(), 10);
    }
}

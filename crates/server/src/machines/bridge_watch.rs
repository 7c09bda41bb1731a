//! Tells a bridge that never comes up from one that takes its time. Init holds the bridge's socket, so
//! a request waits in it either way; init knows which it is. Ends nothing and starts nothing.

use super::Machine;
use crate::state::App;
use std::time::Duration;
use toft_machine::init_client::{self, Hello};
use tokio::time::sleep;

/// What is answered sooner is not looked at.
const FIRST_LOOK: Duration = Duration::from_secs(1);
/// Between two looks.
const LOOK_PAUSE: Duration = Duration::from_millis(500);
/// Looks in a row that find no bridge and no start between them. Init leaves a second between two
/// starts only after four bridges that died at once.
const ABSENT_LOOKS: u32 = 3;
/// Starts while one request waits to be taken: each of them was another bridge that took nothing.
const NEW_STARTS: u32 = 3;

/// Resolves when a bridge turns out not to come up, with how often init has started it; for as long
/// as it may still answer, it does not.
pub(crate) async fn never_up(app: &App, machine: &Machine) -> u32 {
    let mut seen = Seen::default();
    sleep(FIRST_LOOK).await;
    loop {
        // One that goes away has none, and its requests are answered by whoever ends it.
        if machine.answers()
            && let Ok(init) = app.backend.connect_init(&machine.id).await
            && let Ok(hello) = init_client::hello(init).await
            && seen.is_hopeless(&hello)
        {
            tracing::warn!(project.id = %machine.id, starts = hello.bridge_starts,
                "the machine's bridge does not come up");
            return hello.bridge_starts;
        }
        sleep(LOOK_PAUSE).await;
    }
}

/// What the looks of one request have found.
#[derive(Debug, Default)]
struct Seen {
    first_starts: Option<u32>,
    last_starts: u32,
    absent: u32,
}

impl Seen {
    fn is_hopeless(&mut self, hello: &Hello) -> bool {
        let first = *self.first_starts.get_or_insert(hello.bridge_starts);
        let is_same_pause = hello.bridge_pid.is_none() && hello.bridge_starts == self.last_starts;
        self.absent = match (hello.bridge_pid, is_same_pause) {
            (Some(_), _) => 0,
            (None, true) => self.absent + 1,
            (None, false) => 1,
        };
        self.last_starts = hello.bridge_starts;
        self.absent >= ABSENT_LOOKS || hello.bridge_starts.saturating_sub(first) >= NEW_STARTS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(looks: &[(Option<u32>, u32)]) -> Option<usize> {
        let mut seen = Seen::default();
        looks.iter().position(|&(bridge_pid, bridge_starts)| {
            let hello = Hello {
                protocol: 1,
                version: String::new(),
                bridge_pid,
                bridge_starts,
                read_only: false,
            };
            seen.is_hopeless(&hello)
        })
    }

    #[test]
    fn a_bridge_that_works_is_waited_for_however_long() {
        assert_eq!(judge(&[(Some(9), 1); 1000]), None);
        // Killed and back, twice.
        let back = [(Some(9), 1), (None, 1), (Some(10), 2), (None, 2), (None, 2), (Some(11), 3)];
        assert_eq!(judge(&back), None);
    }

    #[test]
    fn one_that_is_absent_for_long_or_started_over_and_over_is_given_up() {
        assert_eq!(judge(&[(None, 4), (None, 4), (None, 4)]), Some(2));
        assert_eq!(judge(&[(None, 4), (None, 5), (Some(1), 6), (None, 6), (None, 7)]), Some(4));
        // It could not even be started.
        assert_eq!(judge(&[(None, 0), (None, 0), (None, 0), (None, 0)]), Some(2));
    }
}

//! Hosts that said the value of a brokered secret back: the gateway writes it into the log of the way out,
//! and here it becomes an event of the project.

use super::{Machine, observed};
use crate::state::App;
use std::{
    collections::HashMap,
    io,
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use toft_gateway::records::egress_log::{self, Placed, SECRET_ECHOED};
use toft_model::{event::Observed, id::ProjectId};
use tokio::time::sleep;

/// Between two looks at the logs: soon enough for a person, and a few system calls for each machine that
/// has such secrets.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// Lines that are read at once: what a log takes in a minute at most.
const LINES_MAX: usize = 1_500;
/// How far the first look goes back: what happened while no server was there. The bridge knows which of
/// it it was told.
const LOOK_BACK_MS: u64 = 60 * 60 * 1000;

/// Looks until the server ends.
pub(crate) async fn watch(app: App) {
    let ends = app.stop.token().clone();
    let looking = async {
        let mut places = HashMap::new();
        loop {
            let machines = app.machines.list();
            places.retain(|id, _| machines.iter().any(|machine| machine.id == *id));
            for machine in machines {
                if machine.brokers.load(Ordering::Relaxed) {
                    look(&app, &machine, &mut places).await;
                }
            }
            sleep(LOOK_AGAIN).await;
        }
    };
    ends.run_until_cancelled(looking).await;
}

/// Tells what is new in the log of one machine.
async fn look(app: &App, machine: &Arc<Machine>, places: &mut HashMap<ProjectId, u64>) {
    let (dir, id) = (app.data_dir.clone(), machine.id.clone());
    let place = places.get(&id).copied();
    let oldest = app.clock.now_ms().saturating_sub(LOOK_BACK_MS);
    let read = tokio::task::spawn_blocking(move || news(&dir, &id, place, oldest)).await;
    match read.unwrap_or_else(|e| Err(io::Error::other(e))) {
        Ok((lines, end)) => {
            places.insert(machine.id.clone(), end);
            for Placed { seq, record } in lines {
                let secrets = record.secrets.join(", ");
                let message = format!(
                    "{}:{} said the value of the secret {secrets} back. It was taken out of the \
                     answer. A host that says a key back may show it elsewhere too: look at what was \
                     asked there, and set a new value if in doubt.",
                    record.host, record.port
                );
                let what = Observed::Error { code: "secret_echoed".into(), message };
                observed::tell_as(app, machine, &format!("egress-{seq}"), what).await;
            }
        }
        Err(error) => {
            tracing::warn!(project.id = %machine.id, %error, "the log of the way out cannot be read");
        }
    }
}

/// Lines of values that came back, oldest first, and where the log ends.
fn news(
    dir: &Path,
    id: &ProjectId,
    place: Option<u64>,
    oldest: u64,
) -> io::Result<(Vec<Placed>, u64)> {
    let end = egress_log::end(dir, id)?;
    let lines = match place {
        // A log that was begun anew is shorter.
        Some(place) if place == end => Vec::new(),
        Some(place) => egress_log::after(dir, id, place.min(end), LINES_MAX)?,
        None => {
            let mut lines = egress_log::before(dir, id, None, LINES_MAX)?;
            lines.reverse();
            lines.retain(|line| line.record.ts >= oldest);
            lines
        }
    };
    let read = lines.last().map_or(end, |line| line.seq);
    let mut lines = lines;
    lines.retain(|line| line.record.rule == SECRET_ECHOED);
    Ok((lines, read))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    fn line(ts: u64, rule: &str) -> String {
        format!(
            "{{\"ts\":{ts},\"via\":\"https\",\"host\":\"a.test\",\"port\":443,\"verdict\":\"allow\",\
             \"rule\":\"{rule}\",\"secrets\":[\"KEY\"],\"bytesIn\":0,\"bytesOut\":0,\"durationMs\":0}}\n"
        )
    }

    #[test]
    fn each_line_is_news_once_and_the_first_look_goes_back_a_while() {
        let folder = tempfile::tempdir().unwrap();
        let id = ProjectId::random();
        let dir = folder.path().join("usage/egress").join(id.as_str());
        std::fs::create_dir_all(&dir).unwrap();
        let check = |place: Option<u64>, expected: &[u64]| {
            let (lines, end) = news(folder.path(), &id, place, 100).unwrap();
            assert_eq!(lines.iter().map(|line| line.record.ts).collect::<Vec<_>>(), expected);
            end
        };
        let end = check(None, &[]);
        let mut text =
            [line(10, SECRET_ECHOED), line(110, "open"), line(120, SECRET_ECHOED)].concat();
        let file = dir.join("egress.jsonl");
        std::fs::write(&file, &text).unwrap();
        check(Some(end), &[10, 120]);
        let end = check(None, &[120]);
        assert_eq!(check(Some(end), &[]), end);
        let _ = write!(text, "{}", line(130, SECRET_ECHOED));
        std::fs::write(&file, &text).unwrap();
        check(Some(end), &[130]);
    }
}

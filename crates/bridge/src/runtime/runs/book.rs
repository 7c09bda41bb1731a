//! The runs of a machine in `runs.jsonl` beside the event log, so that a restore does not forget them. Each line is
//! one run as it is from then on, on disk before anything that it says is done. Not what it means: that is
//! [`super::state`].

use super::state::State;
use crate::{own_file::make_way, runtime::memory::replace_file};
use serde::{Deserialize, Serialize};
use std::{
    collections::{HashMap, VecDeque},
    fs::{File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};
use toft_model::run::{JobId, Phase, RunOrder};

const FILE: &str = "runs.jsonl";

/// Runs that are kept after their end: a server asks for those that it has not taken in yet.
const KEPT_MAX: usize = 256;

/// Runs that are not over. The server lets one of a project write at a time; others wait for a person's word.
const OPEN_MAX: usize = 64;

/// Lines of the file before it is written anew; some twelve for each run.
const LINES_MAX: usize = 16 * KEPT_MAX;

/// Bytes by which it may grow before that: prompts may be long.
const GROWN_BYTES_MAX: usize = 16 << 20;

/// One line: what is known of a run from then on.
#[derive(Serialize)]
struct Line<'a> {
    id: &'a JobId,
    /// In the first line, and where it was ordered anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<&'a RunOrder>,
    state: &'a State,
}

/// The same as it is read.
#[derive(Deserialize)]
struct Read {
    id: JobId,
    #[serde(default)]
    order: Option<RunOrder>,
    state: State,
}

/// A run.
#[derive(Debug, Clone)]
pub(super) struct Run {
    /// What was ordered, unless it is over.
    pub(super) order: Option<Arc<RunOrder>>,
    pub(super) state: State,
}

/// What became of a change.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Added {
    Done,
    /// Too many are not over.
    Full,
}

/// See the module. Everything that writes blocks.
pub(super) struct Book {
    path: PathBuf,
    file: File,
    lines: usize,
    grown: usize,
    known: HashMap<JobId, Run>,
    /// Oldest first.
    order: VecDeque<JobId>,
}

impl Book {
    /// Reads what is kept in `log_dir`; a line that cannot be read is none.
    pub(super) fn open(log_dir: &Path) -> io::Result<Self> {
        let path = log_dir.join(FILE);
        make_way(&path);
        let text = match std::fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            other => other?,
        };
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        let (known, order) = (HashMap::new(), VecDeque::new());
        let mut book = Self { path, file, lines: 0, grown: text.len(), known, order };
        for line in text.split(|b| *b == b'\n') {
            if let Ok(Read { id, order, state }) = serde_json::from_slice(line) {
                book.lines += 1;
                book.take(id, order.map(Arc::new), state);
            }
        }
        if text.last().is_some_and(|last| *last != b'\n') {
            // A torn end must not tear what comes next.
            book.rewrite()?;
        }
        Ok(book)
    }

    pub(super) fn get(&self, id: &JobId) -> Option<&Run> {
        self.known.get(id)
    }

    /// All, oldest first.
    pub(super) fn all(&self) -> impl DoubleEndedIterator<Item = (&JobId, &Run)> {
        self.order.iter().filter_map(|id| Some((id, self.known.get(id)?)))
    }

    /// A run that was ordered, or ordered anew; on disk when this returns.
    pub(super) fn put(&mut self, id: JobId, run: Run) -> io::Result<Added> {
        let open = self.known.values().filter(|run| !run.state.is_over()).count();
        if open >= OPEN_MAX && self.known.get(&id).is_none_or(|known| known.state.is_over()) {
            return Ok(Added::Full);
        }
        self.write(id, run.order, run.state)?;
        self.file.sync_data()?;
        Ok(Added::Done)
    }

    /// Changes what is kept of a run; on disk when this returns, unless it is the same.
    pub(super) fn change(&mut self, id: &JobId, change: impl FnOnce(&mut State)) -> io::Result<()> {
        let Some(run) = self.known.get(id) else { return Ok(()) };
        let mut state = run.state.clone();
        change(&mut state);
        if state == run.state {
            return Ok(());
        }
        self.write(id.clone(), None, state)?;
        self.file.sync_data()
    }

    /// The log ends at that number: what was told behind it is to be told again.
    pub(super) fn lost_end(&mut self, last_seq: u64) {
        for run in self.known.values_mut() {
            run.state.told = run.state.told.filter(|told| *told <= last_seq);
            run.state.mark = run.state.mark.min(last_seq);
        }
    }

    fn write(&mut self, id: JobId, order: Option<Arc<RunOrder>>, state: State) -> io::Result<()> {
        if self.lines >= LINES_MAX || self.grown >= GROWN_BYTES_MAX {
            self.rewrite()?;
        }
        let end = self.file.metadata()?.len();
        let bytes = Line { id: &id, order: order.as_deref(), state: &state }.bytes();
        if let Err(error) = self.file.write_all(&bytes) {
            // What got in would tear the next line.
            let _ = self.file.set_len(end);
            return Err(error);
        }
        self.lines += 1;
        self.grown += bytes.len();
        self.take(id, order, state);
        Ok(())
    }

    fn take(&mut self, id: JobId, order: Option<Arc<RunOrder>>, state: State) {
        let known = self.known.remove(&id);
        if known.is_none() {
            self.make_room();
            self.order.push_back(id.clone());
        }
        let order = order.or_else(|| known?.order);
        // Nobody asks for the order of what has ended, and prompts may be long.
        let order = order.filter(|_| state.phase != Phase::Over);
        self.known.insert(id, Run { order, state });
    }

    /// Forgets the oldest that is over.
    fn make_room(&mut self) {
        if self.order.len() < KEPT_MAX {
            return;
        }
        let is_over = |id: &JobId| self.known.get(id).is_none_or(|run| run.state.is_over());
        if let Some(at) = self.order.iter().position(is_over)
            && let Some(oldest) = self.order.remove(at)
        {
            self.known.remove(&oldest);
        }
    }

    /// Only what is known, one line each.
    fn rewrite(&mut self) -> io::Result<()> {
        let mut bytes = Vec::new();
        let mut lines = 0;
        for (id, Run { order, state }) in self.all() {
            bytes.extend(Line { id, order: order.as_deref(), state }.bytes());
            lines += 1;
        }
        replace_file(&self.path, &bytes)?;
        self.file = OpenOptions::new().append(true).open(&self.path)?;
        (self.lines, self.grown) = (lines, 0);
        Ok(())
    }
}

impl Line<'_> {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).expect("a line is plain data");
        bytes.push(b'\n');
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::{super::state::tests::order, *};
    use toft_model::id::SessionId;

    fn run() -> Run {
        let order = order();
        let state = State::new(&order, SessionId::at(1), 5, 7);
        Run { order: Some(Arc::new(order)), state }
    }

    fn over(state: &mut State) {
        state.step(Phase::Over, 6, 9);
        state.told = Some(10);
    }

    #[test]
    fn a_run_is_as_it_was_after_a_torn_end() {
        let dir = tempfile::tempdir().unwrap();
        let id = JobId::random();
        let mut book = Book::open(dir.path()).unwrap();
        assert_eq!(book.put(id.clone(), run()).unwrap(), Added::Done);
        book.change(&id, |state| state.step(Phase::Build, 8, 11)).unwrap();
        let lines = book.lines;
        book.change(&id, |_| {}).unwrap();
        assert_eq!(book.lines, lines, "nothing changed, nothing written");
        let mut file = OpenOptions::new().append(true).open(dir.path().join(FILE)).unwrap();
        file.write_all(br#"{"id":"abcdefghijkl","sta"#).unwrap();
        let mut book = Book::open(dir.path()).unwrap();
        let known = book.get(&id).unwrap().clone();
        assert_eq!((known.state.phase, known.state.since, known.state.mark), (Phase::Build, 8, 11));
        assert_eq!(known.order.unwrap().prompt, "go");
        book.change(&id, over).unwrap();
        let book = Book::open(dir.path()).unwrap();
        let known = book.get(&id).unwrap();
        assert!(known.state.is_over() && known.order.is_none());
        assert_eq!(known.state.after_seq, 7);
    }

    #[test]
    fn the_oldest_that_are_over_are_forgotten_and_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let mut book = Book::open(dir.path()).unwrap();
        let waits = JobId::random();
        book.put(waits.clone(), run()).unwrap();
        for _ in 0..KEPT_MAX + 10 {
            let id = JobId::random();
            book.put(id.clone(), run()).unwrap();
            book.change(&id, over).unwrap();
        }
        assert_eq!((book.known.len(), book.order.len()), (KEPT_MAX, KEPT_MAX));
        assert!(book.get(&waits).is_some_and(|run| run.order.is_some()));
        for _ in 1..OPEN_MAX {
            assert_eq!(book.put(JobId::random(), run()).unwrap(), Added::Done);
        }
        assert_eq!(book.put(JobId::random(), run()).unwrap(), Added::Full);
        book.rewrite().unwrap();
        let again = Book::open(dir.path()).unwrap();
        let ids = |book: &Book| book.all().map(|(id, _)| id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(&again), ids(&book));
    }
}

//! What became of prompts, by the id that their senders gave them: one that is sent again is answered as it
//! was the first time, in whatever conversation that was, also when it waited and was dropped since.
//! Beside the event log, so that a restore does not forget it.
//!
//! An id is written down with its conversation before anything is done with it: whether it was said is
//! then looked for there and nowhere else.

use super::{blocking, memory::replace_file};
use crate::own_file::make_way;
use serde::{Deserialize, Serialize};
use std::{
    collections::{HashMap, VecDeque},
    fs::{File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};
use toft_agent::{Prompted, session::QueuedAs};
use toft_model::{
    hash::{FNV1A_BASIS, fnv1a_more},
    id::SessionId,
    message::UserContent,
};

const FILE: &str = "said.jsonl";

/// Ids that are kept: senders ask again within minutes, people prompt a few times in one.
const KEPT_MAX: usize = 2_048;

/// Lines of the file before it is written anew; two for each id.
const LINES_MAX: usize = 4 * KEPT_MAX;

/// One line: an id with its conversation, or what became of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    begun: Option<Begun>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answer: Option<Answer>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Begun {
    session: SessionId,
    /// Of what was said, so that another prompt under the same id is told from the same one.
    digest: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    entry_id: Option<String>,
    queued: Option<QueuedAs>,
}

/// See the module.
pub(crate) struct Said {
    book: Arc<Mutex<Book>>,
}

struct Book {
    path: PathBuf,
    file: File,
    lines: usize,
    known: HashMap<String, (Begun, Option<Answer>)>,
    /// Oldest first.
    order: VecDeque<String>,
}

/// What is known of an id that a prompt comes with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// It is new, and this conversation's now.
    New(SessionId),
    /// It came before, and nobody was told what became of it.
    Begun(SessionId),
    /// It was taken, and this was the answer.
    Taken(SessionId, Prompted),
    /// Something else was said under it.
    Other,
}

impl Said {
    /// Reads what is kept in `log_dir`; a line that cannot be read is none. Blocks.
    pub(super) fn open(log_dir: &Path) -> io::Result<Self> {
        Ok(Self { book: Arc::new(Mutex::new(Book::open(&log_dir.join(FILE))?)) })
    }

    /// The conversation that an id belongs to.
    pub(crate) fn session_of(&self, id: &str) -> Option<SessionId> {
        lock(&self.book).known.get(id).map(|(begun, _)| begun.session.clone())
    }

    /// Gives an id to a conversation unless it has one; in the file when this returns.
    pub(crate) async fn claim(
        &self,
        id: &str,
        session: SessionId,
        content: &UserContent,
    ) -> io::Result<Claim> {
        let (id, begun) = (id.to_owned(), Begun { session, digest: digest(content) });
        self.with(move |book| book.claim(id, begun)).await
    }

    /// Keeps what became of it; on disk when this returns.
    pub(crate) async fn answered(&self, id: &str, prompted: &Prompted) -> io::Result<()> {
        let answer = Answer { entry_id: prompted.entry_id.clone(), queued: prompted.queued };
        let id = id.to_owned();
        self.with(move |book| book.answered(id, answer)).await
    }

    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Book) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let book = Arc::clone(&self.book);
        blocking(move || work(&mut lock(&book))).await
    }
}

fn lock(book: &Mutex<Book>) -> std::sync::MutexGuard<'_, Book> {
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Book {
    fn open(path: &Path) -> io::Result<Self> {
        make_way(path);
        let text = match std::fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            other => other?,
        };
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let mut book = Self {
            path: path.to_owned(),
            file,
            lines: 0,
            known: HashMap::new(),
            order: VecDeque::new(),
        };
        for line in text.split(|b| *b == b'\n') {
            if let Ok(line) = serde_json::from_slice::<Line>(line) {
                book.lines += 1;
                book.take(line);
            }
        }
        if text.last().is_some_and(|last| *last != b'\n') {
            // A torn end must not tear what comes next.
            book.rewrite()?;
        }
        Ok(book)
    }

    fn claim(&mut self, id: String, begun: Begun) -> io::Result<Claim> {
        if let Some((known, answer)) = self.known.get(&id) {
            return Ok(match answer {
                _ if known.digest != begun.digest => Claim::Other,
                Some(Answer { entry_id, queued }) => Claim::Taken(
                    known.session.clone(),
                    Prompted { entry_id: entry_id.clone(), queued: *queued },
                ),
                None => Claim::Begun(known.session.clone()),
            });
        }
        let session = begun.session.clone();
        self.write(Line { id, begun: Some(begun), answer: None })?;
        Ok(Claim::New(session))
    }

    fn answered(&mut self, id: String, answer: Answer) -> io::Result<()> {
        self.write(Line { id, begun: None, answer: Some(answer) })?;
        self.file.sync_data()
    }

    fn write(&mut self, line: Line) -> io::Result<()> {
        if self.lines >= LINES_MAX {
            self.rewrite()?;
        }
        let end = self.file.metadata()?.len();
        if let Err(error) = self.file.write_all(&bytes_of(&line)) {
            // What got in would tear the next line.
            let _ = self.file.set_len(end);
            return Err(error);
        }
        self.lines += 1;
        self.take(line);
        Ok(())
    }

    fn take(&mut self, line: Line) {
        let Line { id, begun, answer } = line;
        if let Some(begun) = begun
            && !self.known.contains_key(&id)
        {
            if self.order.len() >= KEPT_MAX
                && let Some(oldest) = self.order.pop_front()
            {
                self.known.remove(&oldest);
            }
            self.order.push_back(id.clone());
            self.known.insert(id.clone(), (begun, None));
        }
        if let (Some(answer), Some((_, known))) = (answer, self.known.get_mut(&id)) {
            *known = Some(answer);
        }
    }

    /// Only what is known, one line each.
    fn rewrite(&mut self) -> io::Result<()> {
        let mut bytes = Vec::new();
        for id in &self.order {
            let Some((begun, answer)) = self.known.get(id) else { continue };
            let (begun, answer) = (Some(begun.clone()), answer.clone());
            bytes.extend(bytes_of(&Line { id: id.clone(), begun, answer }));
        }
        replace_file(&self.path, &bytes)?;
        self.file = OpenOptions::new().append(true).open(&self.path)?;
        self.lines = self.order.len();
        Ok(())
    }
}

fn bytes_of(line: &Line) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(line).expect("a line is plain data");
    bytes.push(b'\n');
    bytes
}

/// Hashes what is written to it: content may be megabytes of an image. FNV-1a is enough, because an
/// attack could only be on oneself.
struct Hashed(u64);

impl io::Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = fnv1a_more(self.0, bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn digest(content: &UserContent) -> String {
    let mut hash = Hashed(FNV1A_BASIS);
    serde_json::to_writer(&mut hash, content).expect("content is plain data");
    format!("{:016x}", hash.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> UserContent {
        UserContent::Text(text.into())
    }

    fn entry(id: &str) -> Prompted {
        Prompted { entry_id: Some(id.into()), queued: None }
    }

    #[tokio::test]
    async fn an_id_stays_where_it_was_said_first_and_keeps_its_answer_over_restarts() {
        let dir = tempfile::tempdir().unwrap();
        let [one, two] = [SessionId::at(1), SessionId::at(2)];
        let said = Said::open(dir.path()).unwrap();
        let claim = async |said: &Said, session: &SessionId, content: &str| {
            said.claim("key-0001", session.clone(), &text(content)).await.unwrap()
        };
        assert_eq!(claim(&said, &one, "go").await, Claim::New(one.clone()));
        assert_eq!(claim(&said, &two, "go").await, Claim::Begun(one.clone()));
        assert_eq!(claim(&said, &one, "go on").await, Claim::Other);
        let said = Said::open(dir.path()).unwrap();
        assert_eq!(claim(&said, &two, "go").await, Claim::Begun(one.clone()));
        said.answered("key-0001", &entry("e")).await.unwrap();
        let said = Said::open(dir.path()).unwrap();
        assert_eq!(claim(&said, &two, "go").await, Claim::Taken(one.clone(), entry("e")));
        assert_eq!((said.session_of("key-0001"), said.session_of("key-0002")), (Some(one), None));
    }

    #[tokio::test]
    async fn a_torn_end_loses_only_itself_and_the_oldest_are_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let session = SessionId::at(1);
        let said = Said::open(dir.path()).unwrap();
        said.claim("first-00", session.clone(), &text("a")).await.unwrap();
        let mut file = OpenOptions::new().append(true).open(dir.path().join(FILE)).unwrap();
        file.write_all(br#"{"id":"torn-000","beg"#).unwrap();
        let said = Said::open(dir.path()).unwrap();
        said.answered("first-00", &entry("e")).await.unwrap();
        let said = Said::open(dir.path()).unwrap();
        let known = said.claim("first-00", session.clone(), &text("a")).await.unwrap();
        assert_eq!(known, Claim::Taken(session.clone(), entry("e")));
        let mut book = lock(&said.book);
        for n in 0..LINES_MAX + 10 {
            let begun = Begun { session: session.clone(), digest: String::new() };
            book.claim(format!("many-{n}"), begun).unwrap();
        }
        assert_eq!((book.known.len(), book.order.len()), (KEPT_MAX, KEPT_MAX));
        assert!(book.lines < LINES_MAX && !book.known.contains_key("first-00"));
    }
}

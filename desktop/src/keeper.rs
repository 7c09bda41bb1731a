//! Keeps the windows in touch with a server: finds or starts one, signs in, notices when it is gone
//! and when it is back. One thread; the server that it started is let go with the shell.

use crate::{
    args::Target,
    notice::Notice,
    server::{self, Announcement, ServerError, Web},
    shell::Shell,
    start::{Own, StartError, Starter},
    wish::{Retry, Wish},
};
use std::{
    path::Path,
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread,
    time::Duration,
};
use url::Url;

/// How often the server is looked at: often enough that a person sees a return at once.
const LOOK_MS: u64 = 2_000;
/// Looks in vain before the dashboard is taken off. A server that is being upgraded is back before
/// the third, and the dashboard says by itself that it is offline.
const MISSES_MAX: u32 = 3;

/// The thread, from outside.
pub(crate) struct Keeper {
    wishes: Sender<Wish>,
    own: Own,
}

/// Wishes wait here until the thread runs.
pub(crate) struct Waiting {
    wishes: Sender<Wish>,
    asked: Receiver<Wish>,
}

impl Waiting {
    // Unbounded, and filled by nothing but a person's clicks.
    pub(crate) fn new() -> Self {
        let (wishes, asked) = channel();
        Self { wishes, asked }
    }

    pub(crate) fn retry(&self) -> Retry {
        Retry::through(self.wishes.clone())
    }

    /// Begins to look.
    pub(crate) fn begin(self, shell: Shell, target: Target) -> Keeper {
        let Self { wishes, asked } = self;
        let own = Own::default();
        let keep = Keep { shell, target, web: Web::new(), own: own.clone() };
        thread::spawn(move || keep.run(&asked));
        Keeper { wishes, own }
    }
}

impl Keeper {
    /// Lets the server go that it started. The thread is not waited for: it may be asking something of
    /// a window that answers no more.
    pub(crate) fn end(self) {
        // One that has ended already needs no word.
        let _ = self.wishes.send(Wish::End);
        self.own.close();
    }
}

#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error(transparent)]
    Start(#[from] StartError),
}

struct Keep {
    shell: Shell,
    target: Target,
    web: Web,
    own: Own,
}

impl Keep {
    fn run(self, asked: &Receiver<Wish>) {
        let mut by_person = true;
        loop {
            match self.reach(by_person) {
                Ok(home) => {
                    self.shell.connect(&home);
                    if self.watch(&home, asked) == Wish::End {
                        break;
                    }
                    self.shell.notice(lost(&self.target));
                }
                // What a person asked for is answered; a look of ours is not spoken of.
                Err(trouble) if by_person => self.shell.notice(self.told(&trouble)),
                Err(_) => {}
            }
            by_person = match asked.recv_timeout(Duration::from_millis(LOOK_MS)) {
                Ok(Wish::Retry) => true,
                Err(RecvTimeoutError::Timeout) => false,
                Ok(Wish::End) | Err(RecvTimeoutError::Disconnected) => break,
            };
        }
    }

    /// Until the server is gone (`Retry`) or the shell ends.
    fn watch(&self, home: &Url, asked: &Receiver<Wish>) -> Wish {
        let mut misses = 0;
        loop {
            match asked.recv_timeout(Duration::from_millis(LOOK_MS)) {
                Ok(Wish::End) | Err(RecvTimeoutError::Disconnected) => return Wish::End,
                Ok(Wish::Retry) | Err(RecvTimeoutError::Timeout) => {}
            }
            misses = if self.web.home(home).is_ok() { 0 } else { misses + 1 };
            if misses >= MISSES_MAX {
                return Wish::Retry;
            }
        }
    }

    /// Where the dashboard is, with the window signed in if that can be done from here.
    fn reach(&self, may_start: bool) -> Result<Url, Trouble> {
        let (data, toft) = match &self.target {
            Target::Remote(url) => return Ok(self.web.home(url)?),
            Target::Local { data, toft } => (data, toft.as_deref()),
        };
        let found =
            server::announced(data).and_then(|file| self.web.home(&file.url()).map(|_| file));
        let file = match found {
            Ok(file) => file,
            Err(_) if may_start => self.start(data, toft)?,
            Err(error) => return Err(error.into()),
        };
        let link = self.web.link(&file)?;
        let mut home = link.clone();
        home.set_path("/");
        home.set_query(None);
        // A server with a domain of its own is at home there; it must be reachable from here too.
        let home = self.web.home(&home)?;
        if !self.web.is_signed_in(&home, &self.shell.cookies(&home)) {
            self.shell.set_cookie(self.web.sign_in(&link)?);
        }
        Ok(home)
    }

    fn start(&self, data: &Path, toft: Option<&Path>) -> Result<Announcement, Trouble> {
        self.shell.notice(Notice::wait("Starting the server…"));
        let web = &self.web;
        let serves = || server::announced(data).is_ok_and(|file| web.home(&file.url()).is_ok());
        let starter = Starter {
            own: &self.own,
            toft,
            data,
            log: self.shell.own_file("server.log"),
            port: self.shell.memory().port,
        };
        starter.start(serves)?;
        let file = server::announced(data)?;
        let port = file.url().port();
        self.shell.remember(|memory| memory.port = port);
        Ok(file)
    }

    fn told(&self, trouble: &Trouble) -> Notice {
        let (title, text) = match (trouble, &self.target) {
            (Trouble::Start(StartError::NoProgram), _) => (
                "Toft’s server is not installed here",
                "Put the program `toft` on the path, or say with TOFT_BIN where it is. To open a \
                 server on another computer, start with --server and its address.",
            ),
            (Trouble::Start(_), _) => (
                "The server could not be started",
                "Projects and conversations are untouched. What it said last is below.",
            ),
            (Trouble::Server(_), Target::Remote(_)) => (
                "Cannot reach the server",
                "Check the address and the connection. This window tries again by itself.",
            ),
            (Trouble::Server(_), Target::Local { .. }) => (
                "Cannot sign in to the server",
                "Projects and conversations are untouched. What went wrong is below.",
            ),
        };
        Notice {
            title: title.to_owned(),
            text: text.to_owned(),
            detail: Some(trouble.to_string()),
            retry: Some("Retry"),
        }
    }
}

fn lost(target: &Target) -> Notice {
    let (text, retry) = match target {
        Target::Local { .. } => (
            "Machines and agents go on without it, and nothing is lost. This window comes back \
             where it was as soon as a server answers.",
            "Start it again",
        ),
        Target::Remote(_) => (
            "Machines and agents go on without this window, and nothing is lost. It comes back \
             where it was as soon as the server answers.",
            "Retry",
        ),
    };
    let detail = match target {
        Target::Local { .. } => None,
        Target::Remote(url) => Some(url.to_string()),
    };
    Notice {
        title: "The server does not answer".into(),
        text: text.into(),
        detail,
        retry: Some(retry),
    }
}

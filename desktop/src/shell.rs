//! What all windows share: which server they show, the notice that stands in for it, what is
//! remembered. Safe to use from any thread; no lock is held while a window is spoken to, because
//! windows answer on the main thread, which takes the lock too.

use crate::{
    geometry::Memory,
    notice::Notice,
    place::{self, Place},
    say,
    server::Web,
    wish::Retry,
};
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};
use tauri::{AppHandle, Manager as _, WebviewWindow, webview::Cookie};
use url::Url;

/// Windows whose label begins so show the dashboard.
pub(crate) const DASHBOARD: &str = "dashboard-";
/// Windows whose label begins so are never seen: they wait for an address to pass on.
pub(crate) const WAITING: &str = "waiting-";
/// File of the own folder that holds [`Memory`].
const MEMORY_FILE: &str = "window.json";

/// A handle to it.
#[derive(Clone)]
pub(crate) struct Shell(Arc<Inner>);

struct Inner {
    app: AppHandle,
    own: PathBuf,
    web: Web,
    retry: Retry,
    labels: AtomicU32,
    now: Mutex<Now>,
}

struct Now {
    /// The dashboard's origin, while its server answers.
    home: Option<Url>,
    notice: Notice,
    memory: Memory,
    /// Where each window was in the dashboard before a notice took its place.
    left: HashMap<String, String>,
}

impl Shell {
    pub(crate) fn new(app: AppHandle, own: PathBuf, retry: Retry) -> Self {
        let memory = Memory::load(&own.join(MEMORY_FILE));
        let now =
            Now { home: None, notice: Notice::wait("Opening…"), memory, left: HashMap::new() };
        Self(Arc::new(Inner {
            app,
            own,
            web: Web::new(),
            retry,
            labels: AtomicU32::new(1),
            now: Mutex::new(now),
        }))
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.0.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn app(&self) -> &AppHandle {
        &self.0.app
    }

    pub(crate) fn home(&self) -> Option<Url> {
        self.now().home.clone()
    }

    pub(crate) fn memory(&self) -> Memory {
        self.now().memory
    }

    pub(crate) fn remember(&self, change: impl FnOnce(&mut Memory)) {
        change(&mut self.now().memory);
    }

    /// Writes down what is remembered.
    pub(crate) fn save(&self) {
        if let Err(error) = self.memory().save(&self.own_file(MEMORY_FILE)) {
            say(&format!("the window's place is not kept: {error}"));
        }
    }

    /// A file, or a folder, of the shell's own.
    pub(crate) fn own_file(&self, name: &str) -> PathBuf {
        self.0.own.join(name)
    }

    pub(crate) fn notice_page(&self) -> String {
        self.now().notice.page()
    }

    pub(crate) fn retry(&self) {
        self.0.retry.now();
    }

    /// A label that no window had.
    pub(crate) fn fresh_label(&self, kind: &str) -> String {
        format!("{kind}{}", self.0.labels.fetch_add(1, Ordering::Relaxed))
    }

    /// The windows that people see.
    pub(crate) fn windows(&self) -> Vec<WebviewWindow> {
        let all = self.0.app.webview_windows();
        all.into_iter().filter(|(label, _)| label.starts_with(DASHBOARD)).map(|(_, w)| w).collect()
    }

    /// What a window shows that opens now.
    pub(crate) fn first_page(&self) -> Url {
        self.home().unwrap_or_else(notice_url)
    }

    /// Shows the dashboard in every window, where each was.
    pub(crate) fn connect(&self, home: &Url) {
        let left = {
            let mut now = self.now();
            now.home = Some(home.clone());
            std::mem::take(&mut now.left)
        };
        for window in self.windows() {
            let path = left.get(window.label()).map_or("/", String::as_str);
            go(&window, home.join(path).unwrap_or_else(|_| home.clone()));
        }
    }

    /// Puts a notice in every window.
    pub(crate) fn notice(&self, notice: Notice) {
        let windows = self.windows();
        let shown: Vec<_> = windows.iter().filter_map(|w| Some((w, w.url().ok()?))).collect();
        {
            let mut now = self.now();
            if let Some(home) = now.home.take() {
                for (window, url) in &shown {
                    if place::place(url, Some(&home)) == Place::Dashboard {
                        now.left.insert(window.label().to_owned(), path_of(url));
                    }
                }
            }
            now.notice = notice;
        }
        for window in &windows {
            go(window, notice_url());
        }
    }

    /// What the window would send to this address.
    pub(crate) fn cookies(&self, at: &Url) -> Vec<Cookie<'static>> {
        let window = self.windows().into_iter().next();
        window.and_then(|w| w.cookies_for_url(at.clone()).ok()).unwrap_or_default()
    }

    /// Puts a cookie into the jar that all windows share.
    pub(crate) fn set_cookie(&self, cookie: Cookie<'static>) {
        let window = self.windows().into_iter().next();
        if let Some(Err(error)) = window.map(|w| w.set_cookie(cookie)) {
            say(&format!("the window took no cookie: {error}"));
        }
    }

    /// Fetches the cookie of a preview before a frame goes there.
    pub(crate) fn enter_preview(&self, entry: &Url) {
        let Some(home) = self.home() else { return };
        if let Some(cookie) = self.0.web.enter(entry, &home) {
            self.set_cookie(cookie);
        }
    }
}

/// Lets the person's own programs open an address.
pub(crate) fn open_outside(url: &Url) {
    if !matches!(url.scheme(), "http" | "https" | "mailto") {
        return;
    }
    if let Err(error) = open::that_detached(url.as_str()) {
        // Not the address: an entry to a preview is good for whoever has it.
        say(&format!("no program took the link to {}: {error}", url.host_str().unwrap_or("mail")));
    }
}

pub(crate) fn notice_url() -> Url {
    Url::parse(place::NOTICE).expect("the constant is a URL")
}

fn go(window: &WebviewWindow, to: Url) {
    if let Err(error) = window.navigate(to) {
        say(&format!("a window did not follow: {error}"));
    }
}

fn path_of(url: &Url) -> String {
    url[url::Position::BeforePath..].to_owned()
}

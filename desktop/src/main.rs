//! Toft's dashboard in a window of its own: a shell around the system's web view. It finds, starts
//! and signs in to a server; everything else is the dashboard's. Pages can ask it for nothing: there
//! is no command, no capability, and no page of its own but `notice`.

mod args;
mod geometry;
mod keeper;
mod menu;
mod notice;
mod place;
mod server;
mod shell;
mod start;
mod window;
mod wish;

use crate::{args::Ask, keeper::Waiting, shell::Shell};
use gtk::glib::object::ObjectExt as _;
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};
use std::{
    fs::DirBuilder,
    io::{self, Write as _},
    os::unix::fs::DirBuilderExt as _,
    path::Path,
    process::ExitCode,
    sync::{Mutex, OnceLock, PoisonError},
    thread,
};
use tauri::{
    AppHandle, RunEvent,
    http::{Response, header},
};

/// Readable by nobody else: it holds the cookies.
const OWN_MODE: u32 = 0o700;
/// GTK's own key for the menu bar, F10, means something else in a terminal.
const MENU_KEY: &str = "<Control>F10";

fn main() -> ExitCode {
    match args::read().map_err(|e| e.to_string()).and_then(|ask| match ask {
        Ask::Help => {
            println(args::USAGE);
            Ok(())
        }
        Ask::Open { target, own } => run(target, &own),
    }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(target: args::Target, own: &Path) -> Result<(), String> {
    private_folder(own).map_err(|e| format!("{} cannot be made: {e}", own.display()))?;
    let waiting = Waiting::new();
    let retry = waiting.retry();
    let shown: &'static OnceLock<Shell> = Box::leak(Box::default());
    let app = tauri::Builder::default()
        .register_uri_scheme_protocol(place::OWN_SCHEME, move |_, _| {
            let page = shown.get().map(Shell::notice_page).unwrap_or_default();
            Response::builder()
                .header(header::CONTENT_TYPE, "text/html; charset=utf-8")
                .header(header::CACHE_CONTROL, "no-store")
                .body(page.into_bytes())
                .expect("constant headers are valid")
        })
        .menu(menu::build)
        .on_menu_event(move |_, event| {
            if let Some(shell) = shown.get() {
                menu::chosen(shell, event.id().as_ref());
            }
        })
        .build(tauri::generate_context!())
        .map_err(|e| format!("no window system answers: {e}"))?;
    if let Some(settings) = gtk::Settings::default() {
        settings.set_property("gtk-menu-bar-accel", MENU_KEY);
    }
    let shell =
        shown.get_or_init(|| Shell::new(app.handle().clone(), own.to_owned(), retry)).clone();
    window::open(&shell, &shell.first_page()).map_err(|e| format!("no window opened: {e}"))?;
    end_at_signals(app.handle().clone()).map_err(|e| format!("no signals can be caught: {e}"))?;
    let keeper = Mutex::new(Some(waiting.begin(shell.clone(), target)));
    app.run(move |_, event| {
        if matches!(event, RunEvent::ExitRequested { .. }) {
            window::note_all(&shell);
        }
        if matches!(event, RunEvent::Exit) {
            shell.save();
            let keeper = keeper.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(keeper) = keeper {
                keeper.end();
            }
        }
    });
    Ok(())
}

fn private_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(OWN_MODE).create(path)
}

/// SIGINT and SIGTERM end the shell as its menu does.
fn end_at_signals(app: AppHandle) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            app.exit(0);
        }
    });
    Ok(())
}

/// To the person who started it. Never a link, a token or a cookie.
#[expect(clippy::print_stderr, reason = "the only place for what no window can show")]
fn say(text: &str) {
    eprintln!("toft-desktop: {text}");
}

fn println(text: &str) {
    // Whoever reads only the first lines has read enough.
    let _ = writeln!(io::stdout(), "{text}");
}

//! One window: made, and held to [`place`]. What it shows comes from the server or from `notice`.

use crate::{
    geometry::{SIZE_MIN, Screen},
    place::{self, NewWindow, Place, Step},
    say,
    shell::{self, DASHBOARD, Shell, WAITING},
};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    thread,
    time::{Duration, Instant},
};
use tauri::{
    Manager as _, WebviewUrl, WebviewWindow, WebviewWindowBuilder, WindowEvent,
    webview::{NewWindowFeatures, NewWindowResponse},
};
use url::Url;
use webkit2gtk::{
    CookieAcceptPolicy, CookieManagerExt as _, LoadEvent, PolicyDecision, PolicyDecisionExt as _,
    PolicyDecisionType, ResponsePolicyDecision, ResponsePolicyDecisionExt as _,
    URIResponseExt as _, WebViewExt as _, WebsiteDataManagerExt as _, glib::Cast as _,
};

/// The title until a page has one.
const TITLE: &str = "Toft";
/// Folder of the engine: cookies, storage of pages, caches.
const ENGINE_DIR: &str = "web";
/// How long a page may take to say where a new window goes: as long as an entry to a preview is good.
const WAIT_S: u64 = 60;

/// A page whose process ends again so soon is left as it is: the person reloads it, or does not.
const REVIVE_S: u64 = 10;

/// Opens a window of the dashboard.
pub(crate) fn open(shell: &Shell, at: &Url) -> tauri::Result<()> {
    let is_first = shell.windows().is_empty();
    let memory = shell.memory();
    let to = match at.scheme() {
        place::OWN_SCHEME => WebviewUrl::CustomProtocol(at.clone()),
        _ => WebviewUrl::External(at.clone()),
    };
    let label = shell.fresh_label(DASHBOARD);
    let mut builder = WebviewWindowBuilder::new(shell.app(), label, to)
        .title(TITLE)
        .inner_size(memory.width, memory.height)
        .min_inner_size(SIZE_MIN.0, SIZE_MIN.1)
        .maximized(memory.maximized)
        .data_directory(shell.own_file(ENGINE_DIR))
        // Panels are dragged, and files dropped, by the dashboard's own rules.
        .disable_drag_drop_handler()
        .on_navigation({
            let shell = shell.clone();
            move |url| may_go(&shell, url)
        })
        .on_new_window({
            let shell = shell.clone();
            move |url, features| new_window(&shell, &url, features)
        })
        .on_document_title_changed(|window, title| {
            let title = if title.is_empty() { TITLE } else { &title };
            // A window that is closing needs no title.
            let _ = window.set_title(title);
        });
    // A second window on the very place of the first would hide it.
    if let Some((x, y)) = memory.place_on(&screens(shell)).filter(|_| is_first) {
        builder = builder.position(x, y);
    }
    let window = builder.build()?;
    window.set_zoom(memory.zoom)?;
    guard(shell, &window)?;
    remember(shell, &window);
    Ok(())
}

/// Opens one more, or says why not.
pub(crate) fn open_another(shell: &Shell, at: &Url) {
    if let Err(error) = open(shell, at) {
        say(&format!("no window could be opened: {error}"));
    }
}

fn screens(shell: &Shell) -> Vec<Screen> {
    let monitors = shell.app().available_monitors().unwrap_or_default();
    monitors
        .iter()
        .map(|m| {
            let at = m.position().to_logical::<f64>(m.scale_factor());
            let size = m.size().to_logical::<f64>(m.scale_factor());
            Screen { x: at.x, y: at.y, width: size.width, height: size.height }
        })
        .collect()
}

/// Every navigation, of the window and of frames in it.
fn may_go(shell: &Shell, url: &Url) -> bool {
    match place::step(url, shell.home().as_ref()) {
        Step::Go => true,
        Step::Enter => {
            shell.enter_preview(url);
            true
        }
        Step::Stay => false,
        Step::Retry => {
            shell.retry();
            false
        }
        Step::Outside => {
            shell::open_outside(url);
            false
        }
    }
}

fn new_window(
    shell: &Shell,
    url: &Url,
    features: NewWindowFeatures,
) -> NewWindowResponse<tauri::Wry> {
    match place::new_window(url, shell.home().as_ref()) {
        NewWindow::Shell => {
            let (shell, url) = (shell.clone(), url.clone());
            // Not within the call of a page that waits for an answer.
            thread::spawn(move || open_another(&shell, &url));
        }
        NewWindow::Outside => shell::open_outside(url),
        NewWindow::Wait => {
            if let Some(window) = waiting(shell, features) {
                return NewWindowResponse::Create { window };
            }
        }
        NewWindow::No => {}
    }
    NewWindowResponse::Deny
}

/// A window that nobody sees. Some pages open an empty one at the click and say later where it goes.
fn waiting(shell: &Shell, features: NewWindowFeatures) -> Option<WebviewWindow> {
    let blank = WebviewUrl::External(Url::parse("about:blank").ok()?);
    let label = shell.fresh_label(WAITING);
    let passes_on = {
        let (shell, label) = (shell.clone(), label.clone());
        move |url: &Url| {
            if place::place(url, None) == Place::Inner {
                return true;
            }
            match place::new_window(url, shell.home().as_ref()) {
                NewWindow::Outside => shell::open_outside(url),
                NewWindow::Shell => {
                    let (shell, url) = (shell.clone(), url.clone());
                    thread::spawn(move || open_another(&shell, &url));
                }
                NewWindow::Wait | NewWindow::No => {}
            }
            close_later(&shell, &label, Duration::ZERO);
            false
        }
    };
    let window = WebviewWindowBuilder::new(shell.app(), &label, blank)
        .window_features(features)
        .data_directory(shell.own_file(ENGINE_DIR))
        .visible(false)
        .on_navigation(passes_on)
        .build()
        .ok()?;
    close_later(shell, &label, Duration::from_secs(WAIT_S));
    Some(window)
}

fn close_later(shell: &Shell, label: &str, after: Duration) {
    let (app, label) = (shell.app().clone(), label.to_owned());
    thread::spawn(move || {
        thread::sleep(after);
        if let Some(window) = app.get_webview_window(&label) {
            // Gone is what it should be.
            let _ = window.destroy();
        }
    });
}

/// What a navigation's address alone does not tell: whether it fills the window. Twice: as soon as
/// the engine says where a load goes, and before an answer is shown, because it does not always say.
fn guard(shell: &Shell, window: &WebviewWindow) -> tauri::Result<()> {
    let shell = shell.clone();
    window.with_webview(move |platform| {
        let view = platform.inner();
        // Frames of previews are other sites, and their apps have cookies of their own.
        if let Some(jar) = view.website_data_manager().and_then(|data| data.cookie_manager()) {
            jar.set_accept_policy(CookieAcceptPolicy::Always);
        }
        // Where this load was led out of the window; an answer that was on its way may come after its end.
        let led = Rc::new(RefCell::new(None));
        let (of_loads, led_to) = (shell.clone(), Rc::clone(&led));
        view.connect_load_changed(move |view, event| {
            if event == LoadEvent::Started {
                led_to.take();
            }
            let begins = matches!(event, LoadEvent::Started | LoadEvent::Redirected);
            let url = view.uri().and_then(|uri| Url::parse(&uri).ok());
            if let Some(url) = url.filter(|url| begins && !fits(&of_loads, url)) {
                view.stop_loading();
                open_once(&led_to, url);
            }
        });
        let (of_ends, last) = (shell.clone(), Cell::new(None::<Instant>));
        view.connect_web_process_terminated(move |view, _| {
            let again = last.replace(Some(Instant::now()));
            if again.is_none_or(|at| at.elapsed() >= Duration::from_secs(REVIVE_S)) {
                say("the process of a page ended: it is loaded again");
                let shown = view.uri().filter(|uri| !uri.is_empty());
                view.load_uri(shown.as_deref().unwrap_or(of_ends.first_page().as_str()));
            }
        });
        view.connect_decide_policy(move |_, decision, kind| refuses(&shell, &led, decision, kind));
    })
}

fn fits(shell: &Shell, url: &Url) -> bool {
    place::may_fill_window(url, shell.home().as_ref())
}

/// Where a load was led out of its window.
type Led = RefCell<Option<Url>>;

/// A load leads to one page of the browser, whoever notices it first.
fn open_once(led: &Led, url: Url) {
    if led.borrow().as_ref() != Some(&url) {
        shell::open_outside(&url);
        led.replace(Some(url));
    }
}

/// Whether an answer was kept from filling the window.
fn refuses(shell: &Shell, led: &Led, decision: &PolicyDecision, kind: PolicyDecisionType) -> bool {
    if kind != PolicyDecisionType::Response {
        return false;
    }
    let Some(answer) = decision.downcast_ref::<ResponsePolicyDecision>() else { return false };
    if !answer.is_main_frame_main_resource() {
        return false;
    }
    let from = answer.response().and_then(|response| response.uri());
    let url = from.and_then(|uri| Url::parse(&uri).ok());
    if url.as_ref().is_some_and(|url| fits(shell, url)) {
        return false;
    }
    decision.ignore();
    if let Some(url) = url {
        open_once(led, url);
    }
    true
}

/// Keeps size and place, and ends the shell with its last window.
fn remember(shell: &Shell, window: &WebviewWindow) {
    let (shell, own) = (shell.clone(), window.clone());
    window.on_window_event(move |event| match event {
        WindowEvent::Resized(_) | WindowEvent::Moved(_) => note(&shell, &own),
        WindowEvent::CloseRequested { .. } => {
            note(&shell, &own);
            shell.save();
        }
        WindowEvent::Destroyed => {
            let others = shell.windows().iter().any(|w| w.label() != own.label());
            if !others {
                shell.app().exit(0);
            }
        }
        _ => {}
    });
}

/// Takes a last look: the events of a change may still be on their way.
pub(crate) fn note_all(shell: &Shell) {
    let windows = shell.windows();
    let focused = windows.iter().find(|w| w.is_focused().unwrap_or(false));
    if let Some(window) = focused.or_else(|| windows.first()) {
        note(shell, window);
    }
}

fn note(shell: &Shell, window: &WebviewWindow) {
    let maximized = window.is_maximized().unwrap_or(false);
    let scale = window.scale_factor().unwrap_or(1.0);
    let size = window.inner_size().map(|s| s.to_logical::<f64>(scale));
    let at = window.outer_position().map(|p| p.to_logical::<f64>(scale));
    shell.remember(|memory| {
        memory.maximized = maximized;
        if maximized {
            return;
        }
        if let Ok(size) = size {
            (memory.width, memory.height) = (size.width, size.height);
        }
        if let Ok(at) = at {
            memory.at = Some((at.x, at.y));
        }
    });
}

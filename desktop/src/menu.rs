//! The menu. Every shortcut has Shift or is the browsers' own for zoom: what the dashboard, and
//! programs in its terminals, use stays theirs. `keys_are_not_stolen` holds it to that.

use crate::{shell::Shell, window};
use tauri::{
    AppHandle, WebviewWindow,
    menu::{Menu, MenuBuilder, MenuItemBuilder, SubmenuBuilder},
};

const NEW_WINDOW: &str = "new-window";
const CLOSE: &str = "close";
const QUIT: &str = "quit";
const RELOAD: &str = "reload";
const ZOOM_IN: &str = "zoom-in";
const ZOOM_OUT: &str = "zoom-out";
const ZOOM_RESET: &str = "zoom-reset";

/// Menu, name, words, shortcut.
const ITEMS: &[(&str, &str, &str, &str)] = &[
    ("Toft", NEW_WINDOW, "New window", "CmdOrCtrl+Shift+N"),
    ("Toft", CLOSE, "Close window", "CmdOrCtrl+Shift+W"),
    ("Toft", QUIT, "Quit", "CmdOrCtrl+Shift+Q"),
    ("View", RELOAD, "Reload", "CmdOrCtrl+Shift+R"),
    ("View", ZOOM_IN, "Zoom in", "CmdOrCtrl+="),
    ("View", ZOOM_OUT, "Zoom out", "CmdOrCtrl+-"),
    ("View", ZOOM_RESET, "Actual size", "CmdOrCtrl+0"),
];

/// Builds it.
pub(crate) fn build(app: &AppHandle) -> tauri::Result<Menu<tauri::Wry>> {
    let mut menu = MenuBuilder::new(app);
    for title in ["Toft", "View"] {
        let mut part = SubmenuBuilder::new(app, title);
        for (_, id, words, keys) in ITEMS.iter().filter(|item| item.0 == title) {
            part = part.item(&MenuItemBuilder::with_id(*id, *words).accelerator(keys).build(app)?);
        }
        menu = menu.item(&part.build()?);
    }
    menu.build()
}

/// Does what was chosen.
pub(crate) fn chosen(shell: &Shell, id: &str) {
    match id {
        NEW_WINDOW => window::open_another(shell, &shell.first_page()),
        CLOSE => with_focused(shell, WebviewWindow::close),
        QUIT => {
            shell.save();
            shell.app().exit(0);
        }
        RELOAD => with_focused(shell, WebviewWindow::reload),
        ZOOM_IN => zoom(shell, shell.memory().zoomed(true)),
        ZOOM_OUT => zoom(shell, shell.memory().zoomed(false)),
        ZOOM_RESET => zoom(shell, 1.0),
        _ => {}
    }
}

fn with_focused(shell: &Shell, act: impl Fn(&WebviewWindow) -> tauri::Result<()>) {
    let windows = shell.windows();
    let focused = windows.iter().find(|w| w.is_focused().unwrap_or(false));
    if let Some(window) = focused.or_else(|| windows.first()) {
        // A window that is closing needs nothing.
        let _ = act(window);
    }
}

fn zoom(shell: &Shell, to: f64) {
    shell.remember(|memory| memory.zoom = to);
    for window in shell.windows() {
        // A window that is closing needs no zoom.
        let _ = window.set_zoom(to);
    }
}

#[cfg(test)]
mod tests {
    use super::ITEMS;

    /// Shortcuts in the dashboard's sources: strings such as `mod+shift+p`.
    fn of_the_dashboard() -> Vec<String> {
        let mut out = Vec::new();
        let mut folders =
            vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../dashboard/src")];
        while let Some(dir) = folders.pop() {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|e| e == "ts" || e == "tsx") {
                    let text = std::fs::read_to_string(path).unwrap();
                    let quoted = text.split(['\'', '"', '`']).filter(|q| q.starts_with("mod+"));
                    out.extend(quoted.map(str::to_owned));
                }
            }
        }
        out
    }

    #[test]
    fn keys_are_not_stolen() {
        let theirs = of_the_dashboard();
        assert!(theirs.iter().any(|k| k == "mod+k"), "the sources were found: {theirs:?}");
        for (_, id, _, keys) in ITEMS {
            let ours = keys.to_lowercase().replace("cmdorctrl", "mod");
            assert!(!theirs.contains(&ours), "{id}: {ours} is the dashboard's");
            let zooms = id.starts_with("zoom-");
            assert!(zooms || ours.contains("shift"), "{id}: a terminal wants {ours}");
        }
    }
}

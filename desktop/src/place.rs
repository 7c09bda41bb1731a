//! Which address opens where: in the window, in a frame of it, in the person's own browser, or
//! nowhere. Pure text; it opens nothing itself.

use url::{Host, Origin, Url};

/// Scheme of the shell's own pages.
pub(crate) const OWN_SCHEME: &str = "toft";
/// The page that stands in while there is no dashboard.
pub(crate) const NOTICE: &str = "toft://shell/notice";
/// Leads to no page: the button on the notice.
pub(crate) const RETRY: &str = "toft://shell/retry";
/// Path of a signed entry to a preview (`docs/http-api.md` §4).
const ENTRY_PATH: &str = "/.toft/enter";

/// What an address is to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The server's own pages.
    Dashboard,
    /// The signed address that opens a preview on this computer.
    PreviewEntry,
    /// A preview on this computer.
    Preview,
    /// The shell's own page.
    Notice,
    /// The button on it.
    Retry,
    /// An empty page, or one that a page made up itself.
    Inner,
    /// The person's browser or mail program knows what to do with it.
    Outside,
    /// Nobody's: files of this computer, schemes of other programs.
    Refused,
}

/// Says what `url` is, seen from the dashboard at `home`.
pub(crate) fn place(url: &Url, home: Option<&Url>) -> Place {
    match url.scheme() {
        OWN_SCHEME if url.as_str() == NOTICE => Place::Notice,
        OWN_SCHEME if url.as_str() == RETRY => Place::Retry,
        "http" | "https" => match home {
            Some(home) if is_below(url, home) => Place::Dashboard,
            Some(home) if is_preview(url, home) && url.path() == ENTRY_PATH => Place::PreviewEntry,
            Some(home) if is_preview(url, home) => Place::Preview,
            Some(_) | None => Place::Outside,
        },
        "about" if matches!(url.path(), "blank" | "srcdoc") => Place::Inner,
        "data" | "blob" => Place::Inner,
        "mailto" => Place::Outside,
        _ => Place::Refused,
    }
}

/// Whether both are pages of one origin. Opaque origins are equal to nothing.
fn is_below(url: &Url, home: &Url) -> bool {
    matches!(url.origin(), Origin::Tuple(..)) && url.origin() == home.origin()
}

/// Whether it is `http://{label}.localhost` at the port of a dashboard on this computer.
fn is_preview(url: &Url, home: &Url) -> bool {
    let below_localhost = url
        .host_str()
        .is_some_and(|host| host.strip_suffix(".localhost").is_some_and(|label| !label.is_empty()));
    url.scheme() == "http"
        && home.scheme() == "http"
        && below_localhost
        && is_this_computer(home)
        && url.port_or_known_default() == home.port_or_known_default()
}

/// Whether an address can only mean this computer.
pub(crate) fn is_this_computer(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// What happens when a page goes somewhere in the place where it is. Whether that place is the whole
/// window or a frame is not known yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// It may go on; [`may_fill_window`] decides once the place is known.
    Go,
    /// It may go on once the cookie of the preview is there.
    Enter,
    /// It may not.
    Stay,
    /// It may not, and the shell tries again to reach the server.
    Retry,
    /// It may not, and another program opens it.
    Outside,
}

/// Decides on a navigation.
pub(crate) fn step(url: &Url, home: Option<&Url>) -> Step {
    match place(url, home) {
        Place::Dashboard | Place::Preview | Place::Notice | Place::Inner => Step::Go,
        Place::PreviewEntry => Step::Enter,
        // An app may show another site in a frame of its own.
        Place::Outside if url.scheme() != "mailto" => Step::Go,
        Place::Outside => Step::Outside,
        Place::Retry => Step::Retry,
        Place::Refused => Step::Stay,
    }
}

/// Whether a page may be the whole window.
pub(crate) fn may_fill_window(url: &Url, home: Option<&Url>) -> bool {
    match place(url, home) {
        Place::Dashboard | Place::Notice => true,
        Place::Inner => url.scheme() == "about",
        Place::Preview | Place::PreviewEntry | Place::Retry | Place::Outside | Place::Refused => {
            false
        }
    }
}

/// What becomes of a page that asks for a window of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NewWindow {
    /// Another window of the shell.
    Shell,
    /// The person's own browser.
    Outside,
    /// A window nobody sees, until the page says where it wants to go.
    Wait,
    /// None.
    No,
}

/// Decides on a new window.
pub(crate) fn new_window(url: &Url, home: Option<&Url>) -> NewWindow {
    match place(url, home) {
        Place::Dashboard => NewWindow::Shell,
        Place::Preview | Place::PreviewEntry | Place::Outside => NewWindow::Outside,
        Place::Inner if url.as_str() == "about:blank" => NewWindow::Wait,
        Place::Inner | Place::Notice | Place::Retry | Place::Refused => NewWindow::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: &str = "http://localhost:4000/";

    fn check<T: PartialEq + std::fmt::Debug>(
        decide: fn(&Url, Option<&Url>) -> T,
        cases: &[(&str, T)],
    ) {
        let home = Url::parse(HOME).unwrap();
        for (text, want) in cases {
            let url = Url::parse(text).unwrap();
            assert_eq!(&decide(&url, Some(&home)), want, "{text}");
        }
    }

    #[test]
    fn an_address_is_known_by_its_origin_and_not_by_its_looks() {
        check(
            place,
            &[
                ("http://localhost:4000/p/a?b#c", Place::Dashboard),
                ("http://k3v9q1mzt0ab.localhost:4000/", Place::Preview),
                ("http://3000-k3v9q1mzt0ab.localhost:4000/x", Place::Preview),
                ("http://k3v9q1mzt0ab.localhost:4000/.toft/enter?e=1", Place::PreviewEntry),
                ("http://k3v9q1mzt0ab.localhost:4001/", Place::Outside),
                ("https://k3v9q1mzt0ab.localhost:4000/", Place::Outside),
                ("https://localhost:4000/", Place::Outside),
                ("http://localhost:4001/", Place::Outside),
                ("http://localhost:4000@evil.example/", Place::Outside),
                ("http://localhost.evil.example:4000/", Place::Outside),
                ("http://evil.example:4000/.toft/enter", Place::Outside),
                ("http://notlocalhost:4000/", Place::Outside),
                ("http://.localhost:4000/", Place::Outside),
                ("https://example.org/", Place::Outside),
                ("mailto:a@example.org", Place::Outside),
                ("toft://shell/notice", Place::Notice),
                ("toft://shell/retry", Place::Retry),
                ("toft://shell/notice?x", Place::Refused),
                ("toft://other/notice", Place::Refused),
                ("about:blank", Place::Inner),
                ("about:srcdoc", Place::Inner),
                ("about:config", Place::Refused),
                ("blob:http://localhost:4000/0f", Place::Inner),
                ("file:///etc/passwd", Place::Refused),
                ("javascript:alert(1)", Place::Refused),
                ("tauri://localhost/", Place::Refused),
                ("vscode://file/etc", Place::Refused),
            ],
        );
    }

    #[test]
    fn only_the_dashboard_and_our_own_page_fill_the_window() {
        check(
            may_fill_window,
            &[
                ("http://localhost:4000/settings", true),
                ("toft://shell/notice", true),
                ("about:blank", true),
                ("data:text/html,x", false),
                ("blob:http://localhost:4000/0f", false),
                ("http://k3v9q1mzt0ab.localhost:4000/", false),
                ("https://example.org/", false),
                ("file:///etc/passwd", false),
            ],
        );
    }

    #[test]
    fn a_frame_may_show_other_sites_and_nothing_of_this_computer() {
        check(
            step,
            &[
                ("https://example.org/", Step::Go),
                ("http://k3v9q1mzt0ab.localhost:4000/", Step::Go),
                ("http://k3v9q1mzt0ab.localhost:4000/.toft/enter?e=1", Step::Enter),
                ("file:///etc/passwd", Step::Stay),
                ("mailto:a@example.org", Step::Outside),
                ("toft://shell/retry", Step::Retry),
            ],
        );
    }

    #[test]
    fn new_windows_of_other_sites_and_previews_belong_to_the_browser() {
        check(
            new_window,
            &[
                ("https://example.org/", NewWindow::Outside),
                ("http://k3v9q1mzt0ab.localhost:4000/.toft/enter?e=1", NewWindow::Outside),
                ("http://localhost:4000/p/a", NewWindow::Shell),
                ("about:blank", NewWindow::Wait),
                ("data:text/html,x", NewWindow::No),
                ("file:///etc/passwd", NewWindow::No),
                ("toft://shell/retry", NewWindow::No),
            ],
        );
    }

    #[test]
    fn without_a_server_nothing_is_the_dashboard() {
        let url = Url::parse(HOME).unwrap();
        assert_eq!(place(&url, None), Place::Outside);
        assert!(!may_fill_window(&url, None));
    }

    #[test]
    fn a_server_elsewhere_has_no_previews_on_this_computer() {
        let home = Url::parse("https://toft.example.org/").unwrap();
        let own = Url::parse("http://k3v9q1mzt0ab.localhost:4000/.toft/enter").unwrap();
        assert_eq!(place(&own, Some(&home)), Place::Outside);
    }
}

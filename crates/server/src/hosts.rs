//! Which host a request is for: the control plane, a preview, or none of ours. Pure text; knows
//! neither which projects exist nor who may see them.

mod label;
mod name;
mod request;

pub(crate) use label::Label;
pub(crate) use name::split_port;
pub(crate) use request::{fetch_site, host_of, only_reads, origin_is};

use crate::error::ServerError;
use axum::http::{HeaderMap, header};
use name::PublicHost;
use std::net::{IpAddr, SocketAddr};

/// Whom a host belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Control,
    Preview(Label),
    Foreign,
}

/// All hosts of this server.
#[derive(Debug)]
pub(crate) struct Hosts {
    listen: SocketAddr,
    domain: Option<PublicHost>,
    preview: Option<PublicHost>,
}

/// The suffix that browsers resolve to this computer by themselves (RFC 6761).
const LOCALHOST: &str = "localhost";

impl Hosts {
    pub(crate) fn new(
        listen: SocketAddr,
        domain: Option<&str>,
        preview_domain: Option<&str>,
    ) -> Result<Self, ServerError> {
        let domain = domain.map(|d| PublicHost::parse("--domain", d)).transpose()?;
        let preview =
            preview_domain.map(|d| PublicHost::parse("--preview-domain", d)).transpose()?;
        if let (Some(domain), Some(preview)) = (&domain, &preview) {
            let below = |a: &str, b: &str| a == b || a.ends_with(&format!(".{b}"));
            if below(&domain.host, &preview.host) || below(&preview.host, &domain.host) {
                return Err(ServerError::Host {
                    what: "--preview-domain",
                    value: preview.host.clone(),
                    why: "it must be another site than --domain, neither above nor below it: \
                          apps that agents write must not share one with the control plane",
                });
            }
        }
        Ok(Self { listen, domain, preview })
    }

    /// Whom a `Host` header names.
    pub(crate) fn place(&self, host_header: &str) -> Place {
        let lower = host_header.to_ascii_lowercase();
        let Some((host, _)) = split_port(&lower) else { return Place::Foreign };
        let suffixes = [Some(LOCALHOST), self.preview.as_ref().map(|p| p.host.as_str())];
        for suffix in suffixes.into_iter().flatten() {
            let label = host.strip_suffix(suffix).and_then(|rest| rest.strip_suffix('.'));
            if let Some(label) = label.and_then(Label::parse) {
                return Place::Preview(label);
            }
        }
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let ours = match bare.parse::<IpAddr>() {
            // Rebinding needs a name: an address in the bar is what the person typed.
            Ok(ip) => {
                ip.is_loopback() || ip == self.listen.ip() || self.listen.ip().is_unspecified()
            }
            Err(_) => host == LOCALHOST || self.domain.as_ref().is_some_and(|d| d.host == host),
        };
        if ours { Place::Control } else { Place::Foreign }
    }

    /// Where people open the control plane.
    pub(crate) fn control_url(&self) -> String {
        if let Some(domain) = &self.domain {
            return domain.url(None);
        }
        let ip = self.listen.ip();
        let local = ip.is_unspecified()
            || ip == IpAddr::from([127, 0, 0, 1])
            || ip == IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);
        if local {
            format!("http://{LOCALHOST}{}", self.port_text())
        } else {
            format!("http://{}", self.listen)
        }
    }

    /// The same for who has come by this host, which is one of the control plane's.
    pub(crate) fn control_origin(&self, host_header: &str) -> String {
        let lower = host_header.to_ascii_lowercase();
        let named = split_port(&lower).map(|(name, _)| name);
        match &self.domain {
            Some(domain) if named.as_deref() == Some(&*domain.host) => domain.url(None),
            Some(_) | None => format!("http://{lower}"),
        }
    }

    /// Whether cookies of the control plane may only travel over TLS.
    pub(crate) fn control_is_tls(&self) -> bool {
        self.domain.as_ref().is_some_and(|d| d.scheme == "https")
    }

    /// Origin of a preview; `label` may be a pattern.
    pub(crate) fn preview_origin(&self, label: &str) -> String {
        match &self.preview {
            Some(preview) => preview.url(Some(label)),
            None => format!("http://{label}.{LOCALHOST}{}", self.port_text()),
        }
    }

    /// The address in a `Host` header, without its port, if previews have to be reached by ports of
    /// that address. Names below `localhost` lead a browser to its own computer, so they do for
    /// whoever came by `localhost`, `127.0.0.1` or `[::1]`: that browser runs here, or its tunnel
    /// carries this one port and no other.
    pub(crate) fn bare_address(&self, host_header: &str) -> Option<String> {
        if self.preview.is_some() || self.place(host_header) != Place::Control {
            return None;
        }
        let (host, _) = split_port(host_header)?;
        let ip: IpAddr = host.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
        (!ip.is_unspecified() && !is_localhost(ip)).then_some(host)
    }

    /// Whether anybody can come by such an address.
    pub(crate) fn may_be_bare(&self) -> bool {
        self.preview.is_none() && !is_localhost(self.listen.ip())
    }

    /// Where the control plane listens.
    pub(crate) fn listen_ip(&self) -> IpAddr {
        self.listen.ip()
    }

    /// The control plane by a bare address.
    pub(crate) fn control_at(&self, address: &str) -> String {
        format!("http://{address}{}", self.port_text())
    }

    /// Sources for `frame-src`: every preview origin of a dashboard that was reached by `host`.
    pub(crate) fn frame_sources(&self, host: &str) -> String {
        let local = format!("http://*.{LOCALHOST}{}", self.port_text());
        match (&self.preview, self.bare_address(host)) {
            (Some(preview), _) => format!("{local} {}", preview.url(Some("*"))),
            (None, Some(address)) => format!("{local} {}", source_at(&address, "*")),
            (None, None) => local,
        }
    }

    /// Sources for `frame-ancestors` of a preview that was reached by a bare address.
    pub(crate) fn control_source_at(&self, address: &str) -> String {
        source_at(address, &self.listen.port().to_string())
    }

    /// Whether `Origin` is this very host of the control plane, by the scheme that it has.
    pub(crate) fn is_own_origin(&self, headers: &HeaderMap, host: &str) -> bool {
        let must_be_tls = self.control_is_tls()
            && split_port(&host.to_ascii_lowercase())
                .is_some_and(|(name, _)| self.domain.as_ref().is_some_and(|d| d.host == name));
        let is_tls = || {
            let origin = headers.get(header::ORIGIN).and_then(|v| v.to_str().ok());
            origin.is_some_and(|o| o.starts_with("https://"))
        };
        origin_is(headers, host) && (!must_be_tls || is_tls())
    }

    /// Sources for `frame-ancestors` of a preview: the control plane's own origins, not those of
    /// other programs on this computer.
    pub(crate) fn control_sources(&self) -> String {
        let port = self.port_text();
        let local = format!("http://{LOCALHOST}{port} http://127.0.0.1{port}");
        match &self.domain {
            Some(domain) => format!("{local} {}", domain.url(None)),
            None => local,
        }
    }

    fn port_text(&self) -> String {
        match self.listen.port() {
            80 => String::new(),
            port => format!(":{port}"),
        }
    }
}

/// The addresses that browsers take `localhost` for.
fn is_localhost(ip: IpAddr) -> bool {
    ip == IpAddr::from([127, 0, 0, 1]) || ip == IpAddr::V6(std::net::Ipv6Addr::LOCALHOST)
}

/// A source of a content security policy. Its grammar has no IPv6 addresses: there it is the scheme.
fn source_at(address: &str, port: &str) -> String {
    if address.starts_with('[') { "http:".to_owned() } else { format!("http://{address}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(listen: &str) -> Hosts {
        Hosts::new(listen.parse().unwrap(), Some("toft.example.org"), Some("http://apps.test:81"))
            .unwrap()
    }

    fn check(hosts: &Hosts, host: &str, want: &str) {
        let got = match hosts.place(host) {
            Place::Control => "control".to_owned(),
            Place::Preview(label) => format!("preview {label}"),
            Place::Foreign => "foreign".to_owned(),
        };
        assert_eq!(got, want, "{host}");
    }

    #[test]
    fn only_our_own_hosts_are_served() {
        let local = hosts("127.0.0.1:4000");
        for (host, want) in [
            ("localhost:4000", "control"),
            ("LOCALHOST", "control"),
            ("127.0.0.1:4000", "control"),
            ("[::1]:4000", "control"),
            ("toft.example.org", "control"),
            ("a23456789bcd.localhost:4000", "preview a23456789bcd"),
            ("A23456789BCD.LocalHost:4000", "preview a23456789bcd"),
            ("3000-a23456789bcd.localhost", "preview 3000-a23456789bcd"),
            ("3000-a23456789bcd.apps.test:81", "preview 3000-a23456789bcd"),
            ("03000-a23456789bcd.localhost", "foreign"),
            ("0-a23456789bcd.localhost", "foreign"),
            ("70000-a23456789bcd.localhost", "foreign"),
            ("x.a23456789bcd.localhost", "foreign"),
            ("evil.localhost", "foreign"),
            ("evillocalhost", "foreign"),
            ("a23456789bcd.localhost.evil.test", "foreign"),
            ("evil.test", "foreign"),
            ("192.168.1.7:4000", "foreign"),
            ("localhost.", "foreign"),
            ("localhost:4000:5", "foreign"),
            ("localhost:x", "foreign"),
            ("user@localhost", "foreign"),
            ("", "foreign"),
            (":80", "foreign"),
        ] {
            check(&local, host, want);
        }
        check(&hosts("0.0.0.0:4000"), "192.168.1.7:4000", "control");
        check(&hosts("0.0.0.0:4000"), "evil.test:4000", "foreign");
    }

    #[test]
    fn previews_and_control_plane_never_share_a_site() {
        let new = |domain, preview| {
            Hosts::new("127.0.0.1:1".parse().unwrap(), Some(domain), Some(preview)).is_ok()
        };
        assert!(new("toft.example.org", "toft-apps.example.net"));
        assert!(!new("example.org", "example.org"));
        assert!(!new("example.org", "apps.example.org"));
        assert!(!new("toft.example.org", "example.org"));
        assert!(!new("https://toft.example.org", "ftp://x.test"));
        assert!(!new("toft..org", "x.test"));
    }

    #[test]
    fn urls_carry_the_right_port_and_scheme() {
        let local = Hosts::new("127.0.0.1:4000".parse().unwrap(), None, None).unwrap();
        assert_eq!(local.control_url(), "http://localhost:4000");
        assert_eq!(local.preview_origin("{label}"), "http://{label}.localhost:4000");
        assert_eq!(local.frame_sources("localhost:4000"), "http://*.localhost:4000");
        assert_eq!(local.control_sources(), "http://localhost:4000 http://127.0.0.1:4000");
        let both = hosts("127.0.0.1:4000");
        assert_eq!(both.control_url(), "https://toft.example.org");
        assert_eq!(both.preview_origin("x"), "http://x.apps.test:81");
        assert!(both.control_is_tls() && !local.control_is_tls());
        assert_eq!(both.control_origin("Toft.example.org"), "https://toft.example.org");
        assert_eq!(both.control_origin("127.0.0.1:4000"), "http://127.0.0.1:4000");
    }

    #[test]
    fn a_bare_address_is_one_that_leads_other_computers_here() {
        let open = Hosts::new("0.0.0.0:4000".parse().unwrap(), None, None).unwrap();
        for (host, want) in [
            ("192.168.1.7:4000", Some("192.168.1.7")),
            ("192.168.1.7", Some("192.168.1.7")),
            ("[fd00::1]:4000", Some("[fd00::1]")),
            ("127.0.0.2:4000", Some("127.0.0.2")),
            ("127.0.0.1:4000", None),
            ("[::1]:4000", None),
            ("0.0.0.0:4000", None),
            ("localhost:4000", None),
            ("a23456789bcd.localhost:4000", None),
            ("evil.test:4000", None),
            ("0300.0250.1.7:4000", None),
        ] {
            assert_eq!(open.bare_address(host).as_deref(), want, "{host}");
        }
        assert!(open.may_be_bare());
        let one = Hosts::new("192.168.1.7:4000".parse().unwrap(), None, None).unwrap();
        assert_eq!(one.bare_address("192.168.1.8:4000"), None, "not ours");
        let local = Hosts::new("127.0.0.1:4000".parse().unwrap(), None, None).unwrap();
        assert!(!local.may_be_bare());
        let named = hosts("0.0.0.0:4000");
        assert_eq!(named.bare_address("192.168.1.7:4000"), None, "previews have a domain");
        assert!(!named.may_be_bare());
        assert!(open.frame_sources("192.168.1.7:4000").ends_with(" http://192.168.1.7:*"));
        assert_eq!(open.control_source_at("192.168.1.7"), "http://192.168.1.7:4000");
        assert_eq!(open.control_source_at("[fd00::1]"), "http:");
    }

    #[test]
    fn an_origin_is_ours_with_its_port_and_its_scheme() {
        let both = hosts("0.0.0.0:4000");
        for (origin, host, want) in [
            ("https://toft.example.org", "toft.example.org", true),
            ("http://toft.example.org", "toft.example.org", false),
            ("http://192.168.1.7:4000", "192.168.1.7:4000", true),
            ("http://192.168.1.7:4101", "192.168.1.7:4000", false),
            ("http://192.168.1.7", "192.168.1.7:4000", false),
            ("null", "192.168.1.7:4000", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ORIGIN, origin.parse().unwrap());
            assert_eq!(both.is_own_origin(&headers, host), want, "{origin} {host}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_host_is_classified_without_a_panic(host in ".{0,80}") {
            hosts("127.0.0.1:4000").place(&host);
        }
    }
}

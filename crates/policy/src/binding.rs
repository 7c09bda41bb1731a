//! Which requests a brokered secret may go into. What was understood once is judged; a path that some
//! server could read in another way fits no binding but one for every path.

use crate::{
    egress::{InvalidRule, Rule},
    host::HostPort,
};
use toft_model::binding::{BINDING_ENTRIES_MAX, Binding};

/// Where https is.
const HTTPS_PORT: u16 = 443;
/// Where keys usually are.
const USUAL_HEADER: &str = "authorization";
/// Headers that mean a connection, or whose value others make or cut.
const HEADERS_REFUSED: &[&str] = &[
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "range",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A binding that cannot be understood. It says where and why, and never what was written there: people
/// put the key itself into the wrong field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBinding {
    /// It would never apply, or to whatever comes.
    #[error(
        "a binding has 1 to {BINDING_ENTRIES_MAX} hosts, and as many methods, paths and headers at most"
    )]
    Count,
    /// One entry of a list.
    #[error("binding.{list}[{at}] {wrong}")]
    Entry {
        /// The list.
        list: &'static str,
        /// Which of its entries, from 0.
        at: usize,
        /// What is wrong with it.
        wrong: WrongEntry,
    },
}

/// Which rule an entry breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WrongEntry {
    /// No host.
    #[error(
        "is no host: write api.example.com, or *.example.com for all names below it, with :port where \
         it is not 443"
    )]
    Host,
    /// A host that no level opens.
    #[error("is no public host: no request would ever reach it")]
    Local,
    /// An address.
    #[error("is an address: a secret is bound to a name, which the host's certificate has too")]
    Address,
    /// Everything below a name that many share.
    #[error("means the hosts of many people: name the domain itself, as in *.example.com")]
    Wide,
    /// A method.
    #[error("is no method: write GET, POST, …")]
    Method,
    /// A path.
    #[error(
        "is no path: write /v1/charges, or /v1/* for all that begin so; ASCII, without //, \\, ; and \
         parts of dots, also when they are escaped"
    )]
    Path,
    /// A header.
    #[error("is no header that a key may stand in: write authorization, x-api-key, …")]
    Header,
}

/// A binding, understood once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    hosts: Vec<Rule>,
    methods: Vec<String>,
    paths: Vec<Path>,
    headers: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Path {
    Exactly(String),
    Beginning(String),
}

impl Bound {
    /// Understands a binding, or says what is wrong with it.
    pub fn new(binding: &Binding) -> Result<Self, InvalidBinding> {
        let Binding { hosts, methods, paths, headers } = binding;
        let most = [hosts, methods, paths, headers].map(Vec::len).into_iter().max();
        if hosts.is_empty() || most > Some(BINDING_ENTRIES_MAX) {
            return Err(InvalidBinding::Count);
        }
        let headers = if headers.is_empty() { &vec![USUAL_HEADER.to_owned()] } else { headers };
        Ok(Self {
            hosts: all("hosts", hosts, host)?,
            methods: all("methods", methods, method)?,
            paths: all("paths", paths, path)?,
            headers: all("headers", headers, header)?,
        })
    }

    /// The same binding in the one way that it is written.
    pub fn plain(&self) -> Binding {
        let path = |path: &Path| match path {
            Path::Exactly(path) => path.clone(),
            Path::Beginning(path) => format!("{path}*"),
        };
        Binding {
            hosts: self.hosts.iter().map(Rule::plain).collect(),
            methods: self.methods.clone(),
            paths: self.paths.iter().map(path).collect(),
            headers: self.headers.clone(),
        }
    }

    /// Whether requests to this host may hold it.
    pub fn is_for(&self, target: &HostPort) -> bool {
        let HostPort { host, port } = target;
        self.hosts.iter().any(|rule| {
            let port_fits = rule.port().is_some() || *port == HTTPS_PORT;
            port_fits && rule.matches(host, *port)
        })
    }

    /// Whether a request with this method and path (as they are sent) may.
    pub fn takes(&self, method: &str, path: &str) -> bool {
        let method_fits = self.methods.is_empty() || self.methods.iter().any(|m| m == method);
        let path_fits = self.paths.is_empty()
            || self.paths.iter().any(|known| match known {
                // It was understood when it was written.
                Path::Exactly(known) => known == path,
                Path::Beginning(known) => {
                    path.starts_with(known.as_str()) && (known == "/" || is_plain(path))
                }
            });
        method_fits && path_fits
    }

    /// Whether this header (in lower case) may.
    pub fn header(&self, name: &str) -> bool {
        self.headers.iter().any(|known| known == name)
    }

    /// The headers that may.
    pub fn headers(&self) -> &[String] {
        &self.headers
    }
}

fn all<T: PartialEq>(
    list: &'static str,
    texts: &[String],
    understand: impl Fn(&str) -> Result<T, WrongEntry>,
) -> Result<Vec<T>, InvalidBinding> {
    let mut found = Vec::with_capacity(texts.len());
    for (at, text) in texts.iter().enumerate() {
        let one =
            understand(text.trim()).map_err(|wrong| InvalidBinding::Entry { list, at, wrong })?;
        if !found.contains(&one) {
            found.push(one);
        }
    }
    Ok(found)
}

fn host(text: &str) -> Result<Rule, WrongEntry> {
    let wrong = |error| match error {
        InvalidRule::Never { .. } => WrongEntry::Local,
        InvalidRule::Host { .. } | InvalidRule::TooMany(_) => WrongEntry::Host,
    };
    // Once more, so that what means the same is the same.
    let rule = Rule::parse(text).and_then(|rule| Rule::parse(&rule.plain())).map_err(wrong)?;
    if rule.is_address() {
        return Err(WrongEntry::Address);
    }
    if rule.below().is_some_and(|domain| !domain.contains('.')) {
        return Err(WrongEntry::Wide);
    }
    Ok(rule)
}

fn method(text: &str) -> Result<String, WrongEntry> {
    let upper = text.to_ascii_uppercase();
    let known = !upper.is_empty()
        && upper.len() <= 20
        && upper.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
    if known && upper != "CONNECT" { Ok(upper) } else { Err(WrongEntry::Method) }
}

fn path(text: &str) -> Result<Path, WrongEntry> {
    let (path, is_beginning) = match text.strip_suffix('*') {
        Some(path) => (path, true),
        None => (text, false),
    };
    let visible = path.bytes().all(|b| b.is_ascii_graphic() && !b"*?#\"<>^`{|}".contains(&b));
    if path.len() > 1024 || !visible || !is_plain(path) {
        return Err(WrongEntry::Path);
    }
    let path = path.to_owned();
    Ok(if is_beginning { Path::Beginning(path) } else { Path::Exactly(path) })
}

fn header(text: &str) -> Result<String, WrongEntry> {
    let lower = text.to_ascii_lowercase();
    let token = !lower.is_empty()
        && lower.len() <= 100
        && lower
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b));
    if token && !HEADERS_REFUSED.contains(&lower.as_str()) {
        Ok(lower)
    } else {
        Err(WrongEntry::Header)
    }
}

/// Whether every server reads a path in the same way, whether or not it decodes it, and how often: it
/// is made of names with slashes between them, and of an empty one at its end at most.
fn is_plain(path: &str) -> bool {
    let Some(path) = path.strip_prefix('/') else { return false };
    let (before, last) = match path.rsplit_once('/') {
        Some((before, last)) => (Some(before), last),
        None => (None, path),
    };
    let is_name = |segment: &str| decoded(segment).is_some_and(|bytes| is_name(&bytes));
    (last.is_empty() || is_name(last)) && before.is_none_or(|before| before.split('/').all(is_name))
}

/// A segment without its escapes. None when one of them is none.
fn decoded(segment: &str) -> Option<Vec<u8>> {
    let mut rest = segment.as_bytes();
    let mut out = Vec::with_capacity(rest.len());
    while let [first, after @ ..] = rest {
        let (byte, after) = match (first, after) {
            (b'%', [high, low, after @ ..]) => {
                let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
                (digit(*high)? << 4 | digit(*low)?, after)
            }
            (b'%', _) => return None,
            (byte, after) => (*byte, after),
        };
        out.push(byte);
        rest = after;
    }
    Some(out)
}

/// Whether a segment is a name, not something that is taken away, divided or read once more: visible
/// ASCII and spaces without what delimits. Other letters have too many ways to be read (overlong, cut to
/// a byte, made alike). Dots, spaces and what means one stand before a name only.
fn is_name(segment: &[u8]) -> bool {
    let known = |b: &u8| (0x20..=0x7e).contains(b) && !b"/\\%?#;".contains(b);
    let is_blank = |b: &&u8| b". +".contains(b);
    let blank = segment.iter().take_while(is_blank).count();
    let named = match segment.get(blank) {
        None => false,
        Some(first) => blank == 0 || first.is_ascii_alphanumeric() || b"-_".contains(first),
    };
    named && segment.iter().all(known)
}

#[cfg(test)]
mod tests;

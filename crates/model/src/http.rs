//! Headers that end at a proxy, and those between a server and its bridges. Names only: whoever passes
//! requests on has headers of its own kind.

/// Names the message that a prompt will be; said by the server to a bridge. What was said under a known
/// name is not said again.
pub const PROMPT_ID: &str = "x-toft-prompt-id";

/// Until when a bridge may take a request up, in milliseconds of the kernel's clock that nobody sets; said
/// by the server.
pub const TAKE_BEFORE: &str = "x-toft-take-before";

/// Headers that speak of one connection and are never passed on (RFC 9110 §7.6.1), in lower case.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The length of a body. No sender may have it taken off by naming it, and none may keep it beside
/// `transfer-encoding`.
const LENGTH: &str = "content-length";

/// Names of the headers of a message that a proxy takes off before it passes the message on: those
/// above and what its `Connection` headers name. `transfer_encoding`: whether it has that header;
/// a length beside it is a trick (RFC 9112 §6.3) and would be believed once it is alone.
pub fn hop_by_hop<'a>(
    connection: impl Iterator<Item = &'a str>,
    transfer_encoding: bool,
) -> Vec<String> {
    let named = connection.flat_map(connection_tokens).map(str::to_ascii_lowercase);
    let length = transfer_encoding.then(|| LENGTH.to_owned());
    HOP_BY_HOP
        .into_iter()
        .map(str::to_owned)
        .chain(named.filter(|name| name != LENGTH))
        .chain(length)
        .collect()
}

/// What one `Connection` header names.
pub fn connection_tokens(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_message_names_goes_too_but_never_its_length() {
        let more = |connection: &[&'static str], te| {
            hop_by_hop(connection.iter().copied(), te).split_off(HOP_BY_HOP.len())
        };
        assert_eq!(more(&["close,, X-Mine ", "upgrade"], false), ["close", "x-mine", "upgrade"]);
        assert_eq!(more(&["Content-Length"], false), [""; 0]);
        assert_eq!(more(&[""], true), [LENGTH]);
    }
}

//! Tells the gateway what a call is booked on: headers on each of its requests, the same for every
//! wire format. They go no further than the gateway.

use crate::ask::Booking;
use http::{HeaderMap, HeaderValue};

/// Holds the conversation's id.
pub const SESSION_HEADER: &str = "x-toft-session";

/// Holds the run's id.
pub const RUN_HEADER: &str = "x-toft-run";

/// Headers for what a call is booked on.
pub(crate) fn headers(booking: &Booking) -> HeaderMap {
    let session = booking.session.as_ref().map(|id| (SESSION_HEADER, id.as_str()));
    let run = booking.run.as_ref().map(|id| (RUN_HEADER, id.as_str()));
    let mut headers = HeaderMap::new();
    for (name, id) in session.into_iter().chain(run) {
        let value = HeaderValue::from_str(id).expect("ids are letters, digits, `-` and `_`");
        headers.insert(name, value);
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ask::Model as _,
        route::Models,
        testing::{MemoryTransport, PreparedAnswer, request, user},
    };
    use futures_util::StreamExt as _;
    use tokio_util::sync::CancellationToken;

    async fn sent(provider: &str, model: &str, booking: Booking) -> [Option<String>; 2] {
        let transport = MemoryTransport::new([PreparedAnswer::stream("")]);
        let mut asked = request(provider, model, vec![user("hi")]);
        asked.booking = booking;
        let mut events = Models::new(transport.clone()).ask(asked, CancellationToken::new());
        while events.next().await.is_some() {}
        let headers = transport.sent()[0].headers.clone();
        [SESSION_HEADER, RUN_HEADER].map(|name| Some(headers.get(name)?.to_str().ok()?.to_owned()))
    }

    #[tokio::test]
    async fn every_format_says_what_its_call_is_booked_on() {
        let booking = Booking { session: "s-1".parse().ok(), run: "a1b2c3d4".parse().ok() };
        for (provider, model) in [("anthropic", "claude-haiku-4-5"), ("openai", "gpt-5")] {
            let got = sent(provider, model, booking.clone()).await;
            assert_eq!(got, [Some("s-1".into()), Some("a1b2c3d4".into())], "{provider}");
        }
        assert_eq!(sent("openai", "gpt-5", Booking::default()).await, [None, None]);
    }
}

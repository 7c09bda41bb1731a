//! Requests that nobody waits for any more. Init holds the bridge's socket, so what was sent while a
//! bridge hung or died is read by the next one, or by the same one later; the server says until when it
//! may be taken up. One that comes later is refused and nothing of it is done.

use crate::{answer::Failure, clock::monotonic_ms};
use axum::{
    extract::Request,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{HeaderMap, StatusCode};
use toft_model::http::TAKE_BEFORE;

/// Lets through what is still waited for.
pub(crate) async fn only_in_time(request: Request, next: Next) -> Response {
    match check(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(failure) => failure.of("unknown").into_response(),
    }
}

/// To be asked again right before the effect where that comes long after the request's beginning.
pub(crate) fn check(headers: &HeaderMap) -> Result<(), Failure> {
    judge(headers, monotonic_ms())
}

fn judge(headers: &HeaderMap, now_ms: u64) -> Result<(), Failure> {
    let until = headers.get(TAKE_BEFORE).and_then(|value| value.to_str().ok());
    match until.and_then(|text| text.parse::<u64>().ok()) {
        Some(until) if until < now_ms => Err(Failure::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too_late",
            "the machine's bridge could not take this up in time, and nothing of it was done: send it \
             again",
        )),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_waited_for_is_served_and_what_is_not_is_refused() {
        let check = |until: Option<&str>, now, want| {
            let mut headers = HeaderMap::new();
            if let Some(until) = until {
                headers.insert(TAKE_BEFORE, until.parse().unwrap());
            }
            assert_eq!(judge(&headers, now).is_ok(), want, "{until:?} at {now}");
        };
        check(Some("1000"), 999, true);
        check(Some("1000"), 1000, true);
        check(Some("1000"), 1001, false);
        // From inside the machine nobody says so.
        check(None, u64::MAX, true);
        check(Some("soon"), 5, true);
        assert!(monotonic_ms() > 0);
    }
}

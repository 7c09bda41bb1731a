//! Names under which init knows what calls run.

use crate::session::{Body, Session};
use toft_model::{hash::fnv1a, message::Message, tool::TASK};

/// `{session}.{entry}.{place}`: the same for the same call after a crash, unlike the provider's id
/// always short and of harmless characters.
pub(super) fn run_id(session: &str, entry: &str, place: usize) -> String {
    // Imported files may have any ids.
    let fits = entry.len() <= 32 && entry.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if fits {
        return format!("{session}.{entry}.{place}");
    }
    format!("{session}.{:016x}.{place}", fnv1a(entry.as_bytes()))
}

/// The same for a run of the project's check.
pub(super) fn check_run_id(session: &str, entry: &str) -> String {
    run_id(session, entry, 0)
}

/// Of each call of the current prompt its run id, and whether it has a task done in a conversation of its
/// own.
pub(super) fn of_prompt(session: &Session) -> Vec<(String, bool)> {
    let mut ids = Vec::new();
    for entry in session.prompt_entries() {
        let Body::Message(Message::Assistant(answer)) = &entry.body else { continue };
        for (place, call) in answer.tool_calls().enumerate() {
            ids.push((run_id(session.id().as_str(), &entry.id, place), call.name == TASK));
        }
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_id_is_always_fit_for_init() {
        let check = |session: &str, entry: &str| {
            let id = run_id(session, entry, 127);
            let fits = |b: u8| b.is_ascii_alphanumeric() || b"_.:-".contains(&b);
            assert!(id.len() <= 128 && id.bytes().all(fits), "{id}");
        };
        check("0190a4c0-0000-7000-8000-000000000000", "a1b2c3d4");
        check(&"s".repeat(80), "../../etc/passwd and a very long id that somebody made up");
    }
}

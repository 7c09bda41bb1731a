//! What the agent's last words claim of tests, lints and builds, and what the receipts of the prompt's programs
//! say of it. The words are read in [`words`]; nothing is believed that init has not seen.

mod words;

use super::ids::{check_run_id, of_prompt};
use crate::{
    conversation::Conversation,
    session::{Body, Session},
};
use std::collections::HashSet;
use toft_model::{
    id::SessionId,
    message::{Block, Message},
    receipt::{CheckKind, Claim, Proof, Receipt},
};

/// Claims of one prompt.
const CLAIMS_MAX: usize = 20;

/// The claims of the current prompt's last words.
pub(super) async fn of(conversation: &Conversation) -> Vec<Claim> {
    let (mut claims, runs) = {
        let session = conversation.session();
        let claims = claimed(&session);
        if claims.is_empty() {
            return claims;
        }
        (claims, Runs::of(&session))
    };
    let mut receipts = Vec::new();
    for session in &runs.sessions {
        match conversation.around.shell.receipts(session).await {
            Ok(of_session) => receipts.extend(of_session),
            Err(error) => tracing::warn!(%error, "receipts are not known: claims stay without"),
        }
    }
    receipts.retain(|receipt| runs.has(receipt));
    receipts.sort_unstable_by_key(|receipt| receipt.number);
    for claim in &mut claims {
        (claim.receipt, claim.proof) = proof(claim.kind, &receipts);
    }
    claims
}

/// What the newest receipt that bears on it says.
fn proof(kind: CheckKind, receipts: &[Receipt]) -> (Option<u64>, Proof) {
    let newest = receipts.iter().rev().find_map(|receipt| {
        let mut checks = receipt.checks.iter().filter(|check| check.kind.bears_on(kind)).peekable();
        checks.peek()?;
        Some((receipt, checks.any(|check| check.decides)))
    });
    let Some((receipt, decides)) = newest else { return (None, Proof::None) };
    let proof = match receipt.exit_code {
        Some(0) if decides => Proof::Passed,
        Some(0) => Proof::Undecided,
        Some(_) | None => Proof::Failed,
    };
    (Some(receipt.number), proof)
}

/// What the last answer of the prompt claims.
fn claimed(session: &Session) -> Vec<Claim> {
    let entries = session.prompt_entries();
    let last = entries.iter().rev().find_map(|entry| match &entry.body {
        Body::Message(Message::Assistant(message)) => Some((&entry.id, message)),
        _ => None,
    });
    let Some((message_id, message)) = last else { return Vec::new() };
    let mut claims = Vec::new();
    for (content_index, block) in message.content.iter().enumerate() {
        let Block::Text { text, .. } = block else { continue };
        for said in words::claims(text) {
            let units = |to: usize| text[..to].encode_utf16().count();
            claims.push(Claim {
                kind: said.kind,
                text: text[said.place.clone()].to_owned(),
                message_id: message_id.clone(),
                content_index,
                start: units(said.place.start),
                end: units(said.place.end),
                receipt: None,
                proof: Proof::None,
            });
        }
    }
    claims.truncate(CLAIMS_MAX);
    claims
}

/// Programs of the current prompt, and of the tasks that it gave away.
struct Runs {
    /// Conversations, its own first.
    sessions: Vec<SessionId>,
    own: SessionId,
    /// Ids of its own programs.
    ids: HashSet<String>,
}

impl Runs {
    fn of(session: &Session) -> Self {
        let own = session.id().clone();
        let mut sessions = vec![own.clone()];
        let mut ids = HashSet::new();
        for (id, is_task) in of_prompt(session) {
            if is_task {
                sessions.push(SessionId::of(&id));
            }
            ids.insert(id);
        }
        let checks = session.prompt_entries().into_iter().filter(|entry| entry.check().is_some());
        ids.extend(checks.map(|entry| check_run_id(own.as_str(), &entry.id)));
        Self { sessions, own, ids }
    }

    fn has(&self, receipt: &Receipt) -> bool {
        receipt.session_id != self.own || self.ids.contains(&receipt.run_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use toft_model::receipt::{Check, Stamp};

    fn receipt(number: u64, exit_code: Option<i32>, checks: &[(CheckKind, bool)]) -> Receipt {
        let check = |(kind, decides): &(CheckKind, bool)| Check {
            kind: *kind,
            command: "x".into(),
            decides: *decides,
        };
        Receipt {
            number,
            run_id: "r".into(),
            session_id: SessionId::of("s"),
            tool_call_id: "c".into(),
            argv: Vec::new(),
            argv_cut: false,
            cwd: "/".into(),
            started_at: 1,
            ended_at: 2,
            exit_code,
            signal: None,
            output_bytes: 0,
            output_truncated: false,
            read_only: false,
            checks: checks.iter().map(check).collect(),
            stamp: Stamp::None,
            tree: None,
        }
    }

    #[test]
    fn the_newest_receipt_that_bears_on_a_claim_says_what_is_known_of_it() {
        let receipts = [
            receipt(1, Some(0), &[(CheckKind::Test, true)]),
            receipt(2, Some(0), &[]),
            receipt(3, None, &[(CheckKind::Test, true)]),
            receipt(4, Some(0), &[(CheckKind::Lint, false), (CheckKind::Build, true)]),
        ];
        let known = |kind, upto: usize| proof(kind, &receipts[..upto]);
        assert_eq!(known(CheckKind::Test, 2), (Some(1), Proof::Passed));
        assert_eq!(known(CheckKind::Test, 4), (Some(3), Proof::Failed), "a signal is no success");
        assert_eq!(known(CheckKind::Lint, 4), (Some(4), Proof::Undecided));
        assert_eq!(known(CheckKind::Build, 4), (Some(4), Proof::Passed));
        assert_eq!(known(CheckKind::Lint, 3), (None, Proof::None));
        assert_eq!(known(CheckKind::Check, 1), (Some(1), Proof::Passed));
    }
}

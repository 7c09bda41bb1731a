//! Saying a message: it is sent until it is known what became of it, and said once however often it is sent.

use super::Chat;
use crate::{
    output,
    refused::{OUTCOME_UNKNOWN, Refused, UNREACHABLE},
};
use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use std::time::Duration;
use toft_model::id::random_hex;
use tokio::time::sleep;

/// Bytes of a message's name: none comes twice.
const KEY_BYTES: usize = 16;
/// Without a person a message of which nothing was heard is sent so often; the server tries for a
/// minute each time.
const TRIES_MAX: u32 = 3;
const TRY_PAUSE: Duration = Duration::from_secs(1);

/// A message that was taken.
pub(super) struct Said {
    pub(super) data: Value,
    /// Before this began to listen.
    pub(super) is_old: bool,
}

impl Chat {
    /// Sends a message until it is known what became of it; `None` when the person leaves instead.
    pub(super) async fn say(&mut self, message: &str) -> Result<Option<Said>> {
        let mut body = json!({"message": message});
        if let Some(session) = &self.session {
            body["sessionId"] = session.as_str().into();
        }
        let path = format!("{}/prompt", self.base);
        let key = self.key.take().unwrap_or_else(|| random_hex(KEY_BYTES));
        let mut tries = 0;
        loop {
            let error = tokio::select! {
                said = self.client.say(&path, &body, &key) => match said {
                    Ok(data) => {
                        let is_old = tries == 0 && data["repeated"] == true;
                        return Ok(Some(Said { data, is_old }));
                    }
                    Err(error) => error,
                },
                _ = self.interrupt.recv() => {
                    output::remark("the message may have arrived: the conversation shows it then");
                    return Ok(None);
                }
            };
            // One that was asked after and finds no server knows no more than before.
            let may_have = is_unknown(&error) || (tries > 0 && code(&error) == Some(UNREACHABLE));
            if !may_have {
                return Err(error);
            }
            tries += 1;
            if self.invites {
                if !self.wants_again(&error).await? {
                    return Ok(None);
                }
            } else if tries < TRIES_MAX {
                sleep(TRY_PAUSE).await;
            } else {
                bail!(Refused {
                    code: OUTCOME_UNKNOWN.to_owned(),
                    message: format!(
                        "whether the message arrived is not known: {error:#}. Sent again with `--key {key}` \
                         it is not said twice"
                    ),
                });
            }
        }
    }

    /// Whether the agent has nothing more to do for what was said in a conversation.
    pub(super) async fn is_over(&self, session: &Value) -> Result<bool> {
        let path = format!("{}/state?sessionId={}", self.base, output::text(session));
        let state = self.client.get(&path).await?;
        if !state["question"].is_null() {
            bail!(self.waiting());
        }
        Ok(state["status"] != "working")
    }

    /// Asks the person whether to send a message again of which nothing was heard.
    pub(super) async fn wants_again(&mut self, error: &anyhow::Error) -> Result<bool> {
        output::remark(&format!("whether your message arrived is not known: {error:#}"));
        loop {
            output::remark(
                "Enter sends it again (one that did arrive is not said twice), Ctrl-C leaves",
            );
            let Some(lines) = &mut self.lines else { return Ok(false) };
            let line = tokio::select! {
                line = lines.next_line() => line.context("reading standard input")?,
                _ = self.interrupt.recv() => return Ok(false),
            };
            match line {
                None => return Ok(false),
                Some(line) if line.trim().is_empty() => return Ok(true),
                // No answer to this, and not to be lost for one.
                Some(_) => output::remark("that was not sent: first say what becomes of the other"),
            }
        }
    }
}

/// Whether a message that failed so may have been taken all the same: the connection broke, or the
/// server does not know.
fn is_unknown(error: &anyhow::Error) -> bool {
    code(error).is_none_or(|code| code == OUTCOME_UNKNOWN)
}

fn code(error: &anyhow::Error) -> Option<&str> {
    error.downcast_ref::<Refused>().map(|refused| refused.code.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_have_been_taken_is_sent_again() {
        let refused =
            |code: &str| anyhow::Error::new(Refused { code: code.into(), message: "no".into() });
        assert!(is_unknown(&refused(OUTCOME_UNKNOWN)));
        assert!(is_unknown(&anyhow::anyhow!("the connection broke")));
        assert!(is_unknown(&anyhow::anyhow!("it broke").context("reading the answer")));
        assert!(!is_unknown(&refused("unavailable")));
        assert!(!is_unknown(&refused("unreachable").context("saying it")));
    }
}

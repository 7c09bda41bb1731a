//! Which messages of a conversation are on its branch at a moment, from the steps that the copy of
//! events has of it. The branch itself is the bridge's; this follows it without asking.

use serde::Serialize;
use std::collections::HashSet;
use toft_store::ConversationStep;

/// A message on the branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    pub(crate) entry_id: &'a str,
    parent_id: Option<&'a str>,
    ts: u64,
}

/// A place of the branch at which it went back to a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WentBack<'a> {
    /// The message before it; none: it stands before the first.
    after_entry_id: Option<&'a str>,
    checkpoint_id: &'a str,
    label: Option<&'a str>,
    taken_at: u64,
    at: u64,
    /// Messages before it.
    #[serde(skip)]
    length: usize,
}

/// A conversation at a moment.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Branch<'a> {
    pub(crate) messages: Vec<Message<'a>>,
    /// Oldest first.
    pub(crate) restores: Vec<WentBack<'a>>,
}

/// The branch after the last step whose number is not beyond `until`.
pub(crate) fn branch(steps: &[ConversationStep], until: u64) -> Branch<'_> {
    let mut branch = Branch::default();
    let mut known = HashSet::new();
    for step in steps {
        match step {
            ConversationStep::Said { seq, .. } | ConversationStep::Moved { seq, .. }
                if *seq > until =>
            {
                break;
            }
            ConversationStep::Said { ts, entry_id, parent_id, .. } => {
                // The same told twice: by a bridge that came back.
                if !known.insert(entry_id.as_str()) {
                    continue;
                }
                let parent_id = parent_id.as_deref();
                // An unknown parent is an entry of another kind: a change of model, a move.
                if let Some(at) = parent_id.and_then(|parent| branch.place_of(parent)) {
                    branch.cut_after(at + 1);
                }
                branch.messages.push(Message { entry_id, parent_id, ts: *ts });
            }
            ConversationStep::Moved { to, checkpoint_id, label, taken_at, at, .. } => {
                branch.go_back(to.as_deref(), *taken_at);
                // A person who goes to an entry brings no files back.
                if let (Some(checkpoint_id), Some(taken_at)) = (checkpoint_id, *taken_at) {
                    branch.restores.push(WentBack {
                        after_entry_id: branch.messages.last().map(|m| m.entry_id),
                        checkpoint_id,
                        label: label.as_deref(),
                        taken_at,
                        at: *at,
                        length: branch.messages.len(),
                    });
                }
            }
        }
    }
    branch
}

impl Branch<'_> {
    fn place_of(&self, entry_id: &str) -> Option<usize> {
        self.messages.iter().rposition(|m| m.entry_id == entry_id)
    }

    /// What hung on the last of so many messages is off the branch.
    fn cut_after(&mut self, length: usize) {
        self.messages.truncate(length);
        self.restores.retain(|went| went.length < length);
    }

    fn go_back(&mut self, to: Option<&str>, taken_at: Option<u64>) {
        let Some(to) = to else { return self.cut_after(0) };
        if let Some(at) = self.place_of(to) {
            return self.cut_after(at + 1);
        }
        // To an entry of another kind: the one that a message hung on, or by time. A person's move names
        // a message, which is missing only where the log lost it.
        let Some(taken_at) = taken_at else { return };
        match self.messages.iter().position(|m| m.parent_id == Some(to)) {
            Some(length) => self.messages.truncate(length),
            None => self.messages.retain(|m| m.ts <= taken_at),
        }
        let length = self.messages.len();
        self.restores.retain(|went| went.length <= length && went.at <= taken_at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(seq: u64, entry: &str, parent: Option<&str>) -> ConversationStep {
        ConversationStep::Said {
            seq,
            ts: 100 + seq,
            entry_id: entry.into(),
            parent_id: parent.map(str::to_owned),
            by_user: false,
        }
    }

    fn moved(seq: u64, to: Option<&str>) -> ConversationStep {
        ConversationStep::Moved {
            seq,
            to: to.map(str::to_owned),
            checkpoint_id: Some(format!("ck{seq}")),
            label: None,
            taken_at: Some(102),
            at: 100 + seq,
        }
    }

    fn check(steps: &[ConversationStep], until: u64, want: &str) {
        let found: Vec<&str> = branch(steps, until).messages.iter().map(|m| m.entry_id).collect();
        assert_eq!(found.join(" "), want, "{steps:?} until {until}");
    }

    #[test]
    fn what_a_move_left_behind_is_off_the_branch_and_what_comes_after_is_on_it() {
        let steps = [
            said(1, "a", Some("model")),
            said(2, "b", Some("a")),
            said(3, "c", Some("b")),
            moved(4, Some("b")),
            said(5, "d", Some("leaf")),
            said(5, "d", Some("leaf")),
            moved(6, None),
            said(7, "e", Some("leaf2")),
        ];
        for (until, want) in
            [(0, ""), (2, "a b"), (3, "a b c"), (4, "a b"), (5, "a b d"), (6, ""), (99, "e")]
        {
            check(&steps, until, want);
        }
    }

    #[test]
    fn a_person_who_goes_to_an_entry_is_followed_and_brings_no_files_back() {
        let mut went = moved(3, Some("a"));
        if let ConversationStep::Moved { checkpoint_id, taken_at, .. } = &mut went {
            (*checkpoint_id, *taken_at) = (None, None);
        }
        let steps = [said(1, "a", None), said(2, "b", Some("a")), went, said(4, "c", Some("leaf"))];
        for (until, want) in [(2, "a b"), (3, "a"), (4, "a c")] {
            check(&steps, until, want);
        }
        assert_eq!(branch(&steps, 9).restores, []);
    }

    #[test]
    fn a_move_to_an_entry_that_is_no_message_is_followed() {
        // To the entry that the next message hung on.
        let steps = [said(1, "a", None), said(3, "b", Some("t")), moved(4, Some("t"))];
        check(&steps, 9, "a");
        // To one that nothing hangs on: by time.
        let steps = [
            said(1, "a", None),
            said(2, "b", Some("a")),
            said(3, "c", Some("t")),
            moved(4, Some("x")),
        ];
        check(&steps, 9, "a b");
    }

    #[test]
    fn a_second_answer_to_the_same_message_takes_the_place_of_the_first() {
        let steps = [
            said(1, "a", None),
            said(2, "b", Some("a")),
            said(3, "c", Some("a")),
            said(4, "d", None),
        ];
        check(&steps, 3, "a c");
        check(&steps, 4, "a c d");
    }

    #[test]
    fn where_it_went_back_is_told_as_long_as_that_is_on_the_branch() {
        let steps = [
            said(1, "a", None),
            said(2, "b", Some("a")),
            moved(3, Some("a")),
            said(4, "c", Some("leaf3")),
            moved(5, Some("c")),
            moved(6, Some("a")),
            moved(7, None),
        ];
        let told = |until| {
            let branch = branch(&steps, until);
            let of = |w: &WentBack<'_>| {
                format!("{} after {}", w.checkpoint_id, w.after_entry_id.unwrap_or("nothing"))
            };
            branch.restores.iter().map(of).collect::<Vec<_>>()
        };
        assert_eq!(told(2), Vec::<String>::new());
        assert_eq!(told(4), ["ck3 after a"]);
        assert_eq!(told(5), ["ck3 after a", "ck5 after c"]);
        // To the message itself: what hung on it, the earlier move too, is another branch.
        assert_eq!(told(6), ["ck6 after a"]);
        assert_eq!(told(7), ["ck7 after nothing"]);
    }
}

//! Receipts: what the machine's init saw of a program that the agent had run, and what an agent's last words
//! claim of such programs. Init writes receipts where nothing inside can; the agent only asks for programs.

use crate::id::SessionId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Name of the file in a machine's log folder: one [`Receipt`] as JSON per line. A receipt whose tree was read
/// later stands there twice; the last line with its number counts.
pub const FILE: &str = "receipts.jsonl";

/// The lines before those of [`FILE`].
pub const OLDER_FILE: &str = "receipts.1.jsonl";

/// A file that reached this is followed by another one; of older ones, one is kept.
pub const FILE_BYTES_MAX: u64 = 4 << 20;

/// Longest line, with room to spare: a receipt's texts are cut when it is made.
pub const LINE_BYTES_MAX: usize = 32 << 10;

/// Numbers are below this: as far as they are whole in every JSON reader.
pub const NUMBER_MAX: u64 = 1 << 53;

/// For which call a program runs: init keeps a receipt of those that have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReceiptFor {
    /// The call's conversation.
    pub session_id: SessionId,
    /// The call.
    pub tool_call_id: String,
    /// What it checks. Only with one of these the project's tree is read at its end.
    pub checks: Vec<Check>,
}

/// A check that a command line runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// What it looks at.
    pub kind: CheckKind,
    /// The command, of the line it is in.
    pub command: String,
    /// Whether exit code 0 of the whole line says that this command succeeded: not in `test | tail`.
    pub decides: bool,
}

/// What a check looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CheckKind {
    /// Tests.
    Test,
    /// Rules of style, types, formatting.
    Lint,
    /// Whether it can be built.
    Build,
    /// Several of these, or one that does not say which (`make check`).
    Check,
}

impl CheckKind {
    /// Whether a check of this kind bears on a claim of that one.
    pub fn bears_on(self, claim: Self) -> bool {
        self == claim || self == Self::Check || claim == Self::Check
    }

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Lint => "lint",
            Self::Build => "build",
            Self::Check => "check",
        }
    }
}

/// A program that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// 1, 2, 3 … for the life of the project.
    pub number: u64,
    /// Its id in init: `{session}.{entry}.{place}` of the call.
    pub run_id: String,
    /// The call's conversation.
    pub session_id: SessionId,
    /// The call.
    pub tool_call_id: String,
    /// Program and arguments, without the values of secrets.
    pub argv: Vec<String>,
    /// Whether they were longer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub argv_cut: bool,
    /// Where it ran.
    pub cwd: String,
    /// Unix milliseconds.
    pub started_at: u64,
    /// Unix milliseconds.
    pub ended_at: u64,
    /// `None` when a signal ended it.
    pub exit_code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Bytes that it printed.
    pub output_bytes: u64,
    /// Whether not all of them were kept.
    pub output_truncated: bool,
    /// Whether it could only read.
    pub read_only: bool,
    /// What it checked.
    pub checks: Vec<Check>,
    /// What is known of the project's tree.
    pub stamp: Stamp,
    /// The tree when it ended, once that was read.
    pub tree: Option<StampedTree>,
}

/// What is known of the project's tree at a program's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stamp {
    /// It was not looked at: the program is no check.
    None,
    /// It is being read.
    Pending,
    /// [`Receipt::tree`].
    Taken,
    /// It could not be read.
    Failed,
}

/// A tree at a program's end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StampedTree {
    /// What it was.
    #[serde(flatten)]
    pub tree: Tree,
    /// Whether any of its files was written after the program began: it may have run on another tree first.
    pub changed: bool,
}

/// The files of a project that a version control would keep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tree {
    /// `sha256:` and 64 hexadecimal digits, of their names, kinds and contents.
    pub hash: String,
    /// How many.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What an agent's last words claim of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// What of.
    pub kind: CheckKind,
    /// The words.
    pub text: String,
    /// The message that they stand in.
    pub message_id: String,
    /// Which of its blocks.
    pub content_index: usize,
    /// Where they begin in its text, in UTF-16 units.
    pub start: usize,
    /// Where they end.
    pub end: usize,
    /// The newest receipt of the prompt for such a check.
    pub receipt: Option<u64>,
    /// What that says.
    pub proof: Proof,
}

/// What receipts say of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Proof {
    /// The newest such check ended with exit code 0.
    Passed,
    /// It did not.
    Failed,
    /// It did, in a command line whose exit code does not tell.
    Undecided,
    /// No such check was run for this prompt.
    None,
}

//! Output of one call as people see it while it comes: as much as they can follow.

use std::time::Instant;
use toft_model::{event::OutputStream, mask::Pieces, message::ToolCall, run::PROJECT_TOOLS};

/// Output of one call that is shown live: at once, and more with time. The result has what counts.
const UPDATE_BYTES_BURST: usize = 256 * 1024;
const UPDATE_BYTES_PER_SECOND: usize = 8 * 1024;

/// Tools whose output is that of programs.
const RUNS_PROGRAMS: [&str; 2] = ["bash", "process"];

/// Live output of one call.
pub(super) struct Live {
    pub(super) call_id: String,
    pub(super) tool_name: String,
    began: Instant,
    sent: usize,
    left_out: bool,
    /// Whether its output is that of programs, which may name the app's port.
    pub(super) runs_programs: bool,
    pub(super) observed: bool,
    /// Values of secrets are not shown, those that come meanwhile neither.
    out: Pieces,
    errors: Pieces,
}

impl Live {
    pub(super) fn new(call: &ToolCall) -> Self {
        Self {
            call_id: call.id.clone(),
            tool_name: call.name.clone(),
            began: Instant::now(),
            sent: 0,
            left_out: false,
            runs_programs: RUNS_PROGRAMS.contains(&&*call.name)
                || PROJECT_TOOLS.contains(&&*call.name),
            observed: false,
            out: Pieces::default(),
            errors: Pieces::default(),
        }
    }

    /// What of a stream is kept because a secret might have begun with it.
    pub(super) fn pieces(&mut self, stream: OutputStream) -> &mut Pieces {
        match stream {
            OutputStream::Stdout => &mut self.out,
            OutputStream::Stderr => &mut self.errors,
        }
    }

    /// The piece, or what may be shown of it now.
    pub(super) fn allowed(&mut self, piece: String) -> Option<String> {
        let seconds = usize::try_from(self.began.elapsed().as_secs()).unwrap_or(usize::MAX);
        let budget =
            UPDATE_BYTES_BURST.saturating_add(seconds.saturating_mul(UPDATE_BYTES_PER_SECOND));
        if self.sent + piece.len() > budget {
            let first = !self.left_out;
            self.left_out = true;
            return first.then(|| "\n[output left out here; the result has its end]\n".to_owned());
        }
        self.sent += piece.len();
        self.left_out = false;
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPDATE_BYTES_MAX: usize = super::super::calls::UPDATE_BYTES_MAX;

    #[test]
    fn a_flood_of_output_is_shown_in_part() {
        let call =
            ToolCall { id: "c".into(), name: "bash".into(), arguments: serde_json::Map::new() };
        let mut live = Live::new(&call);
        let shown: usize = (0..1_000)
            .filter_map(|_| live.allowed("x".repeat(UPDATE_BYTES_MAX)))
            .map(|s| s.len())
            .sum();
        assert!((UPDATE_BYTES_BURST - UPDATE_BYTES_MAX..UPDATE_BYTES_BURST * 2).contains(&shown));
    }
}

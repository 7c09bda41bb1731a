//! Asks for a line on the terminal without showing it.

use crate::output;
use anyhow::{Context as _, Result, bail};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::io::{self, Write as _};

const CTRL_C: u8 = 3;
const CTRL_D: u8 = 4;
const BACKSPACE: u8 = 8;
const CTRL_U: u8 = 21;
const DELETE: u8 = 127;

/// The terminal as it was, when dropped.
struct Restored(Termios);

impl Drop for Restored {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
        output::remark("");
    }
}

/// Asks with `prompt` on standard error; standard input is a terminal.
pub(crate) fn line(prompt: &str) -> Result<String> {
    let before = tcgetattr(io::stdin()).context("the terminal cannot be asked")?;
    let mut quiet = before.clone();
    // Signals too: one that ends us would leave a terminal that shows nothing.
    quiet.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
    let restored = Restored(before);
    tcsetattr(io::stdin(), OptionalActions::Flush, &quiet).context("the terminal cannot be set")?;
    let mut err = io::stderr();
    let _ = write!(err, "{prompt}").and_then(|()| err.flush());
    let typed = read(io::stdin().lock());
    drop(restored);
    typed
}

/// What was typed up to the end of the line.
fn read(from: impl io::BufRead) -> Result<String> {
    let mut typed = Vec::new();
    for byte in from.bytes() {
        match byte? {
            b'\r' | b'\n' | CTRL_D => break,
            CTRL_C => bail!("nothing was set"),
            CTRL_U => typed.clear(),
            BACKSPACE | DELETE => {
                // A whole character, which may have several bytes.
                while typed.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
            }
            byte => typed.push(byte),
        }
    }
    String::from_utf8(typed).context("what was typed is not UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_edited_as_on_any_terminal() {
        for (typed, line) in [
            ("abc\nrest", "abc"),
            ("abc\r", "abc"),
            ("ab\u{7f}c\n", "ac"),
            ("aä\u{7f}b\n", "ab"),
            ("wrong\u{15}right\n", "right"),
            ("\u{7f}\u{7f}x\n", "x"),
        ] {
            assert_eq!(read(typed.as_bytes()).unwrap(), line, "{typed:?}");
        }
        assert!(read(&b"abc\x03"[..]).is_err());
    }
}

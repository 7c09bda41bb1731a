//! Receipts of the programs that the agent had run: kept by init, in memory and in a file that programs can only
//! read. What a program is for is said by who asks for it; what it was and how it ended, init saw itself.

use super::{Init, exec::Exec, tree};
use crate::own_file::make_way;
use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, VecDeque},
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    rc::Rc,
};
use toft_model::{
    id::SessionId,
    init::ExecExit,
    mask::Mask,
    receipt::{
        FILE, FILE_BYTES_MAX, NUMBER_MAX, OLDER_FILE, Receipt, ReceiptFor, Stamp, StampedTree,
    },
};
use tokio::{sync::Notify, task::spawn_local};

/// Receipts in memory: those of the longest prompts.
const KEPT_MAX: usize = 200;

/// News that a bridge has not dealt with. One that is away for longer learns the rest from the file.
const NEWS_MAX: usize = 100;

/// Bytes of arguments in a receipt: a command line that a person would read. As they stand in its line, like the
/// following two: a line that is too long counts for nobody.
const ARGV_BYTES_MAX: usize = 4 << 10;

/// Bytes of a check's command.
const COMMAND_BYTES_MAX: usize = 200;

/// Bytes of a call's id, which its provider makes up, and of a folder's path.
const NAME_BYTES_MAX: usize = 1 << 10;

/// Checks in a receipt, and arguments.
const CHECKS_MAX: usize = 16;
const ARGS_MAX: usize = 1 << 10;

/// Read of the file's end at the start: more than [`KEPT_MAX`] receipts of the usual size.
const TAIL_BYTES: u64 = 256 << 10;

/// Kernel clocks for files lag this much behind.
const CLOCK_STEP_MS: u64 = 10;

/// See the module.
pub(super) struct Receipts {
    dir: PathBuf,
    /// Open once something was written, with its length.
    file: RefCell<Option<(File, u64)>>,
    kept: RefCell<VecDeque<Receipt>>,
    /// Number of the last one.
    last: Cell<u64>,
    /// Receipts with checks as they came to be what they are, each with its position.
    news: RefCell<VecDeque<(u64, Receipt)>>,
    /// Position of the last news.
    position: Cell<u64>,
    changed: Notify,
}

/// What a program was started with, as its receipt will say it.
pub(super) struct Asked {
    of: ReceiptFor,
    argv: Vec<String>,
    argv_cut: bool,
    cwd: String,
}

impl Asked {
    /// Takes what is needed of a request. What is secret goes before anything is cut, so that no part of it
    /// is left.
    pub(super) fn new(mut of: ReceiptFor, argv: &[String], cwd: &Path, mask: &Mask) -> Self {
        let (mut kept, mut argv_cut, mut left) = (Vec::new(), false, ARGV_BYTES_MAX);
        for arg in argv {
            let whole = mask.text(arg);
            let part = cut(&whole, left);
            let full = left == 0 || kept.len() == ARGS_MAX;
            argv_cut = part.len() < whole.len() || full;
            if full {
                break;
            }
            left = if argv_cut { 0 } else { left - in_line(part) };
            kept.push(part.to_owned());
        }
        of.checks.truncate(CHECKS_MAX);
        for check in &mut of.checks {
            check.command = cut(&mask.text(&check.command), COMMAND_BYTES_MAX).to_owned();
        }
        of.tool_call_id = cut(&of.tool_call_id, NAME_BYTES_MAX).to_owned();
        let cwd = cut(&mask.text(&cwd.to_string_lossy()), NAME_BYTES_MAX).to_owned();
        Self { of, argv: kept, argv_cut, cwd }
    }
}

/// What of a text has room in so many bytes of a line.
fn cut(text: &str, bytes_max: usize) -> &str {
    let mut left = bytes_max;
    let over = text.char_indices().find(|(_, c)| {
        let fits = left.checked_sub(char_in_line(*c));
        left = fits.unwrap_or(0);
        fits.is_none()
    });
    over.map_or(text, |(at, _)| &text[..at])
}

/// Bytes of a text in a line.
fn in_line(text: &str) -> usize {
    text.chars().map(char_in_line).sum()
}

/// JSON writes a control character as `\u0000`, at most.
fn char_in_line(c: char) -> usize {
    match c {
        '"' | '\\' => 2,
        '\0'..='\u{1f}' => 6,
        c => c.len_utf8(),
    }
}

impl Receipts {
    /// Goes on behind what is there. `dir` is the log folder. Blocks.
    pub(super) fn open(dir: &Path) -> Self {
        let mut kept = VecDeque::new();
        for name in [OLDER_FILE, FILE] {
            let path = dir.join(name);
            make_way(&path);
            for receipt in tail(&path) {
                put(&mut kept, receipt);
            }
        }
        let last = kept.iter().map(|receipt| receipt.number).max().unwrap_or(0);
        let receipts = Self {
            dir: dir.to_owned(),
            file: RefCell::default(),
            kept: RefCell::new(kept),
            last: Cell::new(last),
            news: RefCell::default(),
            position: Cell::new(0),
            changed: Notify::new(),
        };
        // Their machine ended before the tree was read, and the tree may be another one now.
        let pending = |receipt: &&Receipt| receipt.stamp == Stamp::Pending;
        let lost: Vec<u64> =
            receipts.kept.borrow().iter().filter(pending).map(|r| r.number).collect();
        for number in lost {
            receipts.stamp(number, None);
        }
        receipts
    }

    /// A program has ended: writes its receipt, and has its tree read if it is a check.
    pub(super) fn ended(&self, init: &Rc<Init>, exec: &Exec, asked: Asked, exit: &ExecExit) {
        let mask = init.environment.mask();
        let receipt = self.made(exec, asked, exit, &mask);
        let (number, began) = (receipt.number, receipt.started_at);
        let reads = receipt.stamp == Stamp::Pending;
        self.keep(receipt);
        if reads {
            let init = Rc::clone(init);
            spawn_local(async move {
                let seen = tree::look(&init).await;
                let stamped = seen.map(|seen| StampedTree {
                    changed: seen.newest_ms + CLOCK_STEP_MS >= began,
                    tree: seen.tree,
                });
                init.receipts.stamp(number, stamped);
            });
        }
    }

    fn made(&self, exec: &Exec, asked: Asked, exit: &ExecExit, mask: &Mask) -> Receipt {
        self.last.set(self.last.get() + 1);
        let Asked { mut of, argv, argv_cut, cwd } = asked;
        // Of secrets that came while it ran, too.
        for check in &mut of.checks {
            check.command = cut(&mask.text(&check.command), COMMAND_BYTES_MAX).to_owned();
        }
        Receipt {
            number: self.last.get(),
            run_id: exec.id.clone(),
            session_id: of.session_id,
            tool_call_id: of.tool_call_id,
            argv: argv.iter().map(|arg| mask.text(arg).into_owned()).collect(),
            argv_cut,
            cwd: mask.text(&cwd).into_owned(),
            started_at: exec.started_at,
            ended_at: exec.started_at + exit.duration_ms,
            exit_code: exit.code,
            signal: exit.signal,
            output_bytes: exit.output_bytes,
            output_truncated: exit.truncated,
            read_only: exec.read_only,
            stamp: if of.checks.is_empty() { Stamp::None } else { Stamp::Pending },
            checks: of.checks,
            tree: None,
        }
    }

    /// The tree of one was read, or could not be.
    fn stamp(&self, number: u64, tree: Option<StampedTree>) {
        let known = self.kept.borrow().iter().rev().find(|one| one.number == number).cloned();
        // So many came meanwhile that it is not kept any more: it stays pending, which says what is known.
        let Some(mut receipt) = known else { return };
        receipt.stamp = if tree.is_some() { Stamp::Taken } else { Stamp::Failed };
        receipt.tree = tree;
        self.keep(receipt);
    }

    fn keep(&self, receipt: Receipt) {
        if let Err(error) = self.write(&receipt) {
            // Its disk may be full: in memory it is all the same.
            tracing::warn!(%error, number = receipt.number, "a receipt is not kept on disk");
            self.file.borrow_mut().take();
        }
        if !receipt.checks.is_empty() {
            self.position.set(self.position.get() + 1);
            let mut news = self.news.borrow_mut();
            if news.len() == NEWS_MAX {
                news.pop_front();
            }
            news.push_back((self.position.get(), receipt.clone()));
            self.changed.notify_waiters();
        }
        put(&mut self.kept.borrow_mut(), receipt);
    }

    fn write(&self, receipt: &Receipt) -> io::Result<()> {
        let mut line = serde_json::to_vec(receipt)?;
        line.push(b'\n');
        let mut file = self.file.borrow_mut();
        if file.as_ref().is_some_and(|(_, length)| *length >= FILE_BYTES_MAX) {
            file.take();
            fs::rename(self.dir.join(FILE), self.dir.join(OLDER_FILE))?;
        }
        if file.is_none() {
            *file = Some(open(&self.dir.join(FILE))?);
        }
        let Some((file, length)) = &mut *file else { return Ok(()) };
        file.write_all(&line)?;
        *length += line.len() as u64;
        Ok(())
    }

    /// The newest of a conversation, oldest first.
    pub(super) fn of(&self, session: &SessionId) -> Vec<Receipt> {
        self.kept.borrow().iter().filter(|one| one.session_id == *session).cloned().collect()
    }

    /// What is new since `told`, as soon as anything is, and what to say next time.
    pub(super) async fn news(&self, told: Option<u64>) -> (u64, Vec<Receipt>) {
        if let Some(told) = told {
            self.news.borrow_mut().retain(|(at, _)| *at > told);
        }
        loop {
            let changed = self.changed.notified();
            {
                let news = self.news.borrow();
                if let Some((last, _)) = news.back() {
                    return (*last, news.iter().map(|(_, receipt)| receipt.clone()).collect());
                }
            }
            changed.await;
        }
    }
}

/// Puts one in its place: after those with lower numbers.
fn put(kept: &mut VecDeque<Receipt>, receipt: Receipt) {
    match kept.iter_mut().rev().find(|one| one.number == receipt.number) {
        Some(one) => *one = receipt,
        None => kept.push_back(receipt),
    }
    while kept.len() > KEPT_MAX {
        kept.pop_front();
    }
}

/// Opens the file to write behind what is there, on a line of its own.
fn open(path: &Path) -> io::Result<(File, u64)> {
    make_way(path);
    let mut file =
        OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    let length = file.seek(SeekFrom::End(0))?;
    if length > 0 {
        let mut last = [0];
        file.seek(SeekFrom::Start(length - 1))?;
        file.read_exact(&mut last)?;
        if last != [b'\n'] {
            file.write_all(b"\n")?;
        }
    }
    Ok((file, length))
}

/// The receipts at the end of a file, in the order of its lines, each as its last line has it.
fn tail(path: &Path) -> Vec<Receipt> {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let mut receipts: Vec<Receipt> = Vec::new();
    let mut places: HashMap<u64, usize> = HashMap::new();
    // The first line may be cut, and then is none.
    for receipt in
        bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok())
    {
        let receipt: Receipt = receipt;
        // None of ours: the next one is to have a number too.
        if receipt.number >= NUMBER_MAX {
            continue;
        }
        if let Some(at) = places.get(&receipt.number) {
            receipts[*at] = receipt;
        } else {
            places.insert(receipt.number, receipts.len());
            receipts.push(receipt);
        }
    }
    receipts
}

#[cfg(test)]
mod tests;

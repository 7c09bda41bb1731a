//! What a server's tool said, as an outcome: text within the bounds of all tools, its rest in a file, pictures as
//! pictures.

use crate::{
    aside::{self, Job},
    blocking::blocking,
    host::ToolContext,
    outcome::{STOPPED, ToolOutcome},
    output::{BYTES_MAX, LINES_MAX, cut_at_char, head},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use rmcp::model::{CallToolResult, ContentBlock, ResourceContents};
use serde_json::json;
use std::{
    fmt::Write as _,
    fs::{DirEntry, File},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::SystemTime,
};
use toft_model::{id::random_hex, message::Block};

/// Pictures of one result: each is looked at by a program of its own.
const PICTURES_MAX: usize = 10;

/// Bytes of the file with what did not fit, and of a picture before it is made to fit.
const FILE_BYTES_MAX: usize = 16 << 20;

/// Bytes of all such files; the oldest go when there are more.
const FOLDER_BYTES_MAX: u64 = 128 << 20;

/// Bytes of what a server says of a type.
const TYPE_BYTES_SHOWN_MAX: usize = 100;

/// Where such files lie.
const FOLDER: &str = "toft-mcp";

pub(super) async fn outcome(ctx: &ToolContext, server: &str, said: CallToolResult) -> ToolOutcome {
    let mut texts = Vec::new();
    let (mut pictures, mut looked) = (Vec::new(), 0);
    let structured = said.structured_content.filter(|_| said.content.is_empty());
    for block in said.content {
        match block {
            ContentBlock::Text(text) => texts.push(text.text),
            ContentBlock::Image(image) => {
                looked += 1;
                let fitted = if looked > PICTURES_MAX {
                    Err(format!("There are more than {PICTURES_MAX}."))
                } else {
                    picture(ctx, server, &image.data).await
                };
                if ctx.cancel.is_cancelled() {
                    return ToolOutcome::cancelled(STOPPED);
                }
                match fitted {
                    Ok(picture) => pictures.push(picture),
                    Err(why) => texts.push(format!(
                        "[a picture of type {} that cannot be shown. {why}]",
                        cut_at_char(&image.mime_type, TYPE_BYTES_SHOWN_MAX)
                    )),
                }
            }
            ContentBlock::Audio(audio) => {
                texts
                    .push(format!("[sound of type {} that cannot be heard here]", audio.mime_type));
            }
            ContentBlock::Resource(resource) => texts.push(match resource.resource {
                ResourceContents::TextResourceContents { uri, text, .. } => {
                    format!("[{uri}]\n{text}")
                }
                ResourceContents::BlobResourceContents { uri, blob, .. } => {
                    format!("[{uri}: {} bytes of base64, left out]", blob.len())
                }
                _ => "[a resource of an unknown kind]".to_owned(),
            }),
            ContentBlock::ResourceLink(link) => {
                texts.push(format!("[{}: {}]", link.name, link.uri));
            }
            _ => texts.push("[content of an unknown kind]".to_owned()),
        }
    }
    texts.extend(structured.map(|value| value.to_string()));
    let whole = texts.join("\n\n");
    let (text, kept_in) = bounded(whole, ctx).await;
    let mut content = Vec::with_capacity(pictures.len() + 1);
    if !text.is_empty() || pictures.is_empty() {
        content.push(Block::text(if text.is_empty() { "(nothing)".to_owned() } else { text }));
    }
    content.extend(pictures);
    ToolOutcome {
        content,
        details: Some(json!({ "server": server, "fullOutputPath": kept_in })),
        is_error: said.is_error.unwrap_or(false),
        changed: Vec::new(),
    }
}

/// A picture as models take it. One that they do not take would spoil all later requests of the conversation,
/// and what a server says of its type and size proves nothing.
async fn picture(ctx: &ToolContext, server: &str, data: &str) -> Result<Block, String> {
    // Base64 has a third more.
    if data.len() / 4 * 3 > FILE_BYTES_MAX {
        return Err(format!("It has more than {} MiB.", FILE_BYTES_MAX >> 20));
    }
    let bytes = BASE64_STANDARD.decode(data).map_err(|_| "It is no valid base64.".to_owned())?;
    // Of this one picture: a call may have several, and be made again.
    let run_id = format!("{}.{}", ctx.run_id, random_hex(4));
    let name = format!("{run_id}.picture");
    let kept = blocking(move || keep(&name, &bytes)).await;
    let Ok(Ok(path)) = kept else { return Err("It could not be kept to look at.".to_owned()) };
    let ctx = ToolContext { run_id, ..ctx.clone() };
    let job = Job::Picture { path: path.clone() };
    let done = aside::run(&ctx, &job, &format!("look at a picture of {server}")).await;
    let _ = ctx.shell.forget(&ctx.run_id).await;
    let _ = tokio::fs::remove_file(&path).await;
    let done = done.map_err(|outcome| outcome.said())?;
    let data = BASE64_STANDARD.encode(&done.body);
    Ok(Block::Image { data, mime_type: done.answer.mime_type })
}

/// The beginning, and the file that has all of it when that is not all.
async fn bounded(whole: String, ctx: &ToolContext) -> (String, Option<PathBuf>) {
    let limited = head(whole.lines(), LINES_MAX);
    if limited.limit.is_none() {
        return (whole, None);
    }
    let mut text = limited.text;
    if limited.lines == 0 {
        // One line that is too long.
        text = cut_at_char(&whole, BYTES_MAX).to_owned();
    }
    let name = format!("{}.{}.txt", ctx.run_id, random_hex(4));
    let kept = blocking(move || keep(&name, cut_at_char(&whole, FILE_BYTES_MAX).as_bytes())).await;
    match kept {
        Ok(Ok(path)) => {
            let _ = write!(text, "\n\n[There is more. Full text: {}]", path.display());
            (text, Some(path))
        }
        Ok(Err(_)) | Err(_) => (text + "\n\n[There is more.]", None),
    }
}

/// Where results are kept that are too long for a conversation.
pub fn folder() -> PathBuf {
    std::env::temp_dir().join(FOLDER)
}

/// Keeps these bytes beside the newest others. Blocks.
fn keep(name: &str, bytes: &[u8]) -> std::io::Result<PathBuf> {
    let folder = folder();
    std::fs::create_dir_all(&folder)?;
    sweep(&folder, FOLDER_BYTES_MAX.saturating_sub(bytes.len() as u64));
    let path = folder.join(name);
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(&path)?;
    file.write_all(bytes)?;
    Ok(path)
}

/// Removes the oldest files of a folder until the others have at most so many bytes.
fn sweep(folder: &Path, bytes_max: u64) {
    let about = |entry: DirEntry| {
        let about = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
        Some((about.modified().unwrap_or(SystemTime::UNIX_EPOCH), about.len(), entry.path()))
    };
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut files: Vec<_> = entries.filter_map(Result::ok).filter_map(about).collect();
    files.sort_unstable_by(|a, b| b.cmp(a));
    let mut bytes = 0;
    for (_, length, path) in files {
        bytes += length;
        if bytes > bytes_max {
            let _ = std::fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;
    use std::time::Duration;

    #[test]
    fn the_newest_files_stay() {
        let bench = Bench::new();
        for (age, name) in ["new", "middle", "old"].iter().enumerate() {
            bench.write(name, "1234");
            let then = SystemTime::now() - Duration::from_secs(60 * age as u64);
            File::options()
                .append(true)
                .open(bench.path(name))
                .unwrap()
                .set_modified(then)
                .unwrap();
        }
        sweep(&bench.path(""), 9);
        assert_eq!(bench.names(""), ["middle", "new"]);
    }
}

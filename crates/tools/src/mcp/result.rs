//! What a server's tool said, as an outcome: text within the bounds of all tools, its rest in a file, pictures as
//! pictures.

use crate::{
    host::ToolContext,
    outcome::ToolOutcome,
    output::{BYTES_MAX, LINES_MAX, cut_at_char, head},
};
use rmcp::model::{CallToolResult, ContentBlock, ResourceContents};
use serde_json::json;
use std::{fmt::Write as _, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::PathBuf};
use toft_model::{id::random_hex, message::Block};

/// Pictures of one result, and the base64 of one: what providers take.
const PICTURES_MAX: usize = 10;
const PICTURE_BYTES_MAX: usize = 5 << 20;
const PICTURE_TYPES: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];

/// Bytes of the file with what did not fit.
const FILE_BYTES_MAX: usize = 16 << 20;

/// Where such files lie.
const FOLDER: &str = "toft-mcp";

pub(super) async fn outcome(ctx: &ToolContext, server: &str, said: CallToolResult) -> ToolOutcome {
    let mut texts = Vec::new();
    let mut pictures = Vec::new();
    let structured = said.structured_content.filter(|_| said.content.is_empty());
    for block in said.content {
        match block {
            ContentBlock::Text(text) => texts.push(text.text),
            ContentBlock::Image(image) => {
                let fits = PICTURE_TYPES.contains(&image.mime_type.as_str())
                    && image.data.len() <= PICTURE_BYTES_MAX
                    && pictures.len() < PICTURES_MAX;
                if fits {
                    pictures.push(Block::Image { data: image.data, mime_type: image.mime_type });
                } else {
                    texts.push(format!(
                        "[a picture of type {} that cannot be shown]",
                        image.mime_type
                    ));
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
    let kept =
        tokio::task::spawn_blocking(move || keep(&name, cut_at_char(&whole, FILE_BYTES_MAX))).await;
    match kept {
        Ok(Ok(path)) => {
            let _ = write!(text, "\n\n[There is more. Full text: {}]", path.display());
            (text, Some(path))
        }
        Ok(Err(_)) | Err(_) => (text + "\n\n[There is more.]", None),
    }
}

fn keep(name: &str, text: &str) -> std::io::Result<PathBuf> {
    let folder = std::env::temp_dir().join(FOLDER);
    std::fs::create_dir_all(&folder)?;
    let path = folder.join(name);
    let mut file = std::fs::File::options().write(true).create_new(true).mode(0o600).open(&path)?;
    file.write_all(text.as_bytes())?;
    Ok(path)
}

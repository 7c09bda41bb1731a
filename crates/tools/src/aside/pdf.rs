//! The text of a PDF file, page by page.

use super::{Answer, Outcome};
use crate::{
    output::cut_at_char,
    paths::{explain, open_regular},
};
use std::{fmt::Write as _, io::Read as _, path::Path};

/// Bytes of a file that is taken apart.
const SOURCE_BYTES_MAX: u64 = 64 << 20;

/// Bytes of text at most.
const TEXT_BYTES_MAX: usize = 4 << 20;

pub(super) fn text(path: &Path) -> Outcome {
    let told = |error: &std::io::Error| explain(error, "The file");
    let (file, meta) = open_regular(path).map_err(|error| told(&error))?;
    if meta.len() > SOURCE_BYTES_MAX {
        return Err(format!(
            "The PDF has {} bytes, more than the {SOURCE_BYTES_MAX} that can be read. Use a program \
             such as pdftotext.",
            meta.len()
        ));
    }
    let mut bytes = Vec::new();
    file.take(SOURCE_BYTES_MAX).read_to_end(&mut bytes).map_err(|error| told(&error))?;
    of_bytes(&bytes)
}

/// The text of a document in memory.
pub(super) fn of_bytes(bytes: &[u8]) -> Outcome {
    let pages = pdf_extract::extract_text_from_mem_by_pages(bytes).map_err(|error| {
        let error = error.to_string();
        if error.to_lowercase().contains("encrypt") || error.to_lowercase().contains("decrypt") {
            return "The PDF is encrypted. Use a program such as qpdf with its password."
                .to_owned();
        }
        format!("The PDF could not be read: {}.", cut_at_char(&error, 200))
    })?;
    if pages.iter().all(|page| page.trim().is_empty()) {
        return Err(format!(
            "The PDF has {} pages without text: most likely scanned images. Make images of its pages \
             (pdftoppm) and read those.",
            pages.len()
        ));
    }
    let mut text = String::new();
    for (n, page) in pages.iter().enumerate() {
        let _ = writeln!(text, "--- page {} of {} ---", n + 1, pages.len());
        text.push_str(page.trim());
        text.push_str("\n\n");
        if text.len() > TEXT_BYTES_MAX {
            break;
        }
    }
    let kept = cut_at_char(text.trim_end(), TEXT_BYTES_MAX);
    let answer = Answer {
        mime_type: "text/plain".into(),
        pages: Some(pages.len()),
        bytes: bytes.len() as u64,
        truncated: text.len() > TEXT_BYTES_MAX,
        ..Answer::default()
    };
    Ok((answer, kept.as_bytes().to_vec()))
}

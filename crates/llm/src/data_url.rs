//! Images as `data:` URLs, as OpenAI's formats have them.

/// The URL of an image.
pub(crate) fn write(mime_type: &str, base64: &str) -> String {
    format!("data:{mime_type};base64,{base64}")
}

/// Media type, without parameters, and base64 text; `None` for what is no such URL.
pub(crate) fn read(url: &str) -> Option<(&str, &str)> {
    let (mime_type, base64) = url.strip_prefix("data:")?.split_once(";base64,")?;
    Some((mime_type.split(';').next().unwrap_or_default(), base64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(read(&write("image/png", "aGk=")), Some(("image/png", "aGk=")));
        assert_eq!(read("data:image/png;a=b;base64,aGk="), Some(("image/png", "aGk=")));
        assert_eq!(read("https://example.com/a.png"), None);
        assert_eq!(read("data:image/png,hi"), None);
    }
}

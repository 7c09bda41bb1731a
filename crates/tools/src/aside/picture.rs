//! Makes an image fit for models: checked by decoding it, and scaled when it is too large.

use super::{Answer, Outcome};
use crate::paths::{explain, open_regular};
use image::{
    DynamicImage, GenericImageView as _, ImageFormat, ImageReader, Limits,
    codecs::jpeg::JpegEncoder, imageops::FilterType,
};
use std::{
    io::{BufReader, Cursor, Read as _, Seek as _},
    path::Path,
};

/// Pixels of the longer side that models make use of (Pi: 2,000).
const SIDE_MAX: u32 = 2_000;

/// Bytes at most, of prompts' as well: Anthropic takes 5 MB of base64, the least of the large providers.
pub const IMAGE_BYTES_MAX: usize = 3_700_000;

/// Bytes of a file that is looked at.
const SOURCE_BYTES_MAX: u64 = 100 << 20;

/// Memory of the decoded image at most.
const DECODED_BYTES_MAX: u64 = 512 << 20;

/// Qualities that are tried one after the other.
const QUALITIES: [u8; 3] = [85, 70, 50];

pub(super) fn fit(path: &Path) -> Outcome {
    let told = |error: &std::io::Error| explain(error, "The image");
    let (mut file, meta) = open_regular(path).map_err(|error| told(&error))?;
    if meta.len() > SOURCE_BYTES_MAX {
        return Err(format!(
            "The image has {} bytes; at most {SOURCE_BYTES_MAX} can be looked at. Make it smaller first.",
            meta.len()
        ));
    }
    let mut source = ImageReader::new(BufReader::new(&mut file))
        .with_guessed_format()
        .map_err(|error| told(&error))?;
    let Some(format) = source.format() else { return Err("It is no image.".into()) };
    let mut limits = Limits::default();
    limits.max_alloc = Some(DECODED_BYTES_MAX);
    source.limits(limits);
    let image = source
        .decode()
        .map_err(|error| format!("It is no valid image, or too large a one: {error}."))?;
    let size = image.dimensions();
    let is_small = size.0.max(size.1) <= SIDE_MAX;
    let answer = |mime: &str, to| Answer {
        mime_type: mime.to_owned(),
        size: Some([size, to]),
        bytes: meta.len(),
        ..Answer::default()
    };
    if is_small && meta.len() <= IMAGE_BYTES_MAX as u64 {
        file.rewind().map_err(|error| told(&error))?;
        let mut bytes = Vec::new();
        file.take(IMAGE_BYTES_MAX as u64).read_to_end(&mut bytes).map_err(|error| told(&error))?;
        return Ok((answer(format.to_mime_type(), size), bytes));
    }
    let mut side = size.0.max(size.1).min(SIDE_MAX);
    loop {
        let scaled = image.resize(side, side, FilterType::Triangle);
        let photo = format == ImageFormat::Jpeg;
        if let Some((mime, bytes)) = encoded(&scaled, photo) {
            return Ok((answer(mime, scaled.dimensions()), bytes));
        }
        side = side * 3 / 4;
    }
}

/// The image in a format that models take, if it is small enough.
fn encoded(image: &DynamicImage, photo: bool) -> Option<(&'static str, Vec<u8>)> {
    if !photo {
        let mut png = Cursor::new(Vec::new());
        image.write_to(&mut png, ImageFormat::Png).ok()?;
        if png.get_ref().len() <= IMAGE_BYTES_MAX {
            return Some(("image/png", png.into_inner()));
        }
    }
    // JPEG has no transparency: what is seen through is white.
    let mut flat = image::RgbaImage::from_pixel(image.width(), image.height(), [255; 4].into());
    image::imageops::overlay(&mut flat, &image.to_rgba8(), 0, 0);
    let flat = DynamicImage::ImageRgba8(flat).to_rgb8();
    QUALITIES.iter().find_map(|quality| {
        let mut jpeg = Vec::new();
        JpegEncoder::new_with_quality(&mut jpeg, *quality).encode_image(&flat).ok()?;
        (jpeg.len() <= IMAGE_BYTES_MAX).then_some(("image/jpeg", jpeg))
    })
}

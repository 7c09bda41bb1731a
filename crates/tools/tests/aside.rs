//! What is taken apart by a program of its own, with that program: images, PDF files, web pages.

#![expect(
    clippy::unwrap_used,
    reason = "a test file; the lint sees only its #[test] functions as tests"
)]

use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use serde_json::json;
use std::{io::Write as _, time::Duration};
use toft_model::message::Block;
use toft_tools::{ToolOutcome, testing::Bench};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

fn bench() -> Bench {
    let bench = Bench::new();
    bench.shell.set_own_program(&[env!("CARGO_BIN_EXE_toft-aside")]);
    bench
}

fn noise(width: u32, height: u32) -> DynamicImage {
    let mut state = 1u32;
    let mut next = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    RgbImage::from_fn(width, height, |_, _| Rgb([next(), next(), next()])).into()
}

fn bytes_of(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut out = std::io::Cursor::new(Vec::new());
    image.write_to(&mut out, format).unwrap();
    out.into_inner()
}

/// The image that the model gets.
fn shown(outcome: &ToolOutcome) -> (String, DynamicImage, usize) {
    use base64::Engine as _;
    let [_, Block::Image { data, mime_type }] = &outcome.content[..] else {
        panic!("{outcome:?}");
    };
    let bytes = base64::prelude::BASE64_STANDARD.decode(data).unwrap();
    (mime_type.clone(), image::load_from_memory(&bytes).unwrap(), bytes.len())
}

#[tokio::test]
async fn a_small_image_is_shown_as_it_is() {
    let bench = bench();
    for (name, format, mime) in [
        ("a.png", ImageFormat::Png, "image/png"),
        ("b", ImageFormat::Jpeg, "image/jpeg"),
        ("c.gif", ImageFormat::Gif, "image/gif"),
        ("d.webp", ImageFormat::WebP, "image/webp"),
    ] {
        let bytes = bytes_of(&noise(40, 20), format);
        bench.write_bytes(name, &bytes);
        let outcome = bench.call("read", json!({"path": name})).await;
        assert_eq!(outcome.said(), format!("{name}: {mime}, 40x20."));
        let (got, image, size) = shown(&outcome);
        assert_eq!((got.as_str(), image.width(), size), (mime, 40, bytes.len()));
    }
}

#[tokio::test]
async fn a_large_image_is_scaled() {
    let bench = bench();
    // Too many pixels, in few bytes.
    bench.write_bytes("wide.png", &bytes_of(&RgbImage::new(4_000, 100).into(), ImageFormat::Png));
    let outcome = bench.call("read", json!({"path": "wide.png"})).await;
    assert_eq!(outcome.said(), "wide.png: image/png, 4000x100. Shown scaled to 2000x50.");
    assert_eq!(shown(&outcome).1.width(), 2_000);
    // Too many bytes.
    bench.write_bytes("noise.png", &bytes_of(&noise(1_500, 1_000), ImageFormat::Png));
    let outcome = bench.call("read", json!({"path": "noise.png"})).await;
    let (_, image, bytes) = shown(&outcome);
    assert!(bytes <= 3_700_000 && image.width() <= 1_500, "{bytes} {}", outcome.said());
}

#[tokio::test]
async fn what_only_looks_like_an_image_is_refused() {
    let bench = bench();
    let mut cut = bytes_of(&noise(100, 100), ImageFormat::Png);
    cut.truncate(cut.len() / 2);
    bench.write_bytes("cut.png", &cut);
    // A header that promises more than there is memory.
    let mut bomb = bytes_of(&noise(1, 1), ImageFormat::Png);
    bomb[16..24].copy_from_slice(&[0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff]);
    bench.write_bytes("bomb.png", &bomb);
    bench.write_bytes("none.png", b"\x89PNG\r\n\x1a\nrest");
    for name in ["cut.png", "bomb.png", "none.png"] {
        let outcome = bench.call("read", json!({"path": name})).await;
        assert!(outcome.is_error, "{name}");
        assert!(
            outcome.said().starts_with(&format!("{name}: It is no valid image")),
            "{}",
            outcome.said()
        );
    }
}

/// A PDF with one line on each page.
fn pdf(pages: &[&str]) -> Vec<u8> {
    let mut objects = vec![
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        String::new(),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"
            .to_owned(),
    ];
    let mut kids = Vec::new();
    for page in pages {
        let text = format!("BT /F1 12 Tf 72 700 Td ({page}) Tj ET");
        objects.push(format!("<< /Length {} >>\nstream\n{text}\nendstream", text.len()));
        let content = objects.len();
        objects.push(format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {content} 0 R \
             /Resources << /Font << /F1 3 0 R >> >> >>"
        ));
        kids.push(format!("{} 0 R", objects.len()));
    }
    objects[1] = format!("<< /Type /Pages /Kids [{}] /Count {} >>", kids.join(" "), kids.len());
    let mut out = b"%PDF-1.4\n".to_vec();
    let mut places = Vec::new();
    for (n, object) in objects.iter().enumerate() {
        places.push(out.len());
        write!(out, "{} 0 obj\n{object}\nendobj\n", n + 1).unwrap();
    }
    let xref = out.len();
    write!(out, "xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1).unwrap();
    for place in &places {
        writeln!(out, "{place:010} 00000 n ").unwrap();
    }
    let size = objects.len() + 1;
    write!(out, "trailer << /Size {size} /Root 1 0 R >>\nstartxref\n{xref}\n%%EOF\n").unwrap();
    out
}

#[tokio::test]
async fn the_text_of_a_pdf_is_read_in_parts_like_a_file() {
    let bench = bench();
    bench.write_bytes("a.pdf", &pdf(&["Hello there", "Second"]));
    let said = bench.call("read", json!({"path": "a.pdf"})).await.said();
    assert_eq!(said, "--- page 1 of 2 ---\nHello there\n\n--- page 2 of 2 ---\nSecond");
    let said = bench.call("read", json!({"path": "a.pdf", "offset": 2, "limit": 1})).await.said();
    assert_eq!(said, "Hello there\n\n[Showing lines 2-2 of 5. Go on with offset=3.]");
    let listed = bench.call("process", json!({"action": "list"})).await.said();
    assert_eq!(listed, "No process runs.", "nothing is kept of it");
}

#[tokio::test]
async fn a_damaged_pdf_is_refused() {
    let bench = bench();
    let whole = pdf(&["x"]);
    for (name, bytes) in [
        ("cut.pdf", whole[..whole.len() / 2].to_vec()),
        ("none.pdf", b"%PDF-1.7\n".to_vec()),
        (
            "loop.pdf",
            String::from_utf8(whole)
                .unwrap()
                .replace("/Kids [5 0 R]", "/Kids [2 0 R]")
                .into_bytes(),
        ),
        ("empty.pdf", pdf(&[""])),
    ] {
        bench.write_bytes(name, &bytes);
        let outcome = bench.call("read", json!({"path": name})).await;
        assert!(outcome.is_error && outcome.said().starts_with(name), "{name}: {}", outcome.said());
    }
}

/// Answers every connection with these bytes; its address.
async fn site(answers: Vec<String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let own = address.clone();
    tokio::spawn(async move {
        let mut answers = answers.into_iter().cycle();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 4_096];
            let _ = stream.read(&mut request).await;
            let answer = answers.next().unwrap().replace("SELF", &own);
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    address
}

fn answer(head: &str, body: &str) -> String {
    format!("HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn a_page_is_fetched_as_text() {
    let bench = bench();
    let html = "<html><head><title>T</title></head><body><h2>Hi</h2><p>there</p></body></html>";
    let site = site(vec![
        answer("302 Found\r\nlocation: SELF/b", ""),
        answer("200 OK\r\ncontent-type: text/html; charset=utf-8", html),
    ])
    .await;
    let outcome = bench.call("web_fetch", json!({"url": format!("{site}/a")})).await;
    assert_eq!(outcome.said(), format!("[From {site}/b]\n\n# T\n\n## Hi\n\nthere"));
    assert_eq!(outcome.details.unwrap()["status"], 200);
}

#[tokio::test]
async fn what_cannot_be_fetched_is_explained() {
    let bench = bench();
    let check = async |url: &str, part: &str| {
        let outcome = bench.call("web_fetch", json!({ "url": url })).await;
        assert!(outcome.is_error && outcome.said().contains(part), "{}", outcome.said());
    };
    check("file:///etc/passwd", "only http and https").await;
    check("http://127.0.0.1:1/", "127.0.0.1 could not be reached").await;
    let gone =
        site(vec![answer("404 Not Found\r\ncontent-type: text/plain", "no such page")]).await;
    check(&gone, "[HTTP status 404]\n\nno such page").await;
    let round = site(vec![answer("302 Found\r\nlocation: SELF/", "")]).await;
    check(&round, "leads on too often").await;
    let binary = site(vec![answer("200 OK\r\ncontent-type: image/png", "\0")]).await;
    check(&binary, "no text but image/png").await;
}

#[tokio::test]
async fn a_long_page_is_kept_in_a_file() {
    let bench = bench();
    let lines: Vec<String> = (1..=9_000).map(|n| format!("line {n}\n")).collect();
    let body = lines.concat();
    let site = site(vec![answer("200 OK\r\ncontent-type: text/plain", &body)]).await;
    let outcome = bench.call("web_fetch", json!({"url": site})).await;
    let said = outcome.said();
    assert!(said.contains("line 2000") && !said.contains("line 2001") && said.len() < 60_000);
    let path = outcome.details.unwrap()["fullOutputPath"].as_str().unwrap().to_owned();
    assert!(said.ends_with(&format!("[There is more. Full text: {path}]")), "{said}");
    let rest = bench.call("read", json!({"path": path, "offset": 8_999})).await.said();
    assert!(rest.contains("line 9000"), "{rest}");
}

#[tokio::test]
async fn a_page_that_never_comes_ends_with_the_call() {
    let bench = bench();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (ctx, _updates) = bench.context("w1");
    let work = bench.toolbox.run("web_fetch", &ctx, json!({ "url": url }));
    let cancel = async {
        let waiting = listener.accept().await.unwrap();
        ctx.cancel.cancel();
        waiting
    };
    let both = async { tokio::join!(work, cancel) };
    let (outcome, _) = tokio::time::timeout(Duration::from_secs(20), both).await.unwrap();
    assert_eq!(outcome.details.unwrap()["cancelled"], true);
    let all = bench.call("process", json!({"action": "list"})).await.said();
    assert_eq!(all, "No process runs.");
    let left = std::process::Command::new("pgrep").args(["-f", &url]).output().unwrap();
    assert!(left.stdout.is_empty(), "its program ends too");
}

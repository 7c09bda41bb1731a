//! The routes, asked without a socket.

use super::{WRITE_BYTES_MAX, router};
use axum::{Router, body::Body};
use http::{Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use std::{fs, path::Path};
use tempfile::TempDir;
use tower::ServiceExt as _;

struct Place {
    dir: TempDir,
    routes: Router,
}

fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let routes = router(dir.path());
    Place { dir, routes }
}

impl Place {
    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    async fn ask(&self, request: Request<Body>) -> Response<Body> {
        self.routes.clone().oneshot(request).await.unwrap()
    }

    async fn json(&self, request: Request<Body>) -> (StatusCode, Value) {
        let answer = self.ask(request).await;
        let status = answer.status();
        (status, serde_json::from_slice(&bytes(answer).await).unwrap())
    }

    async fn get(&self, uri: &str) -> (StatusCode, Value) {
        self.json(Request::get(uri).body(Body::empty()).unwrap()).await
    }

    async fn put(&self, path: &str, body: impl Into<Body>) -> (StatusCode, Value) {
        let uri = format!("/files/content?path={path}");
        self.json(Request::put(uri).body(body.into()).unwrap()).await
    }

    async fn post(&self, uri: &str, body: Value) -> (StatusCode, Value) {
        let request = Request::post(uri)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_string()))
            .unwrap();
        self.json(request).await
    }

    async fn content(&self, path: &str, range: Option<&str>) -> Response<Body> {
        let mut request = Request::get(format!("/files/content?path={path}"));
        if let Some(range) = range {
            request = request.header(header::RANGE, range);
        }
        self.ask(request.body(Body::empty()).unwrap()).await
    }
}

async fn bytes(answer: Response<Body>) -> Vec<u8> {
    answer.into_body().collect().await.unwrap().to_bytes().to_vec()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_folder_is_listed_folders_first() {
    let place = place();
    fs::create_dir(place.path("z")).unwrap();
    fs::write(place.path("a.txt"), "12345").unwrap();
    std::os::unix::fs::symlink("/nowhere", place.path("link")).unwrap();
    let (status, answer) = place.get("/files").await;
    assert_eq!(status, StatusCode::OK);
    let data = &answer["data"];
    assert_eq!((&data["type"], &data["path"]), (&json!("dir"), &json!(place.dir.path())));
    let seen: Vec<_> = data["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| (e["name"].as_str().unwrap(), e["type"].as_str().unwrap()))
        .collect();
    assert_eq!(seen, [("z", "dir"), ("a.txt", "file"), ("link", "link")]);
    assert_eq!(data["entries"][1]["size"], 5);
    assert!(data["entries"][1]["modifiedAt"].as_u64().unwrap() > 1_600_000_000_000);
}

#[tokio::test]
async fn paths_are_relative_to_the_project_and_may_lead_out_of_it() {
    let place = place();
    fs::create_dir(place.path("sub")).unwrap();
    let (_, answer) = place.get("/files?path=sub/../sub/./").await;
    assert_eq!(answer["data"]["path"], json!(place.path("sub")));
    let (_, answer) = place.get("/files?path=/../../etc").await;
    assert_eq!(answer["data"]["path"], "/etc");
    let (status, answer) = place.get("/files?path=no/such").await;
    assert_eq!((status, &answer["code"]), (StatusCode::NOT_FOUND, &json!("not_found")));
    let (status, answer) = place.get("/files?path=a%00b").await;
    assert_eq!((status, &answer["code"]), (StatusCode::BAD_REQUEST, &json!("invalid_argument")));
}

#[tokio::test]
async fn content_comes_whole_or_in_part() {
    let place = place();
    fs::write(place.path("f.bin"), "0123456789").unwrap();
    let whole = place.content("f.bin", None).await;
    assert_eq!(whole.headers()[header::CONTENT_LENGTH], "10");
    assert_eq!(whole.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    assert_eq!(bytes(whole).await, b"0123456789");
    let part = place.content("f.bin", Some("bytes=2-4")).await;
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.headers()[header::CONTENT_RANGE], "bytes 2-4/10");
    assert_eq!(bytes(part).await, b"234");
    let none = place.content("f.bin", Some("bytes=10-")).await;
    assert_eq!(none.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(none.headers()[header::CONTENT_RANGE], "bytes */10");
}

#[tokio::test]
async fn an_empty_file_is_empty_and_a_proc_file_is_not() {
    let place = place();
    fs::write(place.path("empty"), "").unwrap();
    let empty = place.content("empty", None).await;
    assert_eq!(empty.status(), StatusCode::OK);
    assert!(bytes(empty).await.is_empty());
    let version = place.content("/proc/version", None).await;
    assert!(bytes(version).await.starts_with(b"Linux"));
}

#[tokio::test]
async fn what_a_browser_would_run_is_sent_as_text_to_be_saved() {
    let place = place();
    for name in ["a.html", "a.svg", "a.xhtml", "a.xml"] {
        fs::write(place.path(name), "<script>").unwrap();
        let answer = place.content(name, None).await;
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "text/plain; charset=utf-8", "{name}");
        assert_eq!(answer.headers()[header::CONTENT_DISPOSITION], "attachment", "{name}");
    }
    fs::write(place.path("a.png"), "x").unwrap();
    let image = place.content("a.png", None).await;
    assert_eq!(image.headers()[header::CONTENT_TYPE], "image/png");
}

#[tokio::test]
async fn pipes_devices_and_folders_are_refused_at_once() {
    let place = place();
    let pipe = place.path("pipe");
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
    std::os::unix::fs::symlink("/dev/zero", place.path("zero")).unwrap();
    std::os::unix::fs::symlink("loop", place.path("loop")).unwrap();
    fs::create_dir(place.path("dir")).unwrap();
    for name in ["pipe", "zero", "dir", "loop", "/dev/tty"] {
        let answer = place.content(name, None).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "reading {name}");
        let (status, _) = place.put(name, "x").await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "writing {name}");
    }
}

#[tokio::test]
async fn a_write_replaces_the_whole_file_and_keeps_its_mode() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = place();
    let path = place.path("run.sh");
    fs::write(&path, "old and longer").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
    let (status, answer) = place.put("run.sh", "new").await;
    assert_eq!((status, &answer["data"]["size"]), (StatusCode::OK, &json!(3)));
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o750);
    assert_eq!(names(place.dir.path()), ["run.sh"]);
}

#[tokio::test]
async fn a_link_is_written_through_and_stays_a_link() {
    let place = place();
    fs::write(place.path("real"), "old").unwrap();
    std::os::unix::fs::symlink("real", place.path("link")).unwrap();
    place.put("link", "new").await;
    assert_eq!(fs::read(place.path("real")).unwrap(), b"new");
    assert!(fs::symlink_metadata(place.path("link")).unwrap().is_symlink());
}

#[tokio::test]
async fn a_write_that_fails_changes_nothing() {
    let place = place();
    fs::write(place.path("f"), "old").unwrap();
    let broken = Body::from_stream(futures_util::stream::iter([
        Ok(bytes::Bytes::from_static(b"half")),
        Err(std::io::Error::other("gone")),
    ]));
    let (status, _) = place.put("f", broken).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let piece = bytes::Bytes::from(vec![0u8; 1 << 20]);
    let pieces = usize::try_from(WRITE_BYTES_MAX >> 20).unwrap() + 1;
    let endless = Body::from_stream(futures_util::stream::iter(std::iter::repeat_n(
        Ok::<_, std::convert::Infallible>(piece),
        pieces,
    )));
    let (status, answer) = place.put("f", endless).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(answer["code"], "payload_too_large");
    assert_eq!(fs::read(place.path("f")).unwrap(), b"old");
    assert_eq!(names(place.dir.path()), ["f"], "nothing half-written is left");
    let (status, answer) = place.put("no/such/dir/f", "x").await;
    assert_eq!((status, &answer["code"]), (StatusCode::NOT_FOUND, &json!("not_found")));
}

#[tokio::test]
async fn a_write_that_is_under_way_has_no_name_that_a_crash_could_leave() {
    let place = place();
    fs::write(place.path("f"), "old").unwrap();
    for name in ["f", "new"] {
        let (tx, rx) = tokio::sync::mpsc::channel::<Result<bytes::Bytes, std::io::Error>>(1);
        let body = Body::from_stream(futures_util::stream::unfold(rx, async |mut rx| {
            Some((rx.recv().await?, rx))
        }));
        let before = names(place.dir.path());
        let look = async {
            for piece in ["ha", "lf"] {
                tx.send(Ok(bytes::Bytes::from(piece))).await.unwrap();
            }
            // Taken: the first piece is in the file, the second waits behind it.
            tx.send(Ok(bytes::Bytes::new())).await.unwrap();
            let during = names(place.dir.path());
            drop(tx);
            during
        };
        let ((status, _), during) = tokio::join!(place.put(name, body), look);
        assert_eq!(status, StatusCode::OK);
        assert_eq!(during, before, "{name}");
        assert_eq!(fs::read(place.path(name)).unwrap(), b"half");
    }
    assert_eq!(names(place.dir.path()), ["f", "new"]);
}

#[tokio::test]
async fn a_full_disk_is_told_as_such() {
    // `/dev/full` is refused as a device, so the error is made where the system would give it.
    let err = std::io::Error::from(std::io::ErrorKind::StorageFull);
    let refused = crate::answer::Failure::io("writing f", &err).of("write_file");
    let answer = axum::response::IntoResponse::into_response(refused);
    assert_eq!(answer.status(), StatusCode::INSUFFICIENT_STORAGE);
}

#[tokio::test]
async fn moving_never_replaces_and_says_so() {
    let place = place();
    fs::write(place.path("a"), "a").unwrap();
    fs::write(place.path("b"), "b").unwrap();
    let (status, answer) = place.post("/files/move", json!({"from": "a", "to": "b"})).await;
    assert_eq!((status, &answer["code"]), (StatusCode::CONFLICT, &json!("conflict")));
    assert_eq!(fs::read(place.path("b")).unwrap(), b"b");
    let (status, _) = place.post("/files/move", json!({"from": "a", "to": "c"})).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(names(place.dir.path()), ["b", "c"]);
    let (status, _) = place.post("/files/move", json!({"from": "nope", "to": "d"})).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, _) = place.post("/files/move", json!({"from": "b"})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn folders_are_made_with_their_parents_and_removed_with_their_content() {
    let place = place();
    let (status, _) = place.post("/files/mkdir", json!({"path": "x/y/z"})).await;
    assert_eq!(status, StatusCode::OK);
    fs::write(place.path("outside"), "keep").unwrap();
    std::os::unix::fs::symlink(place.path("outside"), place.path("x/link")).unwrap();
    let remove = |path: &str| Request::delete(format!("/files{path}")).body(Body::empty()).unwrap();
    assert_eq!(place.json(remove("?path=x")).await.0, StatusCode::OK);
    assert_eq!(names(place.dir.path()), ["outside"], "a link is removed, not what it leads to");
    assert_eq!(place.json(remove("?path=x")).await.0, StatusCode::NOT_FOUND);
    let own = format!("?path={}", place.dir.path().display());
    for path in
        ["", "?path=", "?path=.", "?path=/", "?path=/etc/..", "?path=/usr", "?path=/home", &own]
    {
        assert_eq!(place.json(remove(path)).await.0, StatusCode::BAD_REQUEST, "{path}");
    }
}

#[tokio::test]
async fn an_unchanged_file_is_not_sent_again() {
    let place = place();
    fs::write(place.path("f"), "x").unwrap();
    let tag = place.content("f", None).await.headers()[header::ETAG].clone();
    let again = Request::get("/files/content?path=f")
        .header(header::IF_NONE_MATCH, tag)
        .body(Body::empty())
        .unwrap();
    assert_eq!(place.ask(again).await.status(), StatusCode::NOT_MODIFIED);
    let torn = Request::get("/files/content?path=f")
        .header(header::RANGE, "bytes=0-0")
        .header(header::IF_RANGE, "\"other\"")
        .body(Body::empty())
        .unwrap();
    assert_eq!(place.ask(torn).await.status(), StatusCode::OK, "a range of another version");
}

/// Names in an archive, by its index.
async fn archived(place: &Place, query: &str) -> (Response<Body>, Vec<String>) {
    let uri = format!("/files/archive.zip{query}");
    let (parts, body) =
        place.ask(Request::get(uri).body(Body::empty()).unwrap()).await.into_parts();
    let whole = body.collect().await.unwrap().to_bytes();
    let archive = zip::ZipArchive::new(std::io::Cursor::new(whole.to_vec())).unwrap();
    let names = archive.file_names().map(|name| name.unwrap().into_owned()).collect();
    (Response::from_parts(parts, Body::from(whole)), names)
}

#[tokio::test]
async fn an_archive_has_the_projects_files_and_neither_secrets_nor_what_is_made_anew() {
    let place = place();
    let write = |name: &str, text: &str| {
        let path = place.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    // The source's list, letter by letter.
    for folder in ".git node_modules .next dist build .cache .turbo .aws .ssh .gnupg .kube coverage .agents tmp"
        .split_whitespace()
    {
        write(&format!("{folder}/x.ts"), "x");
        write(&format!("web/{}/x.ts", folder.to_uppercase()), "x");
    }
    for file in ".env .env.local .ENV.production a.pem a.key .npmrc .git-credentials .pypirc .netrc a.p12 a.pfx \
                 id_rsa id_ed25519 SERVER.PEM"
        .split_whitespace()
    {
        write(file, "s3cret-canary");
        write(&format!("deep/er/{file}"), "s3cret-canary");
    }
    write("venv/.env/inside.ts", "s3cret-canary");
    std::os::unix::fs::symlink("/etc/passwd", place.path("link")).unwrap();
    std::os::unix::fs::symlink("/etc", place.path("links")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, place.path("pipe"), rustix::fs::Mode::RWXU).unwrap();
    let kept =
        [".env.example", "builder/tmp.ts", "deep/keys.ts", "environment.ts", "h\u{e9}llo.md"];
    for file in kept {
        write(file, "kept");
    }
    let (answer, mut names) = archived(&place, "").await;
    names.sort();
    assert_eq!(names, kept);
    assert_eq!(answer.headers()["x-toft-files"], "5");
    assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/zip");
    assert!(!String::from_utf8_lossy(&bytes(answer).await).contains("canary"));
}

#[tokio::test]
async fn an_archive_that_would_be_too_large_is_refused_and_one_that_just_fits_is_not() {
    let place = place();
    for n in 0..4 {
        fs::write(place.path(&format!("{n}.txt")), "x".repeat(25)).unwrap();
    }
    let (_, names) = archived(&place, "?bytesMax=100&filesMax=4").await;
    assert_eq!(names.len(), 4);
    for query in ["?bytesMax=99&filesMax=4", "?bytesMax=100&filesMax=3"] {
        let (status, said) = place.get(&format!("/files/archive.zip{query}")).await;
        assert_eq!(
            (status, &said["code"]),
            (StatusCode::PAYLOAD_TOO_LARGE, &json!("payload_too_large")),
            "{said}"
        );
    }
}

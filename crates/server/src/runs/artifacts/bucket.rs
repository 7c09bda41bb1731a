//! Artifacts in a bucket, against a double of S3 that others wrote (`stories/peers/s3`) and that checks signatures.

use super::*;
use serde_json::Value;
use std::{
    env,
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

struct Double {
    child: Child,
    ask: ChildStdin,
    said: BufReader<ChildStdout>,
    about: Value,
}

impl Drop for Double {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Double {
    /// `None`: its packages are not installed.
    fn start() -> Option<Self> {
        let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let cache = cache.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")))?;
        let python = cache.join("toft/s3/bin/python");
        if !python.exists() {
            toft_lane::skip("artifacts in a bucket", "no moto; `.ci/prepare tests` installs it");
            return None;
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../stories/peers/s3/s3.py");
        let mut child = Command::new(python)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let ask = child.stdin.take().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let mut double = Self { child, ask, said, about: Value::Null };
        double.about = double.line();
        Some(double)
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn list(&mut self) -> Value {
        writeln!(self.ask, "list").unwrap();
        self.line()
    }

    fn place(&self, change: &[(&str, &str)]) -> ArtifactPlace {
        let text = |name: &str| self.about[name].as_str().unwrap().to_owned();
        let mut variables = BTreeMap::from([
            ("AWS_ACCESS_KEY_ID".to_owned(), text("key")),
            ("AWS_SECRET_ACCESS_KEY".to_owned(), text("secret")),
            ("AWS_ENDPOINT_URL".to_owned(), text("url")),
            ("AWS_REGION".to_owned(), "us-east-1".to_owned()),
            ("AWS_ALLOW_HTTP".to_owned(), "true".to_owned()),
        ]);
        for (name, value) in change {
            variables.insert((*name).to_owned(), (*value).to_owned());
        }
        ArtifactPlace::Bucket { url: format!("s3://{}/of/toft", text("bucket")), variables }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_holds_what_is_whole_and_nothing_of_what_was_cut() {
    // The client's TLS wants one, also for plain addresses.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let Some(mut double) = Double::start() else { return };
    let artifacts = Artifacts::open(&double.place(&[])).unwrap();
    artifacts.check().await.unwrap();
    let (project, run) = (ProjectId::random(), JobId::random());
    let path = Artifacts::workspace(&project, &run, 1, 1);
    let pieces =
        |n: usize| (0..n).map(|n| Ok(Bytes::from(vec![u8::try_from(n).unwrap(); 1 << 20])));
    // Larger than one request takes: it goes up in parts.
    let size = artifacts.put(&path, futures_util::stream::iter(pieces(23))).await.unwrap();
    assert_eq!(size, 23 << 20);
    let listed = double.list();
    let key = format!("of/toft/{path}");
    assert_eq!(listed["objects"], serde_json::json!([key]), "the check left nothing");
    assert_eq!(listed["sizes"][&key], 23 << 20);
    let kept = artifacts.get(&path).await.unwrap();
    assert_eq!(kept.size, size);
    let bytes = kept.bytes.try_collect::<Vec<_>>().await.unwrap().concat();
    assert!(bytes.chunks(1 << 20).enumerate().all(|(n, c)| c.iter().all(|b| usize::from(*b) == n)));

    let cut = pieces(21).chain([Err(io::Error::other("cut"))]);
    let other = Artifacts::workspace(&project, &run, 2, 1);
    assert!(artifacts.put(&other, futures_util::stream::iter(cut)).await.is_err());
    let listed = double.list();
    assert_eq!(
        (&listed["objects"], &listed["uploads"]),
        (&serde_json::json!([key]), &serde_json::json!([]))
    );
    assert!(matches!(artifacts.get(&other).await, Err(ArtifactError::Gone)));

    let small = Artifacts::workspace(&project, &run, 3, 1);
    artifacts
        .put(&small, futures_util::stream::iter([Ok(Bytes::from_static(b"x"))]))
        .await
        .unwrap();
    artifacts.remove(&small).await.unwrap();
    artifacts.remove(&small).await.unwrap();
    let stranger = Artifacts::workspace(&ProjectId::random(), &run, 1, 1);
    artifacts
        .put(&stranger, futures_util::stream::iter([Ok(Bytes::from_static(b"y"))]))
        .await
        .unwrap();
    artifacts.forget(&project).await.unwrap();
    assert_eq!(double.list()["objects"], serde_json::json!([format!("of/toft/{stranger}")]));
}

/// What it answers to a key that it does not take says which key that was, and what was signed.
#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_refuses_a_key_later_on_is_told_without_it() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let Some(double) = Double::start() else { return };
    let key = double.about["key"].as_str().unwrap().to_owned();
    for change in
        [("AWS_SECRET_ACCESS_KEY", "canary-of-a-key"), ("AWS_ACCESS_KEY_ID", "CANARY-OF-A-KEY")]
    {
        let artifacts = Artifacts::open(&double.place(&[change])).unwrap();
        let project = ProjectId::random();
        let path = Artifacts::workspace(&project, &JobId::random(), 1, 1);
        let small = futures_util::stream::iter([Ok(Bytes::from_static(b"x"))]);
        let large = futures_util::stream::iter((0..23).map(|_| Ok(Bytes::from(vec![7; 1 << 20]))));
        let refused = [
            artifacts.put(&path, small).await.unwrap_err(),
            artifacts.put(&path, large).await.unwrap_err(),
            artifacts.get(&path).await.map(|kept| kept.size).unwrap_err(),
            artifacts.forget(&project).await.unwrap_err(),
        ];
        for refused in refused {
            let said = format!("{refused} {refused:?}").to_lowercase();
            assert!(said.contains("its key is refused"), "{said}");
            assert!(!said.contains("canary") && !said.contains(&key.to_lowercase()), "{said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_cannot_be_used_is_told_at_the_start_without_its_key() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let Some(double) = Double::start() else { return };
    for (change, says) in [
        (vec![("AWS_SECRET_ACCESS_KEY", "canary-of-a-key")], "AWS_SECRET_ACCESS_KEY"),
        (vec![("AWS_ACCESS_KEY_ID", "CANARY-OF-A-KEY")], "AWS_ACCESS_KEY_ID"),
        (vec![("AWS_ENDPOINT_URL", "http://127.0.0.1:1")], "AWS_ENDPOINT_URL"),
    ] {
        let place = double.place(&change);
        let refused = Artifacts::open(&place).unwrap().check().await.unwrap_err().to_string();
        assert!(refused.contains(says) && refused.contains("s3://artifacts"), "{refused}");
        assert!(!refused.to_lowercase().contains("canary"), "{refused}");
        assert!(!refused.contains(double.about["key"].as_str().unwrap()), "{refused}");
    }
    let ArtifactPlace::Bucket { variables, .. } = double.place(&[]) else { unreachable!() };
    let nowhere = ArtifactPlace::Bucket { url: "s3://nobodys".into(), variables };
    let refused = Artifacts::open(&nowhere).unwrap().check().await.unwrap_err().to_string();
    assert!(refused.contains("no such bucket"), "{refused}");
}

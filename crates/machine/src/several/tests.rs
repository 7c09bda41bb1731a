//! What is asked of several backends goes to the one that a project is of. With backends that say who they are; with
//! real ones in `tests/native/several.rs`.

use super::{Lazy, Several, absent::Absent};
use crate::backend::{Backend, MachineError};
use futures_util::future::BoxFuture;
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use toft_model::id::ProjectId;

/// One that is there and has nothing.
fn named(name: &'static str, at: &Path) -> Arc<dyn Backend> {
    Arc::new(Absent::new(name, at.join(name)))
}

fn lazy(name: &'static str, at: &Path, opened: &Arc<AtomicUsize>, fails: bool) -> Lazy {
    let (backend, opened) = (named(name, at), Arc::clone(opened));
    let open: super::Open = Box::new(move || -> BoxFuture<'static, _> {
        opened.fetch_add(1, Ordering::SeqCst);
        let backend = Arc::clone(&backend);
        Box::pin(async move {
            if fails {
                let (missing, remedy) = ("an engine".to_owned(), "Start it.".to_owned());
                return Err(MachineError::Unsupported { missing, remedy });
            }
            Ok(backend)
        })
    });
    Lazy { name, place: at.join(format!("place-{name}")), open: Ok(open) }
}

#[tokio::test]
async fn a_project_is_of_the_servers_own_backend_until_it_is_said_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    let opened = Arc::new(AtomicUsize::new(0));
    let refused = Lazy {
        name: "host",
        place: dir.path().join("h"),
        open: Err("the admin must name it".into()),
    };
    let others = vec![lazy("oci", dir.path(), &opened, false), refused];
    let several: Arc<dyn Backend> = Arc::new(Several::new(named("native", dir.path()), others));
    assert_eq!(several.choices(), ["native", "oci"]);
    let (one, two) = (ProjectId::random(), ProjectId::random());
    assert_eq!(several.of(&one).name(), "native");
    assert_eq!(several.log_dir(&one), dir.path().join("native").join(one.as_str()));

    several.assign(&two, "oci").await.unwrap();
    several.assign(&two, "oci").await.unwrap();
    assert_eq!(opened.load(Ordering::SeqCst), 1, "it is opened once");
    assert_eq!((several.of(&one).name(), several.of(&two).name()), ("native", "oci"));
    assert_eq!(several.log_dir(&two), dir.path().join("oci").join(two.as_str()));

    let said = several.assign(&one, "host").await.unwrap_err().to_string();
    assert!(said.contains("`host`") && said.contains("must name it"), "{said}");
    assert_eq!(several.of(&one).name(), "host", "it is what it is, also when it cannot be had");
    assert!(several.create(&one).await.unwrap_err().to_string().contains("must name it"));
    let said = several.assign(&one, "moon").await.unwrap_err().to_string();
    assert!(said.contains("moon"), "{said}");
}

#[tokio::test]
async fn one_that_cannot_be_opened_says_why_and_is_not_tried_at_every_call() {
    let dir = tempfile::tempdir().unwrap();
    let opened = Arc::new(AtomicUsize::new(0));
    let others = vec![lazy("oci", dir.path(), &opened, true)];
    let several: Arc<dyn Backend> = Arc::new(Several::new(named("native", dir.path()), others));
    let project = ProjectId::random();
    for _ in 0..3 {
        let said = several.assign(&project, "oci").await.unwrap_err().to_string();
        assert!(said.contains("an engine") && said.contains("Start it"), "{said}");
        let said = several.files(&project).await.unwrap_err().to_string();
        assert!(said.contains("an engine"), "{said}");
    }
    assert_eq!(opened.load(Ordering::SeqCst), 1);
    // What needs no waiting is answered all the same.
    let of = several.of(&project);
    assert_eq!((of.name(), of.can().checkpoint), ("oci", false));
    assert!(several.log_dir(&project).starts_with(dir.path().join("place-oci/logs")));
}

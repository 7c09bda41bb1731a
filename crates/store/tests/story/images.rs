//! Images of the story, and which project was made of which.

use super::{new_project, project};
use toft_model::id::ProjectId;
use toft_store::{ImageState, NewImage, ProjectImage, Store, StoreError};

pub(crate) async fn images(store: &dyn Store) {
    let new = |key: &str, name: &str| NewImage {
        key: key.into(),
        name: name.into(),
        kind: "tarball".into(),
        source: "/x.tar".into(),
    };
    let (one, begun) = store.begin_image(&new("k1", "alpine"), 10).await.unwrap();
    assert_eq!((one.state.clone(), one.bytes, begun), (ImageState::Making, 0, true));
    assert_eq!(store.begin_image(&new("k1", "other"), 20).await.unwrap(), (one, false));
    let taken = store.begin_image(&new("k2", "alpine"), 20).await;
    assert!(matches!(taken, Err(StoreError::Taken { .. })), "{taken:?}");
    let builder = ProjectId::random();
    store.set_image_builder("k1", Some(&builder)).await.unwrap();
    assert_eq!(store.image("k1").await.unwrap().unwrap().builder, Some(builder));
    store.set_image_builder("k1", None).await.unwrap();
    store.finish_image("k1", Err("no room")).await.unwrap();
    let failed = store.image("alpine").await.unwrap().unwrap();
    assert_eq!(failed.state, ImageState::Failed("no room".into()));
    // What failed gives its name to another try.
    store.begin_image(&new("k0", "alpine"), 25).await.unwrap();
    assert_eq!(store.image("k1").await.unwrap(), None);
    assert!(store.delete_image("k0").await.unwrap());
    let (again, begun) = store.begin_image(&new("k1", "alp"), 30).await.unwrap();
    assert_eq!((again.state, again.builder, begun), (ImageState::Making, None, true));
    store.finish_image("k1", Ok(7)).await.unwrap();
    store.begin_image(&new("k2", "debian"), 40).await.unwrap();
    let names: Vec<_> =
        store.images().await.unwrap().into_iter().map(|i| (i.what.name, i.bytes)).collect();
    assert_eq!(names, [("debian".into(), 0), ("alp".into(), 7)]);
    store.rename_image("k1", "alpine").await.unwrap();
    let taken = store.rename_image("k1", "debian").await;
    assert!(matches!(taken, Err(StoreError::Taken { .. })), "{taken:?}");
    for key in ["k1", "k2"] {
        store.set_default_image(Some(key)).await.unwrap();
    }
    assert!(store.set_default_image(Some("none")).await.is_err());
    let default: Vec<_> = store.images().await.unwrap().iter().map(|i| i.is_default).collect();
    assert_eq!(default, [true, false], "a refused one changes nothing");
    assert!(store.delete_image("k2").await.unwrap());
    assert!(!store.delete_image("k2").await.unwrap());

    // Written before the project is one; gone with it.
    let made_of = ProjectImage { key: "k1".into(), name: "alpine".into() };
    let shop = project(store, None, 1).await.id;
    assert_eq!(store.project_image(&shop).await.unwrap(), None);
    store.set_project_image(&shop, Some(&made_of)).await.unwrap();
    assert_eq!(store.project_image(&shop).await.unwrap(), Some(made_of.clone()));
    let fork = new_project(None, "Fork");
    store.begin_forks(std::slice::from_ref(&fork), 2).await.unwrap();
    store.finish_forks(&shop, 0, std::slice::from_ref(&fork.id), &[], None).await.unwrap();
    assert_eq!(store.project_image(&fork.id).await.unwrap(), Some(made_of));
    let all = [shop.clone(), fork.id.clone()];
    assert_eq!(store.projects_of_image("k1").await.unwrap(), all);
    store.delete_project(&shop, 3).await.unwrap();
    assert_eq!(store.projects_of_image("k1").await.unwrap(), all[1..]);
    assert_eq!(store.projects_of_image("k2").await.unwrap(), []);
    assert_eq!(store.project_image(&shop).await.unwrap(), None);
}

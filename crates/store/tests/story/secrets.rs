//! Sealed secrets and their keys.

use crate::{HOUR, databases::Place, new_project, project};
use toft_store::{
    AuthorityRow, BrokeredRow, ProjectKey, ProjectSecrets, ProviderKey, SecretRow, Store,
    StoreError, Wrapped,
};

fn row(name: &str, sealed: Option<&str>, revision: u64) -> SecretRow {
    SecretRow {
        name: name.into(),
        kind: "environment".into(),
        sealed: sealed.map(str::to_owned),
        revision,
        set_at: 5 + revision,
        set_by: "u".into(),
        brokered: None,
    }
}

fn key(sealed: &str) -> ProjectKey {
    ProjectKey { sealed: sealed.into(), authority: None }
}

pub(crate) async fn secrets(store: &dyn Store) {
    let (shop, other) = (project(store, None, 1).await, project(store, None, 2).await);
    assert_eq!(store.secrets(&shop.id).await.unwrap(), ProjectSecrets::default());
    let first = [row("B", Some("v1.b"), 1), row("A", Some("v1.a"), 1)];
    assert!(store.put_secrets(&shop.id, 0, &key("key"), &first, 10).await.unwrap());
    assert!(
        !store.put_secrets(&shop.id, 0, &key("other"), &[row("C", None, 1)], 11).await.unwrap()
    );
    let found = store.secrets(&shop.id).await.unwrap();
    assert_eq!((found.revision, found.key.as_ref().map(|key| &*key.sealed)), (1, Some("key")));
    assert_eq!(found.rows, [row("A", Some("v1.a"), 1), row("B", Some("v1.b"), 1)]);
    // One is set anew; one becomes a bare name.
    let second = [row("A", Some("v1.c"), 2), row("C", None, 2)];
    assert!(store.put_secrets(&shop.id, 1, &key("key"), &second, 12).await.unwrap());
    let names = |found: &ProjectSecrets| {
        found.rows.iter().map(|row| (row.name.clone(), row.revision)).collect::<Vec<_>>()
    };
    let found = store.secrets(&shop.id).await.unwrap();
    assert_eq!(names(&found), [("A".into(), 2), ("B".into(), 1), ("C".into(), 2)]);
    assert!(store.delete_secret(&shop.id, "B").await.unwrap());
    assert!(!store.delete_secret(&shop.id, "B").await.unwrap());
    assert_eq!(store.secrets(&shop.id).await.unwrap().revision, 3);
    assert_eq!(store.secrets(&other.id).await.unwrap().rows, []);
    // A value that takes another's place leaves all else as it was.
    assert!(store.reseal_secret(&shop.id, "A", "v1.c", "v1.d").await.unwrap());
    assert!(!store.reseal_secret(&shop.id, "A", "v1.c", "v1.x").await.unwrap());
    let mut resealed = store.secrets(&shop.id).await.unwrap();
    assert_eq!(resealed.rows[0].sealed.replace("v1.c".into()).as_deref(), Some("v1.d"));
    assert_eq!((resealed.rows[0].clone(), resealed.revision), (row("A", Some("v1.c"), 2), 3));

    // Another key: only as long as nothing was changed meanwhile.
    let anew = [("A".to_owned(), "v1.n".to_owned())];
    assert!(!store.replace_secret_key(&shop.id, 2, &key("new"), &anew, HOUR).await.unwrap());
    assert!(store.replace_secret_key(&shop.id, 3, &key("new"), &anew, HOUR).await.unwrap());
    let found = store.secrets(&shop.id).await.unwrap();
    assert_eq!((found.revision, found.key.as_ref().map(|key| &*key.sealed)), (3, Some("new")));
    assert_eq!(found.rows[0], row("A", Some("v1.n"), 2));

    // A brokered one, and the authority that goes with it, sealed with whatever the values are.
    let brokered = BrokeredRow { placeholder: "p".into(), binding: "{}".into() };
    let kept = SecretRow { brokered: Some(brokered), ..row("D", Some("v1.d"), 4) };
    let authority =
        |sealed: &str| Some(AuthorityRow { certificate: "pem".into(), sealed: sealed.into() });
    let with =
        |sealed: &str, under: &str| ProjectKey { authority: authority(under), ..key(sealed) };
    assert!(
        store
            .put_secrets(&shop.id, 3, &with("new", "a"), std::slice::from_ref(&kept), 13)
            .await
            .unwrap()
    );
    let found = store.secrets(&shop.id).await.unwrap();
    assert_eq!((found.key, found.rows.last()), (Some(with("new", "a")), Some(&kept)));
    assert!(store.replace_secret_key(&shop.id, 4, &with("new", "b"), &[], 14).await.unwrap());
    assert_eq!(store.secrets(&shop.id).await.unwrap().key, Some(with("new", "b")));
    // It becomes an ordinary one.
    let plain = row("D", Some("v1.e"), 5);
    assert!(
        store
            .put_secrets(&shop.id, 4, &key("new"), std::slice::from_ref(&plain), 15)
            .await
            .unwrap()
    );
    let found = store.secrets(&shop.id).await.unwrap();
    assert_eq!((found.key, found.rows.last()), (Some(key("new")), Some(&plain)));

    // All that hangs on the master key, at once.
    assert_eq!(store.master_id().await.unwrap(), None);
    store.put_master_id("one").await.unwrap();
    let own = ProviderKey { provider: "x".into(), sealed: "p1".into(), hint: "…".into() };
    store.put_provider_key(&own, 1).await.unwrap();
    let mut all = store.wrapped().await.unwrap();
    assert_eq!(all.data_keys, [(shop.id.clone(), "new".to_owned())]);
    assert!(all.provider_keys.contains(&("x".to_owned(), "p1".to_owned())));
    all.data_keys[0].1 = "under two".into();
    all.provider_keys = vec![("x".into(), "p2".into())];
    store.rewrap(&all, "two").await.unwrap();
    assert_eq!(store.master_id().await.unwrap().as_deref(), Some("two"));
    assert_eq!(
        store.secrets(&shop.id).await.unwrap().key.map(|key| key.sealed).as_deref(),
        Some("under two")
    );
    assert_eq!(store.wrapped().await.unwrap(), all);
    store.delete_provider_key("x").await.unwrap();

    // A fork that is being made has them before anybody sees it, and loses them if it never is.
    let made = new_project(None, "Fork");
    store.begin_forks(std::slice::from_ref(&made), 20).await.unwrap();
    assert!(store.put_secrets(&made.id, 0, &key("k"), &[row("A", None, 1)], 21).await.unwrap());
    store.set_destroyed(&made.id, 22).await.unwrap();
    assert!(matches!(store.secrets(&made.id).await, Err(StoreError::Missing { .. })));
    store.delete_project(&shop.id, 30).await.unwrap();
    assert_eq!(store.secrets(&shop.id).await.unwrap(), ProjectSecrets::default());
    assert_eq!(store.wrapped().await.unwrap(), Wrapped::default());
    store.delete_project(&other.id, 31).await.unwrap();
}

pub(crate) async fn no_id(place: &Place) {
    let store = place.open().await;
    let shop = project(&*store, None, 1).await.id;
    store.put_secrets(&shop, 0, &ProjectKey::default(), &[], 2).await.unwrap();
    assert_eq!(store.wrapped().await.unwrap().data_keys.len(), 1);
    place.sql("UPDATE project SET public_id = 'no id'").await;
    assert!(matches!(store.wrapped().await, Err(StoreError::Query(sqlx::Error::Decode(_)))));
    store.close().await;
}

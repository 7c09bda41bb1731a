//! Keys of programs: kept without the key, forgotten with their project.

use super::project;
use toft_store::{ApiKey, Scope, Store, StoreError};

pub(crate) async fn api_keys(store: &dyn Store) {
    let shop = project(store, None, 70).await.id;
    let key = |n: u8, name: &str| ApiKey {
        id: format!("key-{n}"),
        name: name.into(),
        prefix: format!("toft_{n}"),
        hash: [n; 32],
        scopes: vec![Scope::Models, Scope::Read],
        project: None,
        created_by: None,
        created_at: u64::from(n),
        expires_at: Some(900),
        used_at: None,
    };
    let free = key(1, "Build");
    let bound = ApiKey { project: Some(shop.clone()), expires_at: None, ..key(2, "Shop") };
    store.put_api_key(&free).await.unwrap();
    store.put_api_key(&bound).await.unwrap();
    assert!(matches!(
        store.put_api_key(&key(3, "BUILD")).await,
        Err(StoreError::Taken { what }) if what.contains("name")
    ));
    assert_eq!(store.api_keys().await.unwrap(), [bound.clone(), free.clone()]);
    store.touch_api_key("key-1", 80).await.unwrap();
    store.touch_api_key("key-1", 75).await.unwrap();
    let used = ApiKey { used_at: Some(80), ..free };

    store.delete_project(&shop, 90).await.unwrap();
    assert_eq!(store.api_keys().await.unwrap(), [used]);
    // Nobody gets a key of a project that is gone.
    assert!(matches!(store.put_api_key(&bound).await, Err(StoreError::Missing { .. })));
    assert!(store.delete_api_key("key-1").await.unwrap());
    assert!(!store.delete_api_key("key-1").await.unwrap());
    assert!(store.api_keys().await.unwrap().is_empty());
}

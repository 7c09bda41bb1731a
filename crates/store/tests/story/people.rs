//! Accounts, sign-ins and codes of the story, and what people set: settings and sealed keys.

use super::HOUR;
use toft_store::{NewSession, ProviderKey, Role, SYSTEM_USER, Store, StoreError, UserPatch};

pub(crate) async fn people(store: &dyn Store) {
    let admin = store.first_admin("Admin", "admin@localhost", 1).await.unwrap();
    assert_eq!(admin.role, Role::Owner);
    assert!(!admin.has_password);
    assert_eq!(store.first_admin("Other", "other@localhost", 2).await.unwrap(), admin);
    assert_eq!(store.user(SYSTEM_USER).await.unwrap(), None, "keys' user is nobody's account");

    let patch = UserPatch {
        name: Some("Ada".into()),
        email: Some("Ada@Example.org".into()),
        password_phc: Some("$argon2id$x".into()),
    };
    let ada = store.update_user(&admin.id, &patch, 3).await.unwrap();
    assert!(ada.has_password);
    let (found, phc) = store.user_by_email("ADA@example.ORG").await.unwrap().unwrap();
    assert_eq!((found, phc.as_deref()), (ada.clone(), Some("$argon2id$x")));
    assert!(store.user_by_email("nobody@example.org").await.unwrap().is_none());
    let system = UserPatch { email: Some("system@invalid".into()), ..UserPatch::default() };
    assert!(matches!(
        store.update_user(&admin.id, &system, 3).await,
        Err(StoreError::Taken { .. })
    ));

    let sign_in = |id: &str, token: u8, at: u64| NewSession {
        id: id.into(),
        user_id: ada.id.clone(),
        token_hash: [token; 32],
        created_at: at,
        expires_at: at + HOUR,
        ip_address: Some("127.0.0.1".into()),
        user_agent: None,
    };
    store.put_session(&sign_in("one", 1, 10)).await.unwrap();
    store.put_session(&sign_in("two", 2, 20)).await.unwrap();
    store.touch_session("one", 15).await.unwrap();
    store.touch_session("one", 12).await.unwrap();
    let one = store.session(&[1; 32]).await.unwrap().unwrap();
    assert_eq!((one.id.as_str(), one.used_at, &one.user), ("one", 15, &ada));
    assert!(store.session(&[9; 32]).await.unwrap().is_none());
    store.delete_sessions_of(&ada.id, Some("two")).await.unwrap();
    assert!(store.session(&[1; 32]).await.unwrap().is_none());
    assert!(store.session_by_id("two").await.unwrap().is_some());
    store.put_session(&sign_in("three", 3, 30 + HOUR)).await.unwrap();
    assert!(store.session_by_id("two").await.unwrap().is_none(), "ended ones are dropped");
    store.delete_session("three").await.unwrap();
    assert!(store.session_by_id("three").await.unwrap().is_none());

    store.put_verification("sign-in", &[7; 32], 100, 200, false).await.unwrap();
    store.put_verification("sign-in", &[8; 32], 100, 200, false).await.unwrap();
    assert!(!store.take_verification("other", &[7; 32], 150).await.unwrap());
    assert!(!store.take_verification("sign-in", &[7; 32], 200).await.unwrap(), "it is over");
    assert!(store.take_verification("sign-in", &[7; 32], 150).await.unwrap());
    assert!(!store.take_verification("sign-in", &[7; 32], 150).await.unwrap(), "it is used up");
    store.put_verification("sign-in", &[9; 32], 110, 200, true).await.unwrap();
    assert!(!store.take_verification("sign-in", &[8; 32], 150).await.unwrap(), "it was replaced");
}

pub(crate) async fn settings(store: &dyn Store) {
    store.put_setting(SYSTEM_USER, "default_model", Some("a")).await.unwrap();
    store.put_setting(SYSTEM_USER, "default_model", Some("b")).await.unwrap();
    store.put_setting(SYSTEM_USER, "theme", Some("dark")).await.unwrap();
    store.put_setting(SYSTEM_USER, "theme", None).await.unwrap();
    assert_eq!(
        store.settings(SYSTEM_USER).await.unwrap(),
        [("default_model".to_owned(), "b".to_owned())]
    );
    let key = ProviderKey { provider: "openai".into(), sealed: "v1.x".into(), hint: "…1".into() };
    store.put_provider_key(&key, 1).await.unwrap();
    assert_eq!(store.provider_keys().await.unwrap(), [key]);
    store.delete_provider_key("openai").await.unwrap();
    store.delete_provider_key("openai").await.unwrap();
    assert!(store.provider_keys().await.unwrap().is_empty());
}

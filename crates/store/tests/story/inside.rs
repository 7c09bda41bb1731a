//! What comes from inside a machine, in which anything may stand: it is kept as it came, and what is looked for in it
//! is found.

use super::{databases::Place, event, project};
use toft_model::checkpoint::Place as Point;
use toft_store::{NewEvent, SnapshotKind, StoreError, UsageEntry, UsageRow};

/// NUL, which PostgreSQL's texts cannot hold, and other odd ones.
const ODD: &str = "a\0b\u{1}\u{7f}\u{feff}\u{fffd}\u{10ffff}é\\u0000'\"$1";

pub(crate) async fn any_text(place: &Place) {
    let store = place.open().await;
    let id = project(&*store, None, 1).await.id;
    let data = |seq: u64| match seq % 4 {
        0 => ODD.to_owned(),
        1 => serde_json::json!({ "entryId": "e", "text": ODD }).to_string(),
        2 => r#"{"half":"\ud800","nul":"\u0000"}"#.to_owned(),
        _ => String::new(),
    };
    let events: Vec<NewEvent> = (1..=80).map(|seq| event(seq, "message_end", &data(seq))).collect();
    store.append_events(&id, &events[..79]).await.unwrap();
    store.append_events(&id, &events[79..]).await.unwrap();
    let other = event(3, "x", ODD);
    assert_eq!(store.append_events(&id, std::slice::from_ref(&other)).await.unwrap().tampered, [3]);
    store.put_snapshot(&id, SnapshotKind::State, ODD, 1).await.unwrap();
    store.close().await;

    let store = place.open().await;
    assert_eq!(store.events_after(&id, 0, 1_000, 1 << 20).await.unwrap(), events);
    assert_eq!(store.verify_events(&id).await.unwrap(), None);
    assert_eq!(store.tampering(&id).await.unwrap()[0].data, ODD);
    assert_eq!(store.snapshot(&id, SnapshotKind::State).await.unwrap().as_deref(), Some(ODD));
    // The same again is the same.
    assert_eq!(store.append_events(&id, &events).await.unwrap().tampered, [0u64; 0]);

    // A call's model, and why it failed, are its program's to say.
    let call = UsageRow {
        id: "one".into(),
        provider: ODD.into(),
        model: Some(ODD.into()),
        error: Some(ODD.into()),
        ..UsageRow::default()
    };
    store.add_usage(&[UsageEntry::Ended(call)], 1).await.unwrap();
    let ask = toft_store::UsageAsk {
        from_day: 0,
        to_day: 9,
        project: None,
        by: toft_store::UsageBy::Model,
        limit: 9,
    };
    let found = store.usage(&ask).await.unwrap();
    assert_eq!(found[0].model.as_deref(), Some(ODD));
    store.set_wanted(&id, toft_store::Wanted::Stopped, Some(ODD), 9).await.unwrap();
    let shop = store.project(id.as_str()).await.unwrap().unwrap();
    assert_eq!(shop.state_reason.as_deref(), Some(ODD));

    // What people and programs set by the API is refused by the one that cannot keep it, and told why.
    let named = store.rename_project(&id, ODD, 10).await;
    match place {
        Place::Sqlite(_) => named.unwrap(),
        Place::Postgres { .. } => assert!(matches!(named, Err(StoreError::Character)), "{named:?}"),
    }
    store.close().await;
}

pub(crate) async fn found(place: &Place) {
    let store = place.open().await;
    let id = project(&*store, None, 1).await.id;
    let long = "e".repeat(100_000);
    let said = |seq: u64, text: &str| {
        let data = serde_json::json!({"entryId": format!("e{seq}"), "ts": seq,
            "message": {"role": "user", "content": text}});
        event(seq, "message_end", &data.to_string())
    };
    let events = [
        said(1, "plain"),
        said(2, ODD),
        event(3, "message_end", r#"{"entryId":"e3","ts":3,"half":"\ud83d","pair":"\ud83d\ude00"}"#),
        event(4, "message_end", &format!(r#"{{"entryId":"{long}","ts":1e99}}"#)),
        event(5, "message_end", r#"{"entryId":"last"}"#),
    ];
    store.append_events(&id, &events).await.unwrap();
    for (seq, event) in (1..=3).zip(&events) {
        let found = store.message(&id, "s1", &format!("e{seq}")).await.unwrap();
        assert_eq!(found.as_ref(), Some(event), "{seq}");
    }
    let steps = store.steps(&id, "s1").await.unwrap();
    assert_eq!(steps.len(), 5, "{steps:?}");
    let last = Point { session_id: "s1".parse().unwrap(), leaf_entry_id: Some("last".into()) };
    assert_eq!(store.places(&id).await.unwrap(), (5, vec![last]));
    assert_eq!(store.messages(&id, "s1").await.unwrap(), events);
    store.delete_project(&id, 9).await.unwrap();
    store.close().await;
}

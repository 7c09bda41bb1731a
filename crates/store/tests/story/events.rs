//! Events of the story: the copy of a log without gaps, and what is read out of it.

use super::{databases::Place, event, project};
use toft_store::{Appended, NewEvent, SnapshotKind, Store, StoreError};

pub(crate) async fn events(store: &dyn Store) {
    let id = project(store, None, 1).await.id;
    let other = project(store, None, 1).await.id;
    assert_eq!(store.head(&id).await.unwrap().seq, 0);

    let added = store.append_events(&id, &[event(1, "agent_start", "{}")]).await.unwrap();
    assert_eq!(added, Appended { before: 0, head: 1, ..Appended::default() });
    let batch = [
        event(1, "agent_start", "{}"),
        event(2, "message_end", r#"{"a":1,"b":2}"#),
        event(3, "agent_end", "{}"),
    ];
    let added = store.append_events(&id, &batch).await.unwrap();
    assert_eq!(added, Appended { before: 1, head: 3, ..Appended::default() });

    // The same content in another order of keys is the same event.
    let again = [event(2, "message_end", r#"{"b":2,"a":1}"#)];
    assert_eq!(store.append_events(&id, &again).await.unwrap().tampered, [0u64; 0]);
    // Other content is not, and never replaces what is kept.
    let forged = event(2, "message_end", r#"{"a":1,"b":3}"#);
    for _ in 0..2 {
        let out = store.append_events(&id, std::slice::from_ref(&forged)).await.unwrap();
        assert_eq!((out.tampered.as_slice(), out.head), ([2].as_slice(), 3));
    }
    let tampering = store.tampering(&id).await.unwrap();
    assert_eq!(tampering.len(), 1);
    assert_eq!(tampering[0].data, forged.data);
    assert_eq!(store.events_after(&id, 1, 1, 1).await.unwrap()[0].data, r#"{"a":1,"b":2}"#);

    // A gap takes what came before it and nothing after.
    let gappy = [event(4, "notify", "{}"), event(6, "notify", "{}"), event(7, "notify", "{}")];
    let out = store.append_events(&id, &gappy).await.unwrap();
    assert_eq!((out.head, out.gap), (4, Some(6)));
    assert_eq!(store.head(&id).await.unwrap().seq, 4);

    // Numbers are a project's own.
    store.append_events(&other, &[event(1, "notify", "{}")]).await.unwrap();
    assert_eq!(store.head(&other).await.unwrap().seq, 1);

    let seqs = |rows: Vec<NewEvent>| rows.into_iter().map(|e| e.seq).collect::<Vec<_>>();
    assert_eq!(seqs(store.events_after(&id, 0, 100, 1 << 20).await.unwrap()), [1, 2, 3, 4]);
    assert_eq!(seqs(store.events_after(&id, 2, 1, 1 << 20).await.unwrap()), [3]);
    assert_eq!(seqs(store.events_after(&id, 0, 100, 1).await.unwrap()), [1], "at least one");
    assert_eq!(seqs(store.messages(&id, "s1").await.unwrap()), [2]);
    assert!(store.messages(&id, "s2").await.unwrap().is_empty());
    let mark = store.last_mark(&id, &["agent_start", "agent_end"]).await.unwrap().unwrap();
    assert_eq!(mark.kind, "agent_end");
    let mark = store.last_mark(&id, &["agent_start"]).await.unwrap().unwrap();
    assert_eq!(mark.seq, 1);
    assert_eq!(store.verify_events(&id).await.unwrap(), None);

    assert_eq!(store.snapshot(&id, SnapshotKind::State).await.unwrap(), None);
    store.put_snapshot(&id, SnapshotKind::State, "{}", 1).await.unwrap();
    store.put_snapshot(&id, SnapshotKind::State, r#"{"a":1}"#, 2).await.unwrap();
    assert_eq!(
        store.snapshot(&id, SnapshotKind::State).await.unwrap().as_deref(),
        Some(r#"{"a":1}"#)
    );

    store.delete_project(&id, 9).await.unwrap();
    assert!(matches!(
        store.append_events(&id, &[event(5, "x", "{}")]).await,
        Err(StoreError::Missing { .. })
    ));
}

pub(crate) async fn large_batch(place: &Place) {
    let store = place.open().await;
    let id = project(&*store, None, 1).await.id;
    // More than any statement takes, and something left over; the 150th comes again, once forged.
    let one = |seq: u64| event(seq, "message_update", &format!(r#"{{"n":{seq}}}"#));
    let mut batch: Vec<NewEvent> = (1..=201).map(one).collect();
    batch.insert(180, one(150));
    batch.insert(190, event(150, "message_update", r#"{"n":"forged"}"#));
    let out = store.append_events(&id, &batch).await.unwrap();
    assert_eq!(out, Appended { before: 0, head: 201, tampered: vec![150], gap: None });
    let kept = store.events_after(&id, 0, 1_000, 1 << 20).await.unwrap();
    assert_eq!(kept, (1..=201).map(one).collect::<Vec<_>>());
    assert_eq!(store.verify_events(&id).await.unwrap(), None);
}

pub(crate) async fn conversations(place: &Place) {
    let store = place.open().await;
    let id = project(&*store, None, 1).await.id;
    let other = project(&*store, None, 1).await.id;
    let said = |seq, session: &str, kind: &str| NewEvent {
        session: Some(session.into()),
        ..event(seq, kind, "{}")
    };
    let all = [
        said(1, "a", "message_end"),
        said(2, "b", "agent_start"),
        said(3, "b", "message_end"),
        said(4, "a", "message_end"),
        said(5, "c", "agent_start"),
    ];
    store.append_events(&id, &all).await.unwrap();
    store.append_events(&other, &[said(1, "d", "message_end")]).await.unwrap();
    let found = store.conversations(&id).await.unwrap();
    let of: Vec<_> =
        found.iter().map(|c| (c.session.as_str(), c.messages, c.first_seq, c.last_seq)).collect();
    assert_eq!(of, [("a", 2, 1, 4), ("b", 1, 3, 3)]);

    let data = |seq, data: &str| NewEvent { data: data.into(), ..said(seq, "a", "message_end") };
    let prompt = data(7, r#"{"entryId":"e1","message":{}}"#);
    let task = r#"{"toolCallId":"t","toolName":"task","input":{},"childSession":"b"}"#;
    let task = NewEvent { kind: "tool_start".into(), ..data(9, task) };
    let odd =
        [data(6, r#"no JSON, but "e1""#), prompt.clone(), data(8, r#"{"entryId":"e1"}"#), task];
    store.append_events(&id, &odd).await.unwrap();
    assert_eq!(store.message(&id, "a", "e1").await.unwrap(), Some(prompt));
    for (session, entry) in [("b", "e1"), ("a", "e"), ("a", "%")] {
        assert_eq!(store.message(&id, session, entry).await.unwrap(), None, "{session} {entry}");
    }
    // What a task says is no conversation of its own.
    let found = store.conversations(&id).await.unwrap();
    assert_eq!(found.iter().map(|c| c.session.as_str()).collect::<Vec<_>>(), ["a"]);
    store.close().await;
}

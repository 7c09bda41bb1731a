//! How far traces were sent: where a place begins, goes on, and begins again.

use super::{event, project};
use toft_store::{EventPage, Store, StoreError, TraceCursor};

pub(super) async fn traces(store: &dyn Store) {
    let old = project(store, None, 1).await.id;
    let kinds = ["agent_start", "message_update", "message_update", "agent_end"];
    let events: Vec<_> = (1..).zip(kinds).map(|(seq, kind)| event(seq, kind, "{}")).collect();
    store.append_events(&old, &events).await.unwrap();

    let at = async |sink: &str, id| store.trace_cursor(sink, id).await.unwrap();
    let all = |seq| TraceCursor { sent: seq, open_from: seq };
    store.use_trace_sinks(&["one"], 5).await.unwrap();
    assert_eq!(at("one", &old).await, all(4), "what was before is not told");
    let new = project(store, None, 6).await.id;
    assert_eq!(at("one", &new).await, all(0), "a later project is told from its first event");

    let moved = TraceCursor { sent: 9, open_from: 7 };
    store.put_trace_cursor("one", &old, moved).await.unwrap();
    store.use_trace_sinks(&["one", "two"], 7).await.unwrap();
    assert_eq!((at("one", &old).await, at("two", &old).await), (moved, all(4)));
    let taken = async |sink: &str| store.trace_taken(sink).await.unwrap();
    assert!(!taken("one").await);
    store.put_trace_taken("one").await.unwrap();
    assert_eq!((taken("one").await, taken("two").await), (true, false));
    store.use_trace_sinks(&["two"], 8).await.unwrap();
    store.use_trace_sinks(&["one", "two"], 9).await.unwrap();
    assert_eq!(at("one", &old).await, all(4), "it begins anew after a time without");
    assert!(!taken("one").await);

    let page = async |after, rows, bytes| {
        let wanted = ["agent_start", "agent_end"];
        let page = store.events_of(&old, &wanted, after, rows, bytes).await.unwrap();
        (page.events.iter().map(|event| event.seq).collect::<Vec<_>>(), page.through)
    };
    assert_eq!(page(0, 9, 999).await, (vec![1, 4], 4));
    assert_eq!(page(0, 1, 999).await, (vec![1], 1));
    assert_eq!(page(0, 9, 1).await, (vec![1], 1), "one comes, however large it is");
    assert_eq!(page(1, 9, 999).await, (vec![4], 4));
    let nothing = EventPage { events: Vec::new(), through: 4 };
    assert_eq!(store.events_of(&old, &["question"], 2, 9, 9).await.unwrap(), nothing);
    assert_eq!(page(4, 9, 9).await, (vec![], 4));

    store.delete_project(&old, 10).await.unwrap();
    let gone = store.trace_cursor("one", &old).await;
    assert!(matches!(gone, Err(StoreError::Missing { .. })), "{gone:?}");
}

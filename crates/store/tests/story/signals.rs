//! Signals of the story: what listeners hear.

use super::databases::Place;
use std::time::Duration;
use toft_store::{Listener, Signal};

/// The next topic; what was missed is passed over.
pub(crate) async fn topic(listener: &mut Listener) -> String {
    loop {
        let heard = tokio::time::timeout(Duration::from_secs(20), listener.next()).await;
        match heard.expect("a signal comes") {
            Some(Signal::Topic(topic)) => return topic,
            Some(Signal::Missed) => {}
            None => panic!("the store is open"),
        }
    }
}

pub(crate) async fn near(place: &Place) {
    let store = place.open().await;
    store.notify("nobody").await.unwrap();
    let (mut one, mut two) = (store.listen(), store.listen());
    for topic in ["run", "project:abc"] {
        store.notify(topic).await.unwrap();
    }
    for listener in [&mut one, &mut two] {
        assert_eq!(topic(listener).await, "run");
        assert_eq!(topic(listener).await, "project:abc");
    }
    // Who is slow holds nobody up, and is told.
    for n in 0..5_000 {
        store.notify(&n.to_string()).await.unwrap();
    }
    assert_eq!(one.next().await, Some(Signal::Missed));
    store.close().await;
    drop(store);
    while two.next().await.is_some() {}
}

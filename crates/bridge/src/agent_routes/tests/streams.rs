//! The event stream: it says hello, loses and repeats nothing wherever a client comes back, and holds
//! nobody up.

use super::{
    client::{Client, read},
    hello,
};
use axum::{body::Body, http::Request};
use futures_util::StreamExt as _;
use serde_json::json;
use toft_model::{event::EventBody, message::Block};

#[tokio::test]
async fn a_stream_says_hello_and_bad_numbers_are_refused() {
    let client = Client::new(hello()).await;
    client.work("go").await;
    let newest = client.runtime.log().last_seq();
    let first = client.events("", None).await.next().await;
    assert_eq!((first.event.as_str(), first.id), ("hello", None));
    assert_eq!(first.data["seq"], newest);
    assert_eq!(first.data["project"], "a23456789bcd");
    let future = (newest + 1).to_string();
    for bad in ["x", "-1", "1.5", "99999999999999999999999", &future] {
        let request = Request::get("/events").header("last-event-id", bad);
        let (status, answer) = read(client.send(request.body(Body::empty()).unwrap()).await).await;
        assert_eq!((status.as_u16(), &answer["code"]), (400, &json!("invalid_argument")), "{bad}");
        let (status, _) = client.get(&format!("/events?after={bad}")).await;
        assert_eq!(status.as_u16(), 400, "{bad}");
    }
    for twice in ["/events?after=1&after=2", "/state?sessionId=a&sessionId=b"] {
        let (status, answer) = client.get(twice).await;
        assert_eq!((status.as_u16(), &answer["code"]), (400, &json!("invalid_argument")));
    }
    client.leave().await;
}

#[tokio::test]
async fn a_client_that_reconnects_anywhere_gets_every_event_once() {
    let client = Client::new(hello()).await;
    client.work("go").await;
    client.work("more").await;
    let newest = usize::try_from(client.runtime.log().last_seq()).unwrap();
    let all = {
        let mut frames = client.events("?after=0", None).await;
        frames.next().await;
        frames.take(newest).await
    };
    let ids: Vec<u64> = all.iter().map(|f| f.id.unwrap()).collect();
    assert_eq!(ids, (1..=newest as u64).collect::<Vec<_>>());
    for first in 0..newest {
        // The header of a browser that comes back counts, not the address it began with.
        let mut frames = client.events("?after=0", Some(&first.to_string())).await;
        frames.next().await;
        assert_eq!(frames.take(newest - first).await, all[first..], "from {first}");
    }
    // And what comes while the old ones are read.
    let mut frames = client.events("?after=3", None).await;
    frames.next().await;
    client.work("again").await;
    let now = usize::try_from(client.runtime.log().last_seq()).unwrap();
    let ids: Vec<u64> = frames.take(now - 3).await.iter().map(|f| f.id.unwrap()).collect();
    assert_eq!(ids, (4..=now as u64).collect::<Vec<_>>());
    client.leave().await;
}

#[tokio::test]
async fn a_client_that_reads_messages_in_mid_answer_can_follow_from_their_number() {
    let client = Client::new(vec![vec![Block::text("a b c d")]]).await;
    let handle = client.runtime.session(None).await.unwrap();
    let started = EventBody::MessageStart(toft_model::event::MessageStart {
        message_id: "m1".into(),
        role: "assistant".into(),
    });
    handle.conversation().emit(started);
    let begun = client.runtime.log().last_seq();
    client.runtime.log().append(None, EventBody::AgentStart {});
    let (_, messages) = client.get("/messages").await;
    assert_eq!(messages["data"]["seq"], begun - 1, "the shown part is sent again");
    client.leave().await;
}

#[tokio::test]
async fn a_slow_reader_does_not_hold_the_agent_up() {
    let words = "word ".repeat(2_000);
    let client = Client::new(vec![vec![Block::text(words)]]).await;
    let mut slow = client.events("", None).await;
    slow.next().await;
    client.work("go").await;
    let mut last = client.runtime.log().last_seq() - 2_000;
    let mut frames = futures_util::stream::unfold(slow, |mut frames| async move {
        let frame = frames.next().await;
        Some((frame, frames))
    })
    .boxed();
    let mut seen = Vec::new();
    while let Some(frame) = frames.next().await {
        seen.push(frame.id.unwrap());
        if frame.event == "agent_end" {
            break;
        }
    }
    assert!(seen.windows(2).all(|w| w[1] == w[0] + 1), "no gap");
    last += 2_000;
    assert_eq!(seen.last(), Some(&last));
    client.leave().await;
}

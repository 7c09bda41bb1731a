//! Webhooks: who wants to know of runs' ends, and what was delivered to them.

use crate::{
    databases::Place,
    project,
    runs::{accept, claim, new},
};
use futures_util::future::join_all;
use toft_model::{
    id::ProjectId,
    run::{RunStatus, WebhookId},
};
use toft_store::{Claiming, Durable, Left, Webhook};

const ANY: Claiming<'static> = Claiming { limit: 9, per_webhook: 9, busy: &[] };

pub(crate) async fn told_of(place: &Place) {
    let store = place.open().await;
    let store = &*store;
    let (shop, other) = (project(store, None, 1).await.id, project(store, None, 2).await.id);
    let webhook = |project: Option<&ProjectId>| Webhook {
        id: WebhookId::random(),
        project: project.cloned(),
        url: "http://127.0.0.1:1/hook".into(),
        sealed: "s".into(),
        created_at: 5,
    };
    let (own, all) = (webhook(Some(&shop)), webhook(None));
    for one in [&own, &all] {
        assert!(store.add_webhook(one, 1).await.unwrap());
    }
    // However many are added at once: no more than there may be, each project's its own.
    for project in [Some(&shop), None] {
        let more: Vec<_> = (0..6).map(|_| webhook(project)).collect();
        let added = join_all(more.iter().map(|one| store.add_webhook(one, 3))).await;
        assert_eq!(added.into_iter().filter(|added| *added.as_ref().unwrap()).count(), 2);
        for one in &more {
            store.delete_webhook(project, &one.id).await.unwrap();
        }
    }
    assert_eq!(store.webhooks(Some(&shop)).await.unwrap(), std::slice::from_ref(&own));
    assert_eq!(store.webhooks(Some(&other)).await.unwrap(), []);
    assert_eq!(store.webhooks(None).await.unwrap(), std::slice::from_ref(&all));
    assert_eq!(store.wrapped().await.unwrap().webhooks.len(), 2);

    // What is told goes with the end, in one transaction, once.
    accept(store, new(&shop, "a")).await;
    let mut run = store.claim_runs(&claim("one", 1), 10).await.unwrap().remove(0);
    assert_eq!(store.claim_deliveries(&ANY, 60_000, 10).await.unwrap(), []);
    run.state.status = RunStatus::Completed;
    let left = Left::default();
    store.write_run(&run, &[], &left, Durable::Now, 10).await.unwrap();
    let ended = accept(store, new(&other, "b")).await;
    store.cancel_run(&other, &ended.id, 11).await.unwrap();
    let mut due = store.claim_deliveries(&ANY, 60_000, 11).await.unwrap();
    // Those of one moment come in any order.
    due.sort_by_key(|one| (one.run != run.id, one.webhook.id != own.id));
    let to: Vec<_> = due.iter().map(|one| (&one.webhook.id, &one.run, one.attempts)).collect();
    assert_eq!(to, [(&own.id, &run.id, 1), (&all.id, &run.id, 1), (&all.id, &ended.id, 1)]);
    assert_eq!(store.claim_deliveries(&ANY, 60_000, 499).await.unwrap(), []);
    store.put_delivery(&due[0].id, true, None, "200", 12).await.unwrap();
    store.put_delivery(&due[1].id, false, Some(0), "503\0", 12).await.unwrap();
    let again = store.claim_deliveries(&ANY, 60_000, 30).await.unwrap();
    assert_eq!((again.len(), &again[0].id, again[0].attempts), (1, &due[1].id, 2));
    store.put_delivery(&due[1].id, false, None, "gone", 31).await.unwrap();
    let sent = store.deliveries(&own.id, 9).await.unwrap();
    let end = (sent[0].is_delivered, sent[0].done_at, sent[0].said.as_deref());
    assert_eq!(end, (true, Some(12), Some("200")));
    let sent = store.deliveries(&all.id, 9).await.unwrap();
    assert_eq!((sent.len(), sent[1].is_delivered, sent[1].done_at), (2, false, Some(31)));

    // Whoever takes long, or is told of much, leaves the others theirs.
    store.put_delivery(&due[2].id, false, Some(0), "503", 40).await.unwrap();
    for key in ["c", "d", "e"] {
        let more = accept(store, new(&shop, key)).await;
        store.cancel_run(&shop, &more.id, 40).await.unwrap();
    }
    let claimed = async |per_webhook: u32, busy: &[WebhookId], now: u64| {
        let of = Claiming { limit: 9, per_webhook, busy };
        let due = store.claim_deliveries(&of, 60_000, now).await.unwrap();
        let count = |hook: &Webhook| due.iter().filter(|one| one.webhook.id == hook.id).count();
        (count(&own), count(&all))
    };
    assert_eq!(claimed(2, &[], 600).await, (2, 2));
    assert_eq!(claimed(2, std::slice::from_ref(&own.id), 600).await, (0, 2));
    assert_eq!(claimed(2, &[], 600).await, (1, 0));
    assert_eq!(claimed(2, &[], 600).await, (0, 0));

    assert!(!store.delete_webhook(Some(&shop), &all.id).await.unwrap());
    assert!(!store.delete_webhook(None, &own.id).await.unwrap());
    assert!(store.delete_webhook(None, &all.id).await.unwrap());
    for one in store.deliveries(&own.id, 9).await.unwrap() {
        store.put_delivery(&one.id, false, Some(0), "503", 700).await.unwrap();
    }
    let left = store.claim_deliveries(&ANY, 60_000, 701).await.unwrap();
    assert_eq!(left.len(), 3);
    assert!(left.iter().all(|one| one.webhook.id == own.id), "{left:?}");
    store.delete_project(&shop, 50).await.unwrap();
    assert_eq!(store.wrapped().await.unwrap().webhooks, []);
    store.close().await;
}

//! Checkpoints and forks of the story: rows, the rule, and what was said before.

use super::{event, new_project, project};
use toft_model::{
    checkpoint::{Cause, Checkpoint, CheckpointId, KeepRule, Place},
    id::ProjectId,
    machine::{EgressCeiling, EgressName, EgressSetting},
};
use toft_store::{
    CheckpointRule, ConversationStep, Durable, NewEvent, Store, StoreError, TakenCheckpoint,
};

fn said(seq: u64, session: &str, entry: &str, parent: Option<&str>, role: &str) -> NewEvent {
    let data = serde_json::json!({"entryId": entry, "parentId": parent, "ts": 100 + seq,
        "message": {"role": role, "content": "x"}});
    NewEvent { session: Some(session.into()), ..event(seq, "message_end", &data.to_string()) }
}

fn moved(seq: u64, session: &str, to: Option<&str>) -> NewEvent {
    let data = serde_json::json!({"takenAt": 50, "ts": 60, "checkpointId": "a23456789bcd", "label": "good", "sessions": [{"sessionId": session,
        "fromEntryId": "x", "toEntryId": to}]});
    NewEvent { session: None, ..event(seq, "restored", &data.to_string()) }
}

fn place(session: &str, leaf: Option<&str>) -> Place {
    Place { session_id: session.parse().unwrap(), leaf_entry_id: leaf.map(str::to_owned) }
}

fn taken(project: &ProjectId, cause: Cause, created_at: u64) -> TakenCheckpoint {
    TakenCheckpoint {
        checkpoint: Checkpoint {
            id: CheckpointId::random(),
            project_id: project.clone(),
            label: None,
            cause,
            created_at,
            seq: 7,
            base: "host-1".into(),
            sessions: vec![place("s1", Some("e2")), place("s2", None)],
            message: None,
        },
        place: None,
        away: None,
    }
}

pub(crate) async fn checkpoints(store: &dyn Store) {
    let (shop, blog) = (project(store, None, 1).await.id, project(store, None, 2).await.id);
    let mut first = taken(&shop, Cause::Manual, 10);
    first.checkpoint.label = Some("good".into());
    first.place = Some(place("s1", Some("e1")));
    let mut second = taken(&shop, Cause::Prompt, 5);
    store.add_checkpoint(&first, Durable::Now).await.unwrap();
    store.add_checkpoint(&second, Durable::Soon).await.unwrap();
    let again = store.add_checkpoint(&first, Durable::Now).await;
    assert!(matches!(again, Err(StoreError::Taken { .. })), "{again:?}");
    // The order is that of taking, whatever the clock did.
    assert_eq!(store.checkpoints(&shop).await.unwrap(), [second.clone(), first.clone()]);
    assert_eq!(store.checkpoint_count(&shop).await.unwrap(), 2);
    assert_eq!(store.checkpoint_count(&blog).await.unwrap(), 0);
    let of = |id: &CheckpointId| id.clone();
    let (one, two) = (of(&first.checkpoint.id), of(&second.checkpoint.id));
    assert_eq!(store.checkpoint(&shop, &one).await.unwrap(), Some(first.clone()));
    assert_eq!(store.checkpoint(&blog, &one).await.unwrap(), None, "it is another project's");

    let message = place("s1", Some("e3"));
    assert!(!store.bind_checkpoint(&blog, &two, &message).await.unwrap());
    assert!(store.bind_checkpoint(&shop, &two, &message).await.unwrap());
    assert!(!store.bind_checkpoint(&shop, &two, &place("s1", Some("e9"))).await.unwrap());
    second.checkpoint.message = Some(message.clone());
    assert_eq!(store.checkpoint_before(&shop, &message).await.unwrap(), Some(second.clone()));
    assert_eq!(store.checkpoint_before(&blog, &message).await.unwrap(), None);
    assert!(store.label_checkpoint(&shop, &two, Some("new")).await.unwrap());
    assert!(store.label_checkpoint(&shop, &one, None).await.unwrap());
    assert!(!store.label_checkpoint(&blog, &one, Some("theirs")).await.unwrap());
    let labels: Vec<_> =
        store.checkpoints(&shop).await.unwrap().into_iter().map(|c| c.checkpoint.label).collect();
    assert_eq!(labels, [Some("new".to_owned()), None]);
    let both = [one.clone(), two.clone()];
    assert_eq!(store.delete_checkpoints(&blog, &both, Durable::Now).await.unwrap(), 0);
    assert_eq!(store.delete_checkpoints(&shop, &both[..1], Durable::Soon).await.unwrap(), 1);

    assert_eq!(store.checkpoint_rule(&shop).await.unwrap(), CheckpointRule::default());
    let keep = KeepRule { last: 1, hourly: 2, daily: 3 };
    let rule = CheckpointRule { keep, automatic: false };
    store.put_checkpoint_rule(&shop, &CheckpointRule::default(), 4).await.unwrap();
    store.put_checkpoint_rule(&shop, &rule, 5).await.unwrap();
    assert_eq!(store.checkpoint_rule(&shop).await.unwrap(), rule);
    assert_eq!(store.checkpoint_rule(&blog).await.unwrap(), CheckpointRule::default());

    store.delete_project(&shop, 9).await.unwrap();
    let late = store.add_checkpoint(&first, Durable::Soon).await;
    assert!(matches!(late, Err(StoreError::Missing { .. })), "{late:?}");
}

pub(crate) async fn forks(store: &dyn Store) {
    let shop = project(store, None, 1).await.id;
    let events = [
        said(1, "s1", "e1", None, "user"),
        said(2, "s1", "e2", Some("e1"), "assistant"),
        said(3, "s2", "f1", None, "user"),
        said(4, "s1", "e3", Some("e2"), "user"),
        moved(5, "s1", Some("e2")),
        said(6, "s1", "e4", Some("e2"), "user"),
    ];
    store.append_events(&shop, &events).await.unwrap();
    let now = [place("s1", Some("e4")), place("s2", Some("f1"))];
    assert_eq!(store.places(&shop).await.unwrap(), (6, now.to_vec()));
    let step = |seq, entry: &str, parent: Option<&str>, by_user| ConversationStep::Said {
        seq,
        ts: 100 + seq,
        entry_id: entry.into(),
        parent_id: parent.map(str::to_owned),
        by_user,
    };
    assert_eq!(
        store.steps(&shop, "s1").await.unwrap(),
        [
            step(1, "e1", None, true),
            step(2, "e2", Some("e1"), false),
            step(4, "e3", Some("e2"), true),
            ConversationStep::Moved {
                seq: 5,
                to: Some("e2".into()),
                checkpoint_id: Some("a23456789bcd".into()),
                label: Some("good".into()),
                taken_at: Some(50),
                at: 60,
            },
            step(6, "e4", Some("e2"), true),
        ]
    );

    let new = |name: &str| new_project(None, name);
    let (one, half) = (new("Shop fork"), new("Shop fork 2"));
    store.begin_forks(&[one.clone(), half.clone()], 20).await.unwrap();
    assert_eq!(store.project(one.id.as_str()).await.unwrap(), None, "nobody sees it yet");
    let unfinished = store.to_destroy().await.unwrap();
    assert!(unfinished.contains(&one.id) && unfinished.contains(&half.id), "{unfinished:?}");
    let keep = KeepRule { last: 1, hourly: 2, daily: 3 };
    let rule = CheckpointRule { keep, automatic: false };
    store.put_checkpoint_rule(&shop, &rule, 5).await.unwrap();
    let shut = EgressSetting::nothing();
    store.put_egress(&shop, Some(&shut), 5).await.unwrap();
    let granted = EgressCeiling { level: EgressName::Open, inherited: false };
    store.put_egress_ceiling(&shop, Some(&granted), 5).await.unwrap();
    let made =
        store.finish_forks(&shop, 5, std::slice::from_ref(&one.id), &[], None).await.unwrap();
    // From the moment when it is there: nothing is open for it in between.
    let own = store.machine_settings(&one.id).await.unwrap();
    assert_eq!(own.egress, Some(shut));
    // What an admin granted to its origin is not granted to it.
    assert_eq!(own.ceiling, Some(EgressCeiling { inherited: true, ..granted }));
    assert_eq!((made.len(), made[0].name.as_str()), (1, "Shop fork"));
    assert!(!store.to_destroy().await.unwrap().contains(&one.id));
    assert_eq!(store.project_names("Shop f").await.unwrap(), ["Shop fork"]);
    assert_eq!(store.project_names("shop").await.unwrap(), Vec::<String>::new());
    assert_eq!(store.checkpoint_rule(&one.id).await.unwrap(), rule);
    store.set_destroyed(&half.id, 21).await.unwrap();
    let gone = store.finish_forks(&shop, 5, std::slice::from_ref(&half.id), &[], None).await;
    assert!(matches!(gone, Err(StoreError::Missing { .. })), "{gone:?}");

    assert_eq!(store.fork_origin(&one.id).await.unwrap(), Some(shop.clone()));
    assert_eq!(store.fork_origin(&shop).await.unwrap(), None);
    // A fork of the fork has what was said in both, up to where each was left.
    let own = [said(1, "s1", "g1", Some("e2"), "user")];
    store.append_events(&one.id, &own).await.unwrap();
    let two = new("Shop fork fork");
    store.begin_forks(std::slice::from_ref(&two), 30).await.unwrap();
    store.finish_forks(&one.id, 1, std::slice::from_ref(&two.id), &[], None).await.unwrap();
    let then = [place("s1", Some("g1")), place("s2", Some("f1"))];
    let before = async |id: &ProjectId| {
        let ids: Vec<String> = store
            .messages(id, "s1")
            .await
            .unwrap()
            .into_iter()
            .map(|m| {
                assert_eq!(m.seq, 0);
                serde_json::from_str::<serde_json::Value>(&m.data).unwrap()["entryId"].to_string()
            })
            .collect();
        (ids, store.steps(id, "s1").await.unwrap(), store.places(id).await.unwrap())
    };
    let whole = before(&two.id).await;
    assert_eq!(whole.0, [r#""e1""#, r#""e2""#, r#""e3""#, r#""g1""#]);
    assert_eq!(whole.2, (0, then.to_vec()));
    assert_eq!(whole.1.len(), 5, "with the move: {:?}", whole.1);
    // And still has it when they are deleted, whichever goes first.
    store.delete_project(&shop, 40).await.unwrap();
    assert_eq!(store.fork_origin(&one.id).await.unwrap(), None);
    assert_eq!(before(&two.id).await, whole);
    assert_eq!(store.messages(&one.id, "s1").await.unwrap().len(), 4);
    store.delete_project(&one.id, 41).await.unwrap();
    assert_eq!(before(&two.id).await, whole);
    store.delete_project(&two.id, 42).await.unwrap();
}

/// A person's move is a step like a restore's, to the message that it names, and says no checkpoint.
pub(crate) async fn navigations(store: &dyn Store) {
    let notes = project(store, None, 1).await.id;
    let data = serde_json::json!({"ts": 60, "sessions": [{"sessionId": "s1", "fromEntryId": "e2",
        "toEntryId": "label", "toMessageId": "e1"}]});
    let went = NewEvent { session: None, ..event(3, "navigated", &data.to_string()) };
    let events =
        [said(1, "s1", "e1", None, "user"), said(2, "s1", "e2", Some("e1"), "assistant"), went];
    store.append_events(&notes, &events).await.unwrap();
    assert_eq!(store.places(&notes).await.unwrap().1, [place("s1", Some("label"))]);
    let steps = store.steps(&notes, "s1").await.unwrap();
    let moved = ConversationStep::Moved {
        seq: 3,
        to: Some("e1".into()),
        checkpoint_id: None,
        label: None,
        taken_at: None,
        at: 60,
    };
    assert_eq!(steps.last(), Some(&moved));
}

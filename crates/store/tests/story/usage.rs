//! Model calls of the story: told once, however often their lines are read, and added up.

use super::{new_project, project};
use toft_model::{
    budget::{Budget, Spent},
    id::ProjectId,
    machine::ModelLimits,
    provider::Chains,
    time::month_of,
};
use toft_store::{NewEvent, Store, StoreError, UsageAsk, UsageBy, UsageEntry, UsageRow, UsageSum};

const DAY: u64 = 86_400_000;

fn granted(id: &str, day: u64, project: Option<&str>, run: Option<&str>) -> UsageRow {
    UsageRow {
        id: id.into(),
        ts: day * DAY + 5,
        project: project.map(str::to_owned),
        session: run.map(|_| "s1".to_owned()),
        run: run.map(str::to_owned),
        provider: "openai".into(),
        ..UsageRow::default()
    }
}

fn ended(granted: &UsageRow, output: u64, cost: Option<u64>) -> UsageEntry {
    UsageEntry::Ended(UsageRow {
        model: Some("gpt-5".into()),
        status: Some(200),
        input: Some(10),
        output: Some(output),
        cache_read: Some(3),
        cost,
        duration_ms: Some(7),
        ..granted.clone()
    })
}

/// As the bridge tells of a prompt.
fn prompt(seq: u64, entry: &str) -> NewEvent {
    NewEvent {
        seq,
        ts: 1,
        session: Some("s1".into()),
        kind: "message_end".into(),
        data: format!("{{\"entryId\":\"{entry}\"}}"),
    }
}

async fn sums(store: &dyn Store, by: UsageBy, project: Option<&str>) -> Vec<UsageSum> {
    let ask = UsageAsk { from_day: 100, to_day: 200, project, by, limit: 50 };
    store.usage(&ask).await.unwrap()
}

async fn total(store: &dyn Store) -> (u64, u64, u64, u64, u64) {
    let all = sums(store, UsageBy::All, None).await.remove(0);
    (all.calls, all.failed, all.output, all.cost, all.unpriced)
}

pub(crate) async fn usage(store: &dyn Store) {
    assert_eq!(store.usage_position().await.unwrap(), 0);
    assert_eq!(total(store).await, (0, 0, 0, 0, 0));
    let shop = project(store, None, 10).await;
    let shop_id = shop.id.as_str();

    let first = granted("a", 100, Some(shop_id), Some("r1"));
    let second = granted("b", 101, Some(shop_id), Some("r2"));
    let outside = granted("c", 101, None, None);
    let grants = [&first, &second, &outside].map(|row| UsageEntry::Granted(row.clone()));
    store.add_usage(&grants, 30).await.unwrap();
    assert_eq!(total(store).await.0, 0, "what is under way is not added up");

    let ends = [ended(&first, 20, Some(1_500)), ended(&outside, 1, None)];
    store.add_usage(&ends, 50).await.unwrap();
    let now = (2, 0, 21, 1_500, 1);
    assert_eq!((total(store).await, store.usage_position().await.unwrap()), (now, 50));
    // The same lines again, as after a restore of an older database, or of some of them.
    store.add_usage(&grants, 30).await.unwrap();
    store.add_usage(&ends[..1], 40).await.unwrap();
    assert_eq!(total(store).await, now);

    // The gateway was killed with one call under way, and another one began.
    store.add_usage(&[UsageEntry::Restarted], 60).await.unwrap();
    assert_eq!(total(store).await, (3, 1, 21, 1_500, 2));
    // Read anew while a call is under way that the new gateway granted, its end still counts.
    let third = granted("d", 102, Some(shop_id), Some("r2"));
    let granted_again = [UsageEntry::Granted(third.clone()), UsageEntry::Restarted];
    store.add_usage(&granted_again, 70).await.unwrap();
    store.add_usage(&[ended(&third, 4, Some(9_000))], 80).await.unwrap();
    assert_eq!(total(store).await, (4, 1, 25, 10_500, 2));

    // A run is one when its conversation has the prompt, also in what a fork has from its origin.
    let all = sums(store, UsageBy::Run, Some(shop_id)).await;
    assert_eq!(all.iter().map(|s| (s.run.as_deref(), s.calls)).collect::<Vec<_>>(), [(None, 3)]);
    for (seq, run) in [(1, "r1"), (2, "r2")] {
        store.append_events(&shop.id, &[prompt(seq, run)]).await.unwrap();
    }

    let days = sums(store, UsageBy::Day, None).await;
    let days: Vec<_> = days.iter().map(|s| (s.day.unwrap(), s.calls, s.cost)).collect();
    assert_eq!(days, [(100, 1, 1_500), (101, 2, 0), (102, 1, 9_000)]);
    let runs = sums(store, UsageBy::Run, Some(shop_id)).await;
    let runs: Vec<_> = runs.iter().map(|s| (s.run.as_deref().unwrap(), s.calls, s.cost)).collect();
    assert_eq!(runs, [("r2", 2, 9_000), ("r1", 1, 1_500)]);
    let models = sums(store, UsageBy::Model, None).await;
    let models: Vec<_> = models.iter().map(|s| (s.model.as_deref(), s.calls)).collect();
    assert_eq!(models, [(Some("gpt-5"), 3), (None, 1)]);
    assert_eq!(sums(store, UsageBy::Session, Some("nobody")).await, []);
    let early = UsageAsk { from_day: 0, to_day: 99, project: None, by: UsageBy::Day, limit: 9 };
    assert_eq!(store.usage(&early).await.unwrap(), []);

    // A provider that reports nonsense breaks no sum.
    let odd = ended(&granted("e", 103, None, None), u64::MAX, Some(u64::MAX));
    let odder = ended(&granted("f", 103, None, None), u64::MAX, Some(u64::MAX));
    store.add_usage(&[odd, odder], 90).await.unwrap();
    assert!(total(store).await.3 > u64::MAX / 4);

    spent(store, &shop.id).await;
    let none = ModelLimits::default();
    assert_eq!(store.model_limits(&shop.id).await.unwrap(), none);
    let some = ModelLimits { calls_at_once: Some(2), calls_per_minute: Some(30) };
    let fewer = ModelLimits { calls_at_once: Some(1), calls_per_minute: None };
    for limits in [some, fewer] {
        store.put_model_limits(&shop.id, &limits, 98).await.unwrap();
        assert_eq!(store.model_limits(&shop.id).await.unwrap(), limits);
        assert_eq!(store.all_model_limits().await.unwrap()[&shop.id], limits);
    }
    let chains: Chains = [("openai/*".to_owned(), vec!["groq/x".to_owned()])].into();
    assert!(store.fallbacks(&shop.id).await.unwrap().is_empty());
    store.put_fallbacks(&shop.id, &chains, 98).await.unwrap();
    let fork = new_project(None, "Fork");
    store.begin_forks(std::slice::from_ref(&fork), 98).await.unwrap();
    let made = std::slice::from_ref(&fork.id);
    store.finish_forks(&shop.id, 0, made, &[], None).await.unwrap();
    assert_eq!(store.model_limits(&fork.id).await.unwrap(), fewer, "a fork has its origin's");
    store.put_model_limits(&fork.id, &none, 98).await.unwrap();
    assert_eq!(store.all_model_limits().await.unwrap().len(), 1);
    assert_eq!(store.fallbacks(&fork.id).await.unwrap(), chains, "a fork has its origin's");
    store.put_fallbacks(&fork.id, &Chains::new(), 98).await.unwrap();
    assert_eq!(store.all_fallbacks().await.unwrap(), [(shop.id.clone(), chains)].into());

    store.delete_project(&shop.id, 99).await.unwrap();
    let projects = sums(store, UsageBy::Project, Some(shop_id)).await;
    let gone = &projects[0];
    assert_eq!((gone.project_name.as_deref(), gone.project_deleted), (Some("Shop"), true));
    assert_eq!((gone.calls, gone.cost), (4, 10_530));
    let budgets = store.budgets().await.unwrap().projects;
    assert_eq!(budgets.keys().collect::<Vec<_>>(), [&fork.id], "a fork has its origin's");
    assert!(store.all_model_limits().await.unwrap().is_empty());
    assert!(store.all_fallbacks().await.unwrap().is_empty());
}

/// Four calls of the shop by now: one cost 1,500, one was lost, one cost 9,000; one is from outside.
async fn spent(store: &dyn Store, shop: &ProjectId) {
    let month = month_of(101 * DAY);
    let next = 150 * DAY;
    assert!(month_of(next) > month);
    let of = |spent: &Spent| (spent.projects[shop].month, spent.projects[shop].total);
    let before = store.spent(103 * DAY, None).await.unwrap();
    assert_eq!((of(&before), before.month, before.runs.len()), ((10_500, 10_500), month, 0));
    assert_eq!(before.position, store.usage_position().await.unwrap());
    // What is under way, and what was lost, counts with what was reserved.
    let reserved =
        UsageRow { reserved: Some(70), ..granted("g", 150, Some(shop.as_str()), Some("r9")) };
    store.add_usage(&[UsageEntry::Granted(reserved.clone())], 100).await.unwrap();
    let now = store.spent(next, Some(next)).await.unwrap();
    assert_eq!((of(&now), now.position), ((70, 10_570), 100));
    let runs: Vec<_> = now.runs.iter().map(|r| (r.run.as_str(), r.spent)).collect();
    assert_eq!(runs, [("r9", 70)]);
    let since = store.spent(next, Some(next + 6)).await.unwrap();
    assert_eq!(
        (since.runs.len(), since.projects),
        (0, now.projects),
        "of late is by the last call"
    );
    store.add_usage(&[UsageEntry::Restarted], 110).await.unwrap();
    assert_eq!(of(&store.spent(next, None).await.unwrap()), (70, 10_570));
    // It used more than that, and what it cost is not known: the record says what counts.
    let more = UsageRow { reserved: Some(90), ..reserved.clone() };
    store.add_usage(&[ended(&more, 1, None)], 115).await.unwrap();
    assert_eq!(of(&store.spent(next, None).await.unwrap()), (90, 10_590));
    store.add_usage(&[ended(&reserved, 1, Some(30))], 120).await.unwrap();
    let now = store.spent(next, Some(0)).await.unwrap();
    assert_eq!((of(&now), now.runs.len()), ((30, 10_530), 3));
    assert!(now.team.total > now.projects[shop].total, "what comes from outside is of the team");

    let budget = Budget { run: Some(5), month: None, total: Some(u64::MAX >> 1) };
    assert!(store.budgets().await.unwrap().is_empty());
    store.put_budget(Some(shop), &Budget::default(), 98).await.unwrap();
    store.put_budget(Some(shop), &budget, 98).await.unwrap();
    store.put_budget(None, &Budget { month: Some(9), ..Budget::default() }, 98).await.unwrap();
    assert_eq!(store.budget(Some(shop)).await.unwrap(), budget);
    let all = store.budgets().await.unwrap();
    assert_eq!((all.team.month, all.projects.get(shop)), (Some(9), Some(&budget)));
    let nobody = ProjectId::random();
    assert!(matches!(
        store.put_budget(Some(&nobody), &budget, 98).await,
        Err(StoreError::Missing { .. })
    ));
}

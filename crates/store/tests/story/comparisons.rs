//! Runs side by side: which forks belong together, and what becomes of them.

use crate::{databases::Place, new_project, project, runs::new};
use toft_model::{
    id::ProjectId,
    run::{ComparisonId, JobId, RunStatus, WebhookId},
};
use toft_store::{
    Accepted, Artifact, Claim, Compared, Comparison, ComparisonStatus, Durable, KeepBegun, Left,
    NewCandidate, NewComparison, NewProject, Run, Store, StoreError, Webhook, Wrote,
};

fn asked(project: &ProjectId, key: &str) -> NewComparison {
    let candidate = |model: &str| NewCandidate {
        run: JobId::random(),
        provider: Some("fake".into()),
        model: Some(model.into()),
    };
    NewComparison {
        id: ComparisonId::random(),
        project: project.clone(),
        key: key.into(),
        digest: "d".into(),
        owner: "here".into(),
        prompt: "do it — \"ü\"".into(),
        options: "{}".into(),
        candidates: vec![candidate("one"), candidate("two")],
    }
}

async fn get(store: &dyn Store, id: &ComparisonId) -> Comparison {
    store.comparison(id).await.unwrap().unwrap()
}

async fn listed(store: &dyn Store) -> Vec<ProjectId> {
    let mut all: Vec<_> =
        store.listed_projects(99, 0).await.unwrap().into_iter().map(|one| one.id).collect();
    all.sort();
    all
}

/// Its forks, whole, with a run each.
async fn forked(store: &dyn Store, now: &Comparison) -> Vec<ProjectId> {
    let forks: Vec<NewProject> = (0..2).map(|_| new_project(None, "Shop, candidate")).collect();
    let ids: Vec<ProjectId> = forks.iter().map(|one| one.id.clone()).collect();
    store.begin_forks(&forks, 2).await.unwrap();
    store.finish_forks(&now.project, 0, &ids, &[], Some(&now.id)).await.unwrap();
    for (fork, one) in ids.iter().zip(&now.candidates) {
        let run = toft_store::NewRun { id: one.run.clone(), ..new(fork, "c") };
        let accepted = store.accept_runs(&[run], 3).await.unwrap();
        assert!(matches!(&accepted[..], [Accepted::New(_)]), "{accepted:?}");
    }
    ids
}

/// A run is worked on to its end, and leaves a file.
async fn completed(store: &dyn Store, fork: &ProjectId, path: &str) -> Run {
    let claim = Claim { owner: "here", lease_ms: 1_000, limit: 9, per_project: 1, per_team: 99 };
    store.claim_runs(&claim, 4).await.unwrap();
    let mut run = store.runs(fork, 1, 0, usize::MAX).await.unwrap().remove(0);
    run.state.status = RunStatus::Completed;
    let artifact = Artifact {
        name: "workspace".into(),
        path: path.into(),
        mime: "application/zip".into(),
        size: 1,
        files: 1,
        created_at: 5,
    };
    let left = Left { said: Some("Done.".into()), artifact: Some(artifact) };
    let wrote = store.write_run(&run, &[], &left, Durable::Now, 5).await.unwrap();
    assert!(matches!(wrote, Wrote::Done(_)), "{wrote:?}");
    run
}

async fn is_accepted(store: &dyn Store, project: &ProjectId, key: &str) -> Accepted {
    store.accept_runs(&[new(project, key)], 9).await.unwrap().remove(0)
}

pub(crate) async fn kept(place: &Place) {
    let store = place.open().await;
    let store = &*store;
    let shop = project(store, None, 1).await.id;
    let wish = asked(&shop, "k");
    assert_eq!(store.begin_comparison(&wish, 2, 1).await.unwrap(), Compared::New(wish.id.clone()));
    // The same is the same; a key is a run's or a comparison's, once.
    let again = NewComparison { id: ComparisonId::random(), ..asked(&shop, "k") };
    assert_eq!(
        store.begin_comparison(&again, 2, 1).await.unwrap(),
        Compared::Known(wish.id.clone())
    );
    let of_key = store.comparison_of_key(&shop, "k").await.unwrap();
    assert_eq!(of_key, Some((wish.id.clone(), "d".into())));
    assert_eq!(store.comparison_of_key(&shop, "r").await.unwrap(), None);
    let other = NewComparison { digest: "e".into(), ..asked(&shop, "k") };
    assert_eq!(store.begin_comparison(&other, 2, 1).await.unwrap(), Compared::Other);
    assert_eq!(is_accepted(store, &shop, "k").await, Accepted::Other);
    let Accepted::New(before) = is_accepted(store, &shop, "r").await else { panic!("a new run") };
    assert_eq!(store.begin_comparison(&asked(&shop, "r"), 2, 1).await.unwrap(), Compared::Other);
    store.cancel_run(&shop, &before.id, 2).await.unwrap();
    let nobody = asked(&ProjectId::random(), "k");
    assert_eq!(store.begin_comparison(&nobody, 2, 1).await.unwrap(), Compared::NoProject);
    let second = asked(&shop, "second");
    assert_eq!(
        store.begin_comparison(&second, 2, 1).await.unwrap(),
        Compared::New(second.id.clone())
    );
    assert_eq!(
        store.begin_comparison(&asked(&shop, "third"), 2, 1).await.unwrap(),
        Compared::TooMany
    );
    assert_eq!(
        store.unsettled_comparisons("here").await.unwrap(),
        [wish.id.clone(), second.id.clone()]
    );
    assert_eq!(store.unsettled_comparisons("elsewhere").await.unwrap(), []);

    // Forks are seen together, and as candidates.
    let now = get(store, &wish.id).await;
    assert_eq!((now.status, &now.prompt), (ComparisonStatus::Making, &wish.prompt));
    assert!(now.candidates.iter().all(|one| one.project.is_none()));
    let forks = forked(store, &now).await;
    let now = get(store, &wish.id).await;
    let made: Vec<_> = now.candidates.iter().filter_map(|one| one.project.clone()).collect();
    assert_eq!(made, forks);
    assert_eq!(now.candidates[1].model.as_deref(), Some("two"));
    assert_eq!(listed(store).await, std::slice::from_ref(&shop));
    assert_eq!(store.projects(99, 0).await.unwrap().len(), 3);
    let of = store.candidate_of(&forks[0]).await.unwrap();
    assert_eq!(of, Some((shop.clone(), wish.id.clone())));
    assert_eq!(store.candidate_of(&shop).await.unwrap(), None);
    store.set_comparison_base(&wish.id, "basebasebase", 3).await.unwrap();
    let moves = |from, to| store.move_comparison(&wish.id, from, to, None, 3);
    assert!(moves(ComparisonStatus::Making, ComparisonStatus::Open).await.unwrap());
    assert!(!moves(ComparisonStatus::Making, ComparisonStatus::Failed).await.unwrap());

    // Kept is only what stands still, of a project that stands still.
    let (one, two) = (now.candidates[0].run.clone(), now.candidates[1].run.clone());
    let id = &wish.id;
    let keep =
        |run: JobId| async move { store.begin_keep(id, &run, "keepkeepkeep", 6).await.unwrap() };
    assert_eq!(keep(two.clone()).await, KeepBegun::CandidateWorks);
    // Whoever wants to know of the project's runs is told of its candidates'.
    let hook = Webhook {
        id: WebhookId::random(),
        project: Some(shop.clone()),
        url: "http://127.0.0.1:1/hook".into(),
        sealed: "s".into(),
        created_at: 5,
    };
    assert!(store.add_webhook(&hook, 1).await.unwrap());
    let run = completed(store, &forks[1], &format!("runs/{}/w.zip", forks[1])).await;
    let told = store.deliveries(&hook.id, 9).await.unwrap();
    assert_eq!(told.iter().map(|one| &one.run).collect::<Vec<_>>(), [&run.id]);
    let Accepted::New(works) = is_accepted(store, &shop, "works").await else {
        panic!("a new run")
    };
    assert_eq!(keep(two.clone()).await, KeepBegun::ProjectWorks);
    store.cancel_run(&shop, &works.id, 6).await.unwrap();
    assert_eq!(keep(JobId::random()).await, KeepBegun::Gone);
    assert_eq!(keep(two.clone()).await, KeepBegun::Yes);
    assert_eq!(keep(two.clone()).await, KeepBegun::Yes);
    assert_eq!(keep(one).await, KeepBegun::Elsewhere);
    // From here on nothing comes in between, neither there nor in a candidate.
    assert_eq!(is_accepted(store, &shop, "late").await, Accepted::Keeping);
    assert_eq!(is_accepted(store, &forks[1], "late").await, Accepted::Keeping);
    assert!(!store.begin_drop(&wish.id, 6).await.unwrap());
    assert_eq!(store.candidate_artifacts(&forks[1]).await.unwrap().len(), 1);

    let (below, instead) = (format!("runs/{}/", forks[1]), format!("runs/{shop}/"));
    let finish = || store.finish_keep(&wish.id, &forks[1], &below, &instead, 7);
    assert!(finish().await.unwrap());
    assert!(!finish().await.unwrap());
    let runs = store.runs(&shop, 9, 0, usize::MAX).await.unwrap();
    assert_eq!(runs.iter().map(|run| run.index).collect::<Vec<_>>(), [3, 2, 1]);
    let kept = &runs[0];
    assert_eq!(
        (&kept.id, kept.is_writable, kept.state.status),
        (&run.id, true, RunStatus::Completed)
    );
    assert_eq!(kept.state.checkpoint.as_deref(), Some("basebasebase"));
    assert!(runs[1..].iter().all(|run| !run.is_writable));
    let file = store.artifact(&run.id, "workspace").await.unwrap().unwrap();
    assert_eq!(file.path, format!("runs/{shop}/w.zip"));
    assert_eq!(store.runs(&forks[1], 9, 0, usize::MAX).await.unwrap(), []);
    store.set_outcome(&wish.id, 1, "{\"status\":\"queued\"}").await.unwrap();
    for fork in &forks {
        store.delete_project(fork, 8).await.unwrap();
        store.set_destroyed(fork, 8).await.unwrap();
    }
    store.finish_drop(&wish.id, 9).await.unwrap();
    let over = get(store, &wish.id).await;
    assert_eq!((over.status, over.kept_run.as_ref()), (ComparisonStatus::Kept, Some(&two)));
    assert_eq!(over.candidates[0].outcome.as_deref(), Some("{\"status\":\"queued\"}"));
    assert!(over.candidates.iter().all(|one| one.project.is_none()));
    assert!(matches!(is_accepted(store, &shop, "after").await, Accepted::New(_)));
    store.close().await;
}

pub(crate) async fn dropped(place: &Place) {
    let store = place.open().await;
    let store = &*store;
    let shop = project(store, None, 1).await.id;
    // One that does not wait for its forks any more gets none.
    let late = asked(&shop, "late");
    store.begin_comparison(&late, 9, 1).await.unwrap();
    assert!(store.begin_drop(&late.id, 2).await.unwrap());
    let fork = new_project(None, "Half");
    store.begin_forks(std::slice::from_ref(&fork), 2).await.unwrap();
    let made =
        store.finish_forks(&shop, 0, std::slice::from_ref(&fork.id), &[], Some(&late.id)).await;
    assert!(matches!(made, Err(StoreError::Missing { .. })), "{made:?}");
    assert!(store.to_destroy().await.unwrap().contains(&fork.id));
    store.finish_drop(&late.id, 3).await.unwrap();
    assert_eq!(get(store, &late.id).await.status, ComparisonStatus::Dropped);

    // Of a deleted project those with forks are still known, to who has to clear up, until they are gone.
    let open = asked(&shop, "open");
    store.begin_comparison(&open, 9, 4).await.unwrap();
    let forks = forked(store, &get(store, &open.id).await).await;
    let (from, to) = (ComparisonStatus::Making, ComparisonStatus::Open);
    assert!(store.move_comparison(&open.id, from, to, None, 5).await.unwrap());
    assert_eq!(store.comparisons(&shop, 9, 0).await.unwrap().len(), 2);
    store.delete_project(&shop, 6).await.unwrap();
    assert_eq!(store.comparison(&late.id).await.unwrap(), None);
    assert_eq!(get(store, &open.id).await.status, ComparisonStatus::Dropping);
    assert_eq!(store.unsettled_comparisons("here").await.unwrap(), std::slice::from_ref(&open.id));
    assert_eq!(is_accepted(store, &forks[0], "late").await, Accepted::Keeping);
    for fork in &forks {
        store.delete_project(fork, 7).await.unwrap();
    }
    store.finish_drop(&open.id, 8).await.unwrap();
    assert_eq!(store.comparison(&open.id).await.unwrap(), None);
    assert_eq!(listed(store).await, []);
    store.close().await;
}

//! The store told as one story per family. Every database behind the trait runs these; what only
//! one database can do wrong is tested here beside it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends there")]

mod api_keys;
mod chaos;
mod children;
mod comparisons;
mod copies;
mod databases;
mod events;
mod images;
mod inside;
mod older;
mod people;
mod postgres;
mod power;
mod prices;
mod projects;
mod queue;
mod runs;
mod schedules;
mod secrets;
mod servers;
mod signals;
mod spent;
mod sqlite;
mod stopped;
mod traces;
mod upgrade;
mod usage;
mod webhooks;

use databases::{Place, Server};
use toft_model::id::ProjectId;
use toft_store::{MachineSettings, NewEvent, NewProject, Project, SYSTEM_USER, Store};

const HOUR: u64 = 3_600_000;

async fn project(store: &dyn Store, alias: Option<&str>, now: u64) -> Project {
    store.create_project(&new_project(alias, "Shop"), now).await.unwrap().project
}

fn new_project(alias: Option<&str>, name: &str) -> NewProject {
    NewProject {
        id: ProjectId::random(),
        alias: alias.map(str::to_owned),
        name: name.into(),
        owner: SYSTEM_USER.into(),
        backend: None,
        settings: MachineSettings::default(),
    }
}

fn event(seq: u64, kind: &str, data: &str) -> NewEvent {
    NewEvent {
        seq,
        ts: 1_000 + seq,
        session: Some("s1".into()),
        kind: kind.into(),
        data: data.into(),
    }
}

/// The stories that every database tells. On SQLite each is a test; on PostgreSQL they share one server, and so a
/// test.
macro_rules! stories {
    ($($($story:ident)::+ as $name:ident,)*) => {
        mod on_sqlite {
            use super::databases::Place;
            $(
                #[tokio::test]
                async fn $name() {
                    super::$($story)::+(&Place::sqlite()).await;
                }
            )*
        }

        fn all_on(server: &Server) -> postgres::Stories<'_> {
            vec![$(Box::pin(postgres::tell(stringify!($name), server, $($story)::+)),)*]
        }
    };
}

stories! {
    families as every_family_tells_its_story,
    reopened as what_was_stored_is_there_after_opening_again,
    changed as a_row_changed_in_the_database_breaks_the_chain,
    created as concurrent_creates_of_one_alias_make_one_project,
    written as writers_on_both_paths_never_fail_each_other,
    events::large_batch as a_large_batch_is_as_many_rows_and_one_of_them_twice_is_known,
    events::conversations as the_conversations_of_a_project_are_those_with_messages_newest_first,
    inside::any_text as what_comes_from_inside_is_kept_whatever_characters_it_holds,
    inside::found as what_json_holds_is_found_beside_what_is_no_text,
    spent::calls as what_is_kept_is_what_the_calls_add_up_to,
    spent::made_up as a_machine_that_makes_up_runs_does_not_push_out_those_of_others,
    secrets::no_id as a_key_of_a_project_whose_id_is_none_is_not_left_out_in_silence,
    projects::unreadable as what_a_machine_may_reach_and_cannot_be_read_is_nothing,
    runs::accepted as a_request_is_one_run_however_often_it_comes,
    runs::queued as a_run_is_worked_on_in_order_and_written_by_its_owner,
    runs::owned as a_run_outlives_its_owners_and_none_of_them_writes_after_the_next,
    prices::priced as prices_are_those_that_people_set,
    webhooks::told_of as who_wants_to_know_of_runs_is_told_once_each,
    queue::claimed_by_team as a_team_has_as_many_at_once_as_it_may,
    queue::raced as many_who_claim_at_once_get_each_run_once,
    queue::urgent as larger_priorities_go_first_and_a_team_has_as_many_as_it_may,
    stopped::for_long as an_owner_that_stood_still_writes_nothing_any_more,
    upgrade::killed as steps_that_are_cut_are_done_by_the_next_one,
    upgrade::expanded as an_older_server_goes_on_beside_a_newer_one_and_none_begins,
    servers::hosts as a_run_is_its_hosts_and_waits_for_it,
    comparisons::kept as of_candidates_one_is_kept_with_its_runs,
    comparisons::dropped as candidates_are_known_until_they_are_gone,
    signals::near as who_listens_hears_what_is_told_and_what_was_missed,
}

async fn families(place: &Place) {
    let store = place.open().await;
    let store = &*store;
    people::people(store).await;
    projects::projects(store).await;
    projects::backends(store).await;
    people::settings(store).await;
    projects::preview_ports(store).await;
    projects::machine_records(store).await;
    copies::checkpoints(store).await;
    copies::forks(store).await;
    copies::navigations(store).await;
    images::images(store).await;
    schedules::schedules(store).await;
    secrets::secrets(store).await;
    api_keys::api_keys(store).await;
    usage::usage(store).await;
    traces::traces(store).await;
    events::events(store).await;
    store.close().await;
}

async fn reopened(place: &Place) {
    let store = place.open().await;
    let id = project(&*store, Some("kept"), 5).await.id;
    store.append_events(&id, &[event(1, "notify", "{}")]).await.unwrap();
    store.close().await;

    let store = place.open().await;
    assert_eq!(store.project("kept").await.unwrap().unwrap().id, id);
    let out = store
        .append_events(&id, &[event(1, "notify", "{}"), event(2, "notify", "{}")])
        .await
        .unwrap();
    assert_eq!((out.before, out.head), (1, 2));
    assert_eq!(store.verify_events(&id).await.unwrap(), None);
    store.close().await;
}

async fn changed(place: &Place) {
    let store = place.open().await;
    let id = project(&*store, None, 5).await.id;
    let batch: Vec<NewEvent> = (1..=5).map(|n| event(n, "notify", "{}")).collect();
    store.append_events(&id, &batch).await.unwrap();
    place.sql("UPDATE bridge_event SET data = '[]' WHERE seq = 3").await;
    assert_eq!(store.verify_events(&id).await.unwrap(), Some(3));
    place.sql("UPDATE bridge_event SET data = '{}' WHERE seq = 3").await;
    assert_eq!(store.verify_events(&id).await.unwrap(), None);
    place.sql("DELETE FROM bridge_event WHERE seq = 2").await;
    assert_eq!(store.verify_events(&id).await.unwrap(), Some(2));
    store.close().await;
}

async fn created(place: &Place) {
    let store = place.open().await;
    let tries = (0..20u64).map(|n| {
        let store = &store;
        async move { store.create_project(&new_project(Some("one"), "One"), n).await.unwrap() }
    });
    let all = futures_util::future::join_all(tries).await;
    assert_eq!(all.iter().filter(|c| c.created).count(), 1);
    assert!(all.iter().all(|c| c.project.id == all[0].project.id));
    store.close().await;
}

async fn written(place: &Place) {
    let store = place.open().await;
    let a = project(&*store, None, 1).await.id;
    let b = project(&*store, None, 1).await.id;
    let append = |id: ProjectId| {
        let store = &store;
        async move {
            for n in 1..=100 {
                store.append_events(&id, &[event(n, "notify", "{}")]).await.unwrap();
            }
        }
    };
    let renames = async {
        for n in 0..50 {
            store.rename_project(&a, &format!("name {n}"), n).await.unwrap();
            assert!(store.project(a.as_str()).await.unwrap().is_some());
        }
    };
    futures_util::join!(append(a.clone()), append(b.clone()), renames);
    for id in [&a, &b] {
        assert_eq!(store.head(id).await.unwrap().seq, 100);
        assert_eq!(store.verify_events(id).await.unwrap(), None);
    }
    store.close().await;
}

//! Adding an image: the row at once, the work in the background. A source is looked at before
//! anything is answered, so that most mistakes are told to who made them.

use super::{
    HOST, Making, check_name,
    delete::{drop_unless_wanted, end_builder},
    made_of::choose,
    of_backend, set_up,
    settle::settled,
};
use crate::{
    api_error::{ApiError, Code},
    backends, checkpoints, project,
    state::App,
};
use std::sync::Arc;
use toft_machine::{
    images::{ImageError, ImageKey, ImageKind, Resolved, Source},
    steps,
};
use toft_model::{checkpoint::CheckpointId, id::ProjectId};
use toft_store::{Image, ImageState, NewImage, StoreError};

/// Images that are made at once: each may unpack gigabytes, or run a machine.
const MAKING_MAX: usize = 4;
/// Images on one server: a list that people still read.
const IMAGES_MAX: usize = 500;
/// Numbers that are tried behind a suggested name.
const NAME_TRIES: u32 = 50;

/// What an image is to be made of.
#[derive(Debug, Clone)]
pub(crate) enum What {
    /// Something from outside.
    Source(Source),
    /// A checkpoint of a project.
    Checkpoint { project: String, checkpoint: String },
    /// Another image (a key or a name, `host` too), for a set-up.
    Image(String),
}

/// An image to add.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub(crate) what: What,
    /// A name that somebody chose.
    pub(crate) name: Option<String>,
    /// A script that is run once in a machine of it.
    pub(crate) setup: Option<String>,
}

/// What there is to do before a set-up.
#[derive(Debug, Clone)]
enum Base {
    Resolved(Box<Resolved>),
    Checkpoint(ProjectId, CheckpointId),
    /// An image that is there.
    Ready,
}

/// What is known of an image before it is made.
struct Plan {
    base: Base,
    /// Key of the image before a set-up; `None` is `host`.
    base_key: Option<ImageKey>,
    kind: ImageKind,
    source: String,
    name: String,
}

async fn plan(app: &App, what: &What) -> Result<Plan, ApiError> {
    let backend = of_backend(&*app.backend)?;
    match what {
        What::Source(source) => {
            let found = backend.resolve(source).await?;
            Ok(Plan {
                base_key: Some(found.key.clone()),
                kind: found.kind,
                source: found.source.clone(),
                name: found.name.clone(),
                base: Base::Resolved(Box::new(found)),
            })
        }
        What::Checkpoint { project, checkpoint } => {
            let (project, machine) = project::find(app, project).await?;
            let found = checkpoints::find(&*app.store, &machine.id, checkpoint).await?;
            let now = found.away.as_deref().unwrap_or_else(|| backends::of(app, &project));
            if now != app.backend.name() {
                let message = format!(
                    "this checkpoint is on {now}, and images are of the server's own backend, {}",
                    app.backend.name()
                );
                return Err(ApiError::new(Code::Unavailable, message));
            }
            let found = found.checkpoint;
            let told = found.label.clone().unwrap_or_else(|| found.id.to_string());
            Ok(Plan {
                base_key: Some(ImageKey::of_checkpoint(&machine.id, &found.id)),
                kind: ImageKind::Template,
                source: format!("checkpoint {told} of {}", project.name),
                name: plain(&project.name),
                base: Base::Checkpoint(machine.id.clone(), found.id),
            })
        }
        What::Image(given) => {
            let made_of = choose(app, Some(given), None).await?;
            let key = made_of.as_ref().map(|image| image.key.parse::<ImageKey>());
            let key = key.transpose().map_err(|()| {
                ApiError::new(Code::NotFound, "image not found: GET /v1/images lists them")
            })?;
            let name = made_of.map_or_else(|| HOST.to_owned(), |image| image.name);
            Ok(Plan {
                base_key: key,
                kind: ImageKind::Template,
                source: format!("image {name}"),
                name,
                base: Base::Ready,
            })
        }
    }
}

/// A project's name in the letters of images' names.
fn plain(name: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let name: String = name.chars().map(|c| if fits(c) { c } else { '-' }).collect();
    let name: String =
        name.trim_matches(|c: char| !c.is_ascii_alphanumeric()).chars().take(50).collect();
    if name.is_empty() { "template".to_owned() } else { name }
}

/// Begins to make an image, unless it is there. The image, and whether it was begun.
pub(crate) async fn add(app: &App, order: Order) -> Result<(Image, bool), ApiError> {
    settled(app).await;
    let chosen = order.name.as_deref().map(check_name).transpose()?;
    let plan = plan(app, &order.what).await?;
    let (key, source, suggested) = match (&order.setup, &plan.base_key) {
        (Some(script), base) => (
            ImageKey::with_setup(base.as_ref(), script),
            format!("{}, set up by a script", plan.source),
            format!("{}-setup", plan.name),
        ),
        (None, Some(key)) if !matches!(plan.base, Base::Ready) => {
            (key.clone(), plan.source.clone(), plan.name.clone())
        }
        (None, _) => {
            return Err(ApiError::invalid(
                "an image of an image needs a set-up script (setup): without one it is the same",
            ));
        }
    };
    let new = |name: String| NewImage {
        key: key.to_string(),
        name,
        kind: plan.kind.as_str().to_owned(),
        source: source.clone(),
    };
    let _order = app.images.order.lock().await;
    let known = app.store.image(key.as_str()).await?;
    if known.as_ref().is_none_or(|image| image.state != ImageState::Ready) {
        check_room(app).await?;
    }
    if let Some(failed) = known.filter(|image| matches!(image.state, ImageState::Failed(_))) {
        end_builder(app, &failed).await?;
    }
    let now = app.clock.now_ms();
    let (image, begun) = match chosen {
        Some(name) => {
            let begun = app.store.begin_image(&new(name.clone()), now).await?;
            // There by another name: that is what it is called from now on.
            if !begun.1 && begun.0.what.name != name {
                app.store.rename_image(key.as_str(), &name).await?;
            }
            begun
        }
        None => begin_with_free_name(app, &suggested, &new, now).await?,
    };
    if begun {
        steps::reached("image.begun");
        let base = plan.base_key.as_ref().filter(|_| order.setup.is_some());
        let making = Arc::new(Making::over(base.cloned()));
        app.images.making().insert(key.to_string(), Arc::clone(&making));
        let task = work(app.clone(), key.clone(), plan, order.setup, making);
        app.tasks.spawn(task);
    }
    let image = app.store.image(key.as_str()).await?.unwrap_or(image);
    Ok((image, begun))
}

async fn check_room(app: &App) -> Result<(), ApiError> {
    if app.images.making().len() >= MAKING_MAX {
        let told = format!("{MAKING_MAX} images are being made: wait until one is ready");
        return Err(ApiError::new(Code::Unavailable, told));
    }
    if app.store.images().await?.len() >= IMAGES_MAX {
        let told = format!("there are {IMAGES_MAX} images: delete one first");
        return Err(ApiError::new(Code::Conflict, told));
    }
    Ok(())
}

async fn begin_with_free_name(
    app: &App,
    suggested: &str,
    new: &impl Fn(String) -> NewImage,
    now: u64,
) -> Result<(Image, bool), ApiError> {
    for number in 1..=NAME_TRIES {
        let name = if number == 1 { suggested.to_owned() } else { format!("{suggested}-{number}") };
        let Ok(name) = check_name(&name) else { continue };
        match app.store.begin_image(&new(name), now).await {
            Err(StoreError::Taken { .. }) => {}
            other => return Ok(other?),
        }
    }
    Err(ApiError::new(Code::Conflict, "every name for it is taken: give one with `name`"))
}

/// Makes it, and writes down how that ended.
async fn work(app: App, key: ImageKey, plan: Plan, setup: Option<String>, making: Arc<Making>) {
    let ends = app.stop.token().clone();
    let making2 = Arc::clone(&making);
    let done = {
        let made = make_and_let_go(&app, &key, &plan, setup.as_deref(), &making);
        tokio::pin!(made);
        tokio::select! {
            done = &mut made => done,
            () = ends.cancelled() => {
                making2.cancel();
                made.await
            }
        }
    };
    let written = match &done {
        Ok(bytes) => app.store.finish_image(key.as_str(), Ok(*bytes)).await,
        Err(error) => {
            tracing::warn!(image = %key, error = error.message, "an image was not made");
            let ended = ends.is_cancelled();
            let reason = "the server ended while it was made: add it again";
            let reason = if ended { reason } else { error.message.as_str() };
            app.store.finish_image(key.as_str(), Err(reason)).await
        }
    };
    if let Err(error) = written {
        tracing::warn!(image = %key, %error, "how the making of an image ended is not written down");
    }
    steps::reached("image.recorded");
    let mut all = app.images.making();
    // One that failed may have been begun again since that was written down.
    if all.get(key.as_str()).is_some_and(|now| Arc::ptr_eq(now, &making)) {
        all.remove(key.as_str());
    }
    drop(all);
    making.done.cancel();
}

/// Makes it, and lets go of what a set-up was run over: unless that is an image of its own, or another
/// one is made over it, too.
async fn make_and_let_go(
    app: &App,
    key: &ImageKey,
    plan: &Plan,
    setup: Option<&str>,
    making: &Making,
) -> Result<u64, ApiError> {
    let made = make(app, key, plan, setup, making).await;
    if let Some(base) = making.let_go() {
        if let Err(error) = drop_unless_wanted(app, &base).await {
            tracing::warn!(image = %base, error = error.message, "what an image was made from stays");
        }
        steps::reached("setup.released");
    }
    made
}

async fn make(
    app: &App,
    key: &ImageKey,
    plan: &Plan,
    setup: Option<&str>,
    making: &Making,
) -> Result<u64, ApiError> {
    let backend = of_backend(&*app.backend)?;
    let progress = || Arc::clone(&making.progress);
    let bytes = match &plan.base {
        Base::Resolved(resolved) => backend.import(resolved, progress()).await?,
        Base::Checkpoint(project, id) => {
            making.progress.begin("copying", 0);
            let key = ImageKey::of_checkpoint(project, id);
            backend.keep(project, Some(id), &key).await?
        }
        Base::Ready => 0,
    };
    let Some(script) = setup else { return Ok(bytes) };
    let set_up = set_up::run(app, key, plan.base_key.as_ref(), script, making).await;
    if making.progress.is_cancelled() {
        return Err(ImageError::Cancelled.into());
    }
    set_up
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_projects_name_becomes_one_of_an_image() {
        for (given, expected) in
            [("My Shop!", "My-Shop"), ("--", "template"), ("é", "template"), ("a.b_c", "a.b_c")]
        {
            assert_eq!(plain(given), expected);
            assert!(check_name(&plain(given)).is_ok());
        }
    }
}

//! The table of routes: each with what a key needs for it. A route cannot be added without saying so.

use crate::{
    auth::guard::{self, Needs, Route},
    state::App,
};
use axum::{Router, middleware::from_fn_with_state, routing::MethodRouter};

/// Routes and their handlers.
#[derive(Default)]
pub(super) struct Table(Vec<(Route, MethodRouter<App>)>);

impl Table {
    /// Open to all, or judged by its handlers.
    pub(super) fn open(self, path: &'static str, methods: MethodRouter<App>) -> Self {
        self.add(path, Needs::Nothing, methods)
    }

    /// A key needs `read` to look, and `admin` for all else.
    pub(super) fn route(self, path: &'static str, methods: MethodRouter<App>) -> Self {
        self.add(path, Needs::ByMethod, methods)
    }

    /// A key needs `admin`, for looking too.
    pub(super) fn admin(self, path: &'static str, methods: MethodRouter<App>) -> Self {
        self.add(path, Needs::Admin, methods)
    }

    fn add(mut self, path: &'static str, needs: Needs, methods: MethodRouter<App>) -> Self {
        self.0.push((Route { path, needs }, methods));
        self
    }

    /// What answers them, each behind its guard.
    pub(super) fn router(self, app: &App) -> Router<App> {
        self.0.into_iter().fold(Router::new(), |router, (route, methods)| {
            let methods = match route.needs {
                Needs::Nothing => methods,
                Needs::ByMethod | Needs::Admin => {
                    methods.layer(from_fn_with_state((app.clone(), route), guard::judge))
                }
            };
            router.route(route.path, methods)
        })
    }

    #[cfg(test)]
    pub(super) fn needing(&self, needs: Needs) -> Vec<&'static str> {
        self.0.iter().filter(|(r, _)| r.needs == needs).map(|(r, _)| r.path).collect()
    }
}

//! The table of routes: each with what a key needs for it, and with what each of its methods does. A route cannot be
//! added without saying so.

use crate::{
    auth::guard::{self, Needs, Route},
    openapi::{BRIDGE_ROUTES, Described, Operation, Says, Told},
    state::App,
};
use axum::{
    Router,
    handler::Handler,
    middleware::from_fn_with_state,
    routing::{self, MethodFilter, MethodRouter},
};

/// The methods of one route: what answers each, and what it does.
pub(super) struct Methods {
    router: MethodRouter<App>,
    told: Vec<(&'static str, Operation)>,
}

/// The methods of a route, each with its handler: `first` begins with one, `more` adds one.
macro_rules! methods {
    (first: $($first:ident)*; more: $($word:ident $method:literal $filter:ident),*) => {
        $(
            /// Answers that method, and says what it does.
            pub(super) fn $first<H, T, M>(handler: H, says: impl Into<Says>) -> Methods
            where
                T: 'static,
                H: Handler<T, App> + Told<M>,
            {
                Methods::default().$first(handler, says)
            }
        )*

        impl Methods {
            $(
                /// Answers that method too.
                pub(super) fn $word<H, T, M>(self, handler: H, says: impl Into<Says>) -> Self
                where
                    T: 'static,
                    H: Handler<T, App> + Told<M>,
                {
                    self.on($method, MethodFilter::$filter, handler, says.into())
                }
            )*
        }
    };
}

methods!(
    first: get post put delete;
    more: get "GET" GET, post "POST" POST, put "PUT" PUT, patch "PATCH" PATCH, delete "DELETE" DELETE
);

impl Default for Methods {
    fn default() -> Self {
        Self { router: MethodRouter::new(), told: Vec::new() }
    }
}

impl Methods {
    fn on<H, T, M>(
        mut self,
        method: &'static str,
        filter: MethodFilter,
        handler: H,
        says: Says,
    ) -> Self
    where
        T: 'static,
        H: Handler<T, App> + Told<M>,
    {
        let mut typed = Operation::new();
        H::tell(&mut typed);
        self.told.push((method, says.over(typed)));
        self.router = self.router.on(filter, handler);
        self
    }
}

/// Answers every method of many paths: the routes of somebody else, each told on its own.
pub(super) fn passed<H, T>(handler: H) -> Methods
where
    T: 'static,
    H: Handler<T, App>,
{
    Methods { router: routing::any(handler), told: Vec::new() }
}

/// Routes and their handlers.
#[derive(Default)]
pub(super) struct Table {
    routes: Vec<(Route, Methods)>,
    described: Vec<Described>,
    area: &'static str,
}

impl Table {
    /// What comes next belongs to that area of the documentation.
    pub(super) fn area(mut self, name: &'static str) -> Self {
        self.area = name;
        self
    }

    /// Open to all, or judged by its handlers.
    pub(super) fn open(self, path: &'static str, methods: Methods) -> Self {
        self.add(path, Needs::Nothing, methods)
    }

    /// A key needs `read` to look, and `admin` for all else.
    pub(super) fn route(self, path: &'static str, methods: Methods) -> Self {
        self.add(path, Needs::ByMethod, methods)
    }

    /// A key needs `admin`, for looking too.
    pub(super) fn admin(self, path: &'static str, methods: Methods) -> Self {
        self.add(path, Needs::Admin, methods)
    }

    /// One that a route for many passes on.
    pub(super) fn passes(
        mut self,
        method: &'static str,
        path: &str,
        needs: Needs,
        says: Says,
    ) -> Self {
        self.described.push(Described {
            path: path.to_owned(),
            method,
            needs,
            area: self.area,
            operation: says.alone(),
        });
        self
    }

    /// Those that machines' bridges answer, each in its own area.
    pub(super) fn of_bridges(self) -> Self {
        BRIDGE_ROUTES.iter().fold(self, |table, (area, routes)| {
            routes.iter().fold(table.area(area), |table, (method, below, says)| {
                let path = format!("/v1/projects/{{id}}/toft{below}");
                table.passes(method, &path, Needs::ByMethod, says())
            })
        })
    }

    fn add(mut self, path: &'static str, needs: Needs, mut methods: Methods) -> Self {
        for (method, operation) in std::mem::take(&mut methods.told) {
            let path = path.replace("{*", "{");
            self.described.push(Described { path, method, needs, area: self.area, operation });
        }
        self.routes.push((Route { path, needs }, methods));
        self
    }

    /// What answers them, each behind its guard.
    pub(super) fn router(self, app: &App) -> Router<App> {
        self.routes.into_iter().fold(Router::new(), |router, (route, methods)| {
            let methods = match route.needs {
                Needs::Nothing => methods.router,
                Needs::ByMethod | Needs::Admin => {
                    methods.router.layer(from_fn_with_state((app.clone(), route), guard::judge))
                }
            };
            router.route(route.path, methods)
        })
    }

    /// What they do.
    pub(super) fn described(self) -> Vec<Described> {
        self.described
    }

    #[cfg(test)]
    pub(super) fn needing(&self, needs: Needs) -> Vec<&'static str> {
        self.routes.iter().filter(|(r, _)| r.needs == needs).map(|(r, _)| r.path).collect()
    }

    #[cfg(test)]
    pub(super) fn paths(&self) -> Vec<&'static str> {
        self.routes.iter().map(|(route, _)| route.path).collect()
    }
}

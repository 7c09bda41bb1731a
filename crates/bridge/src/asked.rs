//! Queries and parts of paths, with errors that say what to do. Not what is in them.

use crate::answer::{Failure, Refused};
use axum::extract::{FromRequestParts, Path, Query, rejection::QueryRejection};
use http::request::Parts;
use toft_model::misfit;

/// A query as it came, readable or not: what it was for says the route.
pub(crate) type Asked<T> = Result<Query<T>, QueryRejection>;

/// What a query says.
pub(crate) fn query<T>(asked: Asked<T>) -> Result<T, Failure> {
    asked.map(|Query(said)| said).map_err(|refused| {
        Failure::invalid(format!("the query does not fit: {}", misfit::of_query(&refused)))
    })
}

/// The one thing that a path names.
pub(crate) struct Named(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let Ok(Path(name)) = Path::<String>::from_request_parts(parts, state).await else {
            let why = "what the path names is not UTF-8 text when it is unescaped";
            return Err(Failure::invalid(why).of("unknown"));
        };
        Ok(Self(name))
    }
}

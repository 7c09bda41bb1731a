//! What the types of a handler say of its operation: each thing that it takes, and what it gives. A handler that takes
//! or gives a type which nobody has told about here does not compile in the table.

use super::operation::{Answer, Body, Failure, Operation, schema_of};
use crate::{
    api_error::ApiError,
    auth::caller::Caller,
    envelope::{Data, JsonBody, NoBody, Path, Query},
    project::{Needs, OfProject},
};
use axum::{
    Json,
    extract::{RawQuery, Request, State},
    http::{HeaderMap, Method},
    response::Response,
};
use schemars::JsonSchema;
use toft_store::Role;

/// A handler whose types say what it takes and gives; `M`: what it takes.
pub(crate) trait Told<M> {
    fn tell(operation: &mut Operation);
}

/// Something that a handler takes.
pub(crate) trait Takes {
    fn takes(operation: &mut Operation);
}

/// What a handler gives.
pub(crate) trait Gives {
    fn gives(operation: &mut Operation);
}

macro_rules! told {
    ($($taken:ident)*) => {
        impl<F, A, R, $($taken),*> Told<($($taken,)*)> for F
        where
            F: Fn($($taken),*) -> A,
            A: Future<Output = R>,
            R: Gives,
            $($taken: Takes,)*
        {
            fn tell(operation: &mut Operation) {
                $($taken::takes(operation);)*
                R::gives(operation);
            }
        }
    };
}

told!();
told!(T1);
told!(T1 T2);
told!(T1 T2 T3);
told!(T1 T2 T3 T4);
told!(T1 T2 T3 T4 T5);
told!(T1 T2 T3 T4 T5 T6);

macro_rules! says_nothing {
    ($($taken:ty),*) => {
        $(impl Takes for $taken {
            fn takes(_: &mut Operation) {}
        })*
    };
}

// What is read of these by hand is said in the table.
says_nothing!(Caller, NoBody, HeaderMap, Method, RawQuery, Request, axum::body::Body);

impl<T> Takes for axum::Extension<T> {
    fn takes(_: &mut Operation) {}
}

impl<S> Takes for State<S> {
    fn takes(_: &mut Operation) {}
}

/// The parts of a path stand in the table.
impl<T> Takes for Path<T> {
    fn takes(_: &mut Operation) {}
}

impl<R: Needs> Takes for OfProject<R> {
    fn takes(operation: &mut Operation) {
        operation.role = match R::ROLE {
            Role::Viewer => None,
            Role::Member => Some("member"),
            Role::Admin | Role::Owner => Some("admin"),
        };
    }
}

impl<T: JsonSchema> Takes for JsonBody<T> {
    fn takes(operation: &mut Operation) {
        operation.body = Some(Body::Json(schema_of::<T>()));
    }
}

impl<T: JsonSchema> Takes for Query<T> {
    fn takes(operation: &mut Operation) {
        operation.query = Some(schema_of::<T>());
    }
}

impl<T: JsonSchema> Gives for Data<T> {
    fn gives(operation: &mut Operation) {
        operation.answers = vec![Answer::Data(schema_of::<T>())];
    }
}

impl<T: JsonSchema> Gives for Json<T> {
    fn gives(operation: &mut Operation) {
        operation.answers = vec![Answer::Bare(schema_of::<T>())];
    }
}

impl Gives for Response {
    fn gives(operation: &mut Operation) {
        operation.is_unseen = true;
    }
}

impl<T: Gives> Gives for Result<T, ApiError> {
    fn gives(operation: &mut Operation) {
        T::gives(operation);
        operation.failure = Failure::Envelope;
    }
}

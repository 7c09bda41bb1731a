//! The HTTP API as OpenAPI 3.1, made of the table of routes and of the types that its handlers take and give. What a
//! route does is said in the table; what is said here holds for all of them.

mod bridge;
mod document;
mod handler;
mod operation;
mod page;
mod params;
#[cfg(test)]
mod tests;
mod typescript;

pub(crate) use bridge::ROUTES as BRIDGE_ROUTES;
pub(crate) use document::{Described, document, text};
pub(crate) use handler::Told;
pub(crate) use operation::{Answer, Failure, Operation, Says, says};
pub(crate) use page::page;
pub(crate) use typescript::typescript;

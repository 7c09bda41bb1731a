//! Reads usage out of answers that pass by, without holding them up: what it cannot understand it
//! leaves unknown. Not a price list, and no judge of calls.

mod answer;
mod name;
mod request;

pub(crate) use answer::Answer;
pub(crate) use request::ModelFinder;
pub(crate) use toft_llm::usage::Tokens;

//! What the gateway writes down, and what follows from it alone: calls of models and what they cost,
//! what went out of machines, the sums that budgets are held against.

pub mod egress_log;
pub(crate) mod journal;
pub(crate) mod ledger;
pub mod usage;

//! One function per verb.

pub(crate) mod chat;
pub(crate) mod down;
pub(crate) mod exec;
pub(crate) mod logs;
pub(crate) mod project;
pub(crate) mod report;
pub(crate) mod up;

//! One function per verb.

pub(crate) mod backup;
pub(crate) mod chat;
pub(crate) mod check;
pub(crate) mod compare;
pub(crate) mod copies;
pub(crate) mod down;
pub(crate) mod egress;
pub(crate) mod exec;
pub(crate) mod fallback;
pub(crate) mod image;
pub(crate) mod key;
pub(crate) mod logs;
pub(crate) mod mcp;
pub(crate) mod openapi;
pub(crate) mod project;
pub(crate) mod receipts;
pub(crate) mod report;
pub(crate) mod rest;
pub(crate) mod run;
pub(crate) mod schedule;
pub(crate) mod secret;
pub(crate) mod services;
pub(crate) mod sessions;
pub(crate) mod up;
pub(crate) mod usage;

//! Machines: one trait, and a backend per way of making them. `native` is made of namespaces and
//! needs nothing installed; `host` is a plain folder without a sandbox. Knows nothing of HTTP
//! routes, sessions or models.

pub mod backend;

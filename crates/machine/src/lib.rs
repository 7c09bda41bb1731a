//! Machines: the backend trait, native, storage

//! The `toft` binary: parse, choose a mode, one function each.
fn main() {}

//! init and the server inside a machine

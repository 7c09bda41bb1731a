//! All stories, one binary. One file per thing that a user wants.

mod bad_input;
mod kills;
mod main_story;
mod ordinary_user;
mod secrets;
mod spine;
mod walls;
mod wire;

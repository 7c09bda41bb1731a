//! All stories, one binary. One file per thing that a user wants.

mod bad_command;
mod bad_input;
mod bad_provider;
mod kills;
mod kills_life;
mod kills_power;
mod main_story;
mod ordinary_user;
mod secrets;
mod spine;
mod walls;
mod wire;

//! All stories, one binary. One file per thing that a user wants.

mod attacks;
mod bad_command;
mod bad_host;
mod bad_input;
mod bad_provider;
mod cold;
mod hidden;
mod host_backend;
mod impostor;
mod kills;
mod kills_life;
mod kills_power;
mod leftovers;
mod main_story;
mod ordinary_user;
mod previews;
mod replay;
mod secrets;
mod sign_ins;
mod spine;
mod steering;
mod walls;
mod wire;

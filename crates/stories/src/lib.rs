//! The system told as user stories

//! Two repositories of the same job: what is copied from one to the other, and what one gives back to the other.

#[path = "../common/mod.rs"]
mod common;

mod copy;
mod repair;
mod rival;
mod scene;

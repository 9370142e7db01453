//! The configuration, in two steps: what the file says ([`mod@file`], read by [`load`]) and what it means ([`Settings`], made by
//! [`resolve()`] from the file and the command line). Secrets stand in it by [`mod@reference`] only.

pub(crate) mod checked;
pub(crate) mod file;
pub(crate) mod load;
pub(crate) mod origin;
pub(crate) mod place;
pub(crate) mod proxy;
pub(crate) mod reference;
pub(crate) mod repository;
pub(crate) mod resolve;
pub(crate) mod retention;
pub(crate) mod schema;
pub(crate) mod stored;

pub(crate) use origin::Setting;
pub(crate) use place::Place;
pub(crate) use resolve::{Settings, resolve};

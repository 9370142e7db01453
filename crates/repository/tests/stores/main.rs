//! The repository on object stores: versitygw and MinIO for S3, Azurite, and a fake of Google's.

#[path = "../common/mod.rs"]
mod common;
mod configured;
mod faults;
mod lock;
mod logins;
mod probe;
mod server;
mod uploads;
mod versions;
mod work;

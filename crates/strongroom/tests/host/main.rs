//! A host that takes backups, with the real binary: what ends a backup, and what becomes of the secrets that pass through it.

mod canary;
mod interrupted;
mod scene;

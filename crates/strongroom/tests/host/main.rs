//! A host that takes backups, with the real binary: what ends a backup, what becomes of the secrets that pass
//! through it, and what is said of damage.

mod canary;
mod damage;
mod interrupted;
mod scene;

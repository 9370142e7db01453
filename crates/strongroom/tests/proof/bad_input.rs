//! Bad input: one sentence that says what happened to which object, the right exit code, and nothing lost. In the order of the
//! promise: identities, repositories, objects, recipients, the disk, permissions, etcd, restores, time, names, sources.

mod configuration;
mod disk;
mod entries;
mod etcd;
mod hostile;
mod names;
mod objects;
mod repositories;
mod targets;
mod time;

//! A host that takes backups, with the real binary: what ends a backup or a restore, what differs from
//! what is live, and what is said of damage.

mod cluster;
mod clusters;
mod damage;
mod database;
mod interrupted;
mod late;
mod live;
mod reseal;
mod scene;
mod several;
mod torn;

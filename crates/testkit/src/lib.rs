//! Starts real servers for tests: on loopback, on ports of their own, each in a folder that goes away with it.
//!
//! Depends on no crate of ours, so that a crate's own tests can use it without being compiled twice; never shipped.
//! The programs are put in place by the scripts in `servers/`. Where one is missing, [`require`] says so and the test is
//! skipped; with `CI=true` in the environment that is a failure instead.
//!
//! [`Disk`] is a model of a disk whose power fails, which replays what a program did to its files.
//!
//! This is test code: it panics with the reason where anything goes wrong.

mod certificates;
mod executable;
mod http;
mod port;
mod process;
mod programs;

mod etcd;
mod etcd_cluster;
mod kubernetes;
mod postgres;
mod rabbitmq;
mod stores;

mod disk;
mod trace;

pub use certificates::{Certificates, Pair};
pub use disk::{Disk, Fate, Survivors};
pub use etcd::{Etcd, EtcdOptions, Held, held_in};
pub use etcd_cluster::EtcdCluster;
pub use executable::{copy_program, make_script};
pub use http::{Message, ask};
pub use kubernetes::{AES_GCM, Kubernetes, KubernetesOptions};
pub use postgres::Postgres;
pub use process::lives;
pub use programs::{Release, require, require_program};
pub use rabbitmq::RabbitMq;
pub use stores::{
    Azurite, Gcs, GcsOptions, Minio, OpenId, Proxy, S3, Server, Tls, Treatment, Versitygw,
    VersitygwOptions, elements,
};
pub use trace::{Change, Traced, changes, strace};

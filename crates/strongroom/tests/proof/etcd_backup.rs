//! etcd-backup's users move in: the commands, on a real etcd with TLS and client certificates and on a real S3 server with TLS and an
//! authority of its own; every key is compared.

mod broken;
mod drill;
mod history;
mod killed;
mod memory;
mod peer;
mod quiet;
mod rules;
mod world;

//! etcd-backup's users move in: the commands, on a real etcd with TLS and client certificates and on real S3 servers with TLS and an
//! authority of their own; every key is compared.

mod broken;
mod drill;
mod history;
mod killed;
mod memory;
mod minio;
mod peer;
mod quiet;
mod rules;
mod world;

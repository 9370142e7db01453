//! Object stores, and what stands between a client and one.

mod azurite;
mod gcs;
mod minio;
mod proxy;
mod s3;
mod server;
mod versitygw;

pub use azurite::Azurite;
pub use gcs::{Gcs, GcsOptions};
pub use minio::Minio;
pub use proxy::{Proxy, Treatment};
pub use s3::{S3, elements};
pub use server::Server;
pub use versitygw::{Versitygw, VersitygwOptions};

//! Object stores, and what stands between a client and one.

mod azurite;
mod gcs;
mod minio;
mod openid;
mod proxy;
mod s3;
mod server;
mod tls;
mod versitygw;

pub use azurite::Azurite;
pub use gcs::{Gcs, GcsOptions};
pub use minio::Minio;
pub use openid::OpenId;
pub use proxy::{Proxy, Treatment};
pub use s3::{S3, elements};
pub use server::Server;
pub use tls::Tls;
pub use versitygw::{Versitygw, VersitygwOptions};

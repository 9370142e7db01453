use super::{Azurite, Gcs, GcsOptions, Minio, Versitygw, VersitygwOptions};
use crate::require;

/// The bucket of every server.
const BUCKET: &str = "bucket";

/// A real object store, or the best that there is, with one empty bucket.
pub enum Server {
    /// S3.
    Versitygw(Box<Versitygw>),
    /// S3, by others.
    Minio(Minio),
    /// Our fake of Google Cloud Storage.
    Gcs(Gcs),
    /// Microsoft's emulator of Azure Blob Storage.
    Azurite(Azurite),
}

impl Server {
    /// Starts the server of that name. `None`: it is not here, and that was said.
    pub fn start(name: &str) -> Option<Self> {
        let release = require(name)?;
        Some(match name {
            "versitygw" => {
                let server = Versitygw::start(&release, VersitygwOptions::default());
                server.s3().make_bucket(BUCKET);
                Self::Versitygw(Box::new(server))
            }
            "minio" => {
                let server = Minio::start(&release);
                server.s3().make_bucket(BUCKET);
                Self::Minio(server)
            }
            "gcs" => Self::Gcs(Gcs::start(&release, GcsOptions::default())),
            "azurite" => {
                let server = Azurite::start(&release);
                server.make_container(BUCKET);
                Self::Azurite(server)
            }
            other => panic!("there is no server {other}"),
        })
    }

    /// Its bucket, as an address.
    pub fn bucket(&self) -> String {
        let scheme = match self {
            Self::Versitygw(_) | Self::Minio(_) => "s3",
            Self::Gcs(_) => "gs",
            Self::Azurite(_) => "az",
        };
        format!("{scheme}://{BUCKET}")
    }

    /// Where clients connect.
    pub fn endpoint(&self) -> String {
        match self {
            Self::Versitygw(server) => server.endpoint(),
            Self::Minio(server) => server.endpoint(),
            Self::Gcs(server) => server.endpoint(),
            Self::Azurite(server) => server.endpoint(),
        }
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        let endpoint = self.endpoint();
        let (_, rest) = endpoint.split_once("://").expect("an address");
        rest.split('/').next().unwrap_or_default().to_owned()
    }

    /// Where clients connect that shall come by way of `address`, where somebody passes on what they say.
    pub fn endpoint_by_way_of(&self, address: &str) -> String {
        self.endpoint().replace(&self.address(), address)
    }

    /// Ends it with -9, where it can be expected to survive that.
    pub fn kill(&mut self) {
        match self {
            Self::Versitygw(server) => server.kill(),
            Self::Minio(server) => server.kill(),
            Self::Gcs(server) => server.kill(),
            Self::Azurite(server) => server.stop(),
        }
    }

    /// Starts it again on the same folder and the same port.
    pub fn restart(&mut self) {
        match self {
            Self::Versitygw(server) => server.restart(),
            Self::Minio(server) => server.restart(),
            Self::Gcs(server) => server.restart(),
            Self::Azurite(server) => server.restart(),
        }
    }
}

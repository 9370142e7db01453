//! The servers, and how a repository in each is reached.

use std::sync::Arc;
use std::time::Duration;

use repository::{
    Account, Address, AzAccount, AzProof, Bucket, GsAccount, Patience, Remote, S3Account, S3Key,
    S3Keys, Timing,
};
use testkit::{Azurite, Gcs, GcsOptions, Minio, Versitygw, VersitygwOptions, require};
use zeroize::Zeroizing;

/// The bucket of every server.
pub(crate) const BUCKET: &str = "bucket";

/// A real server, or the best that there is.
pub(crate) enum Server {
    Versitygw(Box<Versitygw>),
    Minio(Minio),
    Gcs(Gcs),
    Azurite(Azurite),
}

impl Server {
    /// Starts the server of that name with an empty bucket. `None`: it is not here, and that was said.
    pub(crate) fn start(name: &str) -> Option<Self> {
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

    pub(crate) fn remote(&self, prefix: &str) -> Remote {
        let endpoint = match self {
            Self::Versitygw(server) => server.endpoint(),
            Self::Minio(server) => server.endpoint(),
            Self::Gcs(server) => server.endpoint(),
            Self::Azurite(server) => server.endpoint(),
        };
        let account = match self {
            Self::Versitygw(server) => s3(&server.s3().access_key, &server.s3().secret_key),
            Self::Minio(server) => s3(&server.s3().access_key, &server.s3().secret_key),
            Self::Gcs(_) => Account::Gs(GsAccount::Key(Zeroizing::new(
                r#"{"disable_oauth":true,"client_email":"","private_key":"","private_key_id":""}"#
                    .to_owned(),
            ))),
            Self::Azurite(server) => Account::Az(AzAccount {
                name: server.account().to_owned(),
                proof: AzProof::Key(Zeroizing::new(server.key())),
            }),
        };
        let scheme = match self {
            Self::Versitygw(_) | Self::Minio(_) => "s3",
            Self::Gcs(_) => "gs",
            Self::Azurite(_) => "az",
        };
        remote(&format!("{scheme}://{BUCKET}/{prefix}"), endpoint, account)
    }

    /// Ends it with -9, where it can be expected to survive that.
    pub(crate) fn kill(&mut self) {
        match self {
            Self::Versitygw(server) => server.kill(),
            Self::Minio(server) => server.kill(),
            Self::Gcs(server) => server.kill(),
            Self::Azurite(server) => server.stop(),
        }
    }

    pub(crate) fn restart(&mut self) {
        match self {
            Self::Versitygw(server) => server.restart(),
            Self::Minio(server) => server.restart(),
            Self::Gcs(server) => server.restart(),
            Self::Azurite(server) => server.restart(),
        }
    }
}

pub(crate) fn s3(id: &str, secret: &str) -> Account {
    Account::S3(S3Account {
        region: None,
        path_style: None,
        keys: S3Keys::Given(S3Key {
            id: id.to_owned(),
            secret: Zeroizing::new(secret.to_owned()),
            token: None,
        }),
        encryption: None,
    })
}

pub(crate) fn bucket(address: &str) -> Bucket {
    match address.parse().expect("an address") {
        Address::Bucket(bucket) => bucket,
        Address::Directory(path) => panic!("{} is a directory", path.display()),
    }
}

/// Someone patient enough for a loaded machine, and not for more.
pub(crate) fn remote(address: &str, endpoint: String, account: Account) -> Remote {
    Remote {
        bucket: bucket(address),
        account,
        endpoint: Some(endpoint),
        allow_http: true,
        authorities: None,
        patience: Patience {
            timeout: Duration::from_secs(20),
            retries: 20,
            deadline: Duration::from_mins(1),
        },
        storage_class: None,
        single_writer: false,
        timing: timing(),
    }
}

pub(crate) fn timing() -> Timing {
    Timing {
        sleep: Arc::new(|period| Box::pin(tokio::time::sleep(period))),
        pace: None,
    }
}

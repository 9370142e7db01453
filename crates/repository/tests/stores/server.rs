//! How a repository in each server is reached.

use std::sync::Arc;
use std::time::Duration;

use repository::{
    Account, Address, AzAccount, AzProof, Beside, Bucket, GsAccount, Patience, Remote, S3Account,
    S3Key, S3Keys, Timing,
};
use testkit::Server;
use zeroize::Zeroizing;

/// Below that prefix of the server's bucket, with all rights.
pub(crate) fn within(server: &Server, prefix: &str) -> Remote {
    let account = match server {
        Server::Versitygw(server) => s3(&server.s3().access_key, &server.s3().secret_key),
        Server::Minio(server) => s3(&server.s3().access_key, &server.s3().secret_key),
        Server::Gcs(_) => Account::Gs(GsAccount::Key(Zeroizing::new(
            r#"{"disable_oauth":true,"client_email":"","private_key":"","private_key_id":""}"#
                .to_owned(),
        ))),
        Server::Azurite(server) => az(server.account(), AzProof::Key(Zeroizing::new(server.key()))),
    };
    let address = format!("{}/{prefix}", server.bucket());
    remote(&address, server.endpoint(), account)
}

pub(crate) fn az(name: &str, proof: AzProof) -> Account {
    let name = name.to_owned();
    Account::Az(AzAccount { name, proof })
}

pub(crate) fn s3(id: &str, secret: &str) -> Account {
    s3_with(S3Keys::Given(S3Key {
        id: id.to_owned(),
        secret: Zeroizing::new(secret.to_owned()),
        token: None,
    }))
}

pub(crate) fn s3_with(keys: S3Keys) -> Account {
    Account::S3(S3Account {
        region: None,
        path_style: None,
        keys,
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
            deadline: Duration::from_mins(3),
        },
        storage_class: None,
        lock: None,
        single_writer: false,
        timing: timing(),
        beside: Beside::new(|request| drop(tokio::spawn(request))),
    }
}

pub(crate) fn timing() -> Timing {
    Timing {
        sleep: Arc::new(|period| Box::pin(tokio::time::sleep(period))),
        now: Arc::new(jiff::Timestamp::now),
        pace: None,
    }
}

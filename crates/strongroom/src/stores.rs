//! From a repository's place to a store: secrets are read here, and nowhere before.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use repository::{
    Account, Address, AzAccount, AzProof, AzSecret, Beside, Bucket, GsAccount, Patience, Remote,
    S3Account, S3Encryption, S3Key, S3Keys, SecretText, Service, Store, Timing, Wait,
};
use serde::Deserialize;
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::config::place::{AzureSecret, KeyId, Options, Platform};
use crate::config::reference::Reference;
use crate::config::{Place, Setting};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::units::Rate;

/// A file of certificates is smaller than this.
const AUTHORITIES_MAX: u64 = 4 * 1024 * 1024;
/// A key that ends sooner than this is renewed: a request must not outlive its signature.
const KEY_LEFT_MIN: SignedDuration = SignedDuration::from_mins(5);

/// How often a request is made again for somebody who waits to be told what is wrong.
const RETRIES_OF_A_TRIAL: usize = 3;

/// How much trouble a server is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forbearance {
    /// As much as the options say.
    Usual,
    /// Little.
    Trial,
}

/// The store at a place. Nothing is asked of a server for this.
pub(crate) fn store(place: &Place, forbearance: Forbearance) -> anyhow::Result<Store> {
    let options = &place.options;
    let single_writer = said(options.single_writer.as_ref())
        .copied()
        .unwrap_or_default();
    match &place.address.value {
        Address::Directory(path) => Ok(Store::local(path, single_writer)?),
        Address::Bucket(bucket) => {
            let mut remote = remote(bucket, options, single_writer)?;
            if forbearance == Forbearance::Trial {
                remote.patience.retries = remote.patience.retries.min(RETRIES_OF_A_TRIAL);
            }
            Ok(Store::remote(remote)?)
        }
    }
}

fn remote(bucket: &Bucket, options: &Options, single_writer: bool) -> anyhow::Result<Remote> {
    let usual = Patience::default();
    let patience = Patience {
        timeout: said(options.timeout.as_ref()).map_or(usual.timeout, |period| period.duration()),
        retries: said(options.retries.as_ref())
            .map_or(usual.retries, |retries| usize::from(*retries)),
        deadline: said(options.deadline.as_ref())
            .map_or(usual.deadline, |period| period.duration()),
    };
    let ca = options.ca.as_ref();
    Ok(Remote {
        bucket: bucket.clone(),
        account: match bucket.service {
            Service::S3 => Account::S3(s3(options)?),
            Service::Gs => Account::Gs(google(options)?),
            Service::Az => Account::Az(azure(options)?),
        },
        endpoint: said(options.endpoint.as_ref()).cloned(),
        allow_http: said(options.allow_http.as_ref())
            .copied()
            .unwrap_or_default(),
        authorities: ca.map(|ca| authorities(&ca.value)).transpose()?,
        patience,
        storage_class: said(options.storage_class.as_ref()).cloned(),
        lock: said(options.lock.as_ref()).copied(),
        single_writer,
        timing: timing(said(options.limit_upload.as_ref()).copied()),
        beside: beside(),
    })
}

/// The PEM file with whoever may sign a server's certificate.
pub(crate) fn authorities(path: &Path) -> anyhow::Result<Vec<u8>> {
    let named = || format!("read the authorities {}", path.display());
    let length = fs::metadata(path).with_context(named)?.len();
    ensure!(
        length <= AUTHORITIES_MAX,
        "{} is longer than 4 MiB",
        path.display()
    );
    fs::read(path).with_context(named)
}

fn said<T>(option: Option<&Setting<T>>) -> Option<&T> {
    option.map(|setting| &setting.value)
}

fn s3(options: &Options) -> anyhow::Result<S3Account> {
    let encryption = match said(options.sse_customer_key.as_ref()) {
        Some(reference) => Some(S3Encryption::Customer(secret(reference)?)),
        None => said(options.sse.as_ref()).map(|sse| match sse.as_str() {
            "AES256" => S3Encryption::Aes256,
            _ => S3Encryption::Kms(said(options.sse_kms_key.as_ref()).cloned()),
        }),
    };
    Ok(S3Account {
        region: said(options.region.as_ref()).cloned(),
        path_style: said(options.path_style.as_ref()).copied(),
        keys: s3_keys(options)?,
        encryption,
    })
}

fn s3_keys(options: &Options) -> anyhow::Result<S3Keys> {
    if let Some(id) = said(options.access_key_id.as_ref()) {
        let Some(key) = said(options.secret_access_key.as_ref()) else {
            bail!(Failure::usage(
                "AWS_ACCESS_KEY_ID is set, and AWS_SECRET_ACCESS_KEY is not"
            ));
        };
        let token = said(options.session_token.as_ref())
            .map(secret)
            .transpose()?;
        return Ok(S3Keys::Given(S3Key {
            id: match id {
                KeyId::Text(text) => text.clone(),
                KeyId::Reference(reference) => reference.read_text()?,
            },
            secret: secret(key)?,
            token,
        }));
    }
    if let Some(words) = said(options.credential_process.as_ref()) {
        return Ok(asked(words.clone()));
    }
    Ok(match said(options.platform.as_ref()).cloned() {
        Some(Platform::WebIdentity {
            token_file,
            role,
            session,
            endpoint,
        }) => S3Keys::WebIdentity {
            token_file,
            role,
            session,
            endpoint,
        },
        Some(Platform::Container(path)) => S3Keys::Container(path),
        Some(Platform::ContainerAt(address, token_file)) => {
            S3Keys::ContainerAt(address, token_file)
        }
        Some(Platform::NoMachine) => bail!(no_keys(
            "AWS_EC2_METADATA_DISABLED forbids to ask the machine"
        )),
        _ if std::env::var_os("AWS_PROFILE").is_some() => {
            bail!(no_keys(
                "AWS_PROFILE is set, and ~/.aws is not read by strongroom"
            ))
        }
        _ => S3Keys::Machine,
    })
}

fn no_keys(why: &str) -> Failure {
    Failure::new(Exit::Denied, format!("there are no keys for s3://: {why}")).hint(
        "access_key_id and secret_access_key in the configuration, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the \
         environment, or credential_process: [aws, configure, export-credentials, --profile, NAME]",
    )
}

/// A key, and when it ends.
type EndingKey = (S3Key, Option<Timestamp>);

/// A key from a program, asked again shortly before it ends.
fn asked(words: Vec<String>) -> S3Keys {
    let kept: Arc<Mutex<Option<EndingKey>>> = Arc::default();
    S3Keys::Asked(Arc::new(
        move || -> BoxFuture<'static, Result<S3Key, String>> {
            let (kept, words) = (Arc::clone(&kept), words.clone());
            async move {
                if let Some((key, end)) = &*kept.lock().expect("nobody panics with it") {
                    let left = |end: Timestamp| end.duration_since(Timestamp::now());
                    if end.is_none_or(|end| left(end) > KEY_LEFT_MIN) {
                        return Ok(key.clone());
                    }
                }
                let asked = tokio::task::spawn_blocking(move || ask(words)).await;
                let (key, end) = asked
                    .expect("asking a program does not panic")
                    .map_err(|error| crate::output::chain(&error))?;
                *kept.lock().expect("nobody panics with it") = Some((key.clone(), end));
                Ok(key)
            }
            .boxed()
        },
    ))
}

/// What AWS tools call the output of a credential process.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ProcessKey {
    version: u32,
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
    expiration: Option<Timestamp>,
}

fn ask(words: Vec<String>) -> anyhow::Result<EndingKey> {
    let printed = Reference::Command(words).read()?.into_bytes();
    let key: ProcessKey = serde_json::from_slice(&printed)
        .ok()
        .filter(|key: &ProcessKey| key.version == 1)
        // What it printed may hold a key, so nothing of it is repeated.
        .ok_or_else(|| {
            anyhow!("the program of `credential_process` did not print a key as AWS tools have it")
        })?;
    let s3 = S3Key {
        id: key.access_key_id,
        secret: Zeroizing::new(key.secret_access_key),
        token: key.session_token.map(Zeroizing::new),
    };
    Ok((s3, key.expiration))
}

fn google(options: &Options) -> anyhow::Result<GsAccount> {
    if let Some(reference) = said(options.service_account.as_ref()) {
        return Ok(GsAccount::Key(secret(reference)?));
    }
    Ok(match said(options.platform.as_ref()) {
        Some(Platform::Google(path)) => GsAccount::File(path.display().to_string()),
        _ => GsAccount::Machine,
    })
}

fn azure(options: &Options) -> anyhow::Result<AzAccount> {
    let name = said(options.account.as_ref()).cloned().ok_or_else(|| {
        Failure::usage("it is not known which storage account the container is in")
            .hint("`account: NAME` in the configuration, or AZURE_STORAGE_ACCOUNT_NAME in the environment")
    })?;
    let proof = if let Some(reference) = said(options.account_key.as_ref()) {
        AzProof::Key(secret(reference)?)
    } else if let Some(reference) = said(options.sas.as_ref()) {
        AzProof::Signature(secret(reference)?)
    } else if let Some(Platform::Azure {
        tenant,
        client,
        secret: proof,
        authority,
    }) = said(options.platform.as_ref()).cloned()
    {
        AzProof::Application {
            tenant,
            client,
            authority,
            secret: match proof {
                AzureSecret::Variable(reference) => AzSecret::Text(secret(&reference)?),
                AzureSecret::TokenFile(path) => AzSecret::TokenFile(path),
            },
        }
    } else {
        AzProof::Machine
    };
    Ok(AzAccount { name, proof })
}

pub(crate) fn secret(reference: &Reference) -> anyhow::Result<SecretText> {
    Ok(Zeroizing::new(reference.read_text()?))
}

/// The runtime that the repository does not know.
pub(crate) fn beside() -> Beside {
    Beside::new(|request| drop(tokio::spawn(request)))
}

/// The clock that the repository does not have.
pub(crate) fn timing(limit: Option<Rate>) -> Timing {
    Timing {
        sleep: Arc::new(|period| Box::pin(tokio::time::sleep(period))),
        now: Arc::new(Timestamp::now),
        pace: limit.map(|limit| -> Arc<dyn Fn(usize) -> Wait + Send + Sync> {
            let pace = Pace {
                limit,
                free: Mutex::new(None),
            };
            Arc::new(move |bytes| pace.wait(bytes))
        }),
    }
}

/// Lets bytes go one after the other, no faster than a limit.
struct Pace {
    limit: Rate,
    /// When everything that was let go so far will have gone at that rate.
    free: Mutex<Option<Instant>>,
}

impl Pace {
    fn wait(&self, bytes: usize) -> Wait {
        let now = Instant::now();
        let mut free = self.free.lock().expect("nobody panics with it");
        let start = free.map_or(now, |free| free.max(now));
        let nanoseconds = bytes as u128 * 1_000_000_000 / u128::from(self.limit.bytes_per_second());
        let takes = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX / 2));
        *free = Some(start + takes);
        Box::pin(tokio::time::sleep_until(start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn uploads_keep_to_their_pace() {
        let timing = timing(Some("64KiB/s".parse().expect("a rate")));
        let pace = timing.pace.expect("a pace");
        let began = Instant::now();
        for _ in 0..9 {
            pace(16 * 1024).await;
        }
        // The first goes at once; eight more of a quarter of a second each stand before the last has gone.
        assert_eq!(began.elapsed().as_millis(), 2000);
        tokio::time::sleep(Duration::from_secs(10)).await;
        let later = Instant::now();
        pace(16 * 1024).await;
        pace(16 * 1024).await;
        // What was not used is not saved up.
        assert_eq!(later.elapsed().as_millis(), 250);
    }

    #[test]
    fn a_program_prints_a_key_as_aws_tools_have_it() {
        let echo = |text: &str| ask(["printf", "%s", text].map(str::to_owned).to_vec());
        let (key, end) = echo(
            r#"{"Version":1,"AccessKeyId":"A","SecretAccessKey":"S","SessionToken":"T","Expiration":"2026-11-22T01:00:00+00:00"}"#,
        )
        .expect("a key");
        assert_eq!((key.id.as_str(), key.secret.as_str()), ("A", "S"));
        assert_eq!(key.token.expect("a token").as_str(), "T");
        assert_eq!(end.expect("an end").to_string(), "2026-11-22T01:00:00Z");
        for text in [
            "",
            "no",
            r#"{"Version":2,"AccessKeyId":"A","SecretAccessKey":"hunter2"}"#,
        ] {
            let error = format!("{:#}", echo(text).err().expect("an error"));
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}

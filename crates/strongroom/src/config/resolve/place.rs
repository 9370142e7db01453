use std::path::Path;

use repository::{Address, Lock, LockMode, Service};

use super::{Resolver, check_path};
use crate::config::origin::{At, Setting, beside};
use crate::config::place::{KeyId, Options, Place};
use crate::config::reference::Reference;
use crate::config::repository::{LockFirmness, LockTable, Repository, Table};
use crate::failure::Failure;

/// Classes whose objects cannot be read before somebody has asked for them, hours ago.
const SLEEPING_CLASSES: [&str; 3] = ["GLACIER", "DEEP_ARCHIVE", "Archive"];

const SECONDS_OF_A_DAY: u64 = 24 * 60 * 60;

const ANY: &[Service] = &[Service::S3, Service::Gs, Service::Az];
const S3: &[Service] = &[Service::S3];
const GS: &[Service] = &[Service::Gs];
const AZ: &[Service] = &[Service::Az];

/// An address. What is refused is not repeated: it may hold a key.
pub(super) fn address(text: &str) -> Result<Address, String> {
    let address = text
        .parse()
        .map_err(|error: repository::AddressError| error.to_string())?;
    if let Address::Directory(path) = &address {
        check_path(path)?;
    }
    Ok(address)
}

impl Resolver {
    pub(super) fn place(&self, at: At<Repository>) -> Result<Place, Failure> {
        let here = at.place();
        let table = at.value.0;
        let text = match (&table.url, &table.path) {
            (Some(text), None) | (None, Some(text)) => text,
            (Some(_), Some(_)) => {
                return Err(self.wrong(
                    &here,
                    "`url` and `path` say the same; one of them is too much",
                ));
            }
            (None, None) => return Err(self.wrong(&here, "the key `url` is missing")),
        };
        let mut address = address(text).map_err(|message| self.wrong(&here, message))?;
        if let Address::Directory(path) = &mut address {
            *path = beside(&self.path, path);
        }
        self.refuse_strangers(&address, &table)?;
        self.refuse_contradictions(&here, &table)?;
        Ok(Place {
            address: self.setting(&here, address),
            options: self.options(table)?,
        })
    }

    /// Keys that belong to another service were meant for something else.
    fn refuse_strangers(&self, address: &Address, table: &Table) -> Result<(), Failure> {
        let service = match address {
            Address::Directory(_) => None,
            Address::Bucket(bucket) => Some(bucket.service),
        };
        for (key, at, services) in owners(table) {
            let Some(at) = at else { continue };
            if service.is_none_or(|service| !services.contains(&service)) {
                let schemes: Vec<String> = services
                    .iter()
                    .map(|service| format!("{}://", service.scheme()))
                    .collect();
                let message = format!(
                    "`{key}` belongs to {} addresses, and this repository is at {address}",
                    schemes.join(", ")
                );
                return Err(self.wrong(&at, message));
            }
        }
        Ok(())
    }

    fn refuse_contradictions(&self, here: &At<()>, table: &Table) -> Result<(), Failure> {
        let both = |message: &str| Err(self.wrong(here, message));
        if table.access_key_id.is_some() != table.secret_access_key.is_some() {
            return both(
                "`access_key_id` and `secret_access_key` belong together; one of them is missing",
            );
        }
        if table.session_token.is_some() && table.access_key_id.is_none() {
            return both(
                "`session_token` goes with `access_key_id` and `secret_access_key`, which are missing",
            );
        }
        if table.credential_process.is_some() && table.access_key_id.is_some() {
            return both(
                "`credential_process` and `access_key_id` are two sources of one key; one is too much",
            );
        }
        if table.account_key.is_some() && table.sas.is_some() {
            return both("`account_key` and `sas` are two proofs of one right; one is too much");
        }
        if table.sse.is_some() && table.sse_customer_key.is_some() {
            return both("`sse` and `sse_customer_key` are two keys for one lock; one is too much");
        }
        if let Some(at) = &table.sse
            && !["AES256", "aws:kms"].contains(&at.value.as_str())
        {
            return Err(self.wrong(at, "`sse` is AES256 or aws:kms"));
        }
        let kms = table.sse.as_ref().is_some_and(|at| at.value == "aws:kms");
        if let Some(at) = table.sse_kms_key.as_ref().filter(|_| !kms) {
            return Err(self.wrong(at, "`sse_kms_key` goes with `sse: aws:kms`"));
        }
        if let Some(at) = &table.credential_process
            && at.value.first().is_none_or(String::is_empty)
        {
            return Err(self.wrong(at, "the list names no program"));
        }
        if let Some(at) = &table.storage_class
            && SLEEPING_CLASSES.contains(&at.value.as_str())
        {
            let message = "objects of this class cannot be read at once";
            return Err(self.wrong(at, message));
        }
        Ok(())
    }

    fn options(&self, table: Table) -> Result<Options, Failure> {
        let reference =
            |at: Option<At<Reference>>| at.map(|at| self.setting(&at, at.value.beside(&self.path)));
        let nonzero = |at: Option<At<crate::units::Period>>| match at {
            Some(at) if at.value.duration().is_zero() => {
                Err(self.wrong(&at, "a time of 0s would never let anything through"))
            }
            at => Ok(at.map(|at| self.as_is(at))),
        };
        Ok(Options {
            endpoint: table.endpoint.map(|at| self.as_is(at)),
            allow_http: table.allow_http.map(|at| self.as_is(at)),
            ca: table.ca.map(|at| self.path(&at)).transpose()?,
            region: table.region.map(|at| self.as_is(at)),
            path_style: table.path_style.map(|at| self.as_is(at)),
            access_key_id: table
                .access_key_id
                .map(|at| self.setting(&at, self.key_id(&at.value))),
            secret_access_key: reference(table.secret_access_key),
            session_token: reference(table.session_token),
            credential_process: table.credential_process.map(|at| self.as_is(at)),
            sse: table.sse.map(|at| self.as_is(at)),
            sse_kms_key: table.sse_kms_key.map(|at| self.as_is(at)),
            sse_customer_key: reference(table.sse_customer_key),
            storage_class: table.storage_class.map(|at| self.as_is(at)),
            lock: table.lock.map(|at| self.lock(&at)).transpose()?,
            service_account: reference(table.service_account),
            account: table.account.map(|at| self.as_is(at)),
            account_key: reference(table.account_key),
            sas: reference(table.sas),
            timeout: nonzero(table.timeout)?,
            retries: table.retries.map(|at| self.as_is(at)),
            deadline: nonzero(table.deadline)?,
            limit_upload: table.limit_upload.map(|at| self.as_is(at)),
            single_writer: table.single_writer.map(|at| self.as_is(at)),
            platform: None,
        })
    }

    fn lock(&self, at: &At<LockTable>) -> Result<Setting<Lock>, Failure> {
        let LockTable { mode, period } = &at.value;
        let seconds = period.duration().as_secs();
        if seconds == 0 || !seconds.is_multiple_of(SECONDS_OF_A_DAY) {
            return Err(self.wrong(at, "`lock.for` is a number of whole days, like 30d"));
        }
        let mode = match mode {
            LockFirmness::Compliance => LockMode::Compliance,
            LockFirmness::Governance => LockMode::Governance,
        };
        let days = seconds / SECONDS_OF_A_DAY;
        Ok(self.setting(at, Lock { mode, days }))
    }

    fn key_id(&self, text: &str) -> KeyId {
        match Reference::parse(text) {
            Ok(reference) => KeyId::Reference(reference.beside(&self.path)),
            Err(_) => KeyId::Text(text.to_owned()),
        }
    }
}

/// A key, where it stands if it does, and the services that it belongs to.
type Owner = (&'static str, Option<At<()>>, &'static [Service]);

/// Which services each key belongs to, and where it stands. `single_writer` belongs to directories too.
fn owners(table: &Table) -> Vec<Owner> {
    fn at<T>(at: Option<&At<T>>) -> Option<At<()>> {
        at.map(At::place)
    }
    vec![
        ("endpoint", at(table.endpoint.as_ref()), ANY),
        ("allow_http", at(table.allow_http.as_ref()), ANY),
        ("ca", at(table.ca.as_ref()), ANY),
        ("region", at(table.region.as_ref()), S3),
        ("path_style", at(table.path_style.as_ref()), S3),
        ("access_key_id", at(table.access_key_id.as_ref()), S3),
        (
            "secret_access_key",
            at(table.secret_access_key.as_ref()),
            S3,
        ),
        ("session_token", at(table.session_token.as_ref()), S3),
        (
            "credential_process",
            at(table.credential_process.as_ref()),
            S3,
        ),
        ("sse", at(table.sse.as_ref()), S3),
        ("sse_kms_key", at(table.sse_kms_key.as_ref()), S3),
        ("sse_customer_key", at(table.sse_customer_key.as_ref()), S3),
        ("storage_class", at(table.storage_class.as_ref()), ANY),
        ("lock", at(table.lock.as_ref()), S3),
        ("service_account", at(table.service_account.as_ref()), GS),
        ("account", at(table.account.as_ref()), AZ),
        ("account_key", at(table.account_key.as_ref()), AZ),
        ("sas", at(table.sas.as_ref()), AZ),
        ("timeout", at(table.timeout.as_ref()), ANY),
        ("retries", at(table.retries.as_ref()), ANY),
        ("deadline", at(table.deadline.as_ref()), ANY),
        ("limit_upload", at(table.limit_upload.as_ref()), ANY),
    ]
}

/// A directory that was typed on the command line.
pub(super) fn from_here(address: Address) -> Result<Address, Failure> {
    match address {
        Address::Directory(path) => Ok(Address::Directory(absolute(&path)?)),
        bucket @ Address::Bucket(_) => Ok(bucket),
    }
}

fn absolute(path: &Path) -> Result<std::path::PathBuf, Failure> {
    std::path::absolute(path).map_err(|_| Failure::usage("there is no working directory"))
}

impl Place {
    /// The place that a flag names, with nothing else said about it.
    pub(super) fn of_flag(flag: &'static str, text: &str) -> Result<Self, Failure> {
        let address =
            address(text).map_err(|message| Failure::usage(format!("{flag}: {message}")))?;
        Ok(Self::new(Setting::flag(flag, from_here(address)?)))
    }
}

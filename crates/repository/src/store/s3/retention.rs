use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};
use jiff::Timestamp;
use object_store::path::Path;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::requests::{Question, Requests};
use crate::store::failure::{StoreFailure, StoreFailureKind};
use crate::store::lock::{Held, LockMode};

/// What servers say of an object that is not there, or that was deleted and has versions.
const GONE: [&str; 2] = ["NoSuchKey", "MethodNotAllowed"];
/// What they say of one without a lock, and of one in a bucket that cannot lock.
const LOOSE: [&str; 3] = [
    "NoSuchObjectLockConfiguration",
    "ObjectLockConfigurationNotFoundError",
    "InvalidRequest",
];

fn says(failure: &StoreFailure, codes: &[&str]) -> bool {
    failure.code().is_some_and(|code| codes.contains(&code))
}

/// What a server says of the lock of an object.
pub(in crate::store) enum Retained {
    Locked(Held),
    /// It is there, and not locked.
    Loose,
    /// It is not there, or was deleted and has versions.
    Gone,
}

impl Retained {
    pub(in crate::store) fn held(self) -> Option<Held> {
        match self {
            Self::Locked(held) => Some(held),
            Self::Loose | Self::Gone => None,
        }
    }
}

impl Requests {
    /// The time, as the program has it.
    pub(in crate::store) fn now(&self) -> Timestamp {
        (self.timing.now)()
    }

    /// How an object is locked.
    pub(in crate::store) async fn retained(&self, object: &Path) -> Result<Retained, StoreFailure> {
        let question = Question {
            method: Method::GET,
            object: Some(object),
            query: "retention=",
            headers: HeaderMap::new(),
            body: Bytes::new(),
        };
        match self.answer(&question).await {
            Ok(document) => Ok(parse(&document)?.map_or(Retained::Loose, Retained::Locked)),
            Err(failure) if says(&failure, &GONE) => Ok(Retained::Gone),
            Err(failure) if says(&failure, &LOOSE) => Ok(Retained::Loose),
            Err(failure) => Err(failure),
        }
    }

    /// Locks an object, or prolongs its lock. `false`: it is gone by then.
    pub(in crate::store) async fn hold(
        &self,
        object: &Path,
        held: Held,
    ) -> Result<bool, StoreFailure> {
        let (mode, until) = (held.mode.name(), held.until);
        let body = format!(
            "<Retention xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Mode>{mode}</Mode>\
             <RetainUntilDate>{until}</RetainUntilDate></Retention>"
        );
        // A lock is taken with a checksum only.
        let checksum = STANDARD.encode(Sha256::digest(&body));
        let checksum = HeaderValue::try_from(checksum).expect("base64 is ASCII");
        let question = Question {
            method: Method::PUT,
            object: Some(object),
            query: "retention=",
            headers: HeaderMap::from_iter([(
                http::HeaderName::from_static("x-amz-checksum-sha256"),
                checksum,
            )]),
            body: body.into(),
        };
        match self.answer(&question).await {
            Ok(_) => Ok(true),
            Err(failure) if says(&failure, &GONE) => Ok(false),
            Err(failure) => Err(failure),
        }
    }
}

fn parse(document: &Bytes) -> Result<Option<Held>, StoreFailure> {
    let wrong = || {
        let message = "the lock of an object is not as S3 has it";
        StoreFailure::new(StoreFailureKind::Other, message)
    };
    let retention: Retention =
        quick_xml::de::from_reader(document.as_ref()).map_err(|_| wrong())?;
    let (Some(mode), Some(until)) = (retention.mode, retention.retain_until_date) else {
        return Ok(None);
    };
    Ok(Some(Held {
        mode: LockMode::of_name(&mode).ok_or_else(wrong)?,
        until: until.parse().map_err(|_| wrong())?,
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Retention {
    mode: Option<String>,
    retain_until_date: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_are_read_as_servers_write_them() {
        let parsed = |text: &str| parse(&Bytes::from(text.to_owned())).ok();
        let text = "<?xml version=\"1.0\"?><Retention xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Mode>GOVERNANCE</Mode>\
            <RetainUntilDate>2026-12-26T15:04:05.000Z</RetainUntilDate></Retention>";
        let until = "2026-12-26T15:04:05Z".parse().expect("a time");
        let mode = LockMode::Governance;
        assert_eq!(parsed(text), Some(Some(Held { mode, until })));
        assert_eq!(parsed("<Retention/>"), Some(None));
        assert_eq!(parsed(&text.replace("GOVERNANCE", "MAYBE")), None);
        assert_eq!(parsed(&text.replace("2026", "")), None);
        assert_eq!(parsed("no document"), None);
    }
}

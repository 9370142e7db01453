use bytes::Bytes;
use http::{HeaderMap, Method};
use serde::Deserialize;

use super::requests::Requests;
use super::super::failure::{StoreFailure, StoreFailureKind};
use super::super::lock::{Lock, LockMode};

/// What a bucket promises beside keeping objects. `None`: we may not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Promises {
    /// Whether old versions are kept when an object is overwritten or deleted.
    pub keeps_versions: Option<bool>,
    /// Whether objects can be locked.
    pub locks: Option<bool>,
    /// What every new object is locked with.
    pub usual_lock: Option<Lock>,
}

impl Requests {
    /// What the bucket's settings say. What we may not ask is left open.
    pub(in crate::store) async fn promises(&self) -> Result<Promises, StoreFailure> {
        let versioning = self.setting("versioning=").await?;
        let lock = self.setting("object-lock=").await?;
        let mut promises = Promises::default();
        if let Some(Some(document)) = versioning {
            let versioning: Versioning = parsed(&document)?;
            promises.keeps_versions = Some(versioning.status.as_deref() == Some("Enabled"));
        }
        match lock {
            None => {}
            Some(None) => promises.locks = Some(false),
            Some(Some(document)) => {
                let lock: ObjectLock = parsed(&document)?;
                promises.locks = Some(lock.object_lock_enabled.as_deref() == Some("Enabled"));
                promises.usual_lock = lock.rule.and_then(|rule| rule.default_retention.lock());
            }
        }
        Ok(promises)
    }

    /// `None`: we may not ask, or the server does not understand. `Some(None)`: there is no such setting.
    async fn setting(&self, query: &str) -> Result<Option<Option<Bytes>>, StoreFailure> {
        let asked = self
            .ask(Method::GET, None, query, &HeaderMap::new(), &Bytes::new())
            .await;
        match asked {
            Ok(answer) => Ok(Some(Some(answer.body))),
            Err(failure) if failure.says("ObjectLockConfigurationNotFoundError") => Ok(Some(None)),
            Err(failure) => match failure.kind() {
                StoreFailureKind::Denied | StoreFailureKind::Other => Ok(None),
                _ => Err(failure),
            },
        }
    }
}

pub(super) fn parsed<T: for<'de> Deserialize<'de>>(document: &Bytes) -> Result<T, StoreFailure> {
    quick_xml::de::from_reader(document.as_ref()).map_err(|_| {
        let message = "it answers with a document that is none of S3's";
        StoreFailure::new(StoreFailureKind::Other, message)
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Versioning {
    status: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ObjectLock {
    object_lock_enabled: Option<String>,
    rule: Option<Rule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Rule {
    default_retention: Retention,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Retention {
    mode: Option<String>,
    days: Option<u64>,
    years: Option<u64>,
}

impl Retention {
    fn lock(&self) -> Option<Lock> {
        let mode = match self.mode.as_deref()? {
            "COMPLIANCE" => LockMode::Compliance,
            "GOVERNANCE" => LockMode::Governance,
            _ => return None,
        };
        let days = self.days.or_else(|| Some(self.years? * 365))?;
        Some(Lock { mode, days })
    }
}

use bytes::Bytes;
use serde::Deserialize;

use super::requests::Requests;
use crate::store::failure::{StoreFailure, StoreFailureKind};
use crate::store::lock::{Lock, LockMode};

impl Requests {
    /// Whether objects of the bucket can be locked, and what every new one is locked with. `None`: we may not ask, or the server
    /// does not understand.
    pub(in crate::store) async fn locks(
        &self,
    ) -> Result<Option<(bool, Option<Lock>)>, StoreFailure> {
        match self.get("object-lock=").await {
            Ok(document) => parse(&document).map(Some),
            Err(failure) if failure.code() == Some("ObjectLockConfigurationNotFoundError") => {
                Ok(Some((false, None)))
            }
            Err(failure) => match failure.kind() {
                StoreFailureKind::Unreachable => Err(failure),
                _ => Ok(None),
            },
        }
    }
}

fn parse(document: &Bytes) -> Result<(bool, Option<Lock>), StoreFailure> {
    let settings: Settings = quick_xml::de::from_reader(document.as_ref()).map_err(|_| {
        let message = "its setting of object lock is not as S3 has it";
        StoreFailure::new(StoreFailureKind::Other, message)
    })?;
    let enabled = settings.object_lock_enabled.as_deref() == Some("Enabled");
    let lock = settings
        .rule
        .and_then(|rule| rule.default_retention?.lock());
    Ok((enabled, lock))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Settings {
    object_lock_enabled: Option<String>,
    rule: Option<Rule>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Rule {
    default_retention: Option<Retention>,
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
        let years = || self.years?.checked_mul(365);
        let days = self.days.or_else(years)?;
        Some(Lock { mode, days })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_as_servers_write_them() {
        let parsed = |text: &'static str| parse(&Bytes::from_static(text.as_bytes())).ok();
        let rule = |mode: &str, period: &str| {
            format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ObjectLockConfiguration \
                 xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule>\
                 <DefaultRetention><Mode>{mode}</Mode>{period}</DefaultRetention></Rule></ObjectLockConfiguration>"
            )
        };
        let lock = |mode, days| Some((true, Some(Lock { mode, days })));
        for (mode, period, expected) in [
            (
                "COMPLIANCE",
                "<Days>30</Days>",
                lock(LockMode::Compliance, 30),
            ),
            (
                "GOVERNANCE",
                "<Years>2</Years>",
                lock(LockMode::Governance, 730),
            ),
            ("SOMETHING", "<Days>30</Days>", Some((true, None))),
            (
                "COMPLIANCE",
                "<Years>18446744073709551615</Years>",
                Some((true, None)),
            ),
            ("COMPLIANCE", "", Some((true, None))),
            ("COMPLIANCE", "<Days>-1</Days>", None),
        ] {
            let text = rule(mode, period);
            assert_eq!(parse(&Bytes::from(text.clone())).ok(), expected, "{text}");
        }
        assert_eq!(parsed("<ObjectLockConfiguration/>"), Some((false, None)));
        assert_eq!(parsed("no document"), None);
    }
}

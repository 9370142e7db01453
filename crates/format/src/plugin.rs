use std::collections::BTreeSet;

use age_core::format::{FileKey, Stanza};
use zeroize::Zeroizing;

/// Where age plugins run. A plugin is a program, and this crate starts none.
///
/// The protocol's state machines by their purpose: whoever wraps hands over recipients, and has no way to hand over an identity.
pub trait Plugins: Send + Sync {
    /// Wraps a file key for `recipients`, all of which are of this plugin.
    fn wrap(
        &self,
        plugin: &PluginName,
        recipients: &[String],
        key: &FileKey,
    ) -> Result<Wrapped, PluginError>;

    /// The file key, if one of `identities`, all of which are of this plugin, unwraps one of `stanzas`.
    fn unwrap(
        &self,
        plugin: &PluginName,
        identities: &[Zeroizing<String>],
        stanzas: &[Stanza],
    ) -> Result<Option<FileKey>, PluginError>;
}

/// A file key for the recipients of one plugin.
pub struct Wrapped {
    /// For the age file's header.
    pub stanzas: Vec<Stanza>,
    /// Only recipients with the same labels may stand in one file.
    pub labels: BTreeSet<String>,
}

/// Why a plugin did not do what it is there for: one sentence that names it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PluginError(pub String);

/// The name of a plugin: the program is `age-plugin-NAME`. Lower case, and nothing that could lead into another folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PluginName(String);

impl PluginName {
    /// Of `age1NAME1…`.
    pub(crate) fn of_recipient(text: &str) -> Option<Self> {
        Self::of(text, |prefix| prefix.strip_prefix("age1"))
    }

    /// Of `AGE-PLUGIN-NAME-1…`.
    pub(crate) fn of_identity(text: &str) -> Option<Self> {
        Self::of(text, |prefix| {
            prefix.strip_prefix("AGE-PLUGIN-")?.strip_suffix('-')
        })
    }

    fn of(text: &str, name: impl FnOnce(&str) -> Option<&str>) -> Option<Self> {
        let usable = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-._".contains(&b);
        age_core::primitives::bech32_decode(
            text,
            |_| (),
            |_| Ok(()),
            |prefix, _| name(prefix.as_str()).map(str::to_ascii_lowercase).ok_or(()),
        )
        .ok()
        .filter(|name| !name.is_empty() && name.bytes().all(usable))
        .map(Self)
    }

    /// The name of its program.
    pub fn program(&self) -> String {
        format!("age-plugin-{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bech32(prefix: &str) -> String {
        let prefix = bech32::Hrp::parse(prefix).expect("a prefix");
        age_core::primitives::bech32_encode(prefix, &[7; 32])
    }

    #[test]
    fn a_name_is_found_in_recipients_and_identities_and_leads_nowhere_else() {
        let name = |text: &str| PluginName::of_recipient(text).map(|name| name.program());
        assert_eq!(name(&bech32("age1pq")), Some("age-plugin-pq".into()));
        assert_eq!(
            name(&bech32("age1yubi-key")),
            Some("age-plugin-yubi-key".into())
        );
        for bad in ["age1", "age1../x", "age1a/b", "other1pq", "age"] {
            assert_eq!(name(&bech32(bad)), None, "{bad}");
        }
        assert_eq!(name("age1pq1qqqqqqq"), None, "its checksum is wrong");

        let name = |text: &str| PluginName::of_identity(text).map(|name| name.program());
        let identity = bech32("age-plugin-pq-").to_uppercase();
        assert_eq!(name(&identity), Some("age-plugin-pq".into()));
        for bad in [
            "age-plugin--",
            "age-plugin-pq",
            "age-plugin-a/b-",
            "age-secret-key-",
        ] {
            assert_eq!(name(&bech32(bad).to_uppercase()), None, "{bad}");
        }
    }
}

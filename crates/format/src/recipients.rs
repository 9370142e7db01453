use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::sync::Arc;

use age_core::format::{FileKey, Stanza};

use crate::plugin::{PluginError, PluginName, Plugins, Wrapped};
use crate::{RECIPIENT_MAX, RECIPIENTS_MAX, id};

/// The public keys that a run is sealed to: at least one.
#[derive(Clone)]
pub struct Recipients {
    parsed: Vec<Recipient>,
    texts: Vec<String>,
    plugins: Option<Arc<dyn Plugins>>,
}

#[derive(Clone)]
enum Recipient {
    X25519(age::x25519::Recipient),
    /// A hardware token's, which age can seal to without its plugin; only opening needs it.
    Tag(age::tag::Recipient),
    TagPq(Box<age::tagpq::Recipient>),
    Plugin(PluginName, String),
}

/// A recipient that is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecipientError {
    /// It is an identity: the private key stands where the public one belongs. The text is not repeated.
    #[error("a recipient is an identity (a private key): put its public key, age1…, here instead")]
    Identity,
    /// It is an SSH key, which age takes elsewhere.
    #[error("SSH keys are not supported as recipients: use an age recipient, age1…")]
    Ssh,
    /// It does not parse.
    #[error("{0:?} is not an age recipient (age1…)")]
    NotOne(String),
    /// There is none.
    #[error("there is no recipient: nothing could ever be restored")]
    None,
    /// There are more than the format allows.
    #[error("there are more than {RECIPIENTS_MAX} recipients")]
    TooMany,
}

impl Recipients {
    /// Parses `age1…` texts; the same one twice counts once. Those of plugins are sealed to by [`Recipients::with_plugins`] only.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, RecipientError> {
        let mut recipients = Self {
            parsed: Vec::new(),
            texts: Vec::new(),
            plugins: None,
        };
        for text in texts {
            let text = text.trim();
            if recipients.texts.iter().any(|known| known == text) {
                continue;
            }
            recipients.parsed.push(Recipient::parse(text)?);
            recipients.texts.push(text.to_owned());
        }
        match recipients.texts.len() {
            0 => Err(RecipientError::None),
            1..=RECIPIENTS_MAX => Ok(recipients),
            _ => Err(RecipientError::TooMany),
        }
    }

    /// The same, with plugins to run for those that need one.
    #[must_use]
    pub fn with_plugins(mut self, plugins: Arc<dyn Plugins>) -> Self {
        self.plugins = Some(plugins);
        self
    }

    /// Their texts, as given.
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    /// What age can wrap a file key for: each recipient, and those of a plugin together, which runs once for all of them.
    pub(crate) fn wrappers(&self) -> Vec<Wrapper> {
        let mut wrappers: Vec<Wrapper> = Vec::new();
        let mut of_plugins: BTreeMap<&PluginName, Vec<String>> = BTreeMap::new();
        for recipient in &self.parsed {
            match recipient {
                Recipient::X25519(key) => wrappers.push(Wrapper::new(key.clone())),
                Recipient::Tag(key) => wrappers.push(Wrapper::new(key.clone())),
                Recipient::TagPq(key) => wrappers.push(Wrapper(key.clone())),
                Recipient::Plugin(plugin, text) => {
                    of_plugins.entry(plugin).or_default().push(text.clone());
                }
            }
        }
        wrappers.extend(of_plugins.into_iter().map(|(plugin, recipients)| {
            Wrapper::new(OfPlugin {
                plugin: plugin.clone(),
                recipients,
                plugins: self.plugins.clone(),
            })
        }));
        wrappers
    }
}

impl Recipient {
    fn parse(text: &str) -> Result<Self, RecipientError> {
        let upper = text.to_ascii_uppercase();
        if upper.starts_with("AGE-SECRET-KEY-") || upper.starts_with("AGE-PLUGIN-") {
            return Err(RecipientError::Identity);
        }
        if text.starts_with("ssh-") || text.starts_with("ecdsa-") || text.starts_with("sk-") {
            return Err(RecipientError::Ssh);
        }
        let not_one = || RecipientError::NotOne(text.chars().take(80).collect());
        if text.len() > RECIPIENT_MAX {
            return Err(not_one());
        }
        if let Ok(key) = text.parse() {
            return Ok(Self::X25519(key));
        }
        if let Ok(key) = text.parse() {
            return Ok(Self::Tag(key));
        }
        if let Ok(key) = text.parse() {
            return Ok(Self::TagPq(Box::new(key)));
        }
        let plugin = PluginName::of_recipient(text).ok_or_else(not_one)?;
        Ok(Self::Plugin(plugin, text.to_owned()))
    }
}

/// Something that wraps a file key.
pub(crate) struct Wrapper(Box<dyn age::Recipient>);

impl Wrapper {
    fn new(recipient: impl age::Recipient + 'static) -> Self {
        Self(Box::new(recipient))
    }

    pub(crate) fn as_age(&self) -> &dyn age::Recipient {
        &*self.0
    }

    /// The labels that it insists on, found by wrapping a key that nothing is sealed with.
    pub(crate) fn labels(&self) -> Result<BTreeSet<String>, age::EncryptError> {
        let (_, labels) = self
            .0
            .wrap_file_key(&FileKey::new(Box::new(id::random())))?;
        Ok(labels.into_iter().collect())
    }
}

struct OfPlugin {
    plugin: PluginName,
    recipients: Vec<String>,
    plugins: Option<Arc<dyn Plugins>>,
}

impl age::Recipient for OfPlugin {
    fn wrap_file_key(
        &self,
        key: &FileKey,
    ) -> Result<(Vec<Stanza>, HashSet<String>), age::EncryptError> {
        let wrapped = match &self.plugins {
            Some(plugins) => plugins.wrap(&self.plugin, &self.recipients, key),
            None => Err(not_here(&self.plugin)),
        };
        match wrapped {
            Ok(Wrapped { stanzas, labels }) => Ok((stanzas, labels.into_iter().collect())),
            Err(error) => Err(age::EncryptError::Io(io::Error::other(error))),
        }
    }
}

/// What stands in a place that runs no plugins.
pub(crate) fn not_here(plugin: &PluginName) -> PluginError {
    PluginError(format!(
        "{} is needed, and no plugin is run here",
        plugin.program()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate_identity;

    #[test]
    fn recipients_that_do_not_parse_are_named_but_secrets_are_not() {
        let (secret, recipient) = generate_identity();
        let error = |texts: &[&str]| Recipients::parse(texts.iter().copied()).err();
        assert_eq!(error(&[]), Some(RecipientError::None));
        assert_eq!(
            error(&["age1oops"]),
            Some(RecipientError::NotOne("age1oops".into()))
        );
        for identity in [
            &secret,
            &*secret.to_lowercase(),
            "AGE-PLUGIN-PQ-1QQQ",
            "age-secret-key-pq-1q",
        ] {
            assert_eq!(error(&[identity]), Some(RecipientError::Identity));
        }
        for ssh in [
            "ssh-ed25519 AAAA",
            "ssh-rsa AAAA",
            "ecdsa-sha2-nistp256 AAAA",
        ] {
            assert_eq!(error(&[ssh]), Some(RecipientError::Ssh));
        }
        let twice = Recipients::parse([&*recipient, &*recipient]).expect("one recipient");
        assert_eq!(twice.texts().len(), 1);
    }
}

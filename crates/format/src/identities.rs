use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use age::secrecy::{ExposeSecret, SecretString};
use age_core::format::{FileKey, Stanza};
use zeroize::Zeroizing;

use crate::plugin::{PluginError, PluginName, Plugins};
use crate::recipients::not_here;

/// Why something that is sealed does not open, or an identity file gives no identities. Nothing of a file enters an error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// It is sealed to others.
    #[error("none of the identities given opens it")]
    NoneOpens,
    /// It is not an age file, was cut or changed, or does not hold what it must.
    #[error("it is not a sound age file")]
    Damaged,
    /// The identity file is not one.
    #[error("not an age identity file: {0}")]
    NotIdentities(String),
    /// The passphrase is not that of the identity file.
    #[error("the passphrase is wrong")]
    WrongPassphrase,
    /// Trying one passphrase would take too long, and too much memory.
    #[error(
        "its passphrase has a work factor of more than {WORK_FACTOR_MAX}: open it with `age -d`"
    )]
    TooMuchWork,
    /// A plugin was needed, and did not do it.
    #[error(transparent)]
    Plugin(#[from] PluginError),
}

/// The scrypt work factor of a passphrase is at most this, as a power of two: 1 GiB of memory, and some seconds.
pub(crate) const WORK_FACTOR_MAX: u8 = 20;

/// The private keys that open runs. No `Debug`, `Display` or `Serialize`.
#[derive(Default)]
pub struct Identities {
    keys: Vec<age::x25519::Identity>,
    of_plugins: BTreeMap<PluginName, Vec<Zeroizing<String>>>,
    plugins: Option<Arc<dyn Plugins>>,
}

impl Identities {
    /// None: nothing can be opened.
    pub fn none() -> Self {
        Self::default()
    }

    /// The same, with plugins to run for those that need one.
    #[must_use]
    pub fn with_plugins(mut self, plugins: Arc<dyn Plugins>) -> Self {
        self.plugins = Some(plugins);
        self
    }

    /// Adds those of one identity file that is not sealed itself, as `age-keygen` writes it; none of them if one is wrong.
    pub fn add_file(&mut self, file: &[u8]) -> Result<(), IdentityError> {
        let bad = |what: &str| IdentityError::NotIdentities(what.to_owned());
        let text = std::str::from_utf8(file).map_err(|_| bad("it is not text"))?;
        let mut parsed = Vec::new();
        for (at, line) in text.lines().enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = || bad(&format!("there is no identity on line {}", at + 1));
            parsed.push(Identity::parse(line).ok_or_else(wrong)?);
        }
        if parsed.is_empty() {
            return Err(bad("it holds no identity"));
        }
        for identity in parsed {
            match identity {
                Identity::Key(key) => self.keys.push(key),
                Identity::Plugin(plugin, text) => {
                    self.of_plugins.entry(plugin).or_default().push(text);
                }
            }
        }
        Ok(())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.of_plugins.is_empty()
    }

    /// Whether a plugin may run to open something: it takes its time, and may ask a person.
    pub fn need_plugins(&self) -> bool {
        !self.of_plugins.is_empty()
    }

    /// The recipients of those whose recipient can be told without a plugin.
    pub fn recipients(&self) -> Vec<String> {
        self.keys
            .iter()
            .map(|key| key.to_public().to_string())
            .collect()
    }

    /// The only one, if that is a key of age's own kind.
    pub(crate) fn only_key(&self) -> Option<&age::x25519::Identity> {
        match &self.keys[..] {
            [key] if self.of_plugins.is_empty() => Some(key),
            _ => None,
        }
    }

    /// Opens an age file. Plugins are asked last, and one that fails does not keep another from opening it.
    pub(crate) fn open<'a>(
        &self,
        decryptor: age::Decryptor<&'a [u8]>,
    ) -> Result<age::stream::StreamReader<&'a [u8]>, IdentityError> {
        decryptor
            .decrypt(std::iter::once(self as &dyn age::Identity))
            .map_err(|error| match error {
                age::DecryptError::NoMatchingKeys => IdentityError::NoneOpens,
                age::DecryptError::Io(error) => error
                    .downcast::<PluginError>()
                    .map_or(IdentityError::Damaged, IdentityError::Plugin),
                _ => IdentityError::Damaged,
            })
    }

    fn ask(
        &self,
        plugin: &PluginName,
        texts: &[Zeroizing<String>],
        stanzas: &[Stanza],
    ) -> Result<Option<FileKey>, PluginError> {
        match &self.plugins {
            Some(plugins) => plugins.unwrap(plugin, texts, stanzas),
            None => Err(not_here(plugin)),
        }
    }
}

impl age::Identity for Identities {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, age::DecryptError>> {
        self.unwrap_stanzas(std::slice::from_ref(stanza))
    }

    fn unwrap_stanzas(&self, stanzas: &[Stanza]) -> Option<Result<FileKey, age::DecryptError>> {
        let known = self.keys.iter().find_map(|key| key.unwrap_stanzas(stanzas));
        if known.is_some() {
            return known;
        }
        let mut failed = None;
        for (plugin, texts) in &self.of_plugins {
            match self.ask(plugin, texts, stanzas) {
                Ok(Some(key)) => return Some(Ok(key)),
                Ok(None) => {}
                Err(error) => failed = Some(error),
            }
        }
        failed.map(|error| Err(age::DecryptError::Io(io::Error::other(error))))
    }
}

enum Identity {
    Key(age::x25519::Identity),
    Plugin(PluginName, Zeroizing<String>),
}

impl Identity {
    fn parse(line: &str) -> Option<Self> {
        if let Ok(key) = line.parse() {
            return Some(Self::Key(key));
        }
        let text = for_plugin(line).unwrap_or_else(|| Zeroizing::new(line.to_owned()));
        let plugin = PluginName::of_identity(&text)?;
        Some(Self::Plugin(plugin, text))
    }
}

/// The post-quantum identities that age 1.3 makes (`AGE-SECRET-KEY-PQ-1…`), as `age-plugin-pq -identity` would turn them into the
/// plugin's: the same bytes under another prefix.
fn for_plugin(line: &str) -> Option<Zeroizing<String>> {
    const NATIVE: &str = "AGE-SECRET-KEY-PQ-";
    const PLUGIN: &str = "AGE-PLUGIN-PQ-";
    let seed = age_core::primitives::bech32_decode(
        line,
        |_| (),
        |prefix| (prefix.as_str() == NATIVE).then_some(()).ok_or(()),
        |_, bytes| Ok(Zeroizing::new(bytes.collect::<Vec<u8>>())),
    )
    .ok()?;
    let prefix = bech32::Hrp::parse(PLUGIN).expect("it is a prefix");
    let lower = Zeroizing::new(age_core::primitives::bech32_encode(prefix, &seed));
    Some(Zeroizing::new(lower.to_ascii_uppercase()))
}

/// A new identity: the text of its secret key, and its recipient.
pub fn generate_identity() -> (Zeroizing<String>, String) {
    let identity = age::x25519::Identity::generate();
    let secret: SecretString = identity.to_string();
    (
        Zeroizing::new(secret.expose_secret().to_owned()),
        identity.to_public().to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_no_identity_is_told_by_its_number_only() {
        let (secret, _) = generate_identity();
        let mut identities = Identities::none();
        let file = format!("# comment\n{}\n{}x\n", &*secret, &*secret);
        let shown = identities
            .add_file(file.as_bytes())
            .expect_err("damaged")
            .to_string();
        assert!(
            !shown.contains(&secret[20..40]) && shown.contains("line 3"),
            "{shown}"
        );
        assert!(
            identities.is_empty(),
            "none of a file that is wrong is taken"
        );
    }

    #[test]
    fn a_post_quantum_identity_of_age_becomes_its_plugins() {
        // Made by age-keygen -pq 1.3.2, and converted by age-plugin-pq -identity.
        let native =
            "AGE-SECRET-KEY-PQ-1K599PPF4CPRCUARN3WCZ8ZK4KVJ7D9ZE8G9XTVUCRCHHLFGDTLXS0EYQM8";
        let plugin = "AGE-PLUGIN-PQ-1K599PPF4CPRCUARN3WCZ8ZK4KVJ7D9ZE8G9XTVUCRCHHLFGDTLXS5V7UAY";
        assert_eq!(
            for_plugin(native).map(|text| text.to_string()),
            Some(plugin.to_owned())
        );
        assert!(for_plugin(plugin).is_none());
    }
}

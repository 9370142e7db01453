use std::collections::BTreeSet;
use std::io::{Read, Write};

use zeroize::Zeroizing;

use crate::identities::{Identities, IdentityError};
use crate::plugin::PluginError;
use crate::recipients::{Recipients, Wrapper};
use crate::seal::{SealKey, derive};
use crate::{SMALL_OBJECT_MAX, id};

/// A run's data key: opens everything of that run. No `Debug`, `Display` or `Serialize`; wiped when dropped.
pub struct DataKey(Zeroizing<[u8; 32]>);

impl DataKey {
    /// A fresh one, for one run.
    pub fn random() -> Self {
        Self(Zeroizing::new(id::random()))
    }

    /// The one that somebody opened by other means, for whoever reads a run without an identity: `age -d` prints these bytes.
    pub fn from_bytes(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(bytes)
    }

    /// The run's key objects: age files for all `recipients`.
    ///
    /// age lets post-quantum recipients not stand in one file with others, whose weakness would be that of all: where both are
    /// there, there are two files.
    pub fn seal_to(&self, recipients: &Recipients) -> Result<KeyObjects, SealError> {
        let wrappers = recipients.wrappers();
        match self.seal(&wrappers) {
            Err(age::EncryptError::IncompatibleRecipients { .. }) => self.seal_apart(&wrappers),
            sealed => Ok(KeyObjects {
                key: checked(sealed?)?,
                post_quantum: None,
            }),
        }
    }

    fn seal_apart(&self, wrappers: &[Wrapper]) -> Result<KeyObjects, SealError> {
        let (mut others, mut post_quantum) = (Vec::new(), Vec::new());
        for wrapper in wrappers {
            let labels = wrapper.labels()?;
            if labels.is_empty() {
                others.push(wrapper);
            } else if labels == BTreeSet::from([POST_QUANTUM.to_owned()]) {
                post_quantum.push(wrapper);
            } else {
                return Err(SealError::Apart);
            }
        }
        Ok(KeyObjects {
            key: checked(self.seal(others)?)?,
            post_quantum: Some(checked(self.seal(post_quantum)?)?),
        })
    }

    fn seal<'a>(
        &self,
        wrappers: impl IntoIterator<Item = &'a Wrapper>,
    ) -> Result<Vec<u8>, age::EncryptError> {
        let each = wrappers.into_iter().map(Wrapper::as_age);
        let encryptor = age::Encryptor::with_recipients(each)?;
        let mut object = Vec::with_capacity(512);
        let mut writer = encryptor.wrap_output(&mut object)?;
        writer.write_all(&*self.0)?;
        writer.finish()?;
        Ok(object)
    }

    /// Opens a key object.
    pub fn open_with(object: &[u8], identities: &Identities) -> Result<Self, IdentityError> {
        let decryptor = age::Decryptor::new_buffered(object).map_err(|_| IdentityError::Damaged)?;
        let mut reader = identities.open(decryptor)?;
        let mut key = Zeroizing::new([0; 32]);
        reader
            .read_exact(&mut *key)
            .map_err(|_| IdentityError::Damaged)?;
        let rest = reader.read(&mut [0]).map_err(|_| IdentityError::Damaged)?;
        if rest == 0 {
            Ok(Self(key))
        } else {
            Err(IdentityError::Damaged)
        }
    }

    /// Whether both open the same run.
    pub fn is_same(&self, other: &Self) -> bool {
        self.commitment() == other.commitment()
    }

    pub(crate) fn frame_key(&self, stream: u32, frame: u64) -> SealKey {
        let parts: [&[u8]; 3] = [&*self.0, &stream.to_le_bytes(), &frame.to_le_bytes()];
        derive("strongroom v1 frame key", &parts)
    }

    pub(crate) fn manifest_key(&self) -> SealKey {
        derive("strongroom v1 manifest key", &[&*self.0])
    }

    /// What the manifest's header must say, or this is not the key that it was sealed with.
    pub(crate) fn commitment(&self) -> [u8; 32] {
        *derive("strongroom v1 key commitment", &[&*self.0])
    }
}

/// The label that post-quantum recipients carry.
const POST_QUANTUM: &str = "postquantum";

/// The key objects of a run, which hold the same data key.
pub struct KeyObjects {
    /// For all recipients, or for those that are not post-quantum where there are both.
    pub key: Vec<u8>,
    /// For the post-quantum ones, where there are both.
    pub post_quantum: Option<Vec<u8>>,
}

/// Why a data key cannot be sealed to the recipients.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// A plugin was needed, and did not do it.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// Some insist on standing apart, by a rule of their plugins that is not the one of post-quantum recipients.
    #[error("a plugin does not let its recipients stand beside the others; configure them alone")]
    Apart,
    /// One is a passphrase: a plugin can make it look like a recipient.
    #[error(
        "a recipient is a passphrase, which this host would then hold: seal to public keys only"
    )]
    Passphrase,
    /// The key object would exceed the limit of the format.
    #[error("there are too many recipients: a key object has at most {SMALL_OBJECT_MAX} bytes")]
    TooLong,
    /// A plugin made something that cannot stand in an age file.
    #[error("a plugin made something that cannot stand in an age file")]
    Unusable,
}

impl From<age::EncryptError> for SealError {
    fn from(error: age::EncryptError) -> Self {
        match error {
            age::EncryptError::Io(error) => error
                .downcast::<PluginError>()
                .map_or(Self::Unusable, Self::Plugin),
            age::EncryptError::IncompatibleRecipients { .. } => Self::Apart,
            age::EncryptError::MixedRecipientAndPassphrase => Self::Passphrase,
            _ => Self::Unusable,
        }
    }
}

/// What plugins had a hand in is looked at before anything is sealed with its key.
fn checked(object: Vec<u8>) -> Result<Vec<u8>, SealError> {
    if object.len() as u64 > SMALL_OBJECT_MAX {
        return Err(SealError::TooLong);
    }
    let decryptor = age::Decryptor::new_buffered(&object[..]).map_err(|_| SealError::Unusable)?;
    if decryptor.is_scrypt() {
        return Err(SealError::Passphrase);
    }
    Ok(object)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use age::secrecy::ExposeSecret as _;
    use age_core::format::{FileKey, Stanza};

    use super::*;
    use crate::generate_identity;
    use crate::plugin::{PluginName, Plugins, Wrapped};

    fn identity() -> (Identities, Recipients) {
        let (secret, recipient) = generate_identity();
        let mut identities = Identities::none();
        identities
            .add_file(secret.as_bytes())
            .expect("our own identity");
        (
            identities,
            Recipients::parse([recipient.as_str()]).expect("our own recipient"),
        )
    }

    #[test]
    fn a_key_opens_for_each_recipient_and_nobody_else() {
        let (first, first_recipient) = identity();
        let (second, second_recipient) = identity();
        let (stranger, _) = identity();
        let both = [&first_recipient, &second_recipient].map(|recipients| &*recipients.texts()[0]);
        let key = DataKey::random();
        let both = Recipients::parse(both).expect("two recipients");
        let sealed = key.seal_to(&both).expect("no plugin is needed");
        assert!(sealed.post_quantum.is_none());
        let object = sealed.key;

        for identities in [&first, &second] {
            let opened = DataKey::open_with(&object, identities).expect("a recipient opens it");
            assert!(opened.commitment() == key.commitment());
        }
        let refused = |object: &[u8], who: &Identities| DataKey::open_with(object, who).err();
        assert_eq!(refused(&object, &stranger), Some(IdentityError::NoneOpens));
        assert_eq!(
            refused(&object, &Identities::none()),
            Some(IdentityError::NoneOpens)
        );
        for cut in [0, 1, 50, object.len() - 1] {
            assert_eq!(
                refused(&object[..cut], &first),
                Some(IdentityError::Damaged),
                "{cut}"
            );
        }
    }

    #[test]
    fn keys_of_another_length_are_refused() {
        let (identities, recipients) = identity();
        for length in [0, 31, 33] {
            let recipient: age::x25519::Recipient =
                recipients.texts()[0].parse().expect("a recipient");
            let object = age::encrypt(&recipient, &vec![1; length]).expect("encrypts");
            assert_eq!(
                DataKey::open_with(&object, &identities).err(),
                Some(IdentityError::Damaged)
            );
        }
    }

    /// A plugin that hides nothing: its stanza holds the file key as it is.
    struct Bare {
        labels: &'static [&'static str],
        works: bool,
    }

    impl Plugins for Bare {
        fn wrap(
            &self,
            _: &PluginName,
            recipients: &[String],
            key: &FileKey,
        ) -> Result<Wrapped, PluginError> {
            let stanza = |recipient: &String| Stanza {
                tag: "bare".to_owned(),
                args: vec![recipient.clone()],
                body: key.expose_secret().to_vec(),
            };
            Ok(Wrapped {
                stanzas: recipients.iter().map(stanza).collect(),
                labels: self
                    .labels
                    .iter()
                    .map(|label| (*label).to_owned())
                    .collect(),
            })
        }

        fn unwrap(
            &self,
            _: &PluginName,
            _: &[Zeroizing<String>],
            stanzas: &[Stanza],
        ) -> Result<Option<FileKey>, PluginError> {
            if !self.works {
                return Err(PluginError("it is broken".to_owned()));
            }
            let bare = stanzas.iter().find(|stanza| stanza.tag == "bare");
            Ok(bare.map(|it| FileKey::new(Box::new(it.body[..].try_into().expect("a key")))))
        }
    }

    fn of_plugin(prefix: &str) -> String {
        let prefix = bech32::Hrp::parse(prefix).expect("a prefix");
        age_core::primitives::bech32_encode(prefix, &[7; 32])
    }

    /// What sealing to an X25519 recipient and one of a plugin with these labels gives.
    fn seal_beside(labels: &'static [&'static str]) -> Result<KeyObjects, SealError> {
        let (_, x25519) = identity();
        let texts = [&*x25519.texts()[0], &of_plugin("age1bare")];
        let both = Recipients::parse(texts).expect("two recipients");
        let works = true;
        DataKey::random().seal_to(&both.with_plugins(Arc::new(Bare { labels, works })))
    }

    #[test]
    fn labels_decide_who_stands_in_one_key_object() {
        let together = seal_beside(&[]).map(|sealed| sealed.post_quantum.is_some());
        assert_eq!(together, Ok(false));
        let apart = seal_beside(&["postquantum"]).map(|sealed| sealed.post_quantum.is_some());
        assert_eq!(apart, Ok(true));
        for labels in [&["alone"][..], &["postquantum", "more"]] {
            assert_eq!(seal_beside(labels).err(), Some(SealError::Apart));
        }
        assert_eq!(seal_beside(&["no label"]).err(), Some(SealError::Apart));
    }

    #[test]
    fn what_a_plugin_makes_has_a_limit() {
        let long = vec![0; SMALL_OBJECT_MAX as usize + 1];
        assert_eq!(checked(long).err(), Some(SealError::TooLong));
        assert_eq!(checked(vec![0; 100]).err(), Some(SealError::Unusable));
    }

    #[test]
    fn a_plugin_that_fails_keeps_no_other_identity_from_opening() {
        let (secret, x25519) = generate_identity();
        let token = of_plugin("age-plugin-bare-").to_uppercase();
        let sealed =
            DataKey::random().seal_to(&Recipients::parse([&*x25519]).expect("a recipient"));
        let object = sealed.expect("it is sealed").key;
        let broken = || {
            Arc::new(Bare {
                labels: &[],
                works: false,
            })
        };
        let mut identities = Identities::none().with_plugins(broken());
        identities.add_file(token.as_bytes()).expect("an identity");
        let refused = DataKey::open_with(&object, &identities).err();
        assert_eq!(
            refused,
            Some(IdentityError::Plugin(PluginError(
                "it is broken".to_owned()
            )))
        );
        identities.add_file(secret.as_bytes()).expect("an identity");
        assert!(DataKey::open_with(&object, &identities).is_ok());
        // Where no plugin can be run, it is named.
        let mut identities = Identities::none();
        identities.add_file(token.as_bytes()).expect("an identity");
        let refused = DataKey::open_with(&object, &identities)
            .err()
            .map(|it| it.to_string());
        assert_eq!(
            refused.as_deref(),
            Some("age-plugin-bare is needed, and no plugin is run here")
        );
    }
}

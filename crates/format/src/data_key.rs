use std::io::{Read, Write};

use age::secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::seal::{SealKey, derive};
use crate::{RECIPIENT_MAX, RECIPIENTS_MAX, id};

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

    /// The bytes of the run's key object: an age file for all `recipients`.
    pub fn seal_to(&self, recipients: &Recipients) -> Vec<u8> {
        let each = recipients
            .parsed
            .iter()
            .map(|recipient| recipient as &dyn age::Recipient);
        let encryptor = age::Encryptor::with_recipients(each)
            .expect("there is at least one recipient, and all are of one kind");
        let mut object = Vec::with_capacity(512);
        let mut writer = encryptor
            .wrap_output(&mut object)
            .expect("memory takes bytes");
        writer.write_all(&*self.0).expect("memory takes bytes");
        writer.finish().expect("memory takes bytes");
        object
    }

    /// Opens a key object.
    pub fn open_with(object: &[u8], identities: &Identities) -> Result<Self, IdentityError> {
        let decryptor = age::Decryptor::new(object).map_err(|_| IdentityError::Damaged)?;
        let each = identities
            .0
            .iter()
            .map(|identity| &**identity as &dyn age::Identity);
        let mut reader = decryptor.decrypt(each).map_err(|error| match error {
            age::DecryptError::NoMatchingKeys => IdentityError::NoneOpens,
            _ => IdentityError::Damaged,
        })?;
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

/// Why a key object does not give its data key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// It is sealed to others.
    #[error("none of the identities given opens it")]
    NoneOpens,
    /// It is not an age file, was cut or changed, or does not hold a data key.
    #[error("the key object is damaged")]
    Damaged,
    /// The identity file is not one.
    #[error("not an age identity file: {0}")]
    NotIdentities(String),
}

/// The public keys that a run is sealed to: at least one.
#[derive(Clone)]
pub struct Recipients {
    parsed: Vec<age::x25519::Recipient>,
    texts: Vec<String>,
}

/// A recipient that is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecipientError {
    /// It is an identity: the private key stands where the public one belongs. The text is not repeated.
    #[error("a recipient is an identity (a private key): put its public key, age1…, here instead")]
    Identity,
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
    /// Parses `age1…` texts; the same one twice counts once.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, RecipientError> {
        let mut recipients = Self {
            parsed: Vec::new(),
            texts: Vec::new(),
        };
        for text in texts {
            let text = text.trim();
            if recipients.texts.iter().any(|known| known == text) {
                continue;
            }
            recipients.parsed.push(parse_recipient(text)?);
            recipients.texts.push(text.to_owned());
        }
        match recipients.texts.len() {
            0 => Err(RecipientError::None),
            1..=RECIPIENTS_MAX => Ok(recipients),
            _ => Err(RecipientError::TooMany),
        }
    }

    /// Their texts, as given.
    pub fn texts(&self) -> &[String] {
        &self.texts
    }
}

fn parse_recipient(text: &str) -> Result<age::x25519::Recipient, RecipientError> {
    if text.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-") {
        return Err(RecipientError::Identity);
    }
    let shown = || RecipientError::NotOne(text.chars().take(80).collect());
    if text.len() > RECIPIENT_MAX {
        return Err(shown());
    }
    text.parse().map_err(|_| shown())
}

/// The private keys that open runs. No `Debug`, `Display` or `Serialize`.
pub struct Identities(Vec<Box<dyn age::Identity + Send + Sync>>);

impl Identities {
    /// None: nothing can be opened.
    pub fn none() -> Self {
        Self(Vec::new())
    }

    /// Adds those of one identity file, as `age-keygen` writes it. Lines of the file never enter an error.
    pub fn add_file(&mut self, file: &[u8]) -> Result<(), IdentityError> {
        let bad = |error: &dyn std::fmt::Display| IdentityError::NotIdentities(error.to_string());
        let parsed = age::IdentityFile::from_buffer(file).map_err(|error| bad(&error))?;
        let identities = parsed.into_identities().map_err(|error| bad(&error))?;
        if identities.is_empty() {
            return Err(bad(&"it holds no identity"));
        }
        self.0.extend(identities);
        Ok(())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
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
        let object = key.seal_to(&Recipients::parse(both).expect("two recipients"));

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
            let object = age::encrypt(&recipients.parsed[0], &vec![1; length]).expect("encrypts");
            assert_eq!(
                DataKey::open_with(&object, &identities).err(),
                Some(IdentityError::Damaged)
            );
        }
    }

    #[test]
    fn recipients_that_do_not_parse_are_named_but_secrets_are_not() {
        let (secret, recipient) = generate_identity();
        let error = |texts: &[&str]| Recipients::parse(texts.iter().copied()).err();
        assert_eq!(error(&[]), Some(RecipientError::None));
        assert_eq!(
            error(&["age1oops"]),
            Some(RecipientError::NotOne("age1oops".into()))
        );
        assert_eq!(error(&[&secret]), Some(RecipientError::Identity));
        assert_eq!(
            error(&[&secret.to_lowercase()]),
            Some(RecipientError::Identity)
        );
        let twice = Recipients::parse([&*recipient, &*recipient]).expect("one recipient");
        assert_eq!(twice.texts().len(), 1);

        let mut identities = Identities::none();
        let file = format!("# comment\n{}x\n", &*secret);
        let shown = identities
            .add_file(file.as_bytes())
            .expect_err("damaged")
            .to_string();
        assert!(
            !shown.contains(&secret[20..40]) && shown.contains("line 2"),
            "{shown}"
        );
    }
}

use std::io::Read;

use age::armor::ArmoredReader;
use age::secrecy::SecretString;
use zeroize::Zeroizing;

use crate::SMALL_OBJECT_MAX;
use crate::identities::{Identities, IdentityError, WORK_FACTOR_MAX};

/// What `age -p` takes: about a second, and 256 MiB of memory, for each passphrase that somebody tries.
const WORK_FACTOR: u8 = 18;

/// An identity file that is an age file itself, binary or armored: sealed with a passphrase (`age -p`), or to other identities, such
/// as those of hardware tokens.
pub struct SealedIdentities {
    object: Vec<u8>,
    passphrase: bool,
}

impl SealedIdentities {
    /// Recognises such a file. `None`: it is another one, most likely a plain identity file.
    pub fn recognise(file: &[u8]) -> Result<Option<Self>, IdentityError> {
        let start = file.trim_ascii_start();
        let armored = start.starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----");
        if !armored && !file.starts_with(b"age-encryption.org/") {
            return Ok(None);
        }
        let object = if armored {
            let mut object = Vec::new();
            let read = ArmoredReader::new(start)
                .take(SMALL_OBJECT_MAX)
                .read_to_end(&mut object);
            read.map_err(|_| IdentityError::Damaged)?;
            object
        } else {
            file.to_vec()
        };
        let decryptor = age::Decryptor::new_buffered(&object[..]);
        let passphrase = decryptor.map_err(|_| IdentityError::Damaged)?.is_scrypt();
        Ok(Some(Self { object, passphrase }))
    }

    /// Whether a passphrase opens it, and no identity does.
    pub fn wants_passphrase(&self) -> bool {
        self.passphrase
    }

    /// The identity file in it.
    pub fn open_with_passphrase(
        &self,
        passphrase: Zeroizing<String>,
    ) -> Result<Zeroizing<Vec<u8>>, IdentityError> {
        let mut identity = age::scrypt::Identity::new(secret(passphrase));
        identity.set_max_work_factor(WORK_FACTOR_MAX);
        let opened = self
            .decryptor()?
            .decrypt(std::iter::once(&identity as &dyn age::Identity))
            .map_err(|error| match error {
                age::DecryptError::ExcessiveWork { .. } => IdentityError::TooMuchWork,
                age::DecryptError::DecryptionFailed
                | age::DecryptError::KeyDecryptionFailed
                | age::DecryptError::NoMatchingKeys => IdentityError::WrongPassphrase,
                _ => IdentityError::Damaged,
            })?;
        read_whole(opened)
    }

    /// The identity file in it, which `identities` open.
    pub fn open_with(&self, identities: &Identities) -> Result<Zeroizing<Vec<u8>>, IdentityError> {
        read_whole(identities.open(self.decryptor()?)?)
    }

    fn decryptor(&self) -> Result<age::Decryptor<&[u8]>, IdentityError> {
        age::Decryptor::new_buffered(&self.object[..]).map_err(|_| IdentityError::Damaged)
    }
}

/// An identity file as `age -p -a` would write it: `file`, sealed with a passphrase.
pub fn seal_identities(file: &[u8], passphrase: Zeroizing<String>) -> Vec<u8> {
    let mut recipient = age::scrypt::Recipient::new(secret(passphrase));
    recipient.set_work_factor(WORK_FACTOR);
    let sealed = age::encrypt_and_armor(&recipient, file);
    sealed
        .expect("memory takes bytes, and a passphrase stands alone")
        .into_bytes()
}

fn secret(mut passphrase: Zeroizing<String>) -> SecretString {
    // Moved, not copied: age wipes it.
    std::mem::take(&mut *passphrase).into()
}

fn read_whole(opened: impl Read) -> Result<Zeroizing<Vec<u8>>, IdentityError> {
    // Room for all of it, so that no part is left behind in memory when it grows.
    let mut plain = Zeroizing::new(Vec::with_capacity(SMALL_OBJECT_MAX as usize + 1));
    let read = opened.take(SMALL_OBJECT_MAX + 1).read_to_end(&mut plain);
    match read {
        Ok(length) if length as u64 <= SMALL_OBJECT_MAX => Ok(plain),
        _ => Err(IdentityError::Damaged),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate_identity;

    fn passphrase(text: &str) -> Zeroizing<String> {
        Zeroizing::new(text.to_owned())
    }

    fn recognised(file: &[u8]) -> SealedIdentities {
        let sealed = SealedIdentities::recognise(file).expect("it is sound");
        sealed.expect("it is sealed")
    }

    #[test]
    fn a_sealed_file_opens_with_its_passphrase_only() {
        let file = seal_identities(b"the file", passphrase("one"));
        let sealed = recognised(&file);
        assert!(sealed.wants_passphrase());
        let open = |text: &str| sealed.open_with_passphrase(passphrase(text));
        assert_eq!(open("one").map(|it| it.to_vec()), Ok(b"the file".to_vec()));
        assert_eq!(open("two").err(), Some(IdentityError::WrongPassphrase));
        assert_eq!(
            sealed.open_with(&Identities::none()).err(),
            Some(IdentityError::NoneOpens)
        );
        for cut in [40, file.len() / 2, file.len() - 30] {
            let sealed = SealedIdentities::recognise(&file[..cut]);
            let damaged = Some(IdentityError::Damaged);
            assert_eq!(sealed.err(), damaged, "cut at {cut}");
        }
        assert!(SealedIdentities::recognise(b"# a plain file").is_ok_and(|it| it.is_none()));
    }

    #[test]
    fn an_absurd_work_factor_is_refused_before_any_work() {
        let file = seal_identities(b"the file", passphrase("one"));
        let sealed = recognised(&file);
        let text = String::from_utf8_lossy(&sealed.object[..100]).into_owned();
        let at = text.find(" 18\n").expect("the work factor");
        for (factor, refused) in [
            (b"21", IdentityError::TooMuchWork),
            (b"63", IdentityError::TooMuchWork),
        ] {
            let mut object = sealed.object.clone();
            object[at + 1..at + 3].copy_from_slice(factor);
            let opened = recognised(&object).open_with_passphrase(passphrase("one"));
            assert_eq!(opened.err(), Some(refused));
        }
    }

    #[test]
    fn a_file_sealed_to_another_identity_opens_with_it() {
        let (token, recipient) = generate_identity();
        let recipient: age::x25519::Recipient = recipient.parse().expect("a recipient");
        let file = age::encrypt(&recipient, b"the file").expect("it seals");
        let sealed = recognised(&file);
        assert!(!sealed.wants_passphrase());
        let mut identities = Identities::none();
        identities.add_file(token.as_bytes()).expect("an identity");
        let opened = sealed.open_with(&identities).map(|it| it.to_vec());
        assert_eq!(opened, Ok(b"the file".to_vec()));
        let long = age::encrypt(&recipient, &vec![0; 70_000]).expect("it seals");
        assert_eq!(
            recognised(&long).open_with(&identities).err(),
            Some(IdentityError::Damaged)
        );
    }
}

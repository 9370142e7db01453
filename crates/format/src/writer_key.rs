use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

use crate::seal::{SealKey, derive};
use crate::{Gear, RunId, WriterId, id};

/// What finds a chunk again without knowing it: see docs/format/v1.md, "Streams, chunks, frames, packs".
pub type Tag = [u8; 16];

/// The key pair that signs snapshots, and the deduplication secret that opens maps and makes tags. It opens no contents.
///
/// No `Debug`, `Display` or `Serialize`; wiped when dropped.
pub struct WriterKey {
    signing: SigningKey,
    secret: Zeroizing<[u8; 32]>,
    tag_key: SealKey,
}

const LINE: &str = "STRONGROOM-WRITER-KEY-1-";

/// Why a writer key file is not one. Its contents never enter an error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a writer key file: it must hold one line that starts with {LINE}")]
pub struct WriterKeyError;

impl WriterKey {
    /// A new one.
    pub fn generate() -> Self {
        Self::from_parts(&Zeroizing::new(id::random()), Zeroizing::new(id::random()))
    }

    fn from_parts(seed: &Zeroizing<[u8; 32]>, secret: Zeroizing<[u8; 32]>) -> Self {
        let tag_key = derive("strongroom v1 tag key", &[&*secret]);
        Self {
            signing: SigningKey::from_bytes(seed),
            secret,
            tag_key,
        }
    }

    /// The text of the file to keep it in, with comments for whoever finds it. Owner-only, please.
    pub fn to_file(&self, created: &str) -> Zeroizing<String> {
        let seed = Zeroizing::new(hex::encode(self.signing.as_bytes()));
        let secret = Zeroizing::new(hex::encode(*self.secret));
        Zeroizing::new(format!(
            "# strongroom writer key: signs snapshots; opens none. Keep it on the backup host only.\n\
             # created: {created}\n# public key: {}\n{LINE}{}{}\n",
            self.id(),
            &*seed,
            &*secret,
        ))
    }

    /// Reads such a file.
    pub fn from_file(file: &[u8]) -> Result<Self, WriterKeyError> {
        let text = std::str::from_utf8(file).map_err(|_| WriterKeyError)?;
        let mut lines = text
            .lines()
            .map(str::trim)
            .filter(|l| !l.is_empty() && !l.starts_with('#'));
        let (Some(line), None) = (lines.next(), lines.next()) else {
            return Err(WriterKeyError);
        };
        let digits = line.strip_prefix(LINE).ok_or(WriterKeyError)?;
        let mut bytes = Zeroizing::new([0; 64]);
        hex::decode_to_slice(digits, &mut *bytes).map_err(|_| WriterKeyError)?;
        let mut seed = Zeroizing::new([0; 32]);
        let mut secret = Zeroizing::new([0; 32]);
        seed.copy_from_slice(&bytes[..32]);
        secret.copy_from_slice(&bytes[32..]);
        Ok(Self::from_parts(&seed, secret))
    }

    /// The public key, which is the writer's name.
    pub fn id(&self) -> WriterId {
        WriterId(self.signing.verifying_key().to_bytes())
    }

    /// The tag of a chunk with this plain hash.
    pub fn tag(&self, plain_hash: &[u8; 32]) -> Tag {
        let hash = blake3::keyed_hash(&self.tag_key, plain_hash);
        *hash
            .as_bytes()
            .first_chunk()
            .expect("a hash is longer than a tag")
    }

    /// The table that decides where this writer cuts.
    pub fn gear(&self) -> Gear {
        Gear::new(&self.secret)
    }

    pub(crate) fn head_digest(&self, head: &[u8]) -> [u8; 32] {
        *blake3::keyed_hash(&self.tag_key, head).as_bytes()
    }

    pub(crate) fn map_key(&self, run: RunId) -> SealKey {
        derive("strongroom v1 map key", &[&*self.secret, &run.0])
    }

    pub(crate) fn sign(&self, context: &str, message: &[u8]) -> [u8; 64] {
        self.signing
            .sign(&[context.as_bytes(), message].concat())
            .to_bytes()
    }
}

/// Whether `signature` is the writer's over `context ‖ message`. Strict: RFC 8032 §8.4, and no small-order keys.
pub(crate) fn verify(who: WriterId, context: &str, message: &[u8], signature: &[u8; 64]) -> bool {
    let Ok(key) = VerifyingKey::from_bytes(&who.0) else {
        return false;
    };
    let signed = [context.as_bytes(), message].concat();
    key.verify_strict(&signed, &Signature::from_bytes(signature))
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_comes_back_and_a_damaged_one_is_refused() {
        let key = WriterKey::generate();
        let file = key.to_file("2026-11-22T08:00:00Z");
        let again = WriterKey::from_file(file.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(again.id(), key.id());
        assert_eq!(again.tag(&[1; 32]), key.tag(&[1; 32]));

        let line = file.lines().last().expect("the key line").to_owned();
        for bad in [
            "",
            &line[..line.len() - 2],
            &format!("{line}\n{line}"),
            &line[5..],
        ] {
            assert!(WriterKey::from_file(bad.as_bytes()).is_err());
        }
        assert!(WriterKey::from_file(&[0xff; 200]).is_err());
    }

    #[test]
    fn signatures_bind_key_context_and_message() {
        let key = WriterKey::generate();
        let signature = key.sign("context\n", b"message");
        assert!(verify(key.id(), "context\n", b"message", &signature));
        assert!(!verify(key.id(), "other\n", b"message", &signature));
        assert!(!verify(key.id(), "context\n", b"massage", &signature));
        assert!(!verify(
            WriterKey::generate().id(),
            "context\n",
            b"message",
            &signature
        ));
        assert!(!verify(
            WriterId([0; 32]),
            "context\n",
            b"message",
            &signature
        ));
    }

    #[test]
    fn tags_of_different_writers_differ() {
        assert_ne!(
            WriterKey::generate().tag(&[1; 32]),
            WriterKey::generate().tag(&[1; 32])
        );
    }

    /// Project Wycheproof's vectors: malleable, cut and long signatures among them.
    #[test]
    fn signatures_are_judged_as_wycheproof_says() {
        use wycheproof::TestResult;
        use wycheproof::eddsa::{TestName, TestSet};

        let set = TestSet::load(TestName::Ed25519).expect("the vectors are there");
        let (mut valid, mut invalid) = (0, 0);
        for group in &set.test_groups {
            let who = WriterId(group.key.pk[..].try_into().expect("32 bytes"));
            for test in &group.tests {
                // A commit has room for 64 bytes, and another length is refused before a key is looked at.
                let verified = <&[u8; 64]>::try_from(&test.sig[..])
                    .is_ok_and(|signature| verify(who, "", &test.msg, signature));
                assert_eq!(verified, test.result == TestResult::Valid, "{}", test.tc_id);
                *(if verified { &mut valid } else { &mut invalid }) += 1;
            }
        }
        assert!(valid > 50 && invalid > 50, "{valid} valid, {invalid} not");
    }
}

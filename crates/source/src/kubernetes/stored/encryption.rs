//! Encryption at rest: values that an API server encrypted before etcd got them, opened with its EncryptionConfiguration.
//!
//! Such a value begins with `k8s:enc:PROVIDER:VERSION:KEY:` and goes on as that provider writes it
//! (`kubernetes:staging/src/k8s.io/apiserver/pkg/storage/value/encrypt/{secretbox,aes}`).

use std::fmt;

use aes::cipher::{BlockDecryptMut, BlockSizeUser, KeyInit, KeyIvInit, block_padding::Pkcs7};
use aes::{Aes128, Aes192, Aes256};
use aes_gcm::aead::{Aead, Payload, consts::U12};
use aes_gcm::{AesGcm, Nonce};
use archive::Name;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crypto_secretbox::XSalsa20Poly1305;
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use crate::{Error, ErrorKind};

/// What every encrypted value begins with.
const ENCRYPTED: &[u8] = b"k8s:enc:";
const SECRETBOX_NONCE: usize = 24;
const GCM_NONCE: usize = 12;
const CBC_IV: usize = 16;
/// A longer name of a key, or of a KMS provider, is not believed.
const NAME_MAX: usize = 256;

/// An API server's file `--encryption-provider-config`, as it stands in YAML. What is not about keys is passed over.
#[derive(Deserialize)]
pub struct EncryptionConfiguration {
    kind: String,
    resources: Vec<ForResources>,
}

#[derive(Deserialize)]
struct ForResources {
    providers: Vec<OneProvider>,
}

/// `kms` and `identity` have no keys.
#[derive(Deserialize)]
struct OneProvider {
    secretbox: Option<Keys>,
    aesgcm: Option<Keys>,
    aescbc: Option<Keys>,
}

#[derive(Deserialize)]
struct Keys {
    keys: Vec<NamedKey>,
}

#[derive(Deserialize)]
struct NamedKey {
    name: String,
    #[serde(deserialize_with = "wiped")]
    secret: Zeroizing<String>,
}

fn wiped<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Zeroizing<String>, D::Error> {
    String::deserialize(deserializer).map(Zeroizing::new)
}

/// The keys of an [`EncryptionConfiguration`]; they are wiped when dropped.
pub struct EncryptionKeys(Vec<Key>);

struct Key {
    provider: Provider,
    name: String,
    bytes: Zeroizing<Vec<u8>>,
}

/// What encrypts with a key that stands in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Provider {
    Secretbox,
    AesGcm,
    AesCbc,
}

/// Why a value cannot be opened: one clause, without anything of the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Closed {
    /// There is no such key.
    #[error("it is encrypted at rest with the key {key} ({provider}), which {}", if *.configured { "the EncryptionConfiguration does not have" } else { "the API server's EncryptionConfiguration has" })]
    NoKey {
        provider: Provider,
        key: Name,
        configured: bool,
    },
    /// There is one, and it does not fit.
    #[error(
        "the key {key} ({provider}) of the EncryptionConfiguration does not open it: it is of another cluster, or the value is damaged"
    )]
    WrongKey { provider: Provider, key: Name },
    /// Its key is not in any file.
    #[error(
        "the KMS provider {provider} ({version}) holds the key that opens it, and cannot be asked offline: restore etcd, and let an API server that reaches the provider read it"
    )]
    Kms { version: Name, provider: Name },
    /// From a version that we do not know.
    #[error("it is encrypted in a way that is not known here ({prefix})")]
    Unknown { prefix: Name },
}

impl EncryptionConfiguration {
    /// Its keys, each checked to be one that its provider takes. An error names the key, and nothing of it.
    pub fn keys(self) -> Result<EncryptionKeys, Error> {
        if self.kind != "EncryptionConfiguration" {
            let kind = Name::from(self.kind.as_str());
            return Err(wrong(format!(
                "it is a {kind}, and no EncryptionConfiguration"
            )));
        }
        let providers = self.resources.into_iter().flat_map(|it| it.providers);
        let mut all = Vec::new();
        for provider in providers {
            for (provider, keys) in [
                (Provider::Secretbox, provider.secretbox),
                (Provider::AesGcm, provider.aesgcm),
                (Provider::AesCbc, provider.aescbc),
            ] {
                let keys = keys.into_iter().flat_map(|keys| keys.keys);
                for key in keys {
                    all.push(Key::new(provider, key)?);
                }
            }
        }
        Ok(EncryptionKeys(all))
    }
}

impl Key {
    fn new(provider: Provider, key: NamedKey) -> Result<Self, Error> {
        let name = Name::from(key.name.as_str());
        let bytes = STANDARD
            .decode(key.secret.trim())
            .map(Zeroizing::new)
            .map_err(|_| {
                wrong(format!(
                    "the secret of its key {name} ({provider}) is not base64"
                ))
            })?;
        if !provider.lengths().contains(&bytes.len()) {
            let lengths = provider.lengths().iter().map(usize::to_string);
            let lengths = lengths.collect::<Vec<_>>().join(" or ");
            return Err(wrong(format!(
                "the secret of its key {name} ({provider}) has {} bytes, and needs {lengths}",
                bytes.len()
            )));
        }
        Ok(Self {
            provider,
            name: key.name,
            bytes,
        })
    }

    /// `None`: it is not the key. A wrong one of AES-CBC may give bytes all the same, which are noise.
    fn open(&self, path: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let opened = match (self.provider, self.bytes.len()) {
            (Provider::Secretbox, _) => secretbox(&self.bytes, sealed),
            (Provider::AesGcm, 16) => gcm::<Aes128>(&self.bytes, path, sealed),
            (Provider::AesGcm, 24) => gcm::<Aes192>(&self.bytes, path, sealed),
            (Provider::AesGcm, _) => gcm::<Aes256>(&self.bytes, path, sealed),
            (Provider::AesCbc, 16) => cbc::<Aes128>(&self.bytes, sealed),
            (Provider::AesCbc, 24) => cbc::<Aes192>(&self.bytes, sealed),
            (Provider::AesCbc, _) => cbc::<Aes256>(&self.bytes, sealed),
        };
        opened.map(Zeroizing::new)
    }
}

impl EncryptionKeys {
    /// Opens the value that etcd has at `path`, its key; one that is not encrypted is returned as it is. `looks_right` tells an
    /// object from noise: AES-CBC authenticates nothing.
    pub(super) fn open(
        keys: Option<&Self>,
        path: &[u8],
        value: Zeroizing<Vec<u8>>,
        looks_right: fn(&[u8]) -> bool,
    ) -> Result<Zeroizing<Vec<u8>>, Closed> {
        let Some(rest) = value.strip_prefix(ENCRYPTED) else {
            return Ok(value);
        };
        let (provider, key, sealed) = Provider::of(rest)?;
        let named = keys.into_iter().flat_map(|keys| &keys.0);
        let named = named.filter(|it| it.provider == provider && it.name.as_bytes() == key);
        let mut opened = named.map(|it| it.open(path, sealed)).peekable();
        let key = Name::new(key);
        if opened.peek().is_none() {
            return Err(Closed::NoKey {
                provider,
                key,
                configured: keys.is_some(),
            });
        }
        let mut opened = opened.flatten();
        let right = opened.find(|plain| looks_right(plain));
        right.ok_or(Closed::WrongKey { provider, key })
    }
}

impl Provider {
    /// Takes apart what stands behind [`ENCRYPTED`]: the provider, the key's name, the sealed bytes.
    fn of(rest: &[u8]) -> Result<(Self, &[u8], &[u8]), Closed> {
        let shown: Vec<u8> = ENCRYPTED
            .iter()
            .chain(rest.iter().take(24))
            .copied()
            .collect();
        let unknown = || Closed::Unknown {
            prefix: Name::new(shown.as_slice()),
        };
        let mut parts = rest.splitn(4, |byte| *byte == b':');
        let mut part = || parts.next().filter(|part| part.len() <= NAME_MAX);
        let (provider, version) = (part().ok_or_else(unknown)?, part().ok_or_else(unknown)?);
        let name = part().ok_or_else(unknown)?;
        let sealed = parts.next().ok_or_else(unknown)?;
        let provider = match (provider, version) {
            (b"secretbox", b"v1") => Self::Secretbox,
            (b"aesgcm", b"v1") => Self::AesGcm,
            (b"aescbc", b"v1") => Self::AesCbc,
            (b"kms", version) => {
                return Err(Closed::Kms {
                    version: Name::new(version),
                    provider: Name::new(name),
                });
            }
            _ => return Err(unknown()),
        };
        Ok((provider, name, sealed))
    }

    /// Of keys, in bytes.
    fn lengths(self) -> &'static [usize] {
        match self {
            Self::Secretbox => &[32],
            Self::AesGcm | Self::AesCbc => &[16, 24, 32],
        }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Secretbox => "secretbox",
            Self::AesGcm => "aesgcm",
            Self::AesCbc => "aescbc",
        })
    }
}

/// A nonce, then NaCl's secretbox.
fn secretbox(key: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = sealed.split_at_checked(SECRETBOX_NONCE)?;
    let cipher = XSalsa20Poly1305::new_from_slice(key).ok()?;
    cipher.decrypt(nonce.into(), sealed).ok()
}

/// A nonce, then AES-GCM with the path as what is authenticated beside it, so that no value can be moved to another key.
fn gcm<C>(key: &[u8], path: &[u8], sealed: &[u8]) -> Option<Vec<u8>>
where
    AesGcm<C, U12>: Aead<NonceSize = U12> + KeyInit,
{
    let (nonce, sealed) = sealed.split_at_checked(GCM_NONCE)?;
    let cipher = AesGcm::<C, U12>::new_from_slice(key).ok()?;
    let payload = Payload {
        msg: sealed,
        aad: path,
    };
    cipher.decrypt(Nonce::from_slice(nonce), payload).ok()
}

/// An IV, then AES-CBC with the padding of PKCS#7.
fn cbc<C>(key: &[u8], sealed: &[u8]) -> Option<Vec<u8>>
where
    C: aes::cipher::BlockCipher + aes::cipher::BlockDecrypt + BlockSizeUser + KeyInit,
    cbc::Decryptor<C>: BlockDecryptMut + KeyIvInit,
{
    let (iv, sealed) = sealed.split_at_checked(CBC_IV)?;
    let cipher = cbc::Decryptor::<C>::new_from_slices(key, iv).ok()?;
    cipher.decrypt_padded_vec_mut::<Pkcs7>(sealed).ok()
}

fn wrong(message: String) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

#[cfg(test)]
mod tests {
    use aes::cipher::BlockEncryptMut as _;

    use super::*;

    const PATH: &[u8] = b"/registry/secrets/shop/db";
    const PLAIN: &[u8] = b"k8s\0 and what belongs to it";

    fn configuration(providers: &str) -> Result<EncryptionKeys, Error> {
        let text = format!(
            r#"{{"kind": "EncryptionConfiguration", "resources": [{{"resources": ["secrets"], "providers": [{providers}]}}]}}"#
        );
        let parsed: EncryptionConfiguration = serde_json::from_str(&text).expect("a configuration");
        parsed.keys()
    }

    fn key(provider: &str, name: &str, bytes: &[u8]) -> String {
        let secret = STANDARD.encode(bytes);
        format!(r#"{{"{provider}": {{"keys": [{{"name": "{name}", "secret": "{secret}"}}]}}}}"#)
    }

    fn stored(prefix: &str, nonce: &[u8], sealed: &[u8]) -> Zeroizing<Vec<u8>> {
        Zeroizing::new([prefix.as_bytes(), nonce, sealed].concat())
    }

    fn open(keys: Option<&EncryptionKeys>, value: &Zeroizing<Vec<u8>>) -> Result<Vec<u8>, Closed> {
        let looks_right = |bytes: &[u8]| bytes.starts_with(b"k8s\0");
        EncryptionKeys::open(keys, PATH, value.clone(), looks_right).map(|plain| plain.to_vec())
    }

    fn sealed_by_gcm<C>(key: &[u8]) -> Vec<u8>
    where
        AesGcm<C, U12>: Aead<NonceSize = U12> + KeyInit,
    {
        let cipher = AesGcm::<C, U12>::new_from_slice(key).expect("a key");
        let payload = Payload {
            msg: PLAIN,
            aad: PATH,
        };
        cipher
            .encrypt(Nonce::from_slice(&[7; GCM_NONCE]), payload)
            .expect("it is short")
    }

    fn sealed_by_cbc<C>(key: &[u8]) -> Vec<u8>
    where
        C: aes::cipher::BlockCipher + aes::cipher::BlockEncryptMut + BlockSizeUser + KeyInit,
        cbc::Encryptor<C>: KeyIvInit,
    {
        let cipher = cbc::Encryptor::<C>::new_from_slices(key, &[7; CBC_IV]).expect("a key");
        cipher.encrypt_padded_vec_mut::<Pkcs7>(PLAIN)
    }

    /// With keys of every length; that an API server writes just this is shown by `strongroom/tests/proof/inside.rs`.
    #[test]
    fn every_provider_opens_what_it_sealed_and_nothing_else() {
        let boxed = XSalsa20Poly1305::new(&[1; 32].into());
        let boxed = boxed
            .encrypt(&[7; SECRETBOX_NONCE].into(), PLAIN)
            .expect("it is short");
        let cases = [
            ("secretbox", vec![1; 32], 24, boxed),
            ("aesgcm", vec![1; 16], 12, sealed_by_gcm::<Aes128>(&[1; 16])),
            ("aesgcm", vec![1; 24], 12, sealed_by_gcm::<Aes192>(&[1; 24])),
            ("aesgcm", vec![1; 32], 12, sealed_by_gcm::<Aes256>(&[1; 32])),
            ("aescbc", vec![1; 16], 16, sealed_by_cbc::<Aes128>(&[1; 16])),
            ("aescbc", vec![1; 24], 16, sealed_by_cbc::<Aes192>(&[1; 24])),
            ("aescbc", vec![1; 32], 16, sealed_by_cbc::<Aes256>(&[1; 32])),
        ];
        for (provider, secret, nonce, sealed) in cases {
            let prefix = format!("k8s:enc:{provider}:v1:k:");
            let value = stored(&prefix, &[7].repeat(nonce), &sealed);
            let other: Vec<u8> = secret.iter().map(|byte| byte ^ 2).collect();
            let right =
                configuration(&[key(provider, "k", &other), key(provider, "k", &secret)].join(","));
            let right = right.expect("two of the name, of which one fits");
            assert_eq!(
                open(Some(&right), &value).as_deref(),
                Ok(PLAIN),
                "{provider}"
            );
            let wrong = configuration(&key(provider, "k", &other)).expect("a key");
            assert!(
                matches!(open(Some(&wrong), &value), Err(Closed::WrongKey { .. })),
                "{provider}"
            );
            let absent = configuration(&key(provider, "another", &secret)).expect("a key");
            for (keys, known) in [(Some(&absent), true), (None, false)] {
                let closed = open(keys, &value);
                assert!(
                    matches!(closed, Err(Closed::NoKey { configured, .. }) if configured == known)
                );
            }
            for cut in 0..value.len() {
                let cut = Zeroizing::new(value[..cut].to_vec());
                assert!(
                    open(Some(&right), &cut).map_or(true, |plain| plain == *cut),
                    "cut"
                );
            }
        }
        // A value cannot be moved to another key of etcd.
        let keys = configuration(&key("aesgcm", "k", &[1; 16])).expect("a key");
        let value = stored(
            "k8s:enc:aesgcm:v1:k:",
            &[7; 12],
            &sealed_by_gcm::<Aes128>(&[1; 16]),
        );
        let moved =
            EncryptionKeys::open(Some(&keys), b"/registry/secrets/shop/other", value, |_| {
                true
            });
        assert!(matches!(moved, Err(Closed::WrongKey { .. })));
    }

    #[test]
    fn keys_that_are_none_are_named_and_not_shown() {
        for (providers, message) in [
            (
                key("secretbox", "short", &[9; 31]),
                "its key short (secretbox) has 31 bytes, and needs 32",
            ),
            (
                key("aescbc", "odd", &[9; 17]),
                "its key odd (aescbc) has 17 bytes, and needs 16 or 24 or 32",
            ),
            (
                r#"{"aesgcm": {"keys": [{"name": "text", "secret": "hunter2!"}]}}"#.to_owned(),
                "its key text (aesgcm) is not base64",
            ),
        ] {
            let error = configuration(&providers)
                .err()
                .expect("no keys")
                .to_string();
            assert!(
                error.contains(message) && !error.contains("hunter2"),
                "{error}"
            );
        }
        let kms = r#"{"kms": {"apiVersion": "v2", "name": "x", "endpoint": "unix:///x"}}, {"identity": {}}"#;
        assert!(configuration(kms).expect("it has no keys").0.is_empty());
    }
}

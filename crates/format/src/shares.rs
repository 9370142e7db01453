//! An identity in shares of paper: any so many of them bring it back, and fewer tell nothing about it. The format is written down in
//! docs/recovery/shares.md.

mod paper;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;

use age::secrecy::ExposeSecret;
use sha2::{Digest as _, Sha256};
use vsss_rs::{Gf256, IdentifierGf256};
use zeroize::Zeroizing;

pub use paper::{ShareError, read_shares};

use crate::{Identities, id};

/// Shares of a set: more of them nobody keeps track of, and all choices of them can be tried.
const SHARES_MAX: u8 = 16;
/// The bytes of an age identity.
const SECRET: usize = 32;
/// The prefix of an age identity as text.
const PREFIX: &str = "AGE-SECRET-KEY-";

/// What all shares of a set say of themselves, and which of them this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Header {
    needed: u8,
    total: u8,
    number: u8,
    set: SetName,
    /// Of the identity's recipient.
    fingerprint: [u8; 12],
}

/// A set's name: shares of two sets do not belong together, even if the identity is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetName([u8; 4]);

/// One share. No `Debug`, `Display` or `Serialize`; wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Share {
    header: Header,
    /// The values of the polynomials at the share's number.
    values: Zeroizing<[u8; SECRET]>,
}

/// Why an identity is not split.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// There is not exactly one, or it is another kind: a token's has nothing that could be split.
    #[error("only one identity of the kind AGE-SECRET-KEY-1… can be split")]
    NotOneKey,
    /// The numbers make no sense.
    #[error(
        "{needed} of {total} shares cannot be: at least 2 are needed, and there are at most {SHARES_MAX}"
    )]
    Numbers {
        /// How many shall be needed.
        needed: u8,
        /// Of how many.
        total: u8,
    },
}

/// Why shares give no identity. Shares are named by their numbers; nothing of what they hold enters an error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CombineError {
    /// There is none.
    #[error("there is no share")]
    None,
    /// They were not made together.
    #[error(
        "share {one} of set {one_set} and share {other} of set {other_set} do not belong together"
    )]
    OtherSet {
        /// A share.
        one: u8,
        /// Its set.
        one_set: SetName,
        /// The first share of another set.
        other: u8,
        /// That set.
        other_set: SetName,
    },
    /// The same number twice, with different contents.
    #[error("there are two different shares {0} of the set: one of them is wrong")]
    Twice(u8),
    /// More are needed.
    #[error("{have} of the {needed} shares that are needed are there, of set {set}")]
    TooFew {
        /// So many different ones are there.
        have: u8,
        /// So many are needed.
        needed: u8,
        /// Of which set.
        set: SetName,
    },
    /// They are well-formed, and what they give is not what was split.
    #[error("shares {} of set {set} do not give the identity that was split: at least one of them is wrong, although its checksums are right", list(.numbers))]
    DoNotFit {
        /// Which.
        numbers: Vec<u8>,
        /// Of which set.
        set: SetName,
    },
}

/// What shares gave. No `Debug`: it holds the identity.
pub struct Combined {
    /// The text of the identity.
    pub identity: Zeroizing<String>,
    /// Its recipient, whose fingerprint is that on the shares.
    pub recipient: String,
    /// Shares that were given and are wrong: the others sufficed.
    pub wrong: Vec<u8>,
}

/// Splits the identity into `total` shares, any `needed` of which bring it back.
pub fn split(identities: &Identities, needed: u8, total: u8) -> Result<Vec<Share>, SplitError> {
    if needed < 2 || total < needed || total > SHARES_MAX {
        return Err(SplitError::Numbers { needed, total });
    }
    let key = identities.only_key().ok_or(SplitError::NotOneKey)?;
    let secret = secret_of(key).ok_or(SplitError::NotOneKey)?;
    let set = SetName(id::random());
    let fingerprint = fingerprint(&key.to_public().to_string());
    let numbers = (1..=total).map(|number| IdentifierGf256(Gf256(number)));
    let split = Gf256::split_bytes_with_participant_ids_iter(
        needed.into(),
        total.into(),
        &secret[..],
        Random,
        numbers,
    );
    let split = split.expect("the numbers were checked, and a secret is not empty");
    let shares = split.into_iter().map(Zeroizing::new).map(|share| {
        let (number, values) = share.split_first().expect("each starts with its number");
        Share {
            header: Header {
                needed,
                total,
                number: *number,
                set,
                fingerprint,
            },
            values: Zeroizing::new(values.try_into().expect("a value for each byte")),
        }
    });
    Ok(shares.collect())
}

/// Brings back the identity that was split, compared with the fingerprint of its recipient that every share has.
pub fn combine(shares: &[Share]) -> Result<Combined, CombineError> {
    let shares = of_one_set(shares)?;
    let Header { needed, set, .. } = shares[0].header;
    let have = shares.len() as u8;
    if have < needed {
        return Err(CombineError::TooFew { have, needed, set });
    }
    for chosen in choices(shares.len(), needed.into()) {
        let subset: Vec<&Share> = chosen.iter().map(|at| shares[*at]).collect();
        if let Some((identity, recipient)) = identity_of(&subset) {
            let wrong = shares.iter().filter(|share| !is_of(&subset, share));
            return Ok(Combined {
                identity,
                recipient,
                wrong: wrong.map(|share| share.header.number).collect(),
            });
        }
    }
    let numbers = shares.iter().map(|share| share.header.number).collect();
    Err(CombineError::DoNotFit { numbers, set })
}

/// Each number once, ascending.
fn of_one_set(shares: &[Share]) -> Result<Vec<&Share>, CombineError> {
    let first = shares.first().ok_or(CombineError::None)?.header;
    let mut by_number: BTreeMap<u8, &Share> = BTreeMap::new();
    for share in shares {
        let Header { number, set, .. } = share.header;
        if share.header != (Header { number, ..first }) {
            return Err(CombineError::OtherSet {
                one: first.number,
                one_set: first.set,
                other: number,
                other_set: set,
            });
        }
        let known = by_number.insert(number, share);
        if known.is_some_and(|known| known != share) {
            return Err(CombineError::Twice(number));
        }
    }
    Ok(by_number.into_values().collect())
}

/// What these shares give, if it is what was split.
fn identity_of(subset: &[&Share]) -> Option<(Zeroizing<String>, String)> {
    let secret = joined(subset);
    let prefix = bech32::Hrp::parse(PREFIX).expect("it is a prefix");
    let lower = Zeroizing::new(age_core::primitives::bech32_encode(prefix, &secret));
    let text = Zeroizing::new(lower.to_ascii_uppercase());
    let key: age::x25519::Identity = text.parse().ok()?;
    let recipient = key.to_public().to_string();
    let is_it = fingerprint(&recipient) == subset[0].header.fingerprint;
    is_it.then_some((text, recipient))
}

/// Whether a share lies on the polynomials of those that fit: it may stand in for one of them.
fn is_of(fitting: &[&Share], share: &Share) -> bool {
    let number = share.header.number;
    let mut others: Vec<&Share> = fitting.to_vec();
    match others.iter_mut().find(|it| it.header.number == number) {
        Some(same) => *same = share,
        None => others[0] = share,
    }
    joined(&others) == joined(fitting)
}

fn joined(subset: &[&Share]) -> Zeroizing<Vec<u8>> {
    let mut shares = Zeroizing::new(Vec::with_capacity(subset.len()));
    for share in subset {
        let mut bytes = Vec::with_capacity(1 + SECRET);
        bytes.push(share.header.number);
        bytes.extend_from_slice(&share.values[..]);
        shares.push(bytes);
    }
    let secret = Gf256::combine_bytes(&*shares);
    Zeroizing::new(secret.expect("shares of one length with different numbers"))
}

/// The 32 bytes of an identity: half as much to type as its text.
fn secret_of(key: &age::x25519::Identity) -> Option<Zeroizing<Vec<u8>>> {
    age_core::primitives::bech32_decode(
        key.to_string().expose_secret(),
        |_| (),
        |_| Ok(()),
        |_, bytes| Ok(Zeroizing::new(bytes.collect::<Vec<u8>>())),
    )
    .ok()
    .filter(|secret| secret.len() == SECRET)
}

/// Of a recipient: it tells that what was combined is what was split, and nothing about it.
fn fingerprint(recipient: &str) -> [u8; 12] {
    let digest = Sha256::digest(format!("strongroom share 1 recipient {recipient}"));
    *digest.first_chunk().expect("a digest is longer")
}

/// All ways to choose `count` of `among`, the first ones first.
fn choices(among: usize, count: usize) -> impl Iterator<Item = Vec<usize>> {
    (0_u32..1 << among)
        .filter(move |set| set.count_ones() as usize == count)
        .map(move |set| (0..among).filter(|at| set >> at & 1 == 1).collect())
}

/// Numbers as people write them.
fn list(numbers: &[u8]) -> String {
    let texts: Vec<String> = numbers.iter().map(u8::to_string).collect();
    texts.join(", ")
}

impl fmt::Display for SetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// The system's random numbers, as the crate that splits wants them.
struct Random;

impl rand_core::TryRng for Random {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_le_bytes(id::random()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_le_bytes(id::random()))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for byte in bytes {
            [*byte] = id::random();
        }
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Random {}

#[cfg(test)]
mod tests;

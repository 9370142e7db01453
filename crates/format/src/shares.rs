//! An identity in shares of paper: any so many of them bring it back, and fewer tell nothing about it. Written down in
//! docs/format/shares.md.

mod paper;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;

use age::secrecy::ExposeSecret;
use vsss_rs::{Gf256, IdentifierGf256};
use zeroize::Zeroizing;

pub use paper::{ShareError, ShareReader};

use crate::seal::derive;
use crate::{Identities, IdentityError, id};

/// Shares of a set: more of them nobody keeps track of.
pub const SHARES_MAX: u8 = 16;
/// What is shared, in bytes: an identity has some seventy.
const SECRET_MAX: usize = 4096;

/// What all shares of a set say of themselves, and which of them this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Header {
    kind: Kind,
    needed: u8,
    total: u8,
    number: u8,
    /// Of the secret, in bytes.
    length: u16,
    set: [u8; 4],
    fingerprint: [u8; 9],
}

/// What is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    /// The 32 bytes of an age identity: half as much to type as its text.
    X25519 = 1,
    /// The lines of an identity file, without comments.
    Lines = 2,
}

/// One share. No `Debug`, `Display` or `Serialize`; wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Share {
    header: Header,
    data: Zeroizing<Vec<u8>>,
}

/// Why a file is not split.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// It is not an identity file.
    #[error(transparent)]
    Identities(#[from] IdentityError),
    /// The numbers make no sense.
    #[error("{needed} of {total} shares cannot be: 2 to {SHARES_MAX} shares, of which at least 2 are needed")]
    Numbers {
        /// How many shall be needed.
        needed: u8,
        /// Of how many.
        total: u8,
    },
    /// There is more in it than anybody would type.
    #[error("it holds more than {SECRET_MAX} bytes of identities")]
    TooLong,
}

/// Why shares give no identity. Shares are named by their numbers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CombineError {
    /// There is none.
    #[error("there is no share")]
    None,
    /// They were not made together.
    #[error("share {one} of set {one_set} and share {other} of set {other_set} do not belong together")]
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
    #[error("there are two different shares {0}: one of them is wrong")]
    Twice(u8),
    /// More are needed.
    #[error("{have} of the {needed} shares that are needed are there: {more} more of set {set}")]
    TooFew {
        /// So many different ones are there.
        have: u8,
        /// So many are needed.
        needed: u8,
        /// The difference.
        more: u8,
        /// Of which set.
        set: SetName,
    },
    /// They are well-formed, and what they give is not what was split.
    #[error("the shares {} do not fit: at least one of them is wrong, although its checksums are right. With one more, the wrong one can be told", list(.0))]
    DoNotFit(Vec<u8>),
}

/// A set's name, as it is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetName([u8; 4]);

impl fmt::Display for SetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// What shares gave.
pub struct Combined {
    /// An identity file.
    pub file: Zeroizing<Vec<u8>>,
    /// Its recipient, if the identity is an age key.
    pub recipient: Option<String>,
    /// Shares that were given and are wrong: the others sufficed.
    pub wrong: Vec<u8>,
}

/// A secret before it is split, or after it was combined.
struct Secret {
    kind: Kind,
    bytes: Zeroizing<Vec<u8>>,
}

impl Secret {
    /// Of an identity file: of its keys, not of its comments.
    fn of_file(file: &[u8]) -> Result<Self, SplitError> {
        let mut identities = Identities::none();
        identities.add_file(file)?;
        let text = std::str::from_utf8(file).expect("it was read as text");
        let kept = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let mut lines = Zeroizing::new(Vec::with_capacity(file.len() + 1));
        for line in kept {
            lines.extend_from_slice(line.as_bytes());
            lines.push(b'\n');
        }
        let key = std::str::from_utf8(&lines).ok().and_then(key_of);
        let secret = key.unwrap_or(Self {
            kind: Kind::Lines,
            bytes: lines,
        });
        if secret.bytes.len() > SECRET_MAX {
            return Err(SplitError::TooLong);
        }
        Ok(secret)
    }

    /// The identity file, and its recipient. `None`: these bytes are no secret of this kind.
    fn to_file(&self) -> Option<(Zeroizing<Vec<u8>>, Option<String>)> {
        let mut identities = Identities::none();
        if self.kind == Kind::Lines {
            identities.add_file(&self.bytes).ok()?;
            return Some((self.bytes.clone(), None));
        }
        let prefix = bech32::Hrp::parse(PREFIX).expect("it is a prefix");
        let lower = Zeroizing::new(age_core::primitives::bech32_encode(prefix, &self.bytes));
        let mut line = Zeroizing::new(lower.to_ascii_uppercase());
        identities.add_file(line.as_bytes()).ok()?;
        let recipient = identities.recipients().pop();
        line.push('\n');
        Some((Zeroizing::new(line.as_bytes().to_vec()), recipient))
    }

    /// Of the recipient, where there is one to be told from the secret: it can be compared with a configuration.
    fn fingerprint(&self) -> Option<[u8; 9]> {
        let (_, recipient) = self.to_file()?;
        let of = recipient.as_ref().map_or(&self.bytes[..], |it| it.as_bytes());
        let derived = derive("strongroom v1 share fingerprint", &[of]);
        derived.first_chunk().copied()
    }
}

const PREFIX: &str = "AGE-SECRET-KEY-";

/// The key, if the lines are one age identity.
fn key_of(lines: &str) -> Option<Secret> {
    let key: age::x25519::Identity = lines.trim_end().parse().ok()?;
    let text = key.to_string();
    let bytes = age_core::primitives::bech32_decode(
        text.expose_secret(),
        |_| (),
        |_| Ok(()),
        |_, bytes| Ok(Zeroizing::new(bytes.collect::<Vec<u8>>())),
    );
    let kind = Kind::X25519;
    bytes.ok().map(|bytes| Secret { kind, bytes })
}

/// Splits the identities of a file into `total` shares, any `needed` of which bring them back.
pub fn split(file: &[u8], needed: u8, total: u8) -> Result<Vec<Share>, SplitError> {
    if needed < 2 || total < needed || total > SHARES_MAX {
        return Err(SplitError::Numbers { needed, total });
    }
    let secret = Secret::of_file(file)?;
    let fingerprint = secret.fingerprint().expect("it was an identity a moment ago");
    let set = id::random();
    let numbers = (1..=total).map(|number| IdentifierGf256(Gf256(number)));
    let split = Gf256::split_bytes_with_participant_ids_iter(
        needed.into(),
        total.into(),
        &secret.bytes[..],
        Random,
        numbers,
    );
    let shares = split.expect("the numbers were checked, and a secret is not empty");
    let shares = shares.into_iter().map(Zeroizing::new).map(|share| Share {
        header: Header {
            kind: secret.kind,
            needed,
            total,
            number: share[0],
            length: secret.bytes.len() as u16,
            set,
            fingerprint,
        },
        data: Zeroizing::new(share[1..].to_vec()),
    });
    Ok(shares.collect())
}

/// Brings back what was split. What it gives was compared with the fingerprint that every share has.
pub fn combine(shares: &[Share]) -> Result<Combined, CombineError> {
    let shares = of_one_set(shares)?;
    let header = shares[0].header;
    let (have, needed) = (shares.len() as u8, header.needed);
    if have < needed {
        let set = SetName(header.set);
        let more = needed - have;
        return Err(CombineError::TooFew {
            have,
            needed,
            more,
            set,
        });
    }
    for chosen in choices(shares.len(), needed.into()) {
        let subset: Vec<&Share> = chosen.iter().map(|at| shares[*at]).collect();
        let Some((file, recipient)) = fitting(&subset) else {
            continue;
        };
        let secret = joined(&subset);
        let wrong = (0..shares.len()).filter(|at| !chosen.contains(at));
        let wrong = wrong.filter(|at| {
            // A share is right if it may stand in for one of those that fit.
            let mut others = subset.clone();
            others[0] = shares[*at];
            joined(&others) != secret
        });
        let wrong = wrong.map(|at| shares[at].header.number).collect();
        return Ok(Combined {
            file,
            recipient,
            wrong,
        });
    }
    let numbers = shares.iter().map(|share| share.header.number);
    Err(CombineError::DoNotFit(numbers.collect()))
}

/// Each number once, ascending.
fn of_one_set(shares: &[Share]) -> Result<Vec<&Share>, CombineError> {
    let first = shares.first().ok_or(CombineError::None)?;
    let mut by_number: BTreeMap<u8, &Share> = BTreeMap::new();
    for share in shares {
        let (one, other) = (first.header, share.header);
        let number = one.number;
        if one != (Header { number, ..other }) {
            return Err(CombineError::OtherSet {
                one: number,
                one_set: SetName(one.set),
                other: other.number,
                other_set: SetName(other.set),
            });
        }
        let known = by_number.insert(other.number, share);
        if known.is_some_and(|known| known != share) {
            return Err(CombineError::Twice(other.number));
        }
    }
    Ok(by_number.into_values().collect())
}

/// What these shares give, if it is what was split.
fn fitting(subset: &[&Share]) -> Option<(Zeroizing<Vec<u8>>, Option<String>)> {
    let header = subset[0].header;
    let secret = Secret {
        kind: header.kind,
        bytes: joined(subset),
    };
    (secret.fingerprint()? == header.fingerprint).then(|| secret.to_file())?
}

fn joined(subset: &[&Share]) -> Zeroizing<Vec<u8>> {
    let mut shares = Zeroizing::new(Vec::with_capacity(subset.len()));
    for share in subset {
        let mut bytes = Vec::with_capacity(1 + share.data.len());
        bytes.push(share.header.number);
        bytes.extend_from_slice(&share.data);
        shares.push(bytes);
    }
    let secret = Gf256::combine_bytes(&*shares);
    Zeroizing::new(secret.expect("shares of one length with different numbers"))
}

/// All ways to choose `count` of `among`, the first ones first.
fn choices(among: usize, count: usize) -> impl Iterator<Item = Vec<usize>> {
    (0_u32..1 << among)
        .filter(move |set| set.count_ones() as usize == count)
        .map(move |set| (0..among).filter(|at| set >> at & 1 == 1).collect())
}

fn list(numbers: &[u8]) -> String {
    let texts: Vec<String> = numbers.iter().map(u8::to_string).collect();
    texts.join(", ")
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
        for piece in bytes.chunks_mut(32) {
            let random = Zeroizing::new(id::random::<32>());
            piece.copy_from_slice(&random[..piece.len()]);
        }
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Random {}

#[cfg(test)]
mod tests;

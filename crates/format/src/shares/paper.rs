//! Shares as text: lines of groups that somebody reads from paper and types, each with a checksum of its own.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{Header, SECRET, SHARES_MAX, SetName, Share};

/// Bytes in a line: eight groups of four signs, and the checksum.
const LINE: usize = 20;
/// Lines of a share.
const LINES: usize = 1 + SECRET.div_ceil(LINE);
/// Signs of a line's checksum.
const CHECK: usize = 4;
/// Crockford's base 32: what looks like another sign does not occur.
const SIGNS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const VERSION: u8 = 1;

/// Why a text holds no shares. Lines of the text are named by their numbers; nothing that stands there enters an error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShareError {
    /// Its checksum is wrong, a sign cannot be, or it is too short or too long.
    #[error("line {line}: {} is mistyped, or belongs to another share", named(*.part, *.share))]
    Mistyped {
        /// The line of the text.
        line: usize,
        /// Its number in the share.
        part: usize,
        /// The share's number, once its first line was read.
        share: Option<u8>,
    },
    /// It is another line than the next one, or there is none.
    #[error("line {line}: {} is missing", named(*.part, *.share))]
    Missing {
        /// The line of the text where it should be.
        line: usize,
        /// The one that should be there.
        part: usize,
        /// The share's number, once its first line was read.
        share: Option<u8>,
    },
    /// It does not start with a line's number.
    #[error(
        "line {0} is no line of a share, which starts with its number and a colon, such as `0:`"
    )]
    NoNumber(usize),
    /// Its first line is sound, and from the future.
    #[error("line {0}: the share needs a newer strongroom")]
    Newer(usize),
}

fn named(part: usize, share: Option<u8>) -> String {
    match share {
        Some(number) => format!("`{part}:` of share {number}"),
        None => format!("`{part}:` of a share"),
    }
}

impl Share {
    /// Its number in the set.
    pub fn number(&self) -> u8 {
        self.header.number
    }

    /// The set that it belongs to.
    pub fn set(&self) -> SetName {
        self.header.set
    }

    /// A page to print: what it is, and its lines. `made` is when.
    pub fn to_page(&self, recipient: &str, made: &str) -> Zeroizing<String> {
        let Header {
            number,
            needed,
            total,
            set,
            ..
        } = self.header;
        // Room for all of it, so that no part is left behind in memory when it grows.
        let mut page = Zeroizing::new(String::with_capacity(4096));
        let _ = write!(
            page,
            "# strongroom share {number} of {total}\n\
             #\n\
             # One of {total} parts of the identity that opens backups. Any {needed} of them bring it back, fewer tell nothing about it.\n\
             # Keep it apart from the others. Neither photograph nor send it.\n\
             #\n\
             # recipient: {recipient}\n\
             # set: {set}, made {made}\n\
             #\n\
             # To bring the identity back: type the lines below of {needed} shares into files, then\n\
             #     strongroom combine --output identity.txt FILE...\n\
             # Capital or small, with or without dashes. I, L, O and U do not occur: what looks like one is 1, 1, 0 or V. The last four\n\
             # signs of a line are its checksum. Without strongroom: docs/recovery/strongroom-combine.py\n\
             \n"
        );
        for (number, bytes) in self.lines() {
            let signs = signs(&bytes, self.header.check(number, &bytes));
            let _ = write!(page, "{number}: ");
            for (group, four) in signs.as_bytes().chunks(4).enumerate() {
                let gap = if group == 0 { "" } else { "-" };
                let four = std::str::from_utf8(four).expect("signs are ASCII");
                let _ = write!(page, "{gap}{four}");
            }
            page.push('\n');
        }
        page
    }

    fn lines(&self) -> impl Iterator<Item = (usize, Zeroizing<Vec<u8>>)> {
        let header = self.header.encode();
        let first = std::iter::once(Zeroizing::new(header.to_vec()));
        let values = self.values.chunks(LINE);
        let values = values.map(|bytes| Zeroizing::new(bytes.to_vec()));
        first.chain(values).enumerate()
    }
}

/// The shares of a text, in which comments and empty lines are passed over. On an error none is given.
pub fn read_shares(text: &str) -> Result<Vec<Share>, ShareError> {
    let mut shares = Vec::new();
    let mut reader = Reader::default();
    let mut end = 1;
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        end = at + 2;
        if !line.is_empty() && !line.starts_with('#') {
            shares.extend(reader.line(at + 1, line)?);
        }
    }
    if reader.next > 0 {
        return Err(reader.missing(end));
    }
    Ok(shares)
}

/// What has been read of a share.
#[derive(Default)]
struct Reader {
    header: Option<Header>,
    values: Zeroizing<Vec<u8>>,
    /// The line of the share that should come next.
    next: usize,
}

impl Reader {
    /// Takes a line in; the share, if it was its last one. `at` is the line's number in the text.
    fn line(&mut self, at: usize, line: &str) -> Result<Option<Share>, ShareError> {
        let (number, signs) = line.split_once(':').ok_or(ShareError::NoNumber(at))?;
        let number = number.trim().parse();
        let number: usize = number.map_err(|_| ShareError::NoNumber(at))?;
        if number != self.next {
            return Err(self.missing(at));
        }
        let (bytes, check) = bytes(signs).ok_or_else(|| self.mistyped(at))?;
        self.next += 1;
        let Some(header) = self.header else {
            self.header = Some(first(at, &bytes, check)?);
            return Ok(None);
        };
        let wanted = (SECRET - self.values.len()).min(LINE);
        if bytes.len() != wanted || header.check(number, &bytes) != check {
            self.next = number;
            return Err(self.mistyped(at));
        }
        self.values.extend_from_slice(&bytes);
        if self.next < LINES {
            return Ok(None);
        }
        let values = self.values[..].try_into().expect("so many were taken in");
        let values = Zeroizing::new(values);
        *self = Self::default();
        Ok(Some(Share { header, values }))
    }

    fn mistyped(&self, line: usize) -> ShareError {
        ShareError::Mistyped {
            line,
            part: self.next,
            share: self.header.map(|header| header.number),
        }
    }

    fn missing(&self, line: usize) -> ShareError {
        ShareError::Missing {
            line,
            part: self.next,
            share: self.header.map(|header| header.number),
        }
    }
}

fn first(at: usize, bytes: &[u8], check: [u8; CHECK]) -> Result<Header, ShareError> {
    let line: Option<[u8; LINE]> = bytes.try_into().ok();
    let line = line.filter(|line| check_of(line, 0, line) == check);
    let (part, share) = (0, None);
    let mistyped = ShareError::Mistyped {
        line: at,
        part,
        share,
    };
    Header::decode(line.ok_or(mistyped)?).ok_or(ShareError::Newer(at))
}

impl Header {
    fn encode(&self) -> [u8; LINE] {
        let mut bytes = [0; LINE];
        bytes[..4].copy_from_slice(&[VERSION, self.needed, self.total, self.number]);
        bytes[4..8].copy_from_slice(&self.set.0);
        bytes[8..].copy_from_slice(&self.fingerprint);
        bytes
    }

    /// `None`: there was no such share when this was written.
    fn decode(bytes: [u8; LINE]) -> Option<Self> {
        let [version, needed, total, number, ..] = bytes;
        let sound = 2 <= needed && needed <= total && total <= SHARES_MAX;
        (version == VERSION && sound && (1..=total).contains(&number)).then(|| Self {
            needed,
            total,
            number,
            set: SetName(*bytes[4..].first_chunk().expect("16 are left")),
            fingerprint: *bytes[8..].first_chunk().expect("12 are left"),
        })
    }

    fn check(&self, line: usize, bytes: &[u8]) -> [u8; CHECK] {
        check_of(&self.encode(), line, bytes)
    }
}

/// Depends on the share and on the line's place in it: a line of another share, or one in another place, is refused.
fn check_of(header: &[u8; LINE], line: usize, bytes: &[u8]) -> [u8; CHECK] {
    let mut hash = Sha256::new();
    hash.update(b"strongroom share 1 line ");
    hash.update(header);
    hash.update([line as u8]);
    hash.update(bytes);
    let digest = hash.finalize();
    let bits = u32::from_be_bytes(*digest.first_chunk().expect("32 bytes"));
    std::array::from_fn(|at| SIGNS[(bits >> (27 - 5 * at)) as usize & 31])
}

/// Five bits a sign, the first one highest; what is missing at the end is zero. Then the checksum.
fn signs(bytes: &[u8], check: [u8; CHECK]) -> Zeroizing<String> {
    let mut signs = Zeroizing::new(String::with_capacity(bytes.len() * 2 + CHECK));
    let bit = |at: usize| bytes.get(at / 8).map_or(0, |byte| byte >> (7 - at % 8) & 1);
    for first in (0..bytes.len() * 8).step_by(5) {
        let five = (first..first + 5).fold(0, |five, at| five << 1 | bit(at));
        signs.push(SIGNS[usize::from(five)].into());
    }
    signs.extend(check.iter().map(|sign| char::from(*sign)));
    signs
}

/// The bytes of a line, and the checksum that stands there. Forgiving where nothing can be meant but one thing.
fn bytes(text: &str) -> Option<(Zeroizing<Vec<u8>>, [u8; CHECK])> {
    let mut fives = Zeroizing::new(Vec::with_capacity(LINE * 2));
    for sign in text.bytes().filter(|sign| !b"- \t".contains(sign)) {
        if fives.len() == LINE * 2 {
            return None;
        }
        let sign = match sign.to_ascii_uppercase() {
            b'I' | b'L' => b'1',
            b'O' => b'0',
            b'U' => b'V',
            sign => sign,
        };
        fives.push(SIGNS.iter().position(|known| *known == sign)? as u8);
    }
    let length = fives.len().checked_sub(CHECK)?;
    let check = std::array::from_fn(|at| SIGNS[usize::from(fives[length + at])]);
    let count = length * 5 / 8;
    let bit = |at: usize| fives[at / 5] >> (4 - at % 5) & 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(count));
    for first in (0..count * 8).step_by(8) {
        bytes.push((first..first + 8).fold(0, |byte, at| byte << 1 | bit(at)));
    }
    // One way to write each: no more signs than are needed, and the bits that are left over are zero.
    let exact = length == (count * 8).div_ceil(5) && (count * 8..length * 5).all(|at| bit(at) == 0);
    exact.then_some((bytes, check))
}

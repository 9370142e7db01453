//! Shares as text: lines of groups that somebody reads from paper and types, each with a checksum of its own.

use std::fmt::Write as _;

use zeroize::Zeroizing;

use super::{Header, Kind, SECRET_MAX, SHARES_MAX, Share};
use crate::seal::derive;

/// Bytes in a line: eight groups of four signs.
const LINE: usize = 20;
/// Signs of a line's checksum.
const CHECK: usize = 4;
/// Crockford's base 32: what looks like another sign does not occur.
const SIGNS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const VERSION: u8 = 1;

/// A line that is no line of a share.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ShareError {
    /// Its checksum is wrong, or it is too short or too long.
    #[error("line {line} of {} is mistyped: its checksum is wrong", share(*.share))]
    Mistyped {
        /// Its number in the share.
        line: usize,
        /// The share's number, once its first line was read.
        share: Option<u8>,
    },
    /// It is another line than the next one.
    #[error("line {wanted} of {} is missing", share(*.share))]
    OutOfOrder {
        /// The next one.
        wanted: usize,
        /// The share's number, once its first line was read.
        share: Option<u8>,
    },
    /// It does not start with a line's number.
    #[error("a line of a share starts with its number and a colon, such as `0:`")]
    NoNumber,
    /// Its first line is sound, and from the future.
    #[error("the share needs a newer strongroom")]
    Newer,
}

fn share(number: Option<u8>) -> String {
    number.map_or_else(|| "a share".to_owned(), |number| format!("share {number}"))
}

impl Share {
    /// Its number in the set.
    pub fn number(&self) -> u8 {
        self.header.number
    }

    /// How many are needed.
    pub fn needed(&self) -> u8 {
        self.header.needed
    }

    /// How many there are.
    pub fn total(&self) -> u8 {
        self.header.total
    }

    /// A page to print: what it is, and its lines. `opens` says what the identity opens.
    pub fn to_page(&self, opens: &str, made: &str) -> Zeroizing<String> {
        let Header {
            number,
            needed,
            total,
            ..
        } = self.header;
        let set = super::SetName(self.header.set);
        let mut page = Zeroizing::new(String::with_capacity(2048 + 3 * self.data.len()));
        let _ = write!(
            page,
            "# strongroom share {number} of {total}\n#\n\
             # One of {total} parts of a key that opens backups. Any {needed} of them bring the key back; fewer tell nothing about it.\n\
             # Keep it where only its holder gets at it, apart from the others. Neither photograph nor send it.\n#\n\
             # {opens}\n# Set {set}, made {made}.\n#\n\
             # To bring the key back: strongroom combine --output identity.txt, with the files of {needed} shares behind it, or without\n\
             # any: then type the lines below. Capital or small, with or without dashes. The letters I, L, O and U do not occur: what\n\
             # looks like one is 1, 1, 0 or V. The last four signs of a line are its checksum.\n\n"
        );
        let header = self.header.encode();
        for (at, bytes) in std::iter::once(&header[..]).chain(self.data.chunks(LINE)).enumerate() {
            let signs = signs(bytes, &check(&header, at, bytes));
            let _ = write!(page, "{at}: ");
            for (group, four) in signs.as_bytes().chunks(4).enumerate() {
                let gap = if group == 0 { "" } else { "-" };
                let _ = write!(page, "{gap}{}", std::str::from_utf8(four).expect("signs are ASCII"));
            }
            page.push('\n');
        }
        page
    }
}

impl Header {
    fn encode(&self) -> [u8; LINE] {
        let mut bytes = [0; LINE];
        bytes[0] = VERSION;
        bytes[1] = self.kind as u8;
        bytes[2..5].copy_from_slice(&[self.needed, self.total, self.number]);
        bytes[5..7].copy_from_slice(&self.length.to_le_bytes());
        bytes[7..11].copy_from_slice(&self.set);
        bytes[11..].copy_from_slice(&self.fingerprint);
        bytes
    }

    fn decode(bytes: [u8; LINE]) -> Option<Self> {
        let [version, kind, needed, total, number, low, high, ..] = bytes;
        let kind = match kind {
            1 => Kind::X25519,
            2 => Kind::Lines,
            _ => return None,
        };
        let length = u16::from_le_bytes([low, high]);
        let sound = match kind {
            Kind::X25519 => length == 32,
            Kind::Lines => (1..=SECRET_MAX).contains(&length.into()),
        };
        let numbers = 2 <= needed && needed <= total && total <= SHARES_MAX;
        (version == VERSION && sound && numbers && (1..=total).contains(&number)).then(|| Self {
            kind,
            needed,
            total,
            number,
            length,
            set: *bytes[7..].first_chunk().expect("13 are left"),
            fingerprint: *bytes[11..].first_chunk().expect("9 are left"),
        })
    }
}

/// Takes shares in line by line. A line that is refused may be tried again.
#[derive(Default)]
pub struct ShareReader {
    header: Option<Header>,
    data: Zeroizing<Vec<u8>>,
    lines: usize,
}

impl ShareReader {
    /// The next line: the share, if it was its last one. Comments and empty lines are passed over.
    pub fn line(&mut self, line: &str) -> Result<Option<Share>, ShareError> {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return Ok(None);
        }
        let share = self.header.map(|header| header.number);
        let (number, signs) = line.split_once(':').ok_or(ShareError::NoNumber)?;
        let number: usize = number.trim().parse().map_err(|_| ShareError::NoNumber)?;
        if number != self.lines {
            let wanted = self.lines;
            return Err(ShareError::OutOfOrder { wanted, share });
        }
        let mistyped = || ShareError::Mistyped { line: number, share };
        let (bytes, check_read) = bytes(signs).ok_or_else(mistyped)?;
        let Some(header) = self.header else {
            let header: [u8; LINE] = bytes[..].try_into().map_err(|_| mistyped())?;
            if check(&header, 0, &header) != check_read {
                return Err(mistyped());
            }
            self.header = Some(Header::decode(header).ok_or(ShareError::Newer)?);
            self.lines = 1;
            self.data = Zeroizing::new(Vec::with_capacity(SECRET_MAX));
            return Ok(None);
        };
        let left = usize::from(header.length) - self.data.len();
        if bytes.len() != left.min(LINE) || check(&header.encode(), number, &bytes) != check_read {
            return Err(mistyped());
        }
        self.data.extend_from_slice(&bytes);
        self.lines += 1;
        if bytes.len() < left {
            return Ok(None);
        }
        let data = std::mem::take(&mut self.data);
        *self = Self::default();
        Ok(Some(Share { header, data }))
    }

    /// The line that is waited for: its number, and that of the share, if its first line was read.
    pub fn wanted(&self) -> (usize, Option<u8>) {
        (self.lines, self.header.map(|header| header.number))
    }
}

/// Depends on the share and on the line's place in it: a line of another share, or one in another place, is refused.
fn check(header: &[u8; LINE], line: usize, bytes: &[u8]) -> [u8; CHECK] {
    let parts: [&[u8]; 3] = [header, &[line as u8], bytes];
    let derived = derive("strongroom v1 share line", &parts);
    let bits = u32::from_le_bytes(*derived.first_chunk().expect("32 bytes"));
    std::array::from_fn(|at| SIGNS[(bits >> (5 * at)) as usize & 31])
}

/// Five bits a sign, the first one highest; what is missing at the end is zero. Then the checksum.
fn signs(bytes: &[u8], check: &[u8; CHECK]) -> Zeroizing<String> {
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
        if fives.len() > LINE * 2 {
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

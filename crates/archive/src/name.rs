use std::fmt;

/// The name of an entry: bytes that a source chose, unique and ordered within one archive.
///
/// Names come from outside and may hold anything, so `Display` and `Debug` escape what could reach a terminal as a
/// command: control characters, invalid UTF-8, bidirectional overrides and the backslash. [`Name::as_bytes`] is exact.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Name(Vec<u8>);

impl Name {
    /// Takes the bytes as they are; whether they are a usable path is the source's question.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The exact bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The name whose escaped form is `text`, if every escape in it is one that `Display` writes.
    pub fn unescape(text: &str) -> Option<Self> {
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('\\') {
            bytes.extend_from_slice(&rest.as_bytes()[..at]);
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix('\\') {
                bytes.push(b'\\');
                rest = after;
            } else {
                let digits = rest.strip_prefix('x')?.get(..2)?;
                // A sign is no digit, though Rust reads "+f" as a number.
                let digits = Some(digits).filter(|it| it.bytes().all(|b| b.is_ascii_hexdigit()));
                bytes.push(u8::from_str_radix(digits?, 16).ok()?);
                rest = &rest[3..];
            }
        }
        bytes.extend_from_slice(rest.as_bytes());
        Some(Self(bytes))
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '\\' => f.write_str("\\\\")?,
                    c if is_unsafe_on_a_terminal(c) => {
                        let mut buffer = [0; 4];
                        for byte in c.encode_utf8(&mut buffer).bytes() {
                            write!(f, "\\x{byte:02x}")?;
                        }
                    }
                    c => write!(f, "{c}")?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// C0, DEL and C1 drive terminals; line and paragraph separators and bidirectional controls make text lie.
fn is_unsafe_on_a_terminal(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{061c}'
        )
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_escaped_and_come_back() {
        for (bytes, shown) in [
            (&b"plain/name"[..], "plain/name"),
            (b"new\nline", "new\\x0aline"),
            (b"\x1b[2J", "\\x1b[2J"),
            (b"not \xff utf-8", "not \\xff utf-8"),
            (b"back\\slash", "back\\\\slash"),
            ("emoji 🔑".as_bytes(), "emoji 🔑"),
            ("rtl \u{202e}".as_bytes(), "rtl \\xe2\\x80\\xae"),
        ] {
            let name = Name::new(bytes);
            assert_eq!(name.to_string(), shown);
            assert_eq!(Name::unescape(shown), Some(name));
        }
        assert_eq!(Name::unescape("bad \\q"), None);
        assert_eq!(Name::unescape("cut \\x1"), None);
        assert_eq!(Name::unescape("sign \\x+f"), None);
    }
}

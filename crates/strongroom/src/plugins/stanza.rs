//! Stanzas as bytes: `-> TAG ARGUMENT…`, then the body in base64, 64 columns a line, ended by a line that is shorter.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use format::Stanza;
use zeroize::Zeroizing;

const COLUMNS: usize = 64;

/// A stanza's bytes. Some hold a key: they are wiped.
pub(super) fn encode(tag: &str, arguments: &[&str], body: &[u8]) -> Zeroizing<Vec<u8>> {
    let coded = Zeroizing::new(STANDARD_NO_PAD.encode(body));
    let words: usize = arguments.iter().map(|word| word.len() + 1).sum();
    // Room for all of it, so that nothing is left behind when it grows.
    let room = 5 + tag.len() + words + coded.len() + coded.len() / COLUMNS + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    bytes.extend_from_slice(b"-> ");
    bytes.extend_from_slice(tag.as_bytes());
    for argument in arguments {
        bytes.push(b' ');
        bytes.extend_from_slice(argument.as_bytes());
    }
    bytes.push(b'\n');
    for line in coded.as_bytes().chunks(COLUMNS) {
        bytes.extend_from_slice(line);
        bytes.push(b'\n');
    }
    if coded.len().is_multiple_of(COLUMNS) {
        bytes.push(b'\n');
    }
    bytes
}

/// The words of a stanza's first line. Only what can stand in an age file's header is a word.
pub(super) fn first_line(line: &[u8]) -> Option<(String, Vec<String>)> {
    let text = std::str::from_utf8(line.strip_prefix(b"-> ")?).ok()?;
    let word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_graphic());
    let mut words = text.split(' ');
    let tag = words.next().filter(|tag| word(tag))?.to_owned();
    let arguments: Vec<String> = words.map(str::to_owned).collect();
    arguments
        .iter()
        .all(|argument| word(argument))
        .then_some((tag, arguments))
}

/// Adds a line of a body. `Some(true)`: it was the last one.
pub(super) fn body_line(line: &[u8], stanza: &mut Stanza) -> Option<bool> {
    if line.len() > COLUMNS {
        return None;
    }
    stanza.body.extend_from_slice(&decode(line)?);
    Some(line.len() < COLUMNS)
}

pub(super) fn decode(coded: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    STANDARD_NO_PAD.decode(coded).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(bytes: &[u8]) -> Option<Stanza> {
        let mut lines = bytes.strip_suffix(b"\n")?.split(|b| *b == b'\n');
        let (tag, args) = first_line(lines.next()?)?;
        let body = Vec::new();
        let mut stanza = Stanza { tag, args, body };
        while !body_line(lines.next()?, &mut stanza)? {}
        lines.next().is_none().then_some(stanza)
    }

    proptest! {
        #[test]
        fn a_stanza_comes_back(
            tag in "[!-~]{1,20}",
            args in prop::collection::vec("[!-~]{1,80}", 0..4),
            body in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let words: Vec<&str> = args.iter().map(String::as_str).collect();
            let bytes = encode(&tag, &words, &body);
            prop_assert_eq!(read(&bytes), Some(Stanza { tag, args, body }));
        }

        #[test]
        fn any_bytes_are_a_stanza_or_are_not(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&bytes);
            let _ = read(&[b"-> x\n", &bytes[..]].concat());
        }
    }

    #[test]
    fn words_that_would_break_a_header_are_refused() {
        for bad in [
            &b"-> "[..],
            b"->",
            b"-> a  b",
            b"-> a ",
            b"-> \x01",
            b"-> \xc3\xa4",
            b"x",
        ] {
            assert!(first_line(bad).is_none(), "{bad:?}");
        }
        let mut stanza = Stanza {
            tag: "x".into(),
            args: vec![],
            body: vec![],
        };
        for bad in [&b"!"[..], b"YQ==", &[b'A'; 65]] {
            assert!(body_line(bad, &mut stanza).is_none(), "{bad:?}");
        }
    }
}

use archive::{Content, Name};

/// So much of what a program writes to its standard error is shown when it fails.
const SHOWN: usize = 4096;
/// So much is remembered: a secret is recognised only if all of it is there.
const REMEMBERED: usize = 16 * 1024;
/// Shorter values are not taken out: they are part of too many words to be worth hiding.
const SECRET_MIN: usize = 4;

/// The last words of a program: the end of its standard error.
#[derive(Default)]
pub(super) struct Words {
    bytes: Vec<u8>,
}

impl Words {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() > 2 * REMEMBERED {
            self.bytes.drain(..self.bytes.len() - REMEMBERED);
        }
    }

    /// In one line, with control characters escaped, and without the `secrets` that the program was given.
    pub(super) fn shown(&self, secrets: &[(String, Content)]) -> String {
        let mut bytes = self.bytes.clone();
        for (name, value) in secrets {
            let replacement = format!("[{name}]");
            bytes = replace(&bytes, value.as_bytes(), replacement.as_bytes());
        }
        let start = bytes.len().saturating_sub(SHOWN);
        let lines = bytes[start..].split(|byte| matches!(byte, b'\n' | b'\r'));
        let lines = lines
            .map(<[u8]>::trim_ascii)
            .filter(|line| !line.is_empty());
        lines
            .map(|line| Name::new(line).to_string())
            .collect::<Vec<_>>()
            .join(" / ")
    }
}

fn replace(bytes: &[u8], secret: &[u8], replacement: &[u8]) -> Vec<u8> {
    if secret.len() < SECRET_MIN {
        return bytes.to_vec();
    }
    let mut replaced = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(first) = rest.first() {
        if let Some(after) = rest.strip_prefix(secret) {
            replaced.extend_from_slice(replacement);
            rest = after;
        } else {
            replaced.push(*first);
            rest = &rest[1..];
        }
    }
    replaced
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_are_short_harmless_and_without_secrets() {
        let secrets = [
            ("PASSWORD".to_owned(), Content::new("s3cr3t!".to_owned())),
            ("SHORT".to_owned(), Content::new("a".to_owned())),
        ];
        let mut words = Words::default();
        words.add(b"first\r\n\n  login with s3cr3t! failed\x1b[2J\n");
        assert_eq!(
            words.shown(&secrets),
            "first / login with [PASSWORD] failed\\x1b[2J"
        );
        for _ in 0..10_000 {
            words.add(b"s3cr3t! xxxxxxxx ");
        }
        let shown = words.shown(&secrets);
        assert!(
            shown.len() <= SHOWN && !shown.contains("s3cr3t!"),
            "{shown}"
        );
        assert!(words.bytes.len() <= 2 * REMEMBERED + 17);
        assert_eq!(Words::default().shown(&secrets), "");
    }
}

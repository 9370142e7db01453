//! Whether a key pair is whole.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use der::Decode as _;
use der::asn1::AnyRef;
use zeroize::Zeroizing;

const BEGIN: &str = "-----BEGIN ";

/// What a value was found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Whole PEM with a private key in it.
    Pem,
    /// Something else, which cannot be judged.
    Unknown,
}

/// Judges a key pair: PEM, also as base64 of that or with its line ends written as `\n`. One clause if it is broken.
///
/// The vendor says nowhere what its value looks like. Therefore only what begins as PEM is held to what PEM promises.
pub(crate) fn judge(value: &[u8]) -> Result<Form, &'static str> {
    let value = value.trim_ascii();
    if value.is_empty() {
        return Err("is empty");
    }
    if let Some(text) = pem_text(value) {
        let judged = judge_pem(&text).or_else(|why| judge_pem(&lines(&text)).map_err(|_| why));
        return judged.map(|()| Form::Pem);
    }
    let packed: Vec<u8> = value
        .iter()
        .copied()
        .filter(|b| !b.is_ascii_whitespace())
        .collect();
    let packed = Zeroizing::new(packed);
    let unpacked = STANDARD.decode(&*packed).map(Zeroizing::new);
    match unpacked.ok().as_deref().and_then(|value| pem_text(value)) {
        Some(text) => judge_pem(&text).map(|()| Form::Pem),
        None => Ok(Form::Unknown),
    }
}

/// With line ends where they were written in one line.
fn pem_text(value: &[u8]) -> Option<Zeroizing<String>> {
    let text = std::str::from_utf8(value).ok()?;
    text.contains(BEGIN).then(|| {
        let text = text.replace("\\r", "\r").replace("\\n", "\n");
        Zeroizing::new(text)
    })
}

/// With line ends where somebody has put blanks.
fn lines(text: &str) -> Zeroizing<String> {
    let part = |part: &str| {
        if part.starts_with("BEGIN ") || part.starts_with("END ") {
            part.to_owned()
        } else {
            part.replace(' ', "\n")
        }
    };
    let parts: Vec<String> = text.split("-----").map(part).collect();
    Zeroizing::new(parts.join("-----"))
}

fn judge_pem(text: &str) -> Result<(), &'static str> {
    const DAMAGED: &str = "begins as PEM and does not end as it: it is cut short or damaged";
    let sections = pem::parse_many(text).map_err(|_| DAMAGED)?;
    if sections.len() != text.matches(BEGIN).count() {
        return Err(DAMAGED);
    }
    let mut private = false;
    for section in sections {
        let tag = section.tag().to_owned();
        private |= tag.ends_with("PRIVATE KEY");
        let headers = section.headers().iter().next().is_some();
        let contents = Zeroizing::new(section.into_contents());
        // Encrypted in the old way, or in OpenSSH's own form, it is no DER.
        let is_der = !headers && !tag.starts_with("OPENSSH");
        if contents.is_empty() || is_der && AnyRef::from_der(&contents).is_err() {
            return Err(DAMAGED);
        }
    }
    if private {
        Ok(())
    } else {
        Err("holds no private key")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAIR: &str = include_str!("../testdata/pair.pem");

    #[test]
    fn a_pair_is_known_in_every_wrapping() {
        for whole in [
            PAIR.to_owned(),
            PAIR.replace('\n', "\\n"),
            PAIR.replace('\n', "\r\n"),
            PAIR.replace('\n', " "),
            STANDARD.encode(PAIR),
            format!("\n{PAIR}\n\n"),
        ] {
            assert_eq!(judge(whole.as_bytes()), Ok(Form::Pem), "{}", whole.len());
        }
        for other in [&b"c2VjcmV0"[..], b"\xff\x00", b"{\"kty\":\"RSA\"}"] {
            assert_eq!(judge(other), Ok(Form::Unknown));
        }
    }

    #[test]
    fn a_broken_pair_is_refused() {
        let private = PAIR.find("-----BEGIN PUBLIC").expect("it has two parts");
        for (broken, why) in [
            ("", "is empty"),
            (" \n", "is empty"),
            (&PAIR[..PAIR.len() - 30], "damaged"),
            (&PAIR[..100], "damaged"),
            (&PAIR[private..], "no private key"),
            (&PAIR.replacen("MC4", "MD4", 1), "damaged"),
            (
                "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----",
                "damaged",
            ),
        ] {
            let found = judge(broken.as_bytes()).expect_err(why);
            assert!(found.contains(why), "{found}");
        }
    }
}

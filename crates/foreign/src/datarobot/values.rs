//! What a new installation must be told so that it opens what the old one left: a fragment of its `values.yaml`.

use std::fmt::Write as _;

use archive::Name;
use serde_json::Value;
use zeroize::Zeroizing;

use super::CREDENTIALS;
use super::gathering::Installation;
use crate::Error;

/// The fragment.
pub struct Values {
    /// YAML, with the keys in clear.
    pub yaml: Zeroizing<String>,
    /// Sentences about what is not as it may have been meant.
    pub notes: Vec<String>,
}

/// The values of an installation. Texts are in quotes, as JSON has them: byte for byte what was captured.
pub fn values(installation: &Installation) -> Result<Values, Error> {
    let mut yaml = Zeroizing::new(String::from("core:\n  services:\n    core:\n"));
    for (key, value) in installation.keys()? {
        let text = std::str::from_utf8(value).map_err(|_| {
            let namespace = &installation.namespace;
            let what = format!("secrets/{namespace}/{CREDENTIALS} {key}");
            Error::Wrong {
                what: Name::from(what.as_str()),
                why: "is not text, so values of helm cannot hold it",
            }
        })?;
        let quoted = Zeroizing::new(quoted(text));
        let _ = writeln!(yaml, "      {key}: {}", quoted.as_str());
    }
    let (certificates, notes) = installation.certificates()?;
    if !certificates.is_empty() {
        yaml.push_str("globals:\n  certs:\n");
    }
    for certificate in certificates {
        let (secret, path) = (quoted(&certificate.secret), quoted(&certificate.path));
        let _ = writeln!(yaml, "    - secret: {secret}\n      path: {path}");
    }
    Ok(Values { yaml, notes })
}

fn quoted(text: &str) -> String {
    let json = Value::from(text).to_string();
    // Which JSON may have as they are, and YAML must not.
    let mut quoted = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '\u{7f}'..='\u{9f}'
            | '\u{feff}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{fffe}'
            | '\u{ffff}' => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted
}

//! What servers and the libraries under us say, made fit for a sentence of ours.

use std::error::Error as StdError;

use archive::Name;

/// A server's own words are cut to this many bytes.
const WORDS_MAX: usize = 200;

/// Somebody else's words, fit for a terminal and not too many.
pub(crate) fn words(text: &str) -> Name {
    let mut end = text.len().min(WORDS_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Name::from(text[..end].trim())
}

/// The cause of all causes.
pub(crate) fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut error = error;
    while let Some(cause) = error.source() {
        error = cause;
    }
    error.to_string()
}

/// The TLS library speaks in the names of its types; these are the cases that operators meet.
pub(crate) fn tls(cause: &str) -> Option<&'static str> {
    let said = |texts: &[&str]| texts.iter().any(|text| cause.contains(text));
    if said(&["UnknownIssuer", "BadSignature"]) {
        Some("shows a certificate that the configured ca did not sign")
    } else if said(&["not valid for name", "NotValidForName"]) {
        Some("shows a certificate for another name: use that name, or set the server name")
    } else if said(&[
        "certificate expired",
        "Expired",
        "NotValidYet",
        "not valid yet",
    ]) {
        Some("shows a certificate that is expired or not valid yet")
    } else if said(&["CertificateRequired", "certificate required"]) {
        Some("asks for a client certificate: configure one")
    } else if said(&["received fatal alert"]) {
        Some("refuses our client certificate, or has no version of TLS in common with us")
    } else if said(&["CaUsedAsEndEntity"]) {
        Some("shows an authority's certificate as its own: it needs one that the authority signed")
    } else if said(&["invalid peer certificate"]) {
        Some("shows a certificate that cannot be trusted")
    } else if said(&["InvalidContentType", "corrupt message"]) {
        Some("does not speak TLS as we expect it: check that it is an https endpoint")
    } else {
        None
    }
}

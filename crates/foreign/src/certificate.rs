//! When certificates end.

use der::asn1::{AnyRef, GeneralizedTime, UtcTime};
use der::{DateTime, Decode as _, Reader, SliceReader, Tag, Tagged as _};

/// What PEM calls a certificate.
const LABELS: [&str; 3] = ["CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"];

/// When the first of the certificates in `value` ends, PEM or DER; `None` if nothing in it can be read as one.
pub(crate) fn ending(value: &[u8]) -> Option<DateTime> {
    if value.first() == Some(&u8::from(Tag::Sequence)) {
        return not_after(value).ok();
    }
    let sections = pem::parse_many(value).ok()?;
    let certificates = sections.iter().filter(|it| LABELS.contains(&it.tag()));
    let endings = certificates.map(|certificate| not_after(certificate.contents()).ok());
    endings
        .collect::<Option<Vec<DateTime>>>()?
        .into_iter()
        .min()
}

/// RFC 5280, 4.1: what stands before the validity is passed over.
fn not_after(certificate: &[u8]) -> der::Result<DateTime> {
    SliceReader::new(certificate)?.sequence(|certificate| {
        let ending = certificate.sequence(|signed| {
            // The version, which may be left out, and then the serial number.
            if AnyRef::decode(signed)?.tag().is_context_specific() {
                AnyRef::decode(signed)?;
            }
            let (_algorithm, _issuer) = (AnyRef::decode(signed)?, AnyRef::decode(signed)?);
            let ending = signed.sequence(|validity| {
                AnyRef::decode(validity)?;
                time(validity)
            })?;
            pass_over(signed)?;
            Ok(ending)
        })?;
        pass_over(certificate)?;
        Ok(ending)
    })
}

fn time<'r>(reader: &mut impl Reader<'r>) -> der::Result<DateTime> {
    match reader.peek_tag()? {
        Tag::UtcTime => Ok(UtcTime::decode(reader)?.to_date_time()),
        Tag::GeneralizedTime => Ok(GeneralizedTime::decode(reader)?.to_date_time()),
        other => Err(other.value_error()),
    }
}

fn pass_over<'r>(reader: &mut impl Reader<'r>) -> der::Result<()> {
    while !reader.is_finished() {
        AnyRef::decode(reader)?;
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Made by openssl, with the years of RFC 5280's two forms.
    pub(crate) const UNTIL_2030: &str = include_str!("../testdata/until-2030.pem");
    pub(crate) const UNTIL_2060: &str = include_str!("../testdata/until-2060.pem");

    fn shown(value: &[u8]) -> Option<String> {
        ending(value).map(|ending| ending.to_string())
    }

    #[test]
    fn the_first_to_end_counts() {
        let both = format!("{UNTIL_2060}\nsome words\n{UNTIL_2030}");
        assert_eq!(
            shown(UNTIL_2060.as_bytes()).as_deref(),
            Some("2060-01-02T03:04:05Z")
        );
        assert_eq!(
            shown(both.as_bytes()).as_deref(),
            Some("2030-01-02T03:04:05Z")
        );
        let der = pem::parse(UNTIL_2030).expect("PEM");
        assert_eq!(shown(der.contents()), shown(both.as_bytes()));
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        let der = pem::parse(UNTIL_2030).expect("PEM").into_contents();
        for length in 0..der.len() {
            assert_eq!(shown(&der[..length]), None, "{length}");
        }
        let key = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";
        for other in [&b""[..], b"0", b"\x30\x80", b"text", key.as_bytes()] {
            assert_eq!(shown(other), None);
        }
        let cut = &UNTIL_2030[..UNTIL_2030.len() / 2];
        assert_eq!(shown(cut.as_bytes()), None);
    }
}

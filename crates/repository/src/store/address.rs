use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use object_store::path::Path;

/// Where a repository is, as its user writes it: `PATH`, `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX`, `az://CONTAINER/PREFIX`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A directory of this host.
    Directory(PathBuf),
    /// A part of a bucket.
    Bucket(Bucket),
}

/// A part of a bucket: what lies below a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Who keeps it.
    pub service: Service,
    /// Its name; Azure's word for it is container.
    pub name: String,
    /// Without slashes at its ends; empty for the whole bucket.
    pub prefix: Path,
}

/// Whose API is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// S3: Amazon's, and everybody else's.
    S3,
    /// Google Cloud Storage.
    Gs,
    /// Azure Blob Storage.
    Az,
}

/// Why a text is no address. The text may hold a key, so it is not repeated.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AddressError {
    /// Nothing to write to.
    #[error("the address is empty")]
    Empty,
    /// `ftp://`.
    #[error("{0}:// is no place for a repository: it is a path, s3://, gs:// or az://")]
    Scheme(String),
    /// What stands where the bucket must stand is none.
    #[error("the address names no bucket: write {0}://BUCKET or {0}://BUCKET/PREFIX")]
    Bucket(&'static str),
    /// `s3://KEY:SECRET@BUCKET`.
    #[error(
        "an address holds no keys: they stand in the configuration by reference, or in the environment"
    )]
    Keys,
    /// `a//b`, `a/../b`, `a?b`.
    #[error("the prefix of the address must consist of plain names between single slashes")]
    Prefix,
}

impl Service {
    /// As an address starts.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Gs => "gs",
            Self::Az => "az",
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let Some((scheme, rest)) = text.split_once("://") else {
            if text.is_empty() {
                return Err(AddressError::Empty);
            }
            return Ok(Self::Directory(PathBuf::from(text)));
        };
        let service = [Service::S3, Service::Gs, Service::Az]
            .into_iter()
            .find(|service| service.scheme() == scheme)
            .ok_or_else(|| AddressError::Scheme(scheme.chars().take(16).collect()))?;
        let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if name.contains('@') {
            return Err(AddressError::Keys);
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if name.is_empty() || !name.chars().all(plain) {
            return Err(AddressError::Bucket(service.scheme()));
        }
        let prefix = prefix.trim_end_matches('/');
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-/=+@".contains(c);
        if !prefix.chars().all(plain) {
            return Err(AddressError::Prefix);
        }
        Ok(Self::Bucket(Bucket {
            service,
            name: name.to_owned(),
            // Refuses empty names, `.` and `..`.
            prefix: Path::parse(prefix).map_err(|_| AddressError::Prefix)?,
        }))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => path.display().fmt(f),
            Self::Bucket(bucket) => bucket.fmt(f),
        }
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.service.scheme(), self.name)?;
        if !self.prefix.as_ref().is_empty() {
            write!(f, "/{}", self.prefix)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_they_are_written() {
        for text in [
            "/var/repo",
            "repo",
            "C:\\repo",
            "s3://b",
            "s3://b/p",
            "gs://b-1/a/b_2",
            "az://c.d/x=1",
        ] {
            assert_eq!(text.parse::<Address>().expect(text).to_string(), text);
        }
        let trailing = "s3://b/p/".parse::<Address>().expect("an address");
        assert_eq!(trailing.to_string(), "s3://b/p");
    }

    #[test]
    fn what_is_no_address_is_refused_and_not_repeated() {
        let error = |text: &str| text.parse::<Address>().expect_err(text);
        assert_eq!(error(""), AddressError::Empty);
        assert_eq!(error("ftp://b"), AddressError::Scheme("ftp".to_owned()));
        assert_eq!(error("s3://"), AddressError::Bucket("s3"));
        assert_eq!(error("gs:///p"), AddressError::Bucket("gs"));
        assert_eq!(error("s3://key:secret@b/p"), AddressError::Keys);
        for prefix in [
            "a//b",
            "a/../b",
            "./a",
            "a b",
            "a?sig=secret",
            "a%2f",
            "\u{e9}",
            "a\nb",
        ] {
            let error = error(&format!("az://c/{prefix}"));
            assert_eq!(error, AddressError::Prefix, "{prefix}");
            assert!(!error.to_string().contains(prefix));
        }
    }
}

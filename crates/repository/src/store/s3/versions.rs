use std::fmt::Write as _;

use bytes::Bytes;
use object_store::path::Path;
use serde::Deserialize;

use super::requests::Requests;
use crate::store::answer::encoded;
use crate::store::failure::{StoreFailure, StoreFailureKind};
use crate::store::history::{History, VERSIONS_MAX};

impl Requests {
    /// The versions of all objects below `folder`. What says that an object was deleted is none.
    pub(in crate::store) async fn versions(&self, folder: &Path) -> Result<History, StoreFailure> {
        let root = &self.prefix;
        let full: Path = root.parts().chain(folder.parts()).collect();
        let prefix = &format!("{full}/");
        let mut versions = History::new();
        let (mut count, mut after) = (0, None);
        loop {
            let page = self.page(prefix, after.as_ref()).await?;
            for entry in page.entries {
                if let Entry::Version(listed) = entry {
                    count += 1;
                    let key = Path::from(listed.key);
                    let Some(name) = key.prefix_match(root).map(Path::from_iter) else {
                        continue;
                    };
                    let known = versions.entry(name.to_string()).or_default();
                    known.push(listed.version_id);
                }
            }
            if count > VERSIONS_MAX {
                let message = format!("there are more than {VERSIONS_MAX} versions below {prefix}");
                return Err(StoreFailure::new(StoreFailureKind::Other, message));
            }
            after = page
                .next_key_marker
                .map(|key| (key, page.next_version_id_marker));
            if after.is_none() || page.is_truncated.as_deref() != Some("true") {
                return Ok(versions);
            }
        }
    }

    async fn page(
        &self,
        prefix: &str,
        after: Option<&(String, Option<String>)>,
    ) -> Result<Page, StoreFailure> {
        let mut query = String::new();
        if let Some((key, _)) = after {
            let _ = write!(query, "key-marker={}&", encoded(key));
        }
        let _ = write!(query, "prefix={}", encoded(prefix));
        if let Some((_, Some(version))) = after {
            let _ = write!(query, "&version-id-marker={}", encoded(version));
        }
        query.push_str("&versions=");
        parse(&self.get(&query).await?)
    }
}

fn parse(document: &Bytes) -> Result<Page, StoreFailure> {
    quick_xml::de::from_reader(document.as_ref()).map_err(|_| {
        let message = "its list of versions is not as S3 has it";
        StoreFailure::new(StoreFailureKind::Other, message)
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    is_truncated: Option<String>,
    next_key_marker: Option<String>,
    next_version_id_marker: Option<String>,
    /// In the order of the document: versions and delete markers take turns.
    #[serde(rename = "$value", default)]
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
enum Entry {
    Version(Listed),
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    key: String,
    version_id: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_servers_write_them() {
        let version = |key: &str, id: &str| {
            format!(
                "<Version><ETag>&quot;x&quot;</ETag><IsLatest>true</IsLatest><Key>{key}</Key><LastModified>2026-11-26T15:00:00Z</LastModified>\
                 <Owner><ID>o</ID></Owner><Size>3</Size><StorageClass>STANDARD</StorageClass><VersionId>{id}</VersionId></Version>"
            )
        };
        let marker = version("b", "4").replace("Version>", "DeleteMarker>");
        let marker = marker
            .replace("DeleteMarkerId", "VersionId")
            .replace("<VersionId>4</DeleteMarker>", "<VersionId>4</VersionId>");
        let text = format!(
            "<?xml version=\"1.0\"?><ListVersionsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>bucket</Name>\
             <Prefix>a</Prefix><KeyMarker></KeyMarker><MaxKeys>1000</MaxKeys><IsTruncated>true</IsTruncated><NextKeyMarker>b</NextKeyMarker>\
             <NextVersionIdMarker>4</NextVersionIdMarker>{}{}{}</ListVersionsResult>",
            version("a &amp; b", "2"),
            version("a &amp; b", "1"),
            marker
        );
        let page = parse(&Bytes::from(text)).expect("a list");
        assert_eq!(page.is_truncated.as_deref(), Some("true"));
        assert_eq!(page.next_key_marker.as_deref(), Some("b"));
        assert_eq!(page.next_version_id_marker.as_deref(), Some("4"));
        let listed: Vec<_> = page
            .entries
            .iter()
            .filter_map(|entry| match entry {
                Entry::Version(it) => Some((it.key.as_str(), it.version_id.as_str())),
                Entry::Other => None,
            })
            .collect();
        assert_eq!(listed, [("a & b", "2"), ("a & b", "1")]);
        assert!(parse(&Bytes::from_static(b"<Error>")).is_err());
        assert_eq!(encoded("a/b c+\u{fc}~"), "a%2Fb%20c%2B%C3%BC~");
    }
}

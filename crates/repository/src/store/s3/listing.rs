use bytes::Bytes;
use serde::Deserialize;

use super::requests::Requests;
use crate::store::answer::encoded;
use crate::store::failure::{StoreFailure, StoreFailureKind};

/// So many names are asked for at a time, each of 1,024 bytes at most.
const PAGE: usize = 500;
/// No tool that is read here keeps so many objects.
const NAMES_MAX: usize = 1_000_000;
const PAGES_MAX: usize = 10_000;

impl Requests {
    /// The names and lengths of all objects whose names start with `start` and have no slash behind it.
    ///
    /// object_store lists folders, and a name there must be a path; these are exactly the names that are asked for.
    pub(in crate::store) async fn list(
        &self,
        start: &str,
    ) -> Result<Vec<(String, u64)>, StoreFailure> {
        let asked = format!(
            "list-type=2&delimiter=%2F&max-keys={PAGE}&prefix={}",
            encoded(start)
        );
        let mut found = Vec::new();
        let mut query = asked.clone();
        for _ in 0..PAGES_MAX {
            let page = parse(&self.get(&query).await?)?;
            let objects = page.contents.into_iter();
            found.extend(objects.map(|object| (object.key, object.size)));
            let next = page.next_continuation_token;
            let Some(next) = next.filter(|_| page.is_truncated == Some(true)) else {
                return Ok(found);
            };
            if found.len() > NAMES_MAX {
                break;
            }
            query = format!("{asked}&continuation-token={}", encoded(&next));
        }
        let message = "it has more objects of that name than can be looked through";
        Err(StoreFailure::new(StoreFailureKind::Other, message))
    }
}

fn parse(document: &Bytes) -> Result<Page, StoreFailure> {
    quick_xml::de::from_reader(document.as_ref()).map_err(|_| {
        let message = "its list of objects is not as S3 has it";
        StoreFailure::new(StoreFailureKind::Other, message)
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    is_truncated: Option<bool>,
    next_continuation_token: Option<String>,
    #[serde(default)]
    contents: Vec<Object>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Object {
    key: String,
    size: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_servers_write_them() {
        let list = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">\
            <Name>b</Name><Prefix>a-</Prefix><KeyCount>2</KeyCount><MaxKeys>500</MaxKeys><Delimiter>/</Delimiter>\
            <IsTruncated>true</IsTruncated><NextContinuationToken>t/=</NextContinuationToken>\
            <Contents><Key>a-&amp;1</Key><LastModified>2026-11-26T00:00:00Z</LastModified><ETag>\"e\"</ETag><Size>72</Size></Contents>\
            <Contents><Key>a-2</Key><Size>0</Size><StorageClass>STANDARD</StorageClass></Contents>\
            <CommonPrefixes><Prefix>a-x/</Prefix></CommonPrefixes></ListBucketResult>";
        let page = parse(&Bytes::from_static(list.as_bytes())).expect("a list");
        let found: Vec<_> = page.contents.iter().map(|it| (&*it.key, it.size)).collect();
        assert_eq!(found, [("a-&1", 72), ("a-2", 0)]);
        assert_eq!(page.next_continuation_token.as_deref(), Some("t/="));

        let empty = "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>";
        let page = parse(&Bytes::from_static(empty.as_bytes())).expect("a list");
        assert!(page.contents.is_empty());
        assert!(parse(&Bytes::from_static(b"<html>")).is_err());
    }

    #[test]
    fn a_query_says_what_is_meant() {
        assert_eq!(encoded("a/b c+\u{e9}~"), "a%2Fb%20c%2B%C3%A9~");
    }
}

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Method, Request};
use object_store::client::HttpClient;
use object_store::gcp::GcpCredentialProvider;
use object_store::path::Path;
use serde::Deserialize;

use super::answer::{answer, encoded, patiently};
use super::failure::{StoreFailure, StoreFailureKind};
use super::history::{History, VERSIONS_MAX};
use super::http::Timing;
use super::remote::Patience;

/// What messages call it.
const STORE: &str = "GCS";
/// An object of a page says more of itself than its name.
const PAGE: usize = 400;

/// Asks Google Cloud Storage for the generations of objects, which object_store has no words for, by the JSON API and with the same
/// credentials.
pub(super) struct Generations {
    pub(super) client: HttpClient,
    pub(super) keys: GcpCredentialProvider,
    /// The address of the service, without a slash at its end.
    pub(super) service: String,
    pub(super) bucket: String,
    /// What the repository's names start with.
    pub(super) prefix: Path,
    pub(super) timing: Timing,
    pub(super) patience: Patience,
}

impl Generations {
    /// The generations of all objects below `folder`, those that were deleted among them.
    pub(super) async fn below(&self, folder: &Path) -> Result<History, StoreFailure> {
        let full: Path = self.prefix.parts().chain(folder.parts()).collect();
        let prefix = format!("{full}/");
        let mut found: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        let (mut count, mut after) = (0, None);
        loop {
            let page = self.page(&prefix, after.as_deref()).await?;
            for listed in page.items {
                count += 1;
                let name = Path::from(listed.name);
                let name = name.prefix_match(&self.prefix).map(Path::from_iter);
                if let (Some(name), Ok(generation)) = (name, listed.generation.parse()) {
                    found.entry(name.to_string()).or_default().push(generation);
                }
            }
            if count > VERSIONS_MAX {
                let message = format!("there are more than {VERSIONS_MAX} versions below {prefix}");
                return Err(StoreFailure::new(StoreFailureKind::Other, message));
            }
            after = page.next_page_token;
            if after.is_none() {
                break;
            }
        }
        // A later generation has a higher number.
        let newest_first = |mut all: Vec<u64>| {
            all.sort_unstable_by(|a, b| b.cmp(a));
            all.iter().map(u64::to_string).collect()
        };
        let history = found.into_iter();
        Ok(history
            .map(|(name, all)| (name, newest_first(all)))
            .collect())
    }

    /// How many generations of one object there are.
    pub(super) async fn of(&self, object: &Path) -> Result<usize, StoreFailure> {
        let full: Path = self.prefix.parts().chain(object.parts()).collect();
        let page = self.page(full.as_ref(), None).await?;
        let own = page.items.iter().filter(|it| it.name == full.as_ref());
        Ok(own.count())
    }

    async fn page(&self, prefix: &str, after: Option<&str>) -> Result<Page, StoreFailure> {
        let mut address = format!(
            "{}/storage/v1/b/{}/o?versions=true&maxResults={PAGE}&fields=items(name,generation),nextPageToken&prefix={}",
            self.service,
            encoded(&self.bucket),
            encoded(prefix)
        );
        if let Some(after) = after {
            address += "&pageToken=";
            address += &encoded(after);
        }
        let ask = async || {
            let mut request = Request::builder().method(Method::GET).uri(&address);
            let key = self.keys.get_credential().await?;
            // A service without accounts, as a fake is, wants none.
            if !key.bearer.is_empty() {
                request = request.header(AUTHORIZATION, format!("Bearer {}", key.bearer));
            }
            let request = request
                .body(Bytes::new().into())
                .map_err(|error| StoreFailure::new(StoreFailureKind::Other, error.to_string()))?;
            answer(STORE, &self.client, request).await
        };
        parse(&patiently(STORE, &self.timing, &self.patience, ask).await?)
    }
}

fn parse(document: &Bytes) -> Result<Page, StoreFailure> {
    serde_json::from_slice(document).map_err(|_| {
        let message = "its list of versions is not as Google Cloud Storage has it";
        StoreFailure::new(StoreFailureKind::Other, message)
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    #[serde(default)]
    items: Vec<Listed>,
    next_page_token: Option<String>,
}

#[derive(Deserialize)]
struct Listed {
    name: String,
    generation: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_read_as_the_service_writes_them() {
        let text = r#"{"kind":"storage#objects","nextPageToken":"t=","items":[{"name":"a b","generation":"1795708504123456","size":"3"}]}"#;
        let page = parse(&Bytes::from_static(text.as_bytes())).expect("a page");
        assert_eq!(page.next_page_token.as_deref(), Some("t="));
        assert_eq!(page.items[0].name, "a b");
        assert_eq!(page.items[0].generation, "1795708504123456");
        let last = parse(&Bytes::from_static(b"{}")).expect("a page");
        assert!(last.items.is_empty() && last.next_page_token.is_none());
        assert!(parse(&Bytes::from_static(b"<html>")).is_err());
    }
}

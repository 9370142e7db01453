//! Secrets that hold a service account's token. The token is the cluster's to make: the old one names an account by a uid that
//! is gone, and is signed by a key that may be. What is restored is the wish for a token, and the cluster fulfils it.

use archive::Attributes;
use serde_json::Value;

use super::object::{ANNOTATIONS, LABELS, TYPE, attribute, canonical};

const TOKEN: &str = "kubernetes.io/service-account-token";
const ACCOUNT: &str = "kubernetes.io/service-account.name";
const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";
/// The cluster dates them.
const LAST_USED: &str = "kubernetes.io/legacy-token-last-used";
const INVALID_SINCE: &str = "kubernetes.io/legacy-token-invalid-since";

/// Whether a Secret with these attributes holds a service account's token.
pub(super) fn is_token(attributes: &Attributes) -> bool {
    attributes.text(TYPE) == Some(TOKEN)
}

/// Whether the cluster fills this key of it.
pub(super) fn is_filled(key: &[u8]) -> bool {
    [&b"token"[..], b"ca.crt", b"namespace"].contains(&key)
}

/// Its attributes without what the cluster fills in.
pub(super) fn unfilled(attributes: &Attributes) -> Attributes {
    let mut wish = attributes.clone();
    for (name, keys) in [
        (ANNOTATIONS, &[ACCOUNT_UID][..]),
        (LABELS, &[LAST_USED, INVALID_SINCE]),
    ] {
        // What is no JSON differs from everything, and is found so where it is used.
        if let Ok(Value::Object(mut map)) = attribute(attributes, name) {
            map.retain(|key, _| !keys.contains(&key.as_str()));
            wish.set(name, canonical(&Value::Object(map)));
        }
    }
    wish
}

/// The account that it is for.
pub(super) fn account(attributes: &Attributes) -> Option<String> {
    let annotations = attribute(attributes, ANNOTATIONS).unwrap_or_default();
    annotations[ACCOUNT].as_str().map(str::to_owned)
}

/// Whether it is one that clusters before 1.24 made for every account without being asked; those after it do not want it back,
/// and those before make their own.
pub(super) fn is_automatic(name: &str, attributes: &Attributes) -> bool {
    let Some(account) = account(attributes) else {
        return false;
    };
    let rest = name
        .strip_prefix(account.as_str())
        .and_then(|rest| rest.strip_prefix("-token-"));
    let random = |rest: &str| rest.len() == 5 && rest.bytes().all(|b| b.is_ascii_alphanumeric());
    is_token(attributes) && rest.is_some_and(random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_told_apart() {
        let attributes = Attributes::from_iter([
            (TYPE, TOKEN.to_owned()),
            (
                ANNOTATIONS,
                format!(r#"{{"{ACCOUNT}":"robot","{ACCOUNT_UID}":"1","z":"2"}}"#),
            ),
        ]);
        assert!(is_automatic("robot-token-x7k2p", &attributes));
        assert!(!is_automatic("robot-token", &attributes));
        assert!(!is_automatic("other-token-x7k2p", &attributes));
        let unfilled = unfilled(&attributes);
        let expected = format!(r#"{{"{ACCOUNT}":"robot","z":"2"}}"#);
        assert_eq!(unfilled.text(ANNOTATIONS), Some(expected.as_str()));
    }
}

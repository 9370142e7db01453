/// What a Kubernetes API server remembers its last compaction by; all its other keys have its prefix.
const COMPACTION: &[u8] = b"compact_rev_key";

/// Which keys are a Kubernetes API server's.
#[derive(Clone)]
pub struct ApiServer {
    /// With one slash at its end.
    prefix: Vec<u8>,
}

impl ApiServer {
    /// One that was told `prefix` by `--etcd-prefix`.
    pub fn new(prefix: &str) -> Self {
        Self {
            prefix: format!("{}/", prefix.trim_end_matches('/')).into_bytes(),
        }
    }

    /// Whether `key` is one of its keys. Whoever writes one goes past the server.
    pub fn owns(&self, key: &[u8]) -> bool {
        key.starts_with(&self.prefix) || key == COMPACTION
    }

    /// How nearly all of its keys begin.
    pub(super) fn prefix(&self) -> &[u8] {
        &self.prefix
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_keys_are_those_below_its_prefix_and_one_more() {
        for prefix in ["/registry", "/registry/"] {
            let server = ApiServer::new(prefix);
            for key in ["/registry/pods/shop/web", "/registry/", "compact_rev_key"] {
                assert!(server.owns(key.as_bytes()), "{key}");
            }
            for key in [
                "/registry",
                "/registry2/a",
                "registry/a",
                "compact_rev_key2",
            ] {
                assert!(!server.owns(key.as_bytes()), "{key}");
            }
        }
    }
}

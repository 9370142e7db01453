//! Files of manifests, as `import` reads them and `export` writes them.

use std::path::Path;

use strongroom::manifests as understood;

/// Any bytes are manifests or give one line that says why not; and what is exported of them is taken again, and the same.
pub fn manifests(bytes: &[u8]) {
    match understood(Path::new("/tmp/all.yaml"), bytes.to_vec()) {
        Ok(first) => {
            if first.is_empty() {
                return;
            }
            let again = understood(Path::new("/tmp/again.yaml"), first.concat().into_bytes());
            let again =
                again.unwrap_or_else(|error| panic!("what is exported is refused: {error}"));
            assert_eq!(again, first);
        }
        Err(sentence) => assert_eq!(sentence.lines().count(), 1, "{sentence}"),
    }
}

use archive::Entry;
use zeroize::Zeroizing;

use super::id::Id;
use super::manifest::Manifest;
use super::resource::Resource;
use super::settings::Wishes;
use super::yaml::document;
use crate::{Error, ErrorKind, RestoreOptions};

/// The object that `entry` holds, as a YAML document that `kubectl apply` and `kubectl create` take. It shows its values to
/// whoever reads it.
///
/// Owner references are left out: they name their owners by uids, which another cluster does not have, and its garbage
/// collector would delete the object.
pub fn manifest(entry: &Entry, content: &[u8]) -> Result<Zeroizing<String>, Error> {
    let settings = [("owners".to_owned(), "drop".to_owned())];
    let wishes = Wishes::read(&RestoreOptions {
        settings: settings.into(),
        ..RestoreOptions::default()
    })?;
    let wrong = |reason: String| {
        let message = format!("{} cannot be made a manifest: {reason}", entry.name);
        Error::new(ErrorKind::Invalid, message)
    };
    let id = Id::parse(&entry.name).map_err(|reason| wrong(reason.to_owned()))?;
    let resource = Resource::of_entry(&id);
    let manifest = Manifest::new(entry, content, id, resource, &wishes).map_err(wrong)?;
    let json = Zeroizing::new(manifest.json(None));
    let value = serde_json::from_slice(&json).map_err(|_| wrong("it is not JSON".to_owned()))?;
    Ok(Zeroizing::new(document(&value)))
}

use archive::{Body, Entry};

use super::path::{Folders, components};
use super::properties::{Kind, Properties};
use crate::{Contents, Error, Finding};

/// Judges a captured archive of files without looking at any live one.
pub(super) async fn check(contents: &mut dyn Contents) -> Result<Vec<Finding>, Error> {
    let mut findings = Vec::new();
    let mut folders: Folders<bool> = Folders::new();
    while let Some(entry) = contents.next().await? {
        folders.leave(&entry.name);
        let mut length = 0;
        while let Some(content) = contents.data().await? {
            length += content.len() as u64;
        }
        let message = match Properties::parse(&entry) {
            Err(reason) => Some(reason),
            Ok(properties) => {
                let message = judge(&entry, length, folders.around(&entry.name));
                folders.enter(&entry.name, properties.kind == Kind::Directory);
                message
            }
        };
        findings.extend(message.map(|message| Finding {
            bad: true,
            name: entry.name.clone(),
            message: format!("{message}, so it cannot be restored"),
        }));
    }
    Ok(findings)
}

fn judge(entry: &Entry, length: u64, in_folder: Option<&bool>) -> Option<&'static str> {
    if let Err(reason) = components(&entry.name) {
        return Some(reason);
    }
    if matches!(entry.body, Body::Blob { length: promised, .. } if promised != length) {
        return Some("its content is not as long as its entry says");
    }
    (in_folder == Some(&false)).then_some("what it lies in is not a folder in this snapshot")
}

//! What differs between two captures of one entry: keys and properties, never values.

use std::collections::BTreeSet;

use archive::{Body, Digest, Entry, Name};

/// What differs, one word each: `content`, a record's keys, attributes. Empty if nothing does.
pub(crate) fn differences(before: &Entry, after: &Entry) -> Vec<String> {
    let mut what = body_differences(&before.body, &after.body);
    let attributes = before.attributes.iter().chain(after.attributes.iter());
    let names: BTreeSet<&str> = attributes.map(|(name, _)| name).collect();
    let changed = names
        .into_iter()
        .filter(|name| before.attributes.get(name) != after.attributes.get(name));
    what.extend(changed.map(|name| Name::from(name).to_string()));
    what
}

fn body_differences(before: &Body, after: &Body) -> Vec<String> {
    match (before, after) {
        (Body::Record { .. }, Body::Record { .. }) => {
            let (before, after) = (fields(before), fields(after));
            let changed: BTreeSet<&Name> = before
                .symmetric_difference(&after)
                .map(|(key, _)| *key)
                .collect();
            changed.into_iter().map(ToString::to_string).collect()
        }
        _ if before == after => Vec::new(),
        _ => vec!["content".to_owned()],
    }
}

fn fields(body: &Body) -> BTreeSet<(&Name, Digest)> {
    match body {
        Body::Blob { .. } => BTreeSet::new(),
        Body::Record { fields } => fields
            .iter()
            .map(|field| (&field.key, field.digest))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use archive::{Attributes, Field};

    fn entry(body: Body, mode: &str) -> Entry {
        let attributes = Attributes::from_iter([("mode", mode.as_bytes().to_vec())]);
        Entry {
            name: Name::from("x"),
            attributes,
            body,
        }
    }

    fn record(fields: &[(&str, &str)]) -> Body {
        let fields = fields.iter().map(|(key, value)| Field {
            key: Name::from(*key),
            length: value.len() as u64,
            digest: Digest::of(value.as_bytes()),
        });
        Body::Record {
            fields: fields.collect(),
        }
    }

    #[test]
    fn keys_and_properties_are_named_and_values_are_not() {
        let blob = |text: &str| Body::Blob {
            length: text.len() as u64,
            digest: Digest::of(text.as_bytes()),
        };
        let (one, two) = (entry(blob("one"), "600"), entry(blob("two"), "644"));
        assert_eq!(differences(&one, &two), ["content", "mode"]);
        assert!(differences(&one, &one.clone()).is_empty());
        let before = entry(
            record(&[("gone", "1"), ("same", "2"), ("user", "3")]),
            "600",
        );
        let after = entry(record(&[("new", "1"), ("same", "2"), ("user", "4")]), "600");
        assert_eq!(differences(&before, &after), ["gone", "new", "user"]);
        assert_eq!(differences(&before, &one), ["content"]);
    }
}

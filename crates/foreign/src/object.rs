use std::collections::BTreeMap;

use archive::{Attributes, Body, Entry, Header, Name};
use serde_json::Value;
use zeroize::Zeroizing;

/// An object of Kubernetes as it was captured: a Secret or a `ConfigMap` in a namespace.
pub(crate) struct Object {
    pub(crate) entry: Name,
    /// `secrets` or `configmaps`.
    pub(crate) kind: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) attributes: Attributes,
    pub(crate) data: BTreeMap<String, Zeroizing<Vec<u8>>>,
}

impl Object {
    /// What an entry and its whole content are; `None` if that is another kind of thing.
    pub(crate) fn of_entry(entry: &Entry, content: &[u8]) -> Option<Self> {
        let Body::Record { fields } = &entry.body else {
            return None;
        };
        let lengths = fields.iter().map(|field| (&field.key, field.length));
        Self::new(&entry.name, &entry.attributes, lengths, content)
    }

    /// The same of an entry that is on its way into a snapshot.
    pub(crate) fn of_header(header: &Header, content: &[u8]) -> Option<Self> {
        let fields = header.fields.as_ref()?;
        let lengths = fields.iter().map(|field| (&field.key, field.length));
        Self::new(&header.name, &header.attributes, lengths, content)
    }

    fn new<'a>(
        entry: &Name,
        attributes: &Attributes,
        lengths: impl Iterator<Item = (&'a Name, u64)>,
        content: &[u8],
    ) -> Option<Self> {
        let text = std::str::from_utf8(entry.as_bytes()).ok()?;
        let mut parts = text.split('/');
        let (kind, namespace, name) = (parts.next()?, parts.next()?, parts.next()?);
        let mut rest = content;
        let mut data = BTreeMap::new();
        for (key, length) in lengths {
            let (value, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            rest = after;
            data.insert(key.to_string(), Zeroizing::new(value.to_vec()));
        }
        Some(Self {
            entry: entry.clone(),
            kind: kind.to_owned(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            attributes: attributes.clone(),
            data,
        })
    }

    pub(crate) fn labels(&self) -> Value {
        let labels = self.attributes.get("labels");
        labels
            .and_then(|labels| serde_json::from_slice(labels).ok())
            .unwrap_or_default()
    }

    pub(crate) fn is_secret(&self) -> bool {
        self.kind == "secrets"
    }
}

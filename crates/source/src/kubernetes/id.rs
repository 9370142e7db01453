use archive::Name;

use super::resource::Resource;

/// Which object: the name of its entry, taken apart. `KIND/NAMESPACE/NAME`, or `KIND/NAME` outside of namespaces.
///
/// Entries of one kind stand in the order in which the server lists them: that of `NAMESPACE/NAME` as one text, in which
/// `a-b/x` comes before `a/x`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Id {
    /// As [`Resource::key`].
    pub(super) kind: String,
    pub(super) namespace: Option<String>,
    pub(super) name: String,
}

impl Id {
    pub(super) fn new(resource: &Resource, namespace: Option<&str>, name: &str) -> Self {
        Self {
            kind: resource.key(),
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
        }
    }

    /// What an entry's name says; or one clause that says why it names no object.
    pub(super) fn parse(name: &Name) -> Result<Self, &'static str> {
        let text = std::str::from_utf8(name.as_bytes());
        let text = text.map_err(|_| "its name is not UTF-8")?;
        let parts: Vec<&str> = text.split('/').collect();
        // A server would take these for another path.
        if parts.iter().any(|part| ["", ".", ".."].contains(part)) {
            return Err("a part of its name is empty or dots");
        }
        let (kind, namespace, name) = match parts[..] {
            [kind, name] => (kind, None, name),
            [kind, namespace, name] => (kind, Some(namespace), name),
            _ => return Err("its name is not KIND/NAMESPACE/NAME"),
        };
        Ok(Self {
            kind: kind.to_owned(),
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
        })
    }

    /// Whether it is the Namespace object itself.
    pub(super) fn is_namespace(&self) -> bool {
        self.kind == "namespaces" && self.namespace.is_none()
    }

    /// The entry's name.
    pub(super) fn entry(&self) -> Name {
        Name::from(format!("{}/{}", self.kind, self.key()).as_str())
    }

    /// What the server sorts by, within the kind.
    pub(super) fn key(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{namespace}/{}", self.name),
            None => self.name.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart_and_put_together() {
        for good in ["secrets/a/b", "namespaces/a", "certificates.x.io/a/b.c"] {
            let id = Id::parse(&Name::from(good)).expect(good);
            assert_eq!(id.entry(), Name::from(good));
        }
        for bad in [
            "secrets",
            "secrets/a/b/c",
            "secrets//b",
            "/a/b",
            "secrets/../b",
            "secrets/a/.",
        ] {
            assert!(Id::parse(&Name::from(bad)).is_err(), "{bad}");
        }
        assert!(Id::parse(&Name::new(b"secrets/a/\xff")).is_err());
    }
}

//! The lease of a key, among the attributes of its entry.

use archive::Attributes;

use super::database::Lease;

/// The attribute of a key that goes when its lease ends: the lease's number in hexadecimal.
const LEASE: &str = "lease";

/// The seconds for which that lease was granted, if that is known.
const TTL: &str = "lease-ttl";

/// What an entry says of the lease of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attached {
    pub(super) id: i64,
    /// `None`: nobody knows, for it had ended.
    pub(super) ttl: Option<i64>,
}

impl Attached {
    /// `None`: the key has none.
    pub(super) fn of(attributes: &Attributes) -> Option<Self> {
        let id = attributes.text(LEASE)?;
        let id = u64::from_str_radix(id, 16).ok().filter(|id| *id != 0)?;
        let ttl = attributes.text(TTL).and_then(|ttl| ttl.parse().ok());
        Some(Self {
            id: id.cast_signed(),
            ttl: ttl.filter(|ttl| *ttl > 0),
        })
    }

    /// The attributes of a key with lease number `id`, 0 for none.
    pub(super) fn attributes(id: i64, ttl: Option<i64>) -> Attributes {
        let mut attributes = Attributes::default();
        if id != 0 {
            attributes.set(LEASE, format!("{id:x}"));
        }
        if let Some(ttl) = ttl.filter(|_| id != 0) {
            attributes.set(TTL, ttl.to_string());
        }
        attributes
    }

    /// As it can be granted again.
    pub(super) fn lease(self) -> Option<Lease> {
        self.ttl.map(|ttl| Lease { id: self.id, ttl })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_say_what_they_were_made_of() {
        for (id, ttl) in [(0x1f, Some(60)), (-1, Some(1)), (i64::MAX, None)] {
            let attached = Attached::of(&Attached::attributes(id, ttl));
            assert_eq!(attached, Some(Attached { id, ttl }));
        }
        assert_eq!(Attached::of(&Attached::attributes(0, Some(60))), None);
    }
}

use super::key_value::{Field, Fields};

/// The bucket of leases.
pub(super) const BUCKET: &[u8] = b"lease";

/// A lease that was granted, as etcd stores it: `leasepb.Lease{ID=1, TTL=2}`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lease {
    /// Its number.
    pub id: i64,
    /// The seconds for which it was granted, and will be renewed.
    pub ttl: i64,
}

impl Lease {
    /// The lease in this entry of a bucket, if it is one.
    pub fn parse(bucket: &[u8], value: &[u8]) -> Option<Self> {
        if bucket != BUCKET {
            return None;
        }
        let mut lease = Self::default();
        let mut fields = Fields(value);
        while !fields.0.is_empty() {
            match fields.next()? {
                (1, Field::Number(id)) => lease.id = id.cast_signed(),
                (2, Field::Number(ttl)) => lease.ttl = ttl.cast_signed(),
                _ => {}
            }
        }
        (lease.id != 0 && lease.ttl > 0).then_some(lease)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_etcd_stores_of_a_lease_is_read() {
        let lease = Lease { id: 300, ttl: 60 };
        assert_eq!(Lease::parse(b"lease", b"\x08\xac\x02\x10\x3c"), Some(lease));
        let remaining = b"\x08\xac\x02\x10\x3c\x18\x05";
        assert_eq!(Lease::parse(b"lease", remaining), Some(lease));
        for (bucket, value) in [
            (&b"members"[..], &b"\x08\xac\x02\x10\x3c"[..]),
            (b"lease", b""),
            (b"lease", b"\x08\xac\x02"),
            (b"lease", b"\x10\x3c"),
            (b"lease", b"\x08\xac\x02\x10"),
            (b"lease", b"\x0a\xff"),
        ] {
            assert_eq!(Lease::parse(bucket, value), None, "{value:?}");
        }
    }
}

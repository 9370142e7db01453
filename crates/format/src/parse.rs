use archive::{Digest, get_varint};

/// Takes fields off the front of untrusted bytes. Every method is `None` where the bytes end or make no sense.
pub(crate) struct Parse<'a>(pub(crate) &'a [u8]);

impl<'a> Parse<'a> {
    pub(crate) fn varint(&mut self) -> Option<u64> {
        get_varint(&mut self.0)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        u32::try_from(self.varint()?).ok()
    }

    /// The count of a list whose items take at least `each` bytes: what is left must be able to hold them, so that no
    /// count asks for more memory than the input's own size justifies.
    pub(crate) fn count(&mut self, each: usize) -> Option<usize> {
        let count = usize::try_from(self.varint()?).ok()?;
        (count.checked_mul(each)? <= self.0.len()).then_some(count)
    }

    pub(crate) fn list<T>(
        &mut self,
        each: usize,
        mut item: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        let count = self.count(each)?;
        (0..count).map(|_| item(self)).collect()
    }

    pub(crate) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(length)?;
        self.0 = tail;
        Some(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(crate) fn digest(&mut self) -> Option<Digest> {
        self.array().map(Digest)
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.varint()?).ok()?;
        self.take(length)
    }

    pub(crate) fn string(&mut self) -> Option<String> {
        std::str::from_utf8(self.bytes()?).ok().map(str::to_owned)
    }

    pub(crate) fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

/// Appends `bytes` behind its length.
pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    archive::put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

use crate::{
    Attributes, Body, Digest, Entry, Field, NAME_MAX, Name, RECORD_MAX, get_varint, put_varint,
};

const BLOB: u8 = 1;
const RECORD: u8 = 2;

/// Appends the catalog record of `entry`: its length as a varint, then its bytes.
///
/// The caller ([`crate::Writer`]) has checked order and limits.
pub fn encode_entry(entry: &Entry, out: &mut Vec<u8>) {
    let mut record = Vec::with_capacity(128);
    record.push(match entry.body {
        Body::Blob { .. } => BLOB,
        Body::Record { .. } => RECORD,
    });
    put_bytes(&mut record, entry.name.as_bytes());
    put_varint(&mut record, entry.attributes.iter().len() as u64);
    for (name, value) in entry.attributes.iter() {
        put_bytes(&mut record, name.as_bytes());
        put_bytes(&mut record, value);
    }
    match &entry.body {
        Body::Blob { length, digest } => {
            put_varint(&mut record, *length);
            record.extend_from_slice(&digest.0);
        }
        Body::Record { fields } => {
            put_varint(&mut record, fields.len() as u64);
            for field in fields {
                put_bytes(&mut record, field.key.as_bytes());
                put_varint(&mut record, field.length);
                record.extend_from_slice(&field.digest.0);
            }
        }
    }
    put_bytes(out, &record);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Why a catalog's bytes are not a catalog.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// A record longer than [`RECORD_MAX`], or a number that is not one.
    #[error("the catalog has a record whose length is absurd")]
    Length,
    /// The bytes of a record do not follow the grammar, or leave something over.
    #[error("the catalog record after {after:?} is malformed")]
    Malformed {
        /// The last good entry.
        after: Name,
    },
    /// Names must ascend, so that no entry can hide behind another of the same name.
    #[error("the catalog is out of order at {name:?}")]
    Order {
        /// The entry that is out of place.
        name: Name,
    },
    /// The stream ended inside a record.
    #[error("the catalog ends inside a record")]
    Cut,
}

/// Reads entries from a catalog that arrives in pieces, holding at most one record.
#[derive(Default)]
pub struct CatalogReader {
    buffer: Vec<u8>,
    consumed: usize,
    last: Option<Name>,
}

impl CatalogReader {
    /// Takes the next piece of the catalog stream.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.consumed);
        self.consumed = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next entry, or `None` if more bytes are needed. After an error the reader must not be used again.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, CatalogError> {
        let mut rest = &self.buffer[self.consumed..];
        let before = rest.len();
        let Some(length) = get_varint(&mut rest) else {
            return if before >= 10 {
                Err(CatalogError::Length)
            } else {
                Ok(None)
            };
        };
        let length = usize::try_from(length).map_err(|_| CatalogError::Length)?;
        if length > RECORD_MAX {
            return Err(CatalogError::Length);
        }
        let Some(record) = rest.get(..length) else {
            return Ok(None);
        };
        let entry = decode_record(record).ok_or_else(|| CatalogError::Malformed {
            after: self.last.clone().unwrap_or_default(),
        })?;
        if self.last.as_ref().is_some_and(|last| *last >= entry.name) {
            return Err(CatalogError::Order { name: entry.name });
        }
        self.last = Some(entry.name.clone());
        self.consumed += before - rest.len() + length;
        Ok(Some(entry))
    }

    /// To be called when the stream has ended: an error if it ended inside a record.
    pub fn finish(&self) -> Result<(), CatalogError> {
        if self.consumed == self.buffer.len() {
            Ok(())
        } else {
            Err(CatalogError::Cut)
        }
    }
}

fn decode_record(mut input: &[u8]) -> Option<Entry> {
    let kind = take(&mut input, 1)?[0];
    let name = take_name(&mut input)?;
    let attributes = decode_attributes(&mut input)?;
    let body = match kind {
        BLOB => Body::Blob {
            length: get_varint(&mut input)?,
            digest: take_digest(&mut input)?,
        },
        RECORD => Body::Record {
            fields: decode_fields(&mut input)?,
        },
        _ => return None,
    };
    input.is_empty().then_some(Entry {
        name,
        attributes,
        body,
    })
}

fn decode_attributes(input: &mut &[u8]) -> Option<Attributes> {
    let count = get_varint(input)?;
    let mut attributes = Attributes::default();
    let mut last: Option<String> = None;
    for _ in 0..count {
        let name = std::str::from_utf8(take_bytes(input)?).ok()?.to_owned();
        if last.as_ref().is_some_and(|last| *last >= name) {
            return None;
        }
        attributes.set(name.clone(), take_bytes(input)?);
        last = Some(name);
    }
    Some(attributes)
}

fn decode_fields(input: &mut &[u8]) -> Option<Vec<Field>> {
    let count = get_varint(input)?;
    let mut fields: Vec<Field> = Vec::new();
    let mut total = 0_u64;
    for _ in 0..count {
        let key = take_name(input)?;
        if fields.last().is_some_and(|last| last.key >= key) {
            return None;
        }
        let length = get_varint(input)?;
        total = total.checked_add(length)?;
        fields.push(Field {
            key,
            length,
            digest: take_digest(input)?,
        });
    }
    Some(fields)
}

fn take<'a>(input: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (head, tail) = input.split_at_checked(length)?;
    *input = tail;
    Some(head)
}

fn take_bytes<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(get_varint(input)?).ok()?;
    take(input, length)
}

fn take_name(input: &mut &[u8]) -> Option<Name> {
    let bytes = take_bytes(input)?;
    (bytes.len() <= NAME_MAX).then(|| Name::new(bytes))
}

fn take_digest(input: &mut &[u8]) -> Option<Digest> {
    take(input, 32)?.try_into().ok().map(Digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entries() -> impl Strategy<Value = Vec<Entry>> {
        let attributes = prop::collection::btree_map("[a-z.]{1,8}", any::<Vec<u8>>(), 0..4)
            .prop_map(Attributes::from_iter);
        let digest = any::<[u8; 32]>().prop_map(Digest);
        let blob = (any::<u64>(), digest.clone())
            .prop_map(|(length, digest)| Body::Blob { length, digest });
        let fields = prop::collection::btree_map(any::<Vec<u8>>(), (any::<u32>(), digest), 0..4);
        let record = fields.prop_map(|fields| Body::Record {
            fields: fields
                .into_iter()
                .map(|(key, (length, digest))| Field {
                    key: Name::new(key),
                    length: length.into(),
                    digest,
                })
                .collect(),
        });
        let entry = (attributes, prop_oneof![blob, record]);
        prop::collection::btree_map(any::<Vec<u8>>(), entry, 0..12).prop_map(|entries| {
            entries
                .into_iter()
                .map(|(name, (attributes, body))| Entry {
                    name: Name::new(name),
                    attributes,
                    body,
                })
                .collect()
        })
    }

    fn read_all(bytes: &[u8], piece: usize) -> Result<Vec<Entry>, CatalogError> {
        let mut reader = CatalogReader::default();
        let mut entries = Vec::new();
        for part in bytes.chunks(piece.max(1)) {
            reader.feed(part);
            while let Some(entry) = reader.next_entry()? {
                entries.push(entry);
            }
        }
        reader.finish()?;
        Ok(entries)
    }

    proptest! {
        #[test]
        fn entries_come_back_however_the_stream_is_cut(entries in entries(), piece in 1_usize..200) {
            let mut bytes = Vec::new();
            for entry in &entries {
                encode_entry(entry, &mut bytes);
            }
            prop_assert!(read_all(&bytes, piece) == Ok(entries));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = read_all(&bytes, 7);
        }

        #[test]
        fn a_cut_catalog_is_refused(entries in entries(), cut in any::<prop::sample::Index>()) {
            let mut bytes = Vec::new();
            let mut ends = vec![0];
            for entry in &entries {
                encode_entry(entry, &mut bytes);
                ends.push(bytes.len());
            }
            let cut = cut.index(bytes.len() + 1);
            let read = read_all(&bytes[..cut], 50);
            match ends.iter().position(|end| *end == cut) {
                Some(whole) => prop_assert!(read.is_ok_and(|read| read == entries[..whole])),
                None => prop_assert!(read == Err(CatalogError::Cut)),
            }
        }
    }

    #[test]
    fn absurd_and_unordered_records_are_refused() {
        assert!(read_all(&[0xff; 12], 12) == Err(CatalogError::Length));
        let mut huge = Vec::new();
        put_varint(&mut huge, RECORD_MAX as u64 + 1);
        assert!(read_all(&huge, 12) == Err(CatalogError::Length));

        let entry = Entry {
            name: Name::from("same"),
            attributes: Attributes::default(),
            body: Body::Blob {
                length: 0,
                digest: Digest::of(b""),
            },
        };
        let mut twice = Vec::new();
        encode_entry(&entry, &mut twice);
        encode_entry(&entry, &mut twice);
        assert!(
            read_all(&twice, 500)
                == Err(CatalogError::Order {
                    name: Name::from("same")
                })
        );
    }
}

use crate::{
    Body, Content, Digest, Entry, Field, FieldHeader, Header, Item, NAME_MAX, Name, RECORD_MAX,
    encode_entry,
};

/// Where a [`Writer`] puts what it makes.
pub trait Streams {
    /// The next bytes of the content stream.
    fn content(&mut self, content: Content);
    /// The next `length` bytes of the content stream are one unit.
    fn unit(&mut self, length: u64);
    /// The content of an entry is complete: a good place to cut.
    fn entry_ends(&mut self, entry: &Entry);
    /// The next bytes of the catalog stream.
    fn catalog(&mut self, record: &[u8]);
    /// What the streams were given is void: they start again, empty. No entry is complete yet.
    fn give_up(&mut self);
}

/// What a source did wrong. All but the limits are bugs of a source, reported as such.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriterError {
    /// Names must ascend.
    #[error("entry {name:?} does not come after {last:?}: names must ascend and be unique")]
    Order {
        /// The offender.
        name: Name,
        /// The name before it.
        last: Name,
    },
    /// The name is longer than [`NAME_MAX`].
    #[error("an entry's name has {length} bytes, more than {NAME_MAX}; it starts with {start:?}")]
    NameLength {
        /// Of the name, in bytes.
        length: usize,
        /// Its first bytes.
        start: Name,
    },
    /// Name, attributes and keys together are longer than [`RECORD_MAX`].
    #[error("entry {name:?} has more than {RECORD_MAX} bytes of name, attributes and keys")]
    RecordLength {
        /// The entry.
        name: Name,
    },
    /// A record's values were not as long as announced, or its keys did not ascend.
    #[error("entry {name:?} did not hold the keys and lengths that it announced")]
    Fields {
        /// The entry.
        name: Name,
    },
    /// `Data` outside of an entry, `Begin` inside one, or an end without a start.
    #[error("the source sent items out of turn near {name:?}")]
    Turn {
        /// The nearest entry.
        name: Name,
    },
}

/// Turns items into the content and catalog streams, counting and hashing on the way.
///
/// Equal items make equal bytes, however `Data` was cut.
#[derive(Default)]
pub struct Writer {
    last: Option<Name>,
    open: Option<Open>,
    entries: u64,
    bytes: u64,
}

struct Open {
    header: Header,
    length: u64,
    blob: blake3::Hasher,
    done: Vec<Field>,
}

impl Writer {
    /// Takes the next item of the source.
    pub fn push(&mut self, item: Item, streams: &mut dyn Streams) -> Result<(), WriterError> {
        match item {
            Item::Begin(header) => self.begin(header),
            Item::Unit { length } => {
                self.open()?;
                streams.unit(length);
                Ok(())
            }
            Item::Data(content) => self.data(content, streams),
            Item::End => self.end(streams),
            Item::GiveUp => self.give_up(streams),
        }
    }

    /// Entries and content bytes so far; an error if an entry is still open.
    pub fn finish(&self) -> Result<(u64, u64), WriterError> {
        match &self.open {
            None => Ok((self.entries, self.bytes)),
            Some(open) => Err(WriterError::Turn {
                name: open.header.name.clone(),
            }),
        }
    }

    fn begin(&mut self, header: Header) -> Result<(), WriterError> {
        if let Some(open) = &self.open {
            return Err(WriterError::Turn {
                name: open.header.name.clone(),
            });
        }
        check_header(&header, self.last.as_ref())?;
        self.last = Some(header.name.clone());
        self.open = Some(Open {
            header,
            length: 0,
            blob: blake3::Hasher::new(),
            done: Vec::new(),
        });
        Ok(())
    }

    fn data(&mut self, content: Content, streams: &mut dyn Streams) -> Result<(), WriterError> {
        let open = self.open()?;
        open.take(content.as_bytes())?;
        self.bytes += content.len() as u64;
        if !content.is_empty() {
            streams.content(content);
        }
        Ok(())
    }

    fn end(&mut self, streams: &mut dyn Streams) -> Result<(), WriterError> {
        self.open()?;
        let entry = self.open.take().expect("checked above").close()?;
        let mut record = Vec::new();
        encode_entry(&entry, &mut record);
        if record.len() > RECORD_MAX {
            return Err(WriterError::RecordLength { name: entry.name });
        }
        self.entries += 1;
        streams.catalog(&record);
        streams.entry_ends(&entry);
        Ok(())
    }

    fn give_up(&mut self, streams: &mut dyn Streams) -> Result<(), WriterError> {
        let name = self.open()?.header.name.clone();
        if self.entries > 0 {
            return Err(WriterError::Turn { name });
        }
        *self = Self::default();
        streams.give_up();
        Ok(())
    }

    fn open(&mut self) -> Result<&mut Open, WriterError> {
        let last = self.last.clone();
        self.open.as_mut().ok_or(WriterError::Turn {
            name: last.unwrap_or_default(),
        })
    }
}

impl Open {
    fn take(&mut self, mut bytes: &[u8]) -> Result<(), WriterError> {
        let Some(fields) = &self.header.fields else {
            self.length += bytes.len() as u64;
            self.blob.update(bytes);
            return Ok(());
        };
        while !bytes.is_empty() {
            let Some(field) = fields.get(self.done.len()) else {
                return Err(WriterError::Fields {
                    name: self.header.name.clone(),
                });
            };
            let missing = usize::try_from(field.length - self.length).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(missing.min(bytes.len()));
            self.blob.update(now);
            self.length += now.len() as u64;
            if self.length == field.length {
                self.done.push(finish_field(field, &mut self.blob));
                self.length = 0;
            }
            bytes = later;
            // An empty value takes no data; it is complete as soon as its turn comes.
            while let Some(field) = fields
                .get(self.done.len())
                .filter(|field| field.length == 0)
            {
                self.done.push(finish_field(field, &mut self.blob));
            }
        }
        Ok(())
    }

    fn close(mut self) -> Result<Entry, WriterError> {
        let Header {
            name,
            attributes,
            fields,
        } = self.header;
        let body = match fields {
            None => Body::Blob {
                length: self.length,
                digest: self.blob.finalize().into(),
            },
            Some(fields) => {
                while let Some(field) = fields.get(self.done.len()).filter(|f| f.length == 0) {
                    self.done.push(finish_field(field, &mut self.blob));
                }
                if self.done.len() != fields.len() {
                    return Err(WriterError::Fields { name });
                }
                Body::Record { fields: self.done }
            }
        };
        Ok(Entry {
            name,
            attributes,
            body,
        })
    }
}

fn finish_field(field: &FieldHeader, hasher: &mut blake3::Hasher) -> Field {
    let digest: Digest = hasher.finalize().into();
    hasher.reset();
    Field {
        key: field.key.clone(),
        length: field.length,
        digest,
    }
}

fn check_header(header: &Header, last: Option<&Name>) -> Result<(), WriterError> {
    let name = &header.name;
    let length = name.as_bytes().len();
    if length > NAME_MAX {
        let start = Name::new(&name.as_bytes()[..32]);
        return Err(WriterError::NameLength { length, start });
    }
    if let Some(last) = last.filter(|last| *last >= name) {
        return Err(WriterError::Order {
            name: name.clone(),
            last: last.clone(),
        });
    }
    let fields = header.fields.as_deref().unwrap_or_default();
    if fields.windows(2).any(|pair| pair[0].key >= pair[1].key) {
        return Err(WriterError::Fields { name: name.clone() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{Attributes, CatalogReader};
    use proptest::prelude::*;

    #[derive(Default)]
    struct Kept {
        content: Vec<u8>,
        catalog: Vec<u8>,
    }

    impl Streams for Kept {
        fn content(&mut self, content: Content) {
            self.content.extend_from_slice(content.as_bytes());
        }
        fn unit(&mut self, _length: u64) {}
        fn entry_ends(&mut self, _entry: &Entry) {}
        fn catalog(&mut self, record: &[u8]) {
            self.catalog.extend_from_slice(record);
        }
        fn give_up(&mut self) {
            *self = Self::default();
        }
    }

    fn header(name: &str, fields: Option<&[(&str, u64)]>) -> Header {
        Header {
            name: name.into(),
            attributes: Attributes::default(),
            fields: fields.map(|fields| {
                fields
                    .iter()
                    .map(|&(key, length)| FieldHeader {
                        key: key.into(),
                        length,
                    })
                    .collect()
            }),
        }
    }

    fn data(bytes: &[u8]) -> Item {
        Item::Data(Content::new(bytes.to_vec()))
    }

    fn write(items: Vec<Item>) -> Result<Kept, WriterError> {
        let (mut writer, mut kept) = (Writer::default(), Kept::default());
        for item in items {
            writer.push(item, &mut kept)?;
        }
        writer.finish()?;
        Ok(kept)
    }

    /// The values of an entry; a blob has one, without a key.
    type Values = BTreeMap<Option<Vec<u8>>, Vec<u8>>;

    fn entries() -> impl Strategy<Value = BTreeMap<Vec<u8>, (Attributes, Values)>> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..40);
        let attributes = prop::collection::btree_map("[a-z.]{1,8}", bytes(), 0..3);
        let blob = bytes().prop_map(|value| BTreeMap::from([(None, value)]));
        let record = prop::collection::btree_map(bytes().prop_map(Some), bytes(), 0..5);
        let entry = (
            attributes.prop_map(Attributes::from_iter),
            prop_oneof![blob, record],
        );
        prop::collection::btree_map(bytes(), entry, 0..10)
    }

    /// What a source would send; values come in pieces that respect nothing.
    fn items(entries: &BTreeMap<Vec<u8>, (Attributes, Values)>, piece: usize) -> Vec<Item> {
        let mut items = Vec::new();
        for (name, (attributes, values)) in entries {
            let fields = values.iter().map(|(key, value)| {
                let key = Name::new(key.clone()?);
                let length = value.len() as u64;
                Some(FieldHeader { key, length })
            });
            items.push(Item::Begin(Header {
                name: Name::new(name.clone()),
                attributes: attributes.clone(),
                fields: fields.collect(),
            }));
            let content = values.values().flatten().copied().collect::<Vec<u8>>();
            items.extend(content.chunks(piece).map(data));
            items.push(Item::End);
        }
        items
    }

    /// Reads both streams as a restore does: an entry's values stand where those before it end.
    fn read(kept: &Kept) -> Option<BTreeMap<Vec<u8>, (Attributes, Values)>> {
        let (mut reader, mut content) = (CatalogReader::default(), &kept.content[..]);
        let mut found = BTreeMap::new();
        reader.feed(&kept.catalog);
        while let Some(entry) = reader.next_entry().ok()? {
            let mut take = |length: u64, digest: Digest| {
                let (value, rest) = content.split_at_checked(length as usize)?;
                content = rest;
                (Digest::of(value) == digest).then(|| value.to_vec())
            };
            let values = match entry.body {
                Body::Blob { length, digest } => BTreeMap::from([(None, take(length, digest)?)]),
                Body::Record { fields } => fields
                    .into_iter()
                    .map(|field| {
                        let value = take(field.length, field.digest)?;
                        Some((Some(field.key.as_bytes().to_vec()), value))
                    })
                    .collect::<Option<_>>()?,
            };
            found.insert(entry.name.as_bytes().to_vec(), (entry.attributes, values));
        }
        reader.finish().ok()?;
        content.is_empty().then_some(found)
    }

    proptest! {
        #[test]
        fn entries_come_back_from_catalog_and_content(entries in entries(), piece in 1_usize..50) {
            let kept = write(items(&entries, piece)).map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert!(read(&kept) == Some(entries));
        }

        #[test]
        fn however_values_arrive_the_streams_are_the_same(entries in entries(), piece in 1_usize..50) {
            let (Ok(cut), Ok(whole)) = (write(items(&entries, piece)), write(items(&entries, 1 << 20))) else {
                return Err(TestCaseError::fail("both are valid"));
            };
            prop_assert!(cut.content == whole.content && cut.catalog == whole.catalog);
        }
    }

    #[test]
    fn records_keep_empty_values_and_digests_by_key() {
        let fields: &[(&str, u64)] = &[("a", 0), ("b", 3), ("c", 0), ("d", 2), ("e", 0)];
        let whole = write(vec![
            Item::Begin(header("x", Some(fields))),
            data(b"bbbdd"),
            Item::End,
        ]);
        let cut = write(vec![
            Item::Begin(header("x", Some(fields))),
            data(b"b"),
            data(b""),
            data(b"bbd"),
            data(b"d"),
            Item::End,
        ]);
        let (Ok(whole), Ok(cut)) = (whole, cut) else {
            panic!("both are valid")
        };
        assert_eq!(whole.catalog, cut.catalog);
        assert_eq!(whole.content, b"bbbdd");

        let mut reader = CatalogReader::default();
        reader.feed(&whole.catalog);
        let entry = reader.next_entry().ok().flatten().expect("one entry");
        let Body::Record { fields } = entry.body else {
            panic!("a record")
        };
        assert_eq!(fields.len(), 5);
        assert_eq!(fields[1].digest, Digest::of(b"bbb"));
        assert_eq!(fields[4].digest, Digest::of(b""));
    }

    #[test]
    fn a_first_entry_that_is_given_up_begins_again() {
        let begin = || Item::Begin(header("x", None));
        let again = vec![
            begin(),
            data(b"half"),
            Item::GiveUp,
            begin(),
            data(b"whole"),
            Item::End,
        ];
        let plain = vec![begin(), data(b"whole"), Item::End];
        let (Ok(again), Ok(plain)) = (write(again), write(plain)) else {
            panic!("both are valid")
        };
        assert!(again.content == plain.content && again.catalog == plain.catalog);

        let later = Item::Begin(header("y", None));
        for items in [
            vec![Item::GiveUp],
            vec![begin(), Item::End, Item::GiveUp],
            vec![begin(), Item::End, later, Item::GiveUp],
        ] {
            let refused = write(items).err();
            assert!(matches!(refused, Some(WriterError::Turn { .. })));
        }
    }

    #[test]
    fn a_source_that_breaks_its_word_is_refused() {
        let record = || Item::Begin(header("x", Some(&[("k", 2)])));
        let blob = |name| Item::Begin(header(name, None));
        for (case, items) in [
            ("short value", vec![record(), data(b"1"), Item::End]),
            ("long value", vec![record(), data(b"123"), Item::End]),
            (
                "keys out of order",
                vec![Item::Begin(header("x", Some(&[("k", 0), ("a", 0)])))],
            ),
            ("data first", vec![data(b"1")]),
            ("end first", vec![Item::End]),
            ("two begins", vec![blob("a"), blob("b")]),
            ("left open", vec![blob("a")]),
            ("same name", vec![blob("a"), Item::End, blob("a")]),
            ("long name", vec![blob(&"n".repeat(NAME_MAX + 1))]),
        ] {
            assert!(write(items).is_err(), "{case}");
        }
    }

    #[test]
    fn a_record_of_absurd_size_is_refused() {
        let mut big = header("x", None);
        big.attributes.set("xattr", vec![0; RECORD_MAX]);
        let error = write(vec![Item::Begin(big), Item::End]).err();
        assert_eq!(error, Some(WriterError::RecordLength { name: "x".into() }));
    }
}

//! The file of a database, built with every shape that Bolt may give it, then damaged.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::build::{Buckets, Pairs, Shape, build};
use super::checksum::Checksum;
use super::{Damage, Database, Item, PageFault, Records, Skeleton};

/// What a file holds beside the records: bucket, key and value.
type Others = Vec<(Vec<u8>, Vec<u8>, Vec<u8>)>;

/// A record: main and sub revision, tombstone, key, create and mod revision, version, value, lease.
type Change = (u64, u64, bool, Vec<u8>, i64, i64, i64, Vec<u8>, i64);

fn skeleton(file: &[u8], piece: usize) -> Result<Database, Damage> {
    let mut skeleton = Skeleton::default();
    file.chunks(piece).for_each(|piece| skeleton.feed(piece));
    skeleton.finish()
}

fn records(
    database: &Database,
    file: &[u8],
    piece: usize,
) -> Result<(Vec<Change>, Others), Damage> {
    let mut records = Records::new(database);
    let (mut changes, mut others) = (Vec::new(), Vec::new());
    for piece in file.chunks(piece) {
        records.feed(piece, &mut |item| match item {
            Item::Record(record) => changes.push((
                record.revision.main,
                record.revision.sub,
                record.tombstone,
                record.key.to_vec(),
                record.create_revision,
                record.mod_revision,
                record.version,
                record.value.to_vec(),
                record.lease,
            )),
            Item::Other { bucket, key, value } => {
                others.push((bucket.to_vec(), key.to_vec(), value.to_vec()));
            }
        })?;
    }
    records.finish()?;
    changes.sort();
    others.sort();
    Ok((changes, others))
}

fn put_varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// As etcd writes a record into the bucket `key`.
fn stored(change: &Change) -> (Vec<u8>, Vec<u8>) {
    let (main, sub, tombstone, key, create, modified, version, value, lease) = change;
    let mut name = [&main.to_be_bytes()[..], b"_", &sub.to_be_bytes()].concat();
    name.extend(tombstone.then_some(b't'));
    let mut bytes = Vec::new();
    let text = |bytes: &mut Vec<u8>, field: u8, text: &[u8]| {
        bytes.push(field << 3 | 2);
        put_varint(bytes, text.len() as u64);
        bytes.extend_from_slice(text);
    };
    text(&mut bytes, 1, key);
    for (field, number) in [(2, create), (3, modified), (4, version)] {
        bytes.push(field << 3);
        put_varint(&mut bytes, number.cast_unsigned());
    }
    text(&mut bytes, 5, value);
    bytes.push(6 << 3);
    put_varint(&mut bytes, lease.cast_unsigned());
    (name, bytes)
}

/// The buckets that etcd makes, with some keys in them.
fn others() -> impl Strategy<Value = Buckets> {
    let names = [
        "meta",
        "lease",
        "alarm",
        "cluster",
        "members",
        "members_removed",
        "auth",
        "authUsers",
        "authRoles",
    ];
    let pairs = || {
        let key = prop::collection::vec(any::<u8>(), 1..24);
        let value = prop::collection::vec(any::<u8>(), 0..200);
        prop::collection::btree_map(key, value, 0..12)
    };
    let buckets = names.map(|name| pairs().prop_map(move |pairs| (name.into(), pairs)));
    buckets
        .to_vec()
        .prop_map(|buckets: Vec<(Vec<u8>, Pairs)>| buckets.into_iter().collect())
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let value = prop_oneof![
        9 => prop::collection::vec(any::<u8>(), 0..300),
        1 => prop::collection::vec(any::<u8>(), 3000..9000),
    ];
    let change = (
        1_u64..5000,
        0_u64..3,
        any::<bool>(),
        prop::collection::vec(any::<u8>(), 0..20),
        any::<i64>(),
        any::<i64>(),
        0_i64..100,
        value,
        any::<i64>(),
    );
    prop::collection::btree_map((1_u64..5000, 0_u64..3), change, 0..60).prop_map(|changes| {
        let change = |((main, sub), change): ((u64, u64), Change)| {
            let (_, _, tombstone, key, create, modified, version, value, lease) = change;
            (
                main, sub, tombstone, key, create, modified, version, value, lease,
            )
        };
        changes.into_iter().map(change).collect()
    })
}

fn shape() -> impl Strategy<Value = Shape> {
    let sizes = prop_oneof![Just(512_u32), Just(1024), Just(4096)];
    (
        sizes,
        any::<bool>(),
        2_usize..20,
        2_usize..12,
        any::<u64>(),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(
            |(page_size, big_endian, leaf, branch, seed, free_list, inline)| Shape {
                page_size,
                big_endian,
                leaf,
                branch,
                seed,
                free: true,
                free_list,
                inline,
            },
        )
}

fn all(others: &Buckets, changes: &[Change]) -> Buckets {
    let mut buckets = others.clone();
    buckets.insert(b"key".to_vec(), changes.iter().map(stored).collect());
    buckets
}

/// What etcdutl's hash is of, as it says.
fn hash(buckets: &Buckets) -> u32 {
    let mut bytes = Vec::new();
    for (name, pairs) in buckets {
        bytes.extend_from_slice(name);
        for (key, value) in pairs {
            bytes.extend_from_slice(key);
            bytes.extend_from_slice(value);
        }
    }
    Checksum::of(&bytes).crc
}

proptest! {
    #[test]
    fn a_database_is_read_whole_however_it_lies_and_arrives(
        shape in shape(),
        others in others(),
        changes in changes(),
        piece in prop_oneof![1_usize..100, 1000_usize..20_000],
        tail in 0_usize..40,
    ) {
        let buckets = all(&others, &changes);
        let mut file = build(&shape, &buckets);
        file.resize(file.len() + tail, 7);
        let database = skeleton(&file, piece).expect("it is whole");
        prop_assert_eq!(database.damage(), &[]);
        prop_assert_eq!(database.hash(), Some(hash(&buckets)));
        prop_assert_eq!(database.revision(), changes.last().map_or(1, |change| change.0));
        for bucket in database.buckets() {
            let pairs = &buckets[bucket.name.as_bytes()];
            let bytes = pairs.iter().map(|(key, value)| key.len() + value.len());
            prop_assert_eq!(bucket.keys, pairs.len() as u64);
            prop_assert_eq!(bucket.bytes, bytes.sum::<usize>() as u64);
        }
        prop_assert_eq!(database.buckets().len(), 10);
        let (found, found_others) = records(&database, &file, piece).expect("the same bytes");
        let mut expected = changes;
        expected.sort();
        prop_assert!(found == expected);
        let expected = others.iter().flat_map(|(bucket, pairs)| {
            pairs.iter().map(|(key, value)| (bucket.clone(), key.clone(), value.clone()))
        });
        prop_assert!(found_others == expected.collect::<Vec<_>>());
    }

    #[test]
    fn whatever_is_damaged_nothing_panics_and_pieces_do_not_matter(
        shape in shape(),
        others in others(),
        changes in changes(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..30),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
        piece in 1_usize..5000,
    ) {
        let mut file = build(&shape, &all(&others, &changes));
        // Behind the meta pages, whose sums would end it all.
        let start = 2 * shape.page_size as usize;
        for (at, value) in flips {
            let at = start + at.index(file.len() - start);
            file[at] ^= value;
        }
        if let Some(cut) = cut {
            file.truncate(cut.index(file.len()));
        }
        let (whole, pieces) = (skeleton(&file, file.len().max(1)), skeleton(&file, piece));
        match (whole, pieces) {
            (Ok(whole), Ok(pieces)) => {
                prop_assert_eq!(whole.damage(), pieces.damage());
                prop_assert_eq!(whole.hash(), pieces.hash());
                prop_assert_eq!(whole.buckets(), pieces.buckets());
                let one = records(&whole, &file, file.len()).expect("the same bytes");
                prop_assert!(one == records(&pieces, &file, piece).expect("the same bytes"));
            }
            (Err(whole), Err(pieces)) => prop_assert_eq!(whole, pieces),
            _ => prop_assert!(false, "only one of them is damaged"),
        }
    }
}

/// A file without free pages, so that every page counts.
fn tight(free_list: bool) -> Vec<u8> {
    let shape = Shape {
        page_size: 512,
        big_endian: false,
        leaf: 3,
        branch: 4,
        seed: 5,
        free: false,
        free_list,
        inline: false,
    };
    let change = |main| (main, 0, false, vec![7; 300], 2, 3, 4, vec![8; 90], 0);
    let changes: Vec<Change> = (2..80).map(change).collect();
    let names = [
        "meta",
        "lease",
        "alarm",
        "cluster",
        "members",
        "members_removed",
        "auth",
        "authUsers",
        "authRoles",
    ];
    let pairs = BTreeMap::from([(b"a".to_vec(), vec![1; 9]), (b"b".to_vec(), vec![2; 700])]);
    let others = names.map(|name| (name.into(), pairs.clone()));
    build(&shape, &all(&others.into_iter().collect(), &changes))
}

fn number(file: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(file[at..at + 4].try_into().expect("four bytes"))
}

/// Whatever holds the tree together is noticed when it is wrong, in whichever page.
#[test]
fn no_page_can_be_damaged_without_notice() {
    let whole = tight(false);
    assert_eq!(skeleton(&whole, 1000).expect("a database").damage(), &[]);
    let mut page = 2 * 512;
    let (mut leaves, mut branches) = (0, 0);
    while page < whole.len() {
        let (flags, count) = (whole[page + 8], whole[page + 10]);
        let damage = |what: &str, change: &dyn Fn(&mut [u8])| {
            let mut file = whole.clone();
            change(&mut file[page..]);
            let database = skeleton(&file, 1000).expect("its metas are right");
            assert!(
                !database.damage().is_empty(),
                "{what} of page {}",
                page / 512
            );
            assert_eq!(database.hash(), None);
            let read = records(&database, &file, 1000);
            assert!(read.is_ok(), "what can be reached is read");
        };
        damage("number", &|page| page[0] += 1);
        damage("kind", &|page| page[8] = 4);
        damage("kind", &|page| page[8] ^= 3);
        damage("kind", &|page| page[9] = 1);
        damage("count", &|page| page[10] += 1);
        damage("count", &|page| page[10] -= 1);
        damage("overflow", &|page| page[12] += 1);
        damage("all", &|page| page[..512].fill(0));
        damage("position", &|page| {
            page[if flags == 1 { 16 } else { 20 }] ^= 1;
        });
        if flags == 1 {
            branches += 1;
            damage("child", &|page| page[24] = 1);
            damage("child", &|page| page[26] = 0xff);
            if count > 1 {
                damage("child", &|page| page.copy_within(24..32, 40));
            }
        } else {
            leaves += 1;
            damage("flags", &|page| page[16] ^= 1);
            damage("flags", &|page| page[16] |= 2);
        }
        let (key, length) = if flags == 1 { (20, 16) } else { (24, 20) };
        let same = count > 1 && number(&whole, page + key) == number(&whole, page + key + 16);
        if same && length > 0 {
            damage("order", &|page| {
                let position = if flags == 1 { 16 } else { 20 };
                let first = position / 16 * 16 + number(page, position) as usize;
                let second = 32 + number(page, position + 16) as usize;
                let length = number(page, key) as usize;
                page.copy_within(first..first + length, second);
            });
        }
        page += 512 * (1 + whole[page + 12] as usize);
    }
    assert!(
        leaves > 30 && branches > 8,
        "{leaves} leaves, {branches} branches"
    );
}

#[test]
fn the_list_of_free_pages_is_compared() {
    let whole = tight(true);
    let list = whole.len() - 512;
    assert_eq!(skeleton(&whole, 1000).expect("a database").damage(), &[]);
    let fault = |change: &dyn Fn(&mut [u8])| {
        let mut file = whole.clone();
        change(&mut file);
        let database = skeleton(&file, 1000).expect("its metas are right");
        match database.damage() {
            [Damage::Page { fault, .. }, ..] => *fault,
            other => panic!("{other:?}"),
        }
    };
    let free = |file: &mut [u8], pages: &[u8]| {
        file[list + 10] = pages.len() as u8;
        for (index, page) in pages.iter().enumerate() {
            file[list + 16 + 8 * index] = *page;
        }
    };
    assert_eq!(fault(&|file| free(file, &[5])), PageFault::Free);
    assert_eq!(fault(&|file| free(file, &[1])), PageFault::Listed);
    assert_eq!(fault(&|file| free(file, &[200, 200])), PageFault::Listed);
    assert_eq!(fault(&|file| file[list + 8] = 0), PageFault::Header);
    assert_eq!(fault(&|file| file[list + 10] = 0xff), PageFault::Header);
}

#[test]
fn a_bucket_that_is_missing_has_a_name() {
    let shape = Shape {
        page_size: 512,
        big_endian: false,
        leaf: 9,
        branch: 4,
        seed: 5,
        free: true,
        free_list: true,
        inline: true,
    };
    let file = build(&shape, &all(&Buckets::new(), &[]));
    let database = skeleton(&file, 1000).expect("its metas are right");
    assert_eq!(database.damage()[0], Damage::NoBucket("meta"));
    let said = database.damage()[0].to_string();
    assert_eq!(said, "its database has no bucket `meta`");
}

#[test]
fn a_cut_file_says_so() {
    let whole = tight(false);
    let (found, expected) = (5000, whole.len() as u64);
    let cut = skeleton(&whole[..5000], 1000).err();
    assert_eq!(cut, Some(Damage::Cut { found, expected }));
    assert_eq!(skeleton(&[7; 9000], 1000).err(), Some(Damage::Metas));
    assert_eq!(skeleton(b"", 1).err(), Some(Damage::Metas));
}

//! An etcd snapshot: where it is cut, the database in it, and its end, which is a hash.

use sha2::{Digest as _, Sha256};
use source::bolt::{Unit, Units};
use source::etcd::database::{Damage, Database, Item, Records, Skeleton};
use source::etcd::snapshot::{Fault, HASH_BYTES, Summary, Verifier};

/// The part of a meta page that its checksum covers, then the checksum.
const META: std::ops::Range<usize> = 16..72;
const SUM: std::ops::Range<usize> = 72..80;

/// A Bolt file has the same units however it arrives; they tile it, and none is empty.
pub fn bolt(bytes: &[u8]) {
    let units = |piece: usize| -> Vec<Unit> {
        let (mut units, mut found) = (Units::default(), Vec::new());
        for part in bytes.chunks(piece) {
            units.feed(part, &mut found);
        }
        found
    };
    let whole = units(bytes.len().max(1));
    let mut end = 0;
    for unit in &whole {
        assert!(unit.start == end && unit.length > 0);
        end += unit.length;
    }
    assert_eq!(whole, units(7));
    assert_eq!(whole, units(1000));
}

/// One byte that says which sums to mend, then a database: it is read alike however it arrives, and everything that is not damaged is
/// read again.
pub fn database(bytes: &[u8]) {
    let Some((mend, file)) = bytes.split_first() else {
        return;
    };
    let mut file = file.to_vec();
    mend_metas(&mut file, mend & 1 != 0);
    let whole = skeleton(&file, file.len().max(1));
    let again = skeleton(&file, 977);
    let (database, again) = match (whole, again) {
        (Ok(whole), Ok(again)) => (whole, again),
        (whole, again) => {
            assert_eq!(whole.err(), again.err());
            return;
        }
    };
    assert_eq!(database.damage(), again.damage());
    assert_eq!(database.buckets(), again.buckets());
    assert_eq!(database.hash(), again.hash());
    assert_eq!(database.hash().is_some(), database.damage().is_empty());
    let read = records(&database, &file, file.len().max(1));
    assert!(read == records(&again, &file, 977));
    if database.damage().is_empty() {
        let keys: u64 = database.buckets().iter().map(|bucket| bucket.keys).sum();
        assert_eq!(read.0, keys);
        assert!(read.1 <= database.revision());
    }
}

fn skeleton(file: &[u8], piece: usize) -> Result<Database, Damage> {
    let mut skeleton = Skeleton::default();
    file.chunks(piece).for_each(|piece| skeleton.feed(piece));
    skeleton.finish()
}

/// How many things there are, and the greatest revision.
fn records(database: &Database, file: &[u8], piece: usize) -> (u64, u64) {
    let mut records = Records::new(database);
    let mut found = (0, 0);
    for piece in file.chunks(piece) {
        let mut take = |item: Item<'_>| {
            found.0 += 1;
            if let Item::Record(record) = item {
                found.1 = found.1.max(record.revision.main);
            }
        };
        let fed = records.feed(piece, &mut take);
        fed.expect("these bytes were read before");
    }
    records.finish().expect("these bytes were read before");
    found
}

/// One byte that says which sums to mend, then a snapshot file: it is judged alike however it arrives, and only a whole one
/// passes.
pub fn trailer(bytes: &[u8]) {
    let Some((mend, file)) = bytes.split_first() else {
        return;
    };
    let mut file = file.to_vec();
    if mend & 1 != 0 {
        mend_metas(&mut file, mend & 2 != 0);
    }
    if mend & 4 != 0 {
        let hash = Sha256::digest(&file);
        file.extend_from_slice(&hash);
    }
    let whole = verify(&file, file.len().max(1));
    for piece in [1, 7, HASH_BYTES, 1000] {
        let again = verify(&file, piece);
        assert_eq!(whole.as_ref().err(), again.as_ref().err());
    }
    if let Ok(summary) = whole {
        let end = file.len() - HASH_BYTES;
        assert_eq!(summary.database_bytes, end as u64);
        assert_eq!(summary.hash[..], file[end..]);
        assert_eq!(summary.hash[..], Sha256::digest(&file[..end])[..]);
    }
}

/// The verdict; the units that it found on the way tile what is known.
fn verify(file: &[u8], piece: usize) -> Result<Summary, Fault> {
    let mut verifier = Verifier::default();
    let mut end = 0;
    for part in file.chunks(piece) {
        for unit in verifier.feed(part) {
            assert!(unit.start == end && unit.length > 0);
            end += unit.length;
        }
        assert!(verifier.known().is_none_or(|known| known == end));
    }
    let verdict = verifier.finish();
    if let Ok(summary) = &verdict {
        assert_eq!(summary.database_bytes, end);
    }
    verdict
}

/// Puts the right checksums into both meta pages; also, if asked, the number of pages that the file has.
fn mend_metas(file: &mut [u8], pages: bool) {
    let Some(little) = file
        .get(16..20)
        .map(|magic| magic == [0xDA, 0xDA, 0x0C, 0xED])
    else {
        return;
    };
    let order = |bytes: [u8; 8]| {
        if little {
            u64::from_le_bytes(bytes)
        } else {
            u64::from_be_bytes(bytes)
        }
    };
    let number = |number: u64| {
        if little {
            number.to_le_bytes()
        } else {
            number.to_be_bytes()
        }
    };
    let size = file.get(24..28).map_or(0, |size| {
        let mut bytes = [0; 8];
        bytes[if little { 0..4 } else { 4..8 }].copy_from_slice(size);
        order(bytes) as usize
    });
    let count = file.len().checked_div(size).unwrap_or_default() as u64;
    for start in [0, size] {
        let Some(meta) = file
            .get_mut(start..)
            .and_then(|page| page.get_mut(..SUM.end))
        else {
            return;
        };
        if pages {
            meta[56..64].copy_from_slice(&number(count));
        }
        let sum = fnv1a(&meta[META]);
        meta[SUM].copy_from_slice(&number(sum));
    }
}

fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

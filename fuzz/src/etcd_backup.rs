//! What etcd-backup stores: names of objects, keys, dumps.

use foreign::etcd_backup::{
    DumpKey, Kind, MasterKey, Names, Opener, Sealer, Shape, Stamp, parse_period,
};

/// As many chunks as a byte can choose from.
const CHUNKS: u8 = 4;

/// Anything in the place of a name, an age, a key file or a key object is told from one; and a dump of chunks in any order, each byte being
/// the next of them, opens as far as it is the order in which they were sealed.
pub fn dump(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = (parse_period(text), Stamp::parse(text));
        let names = Names::new("backup").expect("it is a prefix");
        if let Some((stamp, kind)) = names.understand(text) {
            assert_eq!(names.of(&stamp, kind), text);
        }
        if let Ok(names) = Names::new(text) {
            let stamp = Stamp::parse("2024-12-06T21:22:25Z").expect("a time");
            let name = names.of(&stamp, Kind::Key);
            assert!(names.understand(&name) == Some((stamp, Kind::Key)));
        }
    }
    let master = MasterKey::parse(&[b'2'; 64]).unwrap_or_else(|_| unreachable!("64 digits"));
    let _ = MasterKey::parse(bytes);
    assert!(DumpKey::open(bytes, &master).is_err());
    if let Ok(shape) = Shape::sealed(bytes.len() as u64) {
        assert_eq!(shape.sealed_bytes(), bytes.len() as u64);
    }
    orders(bytes, &master);
}

fn orders(bytes: &[u8], master: &MasterKey) {
    let key = DumpKey::random();
    let object = key.seal(master, 0);
    let mut sealer = Sealer::new(key, 0);
    let chunks: Vec<Vec<u8>> = (0..CHUNKS)
        .map(|chunk| {
            let mut sealed = Vec::new();
            sealer.seal(&[chunk], &mut sealed);
            sealed
        })
        .collect();
    let Ok(key) = DumpKey::open(&object, master) else {
        unreachable!("it was sealed to this one")
    };
    let mut opener = Opener::new(key);
    for (place, byte) in bytes.iter().enumerate() {
        let chosen = usize::from(byte % CHUNKS);
        let mut chunk = chunks[chosen].clone();
        let Ok(range) = opener.open(&mut chunk) else {
            assert!(chosen != place && chunk.iter().all(|byte| *byte == 0));
            return;
        };
        assert!(chosen == place && chunk[range] == [byte % CHUNKS]);
    }
}

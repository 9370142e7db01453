//! The files of `testdata/etcd-backup`, which another implementation made (`make.py` there): what opens must open to exactly that, and what
//! is broken must be refused with exactly that sentence.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use zeroize::Zeroizing;

use super::dump::{Opener, Sealer};
use super::{DumpKey, MasterKey};

/// A nonce and a tag.
const OVERHEAD: usize = 40;

struct Case {
    name: String,
    fields: BTreeMap<String, String>,
}

impl Case {
    fn bytes(&self, field: &str) -> Vec<u8> {
        hex::decode(&self.fields[field]).expect("hexadecimal digits")
    }

    fn key(&self) -> [u8; 32] {
        self.bytes("key").try_into().expect("32 bytes")
    }

    fn stride(&self) -> usize {
        self.fields["chunk"].parse::<usize>().expect("a number") + OVERHEAD
    }

    fn open(&self) -> Result<Vec<u8>, String> {
        let mut bytes = self.bytes("bytes");
        if self.fields["object"] == "key" {
            let master = MasterKey(Zeroizing::new(self.key()));
            let opened = DumpKey::open(&bytes, &master).map_err(|fault| fault.to_string())?;
            return Ok(opened.bytes().to_vec());
        }
        let mut opener = Opener::new(DumpKey::from_bytes(self.key()));
        let mut plain = Vec::new();
        for chunk in bytes.chunks_mut(self.stride()) {
            let opened = opener.open(chunk).map_err(|fault| fault.to_string())?;
            plain.extend_from_slice(&chunk[opened]);
        }
        Ok(plain)
    }

    fn check(&self) {
        let expected = match self.fields.get("refused") {
            Some(sentence) => Err(sentence.clone()),
            None => Ok(self.bytes("opens")),
        };
        assert_eq!(self.open(), expected, "{}", self.name);
    }

    /// What is sealed with the same nonces is the same, byte for byte.
    fn seals_again(&self) {
        let (bytes, plain) = (self.bytes("bytes"), self.bytes("opens"));
        if self.fields["object"] == "key" {
            let key = DumpKey::from_bytes(plain.try_into().expect("32 bytes"));
            let master = MasterKey(Zeroizing::new(self.key()));
            let nonce = bytes[..24].try_into().expect("24 bytes");
            assert_eq!(key.seal_with(&master, nonce)[..], bytes, "{}", self.name);
            return;
        }
        let base = bytes[..16].try_into().expect("16 bytes");
        let mut sealer = Sealer::with_base(DumpKey::from_bytes(self.key()), base);
        let mut sealed = Vec::new();
        for chunk in plain.chunks(self.stride() - OVERHEAD) {
            sealer.seal(chunk, &mut sealed);
        }
        assert_eq!(sealed, bytes, "{}", self.name);
    }
}

fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/etcd-backup");
    let mut cases = Vec::new();
    for entry in fs::read_dir(folder).expect("the cases") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some() {
            continue;
        }
        let text = fs::read_to_string(&path).expect("text");
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let fields = lines
            .map(|line| line.split_once(": ").expect("a field"))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let name = path.display().to_string();
        cases.push(Case { name, fields });
    }
    cases
}

#[test]
fn every_case_ends_as_it_says() {
    let cases = cases();
    assert!(cases.len() >= 43, "{} cases", cases.len());
    cases.iter().for_each(Case::check);
}

#[test]
fn what_is_sealed_is_what_the_other_implementation_seals() {
    let cases = cases();
    let good = cases
        .iter()
        .filter(|case| case.fields.contains_key("opens"));
    assert_eq!(good.map(Case::seals_again).count(), 4);
}

/// As they stand in the facts that were checked on the original's code.
#[test]
fn the_known_vectors_are_among_them() {
    let cases = cases();
    let bytes = |name: &str| {
        let case = cases.iter().find(|case| case.name.ends_with(name));
        case.expect("it is there").fields["bytes"].clone()
    };
    assert_eq!(
        bytes("/key-good"),
        "0001020304050607aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac7eb7a362ae622aa7f239a6703339791ad5d9900380ad566b59c0d894f7e32ac63b37376db3b\
         1b9222fc04a7af4af012"
    );
    assert_eq!(
        bytes("/dump-good"),
        "0001020304050607bbbbbbbbbbbbbbbb00000000000000001ab2c74b61f585f69ebe9f235593139c728ecf6f510001020304050607bbbbbbbbbbbbbbbb00\
         000000000000011898445cf7f628d78fc69caf639c06774cd14caad3"
    );
}

use archive::put_varint;

use crate::frame::{decode, encode};
use crate::limits::BUNDLE_MAX;
use crate::parse::{Parse, put_bytes};
use crate::writer_key::verify;
use crate::{JobName, RepositoryId, WriterId, WriterKey};

const MAGIC: &[u8; 8] = b"SRBUND01";
const CONTEXT: &str = "strongroom v1 bundle\n";
/// A commit takes more: two signatures alone have as many digits.
const LEAST: usize = 256;
/// What a number and a length take at most.
const HEAD_MAX: u64 = 20;

/// Commits of a log in one object, as they stand in theirs, so that whoever reads a long log for the first time need not ask for each.
/// Disposable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bundle {
    commits: Vec<(u64, Vec<u8>)>,
    size: u64,
}

/// The place of a bundle: what its signature is bound to.
#[derive(Debug, Clone, Copy)]
pub struct BundlePlace<'a> {
    /// The repository.
    pub repository: RepositoryId,
    /// The job whose log it is.
    pub job: &'a JobName,
    /// The highest number that it and the other parts cover.
    pub number: u64,
    /// From 0.
    pub part: u32,
}

impl BundlePlace<'_> {
    fn signed(&self, message: &[u8]) -> Vec<u8> {
        let mut signed = self.repository.0.to_vec();
        signed.extend_from_slice(&self.number.to_le_bytes());
        signed.extend_from_slice(&self.part.to_le_bytes());
        put_bytes(&mut signed, self.job.as_str().as_bytes());
        signed.extend_from_slice(message);
        signed
    }
}

impl Bundle {
    /// Adds a commit. `false`: the bundle would get longer than `limit` bytes, decoded, and is as it was. Numbers ascend.
    pub fn add(&mut self, number: u64, object: &[u8], limit: u64) -> bool {
        let size = self.size + HEAD_MAX + object.len() as u64;
        // The count stands before them.
        let fits = size + HEAD_MAX <= limit.min(BUNDLE_MAX);
        if fits {
            self.commits.push((number, object.to_vec()));
            self.size = size;
        }
        fits
    }

    /// Number and object of each commit.
    pub fn into_commits(self) -> Vec<(u64, Vec<u8>)> {
        self.commits
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.commits.is_empty()
    }

    /// The object, signed by a maintainer: docs/format/v1.md, "Bundles".
    pub fn encode(&self, place: BundlePlace<'_>, maintainer: &WriterKey) -> Vec<u8> {
        let mut plain = Vec::new();
        put_varint(&mut plain, self.commits.len() as u64);
        for (number, object) in &self.commits {
            put_varint(&mut plain, *number);
            put_bytes(&mut plain, object);
        }
        let message = encode(&plain, true);
        let signature = maintainer.sign(CONTEXT, &place.signed(&message));
        [&MAGIC[..], &maintainer.id().0, &signature, &message].concat()
    }

    /// What [`encode`](Self::encode) made, and who signed it. `None`: it is damaged, none, of another place, or by somebody who is not
    /// `trusted`: nothing that a stranger signed is decoded.
    pub fn decode(
        object: &[u8],
        place: BundlePlace<'_>,
        trusted: impl Fn(WriterId) -> bool,
    ) -> Option<(WriterId, Self)> {
        let mut parse = Parse(object.strip_prefix(MAGIC)?);
        let (maintainer, signature) = (WriterId(parse.array()?), parse.array()?);
        let message = parse.0;
        if !trusted(maintainer) || !verify(maintainer, CONTEXT, &place.signed(message), &signature)
        {
            return None;
        }
        let (&encoding, data) = message.split_first()?;
        let limit = usize::try_from(BUNDLE_MAX).ok()?;
        let mut plain = Vec::new();
        decode(encoding, data, limit, &mut plain).ok()?;
        let mut parse = Parse(&plain);
        let commits = parse.list(LEAST, |parse| {
            let number = parse.varint()?;
            Some((number, parse.bytes()?.to_vec()))
        })?;
        parse.end()?;
        let ascending = commits.is_sorted_by(|one, two| one.0 < two.0);
        let size = plain.len() as u64;
        ascending.then_some((maintainer, Self { commits, size }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(commits: &[(u64, &[u8])]) -> Bundle {
        let mut bundle = Bundle::default();
        for (number, object) in commits {
            assert!(bundle.add(*number, object, u64::MAX));
        }
        bundle
    }

    fn place(job: &JobName) -> BundlePlace<'_> {
        BundlePlace {
            repository: RepositoryId([1; 16]),
            job,
            number: 64,
            part: 2,
        }
    }

    fn anybody(_: WriterId) -> bool {
        true
    }

    fn job() -> JobName {
        "prod".parse().expect("a job name")
    }

    #[test]
    fn what_is_put_together_comes_back() {
        let (job, key) = (job(), WriterKey::generate());
        let text = b"a commit names packs, and the next one the same. ".repeat(500);
        let cases: [&[(u64, &[u8])]; 3] = [
            &[],
            &[(3, &text[..LEAST])],
            &[(1, &text[..LEAST]), (64, &text), (999_999_999_999, &text)],
        ];
        for commits in cases {
            let object = bundle(commits).encode(place(&job), &key);
            let (who, decoded) = Bundle::decode(&object, place(&job), anybody).expect("it is one");
            assert_eq!(who, key.id());
            let nobody = Bundle::decode(&object, place(&job), |who| who != key.id());
            assert_eq!(nobody, None);
            let wanted = commits.iter().map(|(number, it)| (*number, it.to_vec()));
            assert_eq!(decoded.into_commits(), wanted.collect::<Vec<_>>());
            for length in 0..object.len() {
                assert_eq!(
                    Bundle::decode(&object[..length], place(&job), anybody),
                    None
                );
                let mut flipped = object.clone();
                flipped[length] ^= 1;
                assert_eq!(
                    Bundle::decode(&flipped, place(&job), anybody),
                    None,
                    "{length}"
                );
            }
            let longer = [&object[..], b"x"].concat();
            assert_eq!(Bundle::decode(&longer, place(&job), anybody), None);
        }
        let object = bundle(&[(1, &text), (2, &text)]).encode(place(&job), &key);
        assert!(object.len() < 600, "{}: not compressed", object.len());
    }

    #[test]
    fn a_bundle_is_of_one_place() {
        let (job, key) = (job(), WriterKey::generate());
        let object = bundle(&[(1, &[b'x'; LEAST])]).encode(place(&job), &key);
        let (here, other) = (place(&job), "test".parse().expect("a job name"));
        for elsewhere in [
            BundlePlace {
                repository: RepositoryId([2; 16]),
                ..here
            },
            BundlePlace {
                job: &other,
                ..here
            },
            BundlePlace { number: 65, ..here },
            BundlePlace { part: 0, ..here },
        ] {
            assert_eq!(
                Bundle::decode(&object, elsewhere, anybody),
                None,
                "{elsewhere:?}"
            );
        }
    }

    #[test]
    fn numbers_ascend() {
        let (job, key) = (job(), WriterKey::generate());
        let text = &[b'x'; LEAST][..];
        for commits in [[(2, text), (2, text)], [(2, text), (1, text)]] {
            let object = bundle(&commits).encode(place(&job), &key);
            assert_eq!(Bundle::decode(&object, place(&job), anybody), None);
        }
    }

    #[test]
    fn one_that_would_be_too_long_is_not_added() {
        let mut bundle = Bundle::default();
        let large = vec![b'x'; BUNDLE_MAX as usize / 2];
        assert!(bundle.add(1, &large, u64::MAX));
        assert!(!bundle.add(2, &large, u64::MAX));
        assert!(!bundle.add(2, &[b's'; LEAST], BUNDLE_MAX / 2));
        assert!(bundle.add(3, &[b's'; LEAST], u64::MAX));
        let (job, key) = (job(), WriterKey::generate());
        let object = bundle.encode(place(&job), &key);
        assert!(object.len() as u64 <= BUNDLE_MAX);
        assert!(Bundle::decode(&object, place(&job), anybody).is_some());
    }

    /// A count of which nothing is there asks for no memory.
    #[test]
    fn a_count_that_lies_is_refused() {
        let (job, key) = (job(), WriterKey::generate());
        let many = [&[100][..], &[0; 200]].concat();
        for plain in [
            &[0xff; 9][..],
            &[0xff, 0xff, 0xff, 0xff, 1],
            &[1, 1, 9],
            &many,
        ] {
            let message = encode(plain, false);
            let signature = key.sign(CONTEXT, &place(&job).signed(&message));
            let object = [&MAGIC[..], &key.id().0, &signature, &message].concat();
            assert_eq!(Bundle::decode(&object, place(&job), anybody), None);
        }
    }
}

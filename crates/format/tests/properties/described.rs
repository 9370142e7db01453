//! Any manifest, map and commit that a writer could mean.

use std::collections::{BTreeMap, BTreeSet};

use archive::{Digest, Name};
use format::{
    CHUNK_MAX, CommitRef, Condemned, Copied, DigestText, FRAME_MAX, ForgetStatement, FrameRow,
    Group, Incomplete, Log, Manifest, ManifestSource, Map, MappedSource, Object, Origin, Pack,
    PinStatement, PruneStatement, Ranges, RepositoryId, RevokeStatement, RotateStatement, Rotated,
    RotatedRun, Run, RunId, SnapshotStatement, SourceTimes, Statement, StoredRun, StoredTags,
    Stream, Witness, WriterId,
};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;

pub(crate) const REPOSITORY: RepositoryId = RepositoryId([1; 16]);
pub(crate) const RUN: RunId = RunId([2; 16]);
pub(crate) const JOB: &str = "prod";
pub(crate) const NUMBER: u64 = 7;

fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest)
}

fn origins() -> impl Strategy<Value = Vec<Origin>> {
    let origin = (any::<[u8; 16]>(), any::<u32>());
    btree_set(origin, 1..6).prop_map(|origins| {
        let origin = |(run, stream)| Origin {
            run: RunId(run),
            stream,
        };
        origins.into_iter().map(origin).collect()
    })
}

/// Chunks of one of `origins`, by origin, number and length.
fn chunks() -> impl Strategy<Value = Vec<(prop::sample::Index, u32, usize)>> {
    vec(
        (any::<prop::sample::Index>(), 0_u32..60, 1_usize..CHUNK_MAX),
        0..40,
    )
}

fn ranges(chunks: &[(prop::sample::Index, u32, usize)], origins: usize) -> Ranges {
    let mut ranges = Ranges::default();
    for (origin, number, length) in chunks {
        ranges.push(origin.index(origins) as u32, *number, *length);
    }
    ranges
}

/// Groups of two chunks.
fn stream(chunks: &[(prop::sample::Index, u32, usize)], origins: usize, digest: Digest) -> Stream {
    let group = |chunks: &[(_, _, usize)]| Group {
        chunks: chunks.len() as u32,
        length: chunks.iter().map(|(_, _, length)| *length as u64).sum(),
        digest,
    };
    Stream {
        ranges: ranges(chunks, origins),
        groups: chunks.chunks(2).map(group).collect(),
    }
}

fn row() -> impl Strategy<Value = FrameRow> {
    let chunks = vec(1..=CHUNK_MAX as u32, 0..=FRAME_MAX / CHUNK_MAX);
    (any::<[u32; 3]>(), chunks).prop_map(|([pack, offset, sealed], chunks)| FrameRow {
        pack,
        offset,
        sealed,
        chunks,
    })
}

type Described = (
    String,
    String,
    BTreeMap<String, String>,
    Vec<(Vec<u8>, String)>,
    u64,
);

pub(crate) fn manifest() -> impl Strategy<Value = Manifest> {
    let told = vec((any::<Vec<u8>>(), any::<String>()), 0..3);
    let described = (
        "[a-z]{1,9}",
        "[a-z]{1,9}",
        btree_map(any::<String>(), any::<String>(), 0..3),
        told,
        any::<u64>(),
    );
    let source = (
        described,
        chunks(),
        chunks(),
        digest(),
        [vec(row(), 0..5), vec(row(), 0..5)],
    );
    (any::<String>(), origins(), vec(source, 0..4)).prop_map(|(configuration, origins, sources)| {
        let mut manifest = Manifest {
            configuration,
            origins,
            ..Manifest::default()
        };
        for (described, content, catalog, digest, stored) in sources {
            let count = manifest.origins.len();
            let content = stream(&content, count, digest);
            let catalog = stream(&catalog, count, digest);
            manifest
                .sources
                .push(source_of(described, content, catalog));
            manifest.stored.extend(stored);
        }
        manifest
    })
}

fn source_of(
    (name, kind, facts, told, entries): Described,
    content: Stream,
    catalog: Stream,
) -> ManifestSource {
    let incomplete = told.into_iter().map(|(name, reason)| Incomplete {
        name: Name::new(name),
        reason,
    });
    ManifestSource {
        name,
        kind,
        facts,
        incomplete: incomplete.collect(),
        entries,
        content,
        catalog,
    }
}

pub(crate) fn map() -> impl Strategy<Value = Map> {
    let stored =
        vec((any::<u32>(), vec(any::<[u8; 16]>(), 0..5)), 0..6).prop_map(|frames| StoredTags {
            frames: frames
                .iter()
                .map(|(pack, tags)| (*pack, tags.len() as u32))
                .collect(),
            tags: frames.into_iter().flat_map(|(_, tags)| tags).collect(),
        });
    let source = (any::<String>(), chunks(), chunks());
    (
        any::<[u8; 32]>(),
        origins(),
        vec(source, 0..4),
        vec(stored, 0..5),
    )
        .prop_map(|(head, origins, sources, stored)| {
            let source = |(name, content, catalog): (_, Vec<_>, Vec<_>)| MappedSource {
                name,
                content: ranges(&content, origins.len()),
                catalog: ranges(&catalog, origins.len()),
            };
            let sources = sources.into_iter().map(source).collect();
            Map {
                head,
                origins,
                sources,
                stored,
            }
        })
}

fn object() -> impl Strategy<Value = Object> {
    (0..=format::PACK_MAX, digest()).prop_map(|(size, digest)| Object { size, digest })
}

fn run() -> impl Strategy<Value = Run> {
    let packs = btree_map(any::<u32>(), object(), 0..4);
    let key_pq = proptest::option::of(object());
    (
        any::<[u8; 16]>(),
        object(),
        key_pq,
        object(),
        object(),
        packs,
    )
        .prop_map(|(run, key, key_pq, manifest, map, packs)| Run {
            run: RunId(run),
            key,
            key_pq,
            manifest,
            map,
            packs: packs
                .into_iter()
                .map(|(number, object)| Pack { number, object })
                .collect(),
        })
}

fn log(appender: WriterId) -> impl Strategy<Value = Log> {
    let witness = (any::<[u8; 16]>(), any::<u64>(), digest());
    (
        prop::option::of(digest()),
        any::<String>(),
        vec(witness, 0..3),
    )
        .prop_map(move |(previous, appended, witness)| Log {
            number: NUMBER,
            previous: previous.map(DigestText),
            appender,
            appended,
            copied: None,
            witness: witness
                .into_iter()
                .map(|(repository, number, digest)| Witness {
                    repository: RepositoryId(repository),
                    number,
                    digest: DigestText(digest),
                })
                .collect(),
        })
}

fn snapshot(writer: WriterId) -> impl Strategy<Value = Statement> {
    let times = vec((any::<String>(), any::<String>()), 0..3);
    let parent = prop::option::of((any::<u64>(), digest()));
    let runs = btree_map(any::<[u8; 16]>(), run(), 1..4);
    (
        any::<[String; 3]>(),
        times,
        any::<(bool, [u64; 3])>(),
        vec("age1[a-z0-9]{9}", 0..3),
        parent,
        runs,
    )
        .prop_map(
            move |(
                [program, started, finished],
                times,
                (partial, [entries, bytes, added]),
                recipients,
                parent,
                runs,
            )| {
                Statement::Snapshot(Box::new(SnapshotStatement {
                    repository: REPOSITORY,
                    job: JOB.parse().expect("a job name"),
                    writer,
                    program,
                    started,
                    finished,
                    sources: times
                        .into_iter()
                        .map(|(started, finished)| SourceTimes { started, finished })
                        .collect(),
                    partial,
                    entries,
                    bytes,
                    added,
                    recipients,
                    parent: parent.map(|(number, digest)| CommitRef { number, digest }),
                    runs: runs
                        .into_iter()
                        .map(|(name, run)| Run {
                            run: RunId(name),
                            ..run
                        })
                        .collect(),
                }))
            },
        )
}

fn prune(writer: WriterId) -> impl Strategy<Value = Statement> {
    let condemned = (any::<[u8; 16]>(), any::<bool>(), vec(any::<u32>(), 0..3));
    let retains = vec((any::<u64>(), digest().prop_map(DigestText)), 0..4);
    (any::<[String; 2]>(), retains, vec(condemned, 0..3)).prop_map(
        move |([program, started], retains, condemns)| {
            let condemned = |(run, whole, packs)| Condemned {
                run: RunId(run),
                whole,
                packs,
            };
            Statement::Prune(PruneStatement {
                repository: REPOSITORY,
                job: JOB.parse().expect("a job name"),
                writer,
                program,
                started,
                retains,
                condemns: condemns.into_iter().map(condemned).collect(),
            })
        },
    )
}

/// A pin, a forget, a revocation or a rotation.
fn maintenance(writer: WriterId) -> impl Strategy<Value = Statement> {
    let at = |(number, digest)| CommitRef { number, digest };
    let job = || JOB.parse().expect("a job name");
    let told = any::<[String; 2]>;
    let pin = (told(), any::<u64>(), digest(), any::<bool>());
    let pin = pin.prop_map(move |([program, started], number, digest, pinned)| {
        Statement::Pin(PinStatement {
            repository: REPOSITORY,
            job: job(),
            writer,
            program,
            started,
            snapshot: at((number, digest)),
            pinned,
        })
    });
    let forget = (told(), btree_map(any::<u64>(), digest(), 1..5));
    let forget = forget.prop_map(move |([program, started], snapshots)| {
        Statement::Forget(ForgetStatement {
            repository: REPOSITORY,
            job: job(),
            writer,
            program,
            started,
            snapshots: snapshots.into_iter().map(at).collect(),
        })
    });
    let revoke = (told(), btree_set(any::<[u8; 32]>(), 1..5), any::<u64>());
    let revoke = revoke.prop_map(move |([program, started], writers, after)| {
        Statement::Revoke(RevokeStatement {
            repository: REPOSITORY,
            job: job(),
            writer,
            program,
            started,
            writers: writers.into_iter().map(WriterId).collect(),
            after,
        })
    });
    prop_oneof![pin, forget, revoke, rotate(writer)]
}

fn rotate(writer: WriterId) -> impl Strategy<Value = Statement> {
    let key = || {
        let object = (0..=format::SMALL_OBJECT_MAX, digest());
        object.prop_map(|(size, digest)| Object { size, digest })
    };
    let name = (1..=999_999_u32).prop_map(|number| format!("key-{number}"));
    let keys = (name, key(), proptest::option::of(key()));
    let runs = btree_map(any::<[u8; 16]>(), keys, 1..4);
    (any::<[String; 2]>(), vec("age1[a-z0-9]{9}", 1..3), runs).prop_map(
        move |([program, started], recipients, runs)| {
            let rotated = |(run, (name, key, key_pq)): (_, (String, _, _))| RotatedRun {
                run: RunId(run),
                object: name.parse().expect("a key object's name"),
                key,
                key_pq,
            };
            Statement::Rotate(RotateStatement {
                repository: REPOSITORY,
                job: JOB.parse().expect("a job name"),
                writer,
                program,
                started,
                recipients,
                runs: runs.into_iter().map(rotated).collect(),
            })
        },
    )
}

pub(crate) fn commit(writer: WriterId) -> impl Strategy<Value = (Statement, Log)> {
    let statement = prop_oneof![snapshot(writer), prune(writer), maintenance(writer)];
    (statement, log(writer))
}

/// A snapshot as it stands in the log of another repository than it was made for.
pub(crate) fn copy(
    writer: WriterId,
    appender: WriterId,
) -> impl Strategy<Value = (Statement, Log)> {
    let key = || (0..=format::SMALL_OBJECT_MAX, digest());
    let second = prop::option::of(key());
    let rotated = prop::option::of((key(), second, vec("age1[a-z0-9]{9}", 1..3)));
    let stored = vec((any::<[u8; 16]>(), rotated), 3);
    let before = prop::option::of(1..NUMBER);
    let placed = (any::<[u8; 16]>(), stored, before);
    (snapshot(writer), log(appender), placed).prop_filter_map(
        "two runs lie in one place",
        |(mut statement, mut log, (made_for, stored, before))| {
            let object = |(size, digest)| Object { size, digest };
            let Statement::Snapshot(snapshot) = &mut statement else {
                return None;
            };
            snapshot.repository = RepositoryId(made_for);
            let places: BTreeSet<_> = stored.iter().map(|(run, _)| *run).collect();
            let runs = stored.iter().take(snapshot.runs.len());
            let runs = runs.map(|(run, rotated)| StoredRun {
                run: RunId(*run),
                rotated: rotated.clone().map(|(key, second, recipients)| Rotated {
                    key: object(key),
                    key_pq: second.map(object),
                    recipients,
                }),
            });
            log.copied = Some(Copied {
                repository: REPOSITORY,
                runs: runs.collect(),
                before,
            });
            (places.len() == stored.len()).then_some((statement, log))
        },
    )
}

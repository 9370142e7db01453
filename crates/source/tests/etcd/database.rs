//! What is read out of a snapshot's file is what etcd says that it holds.

use std::collections::BTreeMap;

use etcd_client::{Client, CompactionOptions, GetOptions, PutOptions, Txn, TxnOp};
use strongroom_source::etcd::database::{Database, Item, Records, Revision, Skeleton};
use strongroom_source::suite::Archive;
use testkit::{EtcdOptions, Release, require};

use crate::cluster::{client, value};
use crate::{snapshot, source_of};

/// Value, revision that made it, revision that changed it last, version, lease.
type State = (Vec<u8>, i64, i64, i64, i64);

/// Every key at one revision.
type Held = BTreeMap<Vec<u8>, State>;

/// Every change: its key, and what it is then unless it is deleted.
type History = BTreeMap<Revision, (Vec<u8>, Option<State>)>;

/// Bucket, key and value.
type Other = (Vec<u8>, Vec<u8>, Vec<u8>);

pub(crate) fn skeleton(file: &[u8]) -> Database {
    let mut skeleton = Skeleton::default();
    file.chunks(100_000).for_each(|piece| skeleton.feed(piece));
    let database = skeleton.finish().expect("a database");
    assert_eq!(database.damage(), &[]);
    database
}

/// The changes in the file, and what the other buckets hold.
fn read(file: &[u8]) -> (Database, History, Vec<Other>) {
    let database = skeleton(file);
    let mut records = Records::new(&database);
    let (mut history, mut others) = (History::new(), Vec::new());
    for piece in file.chunks(77_777) {
        let mut take = |item: Item<'_>| match item {
            Item::Record(record) => {
                let state = (
                    record.value.to_vec(),
                    record.create_revision,
                    record.mod_revision,
                    record.version,
                    record.lease,
                );
                let state = Some(state).filter(|_| !record.tombstone);
                let before = history.insert(record.revision, (record.key.to_vec(), state));
                assert!(before.is_none(), "a revision is there once");
            }
            Item::Other { bucket, key, value } => {
                others.push((bucket.to_vec(), key.to_vec(), value.to_vec()));
            }
        };
        records.feed(piece, &mut take).expect("the same bytes");
    }
    records.finish().expect("the same bytes");
    (database, history, others)
}

/// What a client saw after that many transactions.
fn state_at(history: &History, main: u64) -> Held {
    let mut held = Held::new();
    for (revision, (key, state)) in history {
        match state {
            _ if revision.main > main => break,
            Some(state) => held.insert(key.clone(), state.clone()),
            None => held.remove(key),
        };
    }
    held
}

/// All that the server has at a revision, in answers that are not too large.
async fn range(client: &mut Client, revision: i64) -> Held {
    let mut held = Held::new();
    let mut from = b"\0".to_vec();
    loop {
        let limit = if from.starts_with(b"large") { 2 } else { 100 };
        let options = GetOptions::new()
            .with_from_key()
            .with_revision(revision)
            .with_limit(limit);
        let answer = client.get(from.clone(), Some(options)).await;
        let answer = answer.expect("readable");
        for pair in answer.kvs() {
            let state = (
                pair.value().to_vec(),
                pair.create_revision(),
                pair.mod_revision(),
                pair.version(),
                pair.lease(),
            );
            held.insert(pair.key().to_vec(), state);
            from = [pair.key(), b"\0"].concat();
        }
        if !answer.more() {
            return held;
        }
    }
}

/// Writes, overwrites, deletes and makes again, several keys in one transaction too, with values of all sizes and a lease.
pub(crate) async fn busy(client: &mut Client) {
    let lease = client.lease_grant(3_600, None).await.expect("granted").id();
    for round in 0..4_u32 {
        for n in 0..12 {
            let length = [0, 10, 900, 5_000][(n % 4) as usize];
            let key = format!("a/{n:03}");
            let put = client.put(key, value(100 * round + n, length), None);
            put.await.expect("written");
        }
        let several = (0..20).map(|n| TxnOp::put(format!("b/{n}"), value(round, 50), None));
        let also = [TxnOp::delete(format!("a/{round:03}"), None)];
        let all: Vec<_> = several.chain(also).collect();
        client.txn(Txn::new().and_then(all)).await.expect("written");
        let options = PutOptions::new().with_lease(lease);
        let leased = client.put(format!("leased/{}", round % 2), "x", Some(options));
        leased.await.expect("written");
        let large = client.put(
            format!("large/{}", round % 3),
            value(round, 1_000_000),
            None,
        );
        large.await.expect("written");
    }
    client.delete("b/7", None).await.expect("deleted");
    client
        .put(&b"\0\x01odd\xff"[..], "", None)
        .await
        .expect("written");
}

async fn compare(release: &Release, compact: Option<i64>) {
    let server = testkit::Etcd::start(release, EtcdOptions::default());
    let mut client = client(&server.endpoint()).await;
    busy(&mut client).await;
    if let Some(compact) = compact {
        let options = CompactionOptions::new().with_physical();
        let compacted = client.compact(compact, Some(options)).await;
        compacted.expect("compacted");
    }
    let (archive, _) = Archive::collect(&source_of(&server))
        .await
        .expect("a capture");
    let (_, file) = snapshot(&archive);
    let (database, history, others) = read(file);
    let now = client.get("x", None).await.expect("readable");
    let now = now.header().expect("a header").revision();
    assert_eq!(database.revision(), now.cast_unsigned());
    assert_eq!(
        database.compaction().finished,
        compact.map(i64::cast_unsigned)
    );
    for revision in compact.unwrap_or(1)..=now {
        let there = range(&mut client, revision).await;
        let here = state_at(&history, revision.cast_unsigned());
        assert!(here == there, "they differ at revision {revision}");
    }
    let key = database.bucket(b"key").expect("it is there");
    assert_eq!(key.keys, history.len() as u64);
    assert!(key.bytes > 3_000_000);
    for name in ["consistent_index", "finishedCompactRev"] {
        let is =
            |(bucket, key, _): &&Other| (&bucket[..], &key[..]) == (&b"meta"[..], name.as_bytes());
        let expected = name == "consistent_index" || compact.is_some();
        assert_eq!(others.iter().find(is).is_some(), expected, "{name}");
    }
    assert!(others.iter().any(|(bucket, _, _)| bucket == b"lease"));
}

#[tokio::test]
async fn every_revision_is_read_as_etcd_says_it_was() {
    for name in ["etcd", "etcd-debian"] {
        let Some(release) = require(name) else {
            continue;
        };
        compare(&release, None).await;
        compare(&release, Some(40)).await;
    }
}

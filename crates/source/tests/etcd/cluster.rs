use std::collections::BTreeMap;

use etcd_client::{Client, GetOptions, PutOptions, Txn, TxnOp};

/// What a server holds, as a client sees it.
#[derive(PartialEq)]
pub(crate) struct Held {
    pub(crate) revision: i64,
    /// Key to value, revision of the last change and lease.
    pub(crate) pairs: BTreeMap<Vec<u8>, (Vec<u8>, i64, i64)>,
}

/// Writes `keys` small values, `large` of 1 MiB, a key with a lease and one that is deleted again.
pub(crate) async fn seed(server: &testkit::Etcd, keys: u32, large: u32) {
    seed_at(&server.endpoint(), keys, large).await;
}

/// The same wherever clients connect.
pub(crate) async fn seed_at(endpoint: &str, keys: u32, large: u32) {
    seed_by(&mut client(endpoint).await, keys, large).await;
}

/// The same for whoever has a client.
pub(crate) async fn seed_by(client: &mut Client, keys: u32, large: u32) {
    for some in (0..keys).collect::<Vec<_>>().chunks(100) {
        let puts = some
            .iter()
            .map(|n| TxnOp::put(format!("/registry/secrets/{n:05}"), value(*n, 200), None));
        client
            .txn(Txn::new().and_then(puts.collect::<Vec<_>>()))
            .await
            .expect("written");
    }
    for n in 0..large {
        client
            .put(format!("/large/{n}"), value(n, 1024 * 1024), None)
            .await
            .expect("written");
    }
    let lease = client.lease_grant(3_600, None).await.expect("granted").id();
    client
        .put("/leased", "x", Some(PutOptions::new().with_lease(lease)))
        .await
        .expect("written");
    client.put("/deleted", "x", None).await.expect("written");
    client.delete("/deleted", None).await.expect("deleted");
}

/// Everything in the server.
pub(crate) async fn contents_of(endpoint: &str) -> Held {
    contents_at(endpoint, 0).await
}

/// Everything that was in the server at a revision; 0 is now.
pub(crate) async fn contents_at(endpoint: &str, revision: i64) -> Held {
    let mut client = client(endpoint).await;
    let mut held = Held {
        revision: 0,
        pairs: BTreeMap::new(),
    };
    let mut from = b"\0".to_vec();
    // In pages: an answer may have 4 MiB.
    loop {
        let options = GetOptions::new()
            .with_from_key()
            .with_limit(500)
            .with_revision(revision)
            .with_serializable();
        // Up to the last large one.
        let options = if from.as_slice() < b"/larger".as_slice() {
            options.with_limit(2)
        } else {
            options
        };
        let answer = client
            .get(from.clone(), Some(options))
            .await
            .expect("readable");
        held.revision = answer.header().expect("a header").revision();
        for pair in answer.kvs() {
            let value = (pair.value().to_vec(), pair.mod_revision(), pair.lease());
            held.pairs.insert(pair.key().to_vec(), value);
            from = [pair.key(), b"\0"].concat();
        }
        if !answer.more() {
            return held;
        }
    }
}

pub(crate) async fn client(endpoint: &str) -> Client {
    Client::connect([endpoint], None).await.expect("connected")
}

/// Bytes that look random and are the same every time.
pub(crate) fn value(seed: u32, length: usize) -> Vec<u8> {
    let mut state = u64::from(seed) + 1;
    let next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

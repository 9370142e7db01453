//! A backup host that was taken over can tag garbage as a chunk that it expects, so that a later honest backup refers to it.
//! The groups' digests show it: the snapshot is reported as damaged and is never restored as if it were good.

mod common;

use common::{NOW, Secrets, World, job, noise};
use format::{
    Commit, DataKey, Group, Log, Manifest, Map, Object, Place, Ranges, SnapshotStatement, Statement,
};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use repository::{Error, Outcome, Select, Snapshot};

const SIZE: usize = 3000;

fn one(content: Vec<u8>) -> Secrets {
    Secrets::from([("key".to_owned(), content)])
}

#[tokio::test]
async fn garbage_under_a_good_tag_is_found_when_it_is_read() {
    let (garbage, secret) = (noise(SIZE, 1), noise(SIZE, 2));
    let world = World::new().await;
    world.back_up(&one(garbage.clone())).await;
    lie_about_the_tag(&world, &secret).await;

    let honest = world.back_up(&one(secret.clone())).await;
    let Outcome::Committed(honest) = honest else {
        panic!("nothing interfered")
    };
    assert!(
        honest.statement.added < SIZE as u64,
        "it refers to the garbage: the lie worked"
    );

    let number = honest.at.number;
    let refused = world.read(number).await;
    assert!(
        matches!(&refused, Err(Error::Damaged { .. })),
        "{:?}",
        refused.err()
    );
    // Whoever uses nothing before the end has it from the entry's own digest, before the end is told.
    let held_back = world.open(number).await;
    let held_back = read_held_back(&held_back.expect("its manifest is sound")).await;
    let message = held_back.expect_err("the same").to_string();
    assert!(
        message.contains("the content of key does not match its digest"),
        "{message}"
    );
    assert_eq!(
        world.read(1).await.expect("the first says what it holds"),
        one(garbage)
    );
}

/// The first entry of a snapshot, for whoever uses nothing of it before its end.
async fn read_held_back(snapshot: &Snapshot) -> Result<Vec<u8>, Error> {
    let mut reader = snapshot.entries(0).selecting(Select::Most);
    reader.next().await?.expect("it has one");
    reader.hold_back();
    let mut content = Vec::new();
    while let Some(piece) = reader.data().await? {
        content.extend_from_slice(piece.as_bytes());
    }
    Ok(content)
}

/// A manifest may name a chunk any number of times and understate its length. Reading must not take memory for it: it ends with the
/// first byte too many, long before the last chunk of the group.
#[tokio::test]
async fn a_group_that_is_longer_than_it_says_is_not_read_to_its_end() {
    let world = World::new().await;
    world.back_up(&one(noise(1 << 20, 3))).await;
    understate_a_group(&world).await;
    let refused = world.read(1).await.map(|_| ());
    let refused = refused.expect_err("nothing of it is true").to_string();
    assert!(
        refused.contains("not the bytes that its writer read"),
        "{refused}"
    );
}

/// Lets the catalog be the first and the last chunk of the content, of one byte in all, and takes away where the last one is.
async fn understate_a_group(world: &World) {
    let view = world.repository.view(&job(), &world.trust()).await;
    let view = view.expect("sound");
    let mut statement = view.snapshot(1).expect("written").statement.clone();
    let run = &mut statement.runs[0];
    let place = Place {
        repository: world.repository.id(),
        job: job(),
        run: run.run,
    };
    let name = |object: &str| Path::from(format!("prod/runs/{}/{object}", run.run));
    let key = DataKey::open_with(&get(world, &name("key")).await, &world.identities);
    let key = key.expect("our own key");
    let object = get(world, &name("manifest")).await;
    let mut manifest = Manifest::open(&object, &key, &place).expect("our own manifest");
    assert!(manifest.stored[0].len() > 1, "the content takes two frames");

    let last = manifest.sources[0].content.ranges.chunks() as u32 - 1;
    let (mut ranges, catalog) = (Ranges::default(), &mut manifest.sources[0].catalog);
    ranges.push(0, 0, 1);
    ranges.push(0, last, 0);
    catalog.groups = vec![Group {
        chunks: 2,
        length: 1,
        digest: archive::Digest::of(b""),
    }];
    catalog.ranges = ranges;
    manifest.stored[0].last_mut().expect("two frames").pack = 9;
    let object = manifest.seal(&key, &place).expect("a small manifest");
    run.manifest = Object {
        size: object.len() as u64,
        digest: archive::Digest::of(&object),
    };
    overwrite(&*world.store, &name("manifest"), object).await;
    recommit(world, statement).await;
}

async fn get(world: &World, name: &Path) -> Vec<u8> {
    let object = world.store.get(name).await.expect("it exists");
    object.bytes().await.expect("it reads").to_vec()
}

/// Replaces map and commit of the first snapshot, as someone with the writer key and the store's rights could.
async fn lie_about_the_tag(world: &World, secret: &[u8]) {
    let view = world
        .repository
        .view(&job(), &world.trust())
        .await
        .expect("sound");
    let first = view.snapshot(1).expect("it was just written");
    let mut statement = first.statement.clone();
    let run = &mut statement.runs[0];
    let place = Place {
        repository: world.repository.id(),
        job: job(),
        run: run.run,
    };

    let name = Path::from(format!("prod/runs/{}/map", run.run));
    let object = get(world, &name).await;
    let mut map = Map::open(&object, &world.writer, &place).expect("our own map");
    assert_eq!(map.stored[0].tags.len(), 1, "the content is one chunk");
    map.stored[0].tags[0] = world.writer.tag(blake3::hash(secret).as_bytes());
    let object = map.seal(&world.writer, &place).expect("a small map");
    run.map = Object {
        size: object.len() as u64,
        digest: archive::Digest::of(&object),
    };
    overwrite(&*world.store, &name, object).await;
    recommit(world, statement).await;
}

async fn recommit(world: &World, statement: SnapshotStatement) {
    let log = Log {
        number: 1,
        previous: None,
        appender: world.writer.id(),
        appended: NOW.to_owned(),
        copied: None,
        witness: vec![],
    };
    let commit = Commit::encode(
        &Statement::Snapshot(Box::new(statement)),
        &log,
        &world.writer,
    );
    overwrite(&*world.store, &Path::from("prod/log/000000000001"), commit).await;
}

async fn overwrite(store: &dyn ObjectStore, name: &Path, bytes: Vec<u8>) {
    store
        .put(name, bytes.into())
        .await
        .expect("memory takes it");
}

//! A backup host that was taken over can tag garbage as a chunk that it expects, so that a later honest backup refers to it.
//! The groups' digests show it: the snapshot is reported as damaged and is never restored as if it were good.

mod common;

use common::{NOW, Secrets, World, job, noise};
use format::{Commit, Log, Map, Object, Place, Statement};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use repository::{Error, Outcome};

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
    assert_eq!(
        world.read(1).await.expect("the first says what it holds"),
        one(garbage)
    );
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
    let object = world
        .store
        .get(&name)
        .await
        .expect("it exists")
        .bytes()
        .await
        .expect("it reads");
    let mut map = Map::open(&object, &world.writer, &place).expect("our own map");
    assert_eq!(map.stored[0].tags.len(), 1, "the content is one chunk");
    map.stored[0].tags[0] = world.writer.tag(blake3::hash(secret).as_bytes());
    let object = map.seal(&world.writer, &place).expect("a small map");
    run.map = Object {
        size: object.len() as u64,
        digest: archive::Digest::of(&object),
    };
    overwrite(&*world.store, &name, object).await;

    let log = Log {
        number: 1,
        previous: None,
        appender: world.writer.id(),
        appended: NOW.to_owned(),
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

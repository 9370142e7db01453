//! A source that gives far more than anybody expects is stored, or refused, in memory that does not grow with it.
//!
//! 300,000 empty entries; 10 million with `STRONGROOM_LONG=1`. One test, for the memory that is measured is that of the process.

mod common;

use std::sync::Arc;

use archive::{Attributes, Content, Header, Item, Name};
use common::faults::{Mortal, Stop};
use common::{NOW, World, job};
use format::SourceTimes;
use futures::{Stream, StreamExt, stream};
use object_store::local::LocalFileSystem;
use repository::{Backup, Captured, Compute, Error, Outcome, Repository, SourceResult};

/// What a flood may add to what the process needed for a small backup.
const MEMORY: u64 = 96 << 20;

#[tokio::test]
async fn a_flood_is_taken_or_refused_in_bounded_memory() {
    let long = std::env::var_os("STRONGROOM_LONG").is_some();
    let entries = if long { 10_000_000 } else { 300_000 };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = LocalFileSystem::new_with_prefix(folder.path()).expect("it was just made");
    let world = World::on(Arc::new(store)).await;
    back_up_empty_entries(&world, 1_000).await;
    let small = peak_memory();

    let number = back_up_empty_entries(&world, entries).await;
    assert_eq!(count_entries(&world, number).await, entries);
    // Unchanged, so that all of it is found in the base.
    let number = back_up_empty_entries(&world, entries).await;
    assert_eq!(count_entries(&world, number).await, entries);
    say("empty entries", small);

    let names = (b'a'..=b'z').map(|byte| vec![begin(vec![byte; 1 << 20]), Item::End]);
    let refused = take(&world, &world.repository, stream::iter(names)).await;
    assert!(
        matches!(refused, Err(Error::Source { .. })),
        "a name of 1 MiB"
    );
    say("names of 1 MiB", small);

    let mortal = Mortal::new(Arc::clone(&world.store), 20, Stop::Before);
    let dying = world.through(mortal).await.expect("it lives for a while");
    let refused = take(&world, &dying, endless()).await;
    assert!(
        matches!(refused, Err(Error::Store { .. })),
        "the store is full"
    );
    say("an entry that never ends", small);
    assert_eq!(
        world.numbers().await.len(),
        3,
        "nothing was committed for these"
    );
}

fn begin(name: Vec<u8>) -> Item {
    Item::Begin(Header {
        name: Name::new(name),
        attributes: Attributes::default(),
        fields: None,
    })
}

/// One entry whose content goes on for ever, and is never the same.
fn endless() -> impl Stream<Item = Vec<Item>> + Send + Unpin {
    let head = stream::iter([vec![begin(b"endless".to_vec())]]);
    let noise = |seed| vec![Item::Data(Content::new(common::noise(100_000, seed)))];
    head.chain(stream::iter(0..).map(noise))
}

async fn take(
    world: &World,
    repository: &Repository,
    items: impl Stream<Item = Vec<Item>> + Send + Unpin,
) -> Result<Captured, Error> {
    let backup = Backup::start(repository, world.options(), Compute::inline()).await?;
    backup.take(0, "flood", true, items).await
}

async fn back_up_empty_entries(world: &World, entries: u64) -> u64 {
    let batches = (0..entries / 100).map(|batch| {
        let numbers = batch * 100..batch * 100 + 100;
        let entries =
            numbers.map(|number| [begin(format!("{number:012}").into_bytes()), Item::End]);
        entries.flatten().collect()
    });
    let backup = Backup::start(&world.repository, world.options(), Compute::inline()).await;
    let backup = backup.expect("a sound store");
    let captured = backup.take(0, "flood", true, stream::iter(batches)).await;
    let result = SourceResult {
        name: "flood".to_owned(),
        kind: "test".to_owned(),
        captured: captured.expect("it can be stored"),
        facts: [].into(),
        incomplete: Vec::new(),
        times: SourceTimes {
            started: NOW.to_owned(),
            finished: NOW.to_owned(),
        },
    };
    match backup.finish(vec![result], NOW, NOW).await {
        Ok(Outcome::Committed(finished)) => finished.at.number,
        Ok(_) => panic!("nothing interferes with {}", job()),
        Err(error) => panic!("{error}"),
    }
}

async fn count_entries(world: &World, number: u64) -> u64 {
    let snapshot = world.open(number).await.expect("it is whole");
    let mut reader = snapshot.entries(0);
    let mut count = 0;
    while let Some(entry) = reader.next().await.expect("it is whole") {
        assert_eq!(entry.length(), 0);
        count += 1;
    }
    count
}

#[expect(clippy::print_stderr, reason = "for docs/reliability.md")]
fn say(what: &str, small: u64) {
    let peak = peak_memory();
    eprintln!("{what}: {} MiB, {} before", peak >> 20, small >> 20);
    assert!(
        peak < small + MEMORY,
        "{what}: {peak} bytes, {small} before"
    );
}

/// The most memory that this process ever had.
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.expect("a size").parse::<u64>().expect("a number") << 10
}

//! The conformance suite: what every source promises, real servers included.
//!
//! [`conforms`] runs all of it on a [`Fixture`]; a source that cannot be emptied and refilled runs the functions that
//! fit it. All of them panic with a sentence when a promise is broken. [`Archive`] holds what a source was read into,
//! and serves it back as [`Contents`] and [`Entries`].

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use archive::{CatalogReader, Content, Digest, Entry, Item, Name, Streams, Writer};
use async_trait::async_trait;
use tokio::time::timeout;

use crate::{
    Action, Capture, Conflict, Contents, Entries, Error, ErrorKind, Finding, Plan, RestoreOptions,
    Sink, Source, Step,
};

/// How long a source may take to notice that nobody listens. It says no more than that it does not go on for ever: a machine may be busy.
const CLOSING: Duration = Duration::from_mins(1);

/// A live system with at least two entries in it, for [`conforms`].
#[async_trait]
pub trait Fixture: Send {
    /// A source that reads the system as it is now.
    fn source(&self) -> Box<dyn Source>;

    /// Takes everything out of the system that the source would capture, so that a restore creates all of it.
    async fn empty(&mut self);

    /// Changes one entry that was captured, so that it differs; returns its name.
    async fn change(&mut self) -> Name;

    /// What else a restore needs. `conflict` is set by the suite.
    fn options(&self) -> RestoreOptions {
        RestoreOptions::default()
    }

    /// Whether `attribute` of `entry` may differ after other entries were replaced (the time of a folder, say).
    fn forgives(&self, _entry: &Entry, _attribute: &str) -> bool {
        false
    }
}

/// Everything that a source promises. The system holds the same at the end as at the beginning.
pub async fn conforms(fixture: &mut dyn Fixture) {
    let archive = reads_the_same_twice(&*fixture.source()).await;
    assert!(
        archive.len() > 1,
        "the suite needs at least two entries to say anything"
    );
    notices_a_closed_sink(&*fixture.source()).await;
    plans_itself_as_same(&*fixture.source(), &archive, &fixture.options()).await;
    finds_nothing_bad(&*fixture.source(), &archive).await;
    restores_into_nothing(fixture, &archive).await;
    obeys_the_conflict_policy(fixture, &archive).await;
}

/// Two reads give identical entries and bytes, in ascending order, and leave nothing out. Returns what was read.
pub async fn reads_the_same_twice(source: &dyn Source) -> Archive {
    let (first, capture) = Archive::collect(source).await.expect("a first read");
    let (second, _) = Archive::collect(source).await.expect("a second read");
    assert!(
        capture.incomplete.is_empty(),
        "an honest system is captured whole: {capture:?}"
    );
    first.assert_equals(&second);
    first
}

/// Comparing what was just captured with where it came from finds no difference, under every policy.
pub async fn plans_itself_as_same(
    source: &dyn Source,
    archive: &Archive,
    options: &RestoreOptions,
) {
    for conflict in [Conflict::Fail, Conflict::Skip, Conflict::Overwrite] {
        let options = RestoreOptions {
            conflict,
            ..options.clone()
        };
        let plan = plan(source, archive, &options).await;
        for step in &plan.steps {
            assert_eq!(
                step.action,
                Action::Same,
                "{} is what it was captured from",
                step.name
            );
        }
    }
}

/// A check of an honest archive finds nothing that is bad.
pub async fn finds_nothing_bad(source: &dyn Source, archive: &Archive) {
    let findings = source
        .check(&mut archive.contents())
        .await
        .expect("a check");
    let bad: Vec<&Finding> = findings.iter().filter(|finding| finding.bad).collect();
    assert!(
        bad.is_empty(),
        "an honest archive has bad findings: {bad:?}"
    );
}

/// When the other end has gone, reading ends soon and with an error.
pub async fn notices_a_closed_sink(source: &dyn Source) {
    let (mut sink, receiver) = Sink::channel();
    drop(receiver);
    let read = async {
        match source.read(&mut sink).await {
            // What is small enough to wait in the sink is missed when it is flushed.
            Ok(_) => sink.finish().await.map_err(Error::from),
            Err(error) => Err(error),
        }
    };
    let read = timeout(CLOSING, read)
        .await
        .expect("a closed sink ends the read");
    assert!(read.is_err(), "a read into a closed sink is an error");
}

/// What is restored into an emptied system is captured as an equal archive.
pub async fn restores_into_nothing(fixture: &mut dyn Fixture, archive: &Archive) {
    fixture.empty().await;
    let source = fixture.source();
    for conflict in [Conflict::Skip, Conflict::Overwrite, Conflict::Fail] {
        let options = RestoreOptions {
            conflict,
            ..fixture.options()
        };
        let plan = plan(&*source, archive, &options).await;
        let created = plan
            .steps
            .iter()
            .filter(|step| step.action == Action::Create)
            .count();
        assert!(created > 0, "nothing is created in an emptied system");
        if conflict == Conflict::Fail {
            write(&*source, archive, &plan, &options).await;
        }
    }
    let (restored, _) = Archive::collect(&*source)
        .await
        .expect("a read of what was restored");
    archive.assert_equals(&restored);
}

/// What exists and differs makes the restore fail, is left, or is replaced, as the user said.
pub async fn obeys_the_conflict_policy(fixture: &mut dyn Fixture, archive: &Archive) {
    let name = fixture.change().await;
    let source = fixture.source();
    let (changed, _) = Archive::collect(&*source)
        .await
        .expect("a read of what was changed");
    let with = |conflict| RestoreOptions {
        conflict,
        ..fixture.options()
    };

    let options = with(Conflict::Fail);
    let failing = plan(&*source, archive, &options).await;
    assert!(
        matches!(action(&failing, &name), Action::Conflict { .. }),
        "{failing:?}"
    );
    let mut contents = archive.written_by(&failing);
    let refused = source.write(&failing, &mut contents, &options).await;
    let kind = refused.err().map(|error| error.kind());
    assert_eq!(
        kind,
        Some(ErrorKind::Conflict),
        "a plan with a conflict is not carried out"
    );
    assert_unchanged(&*source, &changed).await;

    let options = with(Conflict::Skip);
    let skipping = plan(&*source, archive, &options).await;
    assert!(
        matches!(action(&skipping, &name), Action::Skip { .. }),
        "{skipping:?}"
    );
    write(&*source, archive, &skipping, &options).await;
    assert_unchanged(&*source, &changed).await;

    let options = with(Conflict::Overwrite);
    let overwriting = plan(&*source, archive, &options).await;
    let Action::Update { what } = action(&overwriting, &name) else {
        panic!("what differs is replaced: {overwriting:?}");
    };
    assert!(!what.is_empty(), "an update says in what");
    write(&*source, archive, &overwriting, &options).await;
    let (replaced, _) = Archive::collect(&*source)
        .await
        .expect("a read of what was replaced");
    archive.assert_equals_but(&replaced, |entry, name| fixture.forgives(entry, name));
}

async fn assert_unchanged(source: &dyn Source, expected: &Archive) {
    let (now, _) = Archive::collect(source).await.expect("a read");
    expected.assert_equals(&now);
}

/// A plan for the whole archive: one step per entry, the same when asked twice, and nothing changed by asking.
pub async fn plan(source: &dyn Source, archive: &Archive, options: &RestoreOptions) -> Plan {
    let plan = source
        .plan(&mut archive.entries(), options)
        .await
        .expect("a plan");
    let again = source
        .plan(&mut archive.entries(), options)
        .await
        .expect("the same plan");
    assert_eq!(plan, again, "a plan changes nothing");
    let planned: Vec<&Name> = plan.steps.iter().map(|step| &step.name).collect();
    let entries: Vec<&Name> = archive.names().collect();
    assert_eq!(
        planned, entries,
        "a plan has one step per entry, in their order"
    );
    plan
}

/// Carries out `plan`, and expects that every step of it succeeds.
pub async fn write(source: &dyn Source, archive: &Archive, plan: &Plan, options: &RestoreOptions) {
    let mut contents = archive.written_by(plan);
    let report = source
        .write(plan, &mut contents, options)
        .await
        .expect("a restore");
    let writing = plan
        .steps
        .iter()
        .filter(|step| step.action.writes())
        .count() as u64;
    assert_eq!(report.failed, [], "no entry is refused");
    assert_eq!(
        report.written, writing,
        "exactly the writing steps are carried out"
    );
}

/// What happens to `name` in `plan`.
pub fn action<'a>(plan: &'a Plan, name: &Name) -> &'a Action {
    let step = plan.steps.iter().find(|step: &&Step| step.name == *name);
    &step
        .unwrap_or_else(|| panic!("the plan has no step for {name}"))
        .action
}

/// A capture in memory. Clones share one content.
#[derive(Clone, Default)]
pub struct Archive {
    entries: Arc<Vec<(Entry, Vec<u8>)>>,
}

impl Archive {
    /// Reads all of `source` through the archive writer, which refuses what breaks the rules of an archive.
    pub async fn collect(source: &dyn Source) -> Result<(Self, Capture), Error> {
        let (mut sink, mut receiver) = Sink::channel();
        let read = async {
            let capture = source.read(&mut sink).await?;
            sink.finish().await?;
            Ok::<Capture, Error>(capture)
        };
        let gather = async {
            let mut items = Vec::new();
            while let Some(batch) = receiver.recv().await {
                items.extend(batch);
            }
            items
        };
        let (capture, items) = futures::join!(read, gather);
        Ok((Self::from_items(items), capture?))
    }

    /// What `items` make, given that a source that failed may have left the last entry open.
    pub fn from_items(items: Vec<Item>) -> Self {
        let mut streams = Collected::default();
        let mut writer = Writer::default();
        for item in items {
            writer
                .push(item, &mut streams)
                .expect("items that make an archive");
        }
        Self {
            entries: Arc::new(streams.entries),
        }
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The names, ascending.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.entries.iter().map(|(entry, _)| &entry.name)
    }

    /// An entry and its bytes.
    pub fn get(&self, name: &Name) -> Option<(&Entry, &[u8])> {
        let found = self.entries.iter().find(|(entry, _)| entry.name == *name);
        found.map(|(entry, bytes)| (entry, bytes.as_slice()))
    }

    /// The entries for which `wanted` says so.
    #[must_use]
    pub fn only(&self, mut wanted: impl FnMut(&Entry) -> bool) -> Self {
        let entries = self
            .entries
            .iter()
            .filter(|(entry, _)| wanted(entry))
            .cloned();
        Self {
            entries: Arc::new(entries.collect()),
        }
    }

    /// What a restore of `plan` is given: the entries of its writing steps.
    pub fn written_by(&self, plan: &Plan) -> impl Contents + use<> {
        let writing = plan.steps.iter().filter(|step| step.action.writes());
        let names: BTreeSet<Name> = writing.map(|step| step.name.clone()).collect();
        self.only(|entry| names.contains(&entry.name)).contents()
    }

    /// The entries without their bytes.
    pub fn entries(&self) -> impl Entries + use<> {
        Served {
            archive: self.clone(),
            next: 0,
            piece: 0,
        }
    }

    /// The entries with their bytes, in pieces that are cut where it hurts.
    pub fn contents(&self) -> impl Contents + use<> {
        Served {
            archive: self.clone(),
            next: 0,
            piece: 0,
        }
    }

    /// Panics with the name of the first entry that differs.
    pub fn assert_equals(&self, other: &Self) {
        self.assert_equals_but(other, |_, _| false);
    }

    /// The same, but for the attributes that are forgiven.
    pub fn assert_equals_but(&self, other: &Self, forgives: impl Fn(&Entry, &str) -> bool) {
        for ((ours, bytes), (theirs, other_bytes)) in self.entries.iter().zip(&*other.entries) {
            let name = &ours.name;
            assert_eq!(*name, theirs.name, "an entry is missing or surplus");
            let names = |entry: &Entry| {
                entry
                    .attributes
                    .iter()
                    .map(|(name, _)| name.to_owned())
                    .collect::<Vec<_>>()
            };
            for attribute in names(ours).into_iter().chain(names(theirs)) {
                let same = ours.attributes.get(&attribute) == theirs.attributes.get(&attribute);
                assert!(
                    same || forgives(ours, &attribute),
                    "attribute {attribute} of {name} differs"
                );
            }
            assert!(
                ours.body == theirs.body && bytes == other_bytes,
                "{name} differs"
            );
        }
        assert_eq!(
            self.len(),
            other.len(),
            "entries are missing or surplus at the end"
        );
    }
}

/// Reads what is left of the current entry.
pub async fn read_content(contents: &mut dyn Contents) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    while let Some(content) = contents.data().await? {
        bytes.extend_from_slice(content.as_bytes());
    }
    Ok(bytes)
}

#[derive(Default)]
struct Collected {
    content: Vec<u8>,
    catalog: CatalogReader,
    entries: Vec<(Entry, Vec<u8>)>,
}

impl Streams for Collected {
    fn content(&mut self, content: Content) {
        self.content.extend_from_slice(content.as_bytes());
    }

    fn unit(&mut self, _length: u64) {}

    fn entry_ends(&mut self, entry: &Entry) {
        let read = self
            .catalog
            .next_entry()
            .expect("a well-formed record")
            .expect("one record");
        assert!(read == *entry, "the catalog holds what was written");
        self.entries.push((read, std::mem::take(&mut self.content)));
    }

    fn catalog(&mut self, record: &[u8]) {
        self.catalog.feed(record);
    }

    fn give_up(&mut self) {
        *self = Self::default();
    }
}

/// Serves an archive from its beginning.
struct Served {
    archive: Archive,
    next: usize,
    piece: usize,
}

/// No power of two, so that pieces do not end where anything else does.
const PIECE: usize = 100_003;

impl Served {
    fn next_entry(&mut self) -> Option<Entry> {
        let (entry, _) = self.archive.entries.get(self.next)?;
        self.next += 1;
        self.piece = 0;
        Some(entry.clone())
    }
}

#[async_trait]
impl Entries for Served {
    async fn next(&mut self) -> Result<Option<Entry>, Error> {
        Ok(self.next_entry())
    }
}

#[async_trait]
impl Contents for Served {
    async fn next(&mut self) -> Result<Option<Entry>, Error> {
        Ok(self.next_entry())
    }

    async fn data(&mut self) -> Result<Option<Content>, Error> {
        let current = self
            .next
            .checked_sub(1)
            .and_then(|at| self.archive.entries.get(at));
        let Some((entry, bytes)) = current else {
            return Ok(None);
        };
        let piece = bytes.chunks(PIECE).nth(self.piece);
        self.piece += 1;
        if piece.is_none()
            && matches!(&entry.body, archive::Body::Blob { digest, .. } if *digest != Digest::of(bytes))
        {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("{} is damaged", entry.name),
            ));
        }
        Ok(piece.map(|piece| Content::new(piece.to_vec())))
    }
}

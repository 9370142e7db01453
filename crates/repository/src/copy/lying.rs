use std::collections::HashMap;

use archive::Digest;
use format::{Object, Pack, StoredRun};

use crate::recipients::same_recipients;
use crate::view::{Opening, Trust, Valid, View};

/// The runs of a log's snapshots, by the digest of their manifest: wherever a run lies, its manifest is the same.
#[derive(Default)]
pub(super) struct Lying(HashMap<Digest, Vec<Place>>);

/// A run as one snapshot lists it.
struct Place {
    run: StoredRun,
    /// The key object that its statement names.
    key: (Object, Option<Object>),
    /// Whom it is sealed to now.
    recipients: Vec<String>,
    map: Object,
    packs: HashMap<u32, Object>,
}

impl Lying {
    /// Of the snapshots that a reader accepts: what others list need not be there.
    pub(super) fn of(view: &View, trust: &Trust) -> Self {
        let mut lying = Self::default();
        for snapshot in view.snapshots() {
            lying.add(&snapshot, trust);
        }
        lying
    }

    /// One more.
    pub(super) fn add(&mut self, snapshot: &Valid<'_>, trust: &Trust) {
        if !trust.accepts(snapshot) {
            return;
        }
        for (index, run) in snapshot.runs().iter().enumerate() {
            // Whom it is sealed to cannot be told by the log alone.
            if snapshot.is_rotated_astray(index) {
                continue;
            }
            let original = &snapshot.statement.runs[index];
            let place = Place {
                run: snapshot.stored(index).cloned().unwrap_or(StoredRun {
                    run: run.run,
                    rotated: None,
                }),
                key: (original.key, original.key_pq),
                recipients: snapshot.recipients(index).to_vec(),
                map: run.map,
                packs: run.packs.iter().map(by_number).collect(),
            };
            self.0.entry(run.manifest.digest).or_default().push(place);
        }
    }

    /// Where run number `index` of a snapshot of another repository, which `opening` opens there, lies in this one, if one snapshot here
    /// needs all of it.
    ///
    /// Only if it is sealed to the same recipients in both: of a snapshot that shared a run which was rotated in one of them, whoever can
    /// open a part could not open the rest.
    pub(super) fn find(
        &self,
        snapshot: &Valid<'_>,
        index: usize,
        opening: &Opening,
    ) -> Option<StoredRun> {
        let runs = snapshot.runs();
        let (run, original) = (&runs[index], &snapshot.statement.runs[index]);
        let places = self.0.get(&run.manifest.digest)?;
        let found = places.iter().find(|place| {
            let packs = run.packs.iter().map(by_number);
            place.map == run.map
                && same_recipients(&place.recipients, &opening.recipients)
                && (place.run.rotated.is_some() || place.key == (original.key, original.key_pq))
                && packs
                    .into_iter()
                    .all(|(number, object)| place.packs.get(&number) == Some(&object))
        });
        found.map(|place| place.run.clone())
    }
}

fn by_number(pack: &Pack) -> (u32, Object) {
    (pack.number, pack.object)
}

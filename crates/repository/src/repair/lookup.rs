use std::collections::{BTreeMap, HashMap};

use archive::Digest;
use bytes::Bytes;
use format::{Object, RunId};

use super::others::{Others, Place};
use super::{KEPT, Left, Mended, OLDER_VERSION, Repair};
use crate::Error;
use crate::store::{History, Name};
use crate::verify::Damage;

/// Where the objects of runs are looked for.
pub(super) struct Lookup<'r, 'a> {
    pub(super) repair: &'r Repair<'a>,
    pub(super) named: BTreeMap<String, (RunId, String, Option<Object>)>,
    pub(super) places: HashMap<Digest, Vec<Place<'r>>>,
    pub(super) history: History,
    pub(super) others: &'r mut Others<'a>,
}

impl Lookup<'_, '_> {
    /// Looks for an object, and puts it back if `carry_out`.
    pub(super) async fn mend(&mut self, damage: Damage, carry_out: bool) -> Result<Mended, Error> {
        let map = !damage.is_needed();
        let mut mended = Mended {
            object: damage.object,
            what: damage.what,
            snapshots: damage.snapshots,
            from: None,
            left: None,
        };
        let Some((run, name, object)) = self.named.get(&mended.object).cloned() else {
            return Ok(mended);
        };
        if map {
            mended.snapshots.clear();
        }
        let name = Name::in_run(self.repair.job, run, &name);
        let found = match object {
            Some(object) => self.find(&name, object, map).await?,
            None => None,
        };
        if let Some((bytes, from)) = found {
            if carry_out {
                self.repair.put_back(&name, bytes).await?;
            }
            mended.from = Some(from);
        } else if map {
            mended.left = Some(Left::Map);
        }
        Ok(mended)
    }

    /// Its bytes, from the first place that has them whole.
    async fn find(
        &mut self,
        name: &Name,
        object: Object,
        map: bool,
    ) -> Result<Option<(Bytes, String)>, Error> {
        for place in self.places.get(&object.digest).into_iter().flatten() {
            let read = self.others.read_at(place, object.size).await;
            if let Some(bytes) = read
                && self.repair.is(&bytes, object).await
            {
                return Ok(Some((bytes, place.repository().to_owned())));
            }
        }
        for version in self.history.get(&name.to_string()).into_iter().flatten() {
            let store = &self.repair.repository.store;
            let bytes = store.read_version(name, version, object.size).await?;
            if let Some(bytes) = bytes
                && self.repair.is(&bytes, object).await
            {
                return Ok(Some((bytes, OLDER_VERSION.to_owned())));
            }
        }
        let Some(cache) = self.repair.cache.filter(|_| map) else {
            return Ok(None);
        };
        let (id, job) = (self.repair.repository.id(), self.repair.job);
        match cache.read_map(id, job, &object) {
            Some(bytes) if self.repair.is(&bytes, object).await => {
                Ok(Some((bytes, KEPT.to_owned())))
            }
            _ => Ok(None),
        }
    }
}

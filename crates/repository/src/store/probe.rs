use bytes::Bytes;
use format::RunId;
use futures::future::join_all;
use object_store::path::Path;
use object_store::{Error as StoreError, ObjectStoreExt as _, PutMode, PutOptions};

use super::{Creation, Name, Promises, Store};
use crate::Error;

/// How many create one object at the same time.
const WRITERS: usize = 8;
/// How many objects they race for. A store that looks before it writes, and not while it writes, loses most of them.
const ROUNDS: usize = 5;
/// In a directory each of these is synced, and the kernel is known.
const LOCAL: (usize, usize) = (2, 1);
/// How the names of objects start that a probe makes, in the root of the repository. No job is called so.
const PROBE: &str = "strongroom.probe-";

/// What a store was seen to do, and what it says of itself.
#[derive(Clone, Debug)]
pub struct Probed {
    /// Whether "create if absent" holds.
    pub conditions: Conditions,
    /// Whether what was just written is read.
    pub reads_own_writes: bool,
    /// Whether what was just written is listed. `None`: we may not list.
    pub lists_own_writes: Option<bool>,
    /// Whether we may overwrite what is there.
    pub may_overwrite: bool,
    /// Whether we may delete.
    pub may_delete: bool,
    /// What the bucket promises beside that. A directory promises nothing.
    pub promises: Promises,
    /// Objects that the probe made and could not delete.
    pub left: Vec<String>,
}

/// Whether "create if absent" holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conditions {
    /// Each time exactly one of many writers succeeded.
    Atomic {
        /// How many times.
        rounds: usize,
        /// How many writers.
        writers: usize,
    },
    /// An object was created more than once.
    Broken {
        /// How many writers were told that they created it.
        winners: usize,
        /// Of how many.
        writers: usize,
    },
    /// The store does not know the condition, and says so.
    Unknown(String),
    /// Nobody looked: whoever configured the store promised to be the only one that writes.
    Promised,
}

impl Store {
    /// Finds out what can be relied on by trying it, with a few small objects that are deleted again.
    pub async fn probe(&self) -> Result<Probed, Error> {
        let mut probe = Probe {
            store: self,
            made: Vec::new(),
        };
        let (writers, rounds) = if self.folders.is_some() {
            LOCAL
        } else {
            (WRITERS, ROUNDS)
        };
        let first = probe.name();
        let conditions = probe.first_race(&first, writers).await?;
        let reads_own_writes = probe.reads(&first).await?;
        let lists_own_writes = probe.lists(&first).await?;
        let may_overwrite = probe.overwrites(&first).await?;
        let may_delete = probe.deletes(&first).await?;
        let conditions = match conditions {
            // Who cannot clean up behind himself makes no more than one.
            Conditions::Atomic { .. } if may_delete => probe.races(writers, rounds).await?,
            conditions => conditions,
        };
        Ok(Probed {
            conditions,
            reads_own_writes,
            lists_own_writes,
            may_overwrite,
            may_delete,
            promises: self.promises().await?,
            left: probe.left(),
        })
    }

    /// What the bucket promises, as far as we may know.
    pub async fn promises(&self) -> Result<Promises, Error> {
        let Some(s3) = &self.s3 else {
            return Ok(Promises::default());
        };
        s3.requests.promises().await.map_err(|source| Error::Store {
            operation: "read the settings of",
            object: self.place.clone(),
            source,
        })
    }
}

/// Objects that come and go.
struct Probe<'a> {
    store: &'a Store,
    made: Vec<Name>,
}

impl Probe<'_> {
    fn name(&mut self) -> Name {
        let name = Name(Path::from(format!("{PROBE}{}", RunId::random())));
        self.made.push(name.clone());
        name
    }

    async fn first_race(&self, name: &Name, writers: usize) -> Result<Conditions, Error> {
        if self.store.creation == Creation::SingleWriter {
            self.store.create(name, contents(0)).await?;
            return Ok(Conditions::Promised);
        }
        self.race(name, writers).await
    }

    /// Many create one object at the same time.
    async fn race(&self, name: &Name, writers: usize) -> Result<Conditions, Error> {
        let racing = (0..writers).map(|writer| self.store.create(name, contents(writer)));
        let mut winners = 0;
        for created in join_all(racing).await {
            match created {
                Ok(created) => winners += usize::from(created),
                Err(Error::Store { source, .. }) if source.is_not_implemented() => {
                    return Ok(Conditions::Unknown(source.to_string()));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(match winners {
            // None: an answer was lost, and the one who won was told that somebody else did.
            0 | 1 => Conditions::Atomic { rounds: 1, writers },
            winners => Conditions::Broken { winners, writers },
        })
    }

    async fn races(&mut self, writers: usize, rounds: usize) -> Result<Conditions, Error> {
        for _ in 1..rounds {
            let name = self.name();
            let raced = self.race(&name, writers).await?;
            self.deletes(&name).await?;
            if !matches!(raced, Conditions::Atomic { .. }) {
                return Ok(raced);
            }
        }
        Ok(Conditions::Atomic { rounds, writers })
    }

    async fn reads(&self, name: &Name) -> Result<bool, Error> {
        let found = self.store.read(name, CONTENTS_MAX).await?;
        Ok(found.is_some_and(|found| found.starts_with(CONTENTS)))
    }

    async fn lists(&self, name: &Name) -> Result<Option<bool>, Error> {
        let listed = self.store.inner.list_with_delimiter(None).await;
        match listed.map_err(|error| self.store.failed("list", &Name(Path::default()), error)) {
            Ok(listed) => Ok(Some(listed.objects.iter().any(|meta| meta.location == name.0))),
            Err(error) if error.is_certain() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn overwrites(&self, name: &Name) -> Result<bool, Error> {
        let options = PutOptions {
            mode: PutMode::Overwrite,
            ..PutOptions::default()
        };
        let bytes = Bytes::from_static(b"strongroom was here, and overwrote it\n");
        let put = self.store.inner.put_opts(&name.0, bytes.into(), options).await;
        self.allowed("overwrite", name, put.map(drop))
    }

    async fn deletes(&mut self, name: &Name) -> Result<bool, Error> {
        let deleted = match self.store.inner.delete(&name.0).await {
            Err(StoreError::NotFound { .. }) => Ok(()),
            deleted => deleted,
        };
        let allowed = self.allowed("delete", name, deleted)?;
        if allowed {
            self.made.retain(|made| made != name);
        }
        Ok(allowed)
    }

    /// A refusal is an answer to the question.
    fn allowed(
        &self,
        operation: &'static str,
        name: &Name,
        done: Result<(), StoreError>,
    ) -> Result<bool, Error> {
        match done.map_err(|error| self.store.failed(operation, name, error)) {
            Ok(()) => Ok(true),
            Err(error) if error.is_certain() => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn left(&self) -> Vec<String> {
        self.made.iter().map(ToString::to_string).collect()
    }
}

const CONTENTS: &[u8] = b"strongroom was here: ";
const CONTENTS_MAX: u64 = 1024;

/// Each writer's own: two that are told that they created the object are told so of different bytes.
fn contents(writer: usize) -> Bytes {
    let mut contents = CONTENTS.to_vec();
    contents.extend_from_slice(writer.to_string().as_bytes());
    contents.into()
}

use bytes::Bytes;
use format::RunId;
use futures::future::join_all;
use object_store::path::Path;
use object_store::{PutMode, PutOptions};

use super::failure::StoreFailureKind;
use super::lock::Lock;
use super::{Creation, Name, Store};
use crate::Error;

/// How many create one object at the same moment.
const WRITERS: usize = 8;
/// How many objects they race for. A store that looks before it writes, and not while it writes, loses most of them.
const ROUNDS: usize = 5;
/// In a directory each of these is synced, and the kernel is known.
const LOCAL: (usize, usize) = (2, 1);
/// How the names of objects start that a probe makes, in the root of the repository. No job is called so.
const PROBE: &str = "strongroom.probe-";

/// What came of a probe.
#[derive(Debug)]
pub struct Probe {
    /// What the store was seen to do, or why that could not be seen.
    pub found: Result<Probed, Error>,
    /// Objects that the probe made and could not delete. They are small, and nothing reads them.
    pub left: Vec<String>,
}

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
    /// Whether old versions are kept of what is overwritten or deleted. `None`: the store does not say.
    pub keeps_versions: Option<bool>,
    /// Whether objects can be locked. `None`: the store does not say, or not to us.
    pub locks: Option<bool>,
    /// What every new object is locked with.
    pub usual_lock: Option<Lock>,
}

/// Whether "create if absent" holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conditions {
    /// Each time no more than one of many writers succeeded.
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
    /// The store does not know the condition, and says so in these words.
    Unknown(String),
    /// Nobody looked: whoever configured the store promised to be the only one that writes.
    Promised,
    /// We may not create objects here, which the store said in these words.
    Denied(String),
}

impl Store {
    /// Finds out what can be relied on by trying it, with a few small objects that are deleted again.
    pub async fn probe(&self) -> Probe {
        let mut trial = Trial {
            store: self,
            made: Vec::new(),
        };
        let found = trial.run().await;
        // Cut short, or not ours to delete: tried all the same, for whatever stays is said.
        for name in std::mem::take(&mut trial.made) {
            if self.delete(&name.0).await.is_err() {
                trial.made.push(name);
            }
        }
        let left = trial.made.iter().map(|name| self.named(name)).collect();
        Probe { found, left }
    }

    /// Whether objects can be locked, and what every new one is locked with, as far as the bucket says so to us.
    async fn locks(&self) -> Result<(Option<bool>, Option<Lock>), Error> {
        let Some(s3) = &self.s3 else {
            return Ok((None, None));
        };
        match s3.locks().await {
            Ok(Some((locks, usual))) => Ok((Some(locks), usual)),
            Ok(None) => Ok((None, None)),
            Err(source) => Err(Error::Store {
                operation: "read the settings of",
                object: self.place.clone(),
                source,
            }),
        }
    }

    /// Whether it is an object that a probe left.
    pub(super) fn is_of_probe(path: &Path) -> bool {
        path.as_ref().starts_with(PROBE)
    }
}

/// Objects that come and go.
struct Trial<'a> {
    store: &'a Store,
    /// Those that may be there.
    made: Vec<Name>,
}

impl Trial<'_> {
    async fn run(&mut self) -> Result<Probed, Error> {
        let (writers, rounds) = if self.store.folders.is_some() {
            LOCAL
        } else {
            (WRITERS, ROUNDS)
        };
        let first = self.name();
        let mut conditions = self.first_race(&first, writers).await?;
        if matches!(conditions, Conditions::Denied(_) | Conditions::Unknown(_)) {
            // Is it the condition that is refused, or every object?
            conditions = self.told_apart(&first, conditions).await?;
        }
        let mut probed = Probed {
            conditions,
            reads_own_writes: true,
            lists_own_writes: None,
            may_overwrite: false,
            may_delete: false,
            keeps_versions: None,
            locks: None,
            usual_lock: None,
        };
        if matches!(probed.conditions, Conditions::Denied(_)) {
            self.made.clear();
            return Ok(probed);
        }
        probed.reads_own_writes = self.reads(&first).await?;
        probed.lists_own_writes = self.lists(&first).await?;
        let directory = self.store.folders.is_some();
        if !directory {
            (probed.may_overwrite, probed.keeps_versions) = self.overwrites(&first).await?;
        }
        probed.may_delete = self.deletes(&first).await?;
        if directory {
            // A name in a folder is given and taken by the same right.
            probed.may_overwrite = probed.may_delete;
        }
        // Who cannot clean up behind himself makes no more than one.
        if probed.may_delete && matches!(probed.conditions, Conditions::Atomic { .. }) {
            probed.conditions = self.races(writers, rounds).await?;
        }
        (probed.locks, probed.usual_lock) = self.store.locks().await?;
        Ok(probed)
    }

    fn name(&mut self) -> Name {
        let name = Name(Path::from(format!("{PROBE}{}", RunId::random())));
        self.made.push(name.clone());
        name
    }

    async fn first_race(&self, name: &Name, writers: usize) -> Result<Conditions, Error> {
        if self.store.creation == Creation::Atomic {
            return self.race(name, writers).await;
        }
        match self.store.create(name, contents(0)).await {
            Ok(_) => Ok(Conditions::Promised),
            Err(Error::Store { source, .. }) if source.kind() == StoreFailureKind::Denied => {
                Ok(Conditions::Denied(source.to_string()))
            }
            Err(error) => Err(error),
        }
    }

    /// Many create one object at the same moment.
    async fn race(&self, name: &Name, writers: usize) -> Result<Conditions, Error> {
        let racing = (0..writers).map(|writer| self.store.create(name, contents(writer)));
        let mut winners = 0;
        let mut denied = None;
        for created in join_all(racing).await {
            match created {
                Ok(created) => winners += usize::from(created),
                Err(Error::Store { source, .. }) => match source.kind() {
                    StoreFailureKind::Unsupported => {
                        return Ok(Conditions::Unknown(source.to_string()));
                    }
                    // Who may create and not overwrite is told no more than that, by some.
                    StoreFailureKind::Denied => denied = Some(source.to_string()),
                    _ => {
                        let operation = "create";
                        let object = self.store.named(name);
                        return Err(Error::Store {
                            operation,
                            object,
                            source,
                        });
                    }
                },
                Err(error) => return Err(error),
            }
        }
        Ok(match (winners, denied) {
            (0, Some(words)) => Conditions::Denied(words),
            // None: an answer was lost, and the one who won was told that somebody else did.
            (0 | 1, _) => Conditions::Atomic { rounds: 1, writers },
            (winners, _) => Conditions::Broken { winners, writers },
        })
    }

    /// Some file systems without hard links say that they are not permitted.
    async fn told_apart(&self, name: &Name, refused: Conditions) -> Result<Conditions, Error> {
        let put = self.put(name, b"strongroom was here: plainly\n").await;
        let words = match &refused {
            Conditions::Denied(words) | Conditions::Unknown(words) => words.clone(),
            _ => return Ok(refused),
        };
        Ok(match put? {
            Some(_) => Conditions::Unknown(words),
            None => Conditions::Denied(words),
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
            Ok(listed) => Ok(Some(
                listed.objects.iter().any(|meta| meta.location == name.0),
            )),
            Err(error) if error.is_certain() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether we may, and whether the store keeps what was there before.
    async fn overwrites(&self, name: &Name) -> Result<(bool, Option<bool>), Error> {
        let put = self.put(name, b"strongroom was here, and overwrote it\n");
        Ok(match put.await? {
            None => (false, None),
            Some(named) => (true, self.keeps(name, named).await),
        })
    }

    /// Whether what was just overwritten is still there; the store may have given the new version a name.
    async fn keeps(&self, name: &Name, named: bool) -> Option<bool> {
        // Google names every version, kept or not.
        let Some(generations) = &self.store.generations else {
            return Some(named);
        };
        let count = generations.of(&name.0).await;
        let count = count.inspect_err(
            |failure| tracing::debug!(%failure, "the store does not say whether it keeps versions"),
        );
        Some(count.ok()? > 1)
    }

    /// Puts it, whatever is there. `None`: we may not. Otherwise whether the store gave the version a name.
    async fn put(&self, name: &Name, bytes: &'static [u8]) -> Result<Option<bool>, Error> {
        let options = PutOptions {
            mode: PutMode::Overwrite,
            ..PutOptions::default()
        };
        let bytes = Bytes::from_static(bytes);
        let put = self.store.inner.put_opts(&name.0, bytes.into(), options);
        match put
            .await
            .map_err(|error| self.store.failed("overwrite", name, error))
        {
            // A bucket that does so no more says "null".
            Ok(put) => Ok(Some(put.version.is_some_and(|version| version != "null"))),
            Err(error) if error.is_certain() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether we may.
    async fn deletes(&mut self, name: &Name) -> Result<bool, Error> {
        match self.store.delete(&name.0).await {
            Ok(()) => {
                self.made.retain(|made| made != name);
                Ok(true)
            }
            Err(error) if error.is_certain() => Ok(false),
            Err(error) => Err(error),
        }
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

//! The bucket that all actors share, and what can be asked of it. Every operation takes effect at one moment.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use archive::Digest;
use bytes::Bytes;
use futures::{StreamExt, stream};
use object_store::path::Path;
use object_store::{
    Attributes, Error, Extensions, GetOptions, GetResult, GetResultPayload, ListResult, ObjectMeta,
    Result,
};

/// An operation that somebody asked for.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    /// A page of the objects below a folder, behind a name.
    List {
        folder: String,
        after: String,
    },
    /// The folders directly below a folder.
    Folders {
        folder: String,
    },
    Read {
        name: String,
        options: GetOptions,
    },
    /// Create if absent.
    Create {
        name: String,
        bytes: Bytes,
    },
    Delete {
        name: String,
    },
}

/// What it gave.
pub(crate) enum Reply {
    Page {
        objects: Vec<ObjectMeta>,
        /// Where the next page starts.
        next: Option<String>,
    },
    Folders(ListResult),
    Object(Box<GetResult>),
    Done,
}

/// What changed.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Created(String),
    Deleted(String),
}

#[derive(Clone)]
pub(crate) struct Stored {
    pub(crate) bytes: Bytes,
    pub(crate) digest: Digest,
    /// Tells apart what random keys make different each time: who created it, when in its life.
    pub(crate) origin: u64,
}

#[derive(Clone, Default)]
pub(crate) struct Bucket {
    objects: BTreeMap<String, Stored>,
    /// How often each name was created.
    created: BTreeMap<String, u32>,
    /// Objects of a page.
    page: Option<usize>,
}

/// A reply, and what whoever gets it learns, as a number that is the same in every repetition of a schedule.
pub(crate) struct Answer {
    pub(crate) reply: Result<Reply>,
    pub(crate) learned: u64,
    /// In a few words.
    pub(crate) words: String,
    pub(crate) change: Option<Change>,
}

impl Bucket {
    pub(crate) fn paged(mut self, page: Option<usize>) -> Self {
        self.page = page;
        self
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Stored> {
        self.objects.get(name)
    }

    pub(crate) fn below<'a>(
        &'a self,
        folder: &'a str,
    ) -> impl Iterator<Item = (&'a String, &'a Stored)> {
        let all = self.objects.range(folder.to_owned()..);
        all.take_while(move |(name, _)| name.starts_with(folder))
            .filter(move |(name, _)| name.as_bytes().get(folder.len()) == Some(&b'/'))
    }

    /// How often an object of that name was created.
    pub(crate) fn times_created(&self, name: &str) -> u32 {
        self.created.get(name).copied().unwrap_or(0)
    }

    /// Everything, as it matters to whoever looks at it.
    pub(crate) fn hash(&self, hasher: &mut DefaultHasher) {
        for (name, stored) in &self.objects {
            (name, stored.origin).hash(hasher);
        }
        self.created.hash(hasher);
    }

    /// Carries it out. `origin` is that of an object that it creates.
    pub(crate) fn apply(&mut self, operation: &Operation, origin: u64) -> Answer {
        match operation {
            Operation::List { folder, after } => self.list(folder, after),
            Operation::Folders { folder } => self.folders(folder),
            Operation::Read { name, options } => self.read(name, options),
            Operation::Create { name, bytes } => self.create(name, bytes, origin),
            Operation::Delete { name } => {
                let gone = self.objects.remove(name).is_some();
                Answer {
                    reply: Ok(Reply::Done),
                    learned: 0,
                    words: if gone { "done" } else { "it was gone" }.to_owned(),
                    change: gone.then(|| Change::Deleted(name.clone())),
                }
            }
        }
    }

    fn list(&self, folder: &str, after: &str) -> Answer {
        let limit = self.page.unwrap_or(usize::MAX);
        let mut found = self
            .below(folder)
            .filter(|(name, _)| after.is_empty() || name.as_str() > after);
        let page: Vec<_> = found.by_ref().take(limit).collect();
        let more = found.next().is_some();
        let names: Vec<&String> = page.iter().map(|(name, _)| *name).collect();
        let next = names.last().filter(|_| more).map(|name| (*name).clone());
        Answer {
            learned: number(&(&names, &next)),
            words: format!("{} objects", names.len()),
            reply: Ok(Reply::Page {
                objects: page
                    .iter()
                    .map(|(name, stored)| meta(name, stored))
                    .collect(),
                next,
            }),
            change: None,
        }
    }

    fn folders(&self, folder: &str) -> Answer {
        let prefix = if folder.is_empty() {
            String::new()
        } else {
            format!("{folder}/")
        };
        let mut folders: Vec<String> = Vec::new();
        let mut objects = Vec::new();
        for (name, stored) in &self.objects {
            match name.strip_prefix(&prefix).map(|rest| rest.split_once('/')) {
                Some(Some((first, _))) => folders.push(format!("{prefix}{first}")),
                Some(None) => objects.push(meta(name, stored)),
                None => {}
            }
        }
        folders.dedup();
        Answer {
            learned: number(&folders),
            words: format!("{} folders", folders.len()),
            reply: Ok(Reply::Folders(ListResult {
                common_prefixes: folders.into_iter().map(Path::from).collect(),
                objects,
                extensions: Extensions::default(),
            })),
            change: None,
        }
    }

    fn read(&self, name: &str, options: &GetOptions) -> Answer {
        let Some(stored) = self.objects.get(name) else {
            return Answer {
                reply: Err(not_found(name)),
                learned: 0,
                words: "there is none".to_owned(),
                change: None,
            };
        };
        let length = stored.bytes.len() as u64;
        let range = match &options.range {
            Some(range) => range.as_range(length).map_err(|error| Error::Generic {
                store: "bucket",
                source: error.into(),
            }),
            None => Ok(0..length),
        };
        let reply = range.map(|range| {
            let bytes = stored.bytes.slice(range.start as usize..range.end as usize);
            Reply::Object(Box::new(GetResult {
                payload: GetResultPayload::Stream(stream::iter([Ok(bytes)]).boxed()),
                meta: meta(name, stored),
                range,
                attributes: Attributes::default(),
                extensions: Extensions::default(),
            }))
        });
        // age pads what it seals by chance, and a story must be the same when it is told again.
        let words = if name.ends_with("/key") {
            "a key".to_owned()
        } else {
            format!("{length} bytes")
        };
        Answer {
            reply,
            learned: stored.origin,
            words,
            change: None,
        }
    }

    fn create(&mut self, name: &str, bytes: &Bytes, origin: u64) -> Answer {
        if self.objects.contains_key(name) {
            return Answer {
                reply: Err(exists(name)),
                learned: 1,
                words: "exists already".to_owned(),
                change: None,
            };
        }
        let stored = Stored {
            bytes: bytes.clone(),
            digest: Digest::of(bytes),
            origin,
        };
        self.objects.insert(name.to_owned(), stored);
        *self.created.entry(name.to_owned()).or_default() += 1;
        Answer {
            reply: Ok(Reply::Done),
            learned: 0,
            words: "done".to_owned(),
            change: Some(Change::Created(name.to_owned())),
        }
    }
}

impl Operation {
    /// Whether the bucket may be another one after it.
    pub(crate) fn changes(&self) -> bool {
        matches!(self, Self::Create { .. } | Self::Delete { .. })
    }

    /// What it is about.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::List { folder, .. } | Self::Folders { folder } => folder,
            Self::Read { name, .. } | Self::Create { name, .. } | Self::Delete { name } => name,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self {
            Self::List { after, .. } if !after.is_empty() => "lists on in",
            Self::List { .. } | Self::Folders { .. } => "lists",
            Self::Read { options, .. } if options.head => "asks for",
            Self::Read { options, .. } if options.range.is_some() => "reads a part of",
            Self::Read { .. } => "reads",
            Self::Create { .. } => "creates",
            Self::Delete { .. } => "deletes",
        };
        write!(f, "{verb} {}", self.name())
    }
}

/// The same number for the same value, today and tomorrow.
pub(crate) fn number(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

pub(crate) fn exists(name: &str) -> Error {
    Error::AlreadyExists {
        path: name.to_owned(),
        source: "an object of that name".into(),
    }
}

fn not_found(name: &str) -> Error {
    Error::NotFound {
        path: name.to_owned(),
        source: "no object of that name".into(),
    }
}

#[expect(
    clippy::default_trait_access,
    reason = "the time's type is of a crate that we do not depend on"
)]
fn meta(name: &str, stored: &Stored) -> ObjectMeta {
    ObjectMeta {
        location: Path::from(name),
        // Long ago: no grace period spares anything here.
        last_modified: Default::default(),
        size: stored.bytes.len() as u64,
        e_tag: None,
        version: None,
    }
}

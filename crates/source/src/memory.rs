//! A source that lives in memory: what the conformance suite is tried on first, and what other crates test with.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use archive::{Attributes, Body, Content, Digest, Entry, Field, FieldHeader, Header, Name};
use async_trait::async_trait;

use crate::files::refuse_conflicts;
use crate::suite::read_content;
use crate::{
    Action, Capture, Conflict, Contents, Entries, Error, ErrorKind, Finding, Plan, Report,
    RestoreOptions, Sink, Source, Step,
};

/// A system of blobs and records. Clones share one content.
#[derive(Clone, Default)]
pub struct Memory {
    entries: Arc<Mutex<BTreeMap<Name, Held>>>,
}

/// What one name holds.
#[derive(Clone, PartialEq, Eq)]
pub struct Held {
    /// As in [`Entry`].
    pub attributes: Attributes,
    /// The value or values.
    pub value: Value,
}

/// The two kinds of entries, with their bytes.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// One opaque run of bytes.
    Blob(Vec<u8>),
    /// Values by key.
    Record(BTreeMap<Name, Vec<u8>>),
}

impl Memory {
    /// Puts a blob under `name`, in place of what was there.
    pub fn put_blob(&self, name: impl Into<Vec<u8>>, bytes: impl Into<Vec<u8>>) {
        self.put(Name::new(name), Value::Blob(bytes.into()));
    }

    /// Puts a record under `name`, in place of what was there.
    pub fn put_record<K: Into<Vec<u8>>, V: Into<Vec<u8>>>(
        &self,
        name: impl Into<Vec<u8>>,
        values: impl IntoIterator<Item = (K, V)>,
    ) {
        let values = values
            .into_iter()
            .map(|(key, value)| (Name::new(key), value.into()));
        self.put(Name::new(name), Value::Record(values.collect()));
    }

    /// Takes away what is under `name`.
    pub fn remove(&self, name: &Name) -> Option<Held> {
        self.lock().remove(name)
    }

    /// All that is held now.
    pub fn held(&self) -> BTreeMap<Name, Held> {
        self.lock().clone()
    }

    /// Takes away everything.
    pub fn clear(&self) {
        self.lock().clear();
    }

    fn put(&self, name: Name, value: Value) {
        self.lock().insert(
            name,
            Held {
                attributes: Attributes::default(),
                value,
            },
        );
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Name, Held>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Source for Memory {
    fn kind(&self) -> &'static str {
        "memory"
    }

    async fn read(&self, sink: &mut Sink) -> Result<Capture, Error> {
        for (name, held) in self.held() {
            sink.begin(held.header(name)).await?;
            for bytes in held.values() {
                sink.data(Content::new(bytes.to_vec())).await?;
            }
            sink.end().await?;
        }
        Ok(Capture::default())
    }

    async fn plan(
        &self,
        entries: &mut dyn Entries,
        options: &RestoreOptions,
    ) -> Result<Plan, Error> {
        let mut plan = Plan::default();
        while let Some(entry) = entries.next().await? {
            let action = match self.lock().get(&entry.name) {
                None => Action::Create,
                Some(held) => decide(differences(&entry, held), options.conflict),
            };
            plan.steps.push(Step {
                name: entry.name,
                action,
            });
        }
        Ok(plan)
    }

    async fn write(
        &self,
        plan: &Plan,
        contents: &mut dyn Contents,
        _options: &RestoreOptions,
    ) -> Result<Report, Error> {
        refuse_conflicts(plan)?;
        let mut report = Report::default();
        for step in plan.steps.iter().filter(|step| step.action.writes()) {
            let entry = contents
                .next()
                .await?
                .filter(|entry| entry.name == step.name);
            let Some(entry) = entry else {
                let message = format!("the plan writes {}, but another entry came", step.name);
                return Err(Error::new(ErrorKind::Bug, message));
            };
            let bytes = read_content(contents).await?;
            let value = Value::cut(&entry, &bytes);
            self.lock().insert(
                entry.name,
                Held {
                    attributes: entry.attributes,
                    value,
                },
            );
            report.written += 1;
        }
        Ok(report)
    }

    async fn check(&self, contents: &mut dyn Contents) -> Result<Vec<Finding>, Error> {
        let mut findings = Vec::new();
        while let Some(entry) = contents.next().await? {
            let bytes = read_content(contents).await?;
            if bytes.len() as u64 != entry.length() {
                let message = "its content is not as long as its entry says".to_owned();
                findings.push(Finding {
                    bad: true,
                    name: entry.name,
                    message,
                });
            }
        }
        Ok(findings)
    }
}

impl Held {
    fn header(&self, name: Name) -> Header {
        let fields = match &self.value {
            Value::Blob(_) => None,
            Value::Record(values) => {
                let field = |(key, value): (&Name, &Vec<u8>)| FieldHeader {
                    key: key.clone(),
                    length: value.len() as u64,
                };
                Some(values.iter().map(field).collect())
            }
        };
        Header {
            name,
            attributes: self.attributes.clone(),
            fields,
        }
    }

    fn values(&self) -> Vec<&[u8]> {
        match &self.value {
            Value::Blob(bytes) => vec![bytes],
            Value::Record(values) => values.values().map(Vec::as_slice).collect(),
        }
    }

    fn body(&self) -> Body {
        match &self.value {
            Value::Blob(bytes) => Body::Blob {
                length: bytes.len() as u64,
                digest: Digest::of(bytes),
            },
            Value::Record(values) => {
                let field = |(key, value): (&Name, &Vec<u8>)| Field {
                    key: key.clone(),
                    length: value.len() as u64,
                    digest: Digest::of(value),
                };
                Body::Record {
                    fields: values.iter().map(field).collect(),
                }
            }
        }
    }
}

impl Value {
    fn cut(entry: &Entry, mut bytes: &[u8]) -> Self {
        let Body::Record { fields } = &entry.body else {
            return Self::Blob(bytes.to_vec());
        };
        let mut values = BTreeMap::new();
        for field in fields {
            let length = usize::try_from(field.length)
                .unwrap_or(usize::MAX)
                .min(bytes.len());
            let (value, rest) = bytes.split_at(length);
            values.insert(field.key.clone(), value.to_vec());
            bytes = rest;
        }
        Self::Record(values)
    }
}

fn differences(entry: &Entry, held: &Held) -> Vec<String> {
    let mut what = Vec::new();
    match (&entry.body, held.body()) {
        (Body::Record { fields }, Body::Record { fields: live }) => {
            let missing = |field: &&Field| !live.contains(field);
            what.extend(
                fields
                    .iter()
                    .filter(missing)
                    .map(|field| field.key.to_string()),
            );
            let surplus = |field: &&Field| fields.iter().all(|wanted| wanted.key != field.key);
            what.extend(
                live.iter()
                    .filter(surplus)
                    .map(|field| field.key.to_string()),
            );
        }
        (wanted, live) if *wanted != live => what.push("content".to_owned()),
        _ => {}
    }
    if entry.attributes != held.attributes {
        what.push("attributes".to_owned());
    }
    what
}

fn decide(what: Vec<String>, conflict: Conflict) -> Action {
    if what.is_empty() {
        return Action::Same;
    }
    match conflict {
        Conflict::Fail => Action::Conflict {
            reason: format!("differs in {}", what.join(", ")),
        },
        Conflict::Skip => Action::Skip { what },
        Conflict::Overwrite => Action::Update { what },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::{Fixture, conforms};

    struct InMemory(Memory);

    #[async_trait]
    impl Fixture for InMemory {
        fn source(&self) -> Box<dyn Source> {
            Box::new(self.0.clone())
        }

        async fn empty(&mut self) {
            self.0.clear();
        }

        async fn change(&mut self) -> Name {
            self.0
                .put_record("a/record", [("user", "root"), ("password", "changed")]);
            Name::from("a/record")
        }
    }

    #[tokio::test]
    async fn memory_conforms() {
        let memory = Memory::default();
        memory.put_blob("a", "");
        memory.put_blob("a/blob", vec![7; 3 * 1024 * 1024]);
        memory.put_record(
            "a/record",
            [("user", "root"), ("password", "secret"), ("empty", "")],
        );
        memory.put_record("a/no keys", [("", ""); 0]);
        memory.put_blob(&b"not \xff utf-8\n"[..], "x");
        conforms(&mut InMemory(memory)).await;
    }
}

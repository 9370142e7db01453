//! A source of Kubernetes that is one of DataRobot: what it captures is inspected on its way, and its keys can be kept apart.

use std::sync::{Arc, Mutex, PoisonError};

use archive::{Content, FieldHeader, Header, Item, Name};
use async_trait::async_trait;
use foreign::datarobot::{Inspected, Inspection, KEY_NAMES, Keys};
use source::kubernetes::Kubernetes;
use source::{
    Capture, Contents, Entries, Error, ErrorKind, Finding, Incomplete, Plan, Report,
    RestoreOptions, Sink, Source,
};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use crate::config::resolve::{self, DataRobot as Preset, Driver};
use crate::units::now_seconds;

/// The largest object that is looked at: etcd takes no larger one.
const OBJECT_MAX: usize = 16 << 20;

/// The fact of a snapshot that has but the keys of an installation, and of which one.
pub(crate) const KEYS_OF: &str = "datarobot.keys-of";

/// Where a capture leaves the keys that it found. The last one counts.
#[derive(Clone, Default)]
pub(crate) struct Found(Arc<Mutex<Option<Keys>>>);

impl Found {
    /// The keys, if both were there and sound.
    pub(crate) fn take(&self) -> Option<Keys> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put(&self, keys: Option<Keys>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = keys;
    }
}

/// An installation of DataRobot.
pub(crate) struct DataRobot {
    cluster: Kubernetes,
    namespace: String,
    release: String,
    released: bool,
    found: Found,
}

impl DataRobot {
    /// The installation that `settings` lead to; `found` is where a capture leaves its keys.
    pub(crate) fn new(settings: &resolve::Kubernetes, preset: &Preset, found: Found) -> Self {
        Self {
            cluster: Kubernetes::new(settings.options()),
            namespace: preset.namespace.value.clone(),
            release: preset.release.value.clone(),
            released: preset.driver.value != Driver::None,
            found,
        }
    }

    /// What an inspection finds missing in the cluster now, and what it notes. Nothing is kept.
    pub(crate) async fn inspect(&self) -> Result<(Vec<Finding>, Vec<String>), Error> {
        let (mut sink, mut nowhere) = Sink::channel();
        let drain = async { while nowhere.recv().await.is_some() {} };
        let reading = async move {
            let capture = self.read(&mut sink).await;
            drop(sink);
            capture
        };
        let (capture, ()) = futures::join!(reading, drain);
        let capture = capture?;
        let missing = capture.incomplete.into_iter().map(|missing| Finding {
            bad: true,
            message: format!("{} {}", missing.name, missing.reason),
            name: missing.name,
        });
        Ok((missing.collect(), capture.notes))
    }

    /// Hands on what comes, and looks at each object when it is whole.
    async fn pass(
        &self,
        mut batches: mpsc::Receiver<Vec<Item>>,
        sink: &mut Sink,
    ) -> Result<Inspected, Error> {
        let mut inspection = Inspection::new(&self.release, &self.namespace, self.released);
        let mut object: Option<(Header, Zeroizing<Vec<u8>>)> = None;
        while let Some(batch) = batches.recv().await {
            for item in batch {
                match item {
                    Item::Begin(header) => {
                        object = Some((header.clone(), Zeroizing::default()));
                        sink.begin(header).await?;
                    }
                    Item::Unit { length } => sink.unit(length).await?,
                    Item::Data(content) => {
                        if let Some((_, held)) = &mut object
                            && held.len() + content.len() <= OBJECT_MAX
                        {
                            held.extend_from_slice(content.as_bytes());
                        }
                        sink.data(content).await?;
                    }
                    Item::End => {
                        if let Some((header, held)) = object.take() {
                            inspection.add(&header, &held);
                        }
                        sink.end().await?;
                    }
                    Item::GiveUp => {
                        object = None;
                        sink.give_up().await?;
                    }
                }
            }
        }
        Ok(inspection.finish(now_seconds()))
    }
}

#[async_trait]
impl Source for DataRobot {
    fn kind(&self) -> &'static str {
        self.cluster.kind()
    }

    async fn read(&self, sink: &mut Sink) -> Result<Capture, Error> {
        self.found.put(None);
        let (mut inner, batches) = Sink::channel();
        let reading = async move {
            let capture = self.cluster.read(&mut inner).await?;
            inner.finish().await?;
            Ok::<_, Error>(capture)
        };
        let (capture, inspected) = futures::join!(reading, self.pass(batches, sink));
        // If nobody takes what comes, that is what went wrong first.
        let (inspected, mut capture) = match (capture, inspected) {
            (Err(error), Ok(_)) | (_, Err(error)) => return Err(error),
            (Ok(capture), Ok(inspected)) => (inspected, capture),
        };
        let Inspected {
            facts,
            notes,
            missing,
            keys,
        } = inspected;
        let sound = |keys: &Keys| {
            let lacking = missing
                .iter()
                .any(|(name, _)| name.as_bytes().starts_with(keys.entry.as_bytes()));
            !lacking && keys.values.len() == KEY_NAMES.len()
        };
        self.found.put(keys.filter(sound));
        capture.facts.extend(facts);
        capture.notes.extend(notes);
        let missing = missing.into_iter();
        let missing = missing.map(|(name, reason)| Incomplete { name, reason });
        capture.incomplete.extend(missing);
        Ok(capture)
    }

    async fn plan(
        &self,
        entries: &mut dyn Entries,
        options: &RestoreOptions,
    ) -> Result<Plan, Error> {
        self.cluster.plan(entries, options).await
    }

    async fn write(
        &self,
        plan: &Plan,
        contents: &mut dyn Contents,
        options: &RestoreOptions,
    ) -> Result<Report, Error> {
        self.cluster.write(plan, contents, options).await
    }

    async fn check(&self, contents: &mut dyn Contents) -> Result<Vec<Finding>, Error> {
        self.cluster.check(contents).await
    }
}

/// The keys of an installation, to be sealed to others than the rest of it: the Secret that they are of, without its other values.
pub(crate) struct Apart(pub(crate) Keys);

#[async_trait]
impl Source for Apart {
    fn kind(&self) -> &'static str {
        "kubernetes"
    }

    async fn read(&self, sink: &mut Sink) -> Result<Capture, Error> {
        let Keys {
            entry,
            attributes,
            values,
        } = &self.0;
        let field = |(key, value): (&String, &Zeroizing<Vec<u8>>)| FieldHeader {
            key: Name::from(key.as_str()),
            length: value.len() as u64,
        };
        let header = Header {
            name: entry.clone(),
            attributes: attributes.clone(),
            fields: Some(values.iter().map(field).collect()),
        };
        sink.begin(header).await?;
        for value in values.values() {
            sink.data(Content::new(value.to_vec())).await?;
        }
        sink.end().await?;
        let mut capture = Capture::default();
        capture.facts.insert(KEYS_OF.to_owned(), entry.to_string());
        Ok(capture)
    }

    async fn plan(&self, _: &mut dyn Entries, _: &RestoreOptions) -> Result<Plan, Error> {
        Err(read_only())
    }

    async fn write(
        &self,
        _: &Plan,
        _: &mut dyn Contents,
        _: &RestoreOptions,
    ) -> Result<Report, Error> {
        Err(read_only())
    }

    async fn check(&self, _: &mut dyn Contents) -> Result<Vec<Finding>, Error> {
        Err(read_only())
    }
}

fn read_only() -> Error {
    Error::new(
        ErrorKind::Unsupported,
        "keys that were found can only be read",
    )
}

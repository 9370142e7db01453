use std::collections::BTreeMap;

use archive::{Attributes, Header, Name};
use der::DateTime;
use zeroize::Zeroizing;

use super::{CREDENTIALS, Certificate, INSTANCE, KEY_NAMES, PCS, certificates};
use crate::certificate::ending;
use crate::helm::Release;
use crate::key_pair::{Form, judge};
use crate::object::Object;

/// Whoever has to renew a certificate is told so many seconds before it ends.
const WARN_BEFORE: u64 = 30 * 24 * 3600;

/// Looks at the objects of a namespace on their way into a snapshot, one by one: is what DataRobot cannot be restored without among
/// them? Holds of each no more than the names of its keys.
pub struct Inspection {
    namespace: String,
    release: Release,
    /// Whether helm keeps records, and there must be one.
    released: bool,
    /// By their names.
    secrets: BTreeMap<String, BTreeMap<String, Value>>,
    /// Those with the label of the release, and of `pcs`.
    instances: [u64; 2],
    credentials: Option<Keys>,
}

/// What is known of a value.
struct Value {
    empty: bool,
    ending: Option<DateTime>,
}

/// The two keys, as many as were found.
pub struct Keys {
    /// The Secret that they are of.
    pub entry: Name,
    /// What it has beside values.
    pub attributes: Attributes,
    /// Them, by name.
    pub values: BTreeMap<String, Zeroizing<Vec<u8>>>,
}

/// What was found.
pub struct Inspected {
    /// For the snapshot.
    pub facts: BTreeMap<String, String>,
    /// Sentences that somebody should read.
    pub notes: Vec<String>,
    /// What a restore would lack, and one clause why.
    pub missing: Vec<(Name, String)>,
    /// The keys; `None` if there is no such Secret.
    pub keys: Option<Keys>,
}

impl Inspection {
    /// Of the release of this name in this namespace; `released` says whether helm must have a record of it.
    pub fn new(release: &str, namespace: &str, released: bool) -> Self {
        Self {
            namespace: namespace.to_owned(),
            release: Release::new(release),
            released,
            secrets: BTreeMap::new(),
            instances: [0; 2],
            credentials: None,
        }
    }

    /// Takes an entry with its whole content.
    pub fn add(&mut self, header: &Header, content: &[u8]) {
        let Some(mut object) = Object::of_header(header, content) else {
            return;
        };
        if object.namespace != self.namespace
            || self.release.take(&mut object)
            || !object.is_secret()
        {
            return;
        }
        match object.labels()[INSTANCE].as_str() {
            Some(instance) if instance == self.release.name => self.instances[0] += 1,
            Some(PCS) => self.instances[1] += 1,
            _ => {}
        }
        let values = object.data.iter().map(|(key, value)| {
            let (empty, ending) = (value.trim_ascii().is_empty(), ending(value));
            (key.clone(), Value { empty, ending })
        });
        self.secrets.insert(object.name.clone(), values.collect());
        if object.name == CREDENTIALS {
            let mut values = object.data;
            values.retain(|key, _| KEY_NAMES.contains(&key.as_str()));
            self.credentials = Some(Keys {
                entry: object.entry,
                attributes: object.attributes,
                values,
            });
        }
    }

    /// The verdict; `now` is in seconds since 1970.
    pub fn finish(self, now: u64) -> Inspected {
        let mut inspected = Inspected {
            facts: BTreeMap::new(),
            notes: Vec::new(),
            missing: Vec::new(),
            keys: None,
        };
        inspected.instances(&self);
        inspected.credentials(&self);
        inspected.certificates(&self, now);
        inspected.keys = self.credentials;
        inspected
    }

    fn name(&self, secret: &str, key: Option<&str>) -> Name {
        let namespace = &self.namespace;
        let key = key.map_or(String::new(), |key| format!(" {key}"));
        Name::from(format!("secrets/{namespace}/{secret}{key}").as_str())
    }
}

impl Inspected {
    fn fact(&mut self, name: &str, value: &dyn ToString) {
        let name = format!("datarobot.{name}");
        self.facts.insert(name, value.to_string());
    }

    fn lacks(&mut self, name: Name, why: impl Into<String>) {
        self.missing.push((name, why.into()));
    }

    fn instances(&mut self, inspection: &Inspection) {
        let release = &inspection.release.name;
        let [ours, pcs] = inspection.instances;
        self.fact("release", release);
        self.fact("namespace", &inspection.namespace);
        self.fact("secrets", &ours);
        self.fact("secrets.pcs", &pcs);
        if ours == 0 {
            self.notes.push(format!(
                "no Secret in {} has the label {INSTANCE}={release}: is the release called otherwise?",
                inspection.namespace
            ));
        }
    }

    fn credentials(&mut self, inspection: &Inspection) {
        let Some(credentials) = &inspection.credentials else {
            let name = inspection.name(CREDENTIALS, None);
            self.lacks(
                name,
                "is not there, and it has the keys without which MongoDB cannot be decrypted",
            );
            return;
        };
        for key in KEY_NAMES {
            let found = match credentials.values.get(key) {
                None => Err("is not there"),
                Some(value) if key == KEY_NAMES[0] => judge(value),
                Some(value) if value.trim_ascii().is_empty() => Err("is empty"),
                Some(_) => Ok(Form::Pem),
            };
            match found {
                Ok(Form::Pem) => {}
                Ok(Form::Unknown) => self.notes.push(format!(
                    "{} is not PEM, the one form that strongroom can judge: it was captured as it is",
                    inspection.name(CREDENTIALS, Some(key))
                )),
                Err(why) => {
                    let why = format!("{why}, and MongoDB cannot be decrypted without it");
                    self.lacks(inspection.name(CREDENTIALS, Some(key)), why);
                }
            }
        }
    }

    fn certificates(&mut self, inspection: &Inspection, now: u64) {
        let Release {
            name,
            deployed,
            newest,
        } = &inspection.release;
        let Some(record) = deployed else {
            if inspection.released {
                let entry = inspection.name(&format!("sh.helm.release.v1.{name}.*"), None);
                let why = format!(
                    "is not there: helm has no deployed release {name} here, so which certificates it has cannot be known: \
                     is it called otherwise (`release`), or does helm keep it elsewhere (`driver`)?"
                );
                self.lacks(entry, why);
            }
            return;
        };
        self.fact("revision", &record.revision);
        if record.revision != *newest {
            self.notes.push(format!(
                "certificates are those of revision {} of {name}, which is deployed; the newest, {newest}, is not",
                record.revision
            ));
        }
        match record.values().and_then(|values| certificates(&values)) {
            Ok(certificates) => {
                for certificate in certificates {
                    self.certificate(inspection, &certificate, now);
                }
            }
            Err(why) => self.lacks(record.entry.clone(), why),
        }
    }

    fn certificate(&mut self, inspection: &Inspection, certificate: &Certificate, now: u64) {
        let (secret, key) = (&certificate.secret, certificate.key());
        let Some(values) = inspection.secrets.get(secret) else {
            let why = "is not there, and the release takes a certificate from it";
            return self.lacks(inspection.name(secret, None), why);
        };
        let name = inspection.name(secret, Some(key));
        let ending = match values.get(key) {
            None => {
                let why = "is not there, and the release takes a certificate from that key";
                return self.lacks(name, why);
            }
            Some(Value { empty: true, .. }) => {
                return self.lacks(
                    name,
                    "is empty, and the release takes a certificate from it",
                );
            }
            Some(value) => value.ending,
        };
        let Some(ending) = ending else {
            self.facts.insert(certificate.fact(), "unknown".to_owned());
            self.notes.push(format!(
                "{name} holds nothing that can be read as a certificate, so when it ends is not known"
            ));
            return;
        };
        self.facts.insert(certificate.fact(), ending.to_string());
        let until = ending.unix_duration().as_secs();
        if until <= now {
            let note = format!("the certificate {name} has expired on {ending}: renew it");
            self.notes.push(note);
        } else if until - now <= WARN_BEFORE {
            let days = (until - now).div_ceil(24 * 3600);
            let plural = if days == 1 { "" } else { "s" };
            self.notes.push(format!(
                "the certificate {name} expires on {ending}, in {days} day{plural}: renew it"
            ));
        }
    }
}

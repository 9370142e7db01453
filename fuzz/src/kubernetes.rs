//! What an API server answers, and what an object becomes.

#[path = "../../crates/source/src/kubernetes/cutter.rs"]
mod cutter;

use archive::{Content, Entry, Streams, Writer};
use cutter::{Cutter, Fault};
use serde_json::Value;
use source::kubernetes::{Manifests, manifest};
use source::{Sink, Source as _};

/// A list is cut alike however it arrives; and one that is JSON is cut into what JSON says that its items are.
pub fn list(bytes: &[u8]) {
    let whole = cut(bytes, bytes.len().max(1));
    for piece in [1, 7, 1000] {
        assert_eq!(cut(bytes, piece), whole);
    }
    let Ok((objects, envelope)) = whole else {
        return;
    };
    // Another way to write the name, or a second one, is nothing that a server sends.
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    if text.matches("\"items\"").count() != 1 || text.contains('\\') {
        return;
    }
    let Ok(Value::Object(mut list)) = serde_json::from_str(text) else {
        return;
    };
    let Some(Value::Array(items)) = list.remove("items") else {
        return;
    };
    assert!(items.iter().all(Value::is_object));
    let parsed = |object: &Vec<u8>| serde_json::from_slice::<Value>(object).ok();
    let objects: Option<Vec<Value>> = objects.iter().map(parsed).collect();
    assert_eq!(objects, Some(items));
    let envelope: Value =
        serde_json::from_slice(&envelope).expect("the rest is a list without items");
    assert_eq!(envelope["items"], Value::Array(Vec::new()));
}

type Cut = (Vec<Vec<u8>>, Vec<u8>);

fn cut(bytes: &[u8], piece: usize) -> Result<Cut, Fault> {
    let mut cutter = Cutter::default();
    let (mut objects, mut begun) = (Vec::new(), None);
    for mut part in bytes.chunks(piece) {
        while let Some(object) = cutter.cut(&mut part)? {
            objects.push(object.to_vec());
        }
        assert!(part.is_empty());
        if cutter.is_open() {
            begun = Some(cutter.envelope().to_vec());
        }
    }
    let envelope = cutter.finish()?;
    assert!(begun.is_none_or(|begun| envelope.starts_with(&begun)));
    Ok((objects, envelope))
}

/// An object is taken and becomes entries, each of which can be exported; or it is refused in one line.
pub fn object(bytes: &[u8]) {
    let Ok(json) = serde_json::from_slice::<Value>(bytes) else {
        return;
    };
    let Some(entries) = entries(json) else { return };
    for (entry, content) in entries {
        // Whether what it writes is understood is the program's to say; here, that it writes something, and all of it.
        if let Ok(text) = manifest(&entry, &content) {
            assert!(
                text.starts_with("---\n") && text.ends_with('\n'),
                "{}",
                entry.name
            );
        }
    }
}

/// The entries that a manifest, or a list of some, becomes; `None` if it is refused, in one line.
fn entries(json: Value) -> Option<Vec<(Entry, Vec<u8>)>> {
    let mut manifests = Manifests::new(Some("here".to_owned()));
    if let Err(error) = manifests.add(json) {
        assert_eq!(error.to_string().lines().count(), 1, "{error}");
        return None;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    Some(runtime.expect("a runtime").block_on(async {
        let (mut sink, mut batches) = Sink::channel();
        let reading = async move {
            let capture = manifests.read(&mut sink).await;
            sink.finish().await.expect("somebody listens");
            capture
        };
        let taking = async {
            let mut taken = Taken::default();
            let mut writer = Writer::default();
            while let Some(batch) = batches.recv().await {
                for item in batch {
                    writer
                        .push(item, &mut taken)
                        .expect("what is poured is in order");
                }
            }
            writer.finish().expect("it is whole");
            taken.entries
        };
        let (capture, entries) = tokio::join!(reading, taking);
        capture.expect("nothing can fail");
        entries
    }))
}

#[derive(Default)]
struct Taken {
    content: Vec<u8>,
    entries: Vec<(Entry, Vec<u8>)>,
}

impl Streams for Taken {
    fn content(&mut self, content: Content) {
        self.content.extend_from_slice(content.as_bytes());
    }

    fn unit(&mut self, _length: u64) {}

    fn entry_ends(&mut self, entry: &Entry) {
        self.entries
            .push((entry.clone(), std::mem::take(&mut self.content)));
    }

    fn catalog(&mut self, _record: &[u8]) {}

    fn give_up(&mut self) {
        *self = Self::default();
    }
}

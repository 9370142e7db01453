use memchr::memchr2;
use zeroize::Zeroizing;

/// The largest object that is taken. etcd takes 1.5 MiB, in which nothing is written as six bytes of JSON.
const OBJECT_MAX: usize = 16 * 1024 * 1024;
/// The most that may stand around the objects of a page.
const ENVELOPE_MAX: usize = 1024 * 1024;

/// Cuts a list, as the API server sends it, into its objects while it arrives, and holds one of them at a time.
///
/// Knows just enough of JSON to see where the elements of the outermost `items` begin and end; whoever is given an
/// object parses it, and so finds what is wrong inside of it.
#[derive(Default)]
pub(super) struct Cutter {
    /// All but the objects.
    envelope: Vec<u8>,
    object: Zeroizing<Vec<u8>>,
    /// How many braces and brackets are open.
    depth: usize,
    /// The last text that ended directly in the list, which may be the name of what follows.
    name: Vec<u8>,
    state: State,
    /// Inside of `items`.
    inside: bool,
}

#[derive(Default, Clone, Copy, PartialEq)]
enum State {
    #[default]
    Outside,
    Text,
    Escape,
    /// An object is complete and not taken away yet.
    Complete,
}

/// What arrived is no list, or too large.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("an object has more than {OBJECT_MAX} bytes")]
    Object,
    #[error("the answer is not a list")]
    NoList,
}

impl Cutter {
    /// The next complete object, if `input` holds its end; `input` is left with what comes after.
    pub(super) fn cut<'a>(&'a mut self, input: &mut &[u8]) -> Result<Option<&'a [u8]>, Fault> {
        if self.state == State::Complete {
            self.object.clear();
            self.state = State::Outside;
        }
        while let Some((&byte, rest)) = input.split_first() {
            match self.state {
                State::Text => {
                    let end = memchr2(b'"', b'\\', input).unwrap_or(input.len());
                    let (text, after) = input.split_at(end);
                    self.keep(text)?;
                    self.remember(text);
                    *input = after;
                    if let Some((&byte, rest)) = after.split_first() {
                        self.keep(&[byte])?;
                        self.state = if byte == b'"' {
                            State::Outside
                        } else {
                            State::Escape
                        };
                        *input = rest;
                    }
                    continue;
                }
                State::Escape => {
                    self.keep(&[byte])?;
                    self.state = State::Text;
                }
                State::Outside | State::Complete => self.structure(byte)?,
            }
            *input = rest;
            if self.state == State::Complete {
                return Ok(Some(&self.object));
            }
        }
        Ok(None)
    }

    /// Whether the list of objects has begun and not ended.
    pub(super) fn is_open(&self) -> bool {
        self.inside
    }

    /// What has come so far of what stands around the objects.
    pub(super) fn envelope(&self) -> &[u8] {
        &self.envelope
    }

    /// What stood around the objects, which is a list without any; an error if the list is not complete.
    pub(super) fn finish(self) -> Result<Vec<u8>, Fault> {
        if self.depth == 0 && self.state == State::Outside && !self.envelope.is_empty() {
            Ok(self.envelope)
        } else {
            Err(Fault::NoList)
        }
    }

    /// One byte that is not in a text.
    fn structure(&mut self, byte: u8) -> Result<(), Fault> {
        let is_between = self.inside && self.depth == 2;
        if is_between && !matches!(byte, b'{' | b',' | b']' | b' ' | b'\t' | b'\r' | b'\n') {
            return Err(Fault::NoList);
        }
        match byte {
            b'"' => {
                self.state = State::Text;
                if self.depth == 1 {
                    self.name.clear();
                }
            }
            b'{' | b'[' => {
                if byte == b'[' && self.depth == 1 && self.name == b"items" {
                    self.inside = true;
                }
                self.depth += 1;
            }
            b'}' | b']' => {
                self.depth = self.depth.checked_sub(1).ok_or(Fault::NoList)?;
                if self.inside && self.depth == 1 {
                    self.inside = false;
                }
            }
            // Between objects.
            b',' if is_between => return Ok(()),
            _ => {}
        }
        self.keep(&[byte])?;
        if self.inside && self.depth == 2 && byte == b'}' {
            self.state = State::Complete;
        }
        Ok(())
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        // The bracket before the first object, and whitespace, are none.
        let object = self.inside && (self.depth > 2 || bytes == b"}" && !self.object.is_empty());
        if object {
            if self.object.len() + bytes.len() > OBJECT_MAX {
                return Err(Fault::Object);
            }
            self.object.extend_from_slice(bytes);
        } else {
            if self.envelope.len() + bytes.len() > ENVELOPE_MAX {
                return Err(Fault::NoList);
            }
            self.envelope.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn remember(&mut self, text: &[u8]) {
        // No longer than what it is compared with.
        if self.depth == 1 {
            let rest = 8_usize.saturating_sub(self.name.len());
            self.name.extend_from_slice(&text[..text.len().min(rest)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cut(bytes: &[u8], piece: usize) -> Result<(Vec<Vec<u8>>, Vec<u8>), Fault> {
        let (mut cutter, mut objects) = (Cutter::default(), Vec::new());
        for mut input in bytes.chunks(piece) {
            while let Some(object) = cutter.cut(&mut input)? {
                objects.push(object.to_vec());
            }
        }
        Ok((objects, cutter.finish()?))
    }

    #[test]
    fn a_page_is_cut_into_its_objects() {
        let page = br#"{"kind":"L","metadata":{"items":[{"a":1}],"continue":"x\"]"},"items" : [
            {"metadata":{"name":"a"},"data":{"k\\":"}]{[,\""}} , {"b":[{},[]]},{}], "after":"items"}"#;
        for piece in 1..page.len() {
            let (objects, envelope) = cut(page, piece).expect("a list");
            let texts: Vec<_> = objects
                .iter()
                .map(|it| String::from_utf8_lossy(it))
                .collect();
            assert_eq!(
                texts,
                [
                    r#"{"metadata":{"name":"a"},"data":{"k\\":"}]{[,\""}}"#,
                    r#"{"b":[{},[]]}"#,
                    "{}"
                ]
            );
            let envelope: serde_json::Value = serde_json::from_slice(&envelope).expect("JSON");
            assert_eq!(envelope["items"], serde_json::json!([]));
            assert_eq!(envelope["metadata"]["continue"], "x\"]");
        }
    }

    #[test]
    fn what_is_cut_off_or_no_list_is_refused() {
        let page = br#"{"metadata":{},"items":[{"a":"b"}]}"#;
        for end in 0..page.len() {
            assert_eq!(cut(&page[..end], 7), Err(Fault::NoList), "{end}");
        }
        assert_eq!(cut(b"]", 1), Err(Fault::NoList));
        // What is no object, however it arrives.
        for item in ["null", "7", r#""}""#, "[]", r#"[{}]}"}""#, "}"] {
            let page = format!(r#"{{"items":[{{"a":"b"}},{item},{{"c":"d"}}]}}"#);
            for piece in 1..page.len() {
                assert_eq!(cut(page.as_bytes(), piece), Err(Fault::NoList), "{page}");
            }
        }
        let (objects, _) = cut(br#"{"items":null}"#, 3).expect("a list");
        assert!(objects.is_empty());
        let huge = [br#"{"items":[{"a":""#, &vec![b'x'; OBJECT_MAX][..]].concat();
        assert_eq!(cut(&huge, 1 << 16), Err(Fault::Object));
        assert_eq!(
            cut(&vec![b' '; ENVELOPE_MAX + 1], 1 << 16),
            Err(Fault::NoList)
        );
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        use serde_json::Value;
        let leaf = prop_oneof![
            any::<i64>().prop_map(Value::from),
            ".{0,6}".prop_map(Value::from),
            "[\"\\\\\\[\\]{},:]{0,6}".prop_map(Value::from),
            Just(Value::Null),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-z\"\\\\]{0,5}", inner, 0..4)
                    .prop_map(|map| map.into_iter().collect::<Value>()),
            ]
        })
    }

    proptest! {
        #[test]
        fn objects_come_out_as_they_went_in(
            items in prop::collection::vec(prop::collection::btree_map("[a-z]{0,5}", json(), 0..4), 0..5),
            more in json(), piece in 1_usize..40, pretty: bool,
        ) {
            let list = serde_json::json!({"a": more, "items": items, "z": more});
            let text = if pretty { serde_json::to_vec_pretty(&list) } else { serde_json::to_vec(&list) };
            let (objects, _) = cut(&text.expect("JSON"), piece).expect("a list");
            let objects: Vec<serde_json::Value> =
                objects.iter().map(|it| serde_json::from_slice(it).expect("JSON")).collect();
            prop_assert_eq!(&serde_json::json!(objects), &list["items"]);
        }

        #[test]
        fn any_bytes_are_cut_or_refused(bytes: Vec<u8>, piece in 1_usize..40) {
            let _ = cut(&bytes, piece);
        }
    }
}

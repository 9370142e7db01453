//! One file of the test kit: headers, `---`, the object.

use std::path::{Path, PathBuf};
use std::{fmt, fs};

/// A vector: what is given, what must happen, and the bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Case {
    /// `frame-bit-flipped`: the kind, then what is special about it.
    pub(crate) name: String,
    /// In the order of the file; a name may repeat.
    headers: Vec<(String, String)>,
    pub(crate) object: Vec<u8>,
}

/// An object that is longer than this and gets shorter is stored compressed.
const LONG: usize = 8 * 1024;
/// Far above any object of the kit.
const OBJECT_MAX: usize = 64 << 20;

pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/vectors")
}

impl Case {
    pub(crate) fn new(name: &str, expect: &str, comment: &str, object: Vec<u8>) -> Self {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Self {
            name: name.to_owned(),
            headers: vec![header("expect", expect), header("comment", comment)],
            object,
        }
    }

    pub(crate) fn with(mut self, header: &str, value: impl fmt::Display) -> Self {
        self.headers.push((header.to_owned(), value.to_string()));
        self
    }

    pub(crate) fn kind(&self) -> &str {
        self.name.split('-').next().expect("split gives one part")
    }

    pub(crate) fn headers(&self) -> impl Iterator<Item = &str> {
        self.headers.iter().map(|(name, _)| name.as_str())
    }

    /// All values of a header.
    pub(crate) fn all(&self, header: &str) -> Vec<&str> {
        let given = self.headers.iter().filter(|(name, _)| name == header);
        given.map(|(_, value)| value.as_str()).collect()
    }

    /// The value of a header that stands there once.
    pub(crate) fn one(&self, header: &str) -> &str {
        match self.all(header)[..] {
            [value] => value,
            _ => panic!("{}: needs the header '{header}:' once", self.name),
        }
    }

    pub(crate) fn number<N: std::str::FromStr>(&self, header: &str) -> N {
        let parsed = self.one(header).parse().ok();
        parsed.unwrap_or_else(|| panic!("{}: '{header}:' is not a number", self.name))
    }

    pub(crate) fn bytes<const N: usize>(&self, header: &str) -> [u8; N] {
        let mut bytes = [0; N];
        hex::decode_to_slice(self.one(header), &mut bytes)
            .unwrap_or_else(|error| panic!("{}: '{header}:' {error}", self.name));
        bytes
    }

    pub(crate) fn read(path: &Path) -> Self {
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.expect("the kit's names are text").to_owned();
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{name}: {error}"));
        let (head, body) = text
            .split_once("---\n")
            .unwrap_or_else(|| panic!("{name}: has no line ---"));
        let split = |line: &str| {
            let (header, value) = line
                .split_once(": ")
                .unwrap_or_else(|| panic!("{name}: {line:?} is no header"));
            (header.to_owned(), value.to_owned())
        };
        let mut headers: Vec<_> = head.lines().map(split).collect();
        let digits: String = body.lines().collect();
        let mut object = hex::decode(digits).unwrap_or_else(|error| panic!("{name}: {error}"));
        let compressed = headers.len();
        headers.retain(|(header, value)| (&**header, &**value) != ("compressed", "zstd"));
        if headers.len() < compressed {
            object = zstd::bulk::decompress(&object, OBJECT_MAX)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        Self {
            name,
            headers,
            object,
        }
    }

    /// Writes the file, unless there is one: a vector that was once published stays as it is.
    pub(crate) fn write_once(&self) {
        let path = folder().join(&self.name);
        if path.exists() {
            return;
        }
        fs::write(&path, self.to_string()).expect("the kit's folder can be written");
        assert_eq!(&Self::read(&path), self, "it is read as it was written");
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (header, value) in &self.headers {
            writeln!(f, "{header}: {value}")?;
        }
        let packed = (self.object.len() > LONG)
            .then(|| zstd::bulk::compress(&self.object, 19).expect("zstd compresses"))
            .filter(|packed| packed.len() < self.object.len() / 2);
        if packed.is_some() {
            writeln!(f, "compressed: zstd")?;
        }
        writeln!(f, "---")?;
        for line in packed.as_deref().unwrap_or(&self.object).chunks(48) {
            writeln!(f, "{}", hex::encode(line))?;
        }
        Ok(())
    }
}

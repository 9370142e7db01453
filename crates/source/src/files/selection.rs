use std::os::unix::ffi::OsStrExt;
use std::path::{Component, PathBuf};

use archive::Name;
use globset::{Candidate, GlobBuilder, GlobSet, GlobSetBuilder};

use super::FilesOptions;
use crate::{Error, ErrorKind};

/// Which files a source captures: its paths and patterns, understood and found to make sense.
pub(super) struct Selection {
    /// The paths without their leading slash, ascending, none inside another. An empty one is the root.
    paths: Vec<Vec<u8>>,
    include: Option<GlobSet>,
    exclude: GlobSet,
    pub(super) one_filesystem: bool,
}

impl Selection {
    pub(super) fn new(options: &FilesOptions) -> Result<Self, Error> {
        let include = compile(&options.include)?;
        let selection = Self {
            paths: understand_paths(&options.paths)?,
            include: (!options.include.is_empty()).then_some(include),
            exclude: compile(&options.exclude)?,
            one_filesystem: options.one_filesystem,
        };
        match selection
            .paths
            .iter()
            .find(|path| selection.excludes_path(path))
        {
            None => Ok(selection),
            Some(path) => Err(configuration(format!(
                "path /{} is excluded by a pattern of its own source; drop one of the two",
                Name::new(path.as_slice())
            ))),
        }
    }

    pub(super) fn paths(&self) -> &[Vec<u8>] {
        &self.paths
    }

    /// Whether `path` (absolute) is to be left out, and all that is in it.
    pub(super) fn excludes(&self, path: &[u8]) -> bool {
        !self.exclude.is_empty()
            && self
                .exclude
                .is_match_candidate(&Candidate::from_bytes(path))
    }

    /// Whether a file at `path` (absolute) is wanted; for a folder: whether everything in it is.
    pub(super) fn includes(&self, path: &[u8]) -> bool {
        self.include
            .as_ref()
            .is_none_or(|include| include.is_match_candidate(&Candidate::from_bytes(path)))
    }

    /// Whether a configured path, or a folder above it, is excluded.
    fn excludes_path(&self, path: &[u8]) -> bool {
        let absolute = [b"/", path].concat();
        let ends = (1..absolute.len()).filter(|at| absolute[*at] == b'/');
        self.excludes(&absolute) || ends.into_iter().any(|end| self.excludes(&absolute[..end]))
    }
}

fn understand_paths(paths: &[PathBuf]) -> Result<Vec<Vec<u8>>, Error> {
    let mut names = Vec::new();
    for path in paths {
        let mut name = Vec::new();
        for component in path.components() {
            match component {
                Component::RootDir => {}
                Component::Normal(part) => {
                    if !name.is_empty() {
                        name.push(b'/');
                    }
                    name.extend_from_slice(part.as_bytes());
                }
                _ => return Err(bad_path(path, "has a component '..'")),
            }
        }
        if !path.is_absolute() {
            return Err(bad_path(path, "is not absolute"));
        }
        if name.contains(&0) {
            return Err(bad_path(path, "contains a zero byte"));
        }
        names.push(name);
    }
    if names.is_empty() {
        return Err(configuration(
            "a source of files needs at least one path".to_owned(),
        ));
    }
    Ok(outermost(names))
}

/// Drops what lies inside another path: it is captured with that one.
fn outermost(mut names: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    names.sort();
    names.dedup();
    let all = names.clone();
    let inside = |name: &[u8], outer: &[u8]| {
        name != outer
            && (outer.is_empty()
                || name
                    .strip_prefix(outer)
                    .is_some_and(|rest| rest.starts_with(b"/")))
    };
    names.retain(|name| !all.iter().any(|outer| inside(name, outer)));
    names
}

fn compile(patterns: &[String]) -> Result<GlobSet, Error> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let anchored = match pattern.strip_suffix('/').unwrap_or(pattern) {
            "" => return Err(configuration("an empty pattern matches nothing".to_owned())),
            pattern if pattern.starts_with('/') => pattern.to_owned(),
            pattern => format!("/**/{pattern}"),
        };
        let glob = GlobBuilder::new(&anchored)
            .literal_separator(true)
            .build()
            .map_err(|error| {
                configuration(format!(
                    "pattern `{}` does not parse",
                    Name::from(pattern.as_str())
                ))
                .because(error.kind().to_string())
            })?;
        set.add(glob);
    }
    set.build().map_err(|error| {
        configuration("the patterns are too large together".to_owned())
            .because(error.kind().to_string())
    })
}

fn bad_path(path: &std::path::Path, what: &str) -> Error {
    let name = Name::new(path.as_os_str().as_bytes());
    configuration(format!(
        "path `{name}` {what}; write it as an absolute path"
    ))
}

fn configuration(message: String) -> Error {
    Error::new(ErrorKind::Configuration, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(paths: &[&str], include: &[&str], exclude: &[&str]) -> Result<Selection, Error> {
        Selection::new(&FilesOptions {
            paths: paths.iter().map(PathBuf::from).collect(),
            include: include.iter().map(ToString::to_string).collect(),
            exclude: exclude.iter().map(ToString::to_string).collect(),
            one_filesystem: false,
        })
    }

    #[test]
    fn paths_are_understood() {
        let paths = ["/etc/ssl/", "/etc//./ssl/private", "/etc/ssl-old", "/b"];
        let selection = selection(&paths, &[], &[]).expect("good paths");
        assert_eq!(selection.paths(), [&b"b"[..], b"etc/ssl", b"etc/ssl-old"]);
    }

    #[test]
    fn what_cannot_work_is_refused_in_one_sentence() {
        for (paths, exclude, says) in [
            (&[][..], &[][..], "at least one path"),
            (&["etc"], &[], "path `etc` is not absolute"),
            (&["/etc/../root"], &[], "has a component '..'"),
            (&["/etc"], &["[z-a]"], "pattern `[z-a]` does not parse"),
            (&["/etc"], &[""], "empty pattern"),
            (&["/etc/ssl"], &["/etc"], "path /etc/ssl is excluded"),
            (&["/a/b.tmp"], &["*.tmp"], "path /a/b.tmp is excluded"),
        ] {
            let error = selection(paths, &[], exclude)
                .err()
                .expect("must be refused");
            assert_eq!(error.kind(), ErrorKind::Configuration);
            assert!(error.to_string().contains(says), "{error}");
        }
    }

    #[test]
    fn patterns_match_what_the_documentation_says() {
        for (pattern, path, matches) in [
            ("*.key", &b"/etc/ssl/a.key"[..], true),
            ("*.key", b"/a.key", true),
            ("*.key", b"/etc/a.key/b", false),
            ("ssl/*.key", b"/etc/ssl/a.key", true),
            ("ssl/*.key", b"/etc/ssl/deep/a.key", false),
            ("/ssl/*.key", b"/etc/ssl/a.key", false),
            ("/etc/**/*.key", b"/etc/a/b/c.key", true),
            ("/etc/ssl/", b"/etc/ssl", true),
            ("*.key", b"/etc/new\nline.key", true),
            ("*.key", b"/etc/\xff\xfe.key", true),
            ("a?c", b"/a/c", false),
            ("{a,b}.pem", b"/x/b.pem", true),
        ] {
            let selection = selection(&["/"], &[], &[pattern]).expect("a good pattern");
            assert_eq!(
                selection.excludes(path),
                matches,
                "{pattern} {:?}",
                Name::new(path)
            );
        }
    }
}

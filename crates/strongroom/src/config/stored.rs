//! The configuration as a snapshot keeps it: a comment that says where the file stood, then what it said, as JSON, which is
//! YAML too. It is written out by `show --configuration`, and a restore from nothing finds its sources in it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::file::File;
use super::load::parse;
use super::resolve::{Settings, resolve};
use crate::cli::Globals;
use crate::failure::Failure;

/// What a snapshot keeps of the configuration `file`, which stood at `path`.
pub(crate) fn text(path: &Path, file: &File) -> String {
    let json = serde_json::to_string_pretty(file).expect("a configuration serializes");
    // A name that is not UTF-8, or would end the comment, only loses relative paths their folder.
    let path = path.display().to_string();
    let path = path
        .replace(is_no_yaml, "\u{fffd}")
        .replace('\n', "\u{fffd}");
    format!("# {path}\n{}\n", escape(&json))
}

/// JSON may hold characters as they are that YAML reads only as escapes. All of them stand in strings, and take four digits.
fn escape(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if is_no_yaml(c) {
            write!(text, "\\u{:04x}", u32::from(c)).expect("text takes text");
        } else {
            text.push(c);
        }
    }
    text
}

/// What YAML does not take, takes for the end of a line, or drops. Line feeds stand between the lines of pretty JSON only.
fn is_no_yaml(c: char) -> bool {
    let separators = ['\u{2028}', '\u{2029}', '\u{feff}', '\u{fffe}', '\u{ffff}'];
    (c.is_control() && c != '\n') || separators.contains(&c)
}

/// What that means, on this host.
pub(crate) fn settings(text: &str) -> Result<Settings, Failure> {
    let path = text.lines().next().and_then(|line| line.strip_prefix("# "));
    let path = PathBuf::from(path.unwrap_or("/strongroom.yaml"));
    let file = parse(&path, text)?;
    resolve(Some((path, file)), &Globals::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_yaml_does_not_take_are_kept() {
        for c in [
            '\t',
            '\n',
            '\u{7f}',
            '\u{82}',
            '\u{85}',
            '\u{2028}',
            '\u{feff}',
            '\u{ffff}',
            '\u{1f511}',
        ] {
            let yaml = format!("repository: \"/a\\U{:08x}b\"\n", u32::from(c));
            let path = PathBuf::from("/etc/strongroom/strongroom.yaml");
            let file = parse(&path, &yaml).expect("parses");
            let first = resolve(Some((path, file)), &Globals::default()).expect("resolves");
            let second = settings(&first.configuration);
            let second = second.unwrap_or_else(|error| panic!("{c:?}: {error}"));
            let place = |settings: Settings| settings.repository.map(|place| place.address.value);
            assert_eq!(place(second), place(first), "{c:?}");
        }
    }

    #[test]
    fn a_stored_configuration_means_the_same() {
        let (_, recipient) = format::generate_identity();
        let yaml = format!(
            "repository: repo\nrecipients: [{recipient}]\nwriter_key: w.key\n\
             jobs: {{prod: {{sources: [{{name: a, files: {{paths: [rel, /abs], exclude: ['*.bak']}}}}, \
             {{etcd: {{endpoints: ['h:1'], username: u, password: 'file:pw', proxy: 'file:url', idle_timeout: 90s}}}}, \
             {{command: {{run: [x, '# y'], environment: {{A: 'plain:b', C: 'env:D'}}}}}}]}}}}\n"
        );
        let path = PathBuf::from("/etc/strongroom/strongroom.yaml");
        let file = parse(&path, &yaml).expect("parses");
        let first = resolve(Some((path.clone(), file)), &Globals::default()).expect("resolves");
        let second = settings(&first.configuration).expect("resolves again");
        assert_eq!(second.configuration, first.configuration);
        let listing = |settings| {
            let listing = crate::commands::config::config(settings);
            let json = serde_json::to_value(listing).expect("json");
            let lines = json["settings"].as_array().expect("a list").clone();
            lines
                .into_iter()
                .map(|line| (line["key"].clone(), line["value"].clone()))
                .collect::<Vec<_>>()
        };
        assert_eq!(listing(&second), listing(&first));
        assert!(
            listing(&second)
                .iter()
                .any(|(_, value)| value == "/etc/strongroom/rel")
        );
    }
}

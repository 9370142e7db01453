//! The configuration as a snapshot keeps it: a comment that says where the file stood, then what it said, as JSON, which is
//! YAML too. It is written out by `show --configuration`, and a restore from nothing finds its sources in it.

use std::path::{Path, PathBuf};

use super::file::File;
use super::load::parse;
use super::resolve::{Settings, resolve};
use crate::cli::Globals;
use crate::failure::Failure;

/// What a snapshot keeps of the configuration `file`, which stood at `path`.
pub(crate) fn text(path: &Path, file: &File) -> String {
    let json = serde_json::to_string_pretty(file).expect("a configuration serializes");
    // A name that is not UTF-8 only loses relative paths their folder.
    format!("# {}\n{json}\n", path.display())
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

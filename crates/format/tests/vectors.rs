//! The format's test kit: `testdata/vectors/` holds one file per case, which any implementation can read. This is how ours
//! reads them. What the files say is described in `testdata/README.md`.
//!
//! `STRONGROOM_WRITE_VECTORS=1 cargo test -p strongroom-format --test vectors` writes cases that are not there yet.
#![expect(
    clippy::too_many_lines,
    reason = "the generator is tables of cases, one line of thought each"
)]

#[path = "vectors/case.rs"]
mod case;
#[path = "vectors/commits.rs"]
mod commits;
#[path = "vectors/generator.rs"]
mod generator;
#[path = "vectors/judge.rs"]
mod judge;
#[path = "vectors/manifests.rs"]
mod manifests;

use std::collections::BTreeSet;
use std::fs;
use std::sync::Once;

use case::Case;
use judge::KINDS;

/// Headers that every case may have.
const COMMON: [&str; 3] = ["expect", "comment", "holds"];

static WRITTEN: Once = Once::new();

fn cases() -> Vec<Case> {
    WRITTEN.call_once(|| {
        if std::env::var_os("STRONGROOM_WRITE_VECTORS").is_some() {
            generator::cases().iter().for_each(Case::write_once);
        }
    });
    let listed = fs::read_dir(case::folder()).expect("the kit is checked in");
    let mut paths: Vec<_> = listed
        .map(|file| file.expect("the folder can be read").path())
        .collect();
    paths.sort();
    paths.iter().map(|path| Case::read(path)).collect()
}

#[test]
fn every_vector_is_judged_as_it_says() {
    let cases = cases();
    assert!(!cases.is_empty(), "the kit is empty");
    let mut wrong = Vec::new();
    for case in &cases {
        let kind = KINDS
            .iter()
            .find(|kind| kind.name == case.kind())
            .unwrap_or_else(|| panic!("{}: there is no such kind", case.name));
        for header in case.headers() {
            let known = COMMON.contains(&header) || kind.headers.contains(&header);
            assert!(known, "{}: unknown header '{header}:'", case.name);
        }
        let expect = case.one("expect");
        assert!(
            kind.verdicts.contains(&expect),
            "{}: unknown verdict '{expect}'",
            case.name
        );
        let judged = (kind.judge)(case);
        if judged.verdict != expect {
            wrong.push(format!(
                "{}: must be '{expect}', is '{}'",
                case.name, judged.verdict
            ));
        } else if judged.holds != case.all("holds") {
            wrong.push(format!("{}: holds {:#?}", case.name, judged.holds));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        cases.len(),
        wrong.join("\n")
    );
}

#[test]
fn every_verdict_of_every_kind_has_a_case() {
    let tried: BTreeSet<_> = cases()
        .iter()
        .map(|case| (case.kind().to_owned(), case.one("expect").to_owned()))
        .collect();
    for kind in KINDS {
        assert!(
            kind.verdicts.len() > 1,
            "{}: nothing of it can fail",
            kind.name
        );
        for verdict in kind.verdicts {
            let pair = (kind.name.to_owned(), (*verdict).to_owned());
            assert!(
                tried.contains(&pair),
                "no {} must be '{verdict}'",
                kind.name
            );
        }
    }
}

#[test]
fn a_file_that_breaks_the_kits_own_rules_is_noticed() {
    let folder = std::env::temp_dir().join(format!("vectors-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a temporary folder");
    for (name, text) in [
        ("no-line", "expect: ok\n00\n"),
        ("no-header", "expect ok\n---\n00\n"),
        ("no-hex", "expect: ok\n---\nzz\n"),
    ] {
        let path = folder.join(name);
        fs::write(&path, text).expect("a temporary file");
        let read = std::panic::catch_unwind(|| Case::read(&path));
        assert!(read.is_err(), "{name}");
    }
    fs::remove_dir_all(&folder).expect("it is ours");
}

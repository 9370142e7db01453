//! Programs that call themselves plugins: shell scripts that do one thing each, well or badly.

use std::sync::Arc;
use std::time::Instant;

use format::{Recipients, SealError};

use super::*;

/// A recipient of the plugin `name`.
fn recipient(name: &str) -> String {
    let prefix = bech32::Hrp::parse(&format!("age1{name}")).expect("a prefix");
    age_core::primitives::bech32_encode(prefix, &[7; 32])
}

/// Seals to a recipient whose plugin is this script.
fn seal(script: &str) -> Result<format::KeyObjects, SealError> {
    seal_patiently(script, Duration::from_secs(20))
}

fn seal_patiently(script: &str, patience: Duration) -> Result<format::KeyObjects, SealError> {
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("age-plugin-test");
    testkit::make_script(&program, script);
    let programs = Programs {
        path: folder.path().into(),
        person: Person::Nobody,
        patience,
    };
    let recipients = Recipients::parse([&*recipient("test")]).expect("a recipient");
    format::DataKey::random().seal_to(&recipients.with_plugins(Arc::new(programs)))
}

fn refusal(script: &str) -> String {
    seal(script).err().expect("it is refused").to_string()
}

/// Reads until we have said all.
const LISTEN: &str =
    "while read -r line; do test \"$line\" = '-> done' && break; done; read -r empty";

#[test]
fn a_plugin_that_does_its_work_is_used() {
    let wrapped = format!(
        "{LISTEN}; printf -- '-> recipient-stanza 0 test argument\\nQUJD\\n'; read -r ok; read -r body; printf -- '-> done\\n\\n'"
    );
    let sealed = seal(&wrapped).expect("it is sealed");
    assert!(
        sealed
            .key
            .windows(20)
            .any(|it| it == b"-> test argument\nQUJ")
    );
}

#[test]
fn a_plugin_that_is_not_there_is_named() {
    let recipients = Recipients::parse([&*recipient("nowhere")]).expect("a recipient");
    for path in ["", "/nonexistent", "relative:.", "/etc"] {
        let programs = Programs {
            path: path.into(),
            person: Person::Nobody,
            patience: ALONE,
        };
        let recipients = recipients.clone().with_plugins(Arc::new(programs));
        let refused = format::DataKey::random().seal_to(&recipients).err();
        let text = refused.expect("it is refused").to_string();
        assert!(
            text.starts_with("age-plugin-nowhere is not installed"),
            "{text}"
        );
    }
    let text = format::DataKey::random().seal_to(&recipients).err();
    assert_eq!(
        text.expect("it is refused").to_string(),
        "age-plugin-nowhere is needed, and no plugin is run here"
    );
}

#[test]
fn a_plugin_that_hangs_is_stopped_with_what_it_started_left_alone() {
    let started = Instant::now();
    for script in [
        "sleep 60",
        "sleep 60 & sleep 60",
        &format!("{LISTEN}; sleep 60"),
    ] {
        let refused = seal_patiently(script, Duration::from_millis(300)).err();
        assert_eq!(
            refused.expect("it is refused").to_string(),
            "age-plugin-test said nothing for 300ms and was stopped"
        );
    }
    assert!(started.elapsed() < Duration::from_secs(30));
}

#[test]
fn a_plugin_that_prints_nonsense_is_stopped() {
    let nonsense = "age-plugin-test does not speak the protocol of age plugins, and was stopped";
    for script in [
        "echo hello",
        "printf '\\377\\377\\n'",
        "printf -- '-> recipient-stanza 1 test\\n\\n'",
        "printf -- '-> recipient-stanza 0\\n\\n'",
        "printf -- '-> recipient-stanza 0 test\\n!!!\\n'",
        "printf -- '-> done\\n\\n'",
        "printf -- '-> confirm\\n\\n'",
        "head -c 200000 /dev/zero | tr '\\0' A",
        "yes -- '-> msg\n'",
        "printf -- '-> msg\\n'; yes AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    ] {
        assert_eq!(refusal(script), nonsense, "{script}");
    }
    let ended = refusal("exit 3");
    assert!(
        ended.contains("ended before it was done (exit status: 3)"),
        "{ended}"
    );
}

#[test]
fn a_plugin_that_refuses_is_repeated_on_one_line() {
    let body = "bm8gc3VjaAprZXk"; // no such\nkey
    let refused = refusal(&format!(
        "{LISTEN}; printf -- '-> error recipient 0\\n{body}\\n'; cat >&2"
    ));
    assert_eq!(refused, "age-plugin-test refused: no such key");
}

#[test]
fn a_plugin_that_asks_at_a_backup_is_told_that_nobody_is_there() {
    for question in ["confirm eWVz", "request-public", "request-secret"] {
        let asked = refusal(&format!(
            "{LISTEN}; printf -- '-> {question}\\nUElO\\n'; cat >/dev/null"
        ));
        let nobody =
            "age-plugin-test asks a question, and nobody is at a terminal to answer it: PIN";
        assert!(asked.starts_with(nobody), "{asked}");
    }
}

#[test]
fn a_plugin_cannot_seal_to_a_passphrase() {
    let scrypt = format!(
        "{LISTEN}; printf -- '-> recipient-stanza 0 scrypt AAAAAAAAAAAAAAAAAAAAAA 18\\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\\n'; read -r ok; read -r body; printf -- '-> done\\n\\n'"
    );
    assert_eq!(seal(&scrypt).err(), Some(SealError::Passphrase));
}

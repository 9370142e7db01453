//! Hardware tokens, as a plugin that must be touched: sealing needs neither token nor plugin, a restore one touch if the job's
//! identity is sealed to the token.

use std::fs;

use crate::plugins::Beside;
use crate::scene::Scene;
use crate::terminal::Terminal;

/// A token's recipient, the recipient for which its plugin asks a question, and its identity in `token.txt`.
fn token(beside: &Beside, pin: &str) -> (String, String) {
    let made = beside.age("age-plugin-token", &["new", pin]).done().text();
    let lines: Vec<&str> = made.lines().collect();
    beside.scene.write("token.txt", lines[2]);
    (lines[0].to_owned(), lines[1].to_owned())
}

fn touches(scene: &Scene) -> usize {
    let touched = fs::read_to_string(scene.path("touches")).unwrap_or_default();
    touched.lines().count()
}

/// Two runs: the second snapshot refers to the first one's.
fn back_up_twice(beside: &Beside) {
    let scene = &beside.scene;
    scene.write("secrets/large", vec![7; 300_000]);
    scene.run(&["backup"]).done();
    scene.write("secrets/token", "the second secret");
    scene.run(&["backup"]).done();
}

#[test]
fn a_restore_with_the_jobs_identity_needs_one_touch() {
    let Some(mut beside) = Beside::new() else {
        return;
    };
    let (recipient, _) = token(&beside, "");
    // The job's own identity, kept sealed to the token only.
    let job = beside.scene.run(&["keygen", "--output", "job.txt"]).done();
    beside
        .age("age", &["-r", &recipient, "-o", "job.age", "job.txt"])
        .done();
    fs::remove_file(beside.scene.path("job.txt")).expect("a file");
    beside.seals_to(&[job.text().trim()]);
    back_up_twice(&beside);

    let restore = ["restore", "prod", "--to", "out", "--yes"];
    let keys = ["--identity", "job.age", "--identity", "token.txt"];
    let mut command = beside.with_plugins(&[&restore[..], &keys].concat());
    let seen = crate::scene::Seen::of(command.env("TOKEN_TOUCHES", beside.scene.path("touches")));
    let seen = seen.done();
    assert!(
        seen.stderr
            .contains("age-plugin-token: touch the token now"),
        "{}",
        seen.stderr
    );
    assert_eq!(touches(&beside.scene), 1, "two runs, one touch");
    let restored = fs::read(beside.scene.restored("out", "secrets/token")).expect("restored");
    assert_eq!(restored, b"the second secret");
}

#[test]
fn a_job_sealed_to_a_token_needs_no_plugin_to_be_backed_up() {
    let Some(mut beside) = Beside::new() else {
        return;
    };
    let (recipient, _) = token(&beside, "");
    beside.seals_to(&[&recipient]);
    // Without the plugin in PATH.
    back_up_twice(&beside);
    let read = beside.token(&["token.txt"]).done();
    assert_eq!(read.text(), "the second secret");
}

#[test]
fn a_token_asks_for_its_pin_at_a_terminal_and_only_there() {
    let Some(mut beside) = Beside::new() else {
        return;
    };
    let (recipient, asking) = token(&beside, "pin");
    beside.seals_to(&[&recipient]);
    beside.scene.run(&["backup"]).done();
    let nobody = "age-plugin-token asks a question, and nobody is at a terminal to answer it: PIN of the token";
    beside.token(&["token.txt"]).refused(12, &[nobody]);

    let show = ["show", "prod", "--identity", "token.txt"];
    for (pin, code) in [("1234", 0), ("4321", 12)] {
        let mut terminal = Terminal::start(&mut beside.with_plugins(&show));
        terminal.sees("age-plugin-token: PIN of the token: ");
        terminal.types_hidden(&format!("{pin}\n"));
        let (ended, screen) = terminal.ends();
        assert_eq!(ended, code, "{screen}");
        assert!(!screen.contains(pin), "{screen}");
        assert_eq!(
            screen.contains("refused: the PIN is wrong"),
            code == 12,
            "{screen}"
        );
    }

    // A backup asks nobody, whoever sits there.
    beside.seals_to(&[&asking]);
    let (ended, screen) = Terminal::start(&mut beside.with_plugins(&["backup"])).ends();
    assert_eq!(ended, 1, "{screen}");
    assert!(
        screen.contains("nobody is at a terminal to answer it: Seal to the token?"),
        "{screen}"
    );
}

//! Identity files that a passphrase protects: made here and by the real age, and opened by both.

use std::fs;
use std::process::Command;

use crate::plugins::Beside;
use crate::scene::{Scene, Seen};
use crate::terminal::Terminal;

const PASSPHRASE: &str = "correct horse battery staple";

/// A job sealed to an identity that the passphrase protects, in `identity.age`.
fn protected() -> Scene {
    let mut scene = Scene::new();
    scene.write("secrets/token", "the secret");
    scene.write("passphrase", format!("{PASSPHRASE}\n"));
    let keygen = ["keygen", "--passphrase", "--output", "identity.age"];
    let reference = ["--identity-passphrase", "file:passphrase"];
    let made = scene.run(&[&keygen[..], &reference].concat()).done();
    made.text().trim().clone_into(&mut scene.recipient);
    scene.configure("  prod: {sources: [{files: {paths: [secrets]}}]}\n");
    scene.run(&["backup"]).done();
    scene
}

fn show(scene: &Scene, more: &[&str]) -> Command {
    let show = ["show", "prod", "--identity", "identity.age"];
    scene.strongroom(&[&show[..], more].concat())
}

#[test]
fn a_protected_identity_opens_with_its_passphrase_only() {
    let scene = protected();
    let text = fs::read_to_string(scene.path("identity.age")).expect("a file");
    assert!(
        text.starts_with("-----BEGIN AGE ENCRYPTED FILE-----\n"),
        "{text}"
    );

    let file = ["--identity-passphrase", "file:passphrase"];
    Seen::of(&mut show(&scene, &file)).done();
    let variable = ["--identity-passphrase", "env:PASSPHRASE"];
    Seen::of(show(&scene, &variable).env("PASSPHRASE", PASSPHRASE)).done();
    Seen::of(show(&scene, &variable).env("PASSPHRASE", "wrong"))
        .refused(12, &["identity.age", "the passphrase is wrong"]);
    Seen::of(&mut show(&scene, &[])).refused(
        12,
        &[
            "identity.age is protected by a passphrase",
            "--identity-passphrase",
        ],
    );
    // The passphrase itself, where its reference belongs, is not repeated.
    let misplaced = Seen::of(&mut show(&scene, &["--identity-passphrase", PASSPHRASE]));
    let misplaced = misplaced.refused(2, &["by reference only"]);
    assert!(!misplaced.stderr.contains("horse"), "{}", misplaced.stderr);
}

#[test]
fn a_passphrase_is_typed_unseen_and_an_interrupt_puts_the_terminal_right() {
    let scene = protected();
    let prompt = "passphrase of identity.age: ";
    let mut terminal = Terminal::start(&mut show(&scene, &[]));
    terminal.sees(prompt);
    terminal.types_hidden("no\n");
    terminal.sees("that is not the passphrase");
    terminal.sees(prompt);
    terminal.types_hidden(&format!("{PASSPHRASE}x\x7f\n"));
    let (code, screen) = terminal.ends();
    assert_eq!(code, 0, "{screen}");
    assert!(!screen.contains("horse"), "{screen}");

    let mut terminal = Terminal::start(&mut show(&scene, &[]));
    terminal.sees(prompt);
    terminal.types_hidden("corr\x03");
    assert_eq!(terminal.ends().0, 130);
}

#[test]
fn a_new_passphrase_is_typed_twice() {
    let scene = Scene::new();
    let keygen = ["keygen", "--passphrase", "--output", "identity.age"];
    let mut terminal = Terminal::start(&mut scene.strongroom(&keygen));
    for (first, again, said) in [
        ("one", "two", "the two differ"),
        (PASSPHRASE, PASSPHRASE, ""),
    ] {
        terminal.sees("new passphrase: ");
        terminal.types_hidden(&format!("{first}\n"));
        terminal.sees("the same again: ");
        terminal.types_hidden(&format!("{again}\n"));
        terminal.sees(said);
    }
    let (code, screen) = terminal.ends();
    assert_eq!(code, 0, "{screen}");
    scene.run(&keygen).refused(2, &["there is no terminal"]);
    assert!(scene.path("identity.age").exists());
}

#[test]
fn passphrases_mean_the_same_to_age() {
    let Some(mut beside) = Beside::new() else {
        return;
    };
    // Of a session without a terminal of its own, so that age asks at the one that it is given.
    let age = |beside: &Beside, arguments: &[&str]| {
        let program = beside.program("age").display().to_string();
        let words = [&[program.as_str()][..], arguments].concat();
        beside.scene.command("setsid".as_ref(), &words)
    };
    let mut terminal = Terminal::start(&mut age(
        &beside,
        &["-p", "-o", "theirs.age", "identity.txt"],
    ));
    terminal.sees("Enter passphrase (leave empty");
    terminal.types_hidden(&format!("{PASSPHRASE}\n"));
    terminal.sees("Confirm passphrase");
    terminal.types_hidden(&format!("{PASSPHRASE}\n"));
    let (code, screen) = terminal.ends();
    assert_eq!(code, 0, "{screen}");
    beside.scene.write("passphrase", PASSPHRASE);
    let recipient = beside.scene.recipient.clone();
    beside.seals_to(&[&recipient]);
    beside.run(&["backup"]).done();
    let read = [
        "show",
        "prod",
        "--identity",
        "theirs.age",
        "--identity-passphrase",
        "file:passphrase",
    ];
    beside.run(&read).done();

    let keygen = [
        "keygen",
        "--passphrase",
        "--output",
        "ours.age",
        "--identity-passphrase",
        "file:passphrase",
    ];
    let recipient = beside.run(&keygen).done().text();
    let mut terminal = Terminal::start(&mut age(&beside, &["-d", "-o", "opened.txt", "ours.age"]));
    terminal.sees("Enter passphrase");
    terminal.types_hidden(&format!("{PASSPHRASE}\n"));
    let (code, screen) = terminal.ends();
    assert_eq!(code, 0, "{screen}");
    let opened = fs::read_to_string(beside.scene.path("opened.txt")).expect("an identity file");
    assert!(opened.contains(recipient.trim()) && opened.contains("AGE-SECRET-KEY-1"));
}

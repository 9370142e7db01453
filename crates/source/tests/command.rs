//! The source `command` with real programs. Where a test needs a shell, it says `/bin/sh -c` itself.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use archive::{Attributes, Content, Header, Item, Name};
use strongroom_source::command::{Command, CommandOptions};
use strongroom_source::suite::{self, Archive, action};
use strongroom_source::{
    Action, Conflict, Error, ErrorKind, Plan, RestoreOptions, Sink, Source, Step,
};

fn sh(script: &str) -> CommandOptions {
    CommandOptions {
        program: shell(script),
        ..CommandOptions::default()
    }
}

fn shell(script: &str) -> Vec<String> {
    ["/bin/sh", "-c", script].map(str::to_owned).to_vec()
}

fn command(options: CommandOptions) -> Command {
    Command::new(options).expect("good options")
}

/// What the capture of `options` fails with.
async fn failure(options: CommandOptions) -> Error {
    Archive::collect(&command(options))
        .await
        .err()
        .expect("it must fail")
}

fn blob(content: &str) -> Archive {
    let header = Header {
        name: Name::from("output"),
        attributes: Attributes::default(),
        fields: None,
    };
    let data = Item::Data(Content::new(content.to_owned()));
    Archive::from_items(vec![Item::Begin(header), data, Item::End])
}

fn to(target: &Path) -> RestoreOptions {
    RestoreOptions {
        target: Some(target.to_owned()),
        ..RestoreOptions::default()
    }
}

#[tokio::test]
async fn output_is_captured_the_same_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = CommandOptions {
        environment: vec![("GREETING".into(), Content::new("hello".to_owned()))],
        working_directory: Some(folder.path().to_owned()),
        entry: "dump".into(),
        ..sh("printf '%s from ' \"$GREETING\"; pwd")
    };
    let source = command(options);
    let archive = suite::reads_the_same_twice(&source).await;
    let (_, bytes) = archive.get(&Name::from("dump")).expect("the entry");
    let expected = format!("hello from {}\n", folder.path().display());
    assert_eq!(String::from_utf8_lossy(bytes), expected);
    suite::finds_nothing_bad(&source, &archive).await;
    suite::notices_a_closed_sink(&command(sh("echo small"))).await;
    suite::notices_a_closed_sink(&command(sh("yes"))).await;
}

#[tokio::test]
async fn failures_are_one_sentence_without_arguments() {
    let not_found = CommandOptions {
        program: vec!["/no/such/program".into(), "--password=hunter2".into()],
        ..CommandOptions::default()
    };
    let no_folder = CommandOptions {
        working_directory: Some("/no/such/folder".into()),
        ..sh("echo hunter2")
    };
    let secret = vec![("PGPASSWORD".to_owned(), Content::new("hunter2".to_owned()))];
    let telling = CommandOptions {
        environment: secret,
        ..sh("echo \"login with $PGPASSWORD failed\" >&2; exit 1")
    };
    for (options, says) in [
        (not_found, "`/no/such/program` could not be started"),
        (
            no_folder,
            "`/bin/sh` could not be started: its folder /no/such/folder is not there",
        ),
        (
            sh("echo partial; exit 3 # hunter2"),
            "`/bin/sh` failed with exit code 3",
        ),
        (
            sh("echo partial; kill -9 $$ # hunter2"),
            "`/bin/sh` was killed by signal 9",
        ),
        (
            sh("printf 'one\\n\\033[2Jtwo\\n' >&2; exit 1"),
            "`/bin/sh` failed with exit code 1; its last words were: one / \\x1b[2Jtwo",
        ),
        (
            telling,
            "`/bin/sh` failed with exit code 1; its last words were: login with [PGPASSWORD] failed",
        ),
        (
            sh("true"),
            "`/bin/sh` printed nothing; set allow_empty if that is as it should be",
        ),
    ] {
        let error = failure(options).await;
        assert_eq!(error.kind(), ErrorKind::Program);
        assert_eq!(error.to_string(), says);
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
    let empty = CommandOptions {
        allow_empty: true,
        ..sh("true")
    };
    let (archive, _) = Archive::collect(&command(empty)).await.expect("allowed");
    assert_eq!(
        archive
            .get(&Name::from("output"))
            .map(|(_, bytes)| bytes.len()),
        Some(0)
    );
}

#[test]
fn what_cannot_work_is_refused_before_anything_runs() {
    let bad = |change: &dyn Fn(&mut CommandOptions)| {
        let mut options = sh("true");
        change(&mut options);
        let error = Command::new(options).err().expect("it must be refused");
        assert_eq!(error.kind(), ErrorKind::Configuration);
        error.to_string()
    };
    assert!(bad(&|options| options.program.clear()).contains("name of a program"));
    assert!(bad(&|options| options.restore = Some(vec![])).contains("name of a program"));
    assert!(bad(&|options| options.program.push("a\0b".into())).contains("zero byte"));
    let value = Content::new("x".to_owned());
    let message = bad(&|options| options.environment.push(("A=B".into(), value.clone())));
    assert!(message.contains("`A=B` cannot be set"));
}

#[tokio::test]
async fn a_huge_standard_error_does_not_stop_it() {
    let script =
        "head -c 20000000 /dev/zero | tr '\\0' 'e' >&2; echo done; (echo; echo last) >&2; exit 7";
    let message = failure(sh(script)).await.to_string();
    assert!(
        message.ends_with("eee / last"),
        "{}",
        &message[message.len() - 100..]
    );
    assert!(message.len() < 4200, "{} bytes", message.len());
}

/// The id that stands in the file as a line; `None`: the shell has not come to that yet.
fn id_in(pid_file: &Path) -> Option<String> {
    let line = fs::read_to_string(pid_file).ok()?;
    line.ends_with('\n').then_some(line)
}

async fn assert_dies(pid: &str) {
    let started = Instant::now();
    while testkit::lives(pid) {
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "what it started goes on"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Prints something, and has started something that would go on for a minute.
fn lingering(pid_file: &Path) -> String {
    format!(
        "sleep 60 & echo $! > {}; echo started; wait",
        pid_file.display()
    )
}

#[tokio::test]
async fn a_timeout_kills_it_and_what_it_started() {
    let folder = tempfile::tempdir().expect("a folder");
    let pid_file = folder.path().join("pid");
    let mut limit = Duration::from_secs(2);
    let pid = loop {
        let error = failure(CommandOptions {
            timeout: Some(limit),
            ..sh(&lingering(&pid_file))
        })
        .await;
        let killed = format!("`/bin/sh` had not ended after {limit:?} and was killed");
        assert_eq!(error.to_string(), killed);
        // On a busy machine its time may be over before it has started anything: then it gets more.
        if let Some(pid) = id_in(&pid_file) {
            break pid;
        }
        assert!(limit < Duration::from_secs(30), "it starts nothing");
        limit *= 2;
    };
    assert_dies(&pid).await;
}

#[tokio::test]
async fn a_dropped_capture_kills_it_and_what_it_started() {
    let folder = tempfile::tempdir().expect("a folder");
    let pid_file = folder.path().join("pid");
    let source = command(sh(&lingering(&pid_file)));
    let (mut sink, _receiver) = Sink::channel();
    let started = async {
        loop {
            if let Some(pid) = id_in(&pid_file) {
                break pid;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let pid = tokio::select! {
        _ = source.read(&mut sink) => panic!("it would go on for a minute"),
        pid = started => pid,
    };
    assert_dies(&pid).await;
}

/// The highest resident memory of this process so far, in KiB.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .expect("it is there");
    line.split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse().ok())
        .expect("a number")
}

#[tokio::test]
async fn fifty_megabytes_stream_through_little_memory() {
    let source = command(sh("head -c 52428800 /dev/zero"));
    let before = peak();
    let (mut sink, mut receiver) = Sink::channel();
    let read = async {
        source.read(&mut sink).await.expect("a capture");
        sink.finish().await.expect("someone listens");
    };
    let count = async {
        let mut bytes = 0;
        while let Some(batch) = receiver.recv().await {
            // A reader that is slower than the program: it is the program that has to wait.
            tokio::time::sleep(Duration::from_millis(1)).await;
            for item in &batch {
                if let Item::Data(content) = item {
                    assert!(content.len() <= 1024 * 1024);
                    bytes += content.len();
                }
            }
        }
        bytes
    };
    let ((), bytes) = futures::join!(read, count);
    assert_eq!(bytes, 52_428_800);
    let grown = peak() - before;
    assert!(grown < 24 * 1024, "{grown} KiB for 50 MiB of output");
}

#[tokio::test]
async fn a_restore_command_gets_it_on_its_standard_input() {
    let folder = tempfile::tempdir().expect("a folder");
    let restored = folder.path().join("restored");
    let content = "secret line\n".repeat(100_000);
    let archive = blob(&content);
    let with = |script: &str| {
        command(CommandOptions {
            restore: Some(shell(script)),
            ..sh("true")
        })
    };

    let source = with(&format!("cat > {}", restored.display()));
    let plan = suite::plan(&source, &archive, &RestoreOptions::default()).await;
    let what = vec!["piped into /bin/sh".to_owned()];
    assert_eq!(
        action(&plan, &Name::from("output")),
        &Action::Update { what }
    );
    suite::write(&source, &archive, &plan, &RestoreOptions::default()).await;
    assert!(fs::read_to_string(&restored).expect("a file") == content);

    let write = async |source: &Command| {
        source
            .write(&plan, &mut archive.contents(), &RestoreOptions::default())
            .await
    };
    let error = write(&with("cat > /dev/null; echo no >&2; exit 2"))
        .await
        .expect_err("an error");
    assert_eq!(
        error.to_string(),
        "`/bin/sh` failed with exit code 2; its last words were: no"
    );
    let report = write(&with("head -c 5 > /dev/null"))
        .await
        .expect("it says that all is well");
    assert_eq!(report.notes.len(), 1);
    assert!(
        report.notes[0].contains("without reading all"),
        "{:?}",
        report.notes
    );
    let error = write(&with("head -c 5 > /dev/null; exit 1"))
        .await
        .expect_err("an error");
    assert_eq!(error.kind(), ErrorKind::Program);
}

#[tokio::test]
async fn without_a_restore_command_it_goes_to_a_new_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let (source, archive) = (command(sh("true")), blob("dump"));
    let name = Name::from("output");
    let plan = suite::plan(&source, &archive, &RestoreOptions::default()).await;
    assert!(matches!(action(&plan, &name), Action::Unmanageable { .. }));

    let target = folder.path().join("dump.sql");
    let plan = suite::plan(&source, &archive, &to(&target)).await;
    assert_eq!(action(&plan, &name), &Action::Create);
    suite::write(&source, &archive, &plan, &to(&target)).await;
    assert_eq!(fs::read_to_string(&target).expect("a file"), "dump");
    let mode = fs::metadata(&target).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let plan = suite::plan(&source, &archive, &to(&target)).await;
    assert_eq!(action(&plan, &name), &Action::Same);

    // Another one is never replaced, whatever the policy and even if it came after the plan.
    fs::write(&target, "mine").expect("a file");
    for conflict in [Conflict::Fail, Conflict::Overwrite] {
        let options = RestoreOptions {
            conflict,
            ..to(&target)
        };
        let plan = suite::plan(&source, &archive, &options).await;
        assert!(
            matches!(action(&plan, &name), Action::Conflict { .. }),
            "{plan:?}"
        );
        let error = source
            .write(&plan, &mut archive.contents(), &options)
            .await
            .err();
        assert_eq!(error.map(|error| error.kind()), Some(ErrorKind::Conflict));
    }
    let create = Step {
        name: name.clone(),
        action: Action::Create,
    };
    let late = Plan {
        steps: vec![create],
        ..Plan::default()
    };
    let error = source
        .write(&late, &mut archive.contents(), &to(&target))
        .await
        .err();
    assert_eq!(error.map(|error| error.kind()), Some(ErrorKind::Conflict));
    assert_eq!(fs::read_to_string(&target).expect("a file"), "mine");
    let left: Vec<_> = fs::read_dir(folder.path()).expect("a folder").collect();
    assert_eq!(left.len(), 1, "no temporary file is left");

    let nowhere = to(&folder.path().join("no/folder/file"));
    let plan = suite::plan(&source, &archive, &nowhere).await;
    assert!(matches!(action(&plan, &name), Action::Unmanageable { .. }));
}

#[tokio::test]
async fn a_check_knows_what_it_captures() {
    let source = command(sh("true"));
    let findings = source
        .check(&mut blob("").contents())
        .await
        .expect("a check");
    assert_eq!(findings.len(), 1, "an empty dump: {findings:?}");
    let findings = source
        .check(&mut Archive::default().contents())
        .await
        .expect("a check");
    assert_eq!(findings.len(), 1, "nothing at all: {findings:?}");
    let other = command(CommandOptions {
        entry: "other".into(),
        ..sh("true")
    });
    let findings = other
        .check(&mut blob("x").contents())
        .await
        .expect("a check");
    assert_eq!(findings.len(), 2, "another entry: {findings:?}");
}

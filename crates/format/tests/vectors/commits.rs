//! Commits, signed by hand.

use ed25519_dalek::{Signer, SigningKey};

use crate::case::Case;
use crate::generator::{HOME, SEED};

/// Of another appender, and of a maintainer.
const OTHER: [u8; 32] = [0x45; 32];

/// The order of the group, little-endian: a signature's second half must be below it.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

pub(crate) fn id(seed: &[u8; 32]) -> String {
    hex::encode(SigningKey::from_bytes(seed).verifying_key().as_bytes())
}

fn sign(seed: &[u8; 32], context: &str, message: &str) -> String {
    let signed = format!("strongroom v1 {context}\n{message}");
    hex::encode(
        SigningKey::from_bytes(seed)
            .sign(signed.as_bytes())
            .to_bytes(),
    )
}

/// A commit before it is signed.
#[derive(Clone)]
struct Draft {
    header: String,
    statement: String,
    log: String,
    /// Who signs the statement, and who the log.
    writer: [u8; 32],
    appender: [u8; 32],
}

impl Draft {
    fn new(statement: String) -> Self {
        let appender = id(&SEED);
        let previous = "66".repeat(32);
        Self {
            header: "strongroom commit v1".to_owned(),
            statement,
            log: format!(
                r#"{{"number":7,"previous":"{previous}","appender":"{appender}","appended":"2026-11-22T08:00:02Z"}}"#
            ),
            writer: SEED,
            appender: SEED,
        }
    }

    fn statement(mut self, from: &str, to: &str) -> Self {
        assert!(self.statement.contains(from), "{from}");
        self.statement = self.statement.replacen(from, to, 1);
        self
    }

    fn log(mut self, from: &str, to: &str) -> Self {
        assert!(self.log.contains(from), "{from}");
        self.log = self.log.replacen(from, to, 1);
        self
    }

    /// Copied from another repository; `runs` says where its runs lie here.
    fn copied(self, runs: &str) -> Self {
        let home = hex::encode(HOME.repository);
        let copied = format!(r#"02Z","copied":{{"repository":"{home}","runs":{runs}}}"#);
        self.statement(&home, &"12".repeat(16))
            .log("02Z\"", &copied)
            .appended_by(OTHER)
    }

    fn header(mut self, header: &str) -> Self {
        header.clone_into(&mut self.header);
        self
    }

    /// Another appends it, and the statement keeps its writer.
    fn appended_by(mut self, seed: [u8; 32]) -> Self {
        self.log = self.log.replacen(&id(&SEED), &id(&seed), 1);
        self.appender = seed;
        self
    }

    fn lines(&self) -> [String; 5] {
        let first = sign(&self.writer, "statement", &self.statement);
        let four = [&self.header, &self.statement, &first, &self.log]
            .map(|line| format!("{line}\n"))
            .concat();
        let second = sign(&self.appender, "log", &four);
        [
            self.header.clone(),
            self.statement.clone(),
            first,
            self.log.clone(),
            second,
        ]
    }

    fn text(&self) -> String {
        self.lines().map(|line| line + "\n").concat()
    }
}

fn snapshot() -> Draft {
    let digest = |byte: &str| byte.repeat(32);
    let statement = format!(
        concat!(
            r#"{{"kind":"snapshot","repository":"{repository}","job":"prod","writer":"{writer}","program":"strongroom 0.1.0","#,
            r#""started":"2026-11-22T08:00:00Z","finished":"2026-11-22T08:00:01Z","#,
            r#""sources":[{{"started":"2026-11-22T08:00:00Z","finished":"2026-11-22T08:00:01Z"}}],"#,
            r#""partial":false,"entries":3,"bytes":180,"added":5000,"recipients":["age1x"],"#,
            r#""parent":{{"number":6,"digest":"{a}"}},"#,
            r#""runs":[{{"run":"{run}","key":{{"size":200,"digest":"{b}"}},"manifest":{{"size":900,"digest":"{c}"}},"#,
            r#""map":{{"size":300,"digest":"{d}"}},"packs":[[0,1000,"{e}"],[1,2000,"{f}"]]}}]}}"#
        ),
        repository = hex::encode(HOME.repository),
        writer = id(&SEED),
        run = hex::encode(HOME.run),
        a = digest("66"),
        b = digest("b0"),
        c = digest("b1"),
        d = digest("b2"),
        e = digest("c0"),
        f = digest("c1"),
    );
    Draft::new(statement)
}

fn prune() -> Draft {
    let statement = format!(
        concat!(
            r#"{{"kind":"prune","repository":"{repository}","job":"prod","writer":"{writer}","program":"strongroom 0.1.0","#,
            r#""started":"2026-11-22T08:00:00Z","retains":[[6,"{retained}"]],"#,
            r#""condemns":[{{"run":"{run}","whole":true,"packs":[]}},{{"run":"{run}","whole":false,"packs":[0,3]}}]}}"#
        ),
        repository = hex::encode(HOME.repository),
        writer = id(&SEED),
        run = hex::encode(HOME.run),
        retained = "66".repeat(32),
    );
    Draft::new(statement)
}

/// A statement of a maintainer: what every kind has, then `rest`.
fn maintenance(kind: &str, rest: &str) -> Draft {
    let (repository, writer) = (hex::encode(HOME.repository), id(&SEED));
    Draft::new(format!(
        concat!(
            r#"{{"kind":"{kind}","repository":"{repository}","job":"prod","writer":"{writer}","#,
            r#""program":"strongroom 0.1.0","started":"2026-11-22T08:00:00Z",{rest}}}"#
        ),
        kind = kind,
        repository = repository,
        writer = writer,
        rest = rest,
    ))
}

fn pin() -> Draft {
    let snapshot = format!(r#"{{"number":6,"digest":"{}"}}"#, "66".repeat(32));
    maintenance("pin", &format!(r#""snapshot":{snapshot},"pinned":true"#))
}

fn forget() -> Draft {
    let forgotten = [("5", "55"), ("6", "66")]
        .map(|(number, digest)| {
            format!(r#"{{"number":{number},"digest":"{}"}}"#, digest.repeat(32))
        })
        .join(",");
    maintenance("forget", &format!(r#""snapshots":[{forgotten}]"#))
}

fn revoke() -> Draft {
    let writers = ["a0", "a1"]
        .map(|writer| format!("\"{}\"", writer.repeat(32)))
        .join(",");
    maintenance("revoke", &format!(r#""writers":[{writers}],"after":5"#))
}

fn rotate() -> Draft {
    let runs = [("22", "key-1", "d0"), ("23", "key-2", "d1")]
        .map(|(run, name, digest)| {
            format!(
                r#"{{"run":"{}","object":"{name}","key":{{"size":200,"digest":"{}"}}}}"#,
                run.repeat(16),
                digest.repeat(32)
            )
        })
        .join(",");
    maintenance(
        "rotate",
        &format!(r#""recipients":["age1x"],"runs":[{runs}]"#),
    )
}

fn told(object: &str, appender: &[u8; 32]) -> Vec<String> {
    let digest = blake3::hash(object.as_bytes());
    vec![
        format!("number 7 appender {} digest {digest}", id(appender)),
        format!("previous {}", "66".repeat(32)),
    ]
}

fn told_snapshot(object: &str, appender: &[u8; 32]) -> Vec<String> {
    let mut told = told(object, appender);
    told.push(format!("snapshot by {}", id(&SEED)));
    for (name, size, byte) in [
        ("key", 200, "b0"),
        ("manifest", 900, "b1"),
        ("map", 300, "b2"),
        ("pack-000000", 1000, "c0"),
        ("pack-000001", 2000, "c1"),
    ] {
        told.push(format!(
            "object {}/{name} {size} {}",
            hex::encode(HOME.run),
            byte.repeat(32)
        ));
    }
    told
}

fn case(
    name: &str,
    expect: &str,
    comment: &str,
    object: impl Into<Vec<u8>>,
    holds: Vec<String>,
) -> Case {
    let case = Case::new(&format!("commit-{name}"), expect, comment, object.into())
        .with("repository", hex::encode(HOME.repository))
        .with("job", HOME.job)
        .with("number", 7);
    holds
        .into_iter()
        .fold(case, |case, line| case.with("holds", line))
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = good();
    cases.extend(copies());
    let refused = |expect: &'static str| {
        move |(name, comment, object): (&str, &str, String)| {
            case(name, expect, comment, object, Vec::new())
        }
    };
    cases.extend(shapes().into_iter().map(refused("shape")));
    cases.push(case(
        "not-text",
        "shape",
        "bytes that are not UTF-8",
        vec![0xff; 500],
        Vec::new(),
    ));
    cases.extend(malformed().into_iter().map(refused("malformed")));
    cases.extend(
        malformed_maintenance()
            .into_iter()
            .map(refused("malformed")),
    );
    cases.extend(signatures().into_iter().map(refused("signature")));
    cases.extend(places().into_iter().map(refused("place")));
    for (name, comment, seed) in [
        (
            "newer-kind",
            "a reader that trusts the appender stops",
            SEED,
        ),
        (
            "newer-kind-by-other",
            "garbage to a reader that does not trust the appender",
            OTHER,
        ),
    ] {
        let text = snapshot()
            .statement("\"snapshot\"", "\"merge\"")
            .statement("\"partial\":false", "\"merged\":[1]")
            .appended_by(seed)
            .text();
        cases.push(case(
            name,
            "newer",
            comment,
            text,
            vec![format!("appender {}", id(&seed))],
        ));
    }
    let unknown = snapshot()
        .statement("\"snapshot\"", "\"merge\"")
        .copied(&format!(r#"[{{"run":"{}"}}]"#, "33".repeat(16)))
        .text();
    cases.push(case(
        "copied-unknown-kind",
        "newer",
        "copied here, and of an unknown kind",
        unknown,
        vec![format!("appender {}", id(&OTHER))],
    ));
    cases.extend(second_keys());
    cases
}

fn good() -> Vec<Case> {
    let plain = snapshot().text();
    let copied = snapshot().appended_by(OTHER).text();
    let pruned = prune().text();
    let first = snapshot()
        .log(&format!("\"{}\"", "66".repeat(32)), "null")
        .text();
    let witness = snapshot()
        .log(
            "02Z\"",
            &format!(
                "02Z\",\"witness\":[{{\"repository\":\"{}\",\"number\":3,\"digest\":\"{}\"}}]",
                "12".repeat(16),
                "77".repeat(32)
            ),
        )
        .text();
    let spaced = snapshot()
        .statement("{\"kind\"", "{ \"kind\"")
        .log(",\"appended\"", ", \"appended\"")
        .text();
    let mut lines = snapshot().lines();
    lines[2] = "00".repeat(64);
    let four = lines[..4].join(
        "
",
    ) + "
";
    let one_signature = format!("{four}{}\n", sign(&SEED, "log", &four));
    let mut told_prune = told(&pruned, &SEED);
    told_prune.push(format!("prune by {}", id(&SEED)));
    told_prune.push(format!("retains 6 {}", "66".repeat(32)));
    let run = hex::encode(HOME.run);
    told_prune.extend([
        format!("condemns {run} whole true packs []"),
        format!("condemns {run} whole false packs [0, 3]"),
    ]);
    let maintained = |object: &str, lines: &[String]| {
        let mut told = told(object, &SEED);
        told.extend_from_slice(lines);
        told
    };
    let by = |kind: &str| format!("{kind} by {}", id(&SEED));
    let [pinned, forgotten, revoked, rotated] =
        [pin(), forget(), revoke(), rotate()].map(|draft| draft.text());
    let lifted = pin().statement("true", "false").text();
    let six = format!("6 {}", "66".repeat(32));
    let mut told_first = told_snapshot(&first, &SEED);
    told_first.remove(1);
    let mut told_witness = told_snapshot(&witness, &SEED);
    told_witness.insert(2, format!("witness {}/3", "12".repeat(16)));
    vec![
        case(
            "good",
            "ok",
            "a snapshot",
            &*plain,
            told_snapshot(&plain, &SEED),
        ),
        case(
            "copied",
            "ok",
            "the writer's statement, appended by another",
            &*copied,
            told_snapshot(&copied, &OTHER),
        ),
        case("prune", "ok", "a prune", &*pruned, told_prune),
        case(
            "pin",
            "ok",
            "a pin",
            &*pinned,
            maintained(&pinned, &[by("pin"), format!("pinned true {six}")]),
        ),
        case(
            "pin-lifted",
            "ok",
            "lifts a pin",
            &*lifted,
            maintained(&lifted, &[by("pin"), format!("pinned false {six}")]),
        ),
        case(
            "forget",
            "ok",
            "forgets two snapshots",
            &*forgotten,
            maintained(
                &forgotten,
                &[
                    by("forget"),
                    format!("forgets 5 {}", "55".repeat(32)),
                    format!("forgets {six}"),
                ],
            ),
        ),
        case(
            "revoke",
            "ok",
            "revokes two writers",
            &*revoked,
            maintained(
                &revoked,
                &[
                    by("revoke"),
                    format!("revokes {} after 5", "a0".repeat(32)),
                    format!("revokes {} after 5", "a1".repeat(32)),
                ],
            ),
        ),
        case(
            "rotate",
            "ok",
            "two runs get another key object",
            &*rotated,
            maintained(
                &rotated,
                &[
                    by("rotate"),
                    "recipient age1x".to_owned(),
                    format!("rotates {}/key-1 200 {}", "22".repeat(16), "d0".repeat(32)),
                    format!("rotates {}/key-2 200 {}", "23".repeat(16), "d1".repeat(32)),
                ],
            ),
        ),
        case("first", "ok", "the first of a log", &*first, told_first),
        case(
            "witness",
            "ok",
            "names another repository's tail",
            &*witness,
            told_witness,
        ),
        case(
            "spaced",
            "ok",
            "JSON is verified as it stands, white space and all",
            &*spaced,
            told_snapshot(&spaced, &SEED),
        ),
        case(
            "one-signature",
            "ok",
            "the appender is the writer: the second signature covers the statement",
            &*one_signature,
            told_snapshot(&one_signature, &SEED),
        ),
    ]
}

/// Snapshots that were made for another repository and copied to this one.
fn copies() -> Vec<Case> {
    let stored = "33".repeat(16);
    let copy_with = |key: &str, more: &str| {
        let draft = snapshot().copied(&format!(r#"[{{"run":"{stored}"{key}}}]{more}"#));
        let text = draft.text();
        let mut told = told_snapshot(&text, &OTHER);
        told.insert(3, format!("made for {}", "12".repeat(16)));
        let told = told
            .into_iter()
            .map(|line| line.replace(&hex::encode(HOME.run), &stored));
        (text, told.collect::<Vec<_>>())
    };
    let copy = |key: &str| copy_with(key, "");
    let (plain, told_plain) = copy("");
    let rotated = format!(
        r#","rotated":{{"key":{{"size":222,"digest":"{}"}},"recipients":["age1y"]}}"#,
        "b9".repeat(32)
    );
    let second = rotated.replace(
        r#","recipients""#,
        &format!(
            r#","key-pq":{{"size":2222,"digest":"{}"}},"recipients""#,
            "ba".repeat(32)
        ),
    );
    let (rotated, mut told_rotated) = copy(&rotated);
    told_rotated[4] = format!("object {stored}/key 222 {}", "b9".repeat(32));
    let (second, mut told_second) = copy(&second);
    told_second[4].clone_from(&told_rotated[4]);
    let told = format!("object {stored}/key-pq 2222 {}", "ba".repeat(32));
    told_second.insert(5, told);
    let home = snapshot()
        .log(
            "02Z\"",
            &format!(
                r#"02Z","copied":{{"repository":"{}","runs":[{{"run":"{stored}"}}]}}"#,
                hex::encode(HOME.repository)
            ),
        )
        .text();
    let told_home: Vec<String> = told_snapshot(&home, &SEED)
        .into_iter()
        .map(|line| line.replace(&hex::encode(HOME.run), &stored))
        .collect();
    let told_home = [
        &told_home[..3],
        &[format!("made for {}", hex::encode(HOME.repository))],
        &told_home[3..],
    ]
    .concat();
    let (late, mut told_late) = copy_with("", r#","before":5"#);
    told_late.insert(4, "taken before 5".to_owned());
    vec![
        case(
            "copied-late",
            "ok",
            "copied after a snapshot that was taken later",
            late,
            told_late,
        ),
        case(
            "copied-here",
            "ok",
            "made for another repository and copied to this one, its run under another name",
            plain,
            told_plain,
        ),
        case(
            "copied-rotated",
            "ok",
            "copied after its key was rotated: another key object than the statement's",
            rotated,
            told_rotated,
        ),
        case(
            "copied-rotated-second-key",
            "ok",
            "copied after its key was rotated to post-quantum recipients and others",
            second,
            told_second,
        ),
        case(
            "copied-home",
            "ok",
            "copied back to the repository that it was made for",
            home,
            told_home,
        ),
    ]
}

type Broken = Vec<(&'static str, &'static str, String)>;

fn shapes() -> Broken {
    let good = snapshot().text();
    let lines = snapshot().lines();
    let with = |at: usize, line: &str| {
        let mut lines = lines.clone();
        line.clone_into(&mut lines[at]);
        lines.map(|line| line + "\n").concat()
    };
    vec![
        ("empty", "zero bytes", String::new()),
        ("zeros", "bytes that are zero", "\0".repeat(1000)),
        ("newlines", "five empty lines", "\n".repeat(5)),
        (
            "cut",
            "the last newline is missing",
            good[..good.len() - 1].to_owned(),
        ),
        (
            "cut-signature",
            "a digit of the last signature is missing",
            good[..good.len() - 2].to_owned() + "\n",
        ),
        ("half", "half is missing", good[..good.len() / 2].to_owned()),
        (
            "four-lines",
            "without the last line",
            lines[..4].join(
                "
",
            ) + "
",
        ),
        ("six-lines", "an empty line more", format!("{good}\n")),
        ("twice", "the commit twice", good.repeat(2)),
        ("windows", "carriage returns", good.replace('\n', "\r\n")),
        (
            "header-2",
            "a header from the future, well signed",
            snapshot().header("strongroom commit v2").text(),
        ),
        (
            "header-none",
            "an empty header, well signed",
            snapshot().header("").text(),
        ),
        (
            "signature-upper-case",
            "digits have one form",
            with(4, &lines[4].to_uppercase()),
        ),
        (
            "signature-long",
            "a digit too many",
            with(4, &format!("{}0", lines[4])),
        ),
        (
            "signature-not-hex",
            "a letter that is no digit",
            with(2, &"g".repeat(128)),
        ),
        (
            "too-long",
            "longer than 16 MiB",
            format!("{good}{}", " ".repeat(16 << 20)),
        ),
    ]
}

fn malformed() -> Broken {
    let number = |from: &str, to: &str| snapshot().log(from, to).text();
    let says = |from: &str, to: &str| snapshot().statement(from, to).text();
    let run = snapshot()
        .statement
        .split("\"runs\":[")
        .nth(1)
        .map(|rest| rest[..rest.len() - 2].to_owned())
        .expect("the statement lists a run");
    let other_run = run.replace(&hex::encode(HOME.run), &"23".repeat(16));
    let packs = snapshot()
        .statement
        .split("\"packs\":")
        .nth(1)
        .map(|rest| rest[..rest.len() - 3].to_owned())
        .expect("the run lists packs");
    let pack = |number: &str, size: &str| format!("[{number},{size},\"{}\"]", "c0".repeat(32));
    vec![
        (
            "log-not-json",
            "a log line that is no JSON",
            number("{", ""),
        ),
        (
            "log-list",
            "a log line that is a list",
            Draft {
                log: "[]".into(),
                ..snapshot()
            }
            .text(),
        ),
        (
            "log-unknown-field",
            "an unknown field in the log line",
            number("02Z\"", "02Z\",\"x\":1"),
        ),
        (
            "log-twice",
            "a field twice in the log line",
            number("\"number\":7", "\"number\":7,\"number\":7"),
        ),
        (
            "log-no-previous-digest",
            "a digest that is short",
            number("6666", "66"),
        ),
        (
            "log-upper-case",
            "digests have one form",
            number("6666", "AAAA"),
        ),
        (
            "log-number-negative",
            "no number",
            number("\"number\":7", "\"number\":-7"),
        ),
        (
            "log-number-fraction",
            "no whole number",
            number("\"number\":7", "\"number\":7.0"),
        ),
        (
            "log-number-absurd",
            "2^64",
            number("\"number\":7", "\"number\":18446744073709551616"),
        ),
        (
            "copied-no-run",
            "a copy that says of no run where it lies",
            snapshot().copied("[]").text(),
        ),
        (
            "copied-runs-many",
            "a copy that says where two runs lie and has one",
            snapshot()
                .copied(&format!(
                    r#"[{{"run":"{}"}},{{"run":"{}"}}]"#,
                    "33".repeat(16),
                    "34".repeat(16)
                ))
                .text(),
        ),
        (
            "copied-one-place",
            "a copy of two runs that lie in one place",
            snapshot()
                .statement(&run, &format!("{run},{other_run}"))
                .copied(&format!(
                    r#"[{{"run":"{0}"}},{{"run":"{0}"}}]"#,
                    "33".repeat(16)
                ))
                .text(),
        ),
        (
            "copied-unknown-field",
            "an unknown field in where a run lies",
            snapshot()
                .copied(&format!(r#"[{{"run":"{}","x":1}}]"#, "33".repeat(16)))
                .text(),
        ),
        (
            "copied-before-itself",
            "a copy that was taken before itself",
            snapshot()
                .copied(&format!(r#"[{{"run":"{}"}}],"before":7"#, "33".repeat(16)))
                .text(),
        ),
        (
            "copied-before-all",
            "a copy that was taken before number 0",
            snapshot()
                .copied(&format!(r#"[{{"run":"{}"}}],"before":0"#, "33".repeat(16)))
                .text(),
        ),
        (
            "copied-rotated-to-nobody",
            "a copy whose key object is sealed to nobody",
            snapshot()
                .copied(&format!(
                    r#"[{{"run":"{}","rotated":{{"key":{{"size":222,"digest":"{}"}},"recipients":[]}}}}]"#,
                    "33".repeat(16),
                    "b9".repeat(32)
                ))
                .text(),
        ),
        (
            "copied-prune",
            "a prune that was copied",
            prune().copied("[]").text(),
        ),
        (
            "log-trailing",
            "something behind the log's object",
            number("02Z\"}", "02Z\"} {}"),
        ),
        (
            "statement-empty",
            "an empty statement, well signed",
            Draft::new(String::new()).text(),
        ),
        (
            "statement-list",
            "a statement that is a list",
            Draft::new("[]".into()).text(),
        ),
        (
            "statement-no-kind",
            "a statement without a kind",
            says("\"kind\":\"snapshot\",", ""),
        ),
        (
            "statement-kind-number",
            "a kind that is a number",
            says("\"snapshot\"", "7"),
        ),
        (
            "statement-unknown-field",
            "an unknown field in the statement",
            says("\"partial\":false", "\"partial\":false,\"x\":1"),
        ),
        (
            "statement-unknown-field-deep",
            "an unknown field in a run",
            says("\"packs\"", "\"x\":1,\"packs\""),
        ),
        (
            "statement-twice",
            "a field twice in the statement",
            says("\"entries\":3", "\"entries\":3,\"entries\":3"),
        ),
        (
            "statement-kind-twice",
            "two kinds",
            says("\"job\"", "\"kind\":\"prune\",\"job\""),
        ),
        (
            "statement-field-missing",
            "a field is missing",
            says("\"entries\":3,", ""),
        ),
        (
            "statement-trailing",
            "something behind the statement's object",
            Draft {
                statement: snapshot().statement + "{}",
                ..snapshot()
            }
            .text(),
        ),
        (
            "statement-deep",
            "brackets without end",
            says(
                "\"entries\":3",
                &format!("\"entries\":{}", "[".repeat(2000)),
            ),
        ),
        (
            "job-name",
            "a job that is a path",
            says("\"prod\"", "\"../prod\""),
        ),
        (
            "job-upper-case",
            "a job that is none",
            says("\"prod\"", "\"Prod\""),
        ),
        ("no-run", "a snapshot of no run", says(&run, "")),
        (
            "run-twice",
            "a run twice",
            says(&run, &format!("{run},{run}")),
        ),
        (
            "runs-many",
            "more than 1,024 runs",
            says(
                &run,
                &(0..1025)
                    .map(|n: u32| other_run.replace(&"23".repeat(16), &format!("{n:032x}")))
                    .collect::<Vec<_>>()
                    .join(","),
            ),
        ),
        (
            "recipients-many",
            "more than 64 recipients",
            says("\"age1x\"", &["\"age1x\""; 65].join(",")),
        ),
        (
            "recipient-long",
            "a recipient of more than 4 KiB",
            says("age1x", &"x".repeat(4097)),
        ),
        (
            "sources-many",
            "more than 4,096 sources",
            says(
                "\"sources\":[",
                &format!(
                    "\"sources\":[{}",
                    r#"{"started":"","finished":""},"#.repeat(4096)
                ),
            ),
        ),
        (
            "packs-unsorted",
            "packs that descend",
            says(&packs, &format!("[{},{}]", pack("1", "5"), pack("0", "5"))),
        ),
        (
            "pack-twice",
            "a pack twice",
            says(&packs, &format!("[{},{}]", pack("1", "5"), pack("1", "5"))),
        ),
        (
            "pack-too-long",
            "a pack of 64 MiB and a byte",
            says(&packs, &format!("[{}]", pack("0", "67108865"))),
        ),
        (
            "pack-number-absurd",
            "a pack above 2^32",
            says(&packs, &format!("[{}]", pack("4294967296", "5"))),
        ),
        (
            "pack-of-four",
            "a pack of four numbers",
            says(&packs, &format!("[{}]", pack("0,1", "5"))),
        ),
        (
            "size-negative",
            "an object of negative size",
            says("\"size\":200", "\"size\":-200"),
        ),
        (
            "prune-unknown-field",
            "an unknown field in a prune",
            prune()
                .statement("\"retains\"", "\"x\":1,\"retains\"")
                .text(),
        ),
        (
            "prune-bad-digest",
            "a retained digest that is short",
            prune().statement("6666", "66").text(),
        ),
    ]
}

fn malformed_maintenance() -> Broken {
    let writers = revoke().statement;
    let writers = writers.split("\"writers\":[").nth(1);
    let writers = writers
        .and_then(|rest| rest.split(']').next())
        .expect("writers");
    let many = (0..1025)
        .map(|n: u32| format!("\"{n:064x}\""))
        .collect::<Vec<_>>()
        .join(",");
    let (key_1, run_22) = ("\"key-1\"", "22".repeat(16));
    let named = |name: &str| rotate().statement(key_1, &format!("\"{name}\"")).text();
    vec![
        (
            "pin-no-choice",
            "a pin that does not say whether it pins",
            pin().statement(",\"pinned\":true", "").text(),
        ),
        (
            "pin-unknown-field",
            "an unknown field in a pin",
            pin().statement("true", "true,\"x\":1").text(),
        ),
        (
            "pin-list",
            "several snapshots in a pin",
            pin()
                .statement("{\"number\"", "[{\"number\"")
                .statement("\"},\"pinned\"", "\"}],\"pinned\"")
                .text(),
        ),
        (
            "forget-nothing",
            "forgets nothing",
            maintenance("forget", "\"snapshots\":[]").text(),
        ),
        (
            "forget-unsorted",
            "snapshots that descend",
            forget().statement("\"number\":5", "\"number\":7").text(),
        ),
        (
            "forget-twice",
            "a snapshot twice",
            forget().statement("\"number\":5", "\"number\":6").text(),
        ),
        (
            "forget-unknown-field",
            "an unknown field in a snapshot's name",
            forget()
                .statement("\"number\":5", "\"number\":5,\"x\":1")
                .text(),
        ),
        (
            "revoke-nobody",
            "revokes nobody",
            revoke().statement(writers, "").text(),
        ),
        (
            "revoke-unsorted",
            "writers that descend",
            revoke().statement("a0a0", "b0b0").text(),
        ),
        (
            "revoke-twice",
            "a writer twice",
            revoke()
                .statement(&"a0".repeat(32), &"a1".repeat(32))
                .text(),
        ),
        (
            "revoke-many",
            "more than 1,024 writers",
            revoke().statement(writers, &many).text(),
        ),
        (
            "revoke-negative",
            "a number below 0",
            revoke().statement("\"after\":5", "\"after\":-5").text(),
        ),
        (
            "revoke-no-after",
            "does not say from where on",
            revoke().statement(",\"after\":5", "").text(),
        ),
        (
            "rotate-to-nobody",
            "sealed to nobody",
            rotate().statement("\"age1x\"", "").text(),
        ),
        (
            "rotate-recipients-many",
            "more than 64 recipients",
            rotate()
                .statement("\"age1x\"", &["\"age1x\""; 65].join(","))
                .text(),
        ),
        (
            "rotate-recipient-long",
            "a recipient of more than 4 KiB",
            rotate().statement("age1x", &"x".repeat(4097)).text(),
        ),
        (
            "rotate-nothing",
            "rotates nothing",
            maintenance("rotate", "\"recipients\":[\"age1x\"],\"runs\":[]").text(),
        ),
        (
            "rotate-unsorted",
            "runs that descend",
            rotate().statement(&run_22, &"24".repeat(16)).text(),
        ),
        (
            "rotate-twice",
            "a run twice",
            rotate().statement(&run_22, &"23".repeat(16)).text(),
        ),
        (
            "rotate-original",
            "names the key object that the backup made",
            named("key"),
        ),
        (
            "rotate-zero",
            "key objects are numbered from 1",
            named("key-0"),
        ),
        ("rotate-zeros", "numbers have one form", named("key-01")),
        (
            "rotate-last",
            "there is no key-1000000",
            named("key-1000000"),
        ),
        (
            "rotate-path",
            "an object outside of the run",
            named("../key-1"),
        ),
        (
            "rotate-pack",
            "an object that is no key",
            named("pack-000000"),
        ),
        (
            "rotate-key-long",
            "a key object of more than 64 KiB",
            rotate().statement("\"size\":200", "\"size\":65537").text(),
        ),
        (
            "rotate-unknown-field",
            "an unknown field in a rotated run",
            rotate().statement(key_1, "\"key-1\",\"x\":1").text(),
        ),
    ]
}

/// Adds the group's order to the second half of a signature: the same number modulo the order.
fn malleated(signature: &str) -> String {
    let mut bytes = hex::decode(signature).expect("our own digits");
    let mut carry = 0;
    for (byte, order) in bytes[32..].iter_mut().zip(ORDER) {
        carry += u16::from(*byte) + u16::from(order);
        *byte = carry as u8;
        carry >>= 8;
    }
    assert_eq!(carry, 0);
    hex::encode(bytes)
}

fn signatures() -> Broken {
    let lines = snapshot().lines();
    let with = |at: usize, line: String| {
        let mut lines = lines.clone();
        lines[at] = line;
        lines.map(|line| line + "\n").concat()
    };
    let flip = |signature: &str| {
        signature.replacen(
            &signature[..1],
            if &signature[..1] == "0" { "1" } else { "0" },
            1,
        )
    };
    // Keys of small order "sign" everything when verification is lax: R is the neutral element, S is 0.
    let neutral = format!("01{}", "00".repeat(31));
    let nothing = format!("{neutral}{}", "00".repeat(32));
    let small = |key: &str| {
        let draft = snapshot().statement(&id(&SEED), key).log(&id(&SEED), key);
        let [header, statement, _, log, _] = draft.lines();
        [&header, &statement, &nothing, &log, &nothing]
            .map(|line| format!("{line}\n"))
            .concat()
    };
    let small_writer = {
        let draft = snapshot()
            .statement(&id(&SEED), &neutral)
            .appended_by(OTHER);
        let four = [&draft.header, &draft.statement, &nothing, &draft.log]
            .map(|line| format!("{line}\n"))
            .concat();
        format!("{four}{}\n", sign(&OTHER, "log", &four))
    };
    let swapped = {
        let draft = snapshot();
        let first = sign(&SEED, "log", &draft.statement);
        let four = [&draft.header, &draft.statement, &first, &draft.log]
            .map(|line| format!("{line}\n"))
            .concat();
        with(4, sign(&SEED, "statement", &four))
    };
    vec![
        (
            "log-flipped",
            "a digit of the second signature is wrong",
            with(4, flip(&lines[4])),
        ),
        (
            "statement-signature-flipped",
            "a digit of the first is wrong, and the second covers it",
            with(2, flip(&lines[2])),
        ),
        (
            "statement-changed",
            "the statement was changed",
            with(1, lines[1].replace("\"partial\":false", "\"partial\":true")),
        ),
        (
            "log-changed",
            "the log line was changed",
            with(3, lines[3].replace(":02Z", ":03Z")),
        ),
        (
            "previous-changed",
            "hung behind another commit",
            with(3, lines[3].replace("66", "67")),
        ),
        (
            "zeros-signature",
            "a signature of zeros",
            with(4, "00".repeat(64)),
        ),
        (
            "malleated",
            "the second half plus the group's order",
            with(4, malleated(&lines[4])),
        ),
        (
            "other-writer",
            "says one writer, signed by another",
            Draft {
                appender: OTHER,
                ..snapshot()
            }
            .text(),
        ),
        (
            "appended-unsigned",
            "appended by another, the statement not signed by its writer",
            Draft {
                writer: OTHER,
                ..snapshot().appended_by(OTHER)
            }
            .text(),
        ),
        (
            "exchanged-contexts",
            "each signature in the other's context",
            swapped,
        ),
        (
            "small-order-neutral",
            "the neutral element as a key",
            small(&neutral),
        ),
        (
            "small-order-two",
            "a key of order 2",
            small(&format!("ec{}7f", "ff".repeat(30))),
        ),
        (
            "small-order-four",
            "a key of order 4",
            small(&"00".repeat(32)),
        ),
        (
            "small-order-eight",
            "a key of order 8",
            small("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
        ),
        (
            "small-order-writer",
            "a writer of small order, appended by an honest key",
            small_writer,
        ),
        (
            "key-not-canonical",
            "the neutral element, encoded in a second way",
            small(&format!("ee{}7f", "ff".repeat(30))),
        ),
        (
            "key-no-point",
            "a key that is no point",
            small(&format!("02{}", "00".repeat(31))),
        ),
    ]
}

fn places() -> Broken {
    let repository = hex::encode(HOME.repository);
    let stored = format!(r#"[{{"run":"{}"}}]"#, "33".repeat(16));
    vec![
        (
            "copied-elsewhere",
            "copied to a third repository, and found here",
            snapshot()
                .copied(&stored)
                .log(&repository, &"13".repeat(16))
                .text(),
        ),
        (
            "copied-away",
            "made for this repository, copied to another, and put back here",
            snapshot()
                .copied(&stored)
                .statement(&"12".repeat(16), &repository)
                .log(&repository, &"12".repeat(16))
                .text(),
        ),
        (
            "copied-other-job",
            "a copy of another job",
            snapshot()
                .statement("\"prod\"", "\"test\"")
                .copied(&stored)
                .text(),
        ),
        (
            "other-repository",
            "of another repository",
            snapshot().statement(&repository, &"12".repeat(16)).text(),
        ),
        (
            "other-job",
            "of another job",
            snapshot().statement("\"prod\"", "\"test\"").text(),
        ),
        (
            "undo-job",
            "of the job's undo",
            snapshot().statement("\"prod\"", "\"prod.undo\"").text(),
        ),
        (
            "other-number",
            "under another number",
            snapshot().log("\"number\":7", "\"number\":8").text(),
        ),
        (
            "number-zero",
            "there is no number 0",
            snapshot().log("\"number\":7", "\"number\":0").text(),
        ),
        (
            "number-wraps",
            "the number modulo 2^32 is right",
            snapshot()
                .log("\"number\":7", "\"number\":4294967303")
                .text(),
        ),
        (
            "prune-other-job",
            "a prune of another job",
            prune().statement("\"prod\"", "\"test\"").text(),
        ),
        (
            "pin-other-job",
            "a pin of another job",
            pin().statement("\"prod\"", "\"test\"").text(),
        ),
        (
            "rotate-other-repository",
            "a rotation of another repository",
            rotate().statement(&repository, &"12".repeat(16)).text(),
        ),
        (
            "copied-other-repository",
            "a statement of another repository, appended here by another",
            snapshot()
                .statement(&repository, &"12".repeat(16))
                .appended_by(OTHER)
                .text(),
        ),
    ]
}

/// Key objects for post-quantum recipients, beside those of others.
fn second_keys() -> Vec<Case> {
    let with = |second: &str| {
        let key = format!(
            "\"key\":{{\"size\":200,\"digest\":\"{}\"}}",
            "b0".repeat(32)
        );
        snapshot()
            .statement(&key, &format!("{key},\"key-pq\":{second}"))
            .text()
    };
    let object = format!("{{\"size\":2000,\"digest\":\"{}\"}}", "b3".repeat(32));
    let good = with(&object);
    let mut told = told_snapshot(&good, &SEED);
    let run = hex::encode(HOME.run);
    told.insert(4, format!("object {run}/key-pq 2000 {}", "b3".repeat(32)));
    let mut cases = vec![case(
        "second-key",
        "ok",
        "a second key object, for post-quantum recipients",
        good,
        told,
    )];
    for (name, comment, second) in [
        (
            "second-key-null",
            "a second key object that is null",
            "null",
        ),
        (
            "second-key-text",
            "a second key object that is a text",
            "\"key-pq\"",
        ),
        (
            "second-key-empty",
            "a second key object without size and digest",
            "{}",
        ),
    ] {
        cases.push(case(name, "malformed", comment, with(second), Vec::new()));
    }
    let twice = with(&format!("{object},\"key-pq\":{object}"));
    cases.push(case(
        "second-key-twice",
        "malformed",
        "a second key object twice",
        twice,
        Vec::new(),
    ));
    cases.extend(rotated_second_keys());
    cases
}

/// The same in a rotation.
fn rotated_second_keys() -> Vec<Case> {
    let first = format!("\"digest\":\"{}\"}}", "d0".repeat(32));
    let with = |second: &str| {
        let second = format!("{first},\"key-pq\":{second}");
        rotate().statement(&first, &second).text()
    };
    let object = |size: u64| format!("{{\"size\":{size},\"digest\":\"{}\"}}", "d2".repeat(32));
    let good = with(&object(2000));
    let mut told = told(&good, &SEED);
    told.extend([
        format!("rotate by {}", id(&SEED)),
        "recipient age1x".to_owned(),
        format!("rotates {}/key-1 200 {}", "22".repeat(16), "d0".repeat(32)),
        format!(
            "rotates {}/key-1-pq 2000 {}",
            "22".repeat(16),
            "d2".repeat(32)
        ),
        format!("rotates {}/key-2 200 {}", "23".repeat(16), "d1".repeat(32)),
    ]);
    vec![
        case(
            "rotate-second-key",
            "ok",
            "a second key object, for post-quantum recipients",
            good,
            told,
        ),
        case(
            "rotate-second-key-long",
            "malformed",
            "a second key object of more than 64 KiB",
            with(&object(65537)),
            Vec::new(),
        ),
    ]
}

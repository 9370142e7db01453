//! What is restored: all of it, to a place that was free, or nothing.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use archive::{Attributes, Content, Entry};
use strongroom_source::etcd::ENTRY;
use strongroom_source::suite::{self, Archive};
use strongroom_source::{
    Action, Conflict, Contents, Error, ErrorKind, RestoreOptions, Sink, Source,
};
use testkit::{EtcdOptions, require};

use crate::cluster::{contents_of, seed};
use crate::{files_in, settings, snapshot, source_of, to};

/// 2,000 keys, some of 1 MiB, a lease, deletions: captured, lost, restored by etcd's own tool, compared.
async fn survives_the_loss_of_its_data(name: &str, tool: &str) {
    let Some(release) = require(name) else { return };
    let server = testkit::Etcd::start(&release, EtcdOptions::default());
    seed(&server, 2_000, 3).await;
    let before = contents_of(&server.endpoint()).await;
    let source = source_of(&server);
    let (archive, capture) = Archive::collect(&source).await.expect("a capture");
    drop(server);

    assert_eq!(capture.facts["etcd.revision"], before.revision.to_string());
    let (_, bytes) = snapshot(&archive);
    assert_eq!(
        capture.facts["etcd.database-bytes"],
        (bytes.len() - 32).to_string()
    );
    assert_eq!(
        capture.facts["etcd.sha256"],
        hex::encode(&bytes[bytes.len() - 32..])
    );
    suite::finds_nothing_bad(&source, &archive).await;

    let folder = tempfile::tempdir().expect("a folder");
    let data_dir = folder.path().join("new data");
    let tool = release.program(tool);
    let mut options = settings(&[("data-dir", &data_dir), ("etcdutl-path", &tool)]);
    options
        .settings
        .insert("no-bump-revision".to_owned(), "true".to_owned());
    let plan = suite::plan(&source, &archive, &options).await;
    assert_eq!(plan.steps[0].action, Action::Create);
    suite::write(&source, &archive, &plan, &options).await;
    assert_eq!(
        files_in(folder.path()),
        ["new data"],
        "no plaintext stays beside it"
    );

    let restored = testkit::Etcd::start_on(&release, &data_dir);
    let after = contents_of(&restored.endpoint()).await;
    assert_eq!(after.pairs.len(), before.pairs.len());
    assert!(
        after == before,
        "every key, value, lease and revision is as before"
    );

    let again = suite::plan(&source, &archive, &options).await;
    assert!(
        matches!(again.steps[0].action, Action::Conflict { .. }),
        "{again:?}"
    );
}

#[tokio::test]
async fn etcd_survives_the_loss_of_its_data() {
    survives_the_loss_of_its_data("etcd", "etcdutl").await;
}

#[tokio::test]
async fn debians_etcd_survives_the_loss_of_its_data() {
    survives_the_loss_of_its_data("etcd-debian", "etcdctl").await;
}

/// Neither was the flag given, nor is it known by an old tool: what holds Kubernetes is raised or not restored, and the rest stays as it was.
#[tokio::test]
async fn kubernetes_is_raised_unless_that_is_forbidden() {
    let (Some(release), Some(older)) = (require("etcd"), require("etcd-debian")) else {
        return;
    };
    for (key, kubernetes) in [("/registry/pods/a/b", true), ("/registry", false)] {
        let server = testkit::Etcd::start(&older, EtcdOptions::default());
        server.ctl(&["put", key, "value"]);
        let before = contents_of(&server.endpoint()).await;
        let source = source_of(&server);
        let (archive, capture) = Archive::collect(&source).await.expect("a capture");
        drop(server);
        let said = if kubernetes { "yes" } else { "no" };
        assert_eq!(capture.facts["etcd.kubernetes"], said);

        let folder = tempfile::tempdir().expect("a folder");
        let data_dir = folder.path().join("data");
        let with = |release: &testkit::Release, tool| {
            let tool = release.program(tool);
            settings(&[("data-dir", &data_dir), ("etcdutl-path", &tool)])
        };
        let options = with(&older, "etcdctl");
        let plan = suite::plan(&source, &archive, &options).await;
        match &plan.steps[0].action {
            Action::Unmanageable { reason } if kubernetes => {
                assert!(reason.contains("must be raised"), "{reason}");
            }
            action => assert!(!kubernetes && *action == Action::Create, "{action:?}"),
        }
        let options = with(&release, "etcdutl");
        let plan = suite::plan(&source, &archive, &options).await;
        assert_eq!(
            plan.notes
                .iter()
                .any(|note| note.contains("marked as compacted")),
            kubernetes,
            "{:?}",
            plan.notes
        );
        suite::write(&source, &archive, &plan, &options).await;
        let restored = testkit::Etcd::start_on(&release, &data_dir);
        let after = contents_of(&restored.endpoint()).await;
        let raised = if kubernetes { 1_000_000_000 } else { 0 };
        assert_eq!(after.revision, before.revision + raised);
        assert!(after.pairs == before.pairs, "the keys are as before");
    }
}

/// Such snapshots were taken elsewhere, or before it was recorded: the keys in the file tell.
#[tokio::test]
async fn a_snapshot_that_does_not_say_is_looked_into() {
    let (Some(release), Some(older)) = (require("etcd"), require("etcd-debian")) else {
        return;
    };
    for (key, raised) in [("/registry/pods/a/b", 1_000_000_000), ("/registry", 0)] {
        let server = testkit::Etcd::start(&release, EtcdOptions::default());
        server.ctl(&["put", key, "value"]);
        server.ctl(&["put", "other", "/registry/pods/a/b"]);
        let before = contents_of(&server.endpoint()).await;
        let source = source_of(&server);
        let (said, _) = Archive::collect(&source).await.expect("a capture");
        let (mut sink, mut receiver) = Sink::channel();
        let mut contents = said.contents();
        contents.next().await.expect("served").expect("an entry");
        let gather = tokio::spawn(async move {
            let mut items = Vec::new();
            while let Some(batch) = receiver.recv().await {
                items.extend(batch);
            }
            items
        });
        let poured = strongroom_source::etcd::pour_saved(&mut contents, &mut sink).await;
        poured.expect("it is whole");
        sink.finish().await.expect("somebody listens");
        let archive = Archive::from_items(gather.await.expect("it gathers"));

        let [folder, tools] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
        let data_dir = folder.path().join("data");
        let tool = release.program("etcdutl");
        let options = settings(&[("data-dir", &data_dir), ("etcdutl-path", &tool)]);
        let plan = suite::plan(&source, &archive, &options).await;
        let looks = |note: &String| note.contains("its keys are looked at");
        assert!(plan.notes.iter().any(looks), "{:?}", plan.notes);

        // What is older than the cluster is no tool for this, nor what cannot raise the revision, which shows only now.
        let older = older.program("etcdctl");
        let liar = tools.path().join("etcdutl");
        calls_itself_etcdutl(&liar, &format!("exec '{}' \"$@\"", older.display()));
        let unfit = [
            (&older, "the snapshot is by etcd 3.6"),
            (&liar, "its revision must be raised"),
        ];
        for (tool, why) in &unfit[..if raised > 0 { 2 } else { 1 }] {
            let options = settings(&[("data-dir", &data_dir), ("etcdutl-path", tool)]);
            let refused = source.write(&plan, &mut archive.contents(), &options).await;
            let refused = refused.expect_err("it cannot");
            assert_eq!(refused.kind(), ErrorKind::Unsupported, "{refused}");
            assert!(refused.to_string().contains(why), "{refused}");
            assert_eq!(files_in(folder.path()), [""; 0]);
        }
        let mut contents = archive.contents();
        let report = source.write(&plan, &mut contents, &options).await;
        let notes = report.expect("a restore").notes;
        let says = |note: &String| note.contains("marked as compacted");
        assert_eq!(notes.iter().any(says), raised > 0, "{notes:?}");
        let restored = testkit::Etcd::start_on(&release, &data_dir);
        let after = contents_of(&restored.endpoint()).await;
        assert_eq!(after.revision, before.revision + raised);
    }
}

/// Both releases lock their database, and so does whatever runs it by another name.
#[tokio::test]
async fn a_directory_is_not_taken_from_under_debians_etcd() {
    let (Some(debian), Some(release)) = (require("etcd-debian"), require("etcd")) else {
        return;
    };
    let mut server = testkit::Etcd::start(&debian, EtcdOptions::default());
    server.ctl(&["put", "k", "v"]);
    let source = source_of(&server);
    let (archive, _) = Archive::collect(&source).await.expect("a capture");
    let data_dir = server.data_dir().to_path_buf();
    let tool = release.program("etcdutl");
    let mut options = settings(&[("data-dir", &data_dir), ("etcdutl-path", &tool)]);
    let yes = ("replace".to_owned(), "true".to_owned());
    options.settings.extend([yes]);
    let plan = suite::plan(&source, &archive, &options).await;
    let Action::Conflict { reason } = &plan.steps[0].action else {
        panic!("{plan:?}")
    };
    assert!(reason.contains("stop it first"), "{reason}");
    server.kill();
    let plan = suite::plan(&source, &archive, &options).await;
    assert_eq!(plan.steps[0].action, Action::Create);
    server.restart();
    let error = source.write(&plan, &mut archive.contents(), &options).await;
    let error = error.expect_err("it runs");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(server.ctl(&["get", "--print-value-only", "k"]), "v\n");
}

/// What a member is told of its cluster by the flags of a restore is what it says of itself.
#[tokio::test]
async fn a_restored_member_has_the_names_that_it_was_given() {
    let Some(release) = require("etcd") else {
        return;
    };
    let server = testkit::Etcd::start(&release, EtcdOptions::default());
    seed(&server, 5, 0).await;
    let source = source_of(&server);
    let (archive, _) = Archive::collect(&source).await.expect("a capture");
    drop(server);
    let folder = tempfile::tempdir().expect("a folder");
    let tool = release.program("etcdutl");
    let mut clusters = std::collections::BTreeSet::new();
    for (number, token) in ["etcd-cluster", "another"].into_iter().enumerate() {
        let data_dir = folder.path().join(number.to_string());
        let mut options = settings(&[("data-dir", &data_dir), ("etcdutl-path", &tool)]);
        let peer = "http://127.0.0.1:2399";
        let given = [
            ("name", "m7"),
            ("initial-cluster", &*format!("m7={peer}")),
            ("initial-advertise-peer-urls", peer),
            ("initial-cluster-token", token),
        ];
        let given = given.map(|(name, value)| (name.to_owned(), value.to_owned()));
        options.settings.extend(given);
        let plan = suite::plan(&source, &archive, &options).await;
        suite::write(&source, &archive, &plan, &options).await;
        let restored = testkit::Etcd::start_on(&release, &data_dir);
        let members = restored.ctl(&["member", "list", "--write-out", "json"]);
        let members: serde_json::Value = serde_json::from_str(&members).expect("JSON");
        assert_eq!(members["members"][0]["peerURLs"][0], peer, "{members}");
        clusters.insert(members["header"]["cluster_id"].to_string());
    }
    assert_eq!(clusters.len(), 2, "the token makes another cluster of it");
}

/// A directory that is there is moved aside when that is asked, comes back when the tool fails, and is left alone while an etcd runs on it.
#[tokio::test]
async fn a_data_directory_is_moved_aside_but_not_from_under_an_etcd() {
    let Some(release) = require("etcd") else {
        return;
    };
    let mut server = testkit::Etcd::start(&release, EtcdOptions::default());
    seed(&server, 20, 0).await;
    let before = contents_of(&server.endpoint()).await;
    let source = source_of(&server);
    let (archive, _) = Archive::collect(&source).await.expect("a capture");
    server.ctl(&["put", "later", "x"]);
    let data_dir = server.data_dir().to_path_buf();
    let folder = data_dir.parent().expect("it has one").to_path_buf();
    let tool = release.program("etcdutl");
    let mut options = settings(&[("data-dir", &data_dir), ("etcdutl-path", &tool)]);
    options.moment = "2026-11-26T17:45:00.000Z".to_owned();
    let conflict = async |options: &RestoreOptions| {
        let plan = suite::plan(&source, &archive, options).await;
        let Action::Conflict { reason } = &plan.steps[0].action else {
            panic!("{plan:?}")
        };
        reason.clone()
    };
    let set = |options: &mut RestoreOptions, name: &str, value: &str| {
        options.settings.insert(name.to_owned(), value.to_owned())
    };

    set(&mut options, "no-bump-revision", "true");
    assert!(conflict(&options).await.contains("stop it first"));
    set(&mut options, "replace", "true");
    assert!(conflict(&options).await.contains("stop it first"));
    server.kill();

    // A rename would fail, or move something else.
    let elsewhere = tempfile::tempdir().expect("a folder");
    let link = elsewhere.path().join("link");
    std::os::unix::fs::symlink(&data_dir, &link).expect("a link");
    for (place, why) in [
        (&*link, "is a symbolic link"),
        (Path::new("/proc"), "is a mount point"),
    ] {
        let mut options = options.clone();
        set(&mut options, "data-dir", &place.display().to_string());
        let reason = conflict(&options).await;
        assert!(reason.contains(why), "{reason}");
    }

    let plan = suite::plan(&source, &archive, &options).await;
    assert_eq!(plan.steps[0].action, Action::Create);
    assert!(
        plan.notes.iter().any(|note| note.contains("moved aside")),
        "{:?}",
        plan.notes
    );

    // Started again behind the plan's back: nothing is touched.
    server.restart();
    let error = source
        .write(&plan, &mut archive.contents(), &options)
        .await
        .expect_err("it runs");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    server.kill();

    let mut failing = options.clone();
    set(
        &mut failing,
        "initial-cluster",
        "other=http://localhost:2380",
    );
    let error = source
        .write(&plan, &mut archive.contents(), &failing)
        .await
        .expect_err("no such member");
    assert_eq!(error.kind(), ErrorKind::Program);
    server.restart();
    assert_eq!(server.ctl(&["get", "--print-value-only", "later"]), "x\n");
    server.kill();

    let mut contents = archive.contents();
    let written = source.write(&plan, &mut contents, &options).await;
    let report = written.expect("a restore");
    let aside = "data.replaced-20261126T174500";
    assert!(
        report.notes.iter().any(|note| note.contains(aside)),
        "{:?}",
        report.notes
    );
    let mut files = files_in(&folder);
    files.retain(|name| name.starts_with("data"));
    files.sort();
    assert_eq!(files, ["data", aside]);
    let restored = testkit::Etcd::start_on(&release, &data_dir);
    assert!(contents_of(&restored.endpoint()).await == before);
    drop(restored);
    let old = testkit::Etcd::start_on(&release, &folder.join(aside));
    assert_eq!(old.ctl(&["get", "--print-value-only", "later"]), "x\n");
}

#[tokio::test]
async fn a_raised_revision_is_raised() {
    let Some(release) = require("etcd") else {
        return;
    };
    let server = testkit::Etcd::start(&release, EtcdOptions::default());
    seed(&server, 10, 0).await;
    let before = contents_of(&server.endpoint()).await;
    let source = source_of(&server);
    let (archive, _) = Archive::collect(&source).await.expect("a capture");
    let folder = tempfile::tempdir().expect("a folder");
    let (data_dir, wal_dir) = (folder.path().join("data"), folder.path().join("wal"));
    std::fs::create_dir(&data_dir).expect("an empty one is welcome");
    let mut options = settings(&[
        ("data-dir", &data_dir),
        ("wal-dir", &wal_dir),
        ("etcdutl-path", &release.program("etcdutl")),
    ]);
    for (name, value) in [
        ("bump-revision", "1000000"),
        ("mark-compacted", "true"),
        ("name", "n1"),
    ] {
        options.settings.insert(name.to_owned(), value.to_owned());
    }
    options.settings.insert(
        "initial-cluster".to_owned(),
        "n1=http://localhost:2380".to_owned(),
    );
    let plan = suite::plan(&source, &archive, &options).await;
    suite::write(&source, &archive, &plan, &options).await;
    assert!(wal_dir.read_dir().expect("made").next().is_some());
    // Where the tool put the log is where etcd looks for it by default.
    std::fs::rename(&wal_dir, data_dir.join("member/wal")).expect("moved");

    let restored = testkit::Etcd::start_on(&release, &data_dir);
    let after = contents_of(&restored.endpoint()).await;
    assert_eq!(after.revision, before.revision + 1_000_000);
}

/// A restore to a file gives what `etcdctl snapshot save` gives, under every policy only where nothing stands.
#[tokio::test]
async fn a_file_is_whole_private_and_never_overwritten() {
    let Some(release) = require("etcd-debian") else {
        return;
    };
    let server = testkit::Etcd::start(&release, EtcdOptions::default());
    seed(&server, 100, 1).await;
    let source = source_of(&server);
    let archive = suite::reads_the_same_twice(&source).await;
    let folder = tempfile::tempdir().expect("a folder");

    let saved = folder.path().join("saved.db");
    server.ctl(&["snapshot", "save", saved.to_str().expect("UTF-8")]);
    assert!(
        std::fs::read(&saved).expect("saved") == snapshot(&archive).1,
        "the same bytes as etcdctl's"
    );

    let path = folder.path().join("restored.db");
    let options = to(&path);
    let plan = suite::plan(&source, &archive, &options).await;
    assert_eq!(plan.steps[0].action, Action::Create);
    suite::write(&source, &archive, &plan, &options).await;
    assert!(std::fs::read(&path).expect("restored") == snapshot(&archive).1);
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &path.metadata().expect("it is there").permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    suite::plans_itself_as_same(&source, &archive, &options).await;

    std::fs::write(&path, "something else").expect("written");
    for conflict in [Conflict::Fail, Conflict::Skip, Conflict::Overwrite] {
        let options = RestoreOptions {
            conflict,
            ..options.clone()
        };
        let now = suite::plan(&source, &archive, &options).await;
        assert!(
            matches!(now.steps[0].action, Action::Conflict { .. }),
            "{now:?}"
        );
        // Also when it appeared after the plan was made.
        for plan in [&now, &plan] {
            let mut contents = archive.contents();
            let error = source
                .write(plan, &mut contents, &options)
                .await
                .expect_err("it is in the way");
            assert_eq!(error.kind(), ErrorKind::Conflict);
        }
    }
    assert_eq!(
        std::fs::read_to_string(&path).expect("readable"),
        "something else"
    );

    let inside = folder.path().join("folder");
    std::fs::create_dir(&inside).expect("made");
    let plan = suite::plan(&source, &archive, &to(&inside)).await;
    suite::write(&source, &archive, &plan, &to(&inside)).await;
    assert_eq!(
        files_in(&inside),
        [ENTRY],
        "in a folder it takes the entry's name"
    );
}

#[tokio::test]
async fn without_a_place_nothing_can_be_restored() {
    let Some(release) = require("etcd-debian") else {
        return;
    };
    let server = testkit::Etcd::start(&release, EtcdOptions::default());
    let source = source_of(&server);
    let (archive, _) = Archive::collect(&source).await.expect("a capture");
    let plan = suite::plan(&source, &archive, &RestoreOptions::default()).await;
    let Action::Unmanageable { reason } = &plan.steps[0].action else {
        panic!("{plan:?}")
    };
    assert!(reason.contains("--to FILE or --data-dir DIR"), "{reason}");

    let options = to(Path::new("/nowhere/snapshot.db"));
    let error = source
        .plan(&mut archive.entries(), &options)
        .await
        .expect_err("no folder");
    assert!(
        error.to_string().contains("there is no folder /nowhere"),
        "{error}"
    );
    suite::notices_a_closed_sink(&source).await;
}

/// An archive's entry with other bytes, authenticated like any other: the digests fit, the snapshot does not.
struct Tampered {
    entry: Option<Entry>,
    bytes: Vec<u8>,
}

#[async_trait::async_trait]
impl Contents for Tampered {
    async fn next(&mut self) -> Result<Option<Entry>, Error> {
        Ok(self.entry.take())
    }

    async fn data(&mut self) -> Result<Option<Content>, Error> {
        let piece: Vec<u8> = self.bytes.drain(..self.bytes.len().min(50_000)).collect();
        Ok((!piece.is_empty()).then(|| Content::new(piece)))
    }
}

#[tokio::test]
async fn a_damaged_snapshot_is_found_and_not_restored() {
    let Some(release) = require("etcd") else {
        return;
    };
    let server = testkit::Etcd::start(&release, EtcdOptions::default());
    seed(&server, 50, 0).await;
    let source = source_of(&server);
    let (archive, _) = Archive::collect(&source).await.expect("a capture");
    let (entry, whole) = snapshot(&archive);
    let folder = tempfile::tempdir().expect("a folder");
    let (file, data_dir) = (
        folder.path().join("snapshot.db"),
        folder.path().join("data"),
    );
    let calls = tempfile::tempdir().expect("a folder");
    let (tool, log) = (calls.path().join("tool"), calls.path().join("log"));
    let etcdutl = release.program("etcdutl");
    let script = format!(
        "echo \"$*\" >> {}\nexec {} \"$@\"",
        log.display(),
        etcdutl.display()
    );
    testkit::make_script(&tool, &script);
    let old = folder.path().join("old");
    let mut replacing = settings(&[("data-dir", &old), ("etcdutl-path", &tool)]);
    let yes = ("replace".to_owned(), "true".to_owned());
    replacing.settings.extend([yes]);
    let targets = [
        to(&file),
        settings(&[("data-dir", &data_dir), ("etcdutl-path", &tool)]),
        replacing,
    ];
    std::fs::create_dir(&old).expect("made");
    std::fs::write(old.join("precious"), "x").expect("written");
    // Whatever is done to a directory shows in it, a rename there and back too.
    let touched = || {
        let metadata = old.metadata().expect("it is there");
        (metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
    };
    let untouched = touched();
    // One that was kept elsewhere is not known to have ever been whole.
    let kept = Entry {
        attributes: Attributes::default(),
        ..entry.clone()
    };

    let flipped = |at: usize| {
        let mut bytes = whole.to_vec();
        bytes[at] ^= 1;
        bytes
    };
    for (part, bytes) in [
        ("SHA-256", flipped(whole.len() / 2)),
        ("SHA-256", flipped(whole.len() - 1)),
        ("Bolt database", flipped(20)),
        ("meta pages say", whole[..whole.len() - 4096].to_vec()),
        ("without the hash", whole[..whole.len() - 32].to_vec()),
        ("Bolt database", Vec::new()),
    ] {
        let contents = |entry: &Entry| Tampered {
            entry: Some(entry.clone()),
            bytes: bytes.clone(),
        };
        let findings = source.check(&mut contents(entry)).await;
        let findings = findings.expect("a check");
        assert!(findings.len() == 1 && findings[0].bad, "{part}");
        assert!(
            findings[0].message.contains(part),
            "{part}: {}",
            findings[0].message
        );
        for (options, entry) in targets
            .iter()
            .flat_map(|options| [(options, entry), (options, &kept)])
        {
            let plan = suite::plan(&source, &archive, options).await;
            let error = source
                .write(&plan, &mut contents(entry), options)
                .await
                .expect_err(part);
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.to_string().contains(part), "{part}: {error}");
            assert_eq!(files_in(folder.path()), ["old"], "nothing is left behind");
            assert_eq!(touched(), untouched, "{part}");
            let called = std::fs::read_to_string(&log).unwrap_or_default();
            let made = called.contains("--data-dir");
            let replaces = options.settings.contains_key("replace");
            assert!(
                !made || entry.attributes != kept.attributes && !replaces,
                "{part}: {called}"
            );
            let _ = std::fs::remove_file(&log);
        }
    }
}

/// What a tool that fails has made is taken away again, and its reason is told.
#[tokio::test]
async fn a_tool_that_fails_leaves_nothing() {
    let (Some(release), Some(older)) = (require("etcd"), require("etcd-debian")) else {
        return;
    };
    let server = testkit::Etcd::start(&release, EtcdOptions::default());
    seed(&server, 50, 0).await;
    let source = source_of(&server);
    let (archive, _) = Archive::collect(&source).await.expect("a capture");
    let folder = tempfile::tempdir().expect("a folder");
    let data_dir = folder.path().join("data");
    let with = |tool: &Path| settings(&[("data-dir", &data_dir), ("etcdutl-path", tool)]);

    let plan = suite::plan(&source, &archive, &with(&older.program("etcdctl"))).await;
    let Action::Unmanageable { reason } = &plan.steps[0].action else {
        panic!("{plan:?}")
    };
    assert!(reason.contains("is older"), "{reason}");

    let mut options = with(&release.program("etcdutl"));
    let plan = suite::plan(&source, &archive, &options).await;
    options.settings.insert(
        "initial-cluster".to_owned(),
        "other=http://localhost:2380".to_owned(),
    );
    let error = source
        .write(&plan, &mut archive.contents(), &options)
        .await
        .expect_err("no such member");
    assert_eq!(error.kind(), ErrorKind::Program);
    assert!(error.to_string().contains("failed (exit status"), "{error}");
    assert_eq!(files_in(folder.path()), [""; 0]);

    std::fs::create_dir(&data_dir).expect("made");
    std::fs::write(data_dir.join("precious"), "x").expect("written");
    let error = source
        .write(&plan, &mut archive.contents(), &options)
        .await
        .expect_err("not empty");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(files_in(&data_dir), ["precious"]);
    assert_eq!(files_in(folder.path()), ["data"]);
}

fn has_nameless_files(folder: &Path) -> bool {
    use std::os::unix::fs::OpenOptionsExt as _;
    /// `O_TMPFILE` of Linux.
    const NAMELESS: i32 = 0o20_200_000;
    let mut options = std::fs::OpenOptions::new();
    options
        .write(true)
        .custom_flags(NAMELESS)
        .open(folder)
        .is_ok()
}

/// A program that says to be etcdutl 3.6.5, and whatever else it is asked for runs `script`.
fn calls_itself_etcdutl(path: &Path, script: &str) {
    let says = "[ $1 = version ] && echo 'etcdutl version: 3.6.5' && exit";
    testkit::make_script(path, &format!("{says}\n{script}"));
}

/// Dropped while the tool runs, as by Ctrl-C: the tool is killed, and neither plaintext nor half a directory stays.
#[tokio::test]
async fn a_restore_that_is_dropped_leaves_nothing() {
    let Some(release) = require("etcd-debian") else {
        return;
    };
    let server = testkit::Etcd::start(&release, EtcdOptions::default());
    let source = source_of(&server);
    let (archive, _) = Archive::collect(&source).await.expect("a capture");
    let folder = tempfile::tempdir().expect("a folder");
    let (data_dir, tools) = (
        folder.path().join("data"),
        tempfile::tempdir().expect("a folder"),
    );
    let (tool, pid) = (tools.path().join("etcdutl"), tools.path().join("pid"));
    let sleeps = format!(
        "mkdir -p {0}/member && echo $$ > {1}.new && mv {1}.new {1} && exec sleep 60",
        data_dir.display(),
        pid.display()
    );
    calls_itself_etcdutl(&tool, &sleeps);

    let options = settings(&[("data-dir", &data_dir), ("etcdutl-path", &tool)]);
    let plan = suite::plan(&source, &archive, &options).await;
    let mut contents = archive.contents();
    let started = async {
        while !pid.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        files_in(folder.path()).len()
    };
    tokio::select! {
        _ = source.write(&plan, &mut contents, &options) => panic!("the tool sleeps"),
        // The draft has no name, where there are such files.
        files = started => assert_eq!(files, if has_nameless_files(folder.path()) { 1 } else { 2 }),
    }
    assert_eq!(files_in(folder.path()), [""; 0]);
    let process = std::fs::read_to_string(&pid).expect("written");
    let deadline = Instant::now() + Duration::from_secs(30);
    while testkit::lives(&process) {
        assert!(Instant::now() < deadline, "the tool still runs");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

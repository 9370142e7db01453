use crate::scene::Scene;

#[test]
fn mistakes_are_named_by_line_and_column_before_anything_runs() {
    let scene = Scene::new();
    scene.write("secrets/token", "one");
    let place = scene.path("strongroom.yaml").display().to_string();
    let recipient = scene.recipient.clone();
    let job = "jobs: {prod: {sources: [{command: {run: [touch, ran]}}]}}";
    let longer = format!("{recipient}x");
    for (text, at, words) in [
        (
            format!("recipients:\n  - {recipient}\n  - age1broken\n{job}"),
            "3:5",
            "not a recipient",
        ),
        (
            format!("recipients: [{longer}]\n{job}"),
            "1:14",
            "not a recipient",
        ),
        (
            format!("recipients: ['']\n{job}"),
            "1:14",
            "not a recipient",
        ),
        (
            format!("recipient: [{recipient}]\n{job}"),
            "1:1",
            "did you mean `recipients`?",
        ),
        (
            "jobs:\n  prod:\n    sources:\n      - comand: {run: [touch, ran]}\n".to_owned(),
            "4:9",
            "did you mean `command`?",
        ),
        (
            "jobs:\n  prod:\n    sources:\n      - command: {run: [touch, ran], timeuot: 1h}\n"
                .to_owned(),
            "4:38",
            "did you mean `timeout`?",
        ),
        (
            "jobs:\n  prod:\n    sources:\n      - etcd: {endpoints: ['h:1'], user: root}\n"
                .to_owned(),
            "4:36",
            "did you mean `username`?",
        ),
        (format!("{job}\n{job}\n"), "2:", "jobs"),
        ("jobs: [".to_owned(), "1:", ""),
    ] {
        scene.write("strongroom.yaml", format!("{text}\n"));
        for command in [
            &["backup", "--repo", "repository"][..],
            &["config"],
            &["snapshots", "--repo", "repository"],
        ] {
            scene
                .run(command)
                .refused(2, &[&format!("{place}:{at}"), words]);
        }
        assert!(
            !scene.path("ran").exists(),
            "nothing runs before all is checked"
        );
    }
}

#[test]
fn a_configuration_that_is_no_configuration_is_refused() {
    let scene = Scene::new();
    let large = format!("# {}\n", "x".repeat(2 << 20));
    scene.write("strongroom.yaml", &large);
    scene
        .run(&["backup"])
        .refused(2, &["strongroom.yaml", "1 MiB"]);
    let deep = "[".repeat(100_000);
    let aliases = "a: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b, *b, *b]\n\
                   d: &d [*c, *c, *c, *c, *c, *c, *c]\ne: &e [*d, *d, *d, *d, *d, *d, *d, *d, *d]\njobs: [*e, *e, *e, *e, *e, *e, *e, *e]\n";
    for contents in [
        &b"\xff\xfe\xfd"[..],
        b"\0\0\0\0",
        b"just words\n",
        deep.as_bytes(),
        aliases.as_bytes(),
    ] {
        scene.write("strongroom.yaml", contents);
        scene.run(&["config"]).refused(2, &["strongroom.yaml"]);
    }
    scene
        .run(&["config", "--config", "missing.yaml"])
        .refused(1, &["missing.yaml", "No such file"]);
}

#[test]
fn a_job_needs_sources_and_a_source_needs_paths() {
    let scene = Scene::new();
    for (jobs, at) in [
        ("  prod: {}\n", ":5:"),
        ("  prod: {sources: []}\n", ":5:"),
        ("  prod: {sources: [{}]}\n", ":5:"),
        ("  prod: {sources: [{files: {paths: []}}]}\n", ":5:"),
        ("  prod: {sources: [{command: {run: []}}]}\n", ":5:"),
        ("  prod: {sources: [{etcd: {endpoints: []}}]}\n", ":5:"),
        (
            "  prod: {sources: [{files: {paths: [a]}}, {files: {paths: [b]}}]}\n",
            ":5:",
        ),
        ("  Prod: {sources: [{files: {paths: [a]}}]}\n", ":5:"),
        ("  'a/../b': {sources: [{files: {paths: [a]}}]}\n", ":5:"),
    ] {
        scene.configure(jobs);
        scene.run(&["backup"]).refused(2, &["strongroom.yaml", at]);
    }
    scene.configure("  {}\n");
    scene.run(&["backup"]).refused(2, &["there are no jobs"]);
    assert!(scene.snapshots().is_empty());
}

#[test]
fn nothing_to_keep_secret_works() {
    let scene = Scene::new();
    scene.run(&["backup"]).done();
    scene.run(&["backup"]).done();
    assert_eq!(scene.snapshots(), ["prod/1", "prod/2"]);
    scene.read(&["verify", "--level", "full"]).done();
    scene
        .read(&["restore", "prod/2", "--to", "out", "--yes"])
        .done();
    let restored = scene.restored("out", "secrets");
    assert!(restored.is_dir() && restored.read_dir().expect("a folder").next().is_none());
    scene.read(&["diff", "prod/1", "live"]).done();
    scene.read(&["find", "secrets"]).done();
}

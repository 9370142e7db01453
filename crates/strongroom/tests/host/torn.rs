//! A large file that changes while it is captured: what was read of it is kept, and a restore says that it is not all.

use serde_json::{Value, json};

use crate::interrupted::noise;
use crate::scene::{Scene, text};

const IDENTITY: [&str; 2] = ["--identity", "identity.txt"];

#[test]
fn a_file_that_changed_while_it_was_read_is_restored_as_captured_in_part() {
    let scene = Scene::new("[{files: {paths: [secrets]}}]");
    scene.write("secrets/large", noise(1, 40 << 20));
    scene.write("secrets/small", "whole");
    let large = scene.path("secrets/large").display().to_string();
    let grows = format!("for i in $(seq 200); do printf x >> {large}; sleep 0.01; done; echo done");
    scene.configure(&format!(
        "[{{files: {{paths: [secrets]}}}}, {{command: {{run: [sh, -c, '{grows}']}}}}]"
    ));
    // On a busy machine it may have grown before it is read, or grow after that: then it is whole, and another backup is taken.
    let mut backups = (0..5).map(|_| scene.run(&["backup", "--allow-partial"]));
    let backup = backups.find(|backup| backup.status.code() != Some(0));
    let backup = backup.expect("a backup that reads it while it grows");
    assert_eq!(backup.status.code(), Some(3), "{}", text(&backup.stderr));

    let restore = ["restore", "prod", "--source", "files", "--to", "out"];
    let restore = [&restore[..], &["--yes"], &IDENTITY].concat();
    let restored = scene.run(&restore);
    let said = text(&restored.stdout);
    assert_eq!(restored.status.code(), Some(3), "{said}");
    let name = large.trim_start_matches('/');
    assert!(said.contains(&format!("+ {name}\n")), "{said}");
    assert!(
        said.contains(&format!("? {name}  (captured in part: ")),
        "{said}"
    );
    assert!(said.contains("1 captured in part"), "{said}");
    assert!(!said.contains("cannot be restored"), "{said}");
    assert!(scene.path("out").join(name).exists(), "{said}");

    let again = [&restore[..], &["--dry-run", "--json"]].concat();
    let answer: Value = serde_json::from_slice(&scene.run(&again).stdout).expect("JSON");
    let plan = &answer["plan"][0];
    assert_eq!(plan["in_part"], 1, "{plan}");
    assert_eq!(plan["unmanageable"], 0, "{plan}");
    let steps = plan["steps"].as_array().expect("a list");
    let of_it = steps.iter().filter(|step| step["name"] == name);
    let actions: Vec<&Value> = of_it.map(|step| &step["action"]).collect();
    assert!(actions.contains(&&json!("in_part")), "{plan}");

    // Without it nothing is said of it but that there is more.
    let small = format!("{}/small", name.trim_end_matches("/large"));
    let one = [&restore[..], &["--only", &small, "--conflict", "overwrite"]].concat();
    let one = scene.run(&one);
    assert_eq!(one.status.code(), Some(0), "{}", text(&one.stdout));
    assert!(
        text(&one.stderr).contains("what else is missing from source `files`"),
        "{}",
        text(&one.stderr)
    );
}

//! Several repositories for one job.

use std::fs;

use crate::scene::Scene;

/// A dump may take hours, and a second one would not be the same.
#[test]
fn the_source_is_read_once_for_all_repositories() {
    let scene = Scene::new("[{files: {paths: [secrets]}}]");
    let configuration =
        fs::read_to_string(scene.path("strongroom.yaml")).expect("the configuration");
    let keys = configuration.lines();
    let keys: Vec<&str> = keys
        .filter(|line| line.starts_with("recipients") || line.starts_with("writer_key"))
        .collect();
    let text = format!(
        "repositories: {{local: repository, offsite: elsewhere}}\n{}\n\
         jobs: {{prod: {{sources: [{{command: {{run: [sh, -c, 'echo x >> runs; echo dump']}}}}]}}}}\n",
        keys.join("\n")
    );
    fs::write(scene.path("strongroom.yaml"), text).expect("the configuration");
    scene.good(&["init", "--repo", "offsite"]);
    scene.good(&["backup"]);
    let runs = fs::read_to_string(scene.path("runs")).expect("it ran");
    assert_eq!(runs, "x\n");
    for repository in ["local", "offsite"] {
        let read = ["cat", "prod/1", "output", "--repo", repository];
        let read = [&read[..], &["--identity", "identity.txt"]].concat();
        assert_eq!(scene.good(&read), "dump\n", "{repository}");
    }
}

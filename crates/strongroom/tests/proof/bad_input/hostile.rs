use crate::bounded::{LIMIT_KIB, bounded};
use crate::scene::Scene;

/// A source that would go on for ever: what ends it is its deadline, the memory is what any backup needs, nothing is committed.
#[test]
fn a_program_that_never_ends_is_stopped_at_its_deadline() {
    let scene = Scene::new();
    for endless in [
        "while :; do head -c 1000000 /dev/urandom; sleep 0.02; done",
        "while :; do echo; done",
        "while :; do echo an endless complaint >&2; done",
    ] {
        scene.configure(&format!(
            "  prod: {{sources: [{{command: {{run: [sh, -c, '{endless}'], timeout: 3s}}}}]}}\n"
        ));
        let (seen, peak) = bounded(&scene, &["backup"]);
        seen.refused(1, &["back up prod", "3s"]);
        assert!(peak < LIMIT_KIB, "{peak} KiB");
        assert!(scene.snapshots().is_empty());
    }
    scene.configure("  prod: {sources: [{command: {run: [echo, one]}}]}\n");
    scene.run(&["backup"]).done();
    scene.run(&["verify", "--level", "data"]).done();
}

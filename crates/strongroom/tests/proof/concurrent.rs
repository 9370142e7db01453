//! Several programs at once on one directory: every backup that says so is there, and nothing is mixed up.

use std::process::Child;

use crate::scene::{Scene, Seen};
use crate::tree::{assert_same, tree};

fn start(scene: &Scene, arguments: &[&str]) -> Child {
    scene.strongroom(arguments).spawn().expect("it runs")
}

fn done(child: Child) {
    let output = child.wait_with_output().expect("it ends");
    Seen::new("backup".to_owned(), output).done();
}

#[test]
fn two_backups_of_a_job_at_once_both_succeed() {
    for _ in 0..5 {
        let scene = Scene::new();
        scene.write("secrets/large", "x".repeat(1 << 20));
        scene.write("secrets/token", "one");
        let both = [start(&scene, &["backup"]), start(&scene, &["backup"])];
        both.into_iter().for_each(done);
        assert_eq!(scene.snapshots(), ["prod/1", "prod/2"]);
        whole(&scene, &["prod/1", "prod/2"], "secrets");
    }
}

#[test]
fn many_backups_of_many_jobs_at_once_are_all_whole() {
    let scene = Scene::new();
    let jobs = ["a", "b", "c"];
    let configuration: Vec<String> = jobs
        .iter()
        .map(|job| format!("  {job}: {{sources: [{{files: {{paths: [secrets-{job}]}}}}]}}\n"))
        .collect();
    scene.configure(&configuration.concat());
    for job in jobs {
        scene.write(&format!("secrets-{job}/token"), format!("of {job}"));
        scene.write(&format!("secrets-{job}/large"), job.repeat(700_000));
    }
    let backups: Vec<Child> = (0..9)
        .map(|number| start(&scene, &["backup", jobs[number % 3]]))
        .collect();
    // Readers do not mind.
    for _ in 0..5 {
        scene.run(&["snapshots"]).done();
        scene.run(&["verify"]).done();
    }
    let ended: Vec<Seen> = backups
        .into_iter()
        .map(|child| {
            Seen::new(
                "backup".to_owned(),
                child.wait_with_output().expect("it ends"),
            )
        })
        .collect();
    for seen in &ended {
        // Three of a job may be one too many; then it says so.
        assert!(
            [0, 18].contains(&seen.code),
            "{}: {}",
            seen.code,
            seen.stderr
        );
    }
    let good = ended.iter().filter(|seen| seen.code == 0).count();
    assert!(good >= 6, "{good} of 9");
    let listed = scene.snapshots();
    assert_eq!(listed.len(), good);
    for job in jobs {
        let of_job: Vec<&str> = listed
            .iter()
            .map(String::as_str)
            .filter(|name| name.starts_with(job))
            .collect();
        whole(&scene, &of_job, &format!("secrets-{job}"));
    }
}

/// Each of these snapshots holds what is in the folder.
fn whole(scene: &Scene, snapshots: &[&str], folder: &str) {
    scene.read(&["verify", "--level", "full"]).done();
    let live = tree(&scene.path(folder));
    for name in snapshots {
        let to = format!("out/{}", name.replace('/', "-"));
        std::fs::create_dir_all(scene.path("out")).expect("a folder");
        scene.read(&["restore", name, "--to", &to, "--yes"]).done();
        assert_same(&tree(&scene.restored(&to, folder)), &live, name);
    }
}

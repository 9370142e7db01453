use super::*;

/// An archive as no source would write it.
fn forged(entries: &[(&str, &str, &str)]) -> Archive {
    forged_with_mode("0644", entries)
}

pub(super) fn forged_with_mode(mode: &str, entries: &[(&str, &str, &str)]) -> Archive {
    let mut items = Vec::new();
    for (name, kind, content) in entries {
        let mut attributes = Attributes::default();
        for (name, value) in [
            ("type", *kind),
            ("mode", mode),
            ("uid", "0"),
            ("gid", "0"),
            ("mtime", "1.000000000"),
        ] {
            attributes.set(name, value);
        }
        let data = if *kind == "symlink" {
            attributes.set("target", *content);
            ""
        } else {
            content
        };
        let name = Name::from(*name);
        items.push(Item::Begin(Header {
            name,
            attributes,
            fields: None,
        }));
        items.push(Item::Data(Content::new(data.to_owned())));
        items.push(Item::End);
    }
    Archive::from_items(items)
}

#[tokio::test]
async fn hostile_names_stay_inside_and_are_found_by_a_check() {
    let folder = Folder::new();
    let outside = folder.root.with_file_name("outside");
    fs::create_dir(&outside).expect("a folder");
    let outside_text = outside.to_str().expect("a plain path");
    let absolute = format!("{outside_text}/absolute");
    let archive = forged(&[
        ("", "file", "x"),
        ("../outside/up", "file", "x"),
        ("./dot", "file", "x"),
        (&absolute, "file", "x"),
        ("a/../../outside/up", "file", "x"),
        ("a//b", "file", "x"),
        ("link", "symlink", outside_text),
        ("link/planted", "file", "x"),
        ("odd", "device", "x"),
        ("plain", "file", "x"),
        ("plain/under a file", "file", "x"),
        ("trailing/", "file", "x"),
        ("zero\0byte", "file", "x"),
    ]);
    let source = files(&[Path::new("/")]);
    let options = overwriting(to(&folder.root));
    let plan = suite::plan(&source, &archive, &options).await;
    let writes: Vec<_> = plan
        .steps
        .iter()
        .filter(|step| step.action.writes())
        .collect();
    let names: Vec<String> = writes.iter().map(|step| step.name.to_string()).collect();
    assert_eq!(names, ["link", "plain"]);
    let findings = source
        .check(&mut archive.contents())
        .await
        .expect("a check");
    assert_eq!(
        findings.iter().filter(|finding| finding.bad).count(),
        11,
        "{findings:?}"
    );

    // Even a plan that asks for all of it writes nothing outside.
    let mut forged_plan = plan.clone();
    forged_plan
        .steps
        .iter_mut()
        .for_each(|step| step.action = Action::Create);
    let report = source
        .write(&forged_plan, &mut archive.contents(), &options)
        .await;
    let report = report.expect("a restore");
    assert_eq!(
        report.failed.len() as u64 + report.written,
        archive.len() as u64
    );
    assert_eq!(
        fs::read_dir(&outside).expect("a folder").count(),
        0,
        "{report:?}"
    );
}

#[tokio::test]
async fn a_planted_link_leads_nowhere() {
    for to_origin in [false, true] {
        let folder = Folder::new();
        let home = folder.root.join("home");
        fs::create_dir_all(home.join("sub")).expect("folders");
        fs::write(home.join("sub/file"), "honest").expect("a file");
        let source = files(&[&home]);
        let (archive, _) = Archive::collect(&source).await.expect("a capture");
        let target = folder.root.with_file_name("target");
        let (options, live) = if to_origin {
            (RestoreOptions::default(), home.clone())
        } else {
            (
                to(&target),
                target.join(home.strip_prefix("/").expect("absolute")),
            )
        };
        let outside = folder.root.with_file_name("outside");
        fs::create_dir(&outside).expect("a folder");
        fs::create_dir_all(&live).expect("folders");
        if to_origin {
            fs::remove_dir_all(live.join("sub")).expect("it can be removed");
        }
        symlink(&outside, live.join("sub")).expect("a link");
        let file = name_of(&home.join("sub/file"));

        // The folder is not selected, the file in it is: the link in its place is not followed.
        let selected = archive.only(|entry| entry.name == file);
        let plan = suite::plan(&source, &selected, &overwriting(options.clone())).await;
        let Action::Unmanageable { reason } = action(&plan, &file) else {
            panic!("{plan:?}")
        };
        assert!(reason.ends_with("sub is a symbolic link here, which a restore does not follow"));
        let mut forced = plan.clone();
        forced.steps[0].action = Action::Update {
            what: vec!["content".into()],
        };
        let report = source
            .write(&forced, &mut selected.contents(), &options)
            .await;
        assert_eq!(report.expect("a restore").failed.len(), 1);

        // All of it is selected: the link is in the way, and replaced if the user says so.
        let folder_name = name_of(&home.join("sub"));
        let plan = suite::plan(&source, &archive, &options).await;
        let reason = "there is a symbolic link".to_owned();
        assert_eq!(action(&plan, &folder_name), &Action::Conflict { reason });
        let skip = RestoreOptions {
            conflict: Conflict::Skip,
            ..options.clone()
        };
        let plan = suite::plan(&source, &archive, &skip).await;
        assert!(
            matches!(action(&plan, &file), Action::Unmanageable { .. }),
            "{plan:?}"
        );
        let plan = suite::plan(&source, &archive, &overwriting(options.clone())).await;
        suite::write(&source, &archive, &plan, &overwriting(options.clone())).await;
        assert!(
            live.join("sub")
                .symlink_metadata()
                .expect("it is there")
                .is_dir()
        );
        assert_eq!(
            fs::read_to_string(live.join("sub/file")).ok().as_deref(),
            Some("honest")
        );
        assert_eq!(fs::read_dir(&outside).expect("a folder").count(), 0);
    }
}

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn twenty_thousand_small_files() {
    // In memory where there is such a place: it is our time that is measured, not the disk's.
    let memory = Path::new("/dev/shm");
    let folder = Folder::inside(if memory.is_dir() {
        memory
    } else {
        Path::new("/tmp")
    });
    for shelf in 0..100 {
        let shelf = folder.root.join(format!("shelf-{shelf}"));
        fs::create_dir(&shelf).expect("a folder");
        for book in 0..200_u32 {
            let content = book.to_le_bytes().repeat(200);
            fs::write(shelf.join(format!("book-{book}.txt")), content).expect("a file");
        }
    }
    let source = files(&[&folder.root]);
    let mut best = f64::MAX;
    let mut archive = Archive::default();
    for _ in 0..3 {
        let started = Instant::now();
        let (mut sink, mut receiver) = source::Sink::channel();
        let read = async {
            source.read(&mut sink).await.expect("a capture");
            sink.finish().await.expect("someone listens");
        };
        let count = async {
            let mut entries = 0;
            while let Some(batch) = receiver.recv().await {
                entries += batch
                    .iter()
                    .filter(|item| matches!(item, Item::End))
                    .count();
            }
            entries
        };
        let ((), entries) = futures::join!(read, count);
        assert_eq!(entries, 20_101);
        best = best.min(started.elapsed().as_secs_f64());
        (archive, _) = Archive::collect(&source).await.expect("a capture");
    }
    println!(
        "captured 20,000 small files in {best:.3} s: {:.0} per second",
        20_000.0 / best
    );

    let target = folder.root.with_file_name("target");
    let started = Instant::now();
    let plan = source
        .plan(&mut archive.entries(), &to(&target))
        .await
        .expect("a plan");
    let report = source
        .write(&plan, &mut archive.contents(), &to(&target))
        .await;
    let restored = started.elapsed();
    assert_eq!(report.expect("a restore").written, 20_101);
    println!("restored them in {:.3} s", restored.as_secs_f64());
    let started = Instant::now();
    let plan = source
        .plan(&mut archive.entries(), &to(&target))
        .await
        .expect("a plan");
    assert!(plan.steps.iter().all(|step| step.action == Action::Same));
    println!("compared them in {:.3} s", started.elapsed().as_secs_f64());
}

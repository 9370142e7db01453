use super::*;

#[tokio::test]
async fn patterns_choose() {
    let folder = Folder::filled();
    let options = FilesOptions {
        paths: vec![folder.root.clone()],
        include: vec!["*.txt".into(), "deep".into()],
        exclude: vec!["-*".into(), "root/a/deep/er".into()],
        one_filesystem: true,
    };
    let source = Files::new(&options).expect("good options");
    fs::write(folder.root.join("a/deep/inside"), "x").expect("a file");
    let (archive, _) = Archive::collect(&source).await.expect("a capture");
    let prefix = name_of(&folder.root).to_string();
    let names: Vec<String> = archive
        .names()
        .map(|name| {
            name.to_string()
                .strip_prefix(&prefix)
                .expect("inside")
                .to_owned()
        })
        .collect();
    let expected = [
        "",
        "/a",
        "/a.txt",
        "/a/deep",
        "/a/deep/inside",
        "/empty",
        "/locked",
    ];
    assert_eq!(names, expected);
}

#[tokio::test]
async fn a_path_that_is_not_there_is_a_mistake() {
    let folder = Folder::new();
    let error = Archive::collect(&files(&[&folder.root.join("missing")]))
        .await
        .err();
    let error = error.expect("it must be an error");
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(
        error.to_string().contains("root/missing is not there"),
        "{error}"
    );
}

#[tokio::test]
async fn single_files_and_links_can_be_configured() {
    let folder = Folder::filled();
    let paths = [
        &folder.root.join("link"),
        &folder.root.join("a.txt"),
        &folder.root.join("a"),
    ];
    let paths = paths.map(PathBuf::as_path);
    let (archive, _) = Archive::collect(&files(&paths)).await.expect("a capture");
    let names: Vec<&Name> = archive.names().collect();
    assert_eq!(names.first(), Some(&&name_of(&folder.root.join("a"))));
    assert_eq!(names.last(), Some(&&name_of(&folder.root.join("link"))));
    assert_eq!(
        archive.len(),
        7,
        "a, a.txt, a/b, a/deep, a/deep/er and its file, link: {names:?}"
    );
}

#[tokio::test]
async fn sockets_pipes_and_unfinished_restores_are_left_out_and_said_so() {
    let folder = Folder::new();
    let _socket = std::os::unix::net::UnixListener::bind(folder.root.join("socket")).expect("one");
    let (cwd, mode) = (rustix::fs::CWD, rustix::fs::Mode::RWXU);
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(cwd, folder.root.join("pipe"), kind, mode, 0).expect("a pipe");
    fs::write(folder.root.join(".strongroom-restore-0123-4"), "half").expect("a file");
    let (archive, capture) = Archive::collect(&files(&[&folder.root]))
        .await
        .expect("a capture");
    assert_eq!(archive.len(), 1);
    assert_eq!(capture.incomplete, []);
    let left_out = capture.facts.get("left_out").map(String::as_str);
    assert_eq!(
        left_out,
        Some("1 named pipe, 1 socket, 1 unfinished file of a restore")
    );
}

/// Captures a file of `size` bytes to which `disturb` is done when its first bytes have come; how many came.
async fn read_disturbed(size: u64, disturb: impl Fn(&File, &Path)) -> (Capture, usize) {
    let folder = Folder::new();
    let path = folder.root.join("disturbed");
    let file = File::create(&path).expect("a file");
    file.set_len(size).expect("a sparse file");
    let source = files(&[&folder.root]);
    let (mut sink, mut receiver) = source::Sink::channel();
    let read = async {
        let capture = source.read(&mut sink).await.expect("a capture");
        sink.finish().await.expect("someone listens");
        capture
    };
    let listen = async {
        let mut bytes = 0;
        while let Some(batch) = receiver.recv().await {
            if bytes == 0 {
                disturb(&file, &path);
            }
            let lengths = batch.iter().map(|item| match item {
                Item::Data(content) => content.len(),
                _ => 0,
            });
            bytes += lengths.sum::<usize>();
        }
        bytes
    };
    futures::join!(read, listen)
}

type Disturb<'a> = &'a dyn Fn(&File, &Path);

#[tokio::test]
async fn a_large_file_that_changes_is_completed_and_listed() {
    let append = |file: &File, _: &Path| {
        let mut file = file;
        file.seek(std::io::SeekFrom::End(0)).expect("the end");
        file.write_all(&vec![1; 4_000_000]).expect("it grows");
    };
    let shrink = |file: &File, _: &Path| file.set_len(1_500_000).expect("it shrinks");
    let rewrite = |file: &File, _: &Path| {
        let mut file = file;
        file.write_all(b"another beginning")
            .expect("it can be written");
    };
    let replace = |_: &File, path: &Path| {
        fs::write(path.with_extension("new"), "other").expect("a file");
        fs::rename(path.with_extension("new"), path).expect("it can be renamed");
    };
    let cases: [(Disturb<'_>, Option<usize>); 4] = [
        (&append, Some(50_000_000)),
        (&shrink, None),
        (&rewrite, Some(50_000_000)),
        (&replace, Some(50_000_000)),
    ];
    for (disturb, bytes) in cases {
        let (capture, read) = read_disturbed(50_000_000, disturb).await;
        assert!(
            bytes.is_none_or(|bytes| bytes == read),
            "not more than it had: {read}"
        );
        assert_eq!(capture.incomplete.len(), 1, "{:?}", capture.incomplete);
        assert_eq!(capture.incomplete[0].reason, "changed while it was read");
    }
    let (capture, read) = read_disturbed(50_000_000, |_, _| ()).await;
    assert_eq!((capture.incomplete.len(), read), (0, 50_000_000));
}

/// A Bolt database of `pages` pages: two metas, then pages that know their number, every tenth with two overflow pages.
fn bolt(pages: u64) -> Vec<u8> {
    const PAGE: usize = 4096;
    let mut file = Vec::new();
    for transaction in 0..2_u64 {
        let mut meta = vec![0; PAGE];
        meta[..8].copy_from_slice(&transaction.to_le_bytes());
        meta[8..10].copy_from_slice(&4_u16.to_le_bytes());
        meta[16..20].copy_from_slice(&0xED0C_DAED_u32.to_le_bytes());
        meta[20..24].copy_from_slice(&2_u32.to_le_bytes());
        meta[24..28].copy_from_slice(&4096_u32.to_le_bytes());
        meta[32..40].copy_from_slice(&3_u64.to_le_bytes());
        meta[48..56].copy_from_slice(&2_u64.to_le_bytes());
        meta[56..64].copy_from_slice(&pages.to_le_bytes());
        meta[64..72].copy_from_slice(&transaction.to_le_bytes());
        let sum = meta[16..72]
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
            });
        meta[72..80].copy_from_slice(&sum.to_le_bytes());
        file.extend(meta);
    }
    let mut id = 2;
    while id < pages {
        let overflow = if id % 10 == 0 {
            2.min(pages - id - 1)
        } else {
            0
        };
        let mut unit = vec![id as u8; PAGE * (overflow as usize + 1)];
        unit[..8].copy_from_slice(&id.to_le_bytes());
        unit[8..10].copy_from_slice(&2_u16.to_le_bytes());
        unit[12..16].copy_from_slice(&(overflow as u32).to_le_bytes());
        file.extend(unit);
        id += overflow + 1;
    }
    file
}

#[tokio::test]
async fn a_bolt_database_is_cut_at_its_units() {
    let folder = Folder::new();
    let database = bolt(2000);
    fs::write(folder.root.join("db"), &database).expect("a file");
    fs::write(folder.root.join("other"), vec![7; 3_000_000]).expect("a file");
    let source = files(&[&folder.root]);
    let (mut sink, mut receiver) = source::Sink::channel();
    let read = async {
        source.read(&mut sink).await.expect("a capture");
        sink.finish().await.expect("someone listens");
    };
    let gather = async {
        let (mut units, mut bytes, mut name) = (Vec::new(), Vec::new(), Name::default());
        while let Some(batch) = receiver.recv().await {
            for item in batch {
                match item {
                    Item::Begin(header) => name = header.name,
                    Item::Data(content) if name.as_bytes().ends_with(b"/db") => {
                        bytes.extend_from_slice(content.as_bytes());
                    }
                    Item::Unit { length } => {
                        assert!(name.as_bytes().ends_with(b"/db"), "{name} is no database");
                        let end: usize = units.iter().sum();
                        assert!(bytes.len() <= end, "units are announced before their bytes");
                        units.push(length as usize);
                    }
                    _ => {}
                }
            }
        }
        (units, bytes)
    };
    let ((), (units, bytes)) = futures::join!(read, gather);
    assert!(bytes == database);
    assert_eq!(
        units.iter().sum::<usize>(),
        database.len(),
        "units tile the file"
    );
    assert!(units.contains(&(3 * 4096)));
    let (archive, _) = Archive::collect(&source).await.expect("a capture");
    let (_, kept) = archive
        .get(&name_of(&folder.root.join("db")))
        .expect("it is there");
    assert!(kept == database);
}

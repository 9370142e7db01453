use proptest::prelude::*;

use super::*;
use crate::generate_identity;

fn pages(shares: &[Share]) -> Vec<String> {
    let page = |share: &Share| share.to_page("It opens the backups of prod.", "2026-11-22").to_string();
    shares.iter().map(page).collect()
}

fn read(text: &str) -> Result<Vec<Share>, ShareError> {
    let mut reader = ShareReader::default();
    let mut shares = Vec::new();
    for line in text.lines() {
        shares.extend(reader.line(line)?);
    }
    assert_eq!(reader.wanted(), (0, None), "the last one is whole");
    Ok(shares)
}

fn identity() -> (String, String) {
    let (secret, recipient) = generate_identity();
    (secret.to_string(), recipient)
}

fn error(shares: &[Share]) -> CombineError {
    combine(shares).err().expect("they do not give it")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_so_many_shares_bring_an_identity_back_and_fewer_do_not(
        (total, needed) in (2..=SHARES_MAX).prop_flat_map(|total| (Just(total), 2..=total)),
        order in any::<u64>(),
    ) {
        let (secret, recipient) = identity();
        let file = format!("# a comment\n\n{secret}\n");
        let shares = split(file.as_bytes(), needed, total).expect("it is split");
        let mut read: Vec<Share> = read(&pages(&shares).join("\n")).expect("sound pages");
        prop_assert!(read == shares);
        // Some order: what is left over is not needed.
        read.sort_by_key(|share| order.rotate_left(u32::from(share.number()) * 7).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let combined = combine(&read[..needed.into()]).unwrap_or_else(|error| panic!("{error}"));
        prop_assert_eq!(&combined.file[..], format!("{secret}\n").as_bytes());
        prop_assert_eq!(combined.recipient, Some(recipient));
        prop_assert!(combined.wrong.is_empty());
        let few = error(&read[..usize::from(needed) - 1]);
        let too_few = matches!(few, CombineError::TooFew { more: 1, .. });
        prop_assert!(too_few, "{few}");
    }

    #[test]
    fn any_identity_file_comes_back(lines in prop::collection::vec(any::<bool>(), 1..20)) {
        let mut file = String::from("# of several kinds\n");
        let mut kept = String::new();
        for plugin in lines {
            let line = if plugin { plugin_identity() } else { identity().0 };
            file.push_str(&format!("{line}\n# behind it\n\n"));
            kept.push_str(&format!("{line}\n"));
        }
        let shares = split(file.as_bytes(), 2, 3).expect("it is split");
        let read = read(&pages(&shares[1..]).join("")).expect("sound pages");
        let combined = combine(&read).unwrap_or_else(|error| panic!("{error}"));
        prop_assert_eq!(&combined.file[..], kept.as_bytes());
    }

    #[test]
    fn one_changed_sign_is_found_in_its_line(share in 0_usize..5, line in 0_usize..3, sign in 0_usize..36, to in 0_usize..32) {
        let (secret, _) = identity();
        let shares = split(secret.as_bytes(), 3, 5).expect("it is split");
        let page = &pages(&shares)[share];
        let mut lines: Vec<String> = page.lines().filter(|line| !line.starts_with('#')).skip(1).map(str::to_owned).collect();
        let signs: Vec<usize> = lines[line].char_indices().skip(3).filter(|(_, c)| *c != '-').map(|(at, _)| at).collect();
        let at = signs[sign % signs.len()];
        let sign = char::from(b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"[to]).to_string();
        prop_assume!(lines[line][at..=at] != sign);
        lines[line].replace_range(at..=at, &sign);
        let refused = read(&lines.join("\n")).err();
        let number = (line > 0).then(|| shares[share].number());
        prop_assert_eq!(refused, Some(ShareError::Mistyped { line, share: number }));
    }

    #[test]
    fn any_text_is_read_or_refused(text in "([0-9:IVX #-]{0,40}\n){0,6}") {
        let mut reader = ShareReader::default();
        for line in text.lines() {
            let _ = reader.line(line);
        }
    }
}

fn plugin_identity() -> String {
    let prefix = bech32::Hrp::parse("age-plugin-test-").expect("a prefix");
    age_core::primitives::bech32_encode(prefix, &id::random::<20>()).to_uppercase()
}

#[test]
fn a_page_is_read_as_people_type_it() {
    let (secret, _) = identity();
    let shares = split(secret.as_bytes(), 2, 2).expect("it is split");
    for page in pages(&shares) {
        assert!(page.lines().all(|line| line.len() <= 132), "{page}");
        let typed: Vec<String> = page
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.replace('-', " ").replace('0', "o").replacen("o:", " 0 : ", 1).replace('1', "l").replacen("l:", "1:", 1).to_lowercase())
            .collect();
        assert_eq!(read(&typed.join("\n")).map(|read| read.len()), Ok(1), "{typed:?}");
    }
}

#[test]
fn lines_out_of_place_are_refused() {
    let (secret, _) = identity();
    let shares = split(secret.as_bytes(), 2, 3).expect("it is split");
    let lines = |page: &str| -> Vec<String> { page.lines().filter(|it| it.contains(": ") && !it.starts_with('#')).map(str::to_owned).collect() };
    let pages = pages(&shares);
    let [one, two] = [lines(&pages[0]), lines(&pages[1])];
    let refused = |lines: &[&String]| {
        let mut reader = ShareReader::default();
        lines.iter().find_map(|line| reader.line(line).err())
    };
    let share = Some(1);
    assert_eq!(refused(&[&one[0], &two[1]]), Some(ShareError::Mistyped { line: 1, share }));
    assert_eq!(refused(&[&one[0], &one[2]]), Some(ShareError::OutOfOrder { wanted: 1, share }));
    assert_eq!(refused(&[&one[1]]), Some(ShareError::OutOfOrder { wanted: 0, share: None }));
    let swapped = one[1].replacen("1:", "2:", 1);
    assert_eq!(refused(&[&one[0], &one[1], &swapped]), Some(ShareError::Mistyped { line: 2, share }));
    assert_eq!(refused(&[&"ABCD".to_owned()]), Some(ShareError::NoNumber));
    // A line that was refused may be typed again.
    let mut reader = ShareReader::default();
    for line in [&one[0], &two[1], &one[1]] {
        let _ = reader.line(line);
    }
    assert!(reader.line(&one[2]).is_ok_and(|share| share.is_some()));
}

#[test]
fn shares_that_do_not_belong_together_are_told_apart() {
    let (secret, _) = identity();
    let shares = split(secret.as_bytes(), 3, 5).expect("it is split");
    let others = split(secret.as_bytes(), 3, 5).expect("it is split");
    let mixed = [shares[0].clone(), others[1].clone(), shares[2].clone()];
    assert!(matches!(error(&mixed), CombineError::OtherSet { one: 1, other: 2, .. }));
    assert_eq!(error(&[]), CombineError::None);

    let mut wrong = shares[1].clone();
    wrong.data[7] ^= 1;
    let both = [shares[1].clone(), wrong.clone()];
    assert_eq!(error(&both), CombineError::Twice(2));
    // With just as many as are needed, which one is wrong cannot be told; with one more it can.
    let three = [shares[0].clone(), wrong.clone(), shares[4].clone()];
    assert_eq!(error(&three), CombineError::DoNotFit(vec![1, 2, 5]));
    let four = [&three[..], &shares[3..4]].concat();
    let combined = combine(&four).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((combined.wrong, &combined.file[..]), (vec![2], format!("{secret}\n").as_bytes()));
    // The same share twice is one.
    let same = [shares[0].clone(), shares[0].clone(), shares[1].clone()];
    assert!(matches!(error(&same), CombineError::TooFew { have: 2, needed: 3, .. }));
}

#[test]
fn what_makes_no_sense_is_not_split() {
    let (secret, _) = identity();
    for (needed, total) in [(0, 5), (1, 5), (4, 3), (2, 17)] {
        let refused = split(secret.as_bytes(), needed, total).err();
        assert_eq!(refused, Some(SplitError::Numbers { needed, total }));
    }
    let refused = |file: &str| split(file.as_bytes(), 2, 3).err();
    assert!(matches!(refused("# nothing"), Some(SplitError::Identities(_))));
    assert_eq!(refused(&format!("{secret}\n").repeat(100)), Some(SplitError::TooLong));
}

use proptest::prelude::*;
use zeroize::Zeroizing;

use super::*;
use crate::generate_identity;

const MADE: &str = "2026-11-26";

fn identity() -> (Identities, Zeroizing<String>, String) {
    let (secret, recipient) = generate_identity();
    let mut identities = Identities::none();
    identities.add_file(secret.as_bytes()).expect("ours");
    (identities, secret, recipient)
}

fn pages(shares: &[Share]) -> Vec<String> {
    let pages = shares.iter().map(|share| share.to_page("age1…", MADE));
    pages.map(|page| page.to_string()).collect()
}

/// The lines that are typed.
fn lines(page: &str) -> Vec<String> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    let lines = lines.filter(|line| !line.is_empty());
    lines.map(str::to_owned).collect()
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
        let (identities, secret, recipient) = identity();
        let shares = split(&identities, needed, total).expect("it is split");
        let mut read = read_shares(&pages(&shares).join("\n")).expect("sound pages");
        prop_assert!(read == shares);
        // Some order: what is left over is not needed.
        read.sort_by_key(|share| order.rotate_left(u32::from(share.number()) * 7).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let combined = combine(&read[..needed.into()]).unwrap_or_else(|error| panic!("{error}"));
        prop_assert!(combined.identity == secret);
        prop_assert_eq!(combined.recipient, recipient);
        prop_assert!(combined.wrong.is_empty());
        let few = error(&read[..usize::from(needed) - 1]);
        let too_few = matches!(few, CombineError::TooFew { .. } | CombineError::None);
        prop_assert!(too_few, "{few}");
    }

    #[test]
    fn one_changed_sign_is_found_in_its_line(share in 0_usize..5, line in 0_usize..3, sign in 0_usize..36, to in 0_usize..32) {
        let (identities, ..) = identity();
        let shares = split(&identities, 3, 5).expect("it is split");
        let mut lines = lines(&pages(&shares)[share]);
        let signs: Vec<usize> = lines[line].char_indices().skip(3).filter(|(_, c)| *c != '-').map(|(at, _)| at).collect();
        let at = signs[sign % signs.len()];
        let sign = char::from(b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"[to]).to_string();
        prop_assume!(lines[line][at..=at] != sign);
        lines[line].replace_range(at..=at, &sign);
        let refused = read_shares(&lines.join("\n")).err();
        let number = (line > 0).then(|| shares[share].number());
        prop_assert_eq!(refused, Some(ShareError::Mistyped { line: line + 1, part: line, share: number }));
    }

    #[test]
    fn any_text_is_read_or_refused(text in "([0-9:IVX #-]{0,40}\n){0,6}") {
        let _ = read_shares(&text);
    }
}

#[test]
fn shares_are_what_the_document_says() {
    // Computed from docs/recovery/shares.md by other means: lines through a secret of zeros.
    let header = |number| Header {
        needed: 2,
        total: 3,
        number,
        set: SetName([0xa1, 0xb2, 0xc3, 0xd4]),
        fingerprint: [7; 12],
    };
    let share = |number: u8, value: u8| Share {
        header: header(number),
        values: Zeroizing::new([value; SECRET]),
    };
    let pages = pages(&[share(1, 0x57), share(2, 0xae)]);
    assert_eq!(lines(&pages[0]), EXPECTED);
    // 0x57 = 1 * 0x57, and 0xae = 2 * 0x57: the constant term is nothing.
    let secret = joined(&[&share(1, 0x57), &share(2, 0xae)]);
    assert!(secret.iter().all(|byte| *byte == 0));
    // The field is AES's: 2 * 0xae is 0x47 (FIPS 197, 4.2.1).
    let secret = joined(&[&share(2, 0xae), &share(4, 0x47)]);
    assert!(secret.iter().all(|byte| *byte == 0));
}

const EXPECTED: [&str; 3] = [
    "0: 0410-60D1-PB1X-81R7-0W3G-E1R7-0W3G-E1R7-XVRR",
    "1: AXBN-ENTQ-AXBN-ENTQ-AXBN-ENTQ-AXBN-ENTQ-CRP5",
    "2: AXBN-ENTQ-AXBN-ENTQ-AXBG-S0V9",
];

#[test]
fn a_page_is_read_as_people_type_it() {
    let (identities, ..) = identity();
    let shares = split(&identities, 2, 2).expect("it is split");
    for page in pages(&shares) {
        assert!(page.lines().all(|line| line.len() <= 132), "{page}");
        let typed = lines(&page).into_iter().map(|line| {
            let (number, signs) = line.split_once(": ").expect("a line");
            let signs = signs.replace('-', " ").replace('0', "o").replace('1', "l");
            format!(" {number} :{}", signs.to_lowercase())
        });
        let typed: Vec<String> = typed.collect();
        let read = read_shares(&typed.join("\r\n")).map(|read| read.len());
        assert_eq!(read, Ok(1), "{typed:?}");
    }
}

#[test]
fn lines_out_of_place_are_refused() {
    let (identities, ..) = identity();
    let shares = split(&identities, 2, 3).expect("it is split");
    let pages = pages(&shares);
    let [one, two] = [lines(&pages[0]), lines(&pages[1])];
    let refused = |lines: &[&str]| read_shares(&lines.join("\n")).err();
    let share = Some(1);
    let mistyped = |line, part, share| Some(ShareError::Mistyped { line, part, share });
    let missing = |line, part, share| Some(ShareError::Missing { line, part, share });
    assert_eq!(refused(&[&one[0], &two[1]]), mistyped(2, 1, share));
    assert_eq!(refused(&[&one[0], "", &one[2]]), missing(3, 1, share));
    assert_eq!(refused(&[&one[1]]), missing(1, 0, None));
    assert_eq!(refused(&[&one[0], &one[1]]), missing(3, 2, share));
    assert_eq!(refused(&[&one[0], &one[1], &two[0]]), missing(3, 2, share));
    let swapped = one[1].replacen("1:", "2:", 1);
    assert_eq!(
        refused(&[&one[0], &one[1], &swapped]),
        mistyped(3, 2, share)
    );
    assert_eq!(refused(&["ABCD"]), Some(ShareError::NoNumber(1)));
    assert_eq!(refused(&[]), None);
}

#[test]
fn shares_that_do_not_belong_together_are_told_apart() {
    let (identities, secret, _) = identity();
    let shares = split(&identities, 3, 5).expect("it is split");
    let others = split(&identities, 3, 5).expect("it is split");
    let mixed = [shares[0].clone(), others[1].clone(), shares[2].clone()];
    let told = error(&mixed);
    assert!(matches!(
        told,
        CombineError::OtherSet {
            one: 1,
            other: 2,
            ..
        }
    ));
    assert_eq!(error(&[]), CombineError::None);

    let mut wrong = shares[1].clone();
    wrong.values[7] ^= 1;
    assert_eq!(
        error(&[shares[1].clone(), wrong.clone()]),
        CombineError::Twice(2)
    );
    // With just as many as are needed, which one is wrong cannot be told; with one more it can.
    let three = [shares[0].clone(), wrong.clone(), shares[4].clone()];
    let (numbers, set) = (vec![1, 2, 5], shares[0].set());
    assert_eq!(error(&three), CombineError::DoNotFit { numbers, set });
    let four = [&three[..], &shares[3..4]].concat();
    let combined = combine(&four).unwrap_or_else(|error| panic!("{error}"));
    assert!(combined.wrong == [2] && combined.identity == secret);
    // The same share twice is one.
    let same = [shares[0].clone(), shares[0].clone(), shares[1].clone()];
    assert!(matches!(
        error(&same),
        CombineError::TooFew {
            have: 2,
            needed: 3,
            ..
        }
    ));
}

#[test]
fn what_makes_no_sense_is_not_split() {
    let (mut identities, ..) = identity();
    for (needed, total) in [(0, 5), (1, 5), (4, 3), (2, 17)] {
        let refused = split(&identities, needed, total).err();
        assert_eq!(refused, Some(SplitError::Numbers { needed, total }));
    }
    let none = split(&Identities::none(), 2, 3).err();
    assert_eq!(none, Some(SplitError::NotOneKey));
    let (secret, _) = generate_identity();
    identities.add_file(secret.as_bytes()).expect("ours");
    let two = split(&identities, 2, 3).err();
    assert_eq!(two, Some(SplitError::NotOneKey));
}

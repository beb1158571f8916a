//! Words against splitting strings.
use std::collections::HashMap;

use foundation_core::kernels::{Arg, Args, Error, Input, Value};
use foundation_core::memory::{Owner, held};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::run::{Cuts, cuts, run};

type Counts = HashMap<Vec<u8>, u64>;

fn words(input: Input, args: Args, cuts: &Cuts) -> Result<Counts, Error> {
    run("words", input, args, cuts).map(|value| match value {
        Value::Words(words) => {
            let lower = words.lowercase();
            let text = |text: &[u8]| {
                if lower {
                    text.to_ascii_lowercase()
                } else {
                    text.to_vec()
                }
            };
            let counts: Counts = words
                .iter()
                .map(|word| (text(word.text(&input).unwrap()), word.count))
                .collect();
            assert_eq!(counts.len() as u64, words.len());
            counts
        }
        other => panic!("{other:?}"),
    })
}

fn args(lowercase: bool) -> Args {
    Args::new().with("lowercase", Arg::Bool(lowercase))
}

fn splits(char: char) -> bool {
    char.is_whitespace() && !['\u{A0}', '\u{2007}', '\u{202F}'].contains(&char)
}

fn model<'a>(texts: impl IntoIterator<Item = &'a str>, lowercase: bool) -> Counts {
    let mut counts = Counts::new();
    for text in texts {
        for word in text.split(splits).filter(|word| !word.is_empty()) {
            let word = if lowercase {
                word.to_ascii_lowercase()
            } else {
                word.to_owned()
            };
            *counts.entry(word.into_bytes()).or_default() += 1;
        }
    }
    counts
}

/// Words of one to four bytes a letter, every kind of whitespace, and what looks like it.
fn piece() -> impl Strategy<Value = String> {
    let spaces: Vec<char> = ('\0'..='\u{3000}')
        .filter(|char| char.is_whitespace())
        .collect();
    let like = vec![
        '\u{2010}', '\u{E0}', '\u{200B}', '\u{1681}', '\u{3001}', '\u{2060}', '\u{C5}',
    ];
    prop_oneof![
        4 => "[abAB]{1,3}",
        1 => "[äß€😀a]{1,4}",
        4 => prop::sample::select(spaces).prop_map(String::from),
        1 => prop::sample::select(like).prop_map(String::from),
    ]
}

fn text() -> impl Strategy<Value = String> {
    let times = prop_oneof![5 => Just(1usize), 1 => 2..300usize];
    (vec(piece(), 0..120), times).prop_map(|(pieces, times)| pieces.concat().repeat(times))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn words_are_those_between_whitespace(text in text(), cuts in cuts(), lowercase: bool) {
        let found = words(Input::Bytes(text.as_bytes()), args(lowercase), &cuts);
        prop_assert_eq!(found.unwrap(), model([text.as_str()], lowercase));
    }

    #[test]
    fn words_of_many_are_those_of_each(
        texts in vec(text(), 0..12), cuts in cuts(), lowercase: bool,
    ) {
        let many: Vec<&[u8]> = texts.iter().map(|text| text.as_bytes()).collect();
        let found = words(Input::Many(&many), args(lowercase), &cuts);
        prop_assert_eq!(found.unwrap(), model(texts.iter().map(String::as_str), lowercase));
    }

    #[test]
    fn what_is_no_text_has_the_same_words_however_it_is_cut(
        bytes in vec(prop::sample::select(b"a \xC2\x85\xE2\x80\x81\x9F\xE3".to_vec()), 0..300), cuts in cuts(),
    ) {
        let whole = words(Input::Bytes(&bytes), Args::new(), &Cuts::none()).unwrap();
        prop_assert_eq!(words(Input::Bytes(&bytes), Args::new(), &cuts).unwrap(), whole);
    }
}

#[test]
fn words_that_differ_in_one_byte_or_in_length_are_two() {
    let fill = |len: usize, byte: u8| (0..len).map(|_| byte as char).collect::<String>();
    let mut text = String::new();
    for len in 1..20 {
        for at in 0..len {
            for byte in [0, 1, b'a', b'A', b'z', 0x7F] {
                text += &format!(
                    "{}{}{} ",
                    fill(at, b'x'),
                    byte as char,
                    fill(len - at - 1, b'x')
                );
            }
        }
        text += &format!("{}\t{}\n", fill(len, 0), fill(len, b'X'));
    }
    for lowercase in [false, true] {
        for end in text.len() - 30..=text.len() {
            let part = &text[..end];
            let found = words(
                Input::Bytes(part.as_bytes()),
                args(lowercase),
                &Cuts::none(),
            );
            assert_eq!(found.unwrap(), model([part], lowercase));
        }
    }
}

#[test]
fn a_word_longer_than_slices_is_one() {
    let text = format!("{}  b {}", "Long".repeat(20_000), "lONG".repeat(20_000));
    let found = words(Input::Bytes(text.as_bytes()), args(true), &Cuts::short()).unwrap();
    assert_eq!(found, model([text.as_str()], true));
}

#[test]
fn distinct_words_are_limited() {
    let text: String = (0..50_000).map(|n| format!("w{n} ")).collect();
    let input = Input::Bytes(text.as_bytes());
    let limited =
        |max: i128, cuts: &Cuts| words(input, Args::new().with("max_words", Arg::Int(max)), cuts);
    assert_eq!(limited(50_000, &Cuts::short()).unwrap().len(), 50_000);
    let error = limited(49_999, &Cuts::none()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the text has more than 49999 distinct words"
    );
    let halves = Cuts::halves();
    assert_eq!(
        limited(49_999, &halves).unwrap_err().reason(),
        "too_many_words"
    );
    assert_eq!(
        limited(0, &Cuts::none()).unwrap_err().reason(),
        "invalid_option"
    );
}

/// The books are the program's: what other tests hold may only add to them.
#[test]
fn tables_are_in_the_books() {
    let text: String = (0..50_000).map(|n| format!("w{n} ")).collect();
    let value = run(
        "words",
        Input::Bytes(text.as_bytes()),
        Args::new(),
        &Cuts::none(),
    );
    assert!(held(Owner::Kernels) >= 50_000 * 40);
    drop(value);
}

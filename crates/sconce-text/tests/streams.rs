//! Streams give the same, however their input is cut into chunks.

use proptest::prelude::*;
use sconce_text::{Detokenizer, StopStrings};

/// Parts of characters of two, three and four bytes, a letter, and a surrogate's beginning.
const PARTS: &[u8] = &[
    0xe2, 0x82, 0xac, 0xf0, 0x9f, 0x99, 0x82, 0x61, 0xc3, 0xa9, 0xed, 0xa0,
];

/// What the scanner should do, said without streaming: cut before the match that ends first, and
/// of those before the longest.
fn cut_at_first_stop(text: &str, stops: &[String]) -> (String, Option<usize>) {
    let ends = text
        .char_indices()
        .map(|(at, character)| at + character.len_utf8());
    for end in ends {
        let complete = (0..stops.len()).filter(|it| text[..end].ends_with(stops[*it].as_str()));
        let longest = complete.max_by_key(|it| (stops[*it].len(), std::cmp::Reverse(*it)));
        if let Some(index) = longest {
            return (text[..end - stops[index].len()].to_owned(), Some(index));
        }
    }
    (text.to_owned(), None)
}

fn scan(pieces: &[String], stops: &[String]) -> (String, Option<usize>) {
    let mut scanner = StopStrings::new(stops)
        .expect("no stop string is empty")
        .scanner();
    let mut sent = String::new();
    for piece in pieces {
        let scanned = scanner.push(piece);
        sent.push_str(&scanned.text);
        if scanned.stopped_by.is_some() {
            let after = scanner.push("more");
            assert_eq!(
                (after.text.as_str(), after.stopped_by),
                ("", scanned.stopped_by)
            );
            assert_eq!(scanner.finish(), "");
            return (sent, scanned.stopped_by);
        }
    }
    sent.push_str(&scanner.finish());
    (sent, None)
}

proptest! {
    #[test]
    fn detokenizing_in_chunks_is_detokenizing_at_once(
        chunks in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(any::<u8>(), 0..6),
                prop::collection::vec(prop::sample::select(PARTS), 0..4),
            ],
            0..20,
        ),
    ) {
        let mut detokenizer = Detokenizer::after_prompt();
        let mut text: String = chunks.iter().map(|it| detokenizer.push(it)).collect();
        text.push_str(&detokenizer.finish());
        let whole = chunks.concat();
        prop_assert_eq!(text, String::from_utf8_lossy(&whole));
    }

    #[test]
    fn characters_are_never_split_and_never_held_once_complete(
        text in "[a€🙂é]{0,12}",
        cuts in prop::collection::vec(1_usize..4, 60),
    ) {
        let mut detokenizer = Detokenizer::after_prompt();
        let (mut rest, mut given) = (text.as_bytes(), String::new());
        for cut in cuts {
            let (chunk, later) = rest.split_at(cut.min(rest.len()));
            rest = later;
            given.push_str(&detokenizer.push(chunk));
            let taken = text.len() - rest.len();
            let whole = (0..=taken).rev().find(|it| text.is_char_boundary(*it)).unwrap_or(0);
            prop_assert_eq!(&given, &text[..whole]);
        }
    }

    #[test]
    fn scanning_in_chunks_is_searching_the_whole_text(
        pieces in prop::collection::vec("[abé]{0,4}", 0..12),
        stops in prop::collection::vec("[abé]{1,4}", 0..4),
    ) {
        prop_assert_eq!(scan(&pieces, &stops), cut_at_first_stop(&pieces.concat(), &stops));
    }

    #[test]
    fn no_more_is_held_back_than_could_become_a_stop_string(
        pieces in prop::collection::vec("[abé]{0,4}", 0..12),
        stops in prop::collection::vec("[abé]{1,4}", 0..4),
    ) {
        let mut scanner = StopStrings::new(&stops).expect("no stop string is empty").scanner();
        let mut seen = String::new();
        let mut sent = String::new();
        for piece in &pieces {
            seen.push_str(piece);
            let scanned = scanner.push(piece);
            sent.push_str(&scanned.text);
            if scanned.stopped_by.is_some() {
                break;
            }
            let held = &seen[sent.len()..];
            let could_grow = |stop: &String| stop.starts_with(held) && stop.len() > held.len();
            prop_assert!(held.is_empty() || stops.iter().any(could_grow), "held {:?}", held);
        }
    }
}

/// The first stop string that ends behind the first `passed` bytes.
fn first_stop_behind(text: &str, passed: usize, stops: &[String]) -> Option<usize> {
    let ends = text.char_indices().map(|(at, it)| at + it.len_utf8());
    let stopping = |end: &usize| stops.iter().any(|it| text[..*end].ends_with(it.as_str()));
    ends.filter(|it| *it > passed).find(stopping)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_passed_stops_nothing_but_may_begin_what_does(
        pieces in prop::collection::vec("[abé]{0,3}", 0..12),
        stops in prop::collection::vec("[abé]{1,4}", 0..4),
        passes in 0_usize..6,
    ) {
        let mut scanner = StopStrings::new(&stops).expect("no stop string is empty").scanner();
        let (passed, watched) = pieces.split_at(passes.min(pieces.len()));
        let mut sent: String = passed.iter().map(|it| scanner.pass(it)).collect();
        let mut stopped = false;
        for piece in watched {
            let scanned = scanner.push(piece);
            sent.push_str(&scanned.text);
            stopped |= scanned.stopped_by.is_some();
        }
        sent.push_str(&scanner.finish());
        let text = pieces.concat();
        match first_stop_behind(&text, passed.concat().len(), &stops) {
            None => prop_assert_eq!((sent, stopped), (text, false)),
            Some(end) => {
                let longest = stops.iter().filter(|it| text[..end].ends_with(it.as_str()));
                let cut = end - longest.map(String::len).max().unwrap_or(0);
                prop_assert_eq!((sent.as_str(), stopped), (&text[..cut], true));
            }
        }
    }
}

#[test]
fn an_empty_stop_string_is_refused_by_its_place() {
    let error = StopStrings::new(&["x".to_owned(), String::new()]).expect_err("one is empty");
    assert_eq!(error.to_string(), "stop string 1 is empty; leave it out");
}

#[test]
fn a_long_stop_string_costs_no_more_than_the_text() {
    let stops = vec![format!("{}b", "a".repeat(1 << 20))];
    let mut scanner = StopStrings::new(&stops).expect("it is not empty").scanner();
    let started = std::time::Instant::now();
    let mut sent = 0;
    for _ in 0..(1 << 19) {
        sent += scanner.push("aaaa").text.len();
    }
    assert_eq!(sent, (4 << 19) - (1 << 20));
    assert!(
        started.elapsed() < std::time::Duration::from_secs(20),
        "{:?}",
        started.elapsed()
    );
}

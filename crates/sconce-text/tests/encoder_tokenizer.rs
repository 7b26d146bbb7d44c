//! Encoders' tokenizers: what we put together is what the library puts together.

use sconce_domain::TokenId;
use sconce_text::EncoderTokenizer;
use serde_json::{Value, json};

/// Words and pieces by their ids; `marker` says what stands around texts.
fn file(single: &Value, pair: &Value) -> Vec<u8> {
    let words = [
        "[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "##a", "cat", "##s", "the", ",", "?",
    ];
    let vocabulary: serde_json::Map<String, Value> = words
        .iter()
        .zip(0..)
        .map(|(word, id)| ((*word).to_owned(), Value::from(id)))
        .collect();
    let added: Vec<Value> = words[..4]
        .iter()
        .zip(0..)
        .map(|(content, id)| {
            json!({
                "id": id, "content": content, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": true,
            })
        })
        .collect();
    json!({
        "version": "1.0",
        "truncation": {"max_length": 3, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
        "padding": {"strategy": {"Fixed": 8}, "direction": "Right", "pad_to_multiple_of": null,
                    "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"},
        "added_tokens": added,
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                       "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "TemplateProcessing", "single": single, "pair": pair,
            "special_tokens": {
                "[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]},
                "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]},
            }},
        "decoder": null,
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": vocabulary},
    })
    .to_string()
    .into_bytes()
}

fn marker(name: &str, segment: u32) -> Value {
    json!({"SpecialToken": {"id": name, "type_id": segment}})
}

fn text(name: &str, segment: u32) -> Value {
    json!({"Sequence": {"id": name, "type_id": segment}})
}

fn usual() -> Vec<u8> {
    let (begin, end) = (marker("[CLS]", 0), marker("[SEP]", 0));
    let pair = json!([begin, text("A", 0), end, text("B", 1), marker("[SEP]", 1)]);
    file(&json!([begin, text("A", 0), end]), &pair)
}

fn ids(tokens: &[TokenId]) -> Vec<u32> {
    tokens.iter().map(|it| it.0).collect()
}

#[test]
fn texts_become_the_tokens_that_the_library_makes_of_them() {
    let json = usual();
    let ours = EncoderTokenizer::from_json(&json).unwrap();
    let mut theirs = tokenizers::Tokenizer::from_bytes(&json).unwrap();
    theirs.with_truncation(None).unwrap().with_padding(None);
    let texts = [
        "",
        "a",
        "The cats, aaa?",
        "[SEP] cat[CLS]",
        "zebra cat",
        "猫 Cát\u{0}",
    ];
    for first in texts {
        let framed = ours.frame(&ours.tokens(first).unwrap());
        let whole = theirs.encode(first, true).unwrap();
        assert_eq!(ids(&framed.tokens), whole.get_ids(), "{first:?}");
        assert_eq!(framed.second_starts, framed.tokens.len());
        for second in texts {
            let (a, b) = (ours.tokens(first).unwrap(), ours.tokens(second).unwrap());
            let framed = ours.frame_pair(&a, &b);
            let whole = theirs.encode((first, second), true).unwrap();
            assert_eq!(ids(&framed.tokens), whole.get_ids(), "{first:?} {second:?}");
            let segments = whole.get_type_ids();
            let starts = segments.iter().position(|it| *it == 1).unwrap();
            assert_eq!(framed.second_starts, starts, "{first:?} {second:?}");
        }
    }
    assert_eq!((ours.markers(), ours.pair_markers()), (2, 3));
    assert_eq!(ours.vocabulary_size(), 11);
}

#[test]
fn neither_the_file_s_limit_nor_its_padding_is_followed() {
    let ours = EncoderTokenizer::from_json(&usual()).unwrap();
    assert_eq!(ids(&ours.tokens("the cat the cat").unwrap()), [8, 6, 8, 6]);
    assert_eq!(ids(&ours.frame(&[TokenId(8)]).tokens), [2, 8, 3]);
}

#[test]
fn a_file_that_is_none_or_frames_strangely_is_refused() {
    let (begin, end) = (marker("[CLS]", 0), marker("[SEP]", 0));
    let single = json!([begin, text("A", 0), end]);
    let one_text = json!([begin, text("A", 0), end]);
    for (json, reason) in [
        (b"{}".to_vec(), "tokenizer.json"),
        (b"\xff".to_vec(), "tokenizer.json"),
        (file(&single, &one_text), "tokenizer.json"),
        (
            file(&single, &json!([begin, text("A", 0), text("B", 1)])),
            "makes 1 texts of 2",
        ),
    ] {
        let message = EncoderTokenizer::from_json(&json).unwrap_err().to_string();
        assert!(message.contains(reason), "{message}");
    }
}

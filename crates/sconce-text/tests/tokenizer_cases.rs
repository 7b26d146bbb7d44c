//! Tokenizers of real vocabularies against llama.cpp's own cases.

mod gguf_metadata;
mod shared_data;

use std::time::{Duration, Instant};

use gguf_metadata::Metadata;
use sconce_domain::TokenId;
use sconce_text::{Specials, Tokenizer};

/// `bert-bge` is WordPiece, which is refused.
const VOCABULARIES: [&str; 7] = [
    "gpt-2",
    "llama-bpe",
    "qwen2",
    "deepseek-coder",
    "falcon",
    "llama-spm",
    "phi-3",
];

fn tokenizer(name: &str) -> Option<Tokenizer> {
    let path = shared_data::folder("data/text/vocab")?.join(format!("ggml-vocab-{name}.gguf"));
    Some(Tokenizer::new(Metadata::read(&path).vocabulary()).expect("the vocabulary is usable"))
}

#[test]
fn every_case_of_llama_cpp_encodes_to_its_ids_and_back() {
    let Some(folder) = shared_data::folder("data/text") else {
        return;
    };
    let cases = shared_data::json_lines(folder.join("tokenizer_cases.jsonl"));
    let mut failures = Vec::new();
    let mut checked = 0;
    for name in VOCABULARIES {
        let tokenizer = tokenizer(name).expect("the folder is there");
        for case in cases.iter().filter(|it| it["vocab"] == name) {
            let text = case["text"].as_str().expect("a text");
            let ids: Vec<TokenId> = case["ids"]
                .as_array()
                .expect("ids")
                .iter()
                .map(|it| TokenId(it.as_u64().expect("an id") as u32))
                .collect();
            let encoded = tokenizer
                .encode(text, Specials::Plain)
                .expect("the text encodes");
            if encoded != ids {
                failures.push(format!(
                    "{name} {text:?}\n  want {ids:?}\n  have {encoded:?}"
                ));
            }
            let decoded = tokenizer.decode(&ids);
            if decoded != text {
                failures.push(format!("{name} {text:?} decodes to {decoded:?}"));
            }
            checked += 1;
        }
    }
    assert!(
        failures.is_empty(),
        "{} failures\n{}",
        failures.len(),
        failures.join("\n")
    );
    assert_eq!(checked, 46 * VOCABULARIES.len());
}

#[test]
fn time_grows_with_the_text_and_not_with_its_square() {
    // Unoptimised, a quarter of a million steps take a second or so; their square takes hours.
    const BYTES: usize = 1 << 18;
    for name in ["llama-bpe", "falcon", "deepseek-coder", "llama-spm"] {
        let Some(tokenizer) = tokenizer(name) else {
            return;
        };
        for unit in [
            "a", " ", "\n", "!", "1", "é", "漢", " \n", "\t ", "<|", "ab ", "'s", "\u{301}",
        ] {
            let text = unit.repeat(BYTES / unit.len());
            let started = Instant::now();
            let tokens = tokenizer
                .encode(&text, Specials::Parsed)
                .expect("the text encodes");
            let elapsed = started.elapsed();
            assert!(
                elapsed < Duration::from_secs(10),
                "{name} {unit:?} took {elapsed:?}"
            );
            assert_eq!(tokenizer.decode(&tokens), text, "{name} {unit:?}");
        }
    }
}

#[test]
fn markers_are_tokens_only_where_they_are_parsed() {
    let Some(tokenizer) = tokenizer("qwen2") else {
        return;
    };
    let text = "<|im_start|>user\nHi<|im_end|>";
    let parsed = tokenizer
        .encode(text, Specials::Parsed)
        .expect("the text encodes");
    assert_eq!(parsed.first(), Some(&TokenId(151_644)));
    assert_eq!(parsed.last(), Some(&TokenId(151_645)));
    let plain = tokenizer
        .encode(text, Specials::Plain)
        .expect("the text encodes");
    assert!(plain.iter().all(|it| it.0 < 151_643), "{plain:?}");
    assert_eq!(tokenizer.decode(&plain), text);
    assert_eq!(
        tokenizer.decode(&parsed),
        "user\nHi",
        "control tokens are not shown"
    );
    assert_eq!(tokenizer.token_text(TokenId(151_645)), "<|im_end|>");
    assert!(tokenizer.end_tokens().contains(&TokenId(151_645)));
}

#[test]
fn a_prompts_pieces_make_up_the_prompt_markers_too() {
    let texts = [
        ("qwen2", "<|im_start|>user\ngrüß 🦀 dich<|im_end|>"),
        ("llama-spm", "Hello, 漢字 world"),
        ("llama-spm", "<s>Hello</s>"),
        ("llama-bpe", " a  b"),
    ];
    for (name, text) in texts {
        let Some(tokenizer) = tokenizer(name) else {
            return;
        };
        let tokens = tokenizer
            .encode(text, Specials::Parsed)
            .expect("the text encodes");
        let pieces = tokenizer.prompt_pieces(&tokens);
        assert_eq!(pieces.len(), tokens.len());
        assert_eq!(pieces.concat(), text, "{name}");
    }
    let Some(tokenizer) = tokenizer("qwen2") else {
        return;
    };
    let sign = tokenizer.encode("𓀀", Specials::Parsed).expect("it encodes");
    let pieces = tokenizer.prompt_pieces(&sign);
    assert!(pieces.len() > 1 && pieces.last().is_some_and(|it| it == "𓀀"));
    assert_eq!(tokenizer.prompt_pieces(&sign[..1]), ["\u{fffd}"]);
}

#[test]
fn plain_text_never_becomes_a_control_token() {
    let Some(tokenizer) = tokenizer("llama-spm") else {
        return;
    };
    for text in ["<s>", "</s>", "a</s>b", "<unk>", "<0x0A>"] {
        let tokens = tokenizer
            .encode(text, Specials::Plain)
            .expect("the text encodes");
        assert!(tokens.iter().all(|it| it.0 > 2), "{text}: {tokens:?}");
        assert_eq!(tokenizer.decode(&tokens), text);
    }
}

#[test]
fn a_prompt_begins_with_one_bos_if_its_vocabulary_wants_one() {
    for (name, bos, wants) in [
        ("llama-bpe", 128_000, true),
        ("llama-spm", 1, true),
        ("qwen2", 151_643, false),
    ] {
        let Some(tokenizer) = tokenizer(name) else {
            return;
        };
        let count = |text: &str| {
            let tokens = tokenizer
                .encode_prompt(text, Specials::Parsed)
                .expect("it encodes");
            tokens.iter().filter(|it| **it == TokenId(bos)).count()
        };
        assert_eq!(count("Hello"), usize::from(wants), "{name}");
        assert_eq!(count(""), usize::from(wants), "{name}");
        assert_eq!(
            count(&format!("{}Hello", tokenizer.bos_text())),
            1,
            "{name}"
        );
    }
}

//! A vocabulary of single bytes and a few words, and answers that are forced through a grammar.

use std::sync::{Arc, OnceLock};

use sconce_domain::{Grammar, TokenId};
use sconce_engine::{Constraint, Progress};
use sconce_grammar::{GrammarCompiler, GrammarError};
use sconce_text::{
    EdgeTokens, SpacePrefix, SpecialTokens, TokenClass, Tokenizer, Vocabulary, VocabularyKind,
};

/// Ends an answer.
pub(crate) const END: TokenId = TokenId(256);
/// Tokens of more than one byte.
const WORDS: [&str; 10] = [
    "{\"", "\":", "name", "true", ", ", "}}", "12", "\u{e9}", ">x", ">\n",
];
/// A control token that models write.
pub(crate) const MARK: TokenId = TokenId(TOKENS - 1);
pub(crate) const MARK_TEXT: &str = "<|call|>";
/// How many tokens there are.
pub(crate) const TOKENS: u32 = 256 + 1 + WORDS.len() as u32 + 1;

/// The token of this text.
pub(crate) fn token(text: &str) -> TokenId {
    let word = (0..).zip(WORDS).find(|(_, it)| *it == text);
    let byte = u32::from(text.as_bytes()[0]);
    TokenId(word.map_or(byte, |(index, _)| END.0 + 1 + index))
}

/// What a token adds to the text.
pub(crate) fn bytes(token: TokenId) -> Vec<u8> {
    match (u8::try_from(token.0), token.0.checked_sub(END.0 + 1)) {
        (Ok(byte), _) => vec![byte],
        (_, Some(index)) if token != MARK => WORDS[index as usize].as_bytes().to_vec(),
        _ => Vec::new(),
    }
}

/// A compiler for that vocabulary, shared by all tests.
pub(crate) fn compiler() -> &'static GrammarCompiler {
    static COMPILER: OnceLock<GrammarCompiler> = OnceLock::new();
    COMPILER.get_or_init(|| GrammarCompiler::new(Arc::new(tokenizer())))
}

fn tokenizer() -> Tokenizer {
    let mut tokens: Vec<String> = (0..=255).map(|it| format!("<0x{it:02X}>")).collect();
    let mut classes = vec![TokenClass::Byte; 256];
    tokens.push("</s>".to_owned());
    classes.push(TokenClass::Control);
    for word in WORDS {
        tokens.push(word.replace(' ', "\u{2581}"));
        classes.push(TokenClass::Normal);
    }
    tokens.push(MARK_TEXT.to_owned());
    classes.push(TokenClass::Control);
    let vocabulary = Vocabulary {
        kind: VocabularyKind::SentencePieces {
            scores: vec![0.0; tokens.len()],
            // So that no text is forced into words, and answers can be spelt byte by byte.
            space_prefix: Some(SpacePrefix::EachText),
        },
        tokens,
        classes,
        special: SpecialTokens {
            eos: Some(END),
            ..SpecialTokens::default()
        },
        edges: EdgeTokens::default(),
    };
    Tokenizer::new(vocabulary).expect("the vocabulary is whole")
}

/// What became of an answer that was forced through a grammar byte by byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It was taken, and may end here.
    Taken,
    /// It was taken, and may not end here.
    Unfinished,
    /// The byte at this place was not allowed.
    RefusedAt(usize),
}

/// Forces `answer` through a constraint. Each byte must be allowed before it is accepted.
pub(crate) fn force(constraint: &mut dyn Constraint, answer: &str) -> Fate {
    let mut is_complete = false;
    for (place, byte) in answer.bytes().enumerate() {
        let token = TokenId(u32::from(byte));
        if is_complete || !constraint.mask().expect("it can go on").allows(token) {
            return Fate::RefusedAt(place);
        }
        is_complete =
            constraint.accept(token).expect("what is allowed is taken") == Progress::Complete;
    }
    if is_complete || constraint.mask().expect("it can go on").allows(END) {
        Fate::Taken
    } else {
        Fate::Unfinished
    }
}

/// Forces `answer` through `grammar`.
pub(crate) fn fate(grammar: &Grammar, answer: &str) -> Fate {
    let compiled = compiler().compile(grammar);
    let compiled = compiled.unwrap_or_else(|error| panic!("{grammar:?} is refused: {error}"));
    force(compiled.begin().as_mut(), answer)
}

/// Why `grammar` is refused.
pub(crate) fn refusal(grammar: &Grammar) -> GrammarError {
    match compiler().compile(grammar) {
        Err(error) => error,
        Ok(_) => panic!("{grammar:?} is not refused"),
    }
}

/// A grammar of JSON that fits `text`.
pub(crate) fn schema(text: &str) -> Grammar {
    Grammar::JsonSchema(text.to_owned())
}

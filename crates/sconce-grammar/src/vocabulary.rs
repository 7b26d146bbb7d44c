//! A model's vocabulary as a prefix tree of bytes.

use std::sync::Arc;

use llguidance::toktrie::{INVALID_TOKEN, TokEnv, TokRxInfo, TokTrie, TokenizerEnv};
use sconce_domain::TokenId;
use sconce_text::{Specials, TokenClass, Tokenizer};

use crate::GrammarError;

/// Bytes of the longest token that the tree can hold; longer ones are never drawn in an answer
/// that is held to a grammar.
const TOKEN_BYTES_MAX: usize = 1000;
/// Bytes of all tokens together; the tree has at most a node a byte, and room for four million.
const TOKENS_BYTES_MAX: usize = 4_000_000;

/// The tree, and the tokenizer that says how text is written in its tokens.
struct TokenTree {
    tree: TokTrie,
    tokenizer: Arc<Tokenizer>,
}

impl TokenizerEnv for TokenTree {
    fn tok_trie(&self) -> &TokTrie {
        &self.tree
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<u32> {
        let encode = |text: &str| match self.tokenizer.encode(text, Specials::Plain) {
            Ok(tokens) => tokens.iter().map(|it| it.0).collect(),
            Err(_) => self.tree.greedy_tokenize(text.as_bytes()),
        };
        self.tree.tokenize_with_greedy_fallback(bytes, encode)
    }

    /// Where only one text may follow, the answer has it in the tokens that the model was trained
    /// on, and not in whichever others spell the same. That needs a tokenizer to which the middle
    /// of a text is as good as its beginning.
    fn tokenize_is_canonical(&self) -> bool {
        !self.tokenizer.adds_space_prefix()
    }
}

/// The tokens of `tokenizer`, for the parser to walk.
pub(crate) fn token_tree(tokenizer: &Arc<Tokenizer>) -> Result<TokEnv, GrammarError> {
    let refused = |fact: String| GrammarError::Vocabulary { fact };
    let count = u32::try_from(tokenizer.vocabulary_size())
        .map_err(|_| refused("it has too many tokens".to_owned()))?;
    let words: Vec<Vec<u8>> = (0..count).map(|id| word(tokenizer, TokenId(id))).collect();
    let bytes: usize = words.iter().map(Vec::len).sum();
    if bytes > TOKENS_BYTES_MAX {
        return Err(refused(format!(
            "its tokens have {bytes} bytes, at most {TOKENS_BYTES_MAX} are walked"
        )));
    }
    let mut tree = TokTrie::from(&TokRxInfo::new(count, INVALID_TOKEN), &words);
    let ends: Vec<u32> = tokenizer.end_tokens().iter().map(|it| it.0).collect();
    if !ends.is_empty() {
        tree = tree.with_eos_tokens(&ends);
    }
    let tokenizer = Arc::clone(tokenizer);
    Ok(Arc::new(TokenTree { tree, tokenizer }))
}

/// What a grammar sees of a token. Those that have a part to play begin with a byte that no text
/// has, so that only a grammar that names them can ask for them; those without a text are empty,
/// and no grammar reaches them.
fn word(tokenizer: &Tokenizer, token: TokenId) -> Vec<u8> {
    let bytes = match tokenizer.token_class(token) {
        Some(TokenClass::Control) => {
            let text = tokenizer.token_text(token);
            let mut bytes = vec![TokTrie::SPECIAL_TOKEN_MARKER];
            bytes.extend_from_slice(text.as_bytes());
            bytes
        }
        _ => tokenizer.token_bytes(token).to_vec(),
    };
    if bytes.len() > TOKEN_BYTES_MAX {
        return Vec::new();
    }
    bytes
}

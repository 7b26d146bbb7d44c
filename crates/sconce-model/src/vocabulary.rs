//! The vocabulary and the chat template of a weights file, as the text crate takes them.

use sconce_domain::TokenId;
use sconce_text::{
    EdgeTokens, SpacePrefix, SpecialTokens, TokenClass, TokenizerModel, Vocabulary, VocabularyKind,
};

use crate::claims::TensorRole;
use crate::gguf::{GgufFile, Metadata};
use crate::load_error::{LoadError, LoadFault};

const TOKENS: &str = "tokenizer.ggml.tokens";

/// The file's vocabulary: one token for each row of the embedding, one class for each token, and
/// every special token inside it.
pub fn vocabulary_of(file: &GgufFile) -> Result<Vocabulary, LoadError> {
    let metadata = file.metadata();
    let tokens: Vec<&str> = metadata.get(TOKENS)?;
    check_size(file, tokens.len())?;
    Ok(Vocabulary {
        kind: kind(metadata, tokens.len())?,
        classes: classes(metadata, tokens.len())?,
        special: special_tokens(metadata, tokens.len())?,
        edges: EdgeTokens {
            adds_bos: metadata.find("tokenizer.ggml.add_bos_token")?,
            adds_eos: metadata.find("tokenizer.ggml.add_eos_token")?,
        },
        tokens: tokens.into_iter().map(str::to_owned).collect(),
    })
}

/// The source of the file's chat template, if it has one. It is foreign code: compile it with the
/// text crate, which bounds what it may use.
pub fn chat_template_of(file: &GgufFile) -> Result<Option<&str>, LoadError> {
    file.metadata().find("tokenizer.chat_template")
}

/// A file without any weights has no embedding to compare with.
fn check_size(file: &GgufFile, tokens: usize) -> Result<(), LoadError> {
    let embedding = file.find_tensor(&TensorRole::Embedding.name());
    let rows = embedding
        .and_then(|it| it.shape.first().copied())
        .unwrap_or(tokens);
    if tokens == 0 || tokens != rows {
        let what = format!("it has {tokens} tokens, but the embedding has {rows} rows");
        return Err(LoadFault::Vocabulary(what).in_file(file.path()));
    }
    Ok(())
}

fn kind(metadata: &Metadata, tokens: usize) -> Result<VocabularyKind, LoadError> {
    let name: &str = metadata.get("tokenizer.ggml.model")?;
    let model = TokenizerModel::parse(name)
        .map_err(|error| LoadFault::Vocabulary(error.to_string()).in_file(metadata.file()))?;
    match model {
        TokenizerModel::BytePairs => {
            let merges: Vec<&str> = metadata.get("tokenizer.ggml.merges")?;
            let pre_tokenizer: Option<&str> = metadata.find("tokenizer.ggml.pre")?;
            Ok(VocabularyKind::BytePairs {
                merges: merges.into_iter().map(str::to_owned).collect(),
                pre_tokenizer: pre_tokenizer.unwrap_or_default().to_owned(),
            })
        }
        TokenizerModel::SentencePieces => {
            let key = "tokenizer.ggml.scores";
            let scores: Vec<f32> = metadata.get(key)?;
            check_length(metadata, key, (scores.len(), tokens))?;
            let adds: Option<bool> = metadata.find("tokenizer.ggml.add_space_prefix")?;
            Ok(VocabularyKind::SentencePieces {
                scores,
                space_prefix: adds.map(|it| match it {
                    true => SpacePrefix::EachText,
                    false => SpacePrefix::Absent,
                }),
            })
        }
    }
}

/// A file without classes has ordinary tokens only.
fn classes(metadata: &Metadata, tokens: usize) -> Result<Vec<TokenClass>, LoadError> {
    let key = "tokenizer.ggml.token_type";
    let Some(numbers) = metadata.find::<Vec<i64>>(key)? else {
        return Ok(vec![TokenClass::Normal; tokens]);
    };
    check_length(metadata, key, (numbers.len(), tokens))?;
    let class = |(token, number): (usize, i64)| {
        let class = i32::try_from(number).ok().and_then(TokenClass::from_number);
        class.ok_or_else(|| {
            metadata.bad_value(
                key,
                "1 to 6 for each token",
                format!("{number} for token {token}"),
            )
        })
    };
    numbers.into_iter().enumerate().map(class).collect()
}

fn check_length(
    metadata: &Metadata,
    key: &str,
    (found, tokens): (usize, usize),
) -> Result<(), LoadError> {
    if found == tokens {
        return Ok(());
    }
    let wanted = format!("one element for each of the {tokens} tokens");
    Err(metadata.bad_value(key, wanted, format!("an array of {found}")))
}

fn special_tokens(metadata: &Metadata, tokens: usize) -> Result<SpecialTokens, LoadError> {
    let find = |name: &str| {
        let key = format!("tokenizer.ggml.{name}_token_id");
        match metadata.find::<u32>(&key)? {
            Some(id) if id as usize >= tokens => {
                Err(metadata.bad_value(&key, format!("an id below the {tokens} tokens"), id))
            }
            found => Ok(found.map(TokenId)),
        }
    };
    Ok(SpecialTokens {
        bos: find("bos")?,
        eos: find("eos")?,
        eot: find("eot")?,
        eom: find("eom")?,
        unknown: find("unknown")?,
        padding: find("padding")?,
    })
}

//! `tokenizer.json` and what lies beside it, as the text crate takes them.

use std::path::Path;

use sconce_domain::TokenId;
use sconce_text::{
    CutStep, EdgeTokens, SpacePrefix, SpecialTokens, TokenClass, Vocabulary, VocabularyKind,
    pre_tokenizer_of,
};
use serde::Deserialize;
use serde_json::Value as Json;

use super::{broken, config, object_of, text_of};
use crate::load_error::LoadError;

const FILE: &str = "tokenizer.json";
const SETTINGS: &str = "tokenizer_config.json";
const GENERATION: &str = "generation_config.json";
const TEMPLATE: &str = "chat_template.jinja";
/// The score of a piece that no merge makes: below that of any merge.
const SCORE_OF_UNMADE: f32 = -1e9;

type Object = serde_json::Map<String, Json>;

/// `tokenizer.json`, as far as it decides what is text and what is a token.
#[derive(Debug, Deserialize)]
struct Description {
    #[serde(default)]
    added_tokens: Vec<Added>,
    normalizer: Option<Json>,
    pre_tokenizer: Option<Json>,
    post_processor: Option<Json>,
    model: Model,
}

#[derive(Debug, Deserialize)]
struct Added {
    id: u32,
    content: String,
    #[serde(default)]
    special: bool,
}

#[derive(Debug, Deserialize)]
struct Model {
    #[serde(rename = "type")]
    kind: Option<String>,
    vocab: std::collections::BTreeMap<String, u32>,
    #[serde(default)]
    merges: Vec<Merge>,
    #[serde(default)]
    byte_fallback: bool,
    unk_token: Option<String>,
}

/// Two tokens, in the old form with a space between them.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Merge {
    Joined(String),
    Pair(String, String),
}

impl Merge {
    fn joined(&self) -> String {
        match self {
            Self::Joined(pair) => pair.clone(),
            Self::Pair(left, right) => format!("{left} {right}"),
        }
    }

    fn made(&self) -> String {
        match self {
            Self::Joined(pair) => pair.replacen(' ', "", 1),
            Self::Pair(left, right) => format!("{left}{right}"),
        }
    }
}

/// The folder's chat template: a file of its own, or the default one of the tokenizer's settings.
pub(super) fn chat_template(folder: &Path) -> Result<Option<String>, LoadError> {
    if let Some(text) = text_of(folder, TEMPLATE)? {
        return Ok(Some(text));
    }
    let settings = object_of(folder, SETTINGS)?.unwrap_or_default();
    Ok(match settings.get("chat_template") {
        Some(Json::String(text)) => Some(text.clone()),
        Some(Json::Array(named)) => {
            let is_default = |it: &&Json| it["name"].as_str() == Some("default");
            let default = named.iter().find(is_default);
            default.and_then(|it| it["template"].as_str().map(str::to_owned))
        }
        _ => None,
    })
}

/// The folder's vocabulary, for an embedding of so many rows: rows without a token are kept free.
pub(super) fn vocabulary(folder: &Path, rows: usize) -> Result<Vocabulary, LoadError> {
    let bad = |what: String| broken(folder, FILE, what);
    let text = text_of(folder, FILE)?.ok_or_else(|| bad("there is no such file".to_owned()))?;
    let description: Description =
        serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
    let is_byte_pairs = description.model.kind.as_deref().unwrap_or("BPE") == "BPE";
    if !is_byte_pairs {
        let kind = description.model.kind.unwrap_or_default();
        return Err(bad(format!("its model is {kind:?}, wanted \"BPE\"")));
    }
    let tokens = tokens(&description, rows).map_err(bad)?;
    let classes = classes(&description, &tokens);
    let settings = object_of(folder, SETTINGS)?.unwrap_or_default();
    let find = |text: &str| tokens.iter().position(|it| it == text);
    let special = special_tokens(folder, (&description, &settings), &find)?;
    Ok(Vocabulary {
        kind: kind(&description, &tokens).map_err(bad)?,
        edges: edges(&description, &settings),
        classes,
        special,
        tokens,
    })
}

fn tokens(description: &Description, rows: usize) -> Result<Vec<String>, String> {
    let mut tokens: Vec<Option<String>> = vec![None; rows];
    let added = description.added_tokens.iter();
    let added = added.map(|it| (&it.content, it.id));
    let own = description.model.vocab.iter().map(|(it, id)| (it, *id));
    for (text, id) in own.chain(added) {
        let place = tokens.get_mut(id as usize);
        let place = place.ok_or_else(|| {
            format!("token {text:?} has id {id}, but the embedding has {rows} rows")
        })?;
        match place {
            Some(other) if other != text => {
                return Err(format!("tokens {other:?} and {text:?} share id {id}"));
            }
            _ => *place = Some(text.clone()),
        }
    }
    let free = |(id, text): (usize, Option<String>)| text.unwrap_or_else(|| free_place(id));
    Ok(tokens.into_iter().enumerate().map(free).collect())
}

/// What a row of the embedding is called that has no token.
fn free_place(id: usize) -> String {
    format!("[PAD{id}]")
}

fn classes(description: &Description, tokens: &[String]) -> Vec<TokenClass> {
    let model = &description.model;
    let is_byte = |it: &str| it.len() == 6 && it.starts_with("<0x") && it.ends_with('>');
    let class = |(id, text): (usize, &String)| match text {
        _ if model.unk_token.as_ref() == Some(text) => TokenClass::Unknown,
        _ if model.byte_fallback && is_byte(text) => TokenClass::Byte,
        _ if *text == free_place(id) && !model.vocab.contains_key(text) => TokenClass::Unused,
        _ => TokenClass::Normal,
    };
    let mut classes: Vec<_> = tokens.iter().enumerate().map(class).collect();
    for added in &description.added_tokens {
        let class = &mut classes[added.id as usize];
        if *class != TokenClass::Unknown {
            *class = match added.special {
                true => TokenClass::Control,
                false => TokenClass::UserDefined,
            };
        }
    }
    classes
}

fn kind(description: &Description, tokens: &[String]) -> Result<VocabularyKind, String> {
    let model = &description.model;
    let steps = steps(description.pre_tokenizer.as_ref());
    if !model.byte_fallback {
        let normalizer = description.normalizer.as_ref();
        if let Some(other) = normalizer.filter(|it| !it.is_null() && it["type"] != "NFC") {
            let kind = &other["type"];
            return Err(format!("its normalizer is {kind}, wanted none or NFC"));
        }
        let cuts = cuts(&steps);
        let found = cuts.as_deref().and_then(pre_tokenizer_of);
        let name = found.ok_or_else(|| {
            let kinds: Vec<String> = steps.iter().map(|it| it["type"].to_string()).collect();
            let kinds = kinds.join(", ");
            format!("its pre_tokenizer ({kinds}) cuts words in a way that is not known here")
        })?;
        return Ok(VocabularyKind::BytePairs {
            merges: model.merges.iter().map(Merge::joined).collect(),
            pre_tokenizer: name.to_owned(),
        });
    }
    let mut scores: std::collections::HashMap<String, f32> = std::collections::HashMap::new();
    for (rank, merge) in model.merges.iter().enumerate() {
        scores.entry(merge.made()).or_insert(-(rank as f32));
    }
    let score = |it: &String| scores.get(it).copied().unwrap_or(SCORE_OF_UNMADE);
    Ok(VocabularyKind::SentencePieces {
        scores: tokens.iter().map(score).collect(),
        space_prefix: Some(space_prefix(description, &steps)?),
    })
}

/// A tokenizer's steps, one or a sequence.
fn steps(described: Option<&Json>) -> Vec<&Json> {
    let Some(described) = described.filter(|it| !it.is_null()) else {
        return Vec::new();
    };
    let parts = ["pretokenizers", "normalizers", "processors"];
    let parts = parts.iter().find_map(|it| described[*it].as_array());
    parts.map_or_else(|| vec![described], |it| it.iter().collect())
}

/// The steps that cut words, if all are known.
fn cuts(steps: &[&Json]) -> Option<Vec<CutStep>> {
    let mut cuts = Vec::new();
    for step in steps {
        match step["type"].as_str()? {
            "Split" if step["behavior"] == "Isolated" && step["invert"] != true => {
                let pattern = step["pattern"]["Regex"].as_str()?;
                cuts.push(CutStep::Pattern(pattern.to_owned()));
            }
            "Digits" if step["individual_digits"] == true => cuts.push(CutStep::Digits),
            "ByteLevel" if step["add_prefix_space"] == true => return None,
            "ByteLevel" if step["use_regex"] != false => cuts.push(CutStep::ByteLevel),
            "ByteLevel" => {}
            _ => return None,
        }
    }
    Some(cuts)
}

/// Which texts begin with a space that is not their own.
fn space_prefix(
    description: &Description,
    pre_tokenizers: &[&Json],
) -> Result<SpacePrefix, String> {
    let normalizers = steps(description.normalizer.as_ref());
    let of = |steps: &[&Json], kind: &str| steps.iter().any(|it| it["type"] == kind);
    let kinds = normalizers.iter().chain(pre_tokenizers);
    let mut kinds = kinds.map(|it| it["type"].as_str().unwrap_or_default());
    if let Some(other) = kinds.find(|it| !["Prepend", "Replace", "Metaspace"].contains(it)) {
        return Err(format!(
            "its step {other:?} is not known beside byte fallback"
        ));
    }
    if of(&normalizers, "Prepend") {
        return Ok(SpacePrefix::EachText);
    }
    let metaspace = pre_tokenizers.iter().find(|it| it["type"] == "Metaspace");
    let Some(metaspace) = metaspace else {
        return Ok(SpacePrefix::Absent);
    };
    match (metaspace["prepend_scheme"].as_str(), &metaspace["split"]) {
        (Some("first"), Json::Bool(false)) => Ok(SpacePrefix::FirstText),
        (Some("never"), Json::Bool(false)) => Ok(SpacePrefix::Absent),
        (scheme, split) => Err(format!(
            "its Metaspace has prepend_scheme {scheme:?} and split {split}, wanted first or never, \
             and false"
        )),
    }
}

/// What is put around a text: by the template of the post-processor, or by the settings.
fn edges(description: &Description, settings: &Object) -> EdgeTokens {
    let processors = steps(description.post_processor.as_ref());
    let template = processors.iter().find_map(|it| it["single"].as_array());
    let setting = |key: &str| settings.get(key).and_then(Json::as_bool);
    let Some(template) = template else {
        return EdgeTokens {
            adds_bos: Some(setting("add_bos_token").unwrap_or(false)),
            adds_eos: Some(setting("add_eos_token").unwrap_or(false)),
        };
    };
    let is_special = |it: Option<&Json>| it.is_some_and(|it| it.get("SpecialToken").is_some());
    EdgeTokens {
        adds_bos: Some(is_special(template.first())),
        adds_eos: Some(is_special(template.last())),
    }
}

fn special_tokens(
    folder: &Path,
    (description, settings): (&Description, &Object),
    find: &dyn Fn(&str) -> Option<usize>,
) -> Result<SpecialTokens, LoadError> {
    let named = |key: &str| {
        let token = settings.get(key)?;
        let text = token.as_str().or_else(|| token["content"].as_str())?;
        find(text).map(|it| TokenId(it as u32))
    };
    let mut stated = Vec::new();
    for file in [GENERATION, config::FILE] {
        let object = object_of(folder, file)?.unwrap_or_default();
        match object.get("eos_token_id") {
            Some(Json::Array(ids)) => stated.extend(ids.clone()),
            Some(id) => stated.push(id.clone()),
            None => {}
        }
    }
    let mut ends: Vec<TokenId> = named("eos_token").into_iter().collect();
    for id in stated.iter().filter_map(Json::as_u64) {
        let id = TokenId(u32::try_from(id).unwrap_or(u32::MAX));
        if !ends.contains(&id) {
            ends.push(id);
        }
    }
    let unknown = description.model.unk_token.as_deref().and_then(find);
    Ok(SpecialTokens {
        bos: named("bos_token"),
        eos: ends.first().copied(),
        eot: ends.get(1).copied(),
        eom: ends.get(2).copied(),
        unknown: unknown.map(|it| TokenId(it as u32)),
        padding: named("pad_token"),
    })
}

#[cfg(test)]
mod tests {
    use sconce_text::{Specials, Tokenizer};

    use super::*;

    /// What the library that publishes `tokenizer.json` makes of texts, by a file that it wrote.
    /// `make_tokenizers.py` beside it tells how.
    #[test]
    fn texts_become_the_tokens_that_the_publishing_library_makes_of_them() {
        let fixture: Json = serde_json::from_str(include_str!("fixtures/tokenizers.json")).unwrap();
        let cases = fixture["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 4);
        for case in cases {
            let folder = tempfile::tempdir().unwrap();
            let text = case["tokenizer"].to_string();
            std::fs::write(folder.path().join(FILE), text).unwrap();
            let settings = r#"{"bos_token": "<s>", "eos_token": "</s>"}"#;
            std::fs::write(folder.path().join(SETTINGS), settings).unwrap();
            let vocabulary = vocabulary(folder.path(), 400).unwrap();
            let has_template = !case["tokenizer"]["post_processor"].is_null();
            assert_eq!(vocabulary.edges.adds_bos, Some(has_template));
            let bos = vocabulary.special.bos.map(|it| it.0);
            let tokenizer = Tokenizer::new(vocabulary).unwrap();
            for encoded in case["encoded"].as_array().unwrap() {
                let text = encoded["text"].as_str().unwrap();
                let mut wanted: Vec<_> = encoded["tokens"].as_array().unwrap().iter().collect();
                if has_template {
                    assert_eq!(wanted.remove(0).as_u64(), bos.map(u64::from));
                }
                let found = tokenizer.encode(text, Specials::Parsed).unwrap();
                let found: Vec<Json> = found.iter().map(|it| Json::from(it.0)).collect();
                let found: Vec<_> = found.iter().collect();
                assert_eq!(found, wanted, "{} {text:?}", case["name"]);
            }
        }
    }

    fn refusal(change: impl Fn(&mut Json)) -> String {
        let fixture: Json = serde_json::from_str(include_str!("fixtures/tokenizers.json")).unwrap();
        let mut tokenizer = fixture["cases"][0]["tokenizer"].clone();
        change(&mut tokenizer);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), tokenizer.to_string()).unwrap();
        vocabulary(folder.path(), 400)
            .unwrap_err()
            .fault
            .to_string()
    }

    #[test]
    fn a_tokenizer_that_would_be_read_wrongly_is_refused() {
        let message = refusal(|it| it["model"]["type"] = "WordPiece".into());
        assert!(message.contains("WordPiece"), "{message}");
        let message = refusal(|it| it["normalizer"] = serde_json::json!({"type": "Lowercase"}));
        assert!(message.contains("Lowercase"), "{message}");
        let message = refusal(|it| {
            it["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = r"\w+".into();
        });
        assert!(message.contains("cuts words in a way"), "{message}");
        let message = refusal(|it| it["added_tokens"][0]["id"] = 4000.into());
        assert!(message.contains("has id 4000"), "{message}");
        let message = refusal(|it| it["added_tokens"][0]["id"] = 7.into());
        assert!(message.contains("share id 7"), "{message}");
        let message = refusal(|it| it["model"] = Json::Null);
        assert!(message.contains("tokenizer.json"), "{message}");
    }
}

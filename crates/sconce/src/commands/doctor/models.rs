//! What each model of the catalog needs.

use sconce_catalog::{Catalog, ModelCache, ModelCard, ModelKind};
use sconce_model::{ArchSpec, Decoder, GgufFile, KvType, spec_for};
use serde_json::{Value, json};

use crate::arguments::STEP_TOKENS_MAX;
use crate::output::{bytes_text, count_text};
use crate::sizing::{self, KvShape};

/// A model and what it needs, if its file is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ModelNeeds {
    name: String,
    file_bytes: u64,
    state: State,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    NotFetched,
    /// It is here and cannot be served; why.
    Unusable(String),
    Here(Needs),
    /// It is here and keeps nothing between two texts.
    Encoder,
}

/// What a model takes of the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Needs {
    weight_bytes: u64,
    /// Tokens that prompt and answer may have together, by the model.
    context: u32,
    kv: KvNeeds,
}

/// What a model takes of its KV cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct KvNeeds {
    bytes_per_token: u64,
    /// What a whole context takes of it: fewer tokens than it has where layers have a window.
    tokens_for_context: u32,
}

impl KvNeeds {
    fn of(spec: &ArchSpec) -> Self {
        let shape = KvShape::of(spec, KvType::F16, STEP_TOKENS_MAX.get());
        Self {
            bytes_per_token: shape.bytes_per_token(),
            tokens_for_context: shape.tokens_for_context(),
        }
    }
}

/// Looks at the models that have a card.
pub(super) fn of_catalog(cache: &ModelCache) -> Vec<ModelNeeds> {
    let catalog = Catalog::builtin();
    let look = |card: &ModelCard| ModelNeeds {
        name: card.name.clone(),
        file_bytes: card.bytes,
        state: if catalog.is_cached(card, cache) {
            look_into(card, cache)
        } else {
            State::NotFetched
        },
    };
    catalog.cards().iter().map(look).collect()
}

fn look_into(card: &ModelCard, cache: &ModelCache) -> State {
    if card.kind == ModelKind::Encoder {
        return State::Encoder;
    }
    let opened = GgufFile::open(cache.card_path(card));
    let found = opened.and_then(|file| {
        let spec = spec_for(&file)?;
        let weight_bytes = Decoder::weight_bytes(&file, &spec)?;
        Ok((spec, weight_bytes))
    });
    match found {
        Err(error) => State::Unusable(error.to_string()),
        Ok((spec, weight_bytes)) => State::Here(Needs {
            weight_bytes,
            context: spec.context.0,
            kv: KvNeeds::of(&spec),
        }),
    }
}

impl Needs {
    /// Tokens of the cache that a server takes by itself.
    fn tokens_by_default(self, affordable: Option<u64>) -> u64 {
        sizing::kv_tokens(
            self.kv.tokens_for_context,
            self.kv.bytes_per_token,
            affordable,
        )
        .into()
    }

    /// Tokens that the cache could have where the weights are in memory too.
    fn tokens_that_fit(self, affordable: Option<u64>) -> Option<u64> {
        let left = affordable?.saturating_sub(self.weight_bytes);
        left.checked_div(self.kv.bytes_per_token)
    }
}

impl ModelNeeds {
    pub(super) fn json(&self, affordable: Option<u64>) -> Value {
        let (name, file_bytes) = (&self.name, self.file_bytes);
        match &self.state {
            State::NotFetched => json!({"name": name, "file_bytes": file_bytes, "is_here": false}),
            State::Unusable(why) => {
                json!({"name": name, "file_bytes": file_bytes, "is_here": true, "fault": why})
            }
            State::Encoder => json!({
                "name": name,
                "file_bytes": file_bytes,
                "is_here": true,
                "weight_bytes": file_bytes,
            }),
            State::Here(needs) => json!({
                "name": name,
                "file_bytes": file_bytes,
                "is_here": true,
                "weight_bytes": needs.weight_bytes,
                "context_tokens": needs.context,
                "kv_bytes_per_token": needs.kv.bytes_per_token,
                "kv_tokens_for_context": needs.kv.tokens_for_context,
                "kv_tokens_by_default": needs.tokens_by_default(affordable),
                "kv_tokens_that_fit": needs.tokens_that_fit(affordable),
            }),
        }
    }

    pub(super) fn lines(&self, affordable: Option<u64>) -> Vec<String> {
        let name = &self.name;
        match &self.state {
            State::NotFetched => vec![format!(
                "  {name}: not fetched, {}",
                bytes_text(self.file_bytes)
            )],
            State::Unusable(why) => vec![format!("  {name}: cannot be served: {why}")],
            State::Encoder => vec![format!(
                "  {name}: weights {}, an encoder without a KV cache",
                bytes_text(self.file_bytes)
            )],
            State::Here(needs) => needs.lines(name, affordable),
        }
    }
}

impl Needs {
    fn lines(self, name: &str, affordable: Option<u64>) -> Vec<String> {
        let by_default = self.tokens_by_default(affordable);
        let takes = self.weight_bytes + by_default * self.kv.bytes_per_token;
        let fit = match self.tokens_that_fit(affordable) {
            None => String::new(),
            Some(0) => "; its weights alone do not fit".to_owned(),
            Some(tokens) => format!("; at most {} fit", count_text(tokens)),
        };
        let whole = self.kv.tokens_for_context;
        let windows = if whole < self.context {
            format!(
                "; a whole context takes {} of them",
                count_text(whole.into())
            )
        } else {
            String::new()
        };
        vec![
            format!(
                "  {name}: weights {}, context {}, {} bytes of KV cache a token{windows}",
                bytes_text(self.weight_bytes),
                count_text(self.context.into()),
                count_text(self.kv.bytes_per_token),
            ),
            format!(
                "    a cache of {} tokens by default, {} with the weights{fit}",
                count_text(by_default),
                bytes_text(takes),
            ),
        ]
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn needs() -> Needs {
        Needs {
            weight_bytes: 100_000_000,
            context: 8_192,
            kv: KvNeeds {
                bytes_per_token: 20_000,
                tokens_for_context: 8_192,
            },
        }
    }

    pub(crate) fn tiny() -> ModelNeeds {
        ModelNeeds {
            name: "tiny".to_owned(),
            file_bytes: 100_000_000,
            state: State::Here(needs()),
        }
    }

    #[test]
    fn what_fits_is_what_the_weights_leave() {
        let told = tiny().lines(Some(9_000_000_000)).join("\n");
        assert_eq!(
            told,
            "  tiny: weights 100 MB, context 8,192, 20,000 bytes of KV cache a token\n    \
             a cache of 32,768 tokens by default, 755 MB with the weights; at most 445,000 fit"
        );
        assert_eq!(needs().tokens_that_fit(Some(99)), Some(0));
        assert_eq!(needs().tokens_that_fit(None), None);
        let json = tiny().json(Some(9_000_000_000));
        assert_eq!(json["kv_tokens_that_fit"], 445_000);
        assert_eq!(json["kv_tokens_by_default"], 32_768);
    }

    #[test]
    fn a_model_that_is_not_here_or_cannot_be_served_says_so() {
        let with = |state| ModelNeeds { state, ..tiny() };
        let lines = with(State::NotFetched).lines(None);
        assert_eq!(lines, ["  tiny: not fetched, 100 MB"]);
        let unusable = with(State::Unusable("it is torn".to_owned()));
        assert_eq!(
            unusable.lines(None),
            ["  tiny: cannot be served: it is torn"]
        );
        assert_eq!(unusable.json(None)["fault"], "it is torn");
        assert_eq!(with(State::NotFetched).json(None)["is_here"], false);
        let encoder = with(State::Encoder);
        assert!(encoder.lines(None)[0].ends_with("100 MB, an encoder without a KV cache"));
        assert_eq!(encoder.json(None)["weight_bytes"], 100_000_000);
    }
}

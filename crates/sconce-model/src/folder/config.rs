//! `config.json` in the words of GGUF's metadata. What would change the arithmetic and is not honoured
//! is refused by its name.

use std::path::{Path, PathBuf};

use candle_core::quantized::gguf_file::Value;
use serde_json::Value as Json;

use super::{broken, object_of};
use crate::families::{BANDS, family_of_model_type};
use crate::load_error::LoadError;

/// The file that describes a model.
pub(super) const FILE: &str = "config.json";

/// Numbers that GGUF has under another name, and whether they are whole.
const SIZES: [(&str, &str); 8] = [
    ("num_hidden_layers", "block_count"),
    ("max_position_embeddings", "context_length"),
    ("hidden_size", "embedding_length"),
    ("intermediate_size", "feed_forward_length"),
    ("num_attention_heads", "attention.head_count"),
    ("num_key_value_heads", "attention.head_count_kv"),
    ("head_dim", "attention.key_length"),
    ("head_dim", "attention.value_length"),
];

/// Keys, and what each is where it asks for nothing.
const NEUTRAL: [(&str, &[&str]); 7] = [
    ("hidden_act", &["\"silu\""]),
    ("attention_multiplier", &[]),
    ("attn_logit_softcapping", &[]),
    ("final_logit_softcapping", &[]),
    ("quantization_config", &[]),
    ("num_experts", &["0"]),
    ("num_local_experts", &["0"]),
];

type Object = serde_json::Map<String, Json>;
type Entries = Vec<(String, Value)>;

/// A folder's description.
#[derive(Debug)]
pub(super) struct Config {
    folder: PathBuf,
    json: Object,
    family: &'static str,
}

impl Config {
    /// Reads the description of a model that continues texts.
    pub(super) fn read(folder: &Path) -> Result<Self, LoadError> {
        let missing = || broken(folder, FILE, "there is no such file");
        let json = object_of(folder, FILE)?.ok_or_else(missing)?;
        let model_type = json.get("model_type").and_then(Json::as_str);
        let family = family_of_model_type(model_type.unwrap_or_default())
            .map_err(|fault| fault.in_file(folder))?;
        let config = Self {
            folder: folder.to_owned(),
            json,
            family,
        };
        config.check_purpose()?;
        Ok(config)
    }

    /// The family in GGUF's words.
    pub(super) fn family(&self) -> &'static str {
        self.family
    }

    /// Whether the embedding is said to serve as head.
    pub(super) fn ties_head(&self) -> bool {
        self.json.get("tie_word_embeddings") == Some(&Json::Bool(true))
    }

    fn check_purpose(&self) -> Result<(), LoadError> {
        let purposes = self.json.get("architectures").and_then(Json::as_array);
        let is_other = |it: &Json| !it.as_str().is_some_and(|it| it.ends_with("ForCausalLM"));
        if let Some(other) = purposes.and_then(|it| it.iter().find(|it| is_other(it))) {
            return Err(self.bad("architectures", "of models that continue texts", other));
        }
        for (key, neutral) in NEUTRAL {
            let found = self.json.get(key).filter(|it| !it.is_null());
            if let Some(found) = found.filter(|it| !neutral.contains(&it.to_string().as_str())) {
                return Err(self.bad(key, "something that is computed with here", found));
            }
        }
        Ok(())
    }

    /// Everything as GGUF would have it.
    pub(super) fn entries(&self) -> Result<Entries, LoadError> {
        let mut entries = Vec::new();
        for (key, name) in SIZES {
            let found = self.whole(&self.json, key)?;
            entries.extend(found.map(|it| (name, Value::U32(it))));
        }
        let epsilon = self.number(&self.json, "rms_norm_eps")?;
        entries.extend(epsilon.map(|it| ("attention.layer_norm_rms_epsilon", Value::F32(it))));
        entries.extend(self.rope()?);
        entries.extend(self.windows()?);
        let named = |(name, value)| (format!("{}.{name}", self.family), value);
        Ok(entries.into_iter().map(named).collect())
    }

    /// Base and stretch, in the form of transformers 4 or of 5.
    fn rope(&self) -> Result<Vec<(&'static str, Value)>, LoadError> {
        let object = |key: &str| self.json.get(key).and_then(Json::as_object);
        let empty = Object::new();
        let newer = object("rope_parameters");
        let stretch = newer.or_else(|| object("rope_scaling")).unwrap_or(&empty);
        let mut entries = Vec::new();
        let base = match newer {
            Some(newer) => self.number(newer, "rope_theta")?,
            None => self.number(&self.json, "rope_theta")?,
        };
        entries.extend(base.map(|it| ("rope.freq_base", Value::F32(it))));
        for place in [&self.json, stretch] {
            let share = place.get("partial_rotary_factor");
            let share = share.filter(|it| !it.is_null() && it.as_f64() != Some(1.0));
            if let Some(share) = share {
                return Err(self.bad("partial_rotary_factor", "1", share));
            }
        }
        let kind = stretch.get("rope_type").or_else(|| stretch.get("type"));
        let kind = match kind.map(Json::as_str) {
            None | Some(Some("default")) => return Ok(entries),
            Some(Some(kind @ ("linear" | "yarn"))) => kind,
            Some(Some(BANDS)) => "bands",
            Some(_) => {
                let found = kind.unwrap_or(&Json::Null);
                let wanted = format!("default, linear, {BANDS} or yarn");
                return Err(self.bad("rope_type", &wanted, found));
            }
        };
        entries.push(("rope.scaling.type", Value::String(kind.to_owned())));
        entries.extend(self.stretch(kind, stretch)?);
        Ok(entries)
    }

    fn stretch(
        &self,
        kind: &str,
        stretch: &Object,
    ) -> Result<Vec<(&'static str, Value)>, LoadError> {
        const NUMBERS: [(&str, &str); 6] = [
            ("factor", "rope.scaling.factor"),
            ("attention_factor", "rope.scaling.attn_factor"),
            ("beta_fast", "rope.scaling.yarn_beta_fast"),
            ("beta_slow", "rope.scaling.yarn_beta_slow"),
            ("low_freq_factor", "rope.scaling.low_freq_factor"),
            ("high_freq_factor", "rope.scaling.high_freq_factor"),
        ];
        for (key, neutral) in [
            ("truncate", Json::Bool(true)),
            ("mscale", Json::Null),
            ("mscale_all_dim", Json::Null),
        ] {
            let found = stretch.get(key).filter(|it| !it.is_null());
            if let Some(found) = found.filter(|it| **it != neutral) {
                return Err(self.bad(key, "absent", found));
            }
        }
        let mut entries = Vec::new();
        for (key, name) in NUMBERS {
            // The whole magnitude is stated, where GGUF has what it is multiplied with.
            let found = match self.number(stretch, key)? {
                Some(magnitude) if key == "attention_factor" => {
                    Some(magnitude / self.magnitude(kind, stretch)?)
                }
                found => found,
            };
            entries.extend(found.map(|it| (name, Value::F32(it))));
        }
        let original = "original_max_position_embeddings";
        let learned = match self.whole(stretch, original)? {
            Some(stated) => Some(stated),
            None => self.whole(&self.json, original)?,
        };
        let learned = match learned {
            Some(learned) => Some(learned),
            None => self.whole(&self.json, "max_position_embeddings")?,
        };
        let name = "rope.scaling.original_context_length";
        entries.extend(learned.map(|it| (name, Value::U32(it))));
        Ok(entries)
    }

    /// What a stretch multiplies by itself. Source: Peng et al. 2023, "YaRN", equation 22.
    fn magnitude(&self, kind: &str, stretch: &Object) -> Result<f32, LoadError> {
        let factor = self.number(stretch, "factor")?.unwrap_or(1.0);
        match kind {
            "yarn" if factor > 1.0 => Ok(0.1 * factor.ln() + 1.0),
            _ => Ok(1.0),
        }
    }

    /// The window, and which layers have it.
    fn windows(&self) -> Result<Vec<(&'static str, Value)>, LoadError> {
        let is_off = self.json.get("use_sliding_window") == Some(&Json::Bool(false));
        let window = self.whole(&self.json, "sliding_window")?;
        let Some(window) = window.filter(|it| *it > 0 && !is_off) else {
            return Ok(Vec::new());
        };
        let mut entries = vec![("attention.sliding_window", Value::U32(window))];
        let Some(kinds) = self.json.get("layer_types").and_then(Json::as_array) else {
            return Ok(entries);
        };
        let has_window = |it: &Json| it.as_str() == Some("sliding_attention");
        if kinds.iter().all(|it| !has_window(it)) {
            return Ok(Vec::new());
        }
        if !kinds.iter().all(has_window) {
            let each = kinds.iter().map(|it| Value::Bool(has_window(it))).collect();
            entries.push(("attention.sliding_window_pattern", Value::Array(each)));
        }
        Ok(entries)
    }

    fn whole(&self, object: &Object, key: &str) -> Result<Option<u32>, LoadError> {
        let Some(found) = object.get(key).filter(|it| !it.is_null()) else {
            return Ok(None);
        };
        let whole = found.as_u64().and_then(|it| u32::try_from(it).ok());
        let wanted = "an integer from 0 to 4294967295";
        whole.map(Some).ok_or_else(|| self.bad(key, wanted, found))
    }

    fn number(&self, object: &Object, key: &str) -> Result<Option<f32>, LoadError> {
        let Some(found) = object.get(key).filter(|it| !it.is_null()) else {
            return Ok(None);
        };
        let number = found.as_f64().map(|it| it as f32);
        let number = number.filter(|it| it.is_finite());
        number
            .map(Some)
            .ok_or_else(|| self.bad(key, "a finite number", found))
    }

    fn bad(&self, key: &str, wanted: &str, found: &Json) -> LoadError {
        let mut found = found.to_string();
        if found.chars().count() > 60 {
            found = found.chars().take(60).chain("…".chars()).collect();
        }
        broken(
            &self.folder,
            FILE,
            format!("{key} is {found}, wanted {wanted}"),
        )
    }
}

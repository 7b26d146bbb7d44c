//! Keys of a checkpoint that change the arithmetic of some families. A family takes those that it
//! honours; what nobody took and is not neutral is refused, since ignoring it would give a quietly
//! different model.

use crate::gguf::{Metadata, MetadataValue};
use crate::load_error::{LoadError, LoadFault};

/// Whole numbers, and what each is when it asks for nothing.
const INTEGERS: [(&str, u32); 9] = [
    ("attention.sliding_window", 0),
    ("attention.shared_kv_layers", 0),
    ("attention.temperature_length", 0),
    ("expert_count", 0),
    ("expert_gating_func", GATING_BY_SOFTMAX),
    ("expert_group_count", 0),
    ("expert_shared_feed_forward_length", 0),
    ("leading_dense_block_count", 0),
    ("nextn_predict_layers", 0),
];
/// Other numbers, likewise.
const NUMBERS: [(&str, f32); 16] = [
    ("attention.clamp_kqv", 0.0),
    ("attention.max_alibi_bias", 0.0),
    ("attention.scale", 0.0),
    ("attention.temperature_scale", 0.0),
    ("attn_logit_softcapping", 0.0),
    ("embedding_scale", 1.0),
    ("expert_weights_scale", 1.0),
    ("final_logit_softcapping", 0.0),
    ("logit_scale", 1.0),
    ("residual_scale", 1.0),
    ("rope.freq_base_swa", 0.0),
    ("rope.scaling.attn_factor", 1.0),
    ("rope.scaling.yarn_attn_factor", 1.0),
    ("rope.scaling.yarn_ext_factor", 1.0),
    ("rope.scaling.yarn_log_multiplier", 0.0),
    ("router_logit_softcapping", 0.0),
];
/// Switches, likewise.
const SWITCHES: [(&str, bool); 2] = [("attention.causal", true), ("use_parallel_residual", false)];
/// How GGUF numbers the ways of making weights of a router's logits.
const GATING_BY_SOFTMAX: u32 = 1;
const EXPERT_WEIGHTS_NORM: &str = "expert_weights_norm";
const WINDOW_PATTERN: &str = "attention.sliding_window_pattern";
const ROPE_FINETUNED: &str = "rope.scaling.finetuned";

/// What a checkpoint asks for beyond its sizes, less what has been taken.
#[derive(Debug)]
pub(crate) struct Demands {
    family: String,
    /// Names without the family, values, and whether the value asks for nothing.
    numbers: Vec<(&'static str, f32, bool)>,
    window_layers: Option<WindowLayers>,
    rope_finetuned: Option<bool>,
    expert_weights_norm: Option<bool>,
}

/// Which layers have a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WindowLayers {
    /// All but the last of each so many; zero means all.
    AllButEvery(usize),
    /// One by one.
    Each(Vec<bool>),
}

impl WindowLayers {
    pub(crate) fn contains(&self, layer: usize) -> bool {
        match self {
            Self::AllButEvery(0) => true,
            Self::AllButEvery(period) => layer % period + 1 < *period,
            Self::Each(layers) => layers.get(layer).copied().unwrap_or(false),
        }
    }
}

impl Demands {
    /// Reads what is stated under `family.`.
    pub(crate) fn read(metadata: &Metadata, family: &str) -> Result<Self, LoadError> {
        let key = |name: &str| format!("{family}.{name}");
        let mut numbers = Vec::new();
        for (name, neutral) in INTEGERS {
            let found: Option<u32> = metadata.find(&key(name))?;
            numbers.extend(found.map(|it| (name, it as f32, it == neutral)));
        }
        for (name, neutral) in NUMBERS {
            let found: Option<f32> = metadata.find(&key(name))?;
            numbers.extend(found.map(|it| (name, it, it == neutral)));
        }
        for (name, neutral) in SWITCHES {
            let found: Option<bool> = metadata.find(&key(name))?;
            if let Some(found) = found.filter(|it| *it != neutral) {
                let (key, found) = (key(name), found.to_string());
                return Err(LoadFault::Unsupported { key, found }.in_file(metadata.file()));
            }
        }
        Ok(Self {
            family: family.to_owned(),
            numbers,
            window_layers: metadata.find(&key(WINDOW_PATTERN))?,
            rope_finetuned: metadata.find(&key(ROPE_FINETUNED))?,
            expert_weights_norm: metadata.find(&key(EXPERT_WEIGHTS_NORM))?,
        })
    }

    /// The number under `name`, if there is one. From now on it counts as honoured.
    pub(crate) fn take(&mut self, name: &str) -> Option<f32> {
        let place = self.numbers.iter().position(|(it, _, _)| *it == name)?;
        Some(self.numbers.swap_remove(place).1)
    }

    /// The same for a number of which zero means none.
    pub(crate) fn take_above_zero(&mut self, name: &str) -> Result<Option<f32>, LoadFault> {
        match self.take(name) {
            None | Some(0.0) => Ok(None),
            Some(found) if found > 0.0 => Ok(Some(found)),
            Some(found) => Err(LoadFault::Unsupported {
                key: self.key(name),
                found: found.to_string(),
            }),
        }
    }

    /// Which layers have a window, if the checkpoint says so.
    pub(crate) fn take_window_layers(&mut self) -> Option<WindowLayers> {
        self.window_layers.take()
    }

    /// Whether rotary positions were trained, if the checkpoint says so. Most families only note it.
    pub(crate) fn rope_finetuned(&self) -> Option<bool> {
        self.rope_finetuned
    }

    /// Whether the weights of a token's experts sum to one, if the checkpoint says so.
    pub(crate) fn expert_weights_norm(&self) -> Option<bool> {
        self.expert_weights_norm
    }

    pub(crate) fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.family)
    }

    /// Fails if anything is left that asks for something.
    pub(crate) fn refuse_what_is_left(&self) -> Result<(), LoadFault> {
        let left = self.numbers.iter().find(|(_, _, is_neutral)| !is_neutral);
        let left = left.map(|(name, value, _)| (self.key(name), value.to_string()));
        let pattern = self.window_layers.as_ref().map(|it| match it {
            WindowLayers::AllButEvery(period) => (self.key(WINDOW_PATTERN), period.to_string()),
            WindowLayers::Each(_) => (self.key(WINDOW_PATTERN), "a list".to_owned()),
        });
        match left.or(pattern) {
            None => Ok(()),
            Some((key, found)) => Err(LoadFault::Unsupported { key, found }),
        }
    }
}

impl MetadataValue<'_> for WindowLayers {
    const WANTED: &'static str = "an integer or an array of booleans";

    fn from_value(value: &candle_core::quantized::gguf_file::Value) -> Option<Self> {
        if let Some(period) = u32::from_value(value) {
            return Some(Self::AllButEvery(period as usize));
        }
        Vec::<bool>::from_value(value).map(Self::Each)
    }
}

//! The sizes a checkpoint states about itself, each checked before anything is built from it.

use sconce_domain::TokenCount;

use crate::arch::{Bands, RopeStretch, Yarn};
use crate::gguf::{Metadata, MetadataValue};
use crate::load_error::{LoadError, LoadFault};
use crate::weights_file::WeightsFile;

/// More layers than any decoder has; keeps a damaged number from filling the memory.
const LAYERS_MAX: u32 = 1024;
/// The widest dimension that is believed.
const WIDTH_MAX: u32 = 1 << 20;
/// The context a stretched model first learned.
const ORIGINAL_CONTEXT: &str = "rope.scaling.original_context_length";
/// The most heads that are believed.
const HEADS_MAX: u32 = 4096;
/// The most experts that are believed.
const EXPERTS_MAX: u32 = 4096;

/// The sizes of a decoder. Every relation between them that a decoder relies on holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) hidden: usize,
    pub(crate) vocabulary: usize,
    pub(crate) context: TokenCount,
    pub(crate) layers: usize,
    pub(crate) query_heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_dim: usize,
    pub(crate) feed_forward: usize,
    /// Of a model with experts.
    pub(crate) experts: Option<ExpertSizes>,
    pub(crate) norm_epsilon: f32,
    pub(crate) rope_base: f32,
    pub(crate) rotated_dims: usize,
    pub(crate) rope_stretch: RopeStretch,
    /// The context the model first learned, where it was stretched.
    pub(crate) original_context: Option<TokenCount>,
}

/// The sizes of a layer of experts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ExpertSizes {
    pub(crate) count: usize,
    /// At most all.
    pub(crate) chosen: usize,
    pub(crate) feed_forward: usize,
    /// Of the expert that all tokens go through, where there is one.
    pub(crate) shared_feed_forward: Option<usize>,
}

impl Sizes {
    /// Reads the sizes under `family.`, for an embedding of so many rows.
    pub(crate) fn read(
        metadata: &Metadata,
        family: &str,
        vocabulary: usize,
    ) -> Result<Self, LoadError> {
        let keys = FamilyKeys { metadata, family };
        let hidden = keys.size("embedding_length", WIDTH_MAX)?;
        let query_heads = keys.size("attention.head_count", HEADS_MAX)?;
        let head_dim = keys.head_dim(hidden, query_heads)?;
        let feed_forward = keys.size("feed_forward_length", WIDTH_MAX)?;
        Ok(Self {
            hidden,
            vocabulary,
            context: TokenCount(keys.bounded("context_length", u32::MAX)?),
            layers: keys.size("block_count", LAYERS_MAX)?,
            query_heads,
            kv_heads: keys.kv_heads(query_heads)?,
            head_dim,
            feed_forward,
            experts: keys.experts(feed_forward)?,
            norm_epsilon: keys.positive("attention.layer_norm_rms_epsilon", None)?,
            rope_base: keys.positive("rope.freq_base", Some(10_000.0))?,
            rotated_dims: keys.rotated_dims(head_dim)?,
            rope_stretch: keys.rope_stretch()?,
            original_context: keys.original_context()?,
        })
    }
}

/// Rows of the embedding: metadata may tell another number, the tensor is what is looked up in.
pub(crate) fn vocabulary_rows(file: &dyn WeightsFile) -> Result<usize, LoadError> {
    const EMBEDDING: &str = "token_embd.weight";
    let tensor = file.tensor(EMBEDDING)?;
    match tensor.shape[..] {
        [rows, _] if u32::try_from(rows).is_ok() => Ok(rows),
        _ => {
            let what = format!("has shape {:?}, wanted [tokens, hidden]", tensor.shape);
            let fault = LoadFault::Tensor {
                tensor: EMBEDDING.to_owned(),
                what,
            };
            Err(fault.in_file(file.path()))
        }
    }
}

/// Metadata under `family.`.
struct FamilyKeys<'m> {
    metadata: &'m Metadata,
    family: &'m str,
}

impl<'m> FamilyKeys<'m> {
    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.family)
    }

    fn find<T: MetadataValue<'m>>(&self, name: &str) -> Result<Option<T>, LoadError> {
        self.metadata.find(&self.key(name))
    }

    fn bad(&self, name: &str, wanted: String, found: impl std::fmt::Display) -> LoadError {
        self.metadata.bad_value(&self.key(name), wanted, found)
    }

    fn unsupported(&self, name: &str, found: impl std::fmt::Display) -> LoadError {
        let fault = LoadFault::Unsupported {
            key: self.key(name),
            found: found.to_string(),
        };
        fault.in_file(self.metadata.file())
    }

    fn bounded(&self, name: &str, limit: u32) -> Result<u32, LoadError> {
        let found: u32 = self.metadata.get(&self.key(name))?;
        self.within(name, found, limit)
    }

    fn within(&self, name: &str, found: u32, limit: u32) -> Result<u32, LoadError> {
        if (1..=limit).contains(&found) {
            return Ok(found);
        }
        Err(self.bad(name, format!("an integer from 1 to {limit}"), found))
    }

    fn size(&self, name: &str, limit: u32) -> Result<usize, LoadError> {
        Ok(self.bounded(name, limit)? as usize)
    }

    fn find_size(&self, name: &str, limit: u32) -> Result<Option<usize>, LoadError> {
        let found = self.find(name)?;
        found
            .map(|it| Ok(self.within(name, it, limit)? as usize))
            .transpose()
    }

    fn positive(&self, name: &str, default: Option<f32>) -> Result<f32, LoadError> {
        let found = match (self.find(name)?, default) {
            (Some(found), _) => found,
            (None, Some(default)) => default,
            (None, None) => self.metadata.get(&self.key(name))?,
        };
        if found > 0.0 {
            return Ok(found);
        }
        Err(self.bad(name, "a number above 0".to_owned(), found))
    }

    fn head_dim(&self, hidden: usize, query_heads: usize) -> Result<usize, LoadError> {
        let head_dim = match self.find_size("attention.key_length", WIDTH_MAX)? {
            Some(stated) => stated,
            None if hidden.is_multiple_of(query_heads) => hidden / query_heads,
            None => {
                let wanted = format!("a divisor of embedding_length {hidden}");
                return Err(self.bad("attention.head_count", wanted, query_heads));
            }
        };
        let value_dim = self
            .find_size("attention.value_length", WIDTH_MAX)?
            .unwrap_or(head_dim);
        if value_dim != head_dim {
            return Err(self.unsupported(
                "attention.value_length",
                format!("{value_dim}, unlike the key length {head_dim}"),
            ));
        }
        if head_dim % 2 != 0 {
            return Err(self.unsupported("attention.key_length", format!("the odd {head_dim}")));
        }
        Ok(head_dim)
    }

    fn kv_heads(&self, query_heads: usize) -> Result<usize, LoadError> {
        let name = "attention.head_count_kv";
        let kv_heads = self.find_size(name, HEADS_MAX)?.unwrap_or(query_heads);
        if query_heads.is_multiple_of(kv_heads) {
            return Ok(kv_heads);
        }
        Err(self.bad(
            name,
            format!("a divisor of head_count {query_heads}"),
            kv_heads,
        ))
    }

    /// Experts that state no width have that of a dense layer.
    fn experts(&self, feed_forward: usize) -> Result<Option<ExpertSizes>, LoadError> {
        let name = "expert_count";
        let Some(count) = self.find::<u32>(name)?.filter(|it| *it > 0) else {
            return Ok(None);
        };
        let count = self.within(name, count, EXPERTS_MAX)?;
        let width = self.find_size("expert_feed_forward_length", WIDTH_MAX)?;
        let shared = self.find::<u32>("expert_shared_feed_forward_length")?;
        let shared = shared.filter(|it| *it > 0);
        let shared =
            shared.map(|it| self.within("expert_shared_feed_forward_length", it, WIDTH_MAX));
        Ok(Some(ExpertSizes {
            count: count as usize,
            chosen: self.size("expert_used_count", count)?,
            feed_forward: width.unwrap_or(feed_forward),
            shared_feed_forward: shared.transpose()?.map(|it| it as usize),
        }))
    }

    fn rotated_dims(&self, head_dim: usize) -> Result<usize, LoadError> {
        let name = "rope.dimension_count";
        let rotated = self.find_size(name, WIDTH_MAX)?.unwrap_or(head_dim);
        if rotated <= head_dim && rotated % 2 == 0 {
            return Ok(rotated);
        }
        Err(self.bad(
            name,
            format!("an even number up to the head's {head_dim}"),
            rotated,
        ))
    }

    /// A factor without a type means linear, as files older than the type key have it; a factor
    /// of zero means that none was stated.
    fn rope_stretch(&self) -> Result<RopeStretch, LoadError> {
        match self.find::<&str>("rope.scaling.type")? {
            Some("none") => Ok(RopeStretch::None),
            Some("linear") | None => {
                let factor = self.rope_factor()?;
                Ok(factor.map_or(RopeStretch::None, |factor| RopeStretch::Linear { factor }))
            }
            Some("yarn") => self.yarn(),
            Some("bands") => self.bands(),
            Some("longrope") => {
                let original_context = self.stated_original_context()?;
                Ok(RopeStretch::Long { original_context })
            }
            Some(other) => Err(self.unsupported("rope.scaling.type", format!("{other:?}"))),
        }
    }

    fn rope_factor(&self) -> Result<Option<f32>, LoadError> {
        for name in ["rope.scaling.factor", "rope.scale_linear"] {
            match self.find::<f32>(name)? {
                None | Some(0.0 | 1.0) => {}
                Some(factor) if factor > 0.0 => return Ok(Some(factor)),
                Some(factor) => return Err(self.bad(name, "a number above 0".to_owned(), factor)),
            }
        }
        Ok(None)
    }

    fn yarn(&self) -> Result<RopeStretch, LoadError> {
        let Some(factor) = self.rope_factor()? else {
            return Ok(RopeStretch::None);
        };
        Ok(RopeStretch::Yarn(Yarn {
            factor,
            original_context: self.stated_original_context()?,
            turns_max: self.positive("rope.scaling.yarn_beta_fast", Some(32.0))?,
            turns_min: self.positive("rope.scaling.yarn_beta_slow", Some(1.0))?,
        }))
    }

    /// The stretch that GGUF stores as a tensor. Only other formats state it.
    fn bands(&self) -> Result<RopeStretch, LoadError> {
        let number = |name: &str| -> Result<f32, LoadError> {
            let name = format!("rope.scaling.{name}");
            match self.metadata.get::<f32>(&self.key(&name))? {
                found if found > 0.0 => Ok(found),
                found => Err(self.bad(&name, "a number above 0".to_owned(), found)),
            }
        };
        let bands = Bands {
            factor: number("factor")?,
            original_context: self.stated_original_context()?,
            turns_min: number("low_freq_factor")?,
            turns_max: number("high_freq_factor")?,
        };
        if bands.turns_min < bands.turns_max {
            return Ok(RopeStretch::Bands(bands));
        }
        let wanted = format!("a number above {}", bands.turns_min);
        Err(self.bad("rope.scaling.high_freq_factor", wanted, bands.turns_max))
    }

    fn original_context(&self) -> Result<Option<TokenCount>, LoadError> {
        let found: Option<u32> = self.find(ORIGINAL_CONTEXT)?;
        Ok(found.filter(|it| *it > 0).map(TokenCount))
    }

    fn stated_original_context(&self) -> Result<TokenCount, LoadError> {
        Ok(TokenCount(self.bounded(ORIGINAL_CONTEXT, u32::MAX)?))
    }
}

//! The families that can be loaded, and the only place that knows them by name.
//!
//! Sizes come from the checkpoint; here stands what each family does differently from the plain
//! decoder. Which tensors a file happens to have decides as little as possible, and whatever is
//! concluded from one is then demanded of all (see `claims`).

use crate::arch::{
    Activation, ArchSpec, Attention, FeedForward, Head, LayerSpec, Mask, Mixer, NormPlacement,
    Projections, Rope, RopePairing, RopeStretch,
};
use crate::claims::{LayerPart, TensorRole, check_claims};
use crate::gguf::GgufFile;
use crate::load_error::{LoadError, LoadFault};
use crate::sizes::Sizes;

/// Whether the checkpoint has a tensor.
type Has<'f> = &'f dyn Fn(TensorRole) -> bool;
type Describe = fn(&Sizes, Has<'_>) -> Result<ArchSpec, LoadFault>;

const FAMILIES: [(&str, Describe); 2] = [("llama", llama), ("qwen2", qwen2)];

/// What the file's decoder is. Every tensor of the file is claimed by the spec, and every tensor
/// the spec claims is in the file with the right shape.
pub fn spec_for(file: &GgufFile) -> Result<ArchSpec, LoadError> {
    let family = file.architecture()?;
    let describe = find(family).map_err(|fault| fault.in_file(file.path()))?;
    let has = |role: TensorRole| file.find_tensor(&role.name()).is_some();
    let spec = describe(&Sizes::read(file)?, &has).map_err(|fault| fault.in_file(file.path()))?;
    check_claims(&spec, file)?;
    Ok(spec)
}

/// What a decoder of `family` with these sizes and tensors is.
#[cfg(any(test, feature = "tiny-checkpoints"))]
pub(crate) fn spec_of(family: &str, sizes: &Sizes, has: Has<'_>) -> Result<ArchSpec, LoadFault> {
    find(family)?(sizes, has)
}

fn find(family: &str) -> Result<Describe, LoadFault> {
    let found = FAMILIES.iter().find(|(name, _)| *name == family);
    found
        .map(|(_, describe)| *describe)
        .ok_or_else(|| LoadFault::UnknownFamily {
            found: family.to_owned(),
            known: FAMILIES.map(|(name, _)| name).join(", "),
        })
}

/// GGUF permutes the query and key rows so that neighbours rotate. Files of this name may have
/// biases (InternLM) and per-frequency factors (Llama 3.1); no metadata key says so.
fn llama(sizes: &Sizes, has: Has<'_>) -> Result<ArchSpec, LoadFault> {
    let mut attention = plain_attention(sizes);
    attention.rope.pairing = RopePairing::Neighbours;
    if has(TensorRole::Layer(0, LayerPart::QueryBias)) {
        attention.projections = Projections::SplitBiased;
    }
    if has(TensorRole::RopeFactors) {
        if let RopeStretch::Linear { factor } = attention.rope.stretch {
            let key = "llama.rope.scaling.factor".to_owned();
            let found = format!("{factor} beside factors stored as a tensor");
            return Err(LoadFault::Unsupported { key, found });
        }
        attention.rope.stretch = RopeStretch::Stored;
    }
    Ok(stack(sizes, attention, has))
}

/// The plain decoder with biases on query, key and value.
fn qwen2(sizes: &Sizes, has: Has<'_>) -> Result<ArchSpec, LoadFault> {
    let mut attention = plain_attention(sizes);
    attention.projections = Projections::SplitBiased;
    Ok(stack(sizes, attention, has))
}

/// The common ground: rotary positions, grouped queries, scores over the root of the head's size.
fn plain_attention(sizes: &Sizes) -> Attention {
    Attention {
        query_heads: sizes.query_heads,
        kv_heads: sizes.kv_heads,
        head_dim: sizes.head_dim,
        projections: Projections::Split,
        rope: Rope {
            pairing: RopePairing::Halves,
            base: sizes.rope_base,
            rotated_dims: sizes.rotated_dims,
            stretch: sizes.rope_stretch,
        },
        mask: Mask::Causal,
        score_scale: (sizes.head_dim as f32).sqrt().recip(),
    }
}

/// The same layer all the way up: normalised before each branch, then a gated feed-forward part.
fn stack(sizes: &Sizes, attention: Attention, has: Has<'_>) -> ArchSpec {
    let layer = LayerSpec {
        norms: NormPlacement::Before,
        mixer: Mixer::Attention(attention),
        feed_forward: FeedForward::Gated {
            hidden: sizes.feed_forward,
            activation: Activation::Silu,
        },
    };
    ArchSpec {
        hidden: sizes.hidden,
        vocabulary: sizes.vocabulary,
        context: sizes.context,
        norm_epsilon: sizes.norm_epsilon,
        layers: vec![layer; sizes.layers],
        head: if has(TensorRole::Head) {
            Head::Own
        } else {
            Head::TiedToEmbedding
        },
    }
}

//! What a checkpoint says about its decoder, and the common ground that families begin from.

use crate::arch::{
    Activation, ArchSpec, Attention, Biases, Experts, FeedForward, GateUp, Gated, Head, LayerSpec,
    Mask, Mixer, NormPlacement, Positions, Projections, QueryKeyNorm, Rope, RopePairing,
    RopeStretch, SharedExpert, SharedWeight, Shares, Sinks, Yarn,
};
use crate::claims::TensorRole;
use crate::demands::{Demands, WindowLayers};
use crate::load_error::LoadFault;
use crate::sizes::Sizes;
use crate::weights_file::RowOrder;

/// Whether the checkpoint has a tensor.
pub(crate) type Has<'f> = &'f dyn Fn(TensorRole) -> bool;

/// What a file says about its decoder.
pub(crate) struct Checkpoint<'f> {
    pub(crate) family: &'f str,
    pub(crate) row_order: RowOrder,
    pub(crate) sizes: Sizes,
    pub(crate) demands: Demands,
    pub(crate) has: Has<'f>,
}

/// A gated part as most families have it.
fn gated(hidden: usize) -> Gated {
    Gated {
        hidden,
        activation: Activation::Silu,
        gate_up: GateUp::Split,
    }
}

impl Checkpoint<'_> {
    /// The common ground: rotary positions, grouped queries, scores over the root of the head's size
    /// unless another scale is stated.
    pub(crate) fn attention(&mut self, pairing: RopePairing) -> Result<Attention, LoadFault> {
        let scale = self.demands.take_above_zero("attention.scale")?;
        Ok(Attention {
            query_heads: self.sizes.query_heads,
            kv_heads: self.sizes.kv_heads,
            head_dim: self.sizes.head_dim,
            projections: Projections::Split,
            query_key_norm: QueryKeyNorm::None,
            positions: Positions::Rotary(self.rope(pairing)?),
            mask: Mask::Causal,
            score_scale: scale.unwrap_or((self.sizes.head_dim as f32).sqrt().recip()),
            score_cap: None,
            sinks: Sinks::Absent,
        })
    }

    pub(crate) fn unstretched(&self, pairing: RopePairing) -> Rope {
        Rope {
            pairing: match self.row_order {
                RowOrder::Converted => pairing,
                RowOrder::Original => RopePairing::Halves,
            },
            base: self.sizes.rope_base,
            rotated_dims: self.sizes.rotated_dims,
            magnitude: 1.0,
            stretch: RopeStretch::None,
        }
    }

    /// The rope as metadata and stored factors have it together.
    pub(crate) fn rope(&mut self, pairing: RopePairing) -> Result<Rope, LoadFault> {
        let stated = self.sizes.rope_stretch;
        let original_context = self.sizes.original_context.unwrap_or(self.sizes.context);
        let stored = if (self.has)(TensorRole::LongRopeFactors) {
            Some(RopeStretch::Long { original_context })
        } else {
            (self.has)(TensorRole::RopeFactors).then_some(RopeStretch::Stored)
        };
        let stretch = match (stored, stated) {
            (None, stated) => stated,
            (Some(stored), RopeStretch::None) => stored,
            (Some(stored), stated) if stored == stated => stored,
            (Some(_), stated) => return Err(self.two_stretches(stated)),
        };
        let factor = self.demands.take_above_zero("rope.scaling.attn_factor")?;
        let magnitude = match stretch {
            // Source: Peng et al. 2023, "YaRN", equation 22.
            RopeStretch::Yarn(Yarn { factor, .. }) if factor > 1.0 => 0.1 * factor.ln() + 1.0,
            _ => 1.0,
        };
        Ok(Rope {
            magnitude: magnitude * factor.unwrap_or(1.0),
            stretch,
            ..self.unstretched(pairing)
        })
    }

    pub(crate) fn two_stretches(&self, stated: RopeStretch) -> LoadFault {
        let (name, found) = match stated {
            RopeStretch::Linear { factor } => ("rope.scaling.factor", factor.to_string()),
            _ => ("rope.scaling.type", "stated".to_owned()),
        };
        LoadFault::Unsupported {
            key: format!("{}.{name}", self.family),
            found: format!("{found} beside factors stored as a tensor"),
        }
    }

    /// The window that is stated, or `default`.
    pub(crate) fn mask(&mut self, default: Option<usize>) -> Result<Mask, LoadFault> {
        let stated = self.demands.take_above_zero("attention.sliding_window")?;
        let window = stated.map(|it| it as usize).or(default);
        Ok(window.map_or(Mask::Causal, Mask::Window))
    }

    /// A soft cap that the family always has.
    pub(crate) fn cap(&mut self, name: &str, default: f32) -> Result<f32, LoadFault> {
        Ok(self.demands.take_above_zero(name)?.unwrap_or(default))
    }

    /// What some large models scale scores by: the width of the stream for each head.
    pub(crate) fn scale_by_stream(&self) -> f32 {
        let width = self.sizes.hidden as f32 / self.sizes.query_heads as f32;
        width.sqrt().recip()
    }

    /// Gives the layers that have a window another attention, if there is a window at all.
    pub(crate) fn put_windows(
        &mut self,
        spec: &mut ArchSpec,
        windowed: &Attention,
        default: WindowLayers,
    ) {
        if windowed.mask == Mask::Causal {
            return;
        }
        let layers = self.demands.take_window_layers().unwrap_or(default);
        for (index, layer) in spec.layers.iter_mut().enumerate() {
            if layers.contains(index) {
                layer.mixer = Mixer::Attention(windowed.clone());
            }
        }
    }

    /// Puts experts into every layer. The checkpoint may say itself how their weights are shared.
    pub(crate) fn put_experts(
        &mut self,
        spec: &mut ArchSpec,
        shares: Shares,
        shared: Option<SharedExpert>,
    ) -> Result<(), LoadFault> {
        let Some(sizes) = self.sizes.experts else {
            return Err(LoadFault::KeyMissing {
                key: self.demands.key("expert_count"),
                wanted: "the number of experts",
            });
        };
        self.demands.take("expert_count");
        let shares = match self.demands.expert_weights_norm() {
            None => shares,
            Some(true) => Shares::OfChosen,
            Some(false) => Shares::OfAll,
        };
        for layer in &mut spec.layers {
            layer.feed_forward = FeedForward::Experts(Experts {
                count: sizes.count,
                chosen: sizes.chosen,
                each: gated(sizes.feed_forward),
                shares,
                biases: Biases::Absent,
                shared,
            });
        }
        Ok(())
    }

    /// The expert that all tokens go through, if there is one.
    pub(crate) fn shared_expert(&mut self, weight: SharedWeight) -> Option<SharedExpert> {
        self.demands.take("expert_shared_feed_forward_length");
        let hidden = self.sizes.experts?.shared_feed_forward?;
        let gated = gated(hidden);
        Some(SharedExpert { gated, weight })
    }

    /// The same layer all the way up: normalised before each branch, then a gated feed-forward part.
    pub(crate) fn stack(&self, attention: &Attention) -> ArchSpec {
        let layer = LayerSpec {
            norms: NormPlacement::Before,
            residual_scale: 1.0,
            mixer: Mixer::Attention(attention.clone()),
            feed_forward: FeedForward::Gated(gated(self.sizes.feed_forward)),
        };
        ArchSpec {
            hidden: self.sizes.hidden,
            vocabulary: self.sizes.vocabulary,
            context: self.sizes.context,
            norm_epsilon: self.sizes.norm_epsilon,
            embedding_scale: 1.0,
            layers: vec![layer; self.sizes.layers],
            head: if (self.has)(TensorRole::Head) {
                Head::Own
            } else {
                Head::TiedToEmbedding
            },
            logit_scale: 1.0,
            logit_cap: None,
        }
    }

    /// The same with GELU gates and embeddings as long as the root of their width.
    pub(crate) fn gelu_stack(&self, attention: &Attention) -> ArchSpec {
        let mut spec = self.stack(attention);
        spec.embedding_scale = (self.sizes.hidden as f32).sqrt();
        for layer in &mut spec.layers {
            if let FeedForward::Gated(gated) = &mut layer.feed_forward {
                gated.activation = Activation::Gelu;
            }
        }
        spec
    }
}

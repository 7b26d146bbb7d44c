//! Which layers share KV blocks, and where the keys and values of each lie.
//!
//! Layers that look back over a window keep less of a sequence than the others, so they have blocks of
//! their own. All groups have as many layers, and layers of the same place within their groups share
//! one cache: then a block is as large whichever group has it, and one pool serves all of them.

use sconce_domain::{KvGroups, TokenCount};
use sconce_kernels::paged_attention::{KvCache, KvType, KvTypes};

use super::Decoder;
use crate::arch::{ArchSpec, Attention, LayerSpec, Mask, Mixer, Projections};

/// Where a layer's keys and values lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// The group whose blocks it writes and reads.
    pub(crate) group: usize,
    /// Which of the decoder's caches.
    pub(crate) cache: usize,
}

/// The places of all layers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct KvLayout {
    pub(crate) groups: KvGroups,
    /// One for each layer.
    pub(crate) places: Vec<Place>,
}

impl KvLayout {
    /// One group, unless some layers have a window shorter than the context and others have not.
    ///
    /// Groups are as wide as there are layers of the rarer kind, so that those are one group without
    /// gaps; the last group of the others may have some.
    pub(crate) fn of(spec: &ArchSpec) -> Self {
        let windows: Vec<Option<usize>> = spec.layers.iter().map(|it| window(spec, it)).collect();
        let windowed = windows.iter().flatten().count();
        let boundless = windows.len() - windowed;
        let is_mixed = windowed > 0 && boundless > 0;
        if is_mixed && !are_alike(spec) {
            return Self::in_one(windows.len(), None);
        }
        let largest = windows.iter().flatten().max().copied();
        if !is_mixed {
            return Self::in_one(windows.len(), largest);
        }
        let width = boundless.min(windowed);
        let groups = KvGroups {
            boundless: boundless.div_ceil(width) as u32,
            windowed: windowed.div_ceil(width) as u32,
            window: positions(largest.unwrap_or(0)),
        };
        let mut seen = [0, groups.boundless as usize * width];
        let place = |window: &Option<usize>| {
            let number = &mut seen[usize::from(window.is_some())];
            *number += 1;
            Place {
                group: (*number - 1) / width,
                cache: (*number - 1) % width,
            }
        };
        Self {
            places: windows.iter().map(place).collect(),
            groups,
        }
    }

    /// All layers in one group, which looks back over `window`.
    fn in_one(layers: usize, window: Option<usize>) -> Self {
        let groups = window.map_or(KvGroups::one(), |window| KvGroups {
            boundless: 0,
            windowed: 1,
            window: positions(window),
        });
        Self {
            groups,
            places: (0..layers).map(|cache| Place { group: 0, cache }).collect(),
        }
    }

    /// The most positions that any sequence can have in so many blocks.
    pub(crate) fn positions_max(&self, blocks: usize) -> usize {
        if self.groups.boundless == 0 {
            return usize::MAX;
        }
        blocks / self.groups.boundless as usize * Decoder::BLOCK_TOKENS
    }

    /// Empty caches of so many blocks.
    pub(crate) fn caches(&self, spec: &ArchSpec, kv_type: KvType, blocks: usize) -> Vec<KvCache> {
        let cache = |attention: &Attention| {
            let types = kv_types(attention, kv_type);
            KvCache::new(types, blocks, attention.kv_heads, attention.head_dim)
        };
        self.kept(spec).map(cache).collect()
    }

    /// For each cache a layer that uses it.
    fn kept<'a>(&'a self, spec: &'a ArchSpec) -> impl Iterator<Item = &'a Attention> {
        let width = self.places.iter().map(|it| it.cache + 1).max().unwrap_or(0);
        let places = self.places.iter().zip(&spec.layers);
        (0..width).filter_map(move |cache| {
            let mut users = places
                .clone()
                .filter(move |(place, _)| place.cache == cache);
            users.next().map(|(_, layer)| attention(layer))
        })
    }
}

impl Decoder {
    /// The groups of layers of `spec` that have KV blocks of their own.
    #[must_use]
    pub fn kv_groups(spec: &ArchSpec) -> KvGroups {
        KvLayout::of(spec).groups
    }

    /// Bytes that one KV block takes: sixteen positions of one group of layers, of all of them where
    /// there is one group.
    #[must_use]
    pub fn kv_block_bytes(spec: &ArchSpec, kv_type: KvType) -> usize {
        let layer_bytes = |attention: &Attention| {
            let types = kv_types(attention, kv_type);
            KvCache::block_bytes(types, attention.kv_heads, attention.head_dim)
        };
        KvLayout::of(spec).kept(spec).map(layer_bytes).sum()
    }
}

/// Bytes that sixteen positions take in one layer.
pub(super) fn layer_block_bytes(layer: &LayerSpec, kv_type: KvType) -> usize {
    let attention = attention(layer);
    let types = kv_types(attention, kv_type);
    KvCache::block_bytes(types, attention.kv_heads, attention.head_dim)
}

fn attention(layer: &LayerSpec) -> &Attention {
    let Mixer::Attention(attention) = &layer.mixer;
    attention
}

/// Positions that a layer sees, where those are fewer than the context.
fn window(spec: &ArchSpec, layer: &LayerSpec) -> Option<usize> {
    match attention(layer).mask {
        Mask::Window(window) if window < spec.context.0 as usize => Some(window),
        Mask::Window(_) | Mask::Causal => None,
    }
}

fn positions(window: usize) -> TokenCount {
    TokenCount(u32::try_from(window).unwrap_or(u32::MAX))
}

/// Whether a position takes as much in every layer, and is stored alike.
fn are_alike(spec: &ArchSpec) -> bool {
    let mut shapes = spec.layers.iter().map(|layer| {
        let attention = attention(layer);
        let types = kv_types(attention, KvType::Q8_0);
        (types, attention.kv_heads, attention.head_dim)
    });
    let first = shapes.next();
    shapes.all(|it| Some(it) == first)
}

/// How keys and values are stored if `wanted` is. A key's bias may be a hundred times what it is added
/// to, and then eight bits do not hold both: such keys stay in half precision.
fn kv_types(attention: &Attention, wanted: KvType) -> KvTypes {
    let keys = match attention.projections {
        Projections::SplitBiased | Projections::AllBiased => KvType::F16,
        Projections::Split | Projections::Fused => wanted,
    };
    KvTypes {
        keys,
        values: wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::TensorType;
    use crate::tiny::TinyCheckpoint;

    /// A model of so many layers, each with the window that is told of it.
    fn spec(windows: &[Option<usize>]) -> ArchSpec {
        let layers = windows.len();
        let checkpoint = TinyCheckpoint::with_extras("llama", TensorType::F32, layers, Vec::new());
        let mut spec = checkpoint.spec;
        for (layer, window) in spec.layers.iter_mut().zip(windows) {
            attention_of(layer).mask = window.map_or(Mask::Causal, Mask::Window);
        }
        spec
    }

    fn attention_of(layer: &mut LayerSpec) -> &mut Attention {
        let Mixer::Attention(attention) = &mut layer.mixer;
        attention
    }

    fn groups(boundless: u32, windowed: u32, window: u32) -> KvGroups {
        KvGroups {
            boundless,
            windowed,
            window: TokenCount(window),
        }
    }

    fn places(layout: &KvLayout) -> Vec<(usize, usize)> {
        layout
            .places
            .iter()
            .map(|it| (it.group, it.cache))
            .collect()
    }

    #[test]
    fn groups_are_as_wide_as_the_rarer_kind_of_layers_is_many() {
        let near = Some(8);
        let layout = KvLayout::of(&spec(&[near, near, None, near, near, None, near]));
        assert_eq!(layout.groups, groups(1, 3, 8));
        let wanted = [(1, 0), (1, 1), (0, 0), (2, 0), (2, 1), (0, 1), (3, 0)];
        assert_eq!(places(&layout), wanted);
        let layout = KvLayout::of(&spec(&[None, near, None, None]));
        assert_eq!(layout.groups, groups(3, 1, 8));
        assert_eq!(places(&layout), [(0, 0), (3, 0), (1, 0), (2, 0)]);
        assert_eq!(layout.positions_max(7), 2 * Decoder::BLOCK_TOKENS);
    }

    #[test]
    fn layers_of_one_kind_are_one_group_and_a_window_as_long_as_the_context_is_none() {
        let in_one = [(0, 0), (0, 1)];
        for (windows, wanted) in [
            ([None, None], KvGroups::one()),
            ([Some(512), None], KvGroups::one()),
            ([Some(8), Some(9)], groups(0, 1, 9)),
        ] {
            let layout = KvLayout::of(&spec(&windows));
            assert_eq!((layout.groups, places(&layout)), (wanted, in_one.to_vec()));
        }
    }

    #[test]
    fn layers_that_do_not_fit_into_each_other_s_blocks_are_one_group() {
        let mut spec = spec(&[Some(8), None]);
        attention_of(&mut spec.layers[0]).kv_heads *= 2;
        assert_eq!(Decoder::kv_groups(&spec), KvGroups::one());
        let bytes = |layer: usize| {
            let Mixer::Attention(it) = &spec.layers[layer].mixer;
            KvCache::block_bytes(KvTypes::both(KvType::F16), it.kv_heads, it.head_dim)
        };
        let all = Decoder::kv_block_bytes(&spec, KvType::F16);
        assert_eq!(all, bytes(0) + bytes(1));
        assert_eq!(bytes(0), 2 * bytes(1));
    }

    #[test]
    fn a_block_of_several_groups_takes_what_one_of_them_keeps() {
        let near = Some(8);
        let mixed = spec(&[near, near, None, near, near, None, near]);
        let plain = spec(&[None; 2]);
        let bytes = |spec: &ArchSpec| Decoder::kv_block_bytes(spec, KvType::F16);
        assert_eq!(bytes(&mixed), bytes(&plain));
    }
}

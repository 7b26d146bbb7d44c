//! How large the KV cache is when nobody says.

use std::fs;

use sconce_domain::{BlockCount, KvGroups, TokenCount};
use sconce_engine::Extents;
use sconce_model::{ArchSpec, Decoder, DecoderExecutor, KvType};

use crate::machine::{self, Machine};

/// Tokens that a cache holds unless the model or the memory says otherwise.
const KV_TOKENS: u64 = 32_768;
/// A context beyond this is not provided for in full by default: few requests are that long.
const CONTEXT_MAX: u32 = 131_072;
/// Less is of no use to anybody, however little memory is free.
const KV_TOKENS_MIN: u64 = 2_048;

/// How one model's KV cache is laid out. It is told in tokens, each of which has a place in all layers;
/// where layers have a window, a long sequence takes fewer than it has.
#[derive(Debug, Clone)]
pub(crate) struct KvShape {
    groups: KvGroups,
    extents: Extents,
    block_bytes: usize,
    context: TokenCount,
}

impl KvShape {
    /// That of a model whose keys and values are stored so, where a step computes at most so many
    /// tokens.
    pub(crate) fn of(spec: &ArchSpec, kv_type: KvType, step_tokens_max: u32) -> Self {
        let (groups, step) = (Decoder::kv_groups(spec), TokenCount(step_tokens_max));
        Self {
            groups,
            extents: Extents::new(DecoderExecutor::block_size(), groups, step),
            block_bytes: Decoder::kv_block_bytes(spec, kv_type),
            context: spec.context,
        }
    }

    /// Bytes that a block takes.
    pub(crate) fn block_bytes(&self) -> usize {
        self.block_bytes
    }

    /// Bytes that a token takes in all layers.
    pub(crate) fn bytes_per_token(&self) -> u64 {
        (self.block_bytes * self.groups.count() / Decoder::BLOCK_TOKENS) as u64
    }

    /// Blocks of a cache of so many tokens.
    pub(crate) fn blocks(&self, tokens: u32) -> usize {
        (tokens as usize).div_ceil(Decoder::BLOCK_TOKENS) * self.groups.count()
    }

    /// Tokens that so many blocks have a place for in all layers.
    pub(crate) fn tokens(&self, blocks: usize) -> usize {
        blocks / self.groups.count() * Decoder::BLOCK_TOKENS
    }

    /// Tokens of the cache that one sequence as long as the context takes, or as long as is provided
    /// for in full.
    pub(crate) fn tokens_for_context(&self) -> u32 {
        let context = self.context.min(TokenCount(CONTEXT_MAX));
        let BlockCount(blocks) = self.extents.blocks_for(context);
        let slots = u64::from(blocks) * Decoder::BLOCK_TOKENS as u64;
        let tokens = slots.div_ceil(self.groups.count() as u64);
        u32::try_from(tokens).map_or(context.0, |it| it.min(context.0))
    }

    /// Tokens of the longest sequence that so many blocks hold. As the engine has it: the last token of
    /// an answer is said and never written to the cache.
    pub(crate) fn sequence_tokens_max(&self, blocks: usize) -> TokenCount {
        let blocks = BlockCount(u32::try_from(blocks).unwrap_or(u32::MAX));
        TokenCount(self.extents.tokens_max(blocks).0.saturating_add(1))
    }
}

/// Tokens that the cache should hold: enough for several chats and for one whole context, which takes
/// `context` of them, but no more than a quarter of the memory that there is for models.
pub(crate) fn kv_tokens(context: u32, bytes_per_token: u64, free_bytes: Option<u64>) -> u32 {
    let wanted = KV_TOKENS.max(u64::from(context));
    let affordable = free_bytes.map_or(wanted, |free| free / 4 / bytes_per_token.max(1));
    let tokens = wanted.min(affordable).max(KV_TOKENS_MIN);
    u32::try_from(tokens).unwrap_or(u32::MAX)
}

/// Memory that this process could still take, if the system tells.
pub(crate) fn free_memory_bytes() -> Option<u64> {
    Machine::look().affordable_bytes()
}

/// Memory that this process occupies, if the system tells.
pub(crate) fn resident_memory_bytes() -> Option<u64> {
    machine::kibibytes(&fs::read_to_string("/proc/self/status").ok()?, "VmRSS")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_fits_the_context_and_the_memory() {
        assert_eq!(kv_tokens(8_192, 23_040, None), 32_768);
        assert_eq!(kv_tokens(65_536, 23_040, None), 65_536);
        assert_eq!(kv_tokens(8_192, 100_000, Some(1_200_000_000)), 3_000);
        assert_eq!(kv_tokens(8_192, 100_000, Some(0)), 2_048);
    }

    /// One group of layers that look back to the beginning, and others that look back over 512 tokens.
    fn shape(context: u32, windowed: u32) -> KvShape {
        let groups = KvGroups {
            boundless: 1,
            windowed,
            window: TokenCount(512),
        };
        KvShape {
            groups,
            extents: Extents::new(DecoderExecutor::block_size(), groups, TokenCount(128)),
            block_bytes: 4_096,
            context: TokenCount(context),
        }
    }

    #[test]
    fn a_context_takes_less_where_layers_have_a_window() {
        assert_eq!(shape(1_000_000, 0).tokens_for_context(), 131_072);
        assert_eq!(shape(8_200, 0).tokens_for_context(), 8_200);
        // Of three groups one holds all of it, the others the window, a step and what they begin in.
        let windowed = shape(65_536, 2);
        let blocks = 65_536 / 16 + 2 * (512 + 128 + 16) / 16;
        assert_eq!(windowed.tokens_for_context(), (blocks * 16_u32).div_ceil(3));
        assert_eq!(windowed.bytes_per_token(), 3 * 4_096 / 16);
    }

    #[test]
    fn a_cache_of_a_context_s_tokens_holds_a_sequence_of_that_length() {
        for shape in [shape(65_536, 0), shape(65_536, 1), shape(70_001, 2)] {
            let blocks = shape.blocks(shape.tokens_for_context());
            assert!(shape.sequence_tokens_max(blocks) > shape.context);
            let fewer = blocks - shape.groups.count();
            assert!(shape.sequence_tokens_max(fewer) <= shape.context);
            assert_eq!(shape.blocks(shape.tokens(blocks) as u32), blocks);
        }
    }
}

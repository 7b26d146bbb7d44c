//! How large the KV cache is when nobody says.

use std::fs;

use crate::machine::{self, Machine};

/// Tokens that a cache holds unless the model or the memory says otherwise.
const KV_TOKENS: u64 = 32_768;
/// A context beyond this is not provided for in full by default: few requests are that long.
const CONTEXT_MAX: u64 = 131_072;
/// Less is of no use to anybody, however little memory is free.
const KV_TOKENS_MIN: u64 = 2_048;

/// Tokens that the cache should hold: enough for several chats and one whole context, but no more
/// than a quarter of the memory that there is for models.
pub(crate) fn kv_tokens(context: u32, bytes_per_token: u64, free_bytes: Option<u64>) -> u32 {
    let wanted = KV_TOKENS.max(u64::from(context).min(CONTEXT_MAX));
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
        assert_eq!(kv_tokens(1_000_000, 23_040, None), 131_072);
        assert_eq!(kv_tokens(8_192, 100_000, Some(1_200_000_000)), 3_000);
        assert_eq!(kv_tokens(8_192, 100_000, Some(0)), 2_048);
    }
}

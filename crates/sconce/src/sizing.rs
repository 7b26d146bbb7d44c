//! How large the KV cache is when nobody says.

use std::fs;

/// Tokens that a cache holds unless the model or the memory says otherwise.
const KV_TOKENS: u64 = 32_768;
/// A context beyond this is not provided for in full by default: few requests are that long.
const CONTEXT_MAX: u64 = 131_072;
/// Less is of no use to anybody, however little memory is free.
const KV_TOKENS_MIN: u64 = 2_048;

/// Tokens that the cache should hold: enough for several chats and one whole context, but no more
/// than a quarter of the memory that is free.
pub(crate) fn kv_tokens(context: u32, bytes_per_token: u64, free_bytes: Option<u64>) -> u32 {
    let wanted = KV_TOKENS.max(u64::from(context).min(CONTEXT_MAX));
    let affordable = free_bytes.map_or(wanted, |free| free / 4 / bytes_per_token.max(1));
    let tokens = wanted.min(affordable).max(KV_TOKENS_MIN);
    u32::try_from(tokens).unwrap_or(u32::MAX)
}

/// Memory that the system could still give, if it tells.
pub(crate) fn free_memory_bytes() -> Option<u64> {
    memory_line(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")
}

/// Memory that this process occupies, if the system tells.
pub(crate) fn resident_memory_bytes() -> Option<u64> {
    memory_line(&fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")
}

fn memory_line(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
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

    #[test]
    fn memory_is_read_off_the_systems_tables() {
        let text = "MemTotal:  10 kB\nMemAvailable:   23 kB\n";
        assert_eq!(memory_line(text, "MemAvailable:"), Some(23 * 1024));
        assert_eq!(memory_line("MemAvailable: many", "MemAvailable:"), None);
    }
}

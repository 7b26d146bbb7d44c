//! Memory that was freed and that the allocator keeps for later.

/// Has the allocator give pages that nobody uses back to the system. What a model took is mostly larger
/// than what an allocator returns by itself, but smaller pieces between hold it.
///
/// Does nothing where the allocator is not glibc's.
pub fn give_back_free_pages() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        unsafe extern "C" {
            /// glibc, `malloc.h`: keeps `pad` bytes at the top of the heap and returns all other whole
            /// pages that are free, of every arena.
            fn malloc_trim(pad: usize) -> std::ffi::c_int;
        }
        // SAFETY: it takes the allocator's own locks, may be called at any time by any thread, and
        // touches no memory that is in use.
        let _returned_any = unsafe { malloc_trim(0) };
    }
}

#[cfg(test)]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod tests {
    use super::*;

    fn resident_bytes() -> usize {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|it| it.strip_prefix("RssAnon:"));
        let kibibytes = line.unwrap().trim().trim_end_matches(" kB");
        kibibytes.parse::<usize>().unwrap() * 1024
    }

    #[test]
    fn what_small_pieces_hold_is_given_back() {
        let pieces: Vec<Vec<u8>> = (0..4000).map(|_| vec![1; 20_000]).collect();
        let kept: Vec<Vec<u8>> = (0..10).map(|_| vec![1; 100]).collect();
        let full = resident_bytes();
        drop(pieces);
        give_back_free_pages();
        assert!(resident_bytes() + 60_000_000 < full);
        assert_eq!(kept.len(), 10);
    }
}

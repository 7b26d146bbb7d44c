//! What this machine gives at most: how fast it reads memory, and how fast it multiplies bytes.

use std::fs;
use std::hint::black_box;
use std::time::{Duration, Instant};

use sconce_kernels::peaks::{multiply_bytes, read_all};
use sconce_kernels::{Isa, Pool};
use serde_json::{Value, json};

/// Runs of each test; the best one counts, as everything that disturbs a run makes it slower.
const RUNS: usize = 5;
/// What a test of the processor takes at least.
const RUN_TIME: Duration = Duration::from_millis(30);
/// Where the system does not tell how large a cache is.
const CACHE_BYTES: usize = 64 << 20;
const BUFFER_BYTES_MIN: usize = 256 << 20;
const BUFFER_BYTES_MAX: usize = 2 << 30;

/// The bounds of this machine, with so many threads.
#[derive(Debug, Clone, PartialEq)]
pub struct Peaks {
    /// Threads that measured.
    pub threads: usize,
    /// The memory that was read over and over.
    pub read_buffer_bytes: usize,
    /// Bytes a second that all threads together read.
    pub read_bytes_per_s: f64,
    /// For each instruction set that this processor has.
    pub multiply: Vec<IsaPeak>,
}

/// How fast the instructions of one set multiply bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IsaPeak {
    /// The set.
    pub isa: Isa,
    /// Operations a second, a multiplication and an addition being two.
    pub operations_per_s: f64,
}

impl Peaks {
    /// Measures this machine with `threads` threads, with at most half of `free_bytes` of memory. Takes
    /// about a second.
    #[must_use]
    pub fn measure(threads: usize, free_bytes: Option<u64>) -> Self {
        let affordable = free_bytes.map_or(usize::MAX, |it| (it / 2) as usize);
        let cache = last_cache_bytes().unwrap_or(CACHE_BYTES);
        let wanted = (4 * cache).clamp(BUFFER_BYTES_MIN, BUFFER_BYTES_MAX);
        Self::measure_within(threads, wanted.min(affordable))
    }

    fn measure_within(threads: usize, read_buffer_bytes: usize) -> Self {
        let mut pool = Pool::new(threads);
        let sets = Isa::available();
        let multiply = sets.into_iter().map(|isa| IsaPeak {
            isa,
            operations_per_s: operations_per_s(isa, &mut pool),
        });
        let multiply = multiply.collect();
        Self {
            threads: pool.threads(),
            read_buffer_bytes,
            read_bytes_per_s: read_bytes_per_s(&mut pool, read_buffer_bytes),
            multiply,
        }
    }

    /// The peak of one set.
    #[must_use]
    pub fn of(&self, isa: Isa) -> Option<f64> {
        let found = self.multiply.iter().find(|it| it.isa == isa);
        found.map(|it| it.operations_per_s)
    }

    /// As JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        let multiply = self.multiply.iter().map(
            |it| json!({"instruction_set": it.isa.name(), "operations_per_s": it.operations_per_s}),
        );
        json!({
            "threads": self.threads,
            "read_bytes_per_s": self.read_bytes_per_s,
            "read_buffer_bytes": self.read_buffer_bytes,
            "int8_multiply": multiply.collect::<Vec<_>>(),
        })
    }
}

fn read_bytes_per_s(pool: &mut Pool, bytes: usize) -> f64 {
    // Other than zero, so that each page is one of its own.
    let words = vec![1_u64; (bytes / 8).max(1)];
    let isa = Isa::detect();
    let seconds = (0..RUNS).map(|_| {
        let begun = Instant::now();
        black_box(read_all(isa, pool, black_box(&words)));
        begun.elapsed().as_secs_f64()
    });
    (words.len() * 8) as f64 / seconds.fold(f64::INFINITY, f64::min)
}

fn operations_per_s(isa: Isa, pool: &mut Pool) -> f64 {
    let mut rounds = 1_000;
    let mut rate = |rounds| {
        let begun = Instant::now();
        let operations = multiply_bytes(isa, pool, rounds);
        (
            begun.elapsed(),
            operations as f64 / begun.elapsed().as_secs_f64(),
        )
    };
    while rate(rounds).0 < RUN_TIME {
        rounds *= 2;
    }
    (0..RUNS).map(|_| rate(rounds).1).fold(0.0, f64::max)
}

/// Bytes of the largest cache of the first processor, if the system tells.
#[must_use]
pub fn last_cache_bytes() -> Option<usize> {
    let size = |index: usize| {
        let path = format!("/sys/devices/system/cpu/cpu0/cache/index{index}/size");
        kibibytes(&fs::read_to_string(path).ok()?)
    };
    (0..8).filter_map(size).max()
}

/// A size such as `32768K`, in bytes.
fn kibibytes(text: &str) -> Option<usize> {
    let count: usize = text.trim().strip_suffix('K')?.parse().ok()?;
    count.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instruction_set_has_a_peak_and_no_better_one_is_slower_than_plain_code() {
        let peaks = Peaks::measure_within(2, 8 << 20);
        assert_eq!(peaks.multiply.len(), Isa::available().len());
        let plain = peaks.of(Isa::Portable).unwrap();
        let best = peaks.of(Isa::detect()).unwrap();
        assert!(plain > 1e6 && best >= plain, "{peaks:?}");
        assert!(peaks.read_bytes_per_s > 1e7, "{peaks:?}");
        assert!(peaks.json()["read_bytes_per_s"].is_number());
    }

    #[test]
    fn a_cache_is_as_large_as_the_system_says() {
        assert_eq!(kibibytes("32768K\n"), Some(32 << 20));
        assert_eq!(kibibytes("lots"), None);
        assert_eq!(kibibytes("99999999999999999999K"), None);
    }
}

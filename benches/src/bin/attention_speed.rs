//! Attention alone, over the keys and values of a whole model, for each type of cache.
//!
//! Usage: `attention_speed [THREADS [LAYERS [QUERY_HEADS KV_HEADS HEAD_DIM]]]`; without arguments, two
//! threads and the shape of SmolLM2-135M. Prints the time of one step over all layers and how fast
//! the cache was read: each layer has a cache of its own, so that none of it lies near by chance.
#![expect(
    clippy::print_stdout,
    reason = "a benchmark's output is what it prints"
)]

use std::time::Instant;

use anyhow::Result;
use sconce_kernels::paged_attention::{BLOCK_TOKENS, Chunk, KvCache, KvTypes, Queries, attend};
use sconce_kernels::{Isa, Pool};

const REPETITIONS: usize = 9;
/// Sequences, positions of each that are in the cache, and rows of each in the step.
const WORKLOADS: [[usize; 3]; 8] = [
    [1, 150, 1],
    [32, 150, 1],
    [1, 8_192, 1],
    [4, 8_192, 1],
    [32, 1_024, 1],
    [1, 2_048, 128],
    [1, 5_000, 4],
    [1, 5_000, 12],
];

/// Query heads, key-value heads and their length.
type Shape = [usize; 3];

fn main() -> Result<()> {
    let arguments: Vec<usize> = std::env::args()
        .skip(1)
        .map(|it| it.parse())
        .collect::<Result<_, _>>()?;
    let threads = arguments.first().copied().unwrap_or(2);
    let layers = arguments.get(1).copied().unwrap_or(30);
    let shape = match arguments.get(2..) {
        Some(&[query_heads, kv_heads, head_dim]) => [query_heads, kv_heads, head_dim],
        _ => [9, 3, 64],
    };
    println!(
        "{} on {threads} threads, {layers} layers of {shape:?}",
        Isa::detect().name()
    );
    let mut pool = Pool::new(threads);
    for workload in WORKLOADS {
        for types in KvTypes::ALL {
            report(&mut pool, (types, layers), shape, workload);
        }
    }
    Ok(())
}

fn report(pool: &mut Pool, (types, layers): (KvTypes, usize), shape: Shape, workload: [usize; 3]) {
    let [query_heads, kv_heads, head_dim] = shape;
    let [sequences, positions, rows] = workload;
    let blocks_each = positions.div_ceil(BLOCK_TOKENS);
    let caches: Vec<KvCache> = (0..layers)
        .map(|_| filled(types, sequences * blocks_each, [kv_heads, head_dim]))
        .collect();
    // Neighbours in a sequence are not neighbours in the cache.
    let tables: Vec<Vec<u32>> = (0..sequences)
        .map(|sequence| {
            let block = |index| (index * sequences + sequence) as u32;
            (0..blocks_each).map(block).collect()
        })
        .collect();
    let chunks: Vec<Chunk<'_>> = tables
        .iter()
        .enumerate()
        .map(|(sequence, blocks)| Chunk {
            first_row: sequence * rows,
            first_block: 0,
            rows,
            start: positions - rows,
            blocks,
        })
        .collect();
    let width = query_heads * head_dim;
    let values = numbers(sequences * rows * width);
    let mut out = vec![0.0; values.len()];
    let mut step = || {
        for cache in &caches {
            let queries = Queries {
                values: &values,
                stride: width,
                heads: query_heads,
                scale: 0.125,
                cap: None,
                window: usize::MAX,
                sinks: None,
            };
            attend(Isa::detect(), pool, cache, (queries, &chunks), &mut out);
        }
        std::hint::black_box(&out);
    };
    let [low, median, high] = milliseconds(&mut step);
    let bytes: usize = caches.iter().map(KvCache::bytes).sum();
    println!(
        "{sequences:3} x {positions:5} positions, {rows:3} rows each, {:?} and {:?}: {median:8.2} ms \
         ({:.2} to {:.2}), {:6.1} MB, {:5.1} GB/s",
        types.keys,
        types.values,
        low,
        high,
        bytes as f64 / 1e6,
        bytes as f64 / median / 1e6,
    );
}

/// The shortest, median and longest of several runs.
fn milliseconds(step: &mut dyn FnMut()) -> [f64; 3] {
    step();
    let mut found: Vec<f64> = (0..REPETITIONS)
        .map(|_| {
            let begun = Instant::now();
            step();
            begun.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    found.sort_by(f64::total_cmp);
    [found[0], found[REPETITIONS / 2], found[REPETITIONS - 1]]
}

fn filled(types: KvTypes, blocks: usize, [kv_heads, head_dim]: [usize; 2]) -> KvCache {
    let mut cache = KvCache::new(types, blocks, kv_heads, head_dim);
    let row = numbers(kv_heads * head_dim);
    for block in 0..blocks {
        for slot in 0..BLOCK_TOKENS {
            cache.write(Isa::detect(), (block as u32, slot), &row, &row);
        }
    }
    cache
}

fn numbers(count: usize) -> Vec<f32> {
    let number = |index: usize| (index * 7_919 % 2_003) as f32 / 1_000.0 - 1.0;
    (0..count).map(number).collect()
}

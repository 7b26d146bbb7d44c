//! Causal attention of ragged chunks, perhaps within a window, over a paged cache of half-precision
//! keys and values.
//!
//! Each query walks its context block by block with a running softmax. Blocks are cut at fixed
//! positions and every query does its own arithmetic in a fixed order, so its result depends
//! neither on how the prompt was cut into chunks nor on what else is in the batch. Several queries
//! of one chunk share the work of widening a block to single precision.
//!
//! For single queries most of the time goes into bringing keys and values from memory and widening
//! them. The processor's own conversion and asking for the next block row by row took a quarter off.
//!
//! Source of the running softmax: Milakov and Gimelshein 2018, "Online normalizer calculation for
//! softmax", algorithm 3.

mod cache;
pub mod reference;

use std::ops::Range;

pub use cache::{BLOCK_TOKENS, KvCache};

use crate::isa::for_each_isa;
use crate::lanes::{self, LANES, Lanes, exp, fused, load, sum};
use crate::soft_cap::capped;
use crate::{DisjointSlice, Isa, Pool};

/// Queries of one chunk that a task takes together.
const QUERIES_PER_TASK: usize = 8;

/// Consecutive rows of a step that belong to one sequence.
#[derive(Debug, Clone, Copy)]
pub struct Chunk<'a> {
    /// The first of its rows.
    pub first_row: usize,
    /// How many rows it has.
    pub rows: usize,
    /// The position of its first row in the sequence.
    pub start: usize,
    /// The sequence's blocks, enough for `start + rows` positions.
    pub blocks: &'a [u32],
}

/// The queries of a step: the first `heads * head_dim` values of rows `stride` apart.
#[derive(Debug, Clone, Copy)]
pub struct Queries<'a> {
    /// Rows of `stride` values.
    pub values: &'a [f32],
    /// Distance of two rows.
    pub stride: usize,
    /// Query heads; a multiple of the cache's heads.
    pub heads: usize,
    /// Multiplies each product of query and key.
    pub scale: f32,
    /// Keeps each scaled product softly within these bounds.
    pub cap: Option<f32>,
    /// Positions that a query sees, its own the last; `usize::MAX` for all.
    pub window: usize,
}

/// A few queries of one chunk and one key-value head.
#[derive(Debug, Clone, Copy)]
struct Task<'a> {
    chunk: Chunk<'a>,
    first: usize,
    count: usize,
    kv_head: usize,
}

/// Attends every row of `chunks` to the last `window` positions of its sequence up to its own.
///
/// Shapes: `out` is `[rows, heads * head_dim]`, row-major, where `rows` counts the chunks' rows.
/// Keys and values of the rows themselves must be in the cache already.
/// Reads each block's keys and values once for every eight queries: bound by memory for single
/// queries, by arithmetic for long chunks.
///
/// # Panics
/// If the shapes do not fit each other or a block is not in the cache.
pub fn attend(
    isa: Isa,
    pool: &mut Pool,
    cache: &KvCache,
    (queries, chunks): (Queries<'_>, &[Chunk<'_>]),
    out: &mut [f32],
) {
    let width = queries.heads * cache.head_dim();
    let rows: usize = chunks.iter().map(|it| it.rows).sum();
    assert!(
        queries.heads.is_multiple_of(cache.heads()),
        "heads do not share keys evenly"
    );
    assert_eq!(
        out.len(),
        rows * width,
        "the output is not rows x heads x head_dim"
    );
    assert!(queries.window > 0, "a query sees itself at least");
    let tasks = tasks(chunks, cache.heads());
    let out = DisjointSlice::new(out);
    pool.run(tasks.len(), &|index| {
        for_each_isa!(isa, attend_task(
            isa: Isa = isa,
            task: Task<'_> = tasks[index],
            cache: &KvCache = cache,
            queries: Queries<'_> = queries,
            out: &DisjointSlice<'_, f32> = &out,
        ));
    });
}

impl Task<'_> {
    /// The sequence's blocks that hold what any of the task's queries sees.
    fn blocks(&self, window: usize) -> Range<usize> {
        let first_query = self.chunk.start + self.first;
        let first = (first_query + 1).saturating_sub(window) / BLOCK_TOKENS;
        first..(first_query + self.count - 1) / BLOCK_TOKENS + 1
    }

    /// The task's queries that see a position of the sequence's block `index`.
    fn seeing(&self, index: usize, window: usize) -> Range<usize> {
        let (begin, first_query) = (index * BLOCK_TOKENS, self.chunk.start + self.first);
        let end = (begin + BLOCK_TOKENS - 1).saturating_add(window);
        begin.saturating_sub(first_query)..self.count.min(end - first_query)
    }

    /// The slots of the sequence's block `index` that `query` sees.
    fn slots(&self, query: usize, index: usize, window: usize) -> Range<usize> {
        let end = self.chunk.start + self.first + query + 1;
        let begin = index * BLOCK_TOKENS;
        let first = end.saturating_sub(window).saturating_sub(begin);
        first..BLOCK_TOKENS.min(end - begin)
    }
}

/// The step's work in pieces, the longest contexts first so that no thread is left with one alone.
fn tasks<'a>(chunks: &[Chunk<'a>], kv_heads: usize) -> Vec<Task<'a>> {
    let mut tasks = Vec::new();
    for &chunk in chunks {
        for first in (0..chunk.rows).step_by(QUERIES_PER_TASK) {
            let count = QUERIES_PER_TASK.min(chunk.rows - first);
            tasks.extend((0..kv_heads).map(|kv_head| Task {
                chunk,
                first,
                count,
                kv_head,
            }));
        }
    }
    tasks.sort_by_key(|it| std::cmp::Reverse((it.chunk.start + it.first) * it.count));
    tasks
}

/// The running softmax of a task's queries and heads, one row each.
#[derive(Debug)]
struct Running {
    /// A row of scores, later of weights, for the slots of one block.
    scores: Vec<f32>,
    largest: Vec<f32>,
    sums: Vec<f32>,
    /// What the last block's larger maximum multiplies earlier sums with.
    corrections: Vec<f32>,
}

impl Running {
    fn new(rows: usize) -> Self {
        Self {
            scores: vec![0.0; rows * LANES],
            largest: vec![f32::NEG_INFINITY; rows],
            sums: vec![0.0; rows],
            corrections: vec![0.0; rows],
        }
    }

    /// Turns the scores of `rows` to weights. In passes through memory: in one piece, the compiler
    /// vectorises two lanes at a time for the sake of the reductions.
    #[inline(always)]
    fn weigh(&mut self, rows: Range<usize>) {
        let Self {
            scores,
            largest,
            sums,
            corrections,
        } = self;
        for row in rows.clone() {
            let block = lanes::largest(load(&scores[row * LANES..]));
            let new = if block > largest[row] {
                block
            } else {
                largest[row]
            };
            corrections[row] = largest[row] - new;
            largest[row] = new;
        }
        for correction in &mut corrections[rows.clone()] {
            *correction = exp(*correction);
        }
        for row in rows.clone() {
            let scores = &mut scores[row * LANES..][..LANES];
            for lane in 0..LANES {
                scores[lane] = exp(scores[lane] - largest[row]);
            }
        }
        for row in rows {
            let sum = sum(load(&scores[row * LANES..]));
            sums[row] = sums[row].mul_add(corrections[row], sum);
        }
    }
}

#[inline(always)]
fn attend_task(
    isa: Isa,
    task: Task<'_>,
    cache: &KvCache,
    queries: Queries<'_>,
    out: &DisjointSlice<'_, f32>,
) {
    let head_dim = cache.head_dim();
    let group = queries.heads / cache.heads();
    let mut keys = vec![0.0; head_dim * BLOCK_TOKENS];
    let mut values = vec![0.0; head_dim * BLOCK_TOKENS];
    let mut running = Running::new(task.count * group);
    // A view of one query's output, which accumulates its weighted values.
    let output = |query: usize, head: usize| {
        let row = task.chunk.first_row + task.first + query;
        let offset = (row * queries.heads + task.kv_head * group + head) * head_dim;
        // SAFETY: a task owns its queries' heads, and holds one view at a time.
        unsafe { out.part(offset, head_dim) }
    };
    for query in 0..task.count {
        (0..group).for_each(|head| output(query, head).fill(0.0));
    }
    let blocks = task.blocks(queries.window);
    for index in blocks.clone() {
        let block = (task.chunk.blocks[index], task.kv_head);
        cache.widen(isa, block, &mut keys, &mut values);
        let seeing = task.seeing(index, queries.window);
        for query in seeing.clone() {
            let row = task.chunk.first_row + task.first + query;
            let slots = task.slots(query, index, queries.window);
            for head in 0..group {
                let offset = row * queries.stride + (task.kv_head * group + head) * head_dim;
                let query_values = &queries.values[offset..][..head_dim];
                let scores = &mut running.scores[(query * group + head) * LANES..][..LANES];
                score(query_values, &keys, (queries.scale, queries.cap), scores);
                hide(scores, slots.clone());
                if index + 1 < blocks.end {
                    let next = (task.chunk.blocks[index + 1], task.kv_head);
                    cache.prefetch(next, query * group + head, task.count * group);
                }
            }
        }
        running.weigh(seeing.start * group..seeing.end * group);
        for query in seeing {
            for head in 0..group {
                let row = query * group + head;
                let weights = load(&running.scores[row * LANES..]);
                accumulate(
                    weights,
                    running.corrections[row],
                    &values,
                    output(query, head),
                );
            }
        }
    }
    for query in 0..task.count {
        for head in 0..group {
            let share = running.sums[query * group + head].recip();
            output(query, head).iter_mut().for_each(|it| *it *= share);
        }
    }
}

/// Products of a query with a block's sixteen keys, summed in four chains, so that the additions of
/// one need not wait for those of another.
#[inline(always)]
fn score(query: &[f32], keys: &[f32], (scale, cap): (f32, Option<f32>), out: &mut [f32]) {
    let mut chains = [[0.0; LANES]; 4];
    for (query, keys) in query.chunks_exact(4).zip(keys.chunks_exact(4 * LANES)) {
        for chain in 0..4 {
            let keys = load(&keys[chain * LANES..]);
            chains[chain] = fused([query[chain]; LANES], keys, chains[chain]);
        }
    }
    for lane in 0..LANES {
        let left = chains[0][lane] + chains[1][lane];
        let right = chains[2][lane] + chains[3][lane];
        out[lane] = (left + right) * scale;
    }
    if let Some(cap) = cap {
        for score in &mut out[..LANES] {
            *score = capped(*score, cap);
        }
    }
}

/// Hides all slots but `seen`.
#[inline(always)]
fn hide(scores: &mut [f32], seen: Range<usize>) {
    scores[..seen.start].fill(f32::NEG_INFINITY);
    scores[seen.end..].fill(f32::NEG_INFINITY);
}

/// Adds a block's weighted values to what earlier blocks gave.
#[inline(always)]
fn accumulate(weights: Lanes, correction: f32, values: &[f32], out: &mut [f32]) {
    let dims = out.len();
    for (part, out) in out.chunks_exact_mut(LANES).enumerate() {
        let mut total = load(out);
        for lane in 0..LANES {
            total[lane] *= correction;
        }
        for slot in 0..BLOCK_TOKENS {
            let values = load(&values[slot * dims + part * LANES..]);
            total = fused([weights[slot]; LANES], values, total);
        }
        out.copy_from_slice(&total);
    }
}

#[cfg(test)]
mod tests;

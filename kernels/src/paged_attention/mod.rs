//! Causal attention of ragged chunks, perhaps within a window, over a paged cache of keys and values in
//! half precision or in eight bits.
//!
//! Each query walks its context span by span with a running softmax. Spans are cut at fixed
//! positions and every query does its own arithmetic in a fixed order, so its result depends
//! neither on how the prompt was cut into chunks nor on what else is in the batch. Several queries
//! of one chunk share the work of widening a span to single precision, and what is widened lies near
//! them all while each is scored against its keys, then while each mixes its values.
//!
//! Source of the running softmax: Milakov and Gimelshein 2018, "Online normalizer calculation for
//! softmax", algorithm 3.

mod cache;
mod product;
pub mod reference;
mod running;
mod task;

pub use cache::{BLOCK_TOKENS, KvCache, KvType, KvTypes};

use crate::isa::for_each_isa;
use crate::{DisjointSlice, Isa, Pool};
use task::{Task, attend_task};

/// Positions that a query passes at a time: each span costs it a look for the largest score and, where
/// that grew, a correction of what it has mixed.
const SPAN_TOKENS: usize = 4 * BLOCK_TOKENS;

/// Rows, each a head of a query, that a task takes together: a span is widened once for all of them.
const ROWS_PER_TASK: usize = 96;

/// What widening a position costs a task, in rows that could attend to it meanwhile.
const WIDENING_COST_ROWS: usize = 12;

/// Consecutive rows of a step that belong to one sequence.
#[derive(Debug, Clone, Copy)]
pub struct Chunk<'a> {
    /// The first of its rows.
    pub first_row: usize,
    /// How many rows it has.
    pub rows: usize,
    /// The position of its first row in the sequence.
    pub start: usize,
    /// The number within the sequence of the first block that is still held: 0, or more where no row
    /// looks further back.
    pub first_block: usize,
    /// The sequence's blocks from that one on, enough for `start + rows` positions.
    pub blocks: &'a [u32],
}

impl Chunk<'_> {
    /// The block that has this number within the sequence.
    ///
    /// # Panics
    /// If it is not held.
    #[must_use]
    #[inline(always)]
    pub fn block(&self, number: usize) -> u32 {
        self.blocks[number - self.first_block]
    }

    /// Whether the blocks that are held begin early enough for all its rows.
    fn holds_what_it_sees(&self, window: usize) -> bool {
        self.first_block * BLOCK_TOKENS <= (self.start + 1).saturating_sub(window)
    }
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
    /// For each head a score that takes part in the softmax and has no value: a place for attention to
    /// go that finds nothing. Neither scaled nor bounded. Source: Xiao et al. 2023, "Efficient Streaming
    /// Language Models with Attention Sinks", section 3.3.
    pub sinks: Option<&'a [f32]>,
}

/// Attends every row of `chunks` to the last `window` positions of its sequence up to its own.
///
/// Shapes: `out` is `[rows, heads * head_dim]`, row-major, where `rows` counts the chunks' rows.
/// Keys and values of the rows themselves must be in the cache already.
/// Reads each block's keys and values once for a task's queries, many of them in long chunks: bound by
/// memory for single queries, by arithmetic for long chunks.
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
    assert!(
        queries.sinks.is_none_or(|it| it.len() == queries.heads),
        "a head has one sink"
    );
    assert!(
        chunks
            .iter()
            .all(|it| it.holds_what_it_sees(queries.window)),
        "a chunk sees blocks that it does not hold any more"
    );
    let group = queries.heads / cache.heads();
    let tasks = tasks(chunks, [cache.heads(), group], pool.threads());
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

/// The step's work in pieces, the longest contexts first so that no thread is left with one alone.
fn tasks<'a>(chunks: &[Chunk<'a>], [kv_heads, group]: [usize; 2], threads: usize) -> Vec<Task<'a>> {
    let queries_max = (ROWS_PER_TASK / group).max(1);
    let cost = |queries: usize| WIDENING_COST_ROWS + queries * group;
    let context = |chunk: &Chunk<'_>| (chunk.start + chunk.rows).max(1);
    let whole = |chunk: &Chunk<'_>| {
        chunk.rows.div_ceil(queries_max) * cost(queries_max.min(chunk.rows)) * context(chunk)
    };
    let total: usize = chunks.iter().map(whole).sum::<usize>() * kv_heads;
    let mut tasks = Vec::new();
    for &chunk in chunks {
        let others = (total - whole(&chunk) * kv_heads) / context(&chunk);
        // Each piece widens the context anew, so they are as few as keep the threads busy: the time of
        // the thread that takes most, or of all work shared evenly, whichever is more.
        let time = |queries: &usize| {
            let pieces = chunk.rows.div_ceil(*queries) * kv_heads;
            let longest = pieces.div_ceil(threads) * threads * cost(*queries);
            longest.max(pieces * cost(*queries) + others)
        };
        let choice = (1..=queries_max.min(chunk.rows)).rev().min_by_key(time);
        let queries = choice.unwrap_or(1);
        for first in (0..chunk.rows).step_by(queries) {
            let count = queries.min(chunk.rows - first);
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

#[cfg(test)]
mod tests;

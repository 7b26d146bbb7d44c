//! A few queries of one chunk and one key-value head, attended block by block.

use std::cell::RefCell;
use std::ops::Range;

use super::running::{Running, Stretch};
use super::{BLOCK_TOKENS, Chunk, KvCache, Queries, SPAN_TOKENS};
use crate::{DisjointSlice, Isa};

/// What one task attends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Task<'a> {
    pub(super) chunk: Chunk<'a>,
    /// The first of its queries within the chunk.
    pub(super) first: usize,
    pub(super) count: usize,
    pub(super) kv_head: usize,
}

impl Task<'_> {
    /// The positions that any of the task's queries sees.
    fn positions(&self, window: usize) -> Range<usize> {
        let first_query = self.chunk.start + self.first;
        (first_query + 1).saturating_sub(window)..first_query + self.count
    }

    /// The task's queries that see a position of a span.
    fn seeing(&self, span: &Range<usize>, window: usize) -> Range<usize> {
        let first_query = self.chunk.start + self.first;
        let end = (span.end - 1).saturating_add(window);
        span.start.saturating_sub(first_query)..self.count.min(end - first_query)
    }

    /// The slots of a span that `query` sees.
    fn slots(&self, query: usize, span: &Range<usize>, window: usize) -> Range<usize> {
        let end = self.chunk.start + self.first + query + 1;
        let first = end.saturating_sub(window).saturating_sub(span.start);
        first..span.end.min(end) - span.start
    }
}

/// What a thread keeps between tasks.
#[derive(Debug, Default)]
struct Workspace {
    running: Running,
    stretches: Vec<Stretch>,
    /// Of one span, `[head_dim, SPAN_TOKENS]`.
    keys: Vec<f32>,
    /// Of one span, `[SPAN_TOKENS, head_dim]`.
    values: Vec<f32>,
}

thread_local! {
    static WORKSPACE: RefCell<Workspace> = RefCell::default();
}

#[inline(always)]
pub(super) fn attend_task(
    isa: Isa,
    task: Task<'_>,
    cache: &KvCache,
    queries: Queries<'_>,
    out: &DisjointSlice<'_, f32>,
) {
    let mut workspace = WORKSPACE.take();
    attend_with(&mut workspace, isa, (task, cache, queries), out);
    WORKSPACE.set(workspace);
}

#[inline(always)]
fn attend_with(
    workspace: &mut Workspace,
    isa: Isa,
    (task, cache, queries): (Task<'_>, &KvCache, Queries<'_>),
    out: &DisjointSlice<'_, f32>,
) {
    let head_dim = cache.head_dim();
    let group = queries.heads / cache.heads();
    // The group's heads of a query lie side by side, in the input as in the output.
    let row_of = |query: usize| task.chunk.first_row + task.first + query;
    let first_head = task.kv_head * group * head_dim;
    let running = &mut workspace.running;
    running.begin(head_dim, queries.scale, queries.cap);
    let sinks = queries.sinks.map(|it| &it[task.kv_head * group..][..group]);
    for query in 0..task.count {
        let heads = &queries.values[row_of(query) * queries.stride + first_head..];
        running.push(&heads[..group * head_dim], sinks);
    }
    workspace.keys.resize(head_dim * SPAN_TOKENS, 0.0);
    workspace.values.resize(SPAN_TOKENS * head_dim, 0.0);
    let positions = task.positions(queries.window);
    let first_span = positions.start / SPAN_TOKENS * SPAN_TOKENS;
    for start in (first_span..positions.end).step_by(SPAN_TOKENS) {
        let span = start..start + SPAN_TOKENS;
        attend_span(workspace, isa, (task, cache, queries), &span);
    }
    for query in 0..task.count {
        let offset = row_of(query) * queries.heads * head_dim + first_head;
        // SAFETY: a task owns its queries' heads, and holds one view at a time.
        let out = unsafe { out.part(offset, group * head_dim) };
        workspace.running.finish(query * group, out);
    }
}

/// Scores all rows before it mixes any, so that the nearest cache holds keys or values, and not both.
#[inline(always)]
fn attend_span(
    workspace: &mut Workspace,
    isa: Isa,
    (task, cache, queries): (Task<'_>, &KvCache, Queries<'_>),
    span: &Range<usize>,
) {
    let Workspace {
        running,
        stretches,
        keys,
        values,
    } = workspace;
    let (window, group) = (queries.window, queries.heads / cache.heads());
    let positions = task.positions(window);
    let blocks = positions.start.max(span.start) / BLOCK_TOKENS
        ..positions.end.min(span.end).div_ceil(BLOCK_TOKENS);
    let last = (positions.end - 1) / BLOCK_TOKENS;
    // A block, that which will be in its place in the next span, and the slot of its first position.
    let places = blocks.map(|index| {
        let next = (index + SPAN_TOKENS / BLOCK_TOKENS).min(last);
        let pair = [index, next].map(|it| task.chunk.block(it));
        (pair, index * BLOCK_TOKENS - span.start)
    });
    for (pair, slot) in places.clone() {
        cache.widen_keys(isa, pair, task.kv_head, (&mut keys[slot..], SPAN_TOKENS));
    }
    find_stretches(stretches, (task, span), [window, group]);
    for stretch in &*stretches {
        running.score(isa, stretch, keys);
        for first in stretch.rows.clone().step_by(group) {
            let seen = task.slots(first / group, span, window);
            running.hide(first..first + group, &stretch.slots, &seen);
        }
        running.weigh(stretch);
    }
    let head_dim = cache.head_dim();
    for (pair, slot) in places {
        let values = &mut values[slot * head_dim..][..BLOCK_TOKENS * head_dim];
        cache.widen_values(isa, pair, task.kv_head, values);
    }
    for stretch in stretches {
        running.mix(isa, stretch, values);
    }
}

/// The task's rows that see something of a span, in stretches that see the same blocks of it.
fn find_stretches(
    stretches: &mut Vec<Stretch>,
    (task, span): (Task<'_>, &Range<usize>),
    [window, group]: [usize; 2],
) {
    stretches.clear();
    for query in task.seeing(span, window) {
        let seen = task.slots(query, span, window);
        let slots =
            seen.start / BLOCK_TOKENS * BLOCK_TOKENS..seen.end.next_multiple_of(BLOCK_TOKENS);
        let rows = query * group..(query + 1) * group;
        match stretches.last_mut() {
            Some(last) if last.slots == slots => last.rows.end = rows.end,
            _ => stretches.push(Stretch { rows, slots }),
        }
    }
}

//! A few queries of one chunk and one key-value head, attended block by block.

use std::cell::RefCell;
use std::ops::Range;

use super::cache::WideBlock;
use super::running::Running;
use super::{BLOCK_TOKENS, Chunk, KvCache, Queries};
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

/// What a thread keeps between tasks.
#[derive(Debug, Default)]
struct Workspace {
    wide: WideBlock,
    running: Running,
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
    let Workspace { wide, running } = workspace;
    let head_dim = cache.head_dim();
    let group = queries.heads / cache.heads();
    // The group's heads of a query lie side by side, in the input as in the output.
    let row_of = |query: usize| task.chunk.first_row + task.first + query;
    let first_head = task.kv_head * group * head_dim;
    running.begin(head_dim, queries.scale, queries.cap);
    let sinks = queries.sinks.map(|it| &it[task.kv_head * group..][..group]);
    for query in 0..task.count {
        let heads = &queries.values[row_of(query) * queries.stride + first_head..];
        running.push(&heads[..group * head_dim], sinks);
    }
    let blocks = task.blocks(queries.window);
    for index in blocks.clone() {
        let next = (index + 1).min(blocks.end - 1);
        let pair = [index, next].map(|it| task.chunk.block(it));
        cache.widen(isa, pair, task.kv_head, wide);
        let seeing = task.seeing(index, queries.window);
        let rows = seeing.start * group..seeing.end * group;
        running.score(rows.clone(), &wide.keys);
        for query in seeing {
            let slots = task.slots(query, index, queries.window);
            running.hide(query * group..(query + 1) * group, slots);
        }
        running.weigh(rows.clone());
        running.accumulate(rows, &wide.values);
    }
    for query in 0..task.count {
        let offset = row_of(query) * queries.heads * head_dim + first_head;
        // SAFETY: a task owns its queries' heads, and holds one view at a time.
        let out = unsafe { out.part(offset, group * head_dim) };
        running.finish(query * group, out);
    }
}

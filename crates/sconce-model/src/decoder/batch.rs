//! A step's tokens: consecutive rows for each sequence, sequence after sequence.

use sconce_domain::{KvGroups, TokenId};
use sconce_engine::Strand;
use sconce_kernels::paged_attention::Chunk;

/// The blocks that one group of layers holds of a sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockTable {
    /// The number within the sequence of the first block that is still held.
    first: usize,
    blocks: Vec<u32>,
}

impl BlockTable {
    /// All blocks of a sequence, from its beginning on.
    #[must_use]
    pub fn whole(blocks: Vec<u32>) -> Self {
        Self { first: 0, blocks }
    }

    /// The same for each of `groups`, where those of a group are `stride` blocks further on than those of
    /// the group before it.
    #[must_use]
    pub fn whole_of_each(groups: KvGroups, blocks: &[u32], stride: u32) -> Vec<Self> {
        let of = |group: u32| blocks.iter().map(|it| it + group * stride).collect();
        let groups = 0..groups.boundless + groups.windowed;
        groups.map(|group| Self::whole(of(group))).collect()
    }

    /// Positions that have a place, or had one.
    fn end(&self) -> usize {
        (self.first + self.blocks.len()) * super::BLOCK_TOKENS
    }
}

impl From<&Strand> for BlockTable {
    fn from(strand: &Strand) -> Self {
        Self {
            first: strand.first() as usize,
            blocks: strand.blocks().iter().map(|it| it.0).collect(),
        }
    }
}

/// Consecutive tokens of one sequence.
#[derive(Debug, Clone, Copy)]
pub struct BatchChunk<'a> {
    /// The tokens.
    pub tokens: &'a [TokenId],
    /// The position of the first.
    pub start: usize,
    /// The sequence's blocks, a table for each group of layers ([`Decoder::kv_groups`]): enough for
    /// `start + tokens.len()` positions, as far as the group's layers see them.
    ///
    /// [`Decoder::kv_groups`]: super::Decoder::kv_groups
    pub blocks: &'a [BlockTable],
    /// Which of its rows need logits.
    pub logits: LogitRows,
}

/// Which rows of a chunk need logits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogitRows {
    /// None: more of the prompt is to come.
    None,
    /// The last: a token is drawn from it.
    Last,
    /// All: a text is scored.
    All,
}

/// What one step computes.
#[derive(Debug)]
pub struct Batch<'a> {
    chunks: &'a [BatchChunk<'a>],
    /// The chunks as each group of layers sees them.
    attention: Vec<Vec<Chunk<'a>>>,
    /// The row of each chunk's first token.
    first_rows: Vec<usize>,
    rows: usize,
}

impl<'a> Batch<'a> {
    /// A batch of `chunks`, each of another sequence.
    ///
    /// # Panics
    /// If a chunk is empty, has too few blocks, or has not as many tables as the others.
    #[must_use]
    pub fn new(chunks: &'a [BatchChunk<'a>]) -> Self {
        let (mut first_rows, mut rows) = (Vec::with_capacity(chunks.len()), 0);
        for chunk in chunks {
            assert!(!chunk.tokens.is_empty(), "a chunk without tokens");
            first_rows.push(rows);
            rows += chunk.tokens.len();
        }
        let groups = chunks.first().map_or(0, |it| it.blocks.len());
        assert!(
            chunks.iter().all(|it| it.blocks.len() == groups),
            "a chunk has a table for each group of layers"
        );
        let place = |(chunk, &first_row): (&'a BatchChunk<'a>, &usize), group: usize| {
            let table = &chunk.blocks[group];
            let (end, room) = (chunk.start + chunk.tokens.len(), table.end());
            assert!(end <= room, "{end} positions do not fit {room} slots");
            Chunk {
                first_row,
                rows: chunk.tokens.len(),
                start: chunk.start,
                first_block: table.first,
                blocks: &table.blocks,
            }
        };
        let placed = |group| {
            let chunks = chunks.iter().zip(&first_rows);
            chunks.map(|it| place(it, group)).collect()
        };
        Self {
            chunks,
            attention: (0..groups).map(placed).collect(),
            first_rows,
            rows,
        }
    }

    /// Tokens in the batch.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The chunks with the blocks of one group of layers.
    pub(crate) fn attention(&self, group: usize) -> &[Chunk<'a>] {
        &self.attention[group]
    }

    pub(crate) fn tokens(&self) -> impl Iterator<Item = TokenId> {
        self.chunks
            .iter()
            .flat_map(|chunk| chunk.tokens.iter().copied())
    }

    pub(crate) fn positions(&self) -> impl Iterator<Item = u32> {
        self.chunks
            .iter()
            .flat_map(|chunk| (0..chunk.tokens.len()).map(|row| (chunk.start + row) as u32))
    }

    /// The rows that need logits.
    pub(crate) fn logit_rows(&self) -> impl Iterator<Item = usize> {
        self.chunks
            .iter()
            .zip(&self.first_rows)
            .flat_map(|(chunk, &first_row)| {
                let end = first_row + chunk.tokens.len();
                match chunk.logits {
                    LogitRows::None => end..end,
                    LogitRows::Last => end - 1..end,
                    LogitRows::All => first_row..end,
                }
            })
    }
}

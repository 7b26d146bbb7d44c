//! A step's tokens: consecutive rows for each sequence, sequence after sequence.

use sconce_domain::TokenId;
use sconce_kernels::paged_attention::Chunk;

/// Consecutive tokens of one sequence.
#[derive(Debug, Clone, Copy)]
pub struct BatchChunk<'a> {
    /// The tokens.
    pub tokens: &'a [TokenId],
    /// The position of the first.
    pub start: usize,
    /// The sequence's blocks, enough for `start + tokens.len()` positions.
    pub blocks: &'a [u32],
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
    attention: Vec<Chunk<'a>>,
    rows: usize,
}

impl<'a> Batch<'a> {
    /// A batch of `chunks`, each of another sequence.
    ///
    /// # Panics
    /// If a chunk is empty or has too few blocks.
    #[must_use]
    pub fn new(chunks: &'a [BatchChunk<'a>]) -> Self {
        let mut rows = 0;
        let attention = chunks
            .iter()
            .map(|chunk| {
                let end = chunk.start + chunk.tokens.len();
                let room = chunk.blocks.len() * super::BLOCK_TOKENS;
                assert!(!chunk.tokens.is_empty(), "a chunk without tokens");
                assert!(end <= room, "{end} positions do not fit {room} slots");
                let first_row = rows;
                rows += chunk.tokens.len();
                let (start, blocks) = (chunk.start, chunk.blocks);
                Chunk {
                    first_row,
                    rows: chunk.tokens.len(),
                    start,
                    blocks,
                }
            })
            .collect();
        Self {
            chunks,
            attention,
            rows,
        }
    }

    /// Tokens in the batch.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn attention(&self) -> &[Chunk<'a>] {
        &self.attention
    }

    pub(crate) fn tokens(&self) -> impl Iterator<Item = TokenId> {
        self.chunks
            .iter()
            .flat_map(|chunk| chunk.tokens.iter().copied())
    }

    pub(crate) fn positions(&self) -> impl Iterator<Item = u32> {
        self.attention
            .iter()
            .flat_map(|chunk| (0..chunk.rows).map(|row| (chunk.start + row) as u32))
    }

    /// The rows that need logits.
    pub(crate) fn logit_rows(&self) -> impl Iterator<Item = usize> {
        self.chunks
            .iter()
            .zip(&self.attention)
            .flat_map(|(chunk, place)| {
                let end = place.first_row + place.rows;
                match chunk.logits {
                    LogitRows::None => end..end,
                    LogitRows::Last => end - 1..end,
                    LogitRows::All => place.first_row..end,
                }
            })
    }
}

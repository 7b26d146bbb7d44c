//! One layer's keys and values in blocks of sixteen positions, in half precision.
//!
//! Layout: keys are `[block][head][dim][slot]`, so that the products of a query with sixteen keys
//! need no sum across lanes; values are `[block][head][slot][dim]`.

use crate::lanes::{LANES, half_to_single, single_to_half};

/// Positions in a block: as many as the virtual register has lanes.
pub const BLOCK_TOKENS: usize = LANES;

/// Keys and values of one layer.
#[derive(Debug)]
pub struct KvCache {
    heads: usize,
    head_dim: usize,
    keys: Vec<u16>,
    values: Vec<u16>,
}

impl KvCache {
    /// A cache of `blocks` blocks. The system hands out its pages when they are first written.
    ///
    /// # Panics
    /// If `head_dim` is not a multiple of 16.
    #[must_use]
    pub fn new(blocks: usize, heads: usize, head_dim: usize) -> Self {
        assert!(
            head_dim.is_multiple_of(LANES),
            "head_dim {head_dim} is not a multiple of {LANES}"
        );
        let length = blocks * heads * head_dim * BLOCK_TOKENS;
        Self {
            heads,
            head_dim,
            keys: vec![0; length],
            values: vec![0; length],
        }
    }

    /// Bytes that one block takes in a cache of this shape.
    #[must_use]
    pub fn block_bytes(heads: usize, head_dim: usize) -> usize {
        2 * heads * head_dim * BLOCK_TOKENS * size_of::<u16>()
    }

    /// Bytes of all blocks, whether or not the system has handed them out yet.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of_val(&self.keys[..]) + size_of_val(&self.values[..])
    }

    /// Key-value heads.
    #[must_use]
    pub fn heads(&self) -> usize {
        self.heads
    }

    /// Length of a head.
    #[must_use]
    pub fn head_dim(&self) -> usize {
        self.head_dim
    }

    /// Writes the key and value of one position, rounded to half precision; what half precision
    /// cannot hold becomes its largest number.
    ///
    /// Shapes: `key` and `value` are `[heads, head_dim]`.
    ///
    /// # Panics
    /// If the block is not in the cache.
    pub fn write(&mut self, block: u32, slot: usize, key: &[f32], value: &[f32]) {
        assert!(slot < BLOCK_TOKENS, "slot {slot} of {BLOCK_TOKENS}");
        for head in 0..self.heads {
            let start = self.start(block, head);
            let rows = head * self.head_dim..(head + 1) * self.head_dim;
            for (dim, &key) in key[rows.clone()].iter().enumerate() {
                self.keys[start + dim * BLOCK_TOKENS + slot] = single_to_half(key);
            }
            let values = &mut self.values[start + slot * self.head_dim..][..self.head_dim];
            for (stored, &value) in values.iter_mut().zip(&value[rows]) {
                *stored = single_to_half(value);
            }
        }
    }

    /// Widens one head of a block to single precision, in the cache's own layout.
    #[inline(always)]
    pub(crate) fn widen(&self, block: u32, head: usize, keys: &mut [f32], values: &mut [f32]) {
        let start = self.start(block, head);
        let length = self.head_dim * BLOCK_TOKENS;
        let stored = self.keys[start..][..length]
            .iter()
            .zip(&self.values[start..][..length]);
        for ((key, value), (&stored_key, &stored_value)) in
            keys.iter_mut().zip(values.iter_mut()).zip(stored)
        {
            *key = half_to_single(stored_key);
            *value = half_to_single(stored_value);
        }
    }

    /// The key and value of one position, as the cache holds them.
    #[must_use]
    pub fn read(&self, block: u32, slot: usize, head: usize) -> (Vec<f32>, Vec<f32>) {
        let start = self.start(block, head);
        let key = |dim: usize| half_to_single(self.keys[start + dim * BLOCK_TOKENS + slot]);
        let value = |dim: usize| half_to_single(self.values[start + slot * self.head_dim + dim]);
        (
            (0..self.head_dim).map(key).collect(),
            (0..self.head_dim).map(value).collect(),
        )
    }

    #[inline(always)]
    fn start(&self, block: u32, head: usize) -> usize {
        (block as usize * self.heads + head) * self.head_dim * BLOCK_TOKENS
    }
}

//! One layer's keys and values in blocks of sixteen positions.
//!
//! Layout, whatever the type: keys are `[block][head][dim][slot]`, so that the products of a query with
//! sixteen keys need no sum across lanes; values are `[block][head][slot][dim]`.

mod eight_bit;
mod half_precision;

use crate::Isa;
use crate::isa::for_each_isa;
use crate::lanes::LANES;
use eight_bit::EightBit;
use half_precision::HalfPrecision;

/// Positions in a block: as many as the virtual register has lanes.
pub const BLOCK_TOKENS: usize = LANES;

/// How keys and values are stored. What attention reads is always what is stored, so neither changes the
/// promise that a prompt in pieces is computed as it is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KvType {
    /// Half precision.
    F16,
    /// Integers of eight bits, and a scale in half precision for each 32 of a position's head.
    Q8_0,
}

/// The type of keys, and that of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvTypes {
    /// Of keys. Those of some models have a few dims that are a hundred times the others, and whatever
    /// such a dim is off by counts in every score: eight bits are too few for them.
    pub keys: KvType,
    /// Of values.
    pub values: KvType,
}

impl KvTypes {
    /// Those that are of use: both alike, or keys as they are and values in eight bits.
    pub const ALL: [Self; 3] = [
        Self::both(KvType::F16),
        Self::both(KvType::Q8_0),
        Self {
            keys: KvType::F16,
            values: KvType::Q8_0,
        },
    ];

    /// The same of both.
    #[must_use]
    pub const fn both(kv_type: KvType) -> Self {
        Self {
            keys: kv_type,
            values: kv_type,
        }
    }
}

/// Keys and values of one layer.
#[derive(Debug)]
pub struct KvCache {
    shape: Shape,
    keys: Store,
    values: Store,
}

/// What one position of a cache holds: so many heads, each of so many keys and as many values.
#[derive(Debug, Clone, Copy)]
struct Shape {
    heads: usize,
    head_dim: usize,
}

impl Shape {
    /// Keys, or values, of one head of a block.
    fn numbers(self) -> usize {
        self.head_dim * BLOCK_TOKENS
    }

    /// Which head of all blocks this is.
    #[inline(always)]
    fn index(self, block: u32, head: usize) -> usize {
        block as usize * self.heads + head
    }
}

/// Keys, or values.
#[derive(Debug)]
enum Store {
    Half(HalfPrecision),
    Eight(EightBit),
}

impl KvCache {
    /// A cache of `blocks` blocks. The system hands out its pages when they are first written.
    ///
    /// # Panics
    /// If `head_dim` is not a multiple of 16.
    #[must_use]
    pub fn new(types: KvTypes, blocks: usize, heads: usize, head_dim: usize) -> Self {
        assert!(
            head_dim.is_multiple_of(LANES),
            "head_dim {head_dim} is not a multiple of {LANES}"
        );
        let shape = Shape { heads, head_dim };
        let store = |kv_type| match kv_type {
            KvType::F16 => Store::Half(HalfPrecision::new(shape, blocks)),
            KvType::Q8_0 => Store::Eight(EightBit::new(shape, blocks)),
        };
        Self {
            shape,
            keys: store(types.keys),
            values: store(types.values),
        }
    }

    /// Bytes that one block takes in a cache of these types and this shape.
    #[must_use]
    pub fn block_bytes(types: KvTypes, heads: usize, head_dim: usize) -> usize {
        let shape = Shape { heads, head_dim };
        let head_bytes = |kv_type| match kv_type {
            KvType::F16 => half_precision::head_bytes(shape),
            KvType::Q8_0 => eight_bit::head_bytes(shape),
        };
        heads * (head_bytes(types.keys) + head_bytes(types.values))
    }

    /// Bytes of all blocks, whether or not the system has handed them out yet.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let bytes = |store: &Store| match store {
            Store::Half(store) => store.bytes(),
            Store::Eight(store) => store.bytes(),
        };
        bytes(&self.keys) + bytes(&self.values)
    }

    /// Key-value heads.
    #[must_use]
    pub fn heads(&self) -> usize {
        self.shape.heads
    }

    /// Length of a head.
    #[must_use]
    pub fn head_dim(&self) -> usize {
        self.shape.head_dim
    }

    /// Writes the key and value of one position, rounded to what the cache stores. What half precision
    /// cannot hold becomes its largest number first, so that the cache holds finite numbers only.
    ///
    /// Shapes: `key` and `value` are `[heads, head_dim]`; `place` is block and slot.
    ///
    /// # Panics
    /// If the place is not in the cache.
    pub fn write(&mut self, isa: Isa, place: (u32, usize), key: &[f32], value: &[f32]) {
        for_each_isa!(isa, write(
            cache: &mut KvCache = self,
            place: (u32, usize) = place,
            key: &[f32] = key,
            value: &[f32] = value,
        ));
    }

    /// Widens the keys of one head of a block to single precision, and asks for those of block `next`
    /// line by line, so that they are near when it is their turn.
    ///
    /// Shape: `out` is `[head_dim, 16]`, its rows `stride` apart.
    #[inline(always)]
    pub(super) fn widen_keys(
        &self,
        isa: Isa,
        [block, next]: [u32; 2],
        head: usize,
        (out, stride): (&mut [f32], usize),
    ) {
        let heads = [block, next].map(|it| self.shape.index(it, head));
        match &self.keys {
            Store::Half(store) => store.widen(isa, heads, (out, stride)),
            Store::Eight(store) => store.widen_keys(isa, heads, (out, stride)),
        }
    }

    /// The same of values.
    ///
    /// Shape: `out` is `[16, head_dim]`.
    #[inline(always)]
    pub(super) fn widen_values(
        &self,
        isa: Isa,
        [block, next]: [u32; 2],
        head: usize,
        out: &mut [f32],
    ) {
        let heads = [block, next].map(|it| self.shape.index(it, head));
        match &self.values {
            Store::Half(store) => store.widen(isa, heads, (out, LANES)),
            Store::Eight(store) => store.widen_values(isa, heads, out),
        }
    }

    /// The key and value of one position, as the cache holds them.
    #[must_use]
    pub fn read(&self, block: u32, slot: usize, head: usize) -> (Vec<f32>, Vec<f32>) {
        let (head, dims) = (self.shape.index(block, head), self.shape.head_dim);
        let read = |store: &Store, place: (usize, usize)| match store {
            Store::Half(store) => store.read(head, place.1),
            Store::Eight(store) => store.read(head, slot, place),
        };
        let key = |dim| read(&self.keys, (dim, dim * BLOCK_TOKENS + slot));
        let value = |dim| read(&self.values, (dim, slot * dims + dim));
        ((0..dims).map(key).collect(), (0..dims).map(value).collect())
    }
}

#[inline(always)]
fn write(cache: &mut KvCache, (block, slot): (u32, usize), key: &[f32], value: &[f32]) {
    assert!(slot < BLOCK_TOKENS, "slot {slot} of {BLOCK_TOKENS}");
    let dims = cache.shape.head_dim;
    let rows = key.chunks_exact(dims).zip(value.chunks_exact(dims));
    for (head, (key, value)) in rows.enumerate() {
        let place = (cache.shape.index(block, head), slot);
        match &mut cache.keys {
            Store::Half(store) => store.write_key(place, key),
            Store::Eight(store) => store.write_key(place, key),
        }
        match &mut cache.values {
            Store::Half(store) => store.write_value(place, value),
            Store::Eight(store) => store.write_value(place, value),
        }
    }
}

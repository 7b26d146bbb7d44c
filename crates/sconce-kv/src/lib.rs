//! Which sequence owns which KV block; prefix reuse; eviction. Knows ids only: the keys and
//! values themselves lie with the executor.
//!
//! A block is *referenced* (in the table of one or more sequences), or *free*. A free block is
//! blank, or still *cached*: its content is known by a key, and the next sequence that starts
//! with the same tokens takes it instead of computing it. Cached free blocks are evicted when
//! blank ones run out, the least recently released first.
//!
//! # Layers that look back over a window
//! Layers come in groups, of which each has blocks of its own for the same positions: a block holds
//! what one group's layers keep of sixteen positions, say, and all groups have as many layers, so that
//! any block can be any group's. A sequence has a *strand* of blocks for each group. Where the group's
//! layers look back over a window, blocks are given back as soon as they lie behind it, while the
//! sequence runs, and so a strand is bounded, however long the sequence is. What is given back stays
//! cached until its place is needed.
//!
//! - A prefix is found again if the groups without a window have all of it, and the others the blocks
//!   that the next token sees. So the longest such prefix may lie behind a shorter one that has been
//!   lost, and the search goes on over what is missing as long as only windows miss it.
//! - A strand with a window takes the blocks that a step can reach, not those of a whole prompt. What
//!   it gives back is what it takes next, unless others share it: then a prompt can find no block on
//!   its way, and somebody gives way, as for a stream.
//! - To go back needs what the windows saw there. If it was given back, the table is of no use, and
//!   the sequence begins again with what the cache still has, as after a preemption.
//!
//! # Why a hash chain
//! The keys and values of a token depend on every token before it, so a block's key must name
//! its whole past. `key = hash(key of the block before, tokens of this block)` does that at the
//! price of one block. The chain's root is the hash of the tenant, so that no key of one tenant
//! can ever meet a key of another, and the time an answer takes tells nobody what other
//! tenants asked. SHA-256 because tokens come from clients: a collision would serve one prompt
//! with the cache of another.

mod chain;
mod error;
mod extent;
mod invariants;
mod pool;
mod table;

pub use error::KvError;
pub use extent::Extents;
pub use pool::BlockPool;
pub use table::Strand;

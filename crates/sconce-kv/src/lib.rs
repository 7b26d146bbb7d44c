//! Which sequence owns which KV block; prefix reuse; eviction. Knows ids only: the keys and
//! values themselves lie with the executor.
//!
//! A block is *referenced* (in the table of one or more sequences), or *free*. A free block is
//! blank, or still *cached*: its content is known by a key, and the next sequence that starts
//! with the same tokens takes it instead of computing it. Cached free blocks are evicted when
//! blank ones run out, the least recently released first.
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
mod pool;

pub use error::KvError;
pub use pool::BlockPool;

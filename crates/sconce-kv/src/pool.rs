//! The blocks, the sequences' tables, and the cache of full blocks.

use std::collections::BTreeMap;

use sconce_domain::{BlockCount, BlockId, BlockSize, SequenceId, TenantId, TokenCount, TokenId};

use crate::KvError;
use crate::chain::BlockKey;

/// All KV blocks of one device: who holds them and what the free ones still remember.
///
/// Only full blocks are shared, and a block that is cut back is taken out of the cache first, or
/// left to those who share it: a shared block is never written.
#[derive(Debug)]
pub struct BlockPool {
    size: BlockSize,
    blocks: Vec<Block>,
    /// Free blocks that remember nothing.
    blank: Vec<BlockId>,
    /// Where each known content lies.
    cached: BTreeMap<BlockKey, BlockId>,
    /// Free blocks that are cached, by the time of their release.
    idle: BTreeMap<u64, BlockId>,
    /// Counts releases of blocks: the only clock there is.
    releases: u64,
    evictions: u64,
    tables: BTreeMap<SequenceId, Table>,
}

#[derive(Debug, Clone, Default)]
struct Block {
    /// Tables it stands in.
    references: u32,
    /// Its content's name, if the cache points here.
    key: Option<BlockKey>,
    /// Its place in `idle`, while it is there.
    idle_since: u64,
}

#[derive(Debug)]
struct Table {
    blocks: Vec<BlockId>,
    /// The key before the first block.
    root: BlockKey,
    /// The keys of the blocks at the front that are full and have gone through the cache.
    keys: Vec<BlockKey>,
}

impl BlockPool {
    /// A pool whose blocks are all blank.
    #[must_use]
    pub fn new(size: BlockSize, total: BlockCount) -> Self {
        Self {
            size,
            blocks: vec![Block::default(); total.0 as usize],
            blank: (0..total.0).rev().map(BlockId).collect(),
            cached: BTreeMap::new(),
            idle: BTreeMap::new(),
            releases: 0,
            evictions: 0,
            tables: BTreeMap::new(),
        }
    }

    /// Opens a table for `sequence` and puts in the longest cached prefix of `known` that ends
    /// with a full block and leaves at least one token to compute.
    ///
    /// Returns the tokens that need not be computed.
    ///
    /// # Panics
    /// If the sequence already has a table.
    pub fn adopt(
        &mut self,
        sequence: SequenceId,
        tenant: &TenantId,
        known: &[TokenId],
    ) -> TokenCount {
        let mut table = Table {
            blocks: Vec::new(),
            root: BlockKey::root(tenant),
            keys: Vec::new(),
        };
        for (key, block) in self.cached_prefix(tenant, known) {
            self.reference(block);
            table.blocks.push(block);
            table.keys.push(key);
        }
        let adopted = TokenCount(table.keys.len() as u32 * self.size.tokens().0);
        let earlier = self.tables.insert(sequence, table);
        assert!(earlier.is_none(), "{sequence} has a table already");
        adopted
    }

    /// Whether a sequence without a table could have the blocks of `tokens` tokens now, if it
    /// adopts what it can of `known`.
    #[must_use]
    pub fn fits(&self, tenant: &TenantId, known: &[TokenId], tokens: TokenCount) -> bool {
        let prefix = self.cached_prefix(tenant, known);
        let in_use = |id: &BlockId| self.blocks[id.0 as usize].references > 0;
        let shared = prefix.iter().filter(|(_, id)| in_use(id)).count() as u32;
        let all = self.size.blocks_for(tokens);
        BlockCount(all.0 - shared) <= self.free()
    }

    /// Gives `sequence` the blocks that `tokens` tokens need. On error nothing has changed.
    ///
    /// # Errors
    /// [`KvError::Exhausted`] if fewer blocks are free than it lacks.
    ///
    /// # Panics
    /// If the sequence has no table.
    pub fn grow(&mut self, sequence: SequenceId, tokens: TokenCount) -> Result<(), KvError> {
        let held = self.table(sequence).len() as u32;
        let wanted = BlockCount(self.size.blocks_for(tokens).0.saturating_sub(held));
        let free = self.free();
        if wanted > free {
            return Err(KvError::Exhausted {
                sequence,
                wanted,
                free,
            });
        }
        for _ in 0..wanted.0 {
            let block = self.take_free();
            self.open_table(sequence).blocks.push(block);
        }
        Ok(())
    }

    /// Enters the blocks that `computed` has newly filled into the cache. `computed` are the
    /// sequence's tokens from the first on whose keys and values are written.
    ///
    /// Where an equal block is cached already, that one stays the cached one and this one stays
    /// the sequence's own.
    ///
    /// # Panics
    /// If the sequence has no table, or fewer blocks than it has computed.
    pub fn seal(&mut self, sequence: SequenceId, computed: &[TokenId]) {
        let block_tokens = self.block_tokens();
        let table = self.tables.get_mut(&sequence).expect(TABLE_IS_OPEN);
        for tokens in computed.chunks_exact(block_tokens).skip(table.keys.len()) {
            let block = table.blocks[table.keys.len()];
            let key = table.tip().child(tokens);
            table.keys.push(key);
            self.cached.entry(key).or_insert_with(|| {
                self.blocks[block.0 as usize].key = Some(key);
                block
            });
        }
    }

    /// Cuts the table of `sequence` so that positions from `kept` on can be written anew. Returns
    /// how many tokens are still there: `kept`, or fewer where the block that `kept` cuts in two
    /// is shared, as that one goes too.
    ///
    /// Blocks behind the cut stay cached if they are: what is in them is still true. The block
    /// that is cut is not, as it is about to be written.
    ///
    /// # Panics
    /// If the sequence has no table, or fewer blocks than `kept` tokens need.
    pub fn truncate(&mut self, sequence: SequenceId, kept: TokenCount) -> TokenCount {
        let full = self.size.full_blocks_in(kept).0 as usize;
        let partial = self.size.blocks_for(kept).0 as usize;
        let table = self.table_of(sequence);
        let is_cut = partial > full && table.keys.len() > full;
        let is_shared = is_cut && self.blocks[table.blocks[full].0 as usize].references > 1;
        let held = if is_shared { full } else { partial };
        let behind = self.open_table(sequence).blocks.split_off(held);
        self.dereference_all(&behind);
        let table = self.open_table(sequence);
        table.keys.truncate(full);
        if let Some(&cut) = table.blocks.get(full) {
            self.forget(cut);
        }
        kept.min(TokenCount(held as u32 * self.size.tokens().0))
    }

    /// Closes the table of `sequence` and drops its references. A sequence without a table is
    /// left alone.
    pub fn release(&mut self, sequence: SequenceId) {
        if let Some(table) = self.tables.remove(&sequence) {
            self.dereference_all(&table.blocks);
        }
    }

    /// The blocks of `sequence`, in order of position.
    ///
    /// # Panics
    /// If the sequence has no table.
    #[must_use]
    pub fn table(&self, sequence: SequenceId) -> &[BlockId] {
        &self.table_of(sequence).blocks
    }

    /// The sequences that have a table.
    pub fn sequences(&self) -> impl Iterator<Item = SequenceId> {
        self.tables.keys().copied()
    }

    /// Tokens in one block.
    #[must_use]
    pub fn block_size(&self) -> BlockSize {
        self.size
    }

    /// All blocks.
    #[must_use]
    pub fn total(&self) -> BlockCount {
        BlockCount(self.blocks.len() as u32)
    }

    /// Blocks in the table of at least one sequence.
    #[must_use]
    pub fn referenced(&self) -> BlockCount {
        BlockCount(self.total().0 - self.free().0)
    }

    /// Blocks whose content can be found again, referenced or not.
    #[must_use]
    pub fn cached(&self) -> BlockCount {
        BlockCount(self.cached.len() as u32)
    }

    /// Blocks whose content can be found again and that nobody holds: those that are free, and not
    /// blank.
    #[must_use]
    pub fn idle(&self) -> BlockCount {
        BlockCount(self.idle.len() as u32)
    }

    /// Times that the cache has lost a block's content since the start, as its place was needed.
    #[must_use]
    pub fn evictions(&self) -> u64 {
        self.evictions
    }

    /// Blocks that `grow` can give, cached ones included.
    #[must_use]
    pub fn free(&self) -> BlockCount {
        BlockCount((self.blank.len() + self.idle.len()) as u32)
    }

    /// Checks that no block is lost, given twice, or shared while it is not full.
    ///
    /// # Panics
    /// If one is.
    pub fn check_invariants(&self) {
        let mut references = vec![0; self.blocks.len()];
        for (sequence, table) in &self.tables {
            assert!(
                table.keys.len() <= table.blocks.len(),
                "{sequence} sealed what it does not hold"
            );
            for (index, &id) in table.blocks.iter().enumerate() {
                references[id.0 as usize] += 1;
                let block = &self.blocks[id.0 as usize];
                let is_private = block.references == 1 && block.key.is_none();
                assert!(
                    index < table.keys.len() || is_private,
                    "{id:?} is shared before it is full"
                );
                assert!(
                    block.references == 1 || block.key.is_some(),
                    "{id:?} is shared unnamed"
                );
            }
        }
        for id in &self.blank {
            assert_eq!(
                self.blocks[id.0 as usize].key, None,
                "{id:?} is blank, yet remembers"
            );
        }
        for (&released, id) in &self.idle {
            assert!(
                self.blocks[id.0 as usize].key.is_some(),
                "{id:?} is idle without a name"
            );
            assert_eq!(
                self.blocks[id.0 as usize].idle_since, released,
                "{id:?} is misfiled"
            );
        }
        for (&key, id) in &self.cached {
            assert_eq!(
                self.blocks[id.0 as usize].key,
                Some(key),
                "{id:?} is cached as another"
            );
        }
        self.check_each_block_is_in_one_place(&references);
    }

    fn check_each_block_is_in_one_place(&self, references: &[u32]) {
        let mut places: Vec<u32> = references.iter().map(|&count| count.min(1)).collect();
        for id in self.blank.iter().chain(self.idle.values()) {
            places[id.0 as usize] += 1;
        }
        let mut named = 0;
        for (index, block) in self.blocks.iter().enumerate() {
            assert_eq!(
                block.references, references[index],
                "block {index} is miscounted"
            );
            assert_eq!(places[index], 1, "block {index} is lost or in two places");
            named += usize::from(block.key.is_some());
        }
        assert_eq!(
            named,
            self.cached.len(),
            "a block has a name that the cache does not know"
        );
    }

    /// The longest run of cached blocks that `known` begins with and that leaves one token over.
    fn cached_prefix(&self, tenant: &TenantId, known: &[TokenId]) -> Vec<(BlockKey, BlockId)> {
        let adoptable = known.len().saturating_sub(1) / self.block_tokens();
        let mut found = Vec::new();
        let mut tip = BlockKey::root(tenant);
        for tokens in known.chunks_exact(self.block_tokens()).take(adoptable) {
            tip = tip.child(tokens);
            let Some(&block) = self.cached.get(&tip) else {
                break;
            };
            found.push((tip, block));
        }
        found
    }

    fn block_tokens(&self) -> usize {
        self.size.tokens().0 as usize
    }

    fn table_of(&self, sequence: SequenceId) -> &Table {
        self.tables.get(&sequence).expect(TABLE_IS_OPEN)
    }

    fn open_table(&mut self, sequence: SequenceId) -> &mut Table {
        self.tables.get_mut(&sequence).expect(TABLE_IS_OPEN)
    }

    fn reference(&mut self, id: BlockId) {
        let block = &mut self.blocks[id.0 as usize];
        if block.references == 0 {
            self.idle.remove(&block.idle_since);
        }
        block.references += 1;
    }

    /// From the end, so that the end is evicted first: a block is of no use without those before
    /// it.
    fn dereference_all(&mut self, blocks: &[BlockId]) {
        for &id in blocks.iter().rev() {
            self.dereference(id);
        }
    }

    fn dereference(&mut self, id: BlockId) {
        self.releases += 1;
        let block = &mut self.blocks[id.0 as usize];
        block.references -= 1;
        if block.references > 0 {
            return;
        }
        if block.key.is_some() {
            block.idle_since = self.releases;
            self.idle.insert(self.releases, id);
        } else {
            self.blank.push(id);
        }
    }

    /// A blank block, or the cached one that was not used for longest, emptied.
    fn take_free(&mut self) -> BlockId {
        let id = self.blank.pop().unwrap_or_else(|| self.evict());
        self.blocks[id.0 as usize].references = 1;
        id
    }

    fn evict(&mut self) -> BlockId {
        let (_, id) = self
            .idle
            .pop_first()
            .expect("the caller has seen that a block is free");
        self.forget(id);
        self.evictions += 1;
        id
    }

    /// Takes a block out of the cache, if it is there.
    fn forget(&mut self, id: BlockId) {
        if let Some(key) = self.blocks[id.0 as usize].key.take() {
            self.cached.remove(&key);
        }
    }
}

impl Table {
    /// The key of the last full block, or the root.
    fn tip(&self) -> BlockKey {
        self.keys.last().copied().unwrap_or(self.root)
    }
}

const TABLE_IS_OPEN: &str = "a sequence adopts before anything else, and not after its release";

//! The blocks, the sequences' tables, and the cache of full blocks.

use std::collections::BTreeMap;

use sconce_domain::{
    BlockCount, BlockId, BlockSize, KvGroups, SequenceId, TenantId, TokenCount, TokenId,
};

use crate::KvError;
use crate::chain::BlockKey;
use crate::extent::{Extent, Extents};
use crate::table::{Strand, Table};

/// All KV blocks of one device: who holds them and what the free ones still remember.
///
/// Only full blocks are shared, and a block that is cut back is taken out of the cache first, or
/// left to those who share it: a shared block is never written.
#[derive(Debug)]
pub struct BlockPool {
    size: BlockSize,
    /// What each group of layers needs of a sequence.
    pub(crate) extents: Extents,
    pub(crate) blocks: Vec<Block>,
    /// Free blocks that remember nothing.
    pub(crate) blank: Vec<BlockId>,
    /// Where each known content lies.
    pub(crate) cached: BTreeMap<Name, BlockId>,
    /// Free blocks that are cached, by the time of their release.
    pub(crate) idle: BTreeMap<u64, BlockId>,
    pub(crate) tables: BTreeMap<SequenceId, Table>,
    /// Counts releases of blocks: the only clock there is.
    releases: u64,
    evictions: u64,
    passed: u64,
}

/// Names a content: that of one group of layers, after all that the key names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    key: BlockKey,
    group: u32,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Block {
    /// Tables it stands in.
    pub(crate) references: u32,
    /// Its content's name, if the cache points here.
    pub(crate) name: Option<Name>,
    /// Its place in `idle`, while it is there.
    pub(crate) idle_since: u64,
}

/// The part of a sequence that need not be computed.
struct Prefix {
    keys: Vec<BlockKey>,
    /// For each group, what it needs to go on from the prefix's end.
    strands: Vec<Strand>,
}

/// What the cache has of a sequence for one group of layers, block by block.
#[derive(Debug, Clone, Default)]
struct Found {
    blocks: Vec<Option<BlockId>>,
    /// The number after that of the last block that is missing.
    first: u32,
}

impl Found {
    fn push(&mut self, block: Option<BlockId>) {
        self.blocks.push(block);
        if block.is_none() {
            self.first = self.blocks.len() as u32;
        }
    }
}

impl BlockPool {
    /// A pool of `total` blocks, all blank, for sequences of which a step computes at most
    /// `step_tokens_max` tokens each.
    ///
    /// # Panics
    /// If there is no group of layers, or one that sees nothing.
    #[must_use]
    pub fn new(
        size: BlockSize,
        total: BlockCount,
        groups: KvGroups,
        step_tokens_max: TokenCount,
    ) -> Self {
        Self {
            size,
            extents: Extents::new(size, groups, step_tokens_max),
            blocks: vec![Block::default(); total.0 as usize],
            blank: (0..total.0).rev().map(BlockId).collect(),
            cached: BTreeMap::new(),
            idle: BTreeMap::new(),
            tables: BTreeMap::new(),
            releases: 0,
            evictions: 0,
            passed: 0,
        }
    }

    /// Opens a table for `sequence` and puts in the longest cached prefix of `known` that ends
    /// with a full block and leaves at least one token to compute. Of a group with a window, the
    /// blocks that the token behind the prefix sees must be cached, and are put in, and no others.
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
        let Prefix { keys, strands } = self.cached_prefix(tenant, known);
        for &block in strands.iter().flat_map(|it| &it.blocks) {
            self.reference(block);
        }
        let adopted = self.tokens_in(keys.len());
        let root = BlockKey::root(tenant);
        let table = Table {
            strands,
            root,
            keys,
        };
        let earlier = self.tables.insert(sequence, table);
        assert!(earlier.is_none(), "{sequence} has a table already");
        adopted
    }

    /// Whether a sequence without a table could have the blocks that [`BlockPool::grow`] gives for
    /// `tokens` tokens now, if it adopts what it can of `known`.
    #[must_use]
    pub fn fits(&self, tenant: &TenantId, known: &[TokenId], tokens: TokenCount) -> bool {
        let Prefix { strands, .. } = self.cached_prefix(tenant, known);
        let in_use = |id: &&BlockId| self.blocks[id.0 as usize].references > 0;
        let adopted = strands.iter().flat_map(|it| &it.blocks);
        let shared = adopted.filter(in_use).count() as u32;
        let held = |(extent, strand): (&Extent, &Strand)| {
            extent.end(strand.first, tokens).max(strand.end()) - strand.first
        };
        let all: u32 = self.extents.iter().zip(&strands).map(held).sum();
        BlockCount(all - shared) <= self.free()
    }

    /// Blocks that a sequence of `tokens` tokens holds at most, on its way to them and in the end.
    #[must_use]
    pub fn blocks_for(&self, tokens: TokenCount) -> BlockCount {
        self.extents.blocks_for(tokens)
    }

    /// Tokens of the longest sequence that the blocks can hold, as far as its windows need it.
    #[must_use]
    pub fn tokens_max(&self) -> TokenCount {
        self.extents.tokens_max(self.total())
    }

    /// Gives `sequence` the blocks that its first `tokens` tokens need; where there is a window,
    /// as many of them as the next step can come to. On error nothing has changed.
    ///
    /// # Errors
    /// [`KvError::Exhausted`] if fewer blocks are free than it lacks.
    ///
    /// # Panics
    /// If the sequence has no table.
    pub fn grow(&mut self, sequence: SequenceId, tokens: TokenCount) -> Result<(), KvError> {
        let lacks = |(extent, strand): (&Extent, &Strand)| {
            extent
                .end(strand.first, tokens)
                .saturating_sub(strand.end())
        };
        let strands = self.strands(sequence);
        let lacking: Vec<u32> = self.extents.iter().zip(strands).map(lacks).collect();
        let (wanted, free) = (BlockCount(lacking.iter().sum()), self.free());
        if wanted > free {
            return Err(KvError::Exhausted {
                sequence,
                wanted,
                free,
            });
        }
        for (group, lacking) in lacking.into_iter().enumerate() {
            for _ in 0..lacking {
                let block = self.take_free();
                self.open_table(sequence).strands[group].blocks.push(block);
            }
        }
        Ok(())
    }

    /// Enters the blocks that `computed` has newly filled into the cache, and gives back those that
    /// no layer will look at again. `computed` are the sequence's tokens from the first on whose
    /// keys and values are written.
    ///
    /// Where another sequence holds an equal block, that one stays the cached one and this one stays
    /// the sequence's own. One that nobody holds gives its name to this one, and is blank: it would be
    /// evicted while this one is in use, and who begins alike would find neither.
    ///
    /// # Panics
    /// If the sequence has no table, or fewer blocks than it has computed.
    pub fn seal(&mut self, sequence: SequenceId, computed: &[TokenId]) {
        let block_tokens = self.block_tokens();
        let table = self.tables.get_mut(&sequence).expect(TABLE_IS_OPEN);
        for tokens in computed.chunks_exact(block_tokens).skip(table.keys.len()) {
            let (number, key) = (table.keys.len() as u32, table.tip().child(tokens));
            table.keys.push(key);
            for (group, strand) in (0..).zip(&table.strands) {
                let block = strand.block(number).expect(FULL_BLOCKS_ARE_HELD);
                let name = Name { key, group };
                if let Some(&equal) = self.cached.get(&name) {
                    let copy = &mut self.blocks[equal.0 as usize];
                    if copy.references > 0 {
                        continue;
                    }
                    copy.name = None;
                    self.idle.remove(&copy.idle_since);
                    self.blank.push(equal);
                }
                self.cached.insert(name, block);
                self.blocks[block.0 as usize].name = Some(name);
            }
        }
        self.pass(sequence, TokenCount(computed.len() as u32));
    }

    /// Gives back what lies behind all windows of whoever goes on at `position`.
    fn pass(&mut self, sequence: SequenceId, position: TokenCount) {
        let table = self.tables.get_mut(&sequence).expect(TABLE_IS_OPEN);
        let strands = self.extents.iter().zip(&mut table.strands);
        let passed: Vec<_> = strands
            .flat_map(|(extent, strand)| strand.pass(extent.first(position)))
            .collect();
        self.passed += passed.len() as u64;
        self.dereference_all(passed);
    }

    /// Cuts the table of `sequence` so that positions from `kept` on can be written anew. Returns
    /// how many tokens are still there: `kept`, or fewer where the block that `kept` cuts in two
    /// is shared, as that one goes too. Returns nothing, and changes nothing, where a window would
    /// see a block from there that was given back.
    ///
    /// Blocks behind the cut stay cached if they are: what is in them is still true. The block
    /// that is cut is not, as it is about to be written.
    ///
    /// # Panics
    /// If the sequence has no table, or fewer blocks than `kept` tokens need.
    pub fn truncate(&mut self, sequence: SequenceId, kept: TokenCount) -> Option<TokenCount> {
        let full = self.size.full_blocks_in(kept).0;
        let partial = self.size.blocks_for(kept).0;
        let table = self.table_of(sequence);
        let is_cut = partial > full && table.keys.len() > full as usize;
        let cut = table.strands.iter().filter_map(|it| it.block(full));
        let mut cut_while_shared = cut.filter(|it| self.blocks[it.0 as usize].references > 1);
        let is_shared = is_cut && cut_while_shared.next().is_some();
        let held = if is_shared { full } else { partial };
        let kept = kept.min(TokenCount(held * self.size.tokens().0));
        let mut seen = self.extents.iter().zip(&table.strands);
        if seen.any(|(extent, strand)| extent.first(kept) < strand.first) {
            return None;
        }
        let strands = self.open_table(sequence).strands.iter_mut();
        let behind: Vec<_> = strands.flat_map(|it| it.cut(held)).collect();
        self.dereference_all(behind);
        let table = self.open_table(sequence);
        table.keys.truncate(full as usize);
        let cut: Vec<_> = table
            .strands
            .iter()
            .filter_map(|it| it.block(full))
            .collect();
        for block in cut {
            self.forget(block);
        }
        Some(kept)
    }

    /// Closes the table of `sequence` and drops its references. A sequence without a table is
    /// left alone.
    pub fn release(&mut self, sequence: SequenceId) {
        if let Some(mut table) = self.tables.remove(&sequence) {
            let strands = table.strands.iter_mut();
            let all: Vec<_> = strands.flat_map(|it| it.cut(0)).collect();
            self.dereference_all(all);
        }
    }

    /// The blocks of `sequence`, for each group of layers.
    ///
    /// # Panics
    /// If the sequence has no table.
    #[must_use]
    pub fn strands(&self, sequence: SequenceId) -> &[Strand] {
        &self.table_of(sequence).strands
    }

    /// Whether `sequence` holds the blocks of its first `known` tokens; where there is a window,
    /// those of the first `computed`, as the next ones are taken when they are needed.
    ///
    /// # Panics
    /// If the sequence has no table.
    #[must_use]
    pub fn holds(&self, sequence: SequenceId, computed: TokenCount, known: TokenCount) -> bool {
        let holds = |(extent, strand): (&Extent, &Strand)| {
            let tokens = if extent.is_boundless() {
                known
            } else {
                computed
            };
            strand.end() >= self.size.blocks_for(tokens).0
        };
        self.extents.iter().zip(self.strands(sequence)).all(holds)
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

    /// Blocks that sequences have given back since the start because their windows had passed them.
    #[must_use]
    pub fn passed(&self) -> u64 {
        self.passed
    }

    /// Blocks that `grow` can give, cached ones included.
    #[must_use]
    pub fn free(&self) -> BlockCount {
        BlockCount((self.blank.len() + self.idle.len()) as u32)
    }

    /// The longest run of cached blocks that `known` begins with, that leaves one token over, and
    /// of which each group has what that token sees.
    fn cached_prefix(&self, tenant: &TenantId, known: &[TokenId]) -> Prefix {
        let adoptable = known.len().saturating_sub(1) / self.block_tokens();
        let (mut keys, mut tip) = (Vec::new(), BlockKey::root(tenant));
        let mut found = vec![Found::default(); self.extents.count()];
        let mut best = 0;
        for tokens in known.chunks_exact(self.block_tokens()).take(adoptable) {
            tip = tip.child(tokens);
            keys.push(tip);
            for (group, found) in (0..).zip(&mut found) {
                found.push(self.cached.get(&Name { key: tip, group }).copied());
            }
            let position = self.tokens_in(keys.len());
            let groups = || self.extents.iter().zip(&found);
            if groups().all(|(extent, found)| found.first <= extent.first(position)) {
                best = keys.len();
            } else if groups().any(|(extent, found)| extent.is_boundless() && found.first > 0) {
                break;
            }
        }
        keys.truncate(best);
        let strand = |(extent, found): (&Extent, &Found)| {
            let first = extent.first(self.tokens_in(best));
            let blocks = &found.blocks[first as usize..best];
            let blocks = blocks.iter().map(|it| it.expect(NONE_IS_MISSING)).collect();
            Strand { first, blocks }
        };
        let strands = self.extents.iter().zip(&found).map(strand).collect();
        Prefix { keys, strands }
    }

    fn tokens_in(&self, blocks: usize) -> TokenCount {
        TokenCount(blocks as u32 * self.size.tokens().0)
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

    /// From the end of the sequence, so that the end is evicted first: a block is of no use without
    /// those before it.
    fn dereference_all(&mut self, mut blocks: Vec<(u32, BlockId)>) {
        blocks.sort_by_key(|&(number, _)| std::cmp::Reverse(number));
        for (_, id) in blocks {
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
        if block.name.is_some() {
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
        if let Some(name) = self.blocks[id.0 as usize].name.take() {
            self.cached.remove(&name);
        }
    }
}

const TABLE_IS_OPEN: &str = "a sequence adopts before anything else, and not after its release";
const NONE_IS_MISSING: &str = "the prefix ends where all that it needs is cached";
const FULL_BLOCKS_ARE_HELD: &str = "a block is passed only after it was sealed";

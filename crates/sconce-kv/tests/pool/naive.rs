//! A pool that is slow and obviously right: it keeps whole prefixes where the real one keeps
//! hashes, and counts references anew each time.

use std::collections::{BTreeMap, BTreeSet};

use sconce_domain::TokenId;

/// Everything that a block's content depends on.
pub(crate) type Content = (&'static str, Vec<TokenId>);

#[derive(Debug)]
pub(crate) struct NaivePool {
    pub(crate) block_tokens: usize,
    pub(crate) total: usize,
    clock: u64,
    pub(crate) evictions: u64,
    tables: BTreeMap<u64, Table>,
    /// Cached contents, and when the last holder gave each back.
    cached: BTreeMap<Content, u64>,
}

#[derive(Debug)]
struct Table {
    tenant: &'static str,
    /// The content by which the cache knows each block, if it does.
    blocks: Vec<Option<Content>>,
    sealed: usize,
}

impl NaivePool {
    pub(crate) fn new(block_tokens: usize, total: usize) -> Self {
        let (tables, cached) = (BTreeMap::new(), BTreeMap::new());
        Self {
            block_tokens,
            total,
            clock: 0,
            evictions: 0,
            tables,
            cached,
        }
    }

    pub(crate) fn adopt(&mut self, id: u64, tenant: &'static str, known: &[TokenId]) -> usize {
        let mut blocks = Vec::new();
        let mut end = self.block_tokens;
        while end < known.len() && self.cached.contains_key(&(tenant, known[..end].to_vec())) {
            blocks.push(Some((tenant, known[..end].to_vec())));
            end += self.block_tokens;
        }
        let sealed = blocks.len();
        self.tables.insert(
            id,
            Table {
                tenant,
                blocks,
                sealed,
            },
        );
        sealed * self.block_tokens
    }

    /// Whether there were blocks enough.
    pub(crate) fn grow(&mut self, id: u64, tokens: usize) -> bool {
        let held = self.tables[&id].blocks.len();
        let wanted = tokens.div_ceil(self.block_tokens).saturating_sub(held);
        if wanted > self.free() {
            return false;
        }
        for _ in 0..wanted {
            if self.private() + self.cached.len() == self.total {
                self.evict();
            }
            self.table(id).blocks.push(None);
        }
        true
    }

    pub(crate) fn seal(&mut self, id: u64, computed: &[TokenId]) {
        while (self.tables[&id].sealed + 1) * self.block_tokens <= computed.len() {
            let index = self.tables[&id].sealed;
            let end = (index + 1) * self.block_tokens;
            let content = (self.tables[&id].tenant, computed[..end].to_vec());
            if !self.cached.contains_key(&content) {
                self.cached.insert(content.clone(), 0);
                self.table(id).blocks[index] = Some(content);
            }
            self.table(id).sealed += 1;
        }
    }

    /// How many of the `kept` tokens are still there.
    pub(crate) fn truncate(&mut self, id: u64, kept: usize) -> usize {
        let full = kept / self.block_tokens;
        let cut = self.tables[&id].blocks.get(full).cloned().flatten();
        let sharing = |content: &Content| {
            let tables = self.tables.values().flat_map(|it| &it.blocks);
            tables.flatten().filter(|it| *it == content).count()
        };
        let is_shared = cut.as_ref().is_some_and(|it| sharing(it) > 1);
        let held = if is_shared {
            full
        } else {
            kept.div_ceil(self.block_tokens)
        };
        let table = self.table(id);
        table.sealed = table.sealed.min(full);
        let dropped = table.blocks.split_off(held);
        if let Some(content) = table.blocks.get_mut(full).and_then(Option::take) {
            self.cached.remove(&content);
        }
        self.give_back(dropped);
        kept.min(held * self.block_tokens)
    }

    pub(crate) fn release(&mut self, id: u64) {
        if let Some(table) = self.tables.remove(&id) {
            self.give_back(table.blocks);
        }
    }

    fn give_back(&mut self, blocks: Vec<Option<Content>>) {
        for content in blocks.into_iter().rev().flatten() {
            self.clock += 1;
            if !self.held().contains(&content) {
                self.cached.insert(content, self.clock);
            }
        }
    }

    pub(crate) fn cached(&self) -> usize {
        self.cached.len()
    }

    /// Contents that no sequence holds.
    pub(crate) fn idle(&self) -> usize {
        self.cached.len() - self.held().len()
    }

    pub(crate) fn referenced(&self) -> usize {
        self.private() + self.held().len()
    }

    pub(crate) fn free(&self) -> usize {
        self.total - self.referenced()
    }

    fn table(&mut self, id: u64) -> &mut Table {
        self.tables
            .get_mut(&id)
            .expect("the test uses open tables only")
    }

    /// Contents that a sequence holds.
    fn held(&self) -> BTreeSet<&Content> {
        self.tables
            .values()
            .flat_map(|it| &it.blocks)
            .flatten()
            .collect()
    }

    /// Blocks that a sequence holds and the cache does not know.
    fn private(&self) -> usize {
        self.tables
            .values()
            .flat_map(|it| &it.blocks)
            .filter(|it| it.is_none())
            .count()
    }

    fn evict(&mut self) {
        let held = self.held();
        let idle = self
            .cached
            .iter()
            .filter(|(content, _)| !held.contains(content));
        let oldest = idle
            .min_by_key(|(_, released)| **released)
            .map(|(content, _)| content.clone());
        self.evictions += 1;
        self.cached
            .remove(&oldest.expect("grow has seen that a block is free"));
    }
}

//! A pool that is slow and obviously right: it keeps whole prefixes where the real one keeps
//! hashes, counts references anew each time, and asks of every position whether it is seen.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use sconce_domain::TokenId;

/// Everything that a block's content depends on: the group of layers, the tenant, the tokens.
pub(crate) type Content = (usize, &'static str, Vec<TokenId>);

#[derive(Debug)]
pub(crate) struct NaivePool {
    pub(crate) block_tokens: usize,
    pub(crate) total: usize,
    /// For each group of layers, how many positions a token sees.
    windows: Vec<usize>,
    /// Tokens that a step computes at most.
    step: usize,
    clock: u64,
    pub(crate) evictions: u64,
    tables: BTreeMap<u64, Table>,
    /// Cached contents, and when the last holder gave each back.
    cached: BTreeMap<Content, u64>,
}

#[derive(Debug)]
struct Table {
    tenant: &'static str,
    /// For each group, the blocks held, by their number within the sequence: the content by which
    /// the cache knows each, if it does.
    strands: Vec<BTreeMap<usize, Option<Content>>>,
    /// The first block that each group may still hold.
    firsts: Vec<usize>,
    sealed: usize,
}

impl NaivePool {
    pub(crate) fn new(block_tokens: usize, total: usize, windows: &[usize], step: usize) -> Self {
        Self {
            block_tokens,
            total,
            windows: windows.to_vec(),
            step,
            clock: 0,
            evictions: 0,
            tables: BTreeMap::new(),
            cached: BTreeMap::new(),
        }
    }

    /// The first block that a token at `position` of a sequence sees.
    fn first(&self, group: usize, position: usize) -> usize {
        let sees = |it: &usize| position - it < self.windows[group];
        let seen = (0..=position).find(sees).expect("it sees itself");
        seen / self.block_tokens
    }

    /// The number after that of the last block that a group holds of a sequence.
    fn end(&self, group: usize, first: usize, tokens: usize) -> usize {
        let all = tokens.div_ceil(self.block_tokens);
        if self.windows[group] == usize::MAX {
            return all;
        }
        // A step may begin at any position of a block.
        let touched = |offset: usize| {
            (offset + self.windows[group] - 1 + self.step).div_ceil(self.block_tokens)
        };
        let most = (0..self.block_tokens).map(touched).max();
        all.min(first + most.expect("a block has positions"))
    }

    /// The blocks that each group needs of the longest prefix that can be adopted.
    fn prefix(&self, tenant: &'static str, known: &[TokenId]) -> (usize, Vec<Range<usize>>) {
        let content = |group, number: usize| {
            let end = (number + 1) * self.block_tokens;
            (group, tenant, known[..end].to_vec())
        };
        let longest = (known.len() - 1) / self.block_tokens;
        let needed = |blocks: usize| -> Vec<Range<usize>> {
            let position = blocks * self.block_tokens;
            let groups = 0..self.windows.len();
            groups
                .map(|group| self.first(group, position)..blocks)
                .collect()
        };
        let is_cached = |blocks: &usize| {
            needed(*blocks)
                .into_iter()
                .enumerate()
                .all(|(group, mut needed)| {
                    needed.all(|number| self.cached.contains_key(&content(group, number)))
                })
        };
        let found = (0..=longest)
            .rev()
            .find(is_cached)
            .expect("nothing is always there");
        (found, needed(found))
    }

    pub(crate) fn adopt(&mut self, id: u64, tenant: &'static str, known: &[TokenId]) -> usize {
        let (sealed, needed) = self.prefix(tenant, known);
        let strand = |(group, numbers): (usize, &Range<usize>)| {
            let named = |number: usize| {
                let end = (number + 1) * self.block_tokens;
                (number, Some((group, tenant, known[..end].to_vec())))
            };
            numbers.clone().map(named).collect()
        };
        let table = Table {
            tenant,
            strands: needed.iter().enumerate().map(strand).collect(),
            firsts: needed.iter().map(|it| it.start).collect(),
            sealed,
        };
        self.tables.insert(id, table);
        sealed * self.block_tokens
    }

    /// Numbers of the blocks that `grow` would add, for each group.
    fn lacking(&self, id: u64, tokens: usize) -> Vec<Range<usize>> {
        let table = &self.tables[&id];
        let of_group = |group: usize| {
            let first = table.firsts[group];
            let held = first + table.strands[group].len();
            held..self.end(group, first, tokens).max(held)
        };
        (0..self.windows.len()).map(of_group).collect()
    }

    pub(crate) fn lacks(&self, id: u64, tokens: usize) -> usize {
        self.lacking(id, tokens)
            .into_iter()
            .map(|it| it.len())
            .sum()
    }

    /// Whether there were blocks enough.
    pub(crate) fn grow(&mut self, id: u64, tokens: usize) -> bool {
        if self.lacks(id, tokens) > self.free() {
            return false;
        }
        for (group, numbers) in self.lacking(id, tokens).into_iter().enumerate() {
            for number in numbers {
                if self.private() + self.cached.len() == self.total {
                    self.evict();
                }
                self.table(id).strands[group].insert(number, None);
            }
        }
        true
    }

    pub(crate) fn seal(&mut self, id: u64, computed: &[TokenId]) {
        while (self.tables[&id].sealed + 1) * self.block_tokens <= computed.len() {
            let number = self.tables[&id].sealed;
            let end = (number + 1) * self.block_tokens;
            for group in 0..self.windows.len() {
                let content = (group, self.tables[&id].tenant, computed[..end].to_vec());
                // What nobody holds needs no place beside what this sequence holds.
                if self.holders(&content) == 0 {
                    self.cached.insert(content.clone(), 0);
                    let block = self.table(id).strands[group].get_mut(&number);
                    *block.expect("it was grown") = Some(content);
                }
            }
            self.table(id).sealed += 1;
        }
        let mut passed = Vec::new();
        for group in 0..self.windows.len() {
            let first = self.first(group, computed.len());
            let table = self.table(id);
            table.firsts[group] = first;
            let kept = table.strands[group].split_off(&first);
            passed.push(std::mem::replace(&mut table.strands[group], kept));
        }
        self.give_back(passed);
    }

    /// How many of the `kept` tokens are still there, unless something is gone that a window sees.
    pub(crate) fn truncate(&mut self, id: u64, kept: usize) -> Option<usize> {
        let full = kept / self.block_tokens;
        let table = &self.tables[&id];
        let cut = table.strands.iter().filter_map(|it| it.get(&full));
        let is_shared = cut.flatten().any(|it| self.holders(it) > 1);
        let held = if is_shared {
            full
        } else {
            kept.div_ceil(self.block_tokens)
        };
        let kept = kept.min(held * self.block_tokens);
        if (0..self.windows.len()).any(|it| self.first(it, kept) < table.firsts[it]) {
            return None;
        }
        let table = self.table(id);
        table.sealed = table.sealed.min(full);
        let strands = table.strands.iter_mut();
        let behind: Vec<_> = strands.map(|it| it.split_off(&held)).collect();
        let strands = table.strands.iter_mut();
        let cut: Vec<_> = strands
            .filter_map(|it| it.get_mut(&full).and_then(Option::take))
            .collect();
        for content in cut {
            self.cached.remove(&content);
        }
        self.give_back(behind);
        Some(kept)
    }

    pub(crate) fn release(&mut self, id: u64) {
        if let Some(table) = self.tables.remove(&id) {
            self.give_back(table.strands);
        }
    }

    /// The last of the sequence first, and of one place the first group's.
    fn give_back(&mut self, strands: Vec<BTreeMap<usize, Option<Content>>>) {
        let ends = strands.iter().filter_map(|it| it.keys().max());
        let end = ends.max().map_or(0, |it| it + 1);
        for number in (0..end).rev() {
            for content in strands.iter().filter_map(|it| it.get(&number)) {
                self.clock += 1;
                if let Some(content) = content
                    && self.holders(content) == 0
                {
                    self.cached.insert(content.clone(), self.clock);
                }
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

    fn blocks(&self) -> impl Iterator<Item = &Option<Content>> {
        let strands = self.tables.values().flat_map(|it| &it.strands);
        strands.flat_map(BTreeMap::values)
    }

    fn holders(&self, content: &Content) -> usize {
        self.blocks().flatten().filter(|it| *it == content).count()
    }

    /// Contents that a sequence holds.
    fn held(&self) -> BTreeSet<&Content> {
        self.blocks().flatten().collect()
    }

    /// Blocks that a sequence holds and the cache does not know.
    fn private(&self) -> usize {
        self.blocks().filter(|it| it.is_none()).count()
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

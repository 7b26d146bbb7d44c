//! What must be true of a pool between any two calls.

use crate::pool::BlockPool;
use crate::table::Table;

impl BlockPool {
    /// Checks that no block is lost, given twice, or shared while it is not full.
    ///
    /// # Panics
    /// If one is.
    pub fn check_invariants(&self) {
        let mut references = vec![0; self.blocks.len()];
        for (sequence, table) in &self.tables {
            let sealed = table.keys.len() as u32;
            assert!(
                table.strands.iter().all(|it| sealed <= it.end()),
                "{sequence} sealed what it does not hold"
            );
            self.count_references(table, &mut references);
        }
        for id in &self.blank {
            assert_eq!(
                self.blocks[id.0 as usize].name, None,
                "{id:?} is blank, yet remembers"
            );
        }
        for (&released, id) in &self.idle {
            assert!(
                self.blocks[id.0 as usize].name.is_some(),
                "{id:?} is idle without a name"
            );
            assert_eq!(
                self.blocks[id.0 as usize].idle_since, released,
                "{id:?} is misfiled"
            );
        }
        for (&name, id) in &self.cached {
            assert_eq!(
                self.blocks[id.0 as usize].name,
                Some(name),
                "{id:?} is cached as another"
            );
        }
        self.check_each_block_is_in_one_place(&references);
    }

    fn count_references(&self, table: &Table, references: &mut [u32]) {
        for strand in &table.strands {
            for (number, &id) in (strand.first()..).zip(strand.blocks()) {
                references[id.0 as usize] += 1;
                let block = &self.blocks[id.0 as usize];
                let is_private = block.references == 1 && block.name.is_none();
                assert!(
                    (number as usize) < table.keys.len() || is_private,
                    "{id:?} is shared before it is full"
                );
                assert!(
                    block.references == 1 || block.name.is_some(),
                    "{id:?} is shared unnamed"
                );
            }
        }
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
            named += usize::from(block.name.is_some());
        }
        assert_eq!(
            named,
            self.cached.len(),
            "a block has a name that the cache does not know"
        );
    }
}

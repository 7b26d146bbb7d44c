//! The pool against a naive one, and its promises one by one.

mod naive;

use std::collections::BTreeMap;
use std::sync::Arc;

use naive::{Content, NaivePool};
use proptest::prelude::*;
use sconce_domain::{
    BlockCount, BlockId, BlockSize, KvGroups, SequenceId, TenantId, TokenCount, TokenId,
};
use sconce_kv::{BlockPool, KvError};

/// What a scheduler may do to a pool.
#[derive(Debug, Clone)]
enum Operation {
    Adopt {
        sequence: u64,
        tenant: &'static str,
        tokens: Vec<TokenId>,
    },
    /// Grows, and computes so many more tokens if that succeeds.
    Compute {
        sequence: u64,
        tokens: usize,
    },
    /// Forgets all but a share of what is computed, and goes on otherwise.
    Truncate {
        sequence: u64,
        percent: usize,
        rest: Vec<TokenId>,
    },
    Release {
        sequence: u64,
    },
}

fn operation() -> impl Strategy<Value = Operation> {
    // Few tokens and tenants, so that prefixes meet.
    let tokens = prop::collection::vec((0..2_u32).prop_map(TokenId), 1..14);
    let tenant = prop::sample::select(&["ada", "grace"][..]);
    prop_oneof![
        (0..5_u64, tenant, tokens.clone()).prop_map(|(sequence, tenant, tokens)| {
            Operation::Adopt {
                sequence,
                tenant,
                tokens,
            }
        }),
        (0..5_u64, 1..6_usize)
            .prop_map(|(sequence, tokens)| Operation::Compute { sequence, tokens }),
        (0..5_u64, 0..=100_usize, tokens).prop_map(|(sequence, percent, rest)| {
            Operation::Truncate {
                sequence,
                percent,
                rest,
            }
        }),
        (0..5_u64).prop_map(|sequence| Operation::Release { sequence }),
    ]
}

/// Tokens that a step computes at most.
const STEP: usize = 5;

/// Both pools, and what lies in the blocks.
struct Pair {
    pool: BlockPool,
    naive: NaivePool,
    /// The tokens of each open sequence, and how many of them are computed.
    open: BTreeMap<u64, (&'static str, Vec<TokenId>, usize)>,
    /// What was last written to each block, by which group of layers.
    written: BTreeMap<BlockId, Content>,
}

impl Pair {
    fn new(block_tokens: u32, total: u32, groups: KvGroups) -> Self {
        let windows: Vec<usize> = (0..groups.count())
            .map(|group| match group < groups.boundless as usize {
                true => usize::MAX,
                false => groups.window.0 as usize,
            })
            .collect();
        let (size, step) = (size(block_tokens), STEP as u32);
        Self {
            pool: BlockPool::new(size, BlockCount(total), groups, TokenCount(step)),
            naive: NaivePool::new(block_tokens as usize, total as usize, &windows, STEP),
            open: BTreeMap::new(),
            written: BTreeMap::new(),
        }
    }

    fn apply(&mut self, operation: Operation) {
        match operation {
            Operation::Adopt {
                sequence,
                tenant,
                tokens,
            } => {
                self.release(sequence);
                self.adopt(sequence, tenant, tokens);
            }
            Operation::Compute { sequence, tokens } => self.compute(sequence, tokens),
            Operation::Truncate {
                sequence,
                percent,
                rest,
            } => self.truncate(sequence, percent, &rest),
            Operation::Release { sequence } => self.release(sequence),
        }
        self.pool.check_invariants();
        let counts = [
            self.pool.cached(),
            self.pool.idle(),
            self.pool.referenced(),
            self.pool.free(),
        ];
        let naive = [
            self.naive.cached(),
            self.naive.idle(),
            self.naive.referenced(),
            self.naive.free(),
        ];
        assert_eq!(
            counts.map(|it| it.0 as usize),
            naive,
            "cached, idle, referenced, free"
        );
        assert_eq!(self.pool.evictions(), self.naive.evictions, "evictions");
    }

    fn adopt(&mut self, sequence: u64, tenant: &'static str, tokens: Vec<TokenId>) {
        let whose = TenantId(Arc::from(tenant));
        let fits = self
            .pool
            .fits(&whose, &tokens, TokenCount(tokens.len() as u32));
        let adopted = self.pool.adopt(SequenceId(sequence), &whose, &tokens).0 as usize;
        assert_eq!(
            adopted,
            self.naive.adopt(sequence, tenant, &tokens),
            "tokens adopted"
        );
        assert!(adopted < tokens.len(), "one token is left to compute");
        let lacking = self.naive.lacks(sequence, tokens.len());
        assert_eq!(fits, lacking <= self.naive.free(), "{lacking} are lacking");
        for (group, strand) in self.pool.strands(SequenceId(sequence)).iter().enumerate() {
            assert_eq!(strand.end() as usize * self.naive.block_tokens, adopted);
            for (number, block) in (strand.first() as usize..).zip(strand.blocks()) {
                let end = (number + 1) * self.naive.block_tokens;
                let content = (group, tenant, tokens[..end].to_vec());
                assert_eq!(self.written.get(block), Some(&content));
            }
        }
        self.open.insert(sequence, (tenant, tokens, adopted));
    }

    fn compute(&mut self, sequence: u64, tokens: usize) {
        let Some((tenant, known, computed)) = self.open.get_mut(&sequence) else {
            return;
        };
        let end = known.len().min(*computed + tokens.min(STEP));
        let free = self.pool.free();
        let grown = self.pool.grow(SequenceId(sequence), TokenCount(end as u32));
        assert_eq!(grown.is_ok(), self.naive.grow(sequence, end), "{grown:?}");
        if grown.is_err() {
            assert_eq!(self.pool.free(), free, "on error nothing has changed");
            return;
        }
        let block_tokens = self.naive.block_tokens;
        for (group, strand) in self.pool.strands(SequenceId(sequence)).iter().enumerate() {
            for position in *computed..end {
                let place = position / block_tokens - strand.first() as usize;
                let content = (group, *tenant, known[..=position].to_vec());
                self.written.insert(strand.blocks()[place], content);
            }
        }
        *computed = end;
        self.pool.seal(SequenceId(sequence), &known[..end]);
        self.naive.seal(sequence, &known[..end]);
    }

    fn truncate(&mut self, sequence: u64, percent: usize, rest: &[TokenId]) {
        let Some((_, known, computed)) = self.open.get_mut(&sequence) else {
            return;
        };
        let kept = *computed * percent / 100;
        let tokens = TokenCount(kept as u32);
        let cut = self.pool.truncate(SequenceId(sequence), tokens);
        let cut = cut.map(|it| it.0 as usize);
        assert_eq!(cut, self.naive.truncate(sequence, kept), "tokens kept");
        let Some(cut) = cut else {
            self.release(sequence);
            return;
        };
        assert!(cut <= kept, "nothing comes back");
        *computed = cut;
        known.truncate(kept);
        known.extend(rest);
    }

    fn release(&mut self, sequence: u64) {
        self.open.remove(&sequence);
        self.pool.release(SequenceId(sequence));
        self.naive.release(sequence);
    }
}

proptest! {
    #[test]
    fn the_pool_does_what_a_naive_one_does(
        block_tokens in prop::sample::select(&[1_u32, 2, 4][..]),
        total in 1..24_u32,
        boundless in 0..3_u32,
        windowed in 0..3_u32,
        window in 1..9_u32,
        operations in prop::collection::vec(operation(), 1..80),
    ) {
        let groups = KvGroups {
            boundless: if windowed == 0 { boundless.max(1) } else { boundless },
            windowed,
            window: TokenCount(window),
        };
        let mut pair = Pair::new(block_tokens, total, groups);
        for operation in operations {
            pair.apply(operation);
        }
        for sequence in 0..5 {
            pair.release(sequence);
        }
        prop_assert_eq!(pair.pool.referenced(), BlockCount(0));
    }
}

#[test]
fn a_pool_that_is_exhausted_says_so_and_stays_as_it_was() {
    let mut pool = plain_pool(3);
    let (one, other) = (SequenceId(1), SequenceId(2));
    pool.adopt(one, &TenantId::shared(), &tokens(9));
    pool.adopt(other, &TenantId::shared(), &tokens(9));
    pool.grow(one, TokenCount(5)).unwrap();
    let refused = pool.grow(other, TokenCount(8)).unwrap_err();
    let (wanted, free) = (BlockCount(2), BlockCount(1));
    assert_eq!(
        refused,
        KvError::Exhausted {
            sequence: other,
            wanted,
            free
        }
    );
    assert_eq!(
        refused.to_string(),
        "sequence 2 wants 2 more KV blocks, 1 are free: release a sequence first"
    );
    assert!(pool.strands(other)[0].blocks().is_empty());
    pool.grow(other, TokenCount(4)).unwrap();
    assert_eq!(pool.free(), BlockCount(0), "the last block is given too");
}

#[test]
fn equal_blocks_computed_side_by_side_are_cached_once_and_both_stay_good() {
    let mut pool = plain_pool(8);
    for sequence in [SequenceId(1), SequenceId(2)] {
        pool.adopt(sequence, &TenantId::shared(), &tokens(8));
        pool.grow(sequence, TokenCount(8)).unwrap();
    }
    for sequence in [SequenceId(1), SequenceId(2)] {
        pool.seal(sequence, &tokens(8));
        pool.check_invariants();
    }
    assert_eq!(
        (pool.referenced(), pool.cached()),
        (BlockCount(4), BlockCount(2))
    );
    pool.release(SequenceId(1));
    assert_eq!(
        pool.adopt(SequenceId(3), &TenantId::shared(), &tokens(9)),
        TokenCount(8)
    );
    pool.release(SequenceId(2));
    pool.release(SequenceId(3));
    pool.check_invariants();
    assert_eq!(
        (pool.referenced(), pool.cached()),
        (BlockCount(0), BlockCount(2))
    );
}

#[test]
fn what_is_computed_again_takes_the_place_of_its_copy_that_nobody_holds() {
    let group = |boundless, windowed| KvGroups {
        boundless,
        windowed,
        window: TokenCount(4),
    };
    let mut pool = BlockPool::new(size(4), BlockCount(7), group(1, 1), TokenCount(4));
    let compute = |pool: &mut BlockPool, id: u64, known: &[TokenId]| {
        let mut computed = pool.adopt(SequenceId(id), &TenantId::shared(), known).0 as usize;
        let found = computed;
        while computed < known.len() {
            computed = known.len().min(computed + 4);
            let grown = TokenCount(computed as u32);
            pool.grow(SequenceId(id), grown).unwrap();
            pool.seal(SequenceId(id), &known[..computed]);
            pool.check_invariants();
        }
        pool.release(SequenceId(id));
        found
    };
    assert_eq!(compute(&mut pool, 1, &tokens(17)), 0);
    // The window's beginning has given way, so that the rest of it is of no use to a shorter one.
    assert_eq!(compute(&mut pool, 2, &tokens(10)), 0);
    assert_eq!(compute(&mut pool, 3, &tokens(10)), 8);
}

#[test]
fn a_sequence_that_was_released_is_unknown_and_releasing_it_again_does_nothing() {
    let mut pool = plain_pool(2);
    pool.adopt(SequenceId(1), &TenantId::shared(), &tokens(4));
    pool.release(SequenceId(1));
    pool.release(SequenceId(1));
    assert_eq!(pool.sequences().count(), 0);
}

/// Blocks of four tokens, for layers that look back to the beginning.
fn plain_pool(total: u32) -> BlockPool {
    let (groups, step) = (KvGroups::one(), TokenCount(8));
    BlockPool::new(size(4), BlockCount(total), groups, step)
}

fn size(tokens: u32) -> BlockSize {
    BlockSize::new(tokens).expect("the tests use powers of two")
}

fn tokens(count: u32) -> Vec<TokenId> {
    (0..count).map(TokenId).collect()
}

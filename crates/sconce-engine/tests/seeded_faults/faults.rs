//! The list of faults: what goes wrong, where, and how.

/// One deliberate mistake.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    /// The source file, from the folder `crates` on.
    pub(crate) file: &'static str,
    pub(crate) edit: Edit,
}

/// What is written there, and what a tired programmer would have written. The first must occur
/// exactly once; how it is broken into lines does not matter.
#[derive(Debug)]
pub(crate) enum Edit {
    Expression(&'static str, &'static str),
    Statements(&'static str, &'static str),
}

use Edit::{Expression, Statements};

const CHAIN: &str = "sconce-kv/src/chain.rs";
const POOL: &str = "sconce-kv/src/pool.rs";
const SCHEDULER: &str = "sconce-scheduler/src/scheduler.rs";
const ENGINE: &str = "sconce-engine/src/engine.rs";

const fn fault(name: &'static str, file: &'static str, edit: Edit) -> Fault {
    Fault { name, file, edit }
}

pub(crate) const FAULTS: &[Fault] = &[
    fault(
        "tenants share prefixes",
        CHAIN,
        Expression("tenant.0.as_bytes()", "&b\"\"[..]"),
    ),
    fault(
        "a key forgets the blocks before it",
        CHAIN,
        Expression("self.0", "[0; 32]"),
    ),
    fault(
        "each block begins a new chain",
        POOL,
        Expression(
            "self.keys.last().copied().unwrap_or(self.root)",
            "self.root",
        ),
    ),
    fault(
        "the whole prompt is adopted and nothing is left to compute",
        POOL,
        Expression("known.len().saturating_sub(1)", "known.len()"),
    ),
    fault(
        "the last free block is never given",
        POOL,
        Expression("wanted > free", "wanted >= free"),
    ),
    fault(
        "a block that another sequence holds is given away",
        POOL,
        Expression("block.references > 0", "block.references > 1"),
    ),
    fault(
        "an adopted block can still be evicted",
        POOL,
        Expression("block.references == 0", "block.references == u32::MAX"),
    ),
    fault(
        "an evicted block is still found",
        POOL,
        Statements("self.cached.remove(&key);", ""),
    ),
    fault(
        "what was used last is evicted first",
        POOL,
        Expression("self.idle.pop_first()", "self.idle.pop_last()"),
    ),
    fault(
        "the beginning of a prefix is evicted before its end",
        POOL,
        Statements(
            "for &id in table.blocks.iter().rev() { self.dereference(id); }",
            "for &id in table.blocks.iter() { self.dereference(id); }",
        ),
    ),
    fault(
        "a block is shared before it is full",
        SCHEDULER,
        Expression(
            "&sequence.tokens[..sequence.computed.0 as usize]",
            "&sequence.tokens[..]",
        ),
    ),
    fault(
        "preemption keeps the blocks",
        SCHEDULER,
        Statements(
            "self.pool.release(id); self.counters.preemptions += 1;",
            "self.counters.preemptions += 1;",
        ),
    ),
    fault(
        "preemption forgets that nothing is computed any more",
        SCHEDULER,
        Statements("sequence.computed = TokenCount(0);", ""),
    ),
    fault(
        "a preempted sequence goes to the back of the queue",
        SCHEDULER,
        Statements(
            "self.waiting.insert(at, id);",
            "self.waiting.push_back(id);",
        ),
    ),
    fault(
        "the oldest gives way",
        SCHEDULER,
        Expression("self.running.last()", "self.running.first()"),
    ),
    fault(
        "somebody is let in as another gives way",
        SCHEDULER,
        Expression("!draft.plan.preempted.is_empty()", "false"),
    ),
    fault(
        "a cancelled sequence keeps its blocks",
        SCHEDULER,
        Statements(
            "self.running.retain(|&it| it != id); self.pool.release(id);",
            "self.running.retain(|&it| it != id);",
        ),
    ),
    fault(
        "a cancelled sequence stays in the queue",
        SCHEDULER,
        Statements("self.waiting.retain(|&it| it != id);", ""),
    ),
    fault(
        "the budget is ignored",
        SCHEDULER,
        Expression("self.limits.step_tokens_max", "TokenCount(u32::MAX)"),
    ),
    fault(
        "one sequence too many runs",
        SCHEDULER,
        Expression(
            "self.running.len() < self.limits.running_max as usize",
            "self.running.len() <= self.limits.running_max as usize",
        ),
    ),
    fault(
        "prompts go before streams",
        SCHEDULER,
        Statements(
            "self.plan_those_one_behind(&mut draft); self.plan_those_further_behind(&mut draft);",
            "self.plan_those_further_behind(&mut draft); self.plan_those_one_behind(&mut draft);",
        ),
    ),
    fault(
        "what was found in the cache is computed anew into shared blocks",
        SCHEDULER,
        Statements("sequence.computed = cached;", ""),
    ),
    fault(
        "a sequence that comes back starts again",
        SCHEDULER,
        Expression("!sequence.has_started", "true"),
    ),
    fault(
        "two answers compute one prompt twice in one step",
        SCHEDULER,
        Expression(
            "self.is_about_to_be_cached(sequence, cached, plan)",
            "false",
        ),
    ),
    fault(
        "waiting for a prefix does not ask whose it is",
        SCHEDULER,
        Expression("other.tenant == sequence.tenant", "true"),
    ),
    fault(
        "what can never fit is admitted",
        SCHEDULER,
        Expression("wanted > total", "false"),
    ),
    fault(
        "a draw comes before the last known token",
        SCHEDULER,
        Expression("tokens == sequence.behind()", "true"),
    ),
    fault(
        "a step that failed leaves its sequences behind",
        SCHEDULER,
        Statements(
            "for chunk in &plan.chunks { self.cancel(chunk.sequence); }",
            "",
        ),
    ),
    fault(
        "going back keeps the blocks behind",
        POOL,
        Expression(
            "if is_shared { full } else { partial }",
            "table.blocks.len()",
        ),
    ),
    fault(
        "a block that was cut back is still found",
        POOL,
        Statements("self.forget(cut);", ""),
    ),
    fault(
        "going back writes into a block that is shared",
        POOL,
        Expression(
            "self.blocks[table.blocks[full].0 as usize].references > 1",
            "false",
        ),
    ),
    fault(
        "blocks that were cut off still name those that come",
        POOL,
        Statements("table.keys.truncate(full);", ""),
    ),
    fault(
        "going back draws from the token behind",
        SCHEDULER,
        Expression("sequence.known().0 - 1", "sequence.known().0"),
    ),
    fault(
        "a prompt can be taken back",
        SCHEDULER,
        Expression("position < prompt", "false"),
    ),
    fault(
        "whoever goes back and finds no block does not give way",
        SCHEDULER,
        Expression(
            "!is_one_behind && self.pool.grow(id, known).is_err()",
            "false",
        ),
    ),
    fault(
        "going back does not forget",
        SCHEDULER,
        Statements("sequence.tokens.truncate(position.0 as usize);", ""),
    ),
    fault(
        "going back is not told",
        ENGINE,
        Statements(
            "self.untold.push(Event::Rewound { sequence: id, position, });",
            "",
        ),
    ),
    fault(
        "whoever has left is told that it went back",
        ENGINE,
        Statements("self.untold.retain(|it| it.sequence() != id);", ""),
    ),
    fault(
        "going back keeps drawing as before",
        ENGINE,
        Statements("rules.sampling = sampling;", ""),
    ),
    fault(
        "a stop token is told",
        ENGINE,
        Expression("verdict != Some(FinishReason::Stop)", "true"),
    ),
    fault(
        "an answer is one token too long",
        ENGINE,
        Expression(
            "generated >= rules.generated_max.0",
            "generated > rules.generated_max.0",
        ),
    ),
    fault(
        "cancelling only forgets the rules",
        ENGINE,
        Statements("self.scheduler.cancel(id);", ""),
    ),
    fault(
        "a step that failed is not told",
        ENGINE,
        Statements(
            "self.abandon(&plan, &mut stepped.events);",
            "self.scheduler.abandon(&plan);",
        ),
    ),
];

//! The list of faults, those of the engine apart: what goes wrong, where, and how.

/// One deliberate mistake.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    /// The source file, from the folder `crates` on.
    pub(crate) file: &'static str,
    pub(crate) edit: Edit,
}

/// What is written there, and what a tired programmer would have written. The first must occur
/// exactly once; how it is broken into lines does not matter.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Edit {
    Expression(&'static str, &'static str),
    Statements(&'static str, &'static str),
}

use Edit::{Expression, Statements};

const CHAIN: &str = "sconce-kv/src/chain.rs";
const POOL: &str = "sconce-kv/src/pool.rs";
const TABLE: &str = "sconce-kv/src/table.rs";
const SCHEDULER: &str = "sconce-scheduler/src/scheduler.rs";
const PLANNING: &str = "sconce-scheduler/src/planning.rs";
const QUEUE: &str = "sconce-scheduler/src/queue.rs";
const SEQUENCE: &str = "sconce-scheduler/src/sequence.rs";

pub(crate) const fn fault(name: &'static str, file: &'static str, edit: Edit) -> Fault {
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
        TABLE,
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
        Statements("self.cached.remove(&name);", ""),
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
            "blocks.sort_by_key(|&(number, _)| std::cmp::Reverse(number));",
            "blocks.sort_by_key(|&(number, _)| number);",
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
        "of a tenant's sequences the youngest goes first",
        QUEUE,
        Expression(
            "account.waiting.first_key_value()",
            "account.waiting.last_key_value()",
        ),
    ),
    fault(
        "the oldest gives way",
        PLANNING,
        Expression(
            "self.running.iter().rev().find(|it| !is_planned(it))",
            "self.running.iter().find(|it| !is_planned(it))",
        ),
    ),
    fault(
        "somebody is let in as another gives way",
        PLANNING,
        Statements(
            "draft.plan.preempted.push(id); draft.is_closed = true;",
            "draft.plan.preempted.push(id);",
        ),
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
        Statements("self.queue.leave(&sequence);", ""),
    ),
    fault(
        "the budget is ignored",
        PLANNING,
        Expression("self.limits.step_tokens_max", "TokenCount(u32::MAX)"),
    ),
    fault(
        "prompts take all that streams leave",
        PLANNING,
        Expression("Some(u64::from(rows) * POSITIONS_PER_ROW)", "None"),
    ),
    fault(
        "a crowd of prompts gets what one prompt gets",
        PLANNING,
        Expression(
            "prompts.div_ceil(streams).max(1) as u32",
            "1_u32.max(0 * prompts as u32)",
        ),
    ),
    fault(
        "a row costs the same wherever it is",
        PLANNING,
        Expression(
            "POSITIONS_PER_ROW + u64::from(start.0)",
            "POSITIONS_PER_ROW + 0 * u64::from(start.0)",
        ),
    ),
    fault(
        "one sequence too many runs",
        PLANNING,
        Expression(
            "self.running.len() < self.limits.running_max as usize",
            "self.running.len() <= self.limits.running_max as usize",
        ),
    ),
    fault(
        "prompts go before streams",
        PLANNING,
        Statements(
            "self.plan_those_one_behind(&mut draft); self.widen_prompts(&mut draft); \
             self.spare_streams(&mut draft); self.plan_those_further_behind(&mut draft);",
            "self.plan_those_further_behind(&mut draft); self.plan_those_one_behind(&mut draft);",
        ),
    ),
    fault(
        "the less urgent go first",
        QUEUE,
        Expression(
            "self.classes.iter().find(|(_, it)| it.has_waiting())",
            "self.classes.iter().rev().find(|(_, it)| it.has_waiting())",
        ),
    ),
    fault(
        "the most urgent gives way",
        SEQUENCE,
        Expression(
            "(self.priority, self.place)",
            "(Priority(-self.priority.0), self.place)",
        ),
    ),
    fault(
        "urgency does not decide who gives way",
        SEQUENCE,
        Expression("(self.priority, self.place)", "(Priority(0), self.place)"),
    ),
    fault(
        "a place is taken from an equal",
        PLANNING,
        Expression(
            "last.priority > head.priority",
            "last.priority >= head.priority",
        ),
    ),
    fault(
        "no place is taken from the less urgent",
        PLANNING,
        Expression("last.priority > head.priority", "false"),
    ),
    fault(
        "the fair queue ignores weights",
        QUEUE,
        Expression("u64::from(self.weight.0.get())", "1"),
    ),
    fault(
        "nobody is charged",
        QUEUE,
        Statements("account.spent += account.by_weight(tokens);", ""),
    ),
    fault(
        "a tenant is owed for the time it was away",
        QUEUE,
        Expression("account.spent.max(least)", "account.spent"),
    ),
    fault(
        "whoever leaves for a moment owes nothing",
        QUEUE,
        Expression("it.is_live() || it.spent > least", "it.is_live()"),
    ),
    fault(
        "a flood keeps every place",
        QUEUE,
        Expression("it.running > 1", "it.running == u32::MAX"),
    ),
    fault(
        "a tenant's only sequence gives way",
        QUEUE,
        Expression("it.running > 1", "it.running > 0"),
    ),
    fault(
        "whoever runs something takes places too",
        QUEUE,
        Expression("accounts[&sequence.tenant].running > 0", "false"),
    ),
    fault(
        "of the tenant that runs most the oldest gives way",
        PLANNING,
        Expression(
            "self.running.iter().rev().find(is_theirs)",
            "self.running.iter().find(is_theirs)",
        ),
    ),
    fault(
        "somebody gives way though there is room",
        PLANNING,
        Expression(
            "self.has_place() && self.pool.fits(&head.tenant, head.adoptable(), head.known())",
            "false",
        ),
    ),
    fault(
        "room for a place is made, and none for its blocks",
        PLANNING,
        Expression(
            "self.pool.fits(&head.tenant, head.adoptable(), head.known())",
            "true",
        ),
    ),
    fault(
        "a prompt that waits never goes before one that runs",
        PLANNING,
        Expression("claim(&waits) < claim(&runs)", "false"),
    ),
    fault(
        "what was found in the cache is computed anew into shared blocks",
        PLANNING,
        Statements("sequence.computed = cached;", ""),
    ),
    fault(
        "a sequence that comes back starts again",
        PLANNING,
        Expression("!sequence.has_started", "true"),
    ),
    fault(
        "two answers compute one prompt twice in one step",
        PLANNING,
        Expression(
            "self.is_about_to_be_cached(sequence, cached, plan)",
            "false",
        ),
    ),
    fault(
        "waiting for a prefix does not ask whose it is",
        PLANNING,
        Expression("other.tenant == sequence.tenant", "true"),
    ),
    fault(
        "what can never fit is admitted",
        SCHEDULER,
        Expression("wanted > total", "false"),
    ),
    fault(
        "a draw comes before the last known token",
        PLANNING,
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
            "table.strands[0].end()",
        ),
    ),
    fault(
        "a block that was cut back is still found",
        POOL,
        Statements("for block in cut { self.forget(block); }", ""),
    ),
    fault(
        "going back writes into a block that is shared",
        POOL,
        Expression("self.blocks[it.0 as usize].references > 1", "false"),
    ),
    fault(
        "blocks that were cut off still name those that come",
        POOL,
        Statements("table.keys.truncate(full as usize);", ""),
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
        "what is found in the cache is not scored",
        SEQUENCE,
        Expression("self.scored + 1 < self.prompt_length", "false"),
    ),
    fault(
        "what was scored before a preemption is scored again",
        SCHEDULER,
        Statements(
            "sequence.scored = sequence.scored.max(chunk.end().0 as usize);",
            "",
        ),
    ),
    fault(
        "a prompt that is scored never finds what it has scored itself",
        SEQUENCE,
        Expression("&self.tokens[..=self.scored]", "&self.tokens[..1]"),
    ),
    fault(
        "the last token of a prompt is not scored",
        SEQUENCE,
        Expression(
            "self.prompt_length - 1",
            "self.prompt_length.saturating_sub(2)",
        ),
    ),
];

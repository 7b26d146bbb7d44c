//! The faults of groups of layers and their windows.

use crate::faults::Edit::{Expression, Statements};
use crate::faults::{Fault, fault};

const EXTENT: &str = "sconce-kv/src/extent.rs";
const POOL: &str = "sconce-kv/src/pool.rs";
const PLANNING: &str = "sconce-scheduler/src/planning.rs";
const SCHEDULER: &str = "sconce-scheduler/src/scheduler.rs";

pub(crate) const FAULTS: &[Fault] = &[
    fault(
        "a block is given back that the next token sees",
        EXTENT,
        Expression(
            "(position.0 + 1).saturating_sub(window.0)",
            "(position.0 + 2).saturating_sub(window.0)",
        ),
    ),
    fault(
        "a window passes nothing",
        POOL,
        Statements(
            "self.pass(sequence, TokenCount(computed.len() as u32));",
            "",
        ),
    ),
    fault(
        "what a window has passed is never free again",
        POOL,
        Statements("self.dereference_all(passed);", ""),
    ),
    fault(
        "a window forgets that a step begins within a block",
        EXTENT,
        Expression(
            "self.size.blocks_for(further).0.saturating_add(1)",
            "self.size.blocks_for(further).0.max(1)",
        ),
    ),
    fault(
        "a window takes the blocks of the whole prompt",
        EXTENT,
        Expression("all.min(first.saturating_add(self.held_max()))", "all"),
    ),
    fault(
        "a prefix is found though its end sees something that is lost",
        POOL,
        Expression(
            "found.first <= extent.first(position)",
            "found.first <= extent.first(position) + 1",
        ),
    ),
    fault(
        "a prefix whose beginning is lost is not found",
        POOL,
        Expression(
            "extent.is_boundless() && found.first > 0",
            "found.first > 0",
        ),
    ),
    fault(
        "a group finds what another has written",
        POOL,
        Expression(
            "self.cached.get(&Name { key: tip, group })",
            "self.cached.get(&Name { key: tip, group: group / 2 })",
        ),
    ),
    fault(
        "going back to what a window has passed goes on without it",
        POOL,
        Expression("extent.first(kept) < strand.first", "false"),
    ),
    fault(
        "whoever lacks what a window sees there keeps running",
        SCHEDULER,
        Statements("self.give_way(id); return;", "return;"),
    ),
    fault(
        "a prompt's window stays where it began",
        PLANNING,
        Statements("self.widen_prompts(&mut draft);", ""),
    ),
    fault(
        "somebody gives way who is planned",
        PLANNING,
        Expression(
            "draft.plan.chunks.iter().any(|it| it.sequence == *id)",
            "false && draft.plan.chunks.iter().any(|it| it.sequence == *id)",
        ),
    ),
    fault(
        "the longest sequence is counted as if no layer had a window",
        EXTENT,
        Expression(
            "it.end(0, tokens)",
            "{ let _ = it; self.size.blocks_for(tokens).0 }",
        ),
    ),
    fault(
        "a copy that somebody holds is given away",
        POOL,
        Expression("copy.references > 0", "false"),
    ),
];

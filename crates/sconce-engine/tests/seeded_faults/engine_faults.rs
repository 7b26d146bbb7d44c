//! The faults of the engine and its constraints.

use crate::faults::Edit::{Expression, Statements};
use crate::faults::{Fault, fault};

const ENGINE: &str = "sconce-engine/src/engine.rs";
const SCHEDULER: &str = "sconce-scheduler/src/scheduler.rs";
const RULES: &str = "sconce-engine/src/rules.rs";
const CONSTRAINT: &str = "sconce-engine/src/constraint.rs";

pub(crate) const FAULTS: &[Fault] = &[
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
        "whoever has started is given up like one that has not",
        SCHEDULER,
        Expression(
            "sequence.is_some_and(|it| !it.has_started)",
            "sequence.is_some()",
        ),
    ),
    fault(
        "whoever is to be given up goes on waiting",
        SCHEDULER,
        Expression("sequence.is_some_and(|it| !it.has_started)", "false"),
    ),
    fault(
        "whoever is given up keeps its rules",
        ENGINE,
        Expression(
            "self.scheduler.expire(sequence)",
            "{ if self.scheduler.expire(sequence) { events.extend([Event::Expired { sequence }]); } false }",
        ),
    ),
    fault(
        "giving up is not told",
        ENGINE,
        Statements("events.push(Event::Expired { sequence });", ""),
    ),
    fault(
        "whoever the next step would start is given up",
        ENGINE,
        Expression(
            "self.scheduler.plan()",
            "{ self.expire(&mut stepped.events); self.scheduler.plan() }",
        ),
    ),
    fault(
        "a stop token is told",
        ENGINE,
        Expression("!matches!(verdict, Verdict::EndsBefore(_))", "true"),
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
    fault(
        "the mask is not applied",
        RULES,
        Expression(
            "constraint.map_or_else(Hold::free, Hold::to)",
            "constraint.map_or_else(Hold::free, |_| Hold::free())",
        ),
    ),
    fault(
        "a constraint is not told what was drawn",
        ENGINE,
        Expression(
            "constraint.map_or(Ok(Progress::Open), |it| it.accept(token))",
            "constraint.map_or(Ok(Progress::Open), |_| Ok(Progress::Open))",
        ),
    ),
    fault(
        "a constraint is told of the token that ends the answer",
        ENGINE,
        Expression(
            "rules.stop_tokens.contains(&token)",
            "!self.constraints.contains_key(&id) && rules.stop_tokens.contains(&token)",
        ),
    ),
    fault(
        "going back does not take the constraint back",
        ENGINE,
        Statements(
            "constraint.rewind(TokenCount(sequence.generated().len() as u32));",
            "",
        ),
    ),
    fault(
        "an answer that is complete goes on",
        ENGINE,
        Expression("Verdict::EndsWith(FinishReason::Stop)", "Verdict::GoesOn"),
    ),
    fault(
        "a constraint that fails lets its sequence go on",
        ENGINE,
        Expression(
            "self.end(chunk.sequence, FinishReason::Failed(Failure::Form), stepped)",
            "Outcome::Computed",
        ),
    ),
    fault(
        "a constraint that fails is not told of",
        ENGINE,
        Statements("stepped.lost.push((chunk.sequence, failure));", ""),
    ),
    fault(
        "a constraint that fails is blamed on the device",
        ENGINE,
        Expression(
            "Verdict::EndsBefore(FinishReason::Failed(Failure::Form))",
            "Verdict::EndsBefore(FinishReason::Failed(Failure::Device))",
        ),
    ),
    fault(
        "a constraint is held to another's answer",
        RULES,
        Expression(
            "all.remove(&chunk.sequence).filter(|_| draws)",
            "all.pop_first().map(|it| it.1).filter(|_| draws)",
        ),
    ),
    fault(
        "a constraint outlives its sequence",
        ENGINE,
        Statements("self.constraints.remove(&sequence);", ""),
    ),
    fault(
        "a set of no tokens is drawn from",
        CONSTRAINT,
        Expression("mask.is_empty()", "false"),
    ),
    fault(
        "a sequence that wants no token gets one",
        RULES,
        Expression("self.generated_max.0 > 0", "true"),
    ),
    fault(
        "the token that ends a scored sequence is not told",
        ENGINE,
        Expression("self.tells_unsaid(sequence)", "false"),
    ),
];

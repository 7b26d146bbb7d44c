//! What each token does by itself: a gated part, or a few of many experts.

use sconce_kernels::expert_routing::{Choice, Routing, add_gated};
use sconce_kernels::gated_activation::{clamped_gate, gelu_gate, silu_gate};

use crate::arch::Activation;
use crate::cpu::Cpu;
use crate::expert_linear::ExpertLinear;
use crate::linear::Linear;

/// What each token does by itself.
#[derive(Debug)]
pub(crate) enum FeedForwardBlock {
    Gated(Box<GatedBlock>),
    Experts(Box<ExpertsBlock>),
}

/// `down(activation(gate(x)) * up(x))`.
#[derive(Debug)]
pub(crate) struct GatedBlock {
    pub(crate) gate_up: Linear,
    pub(crate) activation: Activation,
    pub(crate) down: Linear,
}

/// The same by the experts that a router chooses, and perhaps by one that every token goes through.
#[derive(Debug)]
pub(crate) struct ExpertsBlock {
    pub(crate) router: Linear,
    pub(crate) choice: Choice,
    pub(crate) gate_up: ExpertLinear,
    pub(crate) activation: Activation,
    pub(crate) down: ExpertLinear,
    pub(crate) shared: Option<SharedBlock>,
}

/// What every token goes through, and the matrix of one row that weighs it.
#[derive(Debug)]
pub(crate) struct SharedBlock {
    pub(crate) gated: GatedBlock,
    pub(crate) gate: Option<Linear>,
}

/// Buffers of a step, kept between steps. Each has one width, so that none is cleared again and again.
#[derive(Debug, Default)]
pub(crate) struct FeedForwardScratch {
    gated: GatedScratch,
    logits: Vec<f32>,
    routing: Routing,
    /// Rows grouped by expert: what they read, and what became of them.
    grouped: Vec<f32>,
    experts: GatedScratch,
    results: Vec<f32>,
    shared: Vec<f32>,
    shared_gates: Vec<f32>,
}

#[derive(Debug, Default)]
struct GatedScratch {
    gate_up: Vec<f32>,
    gated: Vec<f32>,
}

impl FeedForwardBlock {
    pub(crate) fn weight_bytes(&self) -> usize {
        match self {
            Self::Gated(gated) => gated.weight_bytes(),
            Self::Experts(experts) => experts.weight_bytes(),
        }
    }

    /// Computes the rows of `x` into `out`, both as wide as the residual stream.
    pub(crate) fn forward(
        &self,
        cpu: &mut Cpu,
        x: &[f32],
        scratch: &mut FeedForwardScratch,
        out: &mut Vec<f32>,
    ) {
        match self {
            Self::Gated(gated) => gated.forward(cpu, x, &mut scratch.gated, out),
            Self::Experts(experts) => experts.forward(cpu, x, scratch, out),
        }
    }
}

impl GatedBlock {
    fn weight_bytes(&self) -> usize {
        self.gate_up.bytes() + self.down.bytes()
    }

    fn forward(&self, cpu: &mut Cpu, x: &[f32], scratch: &mut GatedScratch, out: &mut Vec<f32>) {
        let (inner, hidden) = (self.gate_up.width() / 2, self.down.width());
        self.gate_up.apply(cpu, x, hidden, &mut scratch.gate_up);
        bend(cpu, self.activation, inner, scratch);
        self.down.apply(cpu, &scratch.gated, inner, out);
    }
}

impl ExpertsBlock {
    fn weight_bytes(&self) -> usize {
        let shared =
            |it: &SharedBlock| it.gated.weight_bytes() + it.gate.as_ref().map_or(0, Linear::bytes);
        let matrices = self.gate_up.bytes() + self.down.bytes();
        self.router.bytes() + matrices + self.shared.as_ref().map_or(0, shared)
    }

    /// Each expert's matrices are multiplied once, with all rows that go to it.
    fn forward(
        &self,
        cpu: &mut Cpu,
        x: &[f32],
        scratch: &mut FeedForwardScratch,
        out: &mut Vec<f32>,
    ) {
        let (inner, hidden) = (self.gate_up.width() / 2, self.down.width());
        self.router.apply(cpu, x, hidden, &mut scratch.logits);
        let routing = &mut scratch.routing;
        routing.choose(cpu.isa, self.choice, &scratch.logits);
        routing.gather(x, hidden, &mut scratch.grouped);
        let grouped = (&scratch.grouped[..], routing.groups());
        let experts = &mut scratch.experts;
        self.gate_up
            .apply(cpu, grouped, hidden, &mut experts.gate_up);
        bend(cpu, self.activation, inner, experts);
        let gated = (&experts.gated[..], routing.groups());
        self.down.apply(cpu, gated, inner, &mut scratch.results);
        out.resize(x.len(), 0.0);
        routing.combine(cpu.isa, &mut cpu.pool, &scratch.results, out);
        if let Some(shared) = &self.shared {
            shared.add(cpu, x, scratch, out);
        }
    }
}

impl SharedBlock {
    fn add(&self, cpu: &mut Cpu, x: &[f32], scratch: &mut FeedForwardScratch, out: &mut [f32]) {
        let FeedForwardScratch {
            gated,
            shared,
            shared_gates,
            ..
        } = scratch;
        self.gated.forward(cpu, x, gated, shared);
        match &self.gate {
            None => out.iter_mut().zip(shared).for_each(|(out, it)| *out += *it),
            Some(gate) => {
                gate.apply(cpu, x, self.gated.down.width(), shared_gates);
                add_gated(cpu.isa, shared_gates, shared, out);
            }
        }
    }
}

/// Combines the gates and ups of each row.
fn bend(cpu: &mut Cpu, activation: Activation, inner: usize, scratch: &mut GatedScratch) {
    let GatedScratch { gate_up, gated } = scratch;
    gated.resize(gate_up.len() / 2, 0.0);
    let gate = match activation {
        Activation::Silu => silu_gate,
        Activation::Gelu => gelu_gate,
        Activation::Clamped => clamped_gate,
    };
    gate(cpu.isa, &mut cpu.pool, gate_up, inner, gated);
}

//! A layer's experts from a file: tensors of three dimensions, packed expert by expert.

use sconce_kernels::expert_routing;
use sconce_kernels::expert_routing::Choice;

use super::feed_forward::{ExpertsBlock, SharedBlock};
use super::load::Loader;
use crate::arch::{Biases, Experts, SharedExpert, SharedWeight, Shares};
use crate::claims::{LayerPart, TensorRole};
use crate::expert_linear::ExpertLinear;
use crate::linear::{Linear, Matrix};
use crate::load_error::LoadError;

impl Loader<'_> {
    /// The experts of layer `index`.
    pub(super) fn experts(
        &mut self,
        index: usize,
        spec: &Experts,
    ) -> Result<ExpertsBlock, LoadError> {
        let role = |part| TensorRole::Layer(index, part);
        let gates = self.each_expert(role(LayerPart::ExpertGates))?;
        let ups = self.each_expert(role(LayerPart::ExpertUps))?;
        let downs = self.each_expert(role(LayerPart::ExpertDowns))?;
        let (router_bias, gate_up_biases, down_biases) = match spec.biases {
            Biases::Absent => (None, Vec::new(), Vec::new()),
            Biases::Present => (
                Some(self.vector(role(LayerPart::RouterBias))?),
                vec![
                    self.vector(role(LayerPart::ExpertGateBiases))?,
                    self.vector(role(LayerPart::ExpertUpBiases))?,
                ],
                vec![self.vector(role(LayerPart::ExpertDownBiases))?],
            ),
        };
        let shared = spec.shared.map(|shared| self.shared(index, shared));
        Ok(ExpertsBlock {
            router: Linear::new(vec![self.matrix(role(LayerPart::Router))?], router_bias),
            choice: Choice {
                experts: spec.count,
                chosen: spec.chosen,
                shares: match spec.shares {
                    Shares::OfChosen => expert_routing::Shares::OfChosen,
                    Shares::OfAll => expert_routing::Shares::OfAll,
                },
            },
            gate_up: ExpertLinear::new(vec![gates, ups], gate_up_biases),
            activation: spec.each.activation,
            down: ExpertLinear::new(vec![downs], down_biases),
            shared: shared.transpose()?,
        })
    }

    fn shared(&mut self, index: usize, spec: SharedExpert) -> Result<SharedBlock, LoadError> {
        let ups = [LayerPart::SharedGate, LayerPart::SharedUp];
        let gated = self.gated(index, &spec.gated, (&ups, LayerPart::SharedDown))?;
        let gate = match spec.weight {
            SharedWeight::One => None,
            SharedWeight::Gate => {
                let row = self.row(TensorRole::Layer(index, LayerPart::SharedRouter))?;
                Some(Linear::new(vec![row], None))
            }
        };
        Ok(SharedBlock { gated, gate })
    }

    /// The matrices of all experts, of a tensor of shape `[experts, n, k]`.
    fn each_expert(&mut self, role: TensorRole) -> Result<Vec<Matrix>, LoadError> {
        let name = role.name();
        let info = self.file.tensor(&name)?;
        let mapped = self.file.tensor_bytes(&name)?;
        let (count, shape) = (info.shape[0], [info.shape[1], info.shape[2]]);
        // Rows are whole blocks, so experts begin where blocks do.
        let parts = mapped.bytes().chunks_exact(mapped.bytes().len() / count);
        parts
            .map(|bytes| self.pack((&name, info.kind), shape, bytes))
            .collect()
    }

    /// A vector as a matrix of one row.
    fn row(&mut self, role: TensorRole) -> Result<Matrix, LoadError> {
        let name = role.name();
        let info = self.file.tensor(&name)?;
        let mapped = self.file.tensor_bytes(&name)?;
        let shape = [1, info.shape[0]];
        self.pack((&name, info.kind), shape, mapped.bytes())
    }
}

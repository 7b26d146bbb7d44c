//! Numeric kernels, one folder an operation. They work on slices and know nothing of models.
//!
//! *Why every kernel gives the same bits everywhere.* Each operation fixes the order of its
//! floating-point arithmetic: sixteen virtual lanes, one accumulation order, fused multiply-add.
//! An instruction set only decides how many of those lanes a register holds. So a row's result
//! depends neither on its neighbours in the batch, nor on how a prompt was cut into chunks, nor on
//! the number of threads, nor on the processor, and tests compare bits where others need bounds.

pub mod activation;
pub mod dense_matmul;
pub mod expert_routing;
pub mod gated_activation;
pub mod heap;
mod isa;
mod lanes;
pub mod layer_norm;
pub mod paged_attention;
pub mod peaks;
mod pool;
pub mod quantized_matmul;
pub mod rms_norm;
pub mod rope;
mod row_groups;
pub mod soft_cap;
pub mod text_attention;

pub use isa::Isa;
pub use pool::{DisjointSlice, Pool};
pub use row_groups::RowGroups;

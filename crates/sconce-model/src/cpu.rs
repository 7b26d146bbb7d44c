//! The processor as a device: its instruction set, its threads, and buffers that live on.

use sconce_kernels::quantized_matmul::QuantizedRows;
use sconce_kernels::{Isa, Pool};

/// What every operation on the processor needs.
#[derive(Debug)]
pub(crate) struct Cpu {
    pub(crate) isa: Isa,
    pub(crate) pool: Pool,
    /// The activations that were quantized last.
    pub(crate) quantized: QuantizedRows,
    /// Counts products, so that a test can see that their number does not grow with the batch.
    pub(crate) matmul_calls: u64,
}

impl Cpu {
    pub(crate) fn new(isa: Isa, threads: usize) -> Self {
        Self {
            isa,
            pool: Pool::new(threads),
            quantized: QuantizedRows::default(),
            matmul_calls: 0,
        }
    }
}

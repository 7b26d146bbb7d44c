//! The numbers that GGUF gives to element types, and which of them can be computed with.

use std::fmt;

use sconce_kernels::quantized_matmul::BlockFormat;

/// How a tensor's elements are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TensorType {
    /// Single precision.
    F32,
    /// Half precision.
    F16,
    /// The upper half of single precision.
    Bf16,
    /// Quantized, block by block.
    Blocks(BlockFormat),
}

/// Number, name and meaning of every type that can be computed with.
const SUPPORTED: [(u32, &str, TensorType); 16] = [
    (0, "F32", TensorType::F32),
    (1, "F16", TensorType::F16),
    (2, "Q4_0", TensorType::Blocks(BlockFormat::Q4_0)),
    (3, "Q4_1", TensorType::Blocks(BlockFormat::Q4_1)),
    (6, "Q5_0", TensorType::Blocks(BlockFormat::Q5_0)),
    (7, "Q5_1", TensorType::Blocks(BlockFormat::Q5_1)),
    (8, "Q8_0", TensorType::Blocks(BlockFormat::Q8_0)),
    (10, "Q2_K", TensorType::Blocks(BlockFormat::Q2K)),
    (11, "Q3_K", TensorType::Blocks(BlockFormat::Q3K)),
    (12, "Q4_K", TensorType::Blocks(BlockFormat::Q4K)),
    (13, "Q5_K", TensorType::Blocks(BlockFormat::Q5K)),
    (14, "Q6_K", TensorType::Blocks(BlockFormat::Q6K)),
    (20, "IQ4_NL", TensorType::Blocks(BlockFormat::Iq4Nl)),
    (23, "IQ4_XS", TensorType::Blocks(BlockFormat::Iq4Xs)),
    (30, "BF16", TensorType::Bf16),
    (39, "MXFP4", TensorType::Blocks(BlockFormat::Mxfp4)),
];

impl TensorType {
    /// Every type that can be computed with.
    pub const ALL: [Self; SUPPORTED.len()] = {
        let mut all = [Self::F32; SUPPORTED.len()];
        let mut index = 0;
        while index < all.len() {
            all[index] = SUPPORTED[index].2;
            index += 1;
        }
        all
    };

    /// The type with this number, or the name of one that is not supported.
    pub(super) fn numbered(number: u32) -> Result<Self, &'static str> {
        let found = SUPPORTED.iter().find(|(it, _, _)| *it == number);
        found
            .map(|(_, _, kind)| *kind)
            .ok_or_else(|| unsupported_name(number))
    }

    /// Its number in files.
    #[cfg(any(test, feature = "tiny-checkpoints"))]
    pub(crate) fn number(self) -> u32 {
        self.entry().0
    }

    /// Elements that are stored together.
    #[must_use]
    pub fn block_elements(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => 1,
            Self::Blocks(format) => format.block_weights(),
        }
    }

    /// Bytes of the elements that are stored together.
    #[must_use]
    pub fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Blocks(format) => format.block_bytes(),
        }
    }

    fn entry(self) -> &'static (u32, &'static str, Self) {
        let found = SUPPORTED.iter().find(|(_, _, kind)| *kind == self);
        found.expect("a type exists only with its number and name")
    }
}

/// The name that files and tools call it by.
impl fmt::Display for TensorType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.entry().1)
    }
}

/// The names of all types that can be computed with.
pub(crate) fn supported_names() -> String {
    SUPPORTED.map(|(_, name, _)| name).join(", ")
}

fn unsupported_name(number: u32) -> &'static str {
    match number {
        4 => "Q4_2",
        5 => "Q4_3",
        9 => "Q8_1",
        15 => "Q8_K",
        16 => "IQ2_XXS",
        17 => "IQ2_XS",
        18 => "IQ3_XXS",
        19 => "IQ1_S",
        21 => "IQ3_S",
        22 => "IQ2_S",
        24 => "I8",
        25 => "I16",
        26 => "I32",
        27 => "I64",
        28 => "F64",
        29 => "IQ1_M",
        31 => "Q4_0_4_4",
        32 => "Q4_0_4_8",
        33 => "Q4_0_8_8",
        34 => "TQ1_0",
        35 => "TQ2_0",
        36 => "IQ4_NL_4_4",
        37 => "IQ4_NL_4_8",
        38 => "IQ4_NL_8_8",
        40 => "NVFP4",
        _ => "an unknown type",
    }
}

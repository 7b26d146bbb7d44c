//! The element types of the format, and which of them can be computed with.

use std::fmt;

use sconce_kernels::dense_matmul::Precision;

/// How a tensor's elements are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ElementType(usize);

/// The name and the bits of every type that the format knows.
const TYPES: [(&str, u64); 20] = [
    ("F32", 32),
    ("F16", 16),
    ("BF16", 16),
    ("F64", 64),
    ("C64", 64),
    ("F8_E5M2", 8),
    ("F8_E4M3", 8),
    ("F8_E8M0", 8),
    ("F6_E2M3", 6),
    ("F6_E3M2", 6),
    ("F4", 4),
    ("BOOL", 8),
    ("U8", 8),
    ("I8", 8),
    ("U16", 16),
    ("I16", 16),
    ("U32", 32),
    ("I32", 32),
    ("U64", 64),
    ("I64", 64),
];

impl ElementType {
    /// Single precision.
    pub const F32: Self = Self(0);
    /// Half precision.
    pub const F16: Self = Self(1);
    /// The upper half of single precision.
    pub const BF16: Self = Self(2);

    /// The type that files call by this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        TYPES.iter().position(|(it, _)| *it == name).map(Self)
    }

    /// Bits of an element.
    #[must_use]
    pub fn bits(self) -> u64 {
        TYPES[self.0].1
    }

    /// The precision that the kernels call it, for types that can be computed with.
    #[must_use]
    pub fn precision(self) -> Option<Precision> {
        match self {
            Self::F32 => Some(Precision::Single),
            Self::F16 => Some(Precision::Half),
            Self::BF16 => Some(Precision::Brain),
            _ => None,
        }
    }
}

/// The name that files and tools call it by.
impl fmt::Display for ElementType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(TYPES[self.0].0)
    }
}

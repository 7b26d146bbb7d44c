//! How a code lies in a tile and what integer it stands for: all that a kernel knows of a format.

use super::blocks::BlockFormat;

/// What the codes of IQ4_NL and IQ4_XS stand for. Source: ggml, `kvalues_iq4nl`.
pub(crate) const CURVE: [i8; 16] = [
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
];
/// What the codes of MXFP4 stand for, in halves: numbers with a sign, two bits of exponent and one of
/// mantissa. Source: Open Compute Project 2023, "OCP Microscaling Formats", section 5.3.3.
pub(crate) const FLOATS: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// A way to write integers as codes. Numbers of bits alone mean unsigned codes around a zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    TwoBits,
    ThreeBits,
    FourBits,
    FiveBits,
    SixBits,
    /// Signed.
    EightBits,
    /// Four bits that choose from `CURVE`.
    Curve,
    /// Four bits that choose from `FLOATS`.
    Floats,
}

impl Coding {
    /// Bits of a code that lie side by side in its byte of the first lines.
    pub(crate) const fn low_bits(self) -> usize {
        match self {
            Self::TwoBits | Self::ThreeBits => 2,
            Self::EightBits => 8,
            Self::FourBits | Self::FiveBits | Self::SixBits | Self::Curve | Self::Floats => 4,
        }
    }

    /// Bits of a code that lie in the lines behind.
    pub(crate) const fn high_bits(self) -> usize {
        match self {
            Self::ThreeBits | Self::FiveBits => 1,
            Self::SixBits => 2,
            _ => 0,
        }
    }

    /// Lines of 64 bytes that a tile's group fills: 512 codes of so many bits.
    pub(crate) const fn lines(self) -> usize {
        self.low_bits() + self.high_bits()
    }

    /// Scales of one column in a group.
    pub(crate) const fn parts(self) -> usize {
        match self {
            Self::TwoBits | Self::ThreeBits | Self::SixBits => 2,
            _ => 1,
        }
    }

    /// What a code stands for, before the zero is taken off.
    #[inline(always)]
    pub(crate) const fn integer(self, code: u8) -> i32 {
        match self {
            Self::EightBits => code.cast_signed() as i32,
            Self::Curve => CURVE[code as usize % 16] as i32,
            Self::Floats => FLOATS[code as usize % 16] as i32,
            _ => code as i32,
        }
    }

    /// The integer that stands for zero. In types with a minimum the minimum says what zero is.
    pub(crate) const fn zero(self, has_minimum: bool) -> i32 {
        match self {
            Self::EightBits | Self::Curve | Self::Floats => 0,
            _ if has_minimum => 0,
            _ => 1 << (self.lines() - 1),
        }
    }

    /// What the x86 kernels add to integers that may be negative, since they multiply unsigned bytes.
    #[cfg(target_arch = "x86_64")]
    pub(crate) const fn lift(self) -> i32 {
        match self {
            Self::EightBits | Self::Curve => 128,
            Self::Floats => 12,
            _ => 0,
        }
    }

    /// The bits of `mask` of what four-bit codes stand for, lifted, once shifted right.
    #[cfg(target_arch = "x86_64")]
    pub(crate) const fn lifted_table(self, shift: u32, mask: u8) -> [u8; 16] {
        let mut table = [0; 16];
        let mut code = 0;
        while code < table.len() {
            let lifted = self.integer(code as u8) + self.lift();
            table[code] = lifted as u8 >> shift & mask;
            code += 1;
        }
        table
    }

    /// The integer that stands for zero once all are lifted.
    #[cfg(target_arch = "x86_64")]
    pub(crate) const fn lifted_zero(self, has_minimum: bool) -> i32 {
        self.zero(has_minimum) + self.lift()
    }
}

impl BlockFormat {
    /// How its codes are written.
    pub(crate) const fn coding(self) -> Coding {
        match self {
            Self::Q2K => Coding::TwoBits,
            Self::Q3K => Coding::ThreeBits,
            Self::Q4_0 | Self::Q4_1 | Self::Q4K => Coding::FourBits,
            Self::Q5_0 | Self::Q5_1 | Self::Q5K => Coding::FiveBits,
            Self::Q6K => Coding::SixBits,
            Self::Q8_0 => Coding::EightBits,
            Self::Iq4Nl | Self::Iq4Xs => Coding::Curve,
            Self::Mxfp4 => Coding::Floats,
        }
    }
}

/// A coding as a type, so that each has kernels of its own.
pub(crate) trait Coded {
    const CODING: Coding;
}

/// Declares types that stand for codings.
macro_rules! coded {
    ($($name:ident),*) => {$(
        pub(crate) struct $name;

        impl Coded for $name {
            const CODING: Coding = Coding::$name;
        }
    )*};
}

coded!(
    TwoBits, ThreeBits, FourBits, FiveBits, SixBits, EightBits, Curve, Floats
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifted_integers_are_unsigned_and_the_zero_is_lifted_with_them() {
        for (coding, table) in [(Coding::Curve, CURVE), (Coding::Floats, FLOATS)] {
            for (code, integer) in table.into_iter().enumerate() {
                assert_eq!(coding.integer(code as u8), i32::from(integer));
                assert!((0..=255).contains(&(i32::from(integer) + coding.lift())));
            }
            assert_eq!(coding.lifted_zero(false), coding.lift());
        }
        assert_eq!(Coding::ThreeBits.zero(false), 4);
        assert_eq!(Coding::SixBits.zero(false), 32);
        assert_eq!(Coding::TwoBits.zero(true), 0);
    }
}

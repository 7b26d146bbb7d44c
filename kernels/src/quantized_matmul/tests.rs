//! Every instruction set against the portable kernel bit for bit, and against the reference.

use super::*;

const FORMATS: [BlockFormat; 13] = [
    BlockFormat::Q4_0,
    BlockFormat::Q4_1,
    BlockFormat::Q5_0,
    BlockFormat::Q5_1,
    BlockFormat::Q8_0,
    BlockFormat::Q2K,
    BlockFormat::Q3K,
    BlockFormat::Q4K,
    BlockFormat::Q5K,
    BlockFormat::Q6K,
    BlockFormat::Iq4Nl,
    BlockFormat::Iq4Xs,
    BlockFormat::Mxfp4,
];

/// Where a block has scales in half precision.
fn half_offsets(format: BlockFormat) -> &'static [usize] {
    match format {
        BlockFormat::Q2K => &[80, 82],
        BlockFormat::Q3K => &[108],
        BlockFormat::Q6K => &[208],
        BlockFormat::Mxfp4 => &[],
        _ if format.has_minimum() => &[0, 2],
        _ => &[0],
    }
}

struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn signed_unit(&mut self) -> f32 {
        (self.next() % 20_001) as f32 / 10_000.0 - 1.0
    }
}

/// Random blocks whose scales are sane: every other byte may be anything.
fn random_weights(dice: &mut Dice, format: BlockFormat, n: usize, k: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..n * format.row_bytes(k))
        .map(|_| dice.next() as u8)
        .collect();
    for block in bytes.chunks_exact_mut(format.block_bytes()) {
        for &offset in half_offsets(format) {
            let scale = half::f16::from_f32(dice.signed_unit() * 0.1);
            block[offset..offset + 2].copy_from_slice(&scale.to_le_bytes());
        }
        if format == BlockFormat::Mxfp4 {
            block[0] = 118 + block[0] % 8;
        }
    }
    bytes
}

fn random_rows(dice: &mut Dice, rows: usize, k: usize) -> Vec<f32> {
    (0..rows * k).map(|_| dice.signed_unit() * 3.0).collect()
}

fn product(isa: Isa, threads: usize, x: &[f32], weights: &[PackedMatrix]) -> Vec<f32> {
    let mut pool = Pool::new(threads);
    let mut rows = QuantizedRows::default();
    rows.quantize(isa, &mut pool, x, weights[0].k());
    let width: usize = weights.iter().map(PackedMatrix::n).sum();
    let mut out = vec![f32::NAN; rows.rows() * width];
    let first_columns = first_columns(weights);
    let placed = Placed {
        weights,
        first_columns: &first_columns,
        width,
    };
    matmul(isa, &mut pool, &rows, placed, &mut out);
    out
}

fn first_columns(weights: &[PackedMatrix]) -> Vec<usize> {
    let ends = weights.iter().scan(0, |end, it| {
        let start = *end;
        *end += it.n();
        Some(start)
    });
    ends.collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|it| it.to_bits()).collect()
}

fn pack(format: BlockFormat, n: usize, k: usize, bytes: &[u8]) -> PackedMatrix {
    PackedMatrix::pack(&mut Pool::new(2), format, [n, k], bytes).unwrap()
}

#[test]
fn every_instruction_set_gives_the_same_bits_and_is_near_the_reference() {
    let mut dice = Dice(1);
    for format in FORMATS {
        for (rows, n, k_blocks) in [(1, 16, 1), (3, 17, 2), (7, 1, 3), (13, 50, 1), (9, 33, 9)] {
            let k = k_blocks * format.block_weights();
            let bytes = random_weights(&mut dice, format, n, k);
            let x = random_rows(&mut dice, rows, k);
            let packed = [pack(format, n, k, &bytes)];
            let portable = product(Isa::Portable, 1, &x, &packed);
            for isa in Isa::available() {
                let found = product(isa, 2, &x, &packed);
                assert_eq!(
                    bits(&found),
                    bits(&portable),
                    "{format:?} {isa:?} {rows}x{n}x{k}"
                );
            }
            check_error(format, &bytes, &x, k, &portable);
        }
    }
}

/// An eight-bit code is off by half a scale at most, so a product of row and weights is off by at
/// most half the largest activation over 127 for each weight, in sum.
fn check_error(format: BlockFormat, bytes: &[u8], x: &[f32], k: usize, found: &[f32]) {
    let exact = reference::matmul(format, bytes, x, k);
    let weights: Vec<f64> = bytes
        .chunks_exact(format.row_bytes(k))
        .map(|row| {
            reference::dequantize_row(format, row, k)
                .iter()
                .map(|it| it.abs())
                .sum()
        })
        .collect();
    let largest = x.iter().fold(0.0_f32, |a, b| a.max(b.abs()));
    for (index, (&found, &exact)) in found.iter().zip(&exact).enumerate() {
        let bound = weights[index % weights.len()] * f64::from(largest) * (0.5 / 127.0 + 1e-4);
        let error = (f64::from(found) - exact).abs();
        assert!(
            error <= bound,
            "{format:?}: {found} for {exact}, off by more than {bound}"
        );
    }
}

#[test]
fn a_row_does_not_depend_on_its_neighbours() {
    let mut dice = Dice(2);
    for format in FORMATS {
        let k = 3 * format.block_weights();
        let packed = [pack(
            format,
            40,
            k,
            &random_weights(&mut dice, format, 40, k),
        )];
        let x = random_rows(&mut dice, 23, k);
        let isa = Isa::detect();
        let together = product(isa, 2, &x, &packed);
        for (row, x) in x.chunks_exact(k).enumerate() {
            let alone = product(isa, 1, x, &packed);
            assert_eq!(
                bits(&alone),
                bits(&together[row * 40..][..40]),
                "{format:?} row {row}"
            );
        }
    }
}

#[test]
fn fused_matrices_give_what_single_ones_give() {
    let mut dice = Dice(3);
    let k = 256;
    let formats = [
        BlockFormat::Q4K,
        BlockFormat::Q8_0,
        BlockFormat::Q6K,
        BlockFormat::Q5_0,
    ];
    let parts: Vec<PackedMatrix> = formats
        .into_iter()
        .zip([48, 5, 17, 160])
        .map(|(format, n)| pack(format, n, k, &random_weights(&mut dice, format, n, k)))
        .collect();
    let x = random_rows(&mut dice, 6, k);
    let fused = product(Isa::detect(), 2, &x, &parts);
    let width: usize = parts.iter().map(PackedMatrix::n).sum();
    let mut column = 0;
    for part in parts {
        let n = part.n();
        let alone = product(Isa::detect(), 2, &x, &[part]);
        for (row, alone) in alone.chunks_exact(n).enumerate() {
            assert_eq!(bits(alone), bits(&fused[row * width + column..][..n]));
        }
        column += n;
    }
}

#[test]
fn packed_rows_dequantize_to_what_the_file_says() {
    let mut dice = Dice(4);
    for format in FORMATS {
        let k = 2 * format.block_weights();
        let bytes = random_weights(&mut dice, format, 19, k);
        let packed = pack(format, 19, k, &bytes);
        for (index, row) in bytes.chunks_exact(format.row_bytes(k)).enumerate() {
            let mut found = vec![0.0; k];
            packed.dequantize_row(index, &mut found);
            let exact = reference::dequantize_row(format, row, k);
            for (found, exact) in found.iter().zip(exact) {
                assert_eq!(*found, exact as f32, "{format:?}");
            }
        }
    }
}

/// The fixture's first line says who dequantized it.
#[test]
fn blocks_mean_what_the_format_s_own_tools_say() {
    let lines = include_str!("fixtures/blocks.txt").lines();
    let cases: Vec<&str> = lines.filter(|it| !it.starts_with('#')).collect();
    assert_eq!(cases.len(), FORMATS.len());
    for (case, format) in cases.iter().zip(FORMATS) {
        let fields: Vec<&str> = case.split(' ').collect();
        assert_eq!(fields[0], format!("{format:?}"));
        let number = |text: &str, at: usize, digits: usize| {
            u32::from_str_radix(&text[at..at + digits], 16).unwrap()
        };
        let block: Vec<u8> = (0..fields[1].len())
            .step_by(2)
            .map(|at| number(fields[1], at, 2) as u8)
            .collect();
        let weights = reference::dequantize_row(format, &block, format.block_weights());
        for (k, weight) in weights.into_iter().enumerate() {
            let wanted = f32::from_bits(number(fields[2], 8 * k, 8));
            // The tool rounds its product before it adds a minimum.
            let error = (weight - f64::from(wanted)).abs();
            assert!(error <= 2e-7, "{format:?} {k}: {weight} for {wanted}");
        }
    }
}

#[test]
fn every_exponent_of_mxfp4_is_a_power_of_two() {
    for exponent in 0..=254_u8 {
        let mut block = [0x22; 17];
        block[0] = exponent;
        let weight = reference::dequantize_row(BlockFormat::Mxfp4, &block, 32)[0];
        assert_eq!(weight, 2_f64.powi(i32::from(exponent) - 127));
    }
}

#[test]
fn a_packed_matrix_takes_no_more_memory_than_its_format_promises() {
    let bits_per_weight = |format: BlockFormat| {
        let bytes = vec![0; 32 * format.row_bytes(512)];
        let packed = pack(format, 32, 512, &bytes);
        assert_eq!(PackedMatrix::bytes_of(format, [32, 512]), packed.bytes());
        packed.bytes() as f64 * 8.0 / (32.0 * 512.0)
    };
    let found = FORMATS.map(|it| (it, bits_per_weight(it)));
    let wanted = [
        4.5, 5.0, 5.5, 6.0, 8.5, 3.25, 3.625, 4.75, 5.75, 6.625, 4.5, 4.375, 5.0,
    ];
    for ((format, found), wanted) in found.into_iter().zip(wanted) {
        assert_eq!(found, wanted, "{format:?}");
    }
}

#[test]
fn extreme_codes_do_not_overflow() {
    let k = 256;
    for format in FORMATS {
        for fill in [0x00_u8, 0x7f, 0x80, 0xff] {
            let mut bytes = vec![fill; 16 * format.row_bytes(k)];
            for block in bytes.chunks_exact_mut(format.block_bytes()) {
                let one = half::f16::ONE.to_le_bytes();
                for &offset in half_offsets(format) {
                    block[offset..offset + 2].copy_from_slice(&one);
                }
                if format == BlockFormat::Mxfp4 {
                    block[0] = 127;
                }
            }
            let packed = [pack(format, 16, k, &bytes)];
            for sign in [1.0, -1.0] {
                let x = vec![sign; k];
                let exact = reference::matmul(format, &bytes, &x, k);
                for isa in Isa::available() {
                    let found = product(isa, 1, &x, &packed);
                    for (found, exact) in found.iter().zip(&exact) {
                        let error = (f64::from(*found) - exact).abs();
                        assert!(error <= 1e-5 * exact.abs(), "{format:?} {isa:?} {fill:#x}");
                    }
                }
            }
        }
    }
}

#[test]
fn hostile_activations_do_not_panic() {
    let mut dice = Dice(5);
    let bytes = random_weights(&mut dice, BlockFormat::Q4_1, 16, 64);
    let packed = [pack(BlockFormat::Q4_1, 16, 64, &bytes)];
    for value in [f32::NAN, f32::INFINITY, f32::MIN_POSITIVE, 0.0, f32::MAX] {
        for isa in Isa::available() {
            assert_eq!(product(isa, 1, &[value; 64], &packed).len(), 16);
        }
    }
}

#[test]
fn a_matrix_whose_bytes_do_not_fit_is_refused() {
    let mut pool = Pool::new(1);
    let short = PackedMatrix::pack(&mut pool, BlockFormat::Q8_0, [2, 32], &[0; 67]);
    assert_eq!(
        short.unwrap_err(),
        PackError::ByteLength {
            wanted: 68,
            found: 67
        }
    );
    let odd = PackedMatrix::pack(&mut pool, BlockFormat::Q4K, [1, 96], &[0; 144]);
    assert_eq!(
        odd.unwrap_err(),
        PackError::RowLength {
            k: 96,
            block_weights: 256
        }
    );
}

//! Ragged batches against the reference; chunks, neighbours and instruction sets against bits.

use super::*;

const HEADS: usize = 6;
const KV_HEADS: usize = 2;

struct Sequence {
    blocks: Vec<u32>,
    queries: Vec<f32>,
}

fn value(seed: usize) -> f32 {
    ((seed * 2_654_435_761 % 2_003) as f32 - 1_000.0) / 400.0
}

/// Two sequences in scattered blocks of one cache, with keys and values in every slot used.
fn scene(head_dim: usize, lengths: [usize; 2]) -> (KvCache, [Sequence; 2]) {
    let mut cache = KvCache::new(16, KV_HEADS, head_dim);
    let tables = [vec![3, 9, 0, 11, 5], vec![7, 2, 15, 1, 4]];
    let mut index = 0;
    let sequences = tables.map(|blocks| {
        let length = lengths[index];
        index += 1;
        for position in 0..length {
            let row = |salt: usize| -> Vec<f32> {
                (0..KV_HEADS * head_dim)
                    .map(|it| value(it + position * 977 + salt))
                    .collect()
            };
            let block = blocks[position / BLOCK_TOKENS];
            cache.write(
                Isa::Portable,
                (block, position % BLOCK_TOKENS),
                &row(index),
                &row(index + 50),
            );
        }
        let queries = (0..length * HEADS * head_dim)
            .map(|it| value(it * 31 + index))
            .collect();
        Sequence { blocks, queries }
    });
    (cache, sequences)
}

/// How queries look at keys: the bound of scores and the window.
type Look = (Option<f32>, usize);

const PLAIN: Look = (None, usize::MAX);
const LOOKS: [Look; 5] = [
    PLAIN,
    (Some(1.5), usize::MAX),
    (None, 1),
    (None, 19),
    (Some(0.5), 32),
];

fn run(
    isa: Isa,
    cache: &KvCache,
    (cap, window): Look,
    rows: &[f32],
    chunks: &[Chunk<'_>],
) -> Vec<f32> {
    let width = HEADS * cache.head_dim();
    let queries = Queries {
        values: rows,
        stride: width,
        heads: HEADS,
        scale: 0.2,
        cap,
        window,
        sinks: None,
    };
    let mut out = vec![f32::NAN; rows.len()];
    attend(isa, &mut Pool::new(2), cache, (queries, chunks), &mut out);
    out
}

fn whole(sequence: &Sequence, width: usize, first_row: usize) -> Chunk<'_> {
    Chunk {
        first_row,
        rows: sequence.queries.len() / width,
        start: 0,
        blocks: &sequence.blocks,
    }
}

#[test]
fn a_ragged_batch_is_near_the_reference_and_bit_equal_on_every_instruction_set() {
    for head_dim in [16, 64, 80] {
        let width = HEADS * head_dim;
        let (cache, sequences) = scene(head_dim, [37, 70]);
        let rows: Vec<f32> = sequences.iter().flat_map(|it| it.queries.clone()).collect();
        let chunks = [
            whole(&sequences[0], width, 0),
            whole(&sequences[1], width, 37),
        ];
        for look in LOOKS {
            let portable = run(Isa::Portable, &cache, look, &rows, &chunks);
            for chunk in &chunks {
                check_chunk(&cache, chunk, look, &rows, &portable);
            }
            for isa in Isa::available() {
                assert_eq!(run(isa, &cache, look, &rows, &chunks), portable, "{isa:?}");
            }
        }
    }
}

fn check_chunk(
    cache: &KvCache,
    chunk: &Chunk<'_>,
    (cap, window): Look,
    rows: &[f32],
    found: &[f32],
) {
    let head_dim = cache.head_dim();
    let bend = |product: f64| match cap.map(f64::from) {
        Some(cap) => (product * 0.2 / cap).tanh() * cap,
        None => product * 0.2,
    };
    for row in 0..chunk.rows {
        for head in 0..HEADS {
            let read = |position: usize| {
                let block = chunk.blocks[position / BLOCK_TOKENS];
                cache.read(block, position % BLOCK_TOKENS, head / (HEADS / KV_HEADS))
            };
            let seen = (chunk.start + row + 1).saturating_sub(window)..=chunk.start + row;
            let (keys, values): (Vec<_>, Vec<_>) = seen.map(read).unzip();
            let offset = ((chunk.first_row + row) * HEADS + head) * head_dim;
            let exact = reference::attend(&rows[offset..][..head_dim], &keys, &values, &bend);
            for (found, exact) in found[offset..].iter().zip(exact) {
                assert!(
                    (f64::from(*found) - exact).abs() < 2e-5,
                    "row {row}: {found} for {exact}"
                );
            }
        }
    }
}

#[test]
fn chunks_of_any_length_and_any_company_give_the_same_bits() {
    let width = HEADS * 64;
    let (cache, sequences) = scene(64, [61, 50]);
    for look in LOOKS {
        let queries = &sequences[0].queries;
        let whole = [whole(&sequences[0], width, 0)];
        let together = run(Isa::detect(), &cache, look, queries, &whole);
        for (step, start) in [1, 3, 16, 17]
            .into_iter()
            .flat_map(|step| (0..61).step_by(step).map(move |start| (step, start)))
        {
            let rows = step.min(61 - start);
            let mut values = sequences[1].queries[width * 20..width * 25].to_vec();
            values.extend_from_slice(&queries[width * start..width * (start + rows)]);
            let chunks = [
                Chunk {
                    first_row: 0,
                    rows: 5,
                    start: 20,
                    blocks: &sequences[1].blocks,
                },
                Chunk {
                    first_row: 5,
                    rows,
                    start,
                    blocks: &sequences[0].blocks,
                },
            ];
            let found = run(Isa::detect(), &cache, look, &values, &chunks);
            assert_eq!(
                found[5 * width..],
                together[start * width..(start + rows) * width]
            );
        }
    }
}

#[test]
fn what_lies_beyond_a_query_does_not_reach_it() {
    let width = HEADS * 16;
    let (mut cache, sequences) = scene(16, [20, 20]);
    let chunk = Chunk {
        rows: 10,
        ..whole(&sequences[0], width, 0)
    };
    let rows = &sequences[0].queries[..10 * width];
    let before = run(Isa::detect(), &cache, PLAIN, rows, &[chunk]);
    for position in 10..32 {
        let (block, slot) = (sequences[0].blocks[position / 16], position % 16);
        cache.write(
            Isa::detect(),
            (block, slot),
            &[f32::MAX; KV_HEADS * 16],
            &[f32::NAN; KV_HEADS * 16],
        );
    }
    assert_eq!(run(Isa::detect(), &cache, PLAIN, rows, &[chunk]), before);
}

#[test]
fn every_instruction_set_writes_the_same_cache() {
    let numbers = [
        0.0,
        -0.0,
        1e-7,
        -3e-6,
        6.1e-5,
        0.1,
        -2.5,
        1e9,
        f32::NEG_INFINITY,
        f32::NAN,
    ];
    let rows: Vec<f32> = (0..KV_HEADS * 32)
        .map(|it| numbers[it % 10] * (1.0 + it as f32))
        .collect();
    let written = |isa| {
        let mut cache = KvCache::new(2, KV_HEADS, 32);
        cache.write(isa, (1, 5), &rows, &rows);
        (0..KV_HEADS)
            .map(|head| cache.read(1, 5, head))
            .collect::<Vec<_>>()
    };
    for isa in Isa::available() {
        assert_eq!(written(isa), written(Isa::Portable), "{isa:?}");
    }
}

#[test]
fn a_sink_takes_its_share_of_each_row_on_every_instruction_set() {
    let (head_dim, sinks) = (16, [-2.0, 0.5, 3.0, 40.0, -60.0, 1.0]);
    let (cache, sequences) = scene(head_dim, [37, 20]);
    let sequence = &sequences[0];
    let chunk = whole(sequence, HEADS * head_dim, 0);
    for window in [usize::MAX, 5] {
        let run = |isa| {
            let queries = Queries {
                values: &sequence.queries,
                stride: HEADS * head_dim,
                heads: HEADS,
                scale: 0.2,
                cap: None,
                window,
                sinks: Some(&sinks),
            };
            let mut out = vec![f32::NAN; sequence.queries.len()];
            let work = (queries, &[chunk][..]);
            attend(isa, &mut Pool::new(2), &cache, work, &mut out);
            out
        };
        let portable = run(Isa::Portable);
        for (index, found) in portable.chunks_exact(head_dim).enumerate() {
            let (row, head) = (index / HEADS, index % HEADS);
            let read = |position: usize| {
                let block = chunk.blocks[position / BLOCK_TOKENS];
                cache.read(block, position % BLOCK_TOKENS, head / (HEADS / KV_HEADS))
            };
            let seen = (row + 1).saturating_sub(window)..=row;
            let (keys, values): (Vec<_>, Vec<_>) = seen.map(read).unzip();
            let query = &sequence.queries[index * head_dim..][..head_dim];
            let sink = f64::from(sinks[head]);
            let exact = reference::attend_beside_sink(query, &keys, &values, &|it| it * 0.2, sink);
            for (found, exact) in found.iter().zip(exact) {
                let error = (f64::from(*found) - exact).abs();
                assert!(error < 2e-5, "row {row}: {found} for {exact}");
            }
        }
        for isa in Isa::available() {
            assert_eq!(run(isa), portable, "{isa:?}");
        }
    }
}

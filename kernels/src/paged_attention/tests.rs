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
fn scene(types: KvTypes, head_dim: usize, lengths: [usize; 2]) -> (KvCache, [Sequence; 2]) {
    let mut cache = KvCache::new(types, 24, KV_HEADS, head_dim);
    let tables = [
        vec![3, 9, 0, 11, 5, 20, 17, 23, 6],
        vec![7, 2, 15, 1, 4, 22, 16, 8, 19],
    ];
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
const LOOKS: [Look; 6] = [
    PLAIN,
    (Some(1.5), usize::MAX),
    (None, 1),
    (None, 19),
    (Some(0.5), 32),
    (None, 75),
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
        first_block: 0,
        blocks: &sequence.blocks,
    }
}

fn kinds() -> impl Iterator<Item = (KvTypes, usize)> {
    let of = |types| [16, 64, 80].map(|head_dim| (types, head_dim));
    KvTypes::ALL.into_iter().flat_map(of)
}

#[test]
fn a_ragged_batch_is_near_the_reference_and_bit_equal_on_every_instruction_set() {
    for (types, head_dim) in kinds() {
        let width = HEADS * head_dim;
        let (cache, sequences) = scene(types, head_dim, [37, 140]);
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
                let found = run(isa, &cache, look, &rows, &chunks);
                assert_eq!(found, portable, "{types:?} {isa:?}");
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
                let block = chunk.block(position / BLOCK_TOKENS);
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
    for (types, look) in KvTypes::ALL
        .into_iter()
        .flat_map(|it| LOOKS.map(|look| (it, look)))
    {
        check_chunks(&scene(types, 64, [139, 90]), look);
    }
}

fn check_chunks((cache, sequences): &(KvCache, [Sequence; 2]), look: Look) {
    let width = HEADS * 64;
    let queries = &sequences[0].queries;
    let whole = [whole(&sequences[0], width, 0)];
    let together = run(Isa::detect(), cache, look, queries, &whole);
    for (step, start) in [3, 16, 17, 70]
        .into_iter()
        .flat_map(|step| (0..139).step_by(step).map(move |start| (step, start)))
    {
        let rows = step.min(139 - start);
        let mut values = sequences[1].queries[width * 60..width * 65].to_vec();
        values.extend_from_slice(&queries[width * start..width * (start + rows)]);
        // What lies behind the window need not be there any more.
        let first_block = |start: usize| (start + 1).saturating_sub(look.1) / BLOCK_TOKENS;
        let chunk = |first_row, rows, start, sequence: usize| Chunk {
            first_row,
            rows,
            start,
            first_block: first_block(start),
            blocks: &sequences[sequence].blocks[first_block(start)..],
        };
        let chunks = [chunk(0, 5, 60, 1), chunk(5, rows, start, 0)];
        let found = run(Isa::detect(), cache, look, &values, &chunks);
        assert_eq!(
            found[5 * width..],
            together[start * width..(start + rows) * width]
        );
    }
}

#[test]
#[should_panic(expected = "does not hold any more")]
fn a_chunk_that_has_given_back_what_it_sees_is_not_attended() {
    let (cache, sequences) = scene(KvTypes::both(KvType::F16), 16, [37, 20]);
    let chunk = Chunk {
        rows: 5,
        start: 32,
        first_block: 1,
        blocks: &sequences[0].blocks[1..],
        ..whole(&sequences[0], HEADS * 16, 0)
    };
    let rows = &sequences[0].queries[32 * HEADS * 16..];
    run(Isa::detect(), &cache, (None, 18), rows, &[chunk]);
}

#[test]
fn what_lies_beyond_a_query_does_not_reach_it() {
    for types in KvTypes::ALL {
        let width = HEADS * 16;
        let (mut cache, sequences) = scene(types, 16, [20, 20]);
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
        let after = run(Isa::detect(), &cache, PLAIN, rows, &[chunk]);
        assert_eq!(after, before, "{types:?}");
    }
}

/// Keys and values of one position after it was written, head by head.
fn stored(isa: Isa, types: KvTypes, head_dim: usize, row: &[f32]) -> Vec<(Vec<f32>, Vec<f32>)> {
    let mut cache = KvCache::new(types, 2, KV_HEADS, head_dim);
    cache.write(isa, (1, 5), row, row);
    (0..KV_HEADS).map(|head| cache.read(1, 5, head)).collect()
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
    for (types, head_dim) in kinds() {
        for count in [2, 6, 10] {
            let rows: Vec<f32> = (0..KV_HEADS * head_dim)
                .map(|it| numbers[it % count] * (1.0 + it as f32))
                .collect();
            let portable = stored(Isa::Portable, types, head_dim, &rows);
            let all = portable.iter().flat_map(|it| it.0.iter().chain(&it.1));
            assert!(all.clone().all(|it| it.is_finite()), "{types:?}");
            for isa in Isa::available() {
                let found = stored(isa, types, head_dim, &rows);
                assert_eq!(found, portable, "{types:?} {isa:?}");
            }
        }
    }
}

#[test]
fn eight_bits_are_off_by_half_a_step_of_their_group_at_most() {
    for head_dim in [16, 64, 80] {
        // The second head's numbers are a hundred times those of the first.
        let size = |index: usize| if index < head_dim { 0.01 } else { 1.0 };
        let row: Vec<f32> = (0..KV_HEADS * head_dim)
            .map(|it| value(it) * size(it))
            .collect();
        let found = stored(Isa::detect(), KvTypes::both(KvType::Q8_0), head_dim, &row);
        for (exact, (keys, values)) in row.chunks_exact(head_dim).zip(&found) {
            assert_eq!(keys, values);
            for (exact, found) in exact.chunks(32).zip(keys.chunks(32)) {
                let largest = exact.iter().fold(0.0_f32, |it, &next| it.max(next.abs()));
                // The scale, rounded to half precision, may be short by a part in 2,048.
                let error_max = largest / 127.0 * 0.5 + largest / 2_048.0;
                for (exact, found) in exact.iter().zip(found) {
                    assert!((exact - found).abs() < error_max, "{found} for {exact}");
                }
            }
        }
    }
}

#[test]
fn eight_bits_take_17_bytes_where_half_precision_takes_32() {
    for head_dim in [32, 64, 128] {
        let bytes = KvTypes::ALL.map(|it| KvCache::block_bytes(it, KV_HEADS, head_dim));
        assert_eq!(bytes[1] * 32, bytes[0] * 17);
        assert_eq!(bytes[2] * 2, bytes[0] + bytes[1]);
        let caches = KvTypes::ALL.map(|it| KvCache::new(it, 3, KV_HEADS, head_dim).bytes());
        assert_eq!(caches, bytes.map(|it| it * 3));
    }
}

#[test]
fn a_sink_takes_its_share_of_each_row_on_every_instruction_set() {
    let (head_dim, sinks) = (16, [-2.0, 0.5, 3.0, 40.0, -60.0, 1.0]);
    let (cache, sequences) = scene(KvTypes::both(KvType::Q8_0), head_dim, [37, 20]);
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
                let block = chunk.block(position / BLOCK_TOKENS);
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

#[test]
fn work_is_cut_no_finer_than_keeps_the_threads_busy() {
    let blocks: Vec<u32> = (0..400).collect();
    let chunk = |start, rows| Chunk {
        first_row: 0,
        rows,
        start,
        first_block: 0,
        blocks: &blocks,
    };
    let counts = |chunks: &[Chunk<'_>], threads| {
        let tasks = tasks(chunks, [3, 3], threads);
        for (index, chunk) in chunks.iter().enumerate() {
            let of_chunk = tasks.iter().filter(|it| it.chunk.start == chunk.start);
            let rows: usize = of_chunk.map(|it| it.count).sum();
            assert_eq!(rows, chunk.rows * 3, "chunk {index}");
        }
        (tasks.len(), tasks[0].count)
    };
    assert_eq!(counts(&[chunk(5_000, 4)], 2), (3, 4));
    assert_eq!(counts(&[chunk(5_000, 4)], 16), (12, 1));
    assert_eq!(counts(&[chunk(0, 512)], 2), (48, 32));
    let crowd: Vec<_> = (0..32).map(|it| chunk(100 + it, 1)).collect();
    assert_eq!(counts(&crowd, 2), (96, 1));
}

//! Prefill and decode speed of the decoder alone: no scheduler, no HTTP.
//!
//! Usage: `decoder_speed MODEL.gguf [THREADS] [WORKLOAD…]`, a workload being `pTOKENS` (a prompt),
//! `dSEQUENCES` (decoding so many at once, behind 128 tokens each) or `dSEQUENCES@CONTEXT` (behind so
//! many tokens); without any, a fixed list. Prints medians of several repetitions, so that the lines can
//! be set beside llama-bench and llama-batched-bench on the same machine.
#![expect(
    clippy::print_stdout,
    reason = "a benchmark's output is what it prints"
)]

use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use sconce_domain::{KvGroups, TokenId};
use sconce_kernels::Isa;
use sconce_model::{
    Batch, BatchChunk, BlockTable, Decoder, DecoderSettings, GgufFile, KvType, LogitRows, spec_for,
};

const REPETITIONS: usize = 5;
const WORKLOADS: [&str; 7] = ["p128", "p512", "d1", "d4", "d8", "d16", "d32"];
/// Blocks of KV for each group of layers, which the sequences of a workload share out.
const BLOCKS: usize = 1_024;

/// Tokens a step at most while a context is read that is not timed.
const CHUNK: usize = 512;
/// Tokens that each sequence is given while it is timed.
const DECODED: usize = 32;
/// Tokens before the timed ones, unless told otherwise.
const CONTEXT: usize = 128;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments
        .next()
        .context("usage: decoder_speed MODEL.gguf [THREADS]")?;
    let threads = arguments.next().map_or(Ok(2), |it| it.parse())?;
    let file = GgufFile::open(&path)?;
    let spec = spec_for(&file)?;
    let begun = Instant::now();
    let settings = DecoderSettings {
        threads,
        isa: Isa::detect(),
        kv_blocks: BLOCKS * Decoder::kv_groups(&spec).count(),
        kv_type: KvType::F16,
    };
    let mut decoder = Decoder::load(&file, spec, settings, &mut |_| {})?;
    let load_ms = begun.elapsed().as_millis();
    println!(
        "{path}: {} on {threads} threads, loaded in {load_ms} ms",
        decoder.isa().name()
    );
    let chosen: Vec<String> = arguments.collect();
    let fixed = || WORKLOADS.map(str::to_owned).to_vec();
    for workload in if chosen.is_empty() { fixed() } else { chosen } {
        run(&mut decoder, &workload)?;
    }
    Ok(())
}

fn run(decoder: &mut Decoder, workload: &str) -> Result<()> {
    let wrong = || format!("{workload:?} is neither pTOKENS, dSEQUENCES nor dSEQUENCES@CONTEXT");
    let (kind, rest) = workload.split_at_checked(1).with_context(wrong)?;
    let (count, context) = rest.split_once('@').unwrap_or((rest, ""));
    let count: usize = count.parse().with_context(wrong)?;
    match (kind, context) {
        ("p", "") => run_prefill(decoder, count),
        ("d", "") => run_decode(decoder, count, CONTEXT),
        ("d", context) => run_decode(decoder, count, context.parse().with_context(wrong)?),
        _ => bail!(wrong()),
    }
}

fn run_prefill(decoder: &mut Decoder, count: usize) -> Result<()> {
    let sequences = Sequences::new(1, count)?;
    report(&format!("prefill {count}"), count, || {
        step(decoder, &sequences, 0, count);
    });
    Ok(())
}

fn run_decode(decoder: &mut Decoder, count: usize, context: usize) -> Result<()> {
    let sequences = Sequences::new(count, context + DECODED)?;
    let chunk = (CHUNK / count).max(1);
    for start in (0..context).step_by(chunk) {
        step(decoder, &sequences, start, chunk.min(context - start));
    }
    let name = format!("decode, {count} sequences");
    let name = if context == CONTEXT {
        name
    } else {
        format!("{name} at {context}")
    };
    report(&name, count * DECODED, || {
        (0..DECODED).for_each(|token| step(decoder, &sequences, context + token, 1));
    });
    Ok(())
}

/// Prints the median, lowest and highest rate of several runs of `work` on `tokens` tokens.
fn report(what: &str, tokens: usize, mut work: impl FnMut()) {
    work();
    let mut rates: Vec<f64> = (0..REPETITIONS)
        .map(|_| {
            let begun = Instant::now();
            work();
            tokens as f64 / begun.elapsed().as_secs_f64()
        })
        .collect();
    rates.sort_by(f64::total_cmp);
    let (low, median, high) = (rates[0], rates[REPETITIONS / 2], rates[REPETITIONS - 1]);
    println!("{what:>22}: {median:8.1} tok/s ({low:.1} to {high:.1})");
}

fn token(sequence: usize, position: usize) -> TokenId {
    TokenId(((sequence * 7_919 + position * 104_729) % 20_000 + 100) as u32)
}

/// So many sequences of the same length, each with blocks of its own.
struct Sequences {
    count: usize,
    blocks_each: usize,
}

impl Sequences {
    fn new(count: usize, positions: usize) -> Result<Self> {
        let blocks_each = positions.div_ceil(Decoder::BLOCK_TOKENS);
        let fits = count > 0 && positions > 0 && count.saturating_mul(blocks_each) <= BLOCKS;
        ensure!(
            fits,
            "{count} sequences of {positions} tokens: there is room for {} tokens, and at least one is needed",
            BLOCKS * Decoder::BLOCK_TOKENS
        );
        Ok(Self { count, blocks_each })
    }

    fn blocks(&self, sequence: usize, groups: KvGroups) -> Vec<BlockTable> {
        let all = (sequence * self.blocks_each..).take(self.blocks_each);
        let all: Vec<u32> = all.map(|block| block as u32).collect();
        BlockTable::whole_of_each(groups, &all, BLOCKS as u32)
    }
}

/// One forward pass over `count` tokens of each sequence.
fn step(decoder: &mut Decoder, sequences: &Sequences, start: usize, count: usize) {
    let groups = Decoder::kv_groups(decoder.spec());
    let inputs: Vec<(Vec<TokenId>, Vec<BlockTable>)> = (0..sequences.count)
        .map(|sequence| {
            let tokens = (start..start + count).map(|position| token(sequence, position));
            (tokens.collect(), sequences.blocks(sequence, groups))
        })
        .collect();
    let chunks: Vec<BatchChunk<'_>> = inputs
        .iter()
        .map(|(tokens, blocks)| BatchChunk {
            tokens,
            start,
            blocks,
            logits: LogitRows::Last,
        })
        .collect();
    std::hint::black_box(decoder.forward(&Batch::new(&chunks)));
}

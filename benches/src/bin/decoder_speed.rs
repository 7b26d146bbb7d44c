//! Prefill and decode speed of the decoder alone: no scheduler, no HTTP.
//!
//! Usage: `decoder_speed MODEL.gguf [THREADS] [WORKLOAD…]`, a workload being `pTOKENS` (a prompt) or
//! `dSEQUENCES` (decoding so many at once); without any, a fixed list. Prints medians of several
//! repetitions, so that the lines can be set beside llama-bench and llama-batched-bench on the same
//! machine. Prompts have at most 512 tokens, and at most 32 sequences are decoded.
#![expect(
    clippy::print_stdout,
    reason = "a benchmark's output is what it prints"
)]

use std::time::Instant;

use anyhow::{Context, Result, bail};
use sconce_domain::TokenId;
use sconce_kernels::Isa;
use sconce_model::{
    Batch, BatchChunk, Decoder, DecoderSettings, GgufFile, KvType, LogitRows, spec_for,
};

const REPETITIONS: usize = 5;
const WORKLOADS: [&str; 7] = ["p128", "p512", "d1", "d4", "d8", "d16", "d32"];

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
        kv_blocks: 1_024,
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
    let (kind, count) = workload.split_at_checked(1).context("an empty workload")?;
    let count: usize = count
        .parse()
        .with_context(|| format!("{workload} has no number"))?;
    match kind {
        "p" if (1..=512).contains(&count) => {
            report(&format!("prefill {count}"), count, || {
                prefill(decoder, count)
            });
        }
        "d" if (1..=32).contains(&count) => {
            for start in 0..8 {
                prefill_all(decoder, count, start * 16);
            }
            report(&format!("decode, {count} sequences"), count * 32, || {
                (0..32).for_each(|step| decode(decoder, count, 128 + step));
            });
        }
        _ => bail!("{workload} is neither p1 to p512 nor d1 to d32"),
    }
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

/// The blocks of one of 32 sequences of at most 512 positions.
fn blocks(sequence: usize) -> Vec<u32> {
    (0..32)
        .map(|index| (sequence * 32 + index) as u32)
        .collect()
}

fn prefill(decoder: &mut Decoder, count: usize) {
    let tokens: Vec<TokenId> = (0..count).map(|position| token(0, position)).collect();
    let blocks = blocks(0);
    let chunk = BatchChunk {
        tokens: &tokens,
        start: 0,
        blocks: &blocks,
        logits: LogitRows::Last,
    };
    std::hint::black_box(decoder.forward(&Batch::new(&[chunk])));
}

fn prefill_all(decoder: &mut Decoder, sequences: usize, start: usize) {
    step(decoder, sequences, start, 16);
}

fn decode(decoder: &mut Decoder, sequences: usize, position: usize) {
    step(decoder, sequences, position, 1);
}

fn step(decoder: &mut Decoder, sequences: usize, start: usize, count: usize) {
    let inputs: Vec<(Vec<TokenId>, Vec<u32>)> = (0..sequences)
        .map(|sequence| {
            let tokens = (start..start + count).map(|position| token(sequence, position));
            (tokens.collect(), blocks(sequence))
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

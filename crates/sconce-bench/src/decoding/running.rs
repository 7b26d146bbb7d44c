//! Runs the workloads on a decoder and takes the time.

use std::hint::black_box;
use std::time::Instant;

use sconce_domain::{KvGroups, TokenId};
use sconce_model::{Batch, BatchChunk, BlockTable, Decoder, LogitRows, StepWork};

use super::workload::{Plan, Workload};
use crate::Samples;

/// A workload and how long it took.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// What was done.
    pub workload: Workload,
    /// Tokens of one repetition.
    pub tokens: usize,
    /// Tokens a second, of each repetition.
    pub tokens_per_s: Samples,
    /// Bytes of weights, keys and values that a token needs read.
    pub bytes_per_token: f64,
    /// Operations of matrix products that a token needs, a multiplication and an addition being two.
    pub operations_per_token: f64,
}

/// Measures all that `plan` names on a decoder with [`Plan::blocks`] blocks for each group of layers. `progress` is told how many
/// tokens have been computed, each time that it is some more.
///
/// # Panics
/// If the decoder's cache or context is smaller than the plan needs (see [`Plan::check`]).
pub fn measure(
    decoder: &mut Decoder,
    work: &StepWork,
    plan: &Plan,
    progress: &mut dyn FnMut(usize),
) -> Vec<Measured> {
    let mut runner = Runner {
        vocabulary: decoder.spec().vocabulary,
        groups: Decoder::kv_groups(decoder.spec()),
        filled: vec![0; plan.sequences_max()],
        done: 0,
        decoder,
        plan,
        progress,
    };
    let workloads = plan.workloads().into_iter();
    workloads.map(|it| runner.measured(it, work)).collect()
}

struct Runner<'a> {
    decoder: &'a mut Decoder,
    vocabulary: usize,
    groups: KvGroups,
    plan: &'a Plan,
    /// Positions of each sequence that hold keys and values of something.
    filled: Vec<usize>,
    done: usize,
    progress: &'a mut dyn FnMut(usize),
}

impl Runner<'_> {
    fn measured(&mut self, workload: Workload, work: &StepWork) -> Measured {
        for sequence in 0..workload.sequences() {
            let from = self.filled[sequence];
            if from < workload.context() {
                self.prefill(sequence, from, workload.context());
                self.filled[sequence] = workload.context();
            }
        }
        self.run(workload);
        let tokens = self.plan.tokens_each(workload) * workload.sequences();
        let rates = (0..self.plan.repetitions).map(|_| {
            let begun = Instant::now();
            self.run(workload);
            tokens as f64 / begun.elapsed().as_secs_f64()
        });
        let tokens_per_s = Samples::new(rates.collect());
        let (bytes, operations) = needs(self.plan, workload, work);
        Measured {
            workload,
            tokens,
            tokens_per_s,
            bytes_per_token: bytes / tokens as f64,
            operations_per_token: operations / tokens as f64,
        }
    }

    fn run(&mut self, workload: Workload) {
        match workload {
            Workload::Prefill { tokens, context } => self.prefill(0, context, context + tokens),
            Workload::Decode { sequences, context } => {
                for position in context..context + self.plan.decode_tokens {
                    self.decode(sequences, position);
                }
            }
        }
    }

    fn prefill(&mut self, sequence: usize, from: usize, to: usize) {
        let blocks = self.blocks(sequence);
        for start in (from..to).step_by(self.plan.step_tokens_max) {
            let end = (start + self.plan.step_tokens_max).min(to);
            let tokens: Vec<TokenId> = (start..end).map(|it| self.token(sequence, it)).collect();
            let is_last = end == to;
            let chunk = BatchChunk {
                tokens: &tokens,
                start,
                blocks: &blocks,
                logits: if is_last {
                    LogitRows::Last
                } else {
                    LogitRows::None
                },
            };
            black_box(self.decoder.forward(&Batch::new(&[chunk])));
            self.advance(tokens.len());
        }
    }

    fn decode(&mut self, sequences: usize, position: usize) {
        let inputs: Vec<_> = (0..sequences)
            .map(|it| ([self.token(it, position)], self.blocks(it)))
            .collect();
        let chunk = |(tokens, blocks)| BatchChunk {
            tokens,
            start: position,
            blocks,
            logits: LogitRows::Last,
        };
        let chunks: Vec<_> = inputs
            .iter()
            .map(|(tokens, blocks)| chunk((&tokens[..], &blocks[..])))
            .collect();
        black_box(self.decoder.forward(&Batch::new(&chunks)));
        self.advance(sequences);
    }

    fn advance(&mut self, tokens: usize) {
        self.done += tokens;
        (self.progress)(self.done);
    }

    /// Any token will do, but neighbours should differ, as the embedding's rows are read.
    fn token(&self, sequence: usize, position: usize) -> TokenId {
        let any = sequence * 7_919 + position * 104_729 + 100;
        TokenId((any % self.vocabulary) as u32)
    }

    fn blocks(&self, sequence: usize) -> Vec<BlockTable> {
        let each = self.plan.blocks_each();
        let blocks = sequence * each..(sequence + 1) * each;
        let blocks: Vec<u32> = blocks.map(|it| it as u32).collect();
        BlockTable::whole_of_each(self.groups, &blocks, self.plan.blocks() as u32)
    }
}

/// What one repetition must read, in bytes, and multiply, in operations.
fn needs(plan: &Plan, workload: Workload, work: &StepWork) -> (f64, f64) {
    match workload {
        Workload::Prefill { tokens, context } => {
            let starts = (0..tokens).step_by(plan.step_tokens_max);
            let bytes = starts.map(|start| {
                let rows = plan.step_tokens_max.min(tokens - start);
                // The rows of a step may share what they read of the cache.
                work.weight_bytes(rows) + work.cache_bytes(context + start + rows)
            });
            let products = work.products_per_row * tokens as f64 + work.products_per_logit_row;
            (bytes.sum(), 2.0 * products)
        }
        Workload::Decode { sequences, context } => {
            let bytes = (context..context + plan.decode_tokens).map(|position| {
                work.weight_bytes(sequences) + work.cache_bytes(position + 1) * sequences as f64
            });
            let rows = (sequences * plan.decode_tokens) as f64;
            let products = (work.products_per_row + work.products_per_logit_row) * rows;
            (bytes.sum(), 2.0 * products)
        }
    }
}

#[cfg(test)]
mod tests {
    use sconce_model::tiny::TinyCheckpoint;
    use sconce_model::{DecoderSettings, GgufFile, Isa, KvType, TensorType};

    use super::*;
    use crate::decoding::workload::tests::plan;

    #[test]
    fn a_tiny_decoder_is_measured_in_full_and_progress_ends_where_it_was_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tiny.gguf");
        let checkpoint = TinyCheckpoint::new("llama", TensorType::F32);
        checkpoint.write(&path).unwrap();
        let file = GgufFile::open(&path).unwrap();
        let (spec, plan) = (checkpoint.spec.clone(), plan());
        let work = Decoder::step_work(&file, &spec, KvType::F16).unwrap();
        let settings = DecoderSettings {
            threads: 1,
            isa: Isa::detect(),
            kv_blocks: plan.blocks() * Decoder::kv_groups(&spec).count(),
            kv_type: KvType::F16,
        };
        let mut decoder = Decoder::load(&file, spec, settings, &mut |_| ()).unwrap();
        let (mut last, before) = (0, decoder.matmul_calls());
        let found = measure(&mut decoder, &work, &plan, &mut |done| {
            assert!(done > last);
            last = done;
        });
        assert_eq!(last, plan.tokens());
        assert!(decoder.matmul_calls() > before);
        assert_eq!(found.len(), plan.workloads().len());
        for it in &found {
            assert_eq!(it.tokens_per_s.count(), 2, "{}", it.workload);
            assert!(it.tokens_per_s.low().unwrap() > 0.0);
        }
        let decode = |sequences, context| {
            let workload = Workload::Decode { sequences, context };
            found.iter().find(|it| it.workload == workload).unwrap()
        };
        let matrices = work.weight_bytes(1);
        let alone = decode(1, 0).bytes_per_token - work.cache_bytes(1) * 2.5;
        assert!((alone - matrices).abs() < 1e-3 * matrices);
        let shared = decode(3, 0).bytes_per_token - work.cache_bytes(1) * 2.5;
        assert!((shared - matrices / 3.0).abs() < 1e-3 * matrices);
        let deeper = decode(3, 32).bytes_per_token - decode(3, 0).bytes_per_token;
        assert!((deeper - work.cache_bytes(32)).abs() < 1e-3 * matrices);
    }
}

//! An encoder: a text in, one vector or one score out. Bidirectional, over a ragged batch of texts.
//!
//! Weights stay as wide as the file has them, and the arithmetic is single precision: an encoder is small,
//! is loaded once, and its results are compared with ones that were stored months ago.
//! Source: Devlin et al. 2018, "BERT: Pre-training of Deep Bidirectional Transformers".

mod claims;
mod config;
mod folder;
mod layer;
mod load;
mod pooling;
mod spec;

use std::ops::Range;

use sconce_domain::{EncoderText, TokenCount};
use sconce_kernels::Isa;
use sconce_kernels::activation::{Bend, bend};
use sconce_kernels::layer_norm::add_layer_norm;

#[cfg(any(test, feature = "tiny-checkpoints"))]
pub(crate) use claims::plain_claims;
pub use folder::EncoderFolder;
pub use spec::{EncoderOutput, EncoderSpec, Pooling};

use crate::cpu::Cpu;
use crate::linear::Linear;
use layer::{EncoderLayer, Norm, Scratch};
use load::Table;

/// A loaded encoder.
#[derive(Debug)]
pub struct Encoder {
    spec: EncoderSpec,
    cpu: Cpu,
    words: Table,
    positions: Table,
    segments: Table,
    norm: Norm,
    layers: Vec<EncoderLayer>,
    score: Option<ScoreHead>,
    state: Vec<f32>,
    scratch: Scratch,
}

/// `classifier(tanh(pooler(first row)))`: how well two texts fit, as a logit.
#[derive(Debug)]
struct ScoreHead {
    pooler: Linear,
    classifier: Linear,
}

impl Encoder {
    /// What the encoder is.
    #[must_use]
    pub fn spec(&self) -> &EncoderSpec {
        &self.spec
    }

    /// The instruction set in use.
    #[must_use]
    pub fn isa(&self) -> Isa {
        self.cpu.isa
    }

    /// Bytes of memory that the weights take.
    #[must_use]
    pub fn weight_bytes(&self) -> usize {
        let tables = [&self.words, &self.positions, &self.segments];
        let tables: usize = tables.into_iter().map(Table::bytes).sum();
        let head = self.score.as_ref();
        let head = head.map_or(0, |it| it.pooler.bytes() + it.classifier.bytes());
        let layers: usize = self.layers.iter().map(EncoderLayer::bytes).sum();
        tables + head + layers
    }

    /// Tokens that a text may have, its markers included.
    #[must_use]
    pub fn context(&self) -> TokenCount {
        self.spec.context
    }

    /// Computes all `texts` in one pass. Gives for each its vector as the pooling makes it, not
    /// normalised, or its score as a row of one logit. A text's result does not depend on its company.
    ///
    /// # Panics
    /// If a text has no token, more than the context holds, or one that is not in the vocabulary.
    pub fn encode(&mut self, texts: &[&EncoderText]) -> Vec<Vec<f32>> {
        let mut rows = 0;
        let ranges: Vec<Range<usize>> = texts
            .iter()
            .map(|text| {
                assert!(!text.tokens.is_empty(), "a text has at least its markers");
                let first = rows;
                rows += text.tokens.len();
                first..rows
            })
            .collect();
        self.embed(texts, rows);
        for layer in &self.layers {
            let work = (&mut self.state[..], &mut self.scratch);
            layer.forward(&mut self.cpu, &ranges, work);
        }
        let hidden = self.spec.hidden;
        match (&self.spec.output, &self.score) {
            (EncoderOutput::Vector(pooling), _) => ranges
                .iter()
                .map(|rows| {
                    pooling.pool(&self.state[rows.start * hidden..rows.end * hidden], hidden)
                })
                .collect(),
            (EncoderOutput::Score, Some(head)) => head.score(&mut self.cpu, &self.state, &ranges),
            (EncoderOutput::Score, None) => {
                unreachable!("a spec with a score is loaded with its head")
            }
        }
    }

    /// The sum of each token's word, place and segment, normalised.
    fn embed(&mut self, texts: &[&EncoderText], rows: usize) {
        let hidden = self.spec.hidden;
        self.state.resize(rows * hidden, 0.0);
        let branch = self.scratch.branch(rows * hidden);
        let mut out = self.state.chunks_exact_mut(hidden);
        let mut places = branch.chunks_exact_mut(hidden);
        for text in texts {
            let rows = (&mut out).zip(&mut places).zip(&text.tokens);
            for (place, ((row, sum), token)) in rows.take(text.tokens.len()).enumerate() {
                row.copy_from_slice(self.words.row(token.0 as usize));
                let segment = usize::from(place >= text.second_starts);
                let segment = segment.min(self.spec.segments - 1);
                let parts = self
                    .positions
                    .row(place)
                    .iter()
                    .zip(self.segments.row(segment));
                for (sum, (position, segment)) in sum.iter_mut().zip(parts) {
                    *sum = position + segment;
                }
            }
        }
        let norm = self.norm.learned(self.spec.norm_epsilon);
        add_layer_norm(
            self.cpu.isa,
            &mut self.cpu.pool,
            &mut self.state,
            branch,
            norm,
        );
    }
}

impl ScoreHead {
    fn score(&self, cpu: &mut Cpu, state: &[f32], texts: &[Range<usize>]) -> Vec<Vec<f32>> {
        let hidden = self.pooler.width();
        let first_rows: Vec<f32> = texts
            .iter()
            .flat_map(|rows| &state[rows.start * hidden..][..hidden])
            .copied()
            .collect();
        let (mut pooled, mut logits) = (Vec::new(), Vec::new());
        self.pooler.apply(cpu, &first_rows, hidden, &mut pooled);
        bend(cpu.isa, &mut cpu.pool, Bend::Tanh, &mut pooled);
        self.classifier.apply(cpu, &pooled, hidden, &mut logits);
        logits.chunks_exact(1).map(<[f32]>::to_vec).collect()
    }
}

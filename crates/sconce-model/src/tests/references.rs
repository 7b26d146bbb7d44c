//! Tiny checkpoints against llama.cpp: the same weights, the same tokens, the same probabilities.
//!
//! The weights follow from a seed, so only what llama.cpp says is kept, in `references/`. To make it
//! anew, run the ignored test here, which writes the checkpoints, then `references/ask.mjs`.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::quantized::gguf_file::Value;
use sconce_domain::{TokenCount, TokenId};

use super::{file_of, groups, tables};
use crate::tiny::TinyCheckpoint;
use crate::{
    Activation, ArchSpec, Attention, Batch, BatchChunk, Biases, BlockFormat, Decoder,
    DecoderSettings, Experts, FeedForward, GgufFile, Head, Isa, KvType, LogitRows, Mask, Mixer,
    NormPlacement, Positions, QueryKeyNorm, Rope, RopeStretch, SharedWeight, Shares, Sinks,
    TensorType, spec_for,
};

/// Tokens of the prompt, long enough for windows to matter.
const LENGTH: usize = 48;
/// Every which token's log-probability is kept.
const TOKEN_STRIDE: usize = 8;

/// A checkpoint with a name, and how far a log-probability may be from llama.cpp's on average.
#[derive(Clone)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) checkpoint: TinyCheckpoint,
    mean_error_max: f64,
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = TensorType::ALL.map(stored_as).to_vec();
    cases.extend(families());
    cases
}

/// One checkpoint for each thing that a family does in its own way.
pub(super) fn families() -> Vec<Case> {
    [plain_families(), experts(), stretches(), windows()].concat()
}

/// Families with experts.
fn experts() -> Vec<Case> {
    let experts = |shared: Option<u32>| {
        let mut extras = vec![
            ("expert_count", Value::U32(8)),
            ("expert_used_count", Value::U32(3)),
            ("expert_feed_forward_length", Value::U32(64)),
        ];
        let shared = shared.map(Value::U32);
        extras.extend(shared.map(|it| ("expert_shared_feed_forward_length", it)));
        extras
    };
    let scaled = |shared| [experts(shared), scales()].concat();
    let mut quantized = case("quantized-experts", "qwen3moe", 2, experts(None));
    quantized.checkpoint.weights = TensorType::Blocks(BlockFormat::Q8_0);
    quantized.checkpoint.expert_weights = TensorType::Blocks(BlockFormat::Q8_0);
    quantized.mean_error_max = 6e-2;
    let window = ("attention.sliding_window", Value::U32(16));
    let sinks = [experts(None), yarn(), vec![window]].concat();
    let mut quantized_sinks = own_head(case("quantized-sinks", "gpt-oss", 3, sinks.clone()));
    quantized_sinks.checkpoint.expert_weights = TensorType::Blocks(BlockFormat::Mxfp4);
    quantized_sinks.mean_error_max = 6e-2;
    let kv_heads = ("attention.head_count_kv", Value::U32(4));
    let all_heads = [experts(None), vec![kv_heads]].concat();
    let mut cases = vec![
        case("experts", "qwen3moe", 2, experts(None)),
        quantized,
        case("experts", "llama", 2, experts(None)),
        own_head(case("sinks-windows-yarn", "gpt-oss", 3, sinks)),
        quantized_sinks,
        own_head(case("experts", "olmoe", 2, all_heads)),
        own_head(case("shared-expert", "qwen2moe", 2, experts(Some(96)))),
        case("experts", "granitemoe", 2, scaled(None)),
        case("shared-expert", "granitemoe", 2, scaled(Some(96))),
    ];
    // Two roundings of a router's weight meet in one sum.
    for case in &mut cases {
        case.mean_error_max = case.mean_error_max.max(6e-3);
    }
    cases
}

fn scales() -> Vec<(&'static str, Value)> {
    vec![
        ("embedding_scale", Value::F32(6.0)),
        ("residual_scale", Value::F32(0.4)),
        ("attention.scale", Value::F32(0.1)),
        ("logit_scale", Value::F32(2.0)),
    ]
}

fn plain_families() -> Vec<Case> {
    let untrained_rope = vec![
        ("rope.scaling.finetuned", Value::Bool(false)),
        ("logit_scale", Value::F32(2.0)),
    ];
    vec![
        own_head(case("own-head", "qwen2", 2, vec![])),
        case("normed-heads", "qwen3", 2, vec![]),
        case("scales", "granite", 2, scales()),
        case("no-rope", "granite", 2, untrained_rope),
        own_head(case("post-norms", "olmo2", 2, vec![])),
        case("gelu", "gemma", 2, vec![]),
        case("layers-without-positions", "smollm3", 5, vec![]),
    ]
}

fn yarn() -> Vec<(&'static str, Value)> {
    vec![
        ("rope.scaling.type", Value::String("yarn".to_owned())),
        ("rope.scaling.factor", Value::F32(4.0)),
        ("rope.scaling.original_context_length", Value::U32(128)),
    ]
}

fn stretches() -> Vec<Case> {
    let stretched = |mut case: Case, stretch| {
        change_ropes(&mut case.checkpoint.spec, &|it| it.stretch = stretch);
        case
    };
    let magnified = ("rope.scaling.attn_factor", Value::F32(1.25));
    let long = |name: &str, tokens: u32| {
        let original = ("rope.scaling.original_context_length", Value::U32(tokens));
        let stretch = RopeStretch::Long {
            original_context: TokenCount(tokens),
        };
        stretched(
            case(name, "phi3", 2, vec![original, magnified.clone()]),
            stretch,
        )
    };
    let partial = ("rope.dimension_count", Value::U32(8));
    vec![
        stretched(case("stored", "llama", 2, vec![]), RopeStretch::Stored),
        stretched(
            case("linear", "llama", 2, vec![]),
            RopeStretch::Linear { factor: 4.0 },
        ),
        case("yarn", "qwen2", 2, yarn()),
        case("fused-partial", "phi3", 2, vec![partial, magnified.clone()]),
        // llama.cpp is asked with room for 256 positions; here is room for 64.
        long("long", 32),
        long("short", 300),
    ]
}

fn windows() -> Vec<Case> {
    let window = ("attention.sliding_window", Value::U32(16));
    let caps = vec![
        window.clone(),
        ("attn_logit_softcapping", Value::F32(2.0)),
        ("final_logit_softcapping", Value::F32(4.0)),
    ];
    let two_ropes = vec![
        window.clone(),
        ("rope.freq_base", Value::F32(1_000_000.0)),
        ("rope.scaling.type", Value::String("linear".to_owned())),
        ("rope.scaling.factor", Value::F32(8.0)),
        ("rope.freq_base_swa", Value::F32(2_000.0)),
    ];
    let stretched = [yarn(), vec![window]].concat();
    vec![
        own_head(case("post-norms-windows-yarn", "olmo2", 5, stretched)),
        case("caps-windows", "gemma2", 3, caps),
        case("windows-two-ropes", "gemma3", 7, two_ropes),
    ]
}

/// A layer's last query sees what it would see if the prompt began where its window does: positions
/// are relative. llama.cpp sets the window of some families aside, so it cannot tell.
#[test]
fn a_window_of_one_layer_sees_as_much_as_a_prompt_of_its_length() {
    let extras = |window| vec![("attention.sliding_window", Value::U32(window))];
    for family in ["llama", "phi3", "olmo2", "gemma2", "gemma3"] {
        let rows = |window, prompt: &[TokenId]| {
            let case = case("window", family, 1, extras(window));
            log_probabilities(&case.checkpoint, case.checkpoint.spec.clone(), prompt)
        };
        let (windowed, whole) = (rows(16, &prompt()), rows(LENGTH as u32, &prompt()));
        let short = rows(16, &prompt()[LENGTH - 16..]);
        let distance = |one: &[Vec<f64>], other: &[Vec<f64>]| {
            let (one, other) = (one.last().unwrap(), other.last().unwrap());
            one.iter()
                .zip(other)
                .map(|(one, other)| (one - other).abs())
                .sum::<f64>()
                / 284.0
        };
        assert!(distance(&windowed, &short) < 2e-3, "{family}");
        assert!(distance(&windowed, &whole) > 2e-2, "{family}");
    }
}

fn own_head(mut case: Case) -> Case {
    case.checkpoint.spec.head = Head::Own;
    case
}

fn case(name: &str, family: &str, layers: usize, extras: Vec<(&'static str, Value)>) -> Case {
    Case {
        name: format!("{family}-{name}"),
        checkpoint: TinyCheckpoint::with_extras(family, TensorType::F32, layers, extras),
        mean_error_max: 4e-3,
    }
}

/// Changes every layer's rope.
fn change_ropes(spec: &mut ArchSpec, change: &dyn Fn(&mut Rope)) {
    change_attentions(spec, &|attention| {
        if let Positions::Rotary(rope) = &mut attention.positions {
            change(rope);
        }
    });
}

/// Weights are exactly the same in both engines, but each rounds activations in its own way; llama.cpp
/// takes one scale for 256 of them where weights come in such blocks. A wrong weight costs more than one.
fn stored_as(kind: TensorType) -> Case {
    let mean_error_max = match kind {
        TensorType::F32 => 4e-3,
        TensorType::F16 | TensorType::Bf16 => 2e-2,
        TensorType::Blocks(_) if kind.block_elements() == 32 => 8e-2,
        TensorType::Blocks(_) => 0.5,
    };
    Case {
        name: format!("stored-as-{kind}"),
        checkpoint: TinyCheckpoint::new("llama", kind),
        mean_error_max,
    }
}

pub(super) fn prompt() -> Vec<TokenId> {
    let token = |index: usize| TokenId((index * 37 % 251 + 4) as u32);
    (0..LENGTH).map(token).collect()
}

/// The log-probabilities of every token after each of `tokens` when the checkpoint is computed as `spec`.
fn log_probabilities(
    checkpoint: &TinyCheckpoint,
    spec: ArchSpec,
    tokens: &[TokenId],
) -> Vec<Vec<f64>> {
    let bytes = checkpoint.to_bytes().unwrap();
    let file = file_of(&bytes);
    let gguf = GgufFile::open(file.path()).unwrap();
    assert_eq!(spec_for(&gguf).unwrap(), checkpoint.spec);
    let settings = DecoderSettings {
        threads: 1,
        isa: Isa::detect(),
        kv_blocks: 4 * groups(&spec),
        kv_type: KvType::F16,
    };
    let mut decoder = Decoder::load(&gguf, spec, settings, &mut |_| ()).unwrap();
    let chunk = BatchChunk {
        tokens,
        start: 0,
        blocks: &tables(decoder.spec(), &[2, 0, 1], 4),
        logits: LogitRows::All,
    };
    let logits = decoder.forward(&Batch::new(&[chunk]));
    let rows = logits.chunks_exact(checkpoint.spec.vocabulary);
    rows.map(normalised).collect()
}

/// The mean distance of log-probabilities from llama.cpp's when the case is computed as `spec`.
fn mean_error(case: &Case, spec: ArchSpec) -> f64 {
    let found = log_probabilities(&case.checkpoint, spec, &prompt());
    let references = references();
    let kept = references
        .iter()
        .filter(|((name, _), _)| *name == case.name);
    let mut errors = Vec::new();
    for ((_, position), wanted) in kept {
        let found = found[*position].iter().step_by(TOKEN_STRIDE);
        errors.extend(
            found
                .zip(wanted)
                .map(|(found, wanted)| (found - wanted).abs()),
        );
    }
    assert!(errors.len() > 100, "{} is not in the fixture", case.name);
    errors.iter().sum::<f64>() / errors.len() as f64
}

pub(super) fn normalised(logits: &[f32]) -> Vec<f64> {
    let logits: Vec<f64> = logits.iter().copied().map(f64::from).collect();
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = logits.iter().map(|it| (it - largest).exp()).sum();
    let offset = largest + total.ln();
    logits.iter().map(|it| it - offset).collect()
}

/// What llama.cpp says, by checkpoint and position.
fn references() -> BTreeMap<(String, usize), Vec<f64>> {
    let lines = include_str!("references/llama_cpp.txt").lines();
    let parse = |line: &str| {
        let mut fields = line.split(' ');
        let name = fields.next().unwrap().to_owned();
        let position = fields.next().unwrap().parse().unwrap();
        let values = fields.map(|it| it.parse().unwrap()).collect();
        ((name, position), values)
    };
    lines.filter(|it| !it.starts_with('#')).map(parse).collect()
}

#[test]
fn every_tiny_checkpoint_has_llama_cpp_s_distribution() {
    let mut failures = Vec::new();
    for case in cases() {
        let mean = mean_error(&case, case.checkpoint.spec.clone());
        println!("{}: mean error {mean:.5}", case.name);
        if mean.is_nan() || mean > case.mean_error_max {
            failures.push(format!("{} is off by {mean}", case.name));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// Leaves one thing out of a spec.
type Omission = (&'static str, fn(&mut ArchSpec));

const OMISSIONS: [Omission; 19] = [
    ("embedding scale", |it| it.embedding_scale = 1.0),
    ("logit scale", |it| it.logit_scale = 1.0),
    ("logit cap", |it| it.logit_cap = None),
    ("residual scale", |it| {
        it.layers.iter_mut().for_each(|it| it.residual_scale = 1.0);
    }),
    ("norms after", |it| change_norms(it, NormPlacement::Before)),
    ("norms before", |it| change_norms(it, NormPlacement::After)),
    ("query-key norm", |it| {
        change_attentions(it, &|it| it.query_key_norm = QueryKeyNorm::None);
    }),
    ("window", |it| {
        change_attentions(it, &|it| it.mask = Mask::Causal)
    }),
    ("score cap", |it| {
        change_attentions(it, &|it| it.score_cap = None)
    }),
    ("score scale", |it| {
        change_attentions(it, &|it| {
            it.score_scale = (it.head_dim as f32).sqrt().recip()
        });
    }),
    ("sinks", |it| {
        change_attentions(it, &|it| it.sinks = Sinks::Absent)
    }),
    ("experts' biases", |it| {
        change_experts(it, &|it| it.biases = Biases::Absent)
    }),
    ("clamp", |it| {
        change_experts(it, &|it| it.each.activation = Activation::Silu)
    }),
    ("shares", |it| {
        change_experts(it, &|it| it.shares = other_shares(it.shares));
    }),
    ("last expert", |it| change_experts(it, &|it| it.chosen -= 1)),
    ("shared expert's weight", |it| {
        change_experts(it, &|it| {
            if let Some(shared) = &mut it.shared {
                shared.weight = SharedWeight::One;
            }
        });
    }),
    ("stretch", |it| {
        change_ropes(it, &|it| it.stretch = RopeStretch::None)
    }),
    ("magnitude", |it| change_ropes(it, &|it| it.magnitude = 1.0)),
    ("second base", |it| {
        change_ropes(it, &|it| it.base = 10_000.0)
    }),
];

/// A family's own way that made no difference here would not be tested by the distributions above.
#[test]
fn whatever_is_left_out_of_a_spec_shows_in_the_distribution() {
    let mut shown = 0;
    for case in families() {
        for (name, omit) in OMISSIONS {
            let mut spec = case.checkpoint.spec.clone();
            omit(&mut spec);
            if spec != case.checkpoint.spec {
                let mean = mean_error(&case, spec);
                assert!(
                    mean > 5.0 * case.mean_error_max,
                    "{} without {name}: {mean}",
                    case.name
                );
                shown += 1;
            }
        }
    }
    assert!(shown > 30, "only {shown} things were left out");
}

fn change_attentions(spec: &mut ArchSpec, change: &dyn Fn(&mut Attention)) {
    for layer in &mut spec.layers {
        let Mixer::Attention(attention) = &mut layer.mixer;
        change(attention);
    }
}

fn change_experts(spec: &mut ArchSpec, change: &dyn Fn(&mut Experts)) {
    for layer in &mut spec.layers {
        if let FeedForward::Experts(experts) = &mut layer.feed_forward {
            change(experts);
        }
    }
}

fn other_shares(shares: Shares) -> Shares {
    match shares {
        Shares::OfChosen => Shares::OfAll,
        Shares::OfAll => Shares::OfChosen,
    }
}

/// Changes nothing where the checkpoint has not the norms.
fn change_norms(spec: &mut ArchSpec, norms: NormPlacement) {
    for layer in &mut spec.layers {
        if layer.norms == NormPlacement::Both {
            layer.norms = norms;
        }
    }
}

#[test]
#[ignore = "writes the files that references/ask.mjs reads"]
fn write_the_checkpoints_for_llama_cpp() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tiny");
    std::fs::create_dir_all(&folder).unwrap();
    let tokens: Vec<String> = prompt().iter().map(|it| it.0.to_string()).collect();
    std::fs::write(folder.join("prompt.txt"), tokens.join(" ")).unwrap();
    for case in cases() {
        let path = folder.join(format!("{}.gguf", case.name));
        case.checkpoint.write(path).unwrap();
    }
}

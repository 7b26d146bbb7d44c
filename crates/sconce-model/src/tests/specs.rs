//! From metadata to a spec.

use candle_core::quantized::gguf_file::Value;
use expect_test::expect;

use super::{FAMILIES, file_of, line};
use crate::tiny::{TinyCheckpoint, gguf_bytes};
use crate::{
    ArchSpec, Attention, BlockFormat, GgufFile, Head, LayerSpec, LoadError, Mask, Mixer, Positions,
    Projections, Rope, RopePairing, RopeStretch, TensorType, spec_for,
};

fn tiny(family: &str) -> TinyCheckpoint {
    TinyCheckpoint::new(family, TensorType::F32)
}

fn read(bytes: &[u8]) -> Result<ArchSpec, LoadError> {
    spec_for(&GgufFile::open(file_of(bytes).path())?)
}

fn attention(spec: &mut ArchSpec, change: impl Fn(&mut Attention)) {
    for layer in &mut spec.layers {
        let Mixer::Attention(attention) = &mut layer.mixer;
        change(attention);
    }
}

fn rope(attention: &mut Attention) -> &mut Rope {
    match &mut attention.positions {
        Positions::Rotary(rope) => rope,
        Positions::Absent => panic!("nothing rotates here"),
    }
}

/// The spec of a file is the one it was written from.
fn check(checkpoint: &TinyCheckpoint) {
    assert_eq!(
        read(&checkpoint.to_bytes().unwrap()).unwrap(),
        checkpoint.spec
    );
}

#[test]
fn a_family_is_read_as_it_was_written() {
    for family in FAMILIES {
        check(&tiny(family));
        check(&TinyCheckpoint::new(
            family,
            TensorType::Blocks(BlockFormat::Q6K),
        ));
    }
}

#[test]
fn every_difference_within_a_family_is_read() {
    let mut own_head = tiny("qwen2");
    own_head.spec.head = Head::Own;
    check(&own_head);
    let mut biased = tiny("llama");
    attention(&mut biased.spec, |it| {
        it.projections = Projections::SplitBiased
    });
    check(&biased);
    let mut stored = tiny("llama");
    attention(&mut stored.spec, |it| {
        rope(it).stretch = RopeStretch::Stored
    });
    check(&stored);
    let mut linear = tiny("qwen2");
    attention(&mut linear.spec, |it| {
        rope(it).stretch = RopeStretch::Linear { factor: 4.0 }
    });
    check(&linear);
    let mut partial = tiny("llama");
    attention(&mut partial.spec, |it| rope(it).rotated_dims = 8);
    check(&partial);
}

#[test]
fn the_families_differ_in_pairing_and_biases() {
    let facts = |family| {
        let Mixer::Attention(mut attention) = tiny(family).spec.layers.remove(0).mixer;
        (rope(&mut attention).pairing, attention.projections)
    };
    assert_eq!(
        facts("llama"),
        (RopePairing::Neighbours, Projections::Split)
    );
    assert_eq!(
        facts("qwen2"),
        (RopePairing::Halves, Projections::SplitBiased)
    );
}

/// What is said when `key` of a tiny file is `value`, or absent. The key begins with the family.
fn outcome(key: &str, value: Option<Value>) -> String {
    let family = key.split('.').next().filter(|it| FAMILIES.contains(it));
    let checkpoint = tiny(family.unwrap_or("llama"));
    let mut metadata = checkpoint.metadata();
    metadata.retain(|(name, _)| name != key);
    let name = format!("{key} = {value:?}");
    metadata.extend(value.map(|value| (key.to_owned(), value)));
    line(
        &name,
        read(&gguf_bytes(&metadata, &checkpoint.tensors().unwrap())),
    )
}

fn outcomes(cases: impl IntoIterator<Item = (&'static str, Option<Value>)>) -> String {
    cases
        .into_iter()
        .map(|(key, value)| outcome(key, value))
        .collect()
}

#[test]
fn a_size_that_cannot_be_is_refused() {
    let cases = [
        ("llama.block_count", None),
        ("llama.block_count", Some(Value::U32(0))),
        ("llama.block_count", Some(Value::U32(1_000_000))),
        ("llama.block_count", Some(Value::I32(-1))),
        ("llama.block_count", Some(Value::U64(2))),
        ("llama.block_count", Some(Value::String("2".to_owned()))),
        ("llama.block_count", Some(Value::U32(1))),
        ("llama.block_count", Some(Value::U32(3))),
        ("llama.context_length", Some(Value::U32(0))),
        ("llama.embedding_length", Some(Value::U32(32))),
        ("llama.attention.head_count", Some(Value::U32(0))),
        (
            "llama.attention.head_count",
            Some(Value::Array(vec![Value::U32(4); 2])),
        ),
        ("llama.attention.head_count_kv", Some(Value::U32(3))),
        ("llama.attention.head_count_kv", None),
        ("llama.attention.key_length", None),
        ("llama.attention.key_length", Some(Value::U32(15))),
        ("llama.attention.value_length", Some(Value::U32(32))),
    ];
    expect![[r#"
        llama.block_count = None: has no key llama.block_count (an integer from 0 to 4294967295); convert the model again with a current tool
        llama.block_count = Some(U32(0)): key llama.block_count is 0, wanted an integer from 1 to 1024; convert the model again with a current tool
        llama.block_count = Some(U32(1000000)): key llama.block_count is 1000000, wanted an integer from 1 to 1024; convert the model again with a current tool
        llama.block_count = Some(I32(-1)): key llama.block_count is the integer -1, wanted an integer from 0 to 4294967295; convert the model again with a current tool
        llama.block_count = Some(U64(2)): accepted
        llama.block_count = Some(String("2")): key llama.block_count is a string of 1 bytes, wanted an integer from 0 to 4294967295; convert the model again with a current tool
        llama.block_count = Some(U32(1)): has tensor blk.1.attn_norm.weight with shape [64], which nothing in this family uses; results without it would be wrong: choose another file of this model
        llama.block_count = Some(U32(3)): has no tensor blk.2.attn_norm.weight, wanted with shape [64]; the file is not whole: fetch it again or convert the model again
        llama.context_length = Some(U32(0)): key llama.context_length is 0, wanted an integer from 1 to 4294967295; convert the model again with a current tool
        llama.embedding_length = Some(U32(32)): tensor token_embd.weight has shape [284, 64], wanted [284, 32] by the file's own sizes; fetch it again or convert the model again
        llama.attention.head_count = Some(U32(0)): key llama.attention.head_count is 0, wanted an integer from 1 to 4096; convert the model again with a current tool
        llama.attention.head_count = Some(Array([U32(4), U32(4)])): key llama.attention.head_count is an array of 2 beginning with the integer 4, wanted an integer from 0 to 4294967295; convert the model again with a current tool
        llama.attention.head_count_kv = Some(U32(3)): key llama.attention.head_count_kv is 3, wanted a divisor of head_count 4; convert the model again with a current tool
        llama.attention.head_count_kv = None: tensor blk.0.attn_k.weight has shape [32, 64], wanted [64, 64] by the file's own sizes; fetch it again or convert the model again
        llama.attention.key_length = None: accepted
        llama.attention.key_length = Some(U32(15)): key llama.attention.key_length is the odd 15, which is not supported yet; choose a model without it
        llama.attention.value_length = Some(U32(32)): key llama.attention.value_length is 32, unlike the key length 16, which is not supported yet; choose a model without it
    "#]].assert_eq(&outcomes(cases));
}

#[test]
fn a_norm_or_rope_that_cannot_be_is_refused() {
    let cases = [
        ("llama.attention.layer_norm_rms_epsilon", None),
        (
            "llama.attention.layer_norm_rms_epsilon",
            Some(Value::F32(f32::NAN)),
        ),
        (
            "llama.attention.layer_norm_rms_epsilon",
            Some(Value::F64(1e-5)),
        ),
        ("llama.rope.freq_base", Some(Value::F32(-1.0))),
        ("llama.rope.freq_base", None),
        ("llama.rope.dimension_count", Some(Value::U32(18))),
        ("llama.rope.dimension_count", Some(Value::U32(7))),
    ];
    expect![[r#"
        llama.attention.layer_norm_rms_epsilon = None: has no key llama.attention.layer_norm_rms_epsilon (a finite floating-point number); convert the model again with a current tool
        llama.attention.layer_norm_rms_epsilon = Some(F32(NaN)): key llama.attention.layer_norm_rms_epsilon is the f32 NaN, wanted a finite floating-point number; convert the model again with a current tool
        llama.attention.layer_norm_rms_epsilon = Some(F64(1e-5)): accepted
        llama.rope.freq_base = Some(F32(-1.0)): key llama.rope.freq_base is -1, wanted a number above 0; convert the model again with a current tool
        llama.rope.freq_base = None: accepted
        llama.rope.dimension_count = Some(U32(18)): key llama.rope.dimension_count is 18, wanted an even number up to the head's 16; convert the model again with a current tool
        llama.rope.dimension_count = Some(U32(7)): key llama.rope.dimension_count is 7, wanted an even number up to the head's 16; convert the model again with a current tool
    "#]].assert_eq(&outcomes(cases));
}

#[test]
fn what_is_not_computed_is_refused_by_name() {
    let cases = [
        ("general.architecture", None),
        (
            "general.architecture",
            Some(Value::String("mamba".to_owned())),
        ),
        ("llama.expert_count", Some(Value::U32(8))),
        ("llama.expert_count", Some(Value::U32(0))),
        (
            "llama.rope.scaling.type",
            Some(Value::String("su".to_owned())),
        ),
        (
            "llama.rope.scaling.type",
            Some(Value::String("longrope".to_owned())),
        ),
        (
            "llama.rope.scaling.type",
            Some(Value::String("none".to_owned())),
        ),
        ("llama.rope.scaling.factor", Some(Value::F32(-2.0))),
        ("llama.rope.scaling.factor", Some(Value::U32(2))),
        ("llama.rope.scaling.factor", Some(Value::F32(2.0))),
        ("llama.final_logit_softcapping", Some(Value::F32(30.0))),
        ("llama.logit_scale", Some(Value::F32(0.5))),
        ("llama.attention.causal", Some(Value::Bool(false))),
    ];
    expect![[r#"
        general.architecture = None: has no key general.architecture (a string); convert the model again with a current tool
        general.architecture = Some(String("mamba")): is of the unknown family "mamba"; known are gemma, gemma2, gemma3, gpt-oss, granite, granitemoe, llama, olmo2, olmoe, phi3, qwen2, qwen2moe, qwen3, qwen3moe, smollm3: choose a model of those
        llama.expert_count = Some(U32(8)): has no key llama.expert_used_count (an integer from 0 to 4294967295); convert the model again with a current tool
        llama.expert_count = Some(U32(0)): accepted
        llama.rope.scaling.type = Some(String("su")): key llama.rope.scaling.type is "su", which is not supported yet; choose a model without it
        llama.rope.scaling.type = Some(String("longrope")): has no key llama.rope.scaling.original_context_length (an integer from 0 to 4294967295); convert the model again with a current tool
        llama.rope.scaling.type = Some(String("none")): accepted
        llama.rope.scaling.factor = Some(F32(-2.0)): key llama.rope.scaling.factor is -2, wanted a number above 0; convert the model again with a current tool
        llama.rope.scaling.factor = Some(U32(2)): key llama.rope.scaling.factor is the integer 2, wanted a finite floating-point number; convert the model again with a current tool
        llama.rope.scaling.factor = Some(F32(2.0)): accepted
        llama.final_logit_softcapping = Some(F32(30.0)): key llama.final_logit_softcapping is 30, which is not supported yet; choose a model without it
        llama.logit_scale = Some(F32(0.5)): key llama.logit_scale is 0.5, which is not supported yet; choose a model without it
        llama.attention.causal = Some(Bool(false)): key llama.attention.causal is false, which is not supported yet; choose a model without it
    "#]].assert_eq(&outcomes(cases));
}

#[test]
fn what_another_family_honours_is_refused_by_name() {
    let cases = [
        ("qwen2.attention.sliding_window", Some(Value::U32(4096))),
        ("gemma.attention.sliding_window", Some(Value::U32(0))),
        ("llama.attention.sliding_window", Some(Value::U32(4096))),
        (
            "llama.attention.sliding_window_pattern",
            Some(Value::U32(2)),
        ),
        ("qwen3.attn_logit_softcapping", Some(Value::F32(50.0))),
        ("gemma2.attn_logit_softcapping", Some(Value::F32(-50.0))),
        ("granite.embedding_scale", Some(Value::F32(12.0))),
        ("phi3.residual_scale", Some(Value::F32(0.5))),
        ("olmo2.attention.clamp_kqv", Some(Value::F32(8.0))),
    ];
    expect![[r#"
        qwen2.attention.sliding_window = Some(U32(4096)): key qwen2.attention.sliding_window is 4096, which is not supported yet; choose a model without it
        gemma.attention.sliding_window = Some(U32(0)): accepted
        llama.attention.sliding_window = Some(U32(4096)): accepted
        llama.attention.sliding_window_pattern = Some(U32(2)): key llama.attention.sliding_window_pattern is 2, which is not supported yet; choose a model without it
        qwen3.attn_logit_softcapping = Some(F32(50.0)): key qwen3.attn_logit_softcapping is 50, which is not supported yet; choose a model without it
        gemma2.attn_logit_softcapping = Some(F32(-50.0)): key gemma2.attn_logit_softcapping is -50, which is not supported yet; choose a model without it
        granite.embedding_scale = Some(F32(12.0)): accepted
        phi3.residual_scale = Some(F32(0.5)): key phi3.residual_scale is 0.5, which is not supported yet; choose a model without it
        olmo2.attention.clamp_kqv = Some(F32(8.0)): key olmo2.attention.clamp_kqv is 8, which is not supported yet; choose a model without it
    "#]].assert_eq(&outcomes(cases));
}

#[test]
fn a_stretch_that_cannot_be_is_refused() {
    let stretched = |kind: &str, factor: f32, context: Option<u32>| {
        let mut extras = vec![
            ("rope.scaling.type", Value::String(kind.to_owned())),
            ("rope.scaling.factor", Value::F32(factor)),
        ];
        let context = context.map(Value::U32);
        extras.extend(context.map(|it| ("rope.scaling.original_context_length", it)));
        let mut checkpoint = tiny("qwen3");
        checkpoint.extras = extras;
        line(kind, read(&checkpoint.to_bytes().unwrap()))
    };
    let outcomes = [
        stretched("yarn", 4.0, Some(256)),
        stretched("yarn", 4.0, None),
        stretched("yarn", 4.0, Some(0)),
        stretched("yarn", f32::INFINITY, Some(256)),
        stretched("yarn", -4.0, Some(256)),
        stretched("longrope", 1.0, Some(256)),
    ];
    expect![[r#"
        yarn: accepted
        yarn: has no key qwen3.rope.scaling.original_context_length (an integer from 0 to 4294967295); convert the model again with a current tool
        yarn: key qwen3.rope.scaling.original_context_length is 0, wanted an integer from 1 to 4294967295; convert the model again with a current tool
        yarn: key qwen3.rope.scaling.factor is the f32 inf, wanted a finite floating-point number; convert the model again with a current tool
        yarn: key qwen3.rope.scaling.factor is -4, wanted a number above 0; convert the model again with a current tool
        longrope: has no tensor rope_factors_long.weight, wanted with shape [8]; the file is not whole: fetch it again or convert the model again
    "#]].assert_eq(&outcomes.concat());
}

/// Which layers of the spec have a window.
fn windows(spec: &ArchSpec) -> Vec<bool> {
    let has_window = |layer: &LayerSpec| {
        let Mixer::Attention(attention) = &layer.mixer;
        attention.mask != Mask::Causal
    };
    spec.layers.iter().map(has_window).collect()
}

#[test]
fn windows_are_where_the_family_or_the_file_puts_them() {
    let window = ("attention.sliding_window", Value::U32(16));
    let pattern = |value| ("attention.sliding_window_pattern", value);
    let of = |family, extras| {
        let checkpoint = TinyCheckpoint::with_extras(family, TensorType::F32, 7, extras);
        check(&checkpoint);
        windows(&checkpoint.spec)
    };
    let (yes, no) = (true, false);
    assert_eq!(of("llama", vec![]), [no; 7]);
    assert_eq!(of("llama", vec![window.clone()]), [yes; 7]);
    assert_eq!(of("phi3", vec![window.clone()]), [yes; 7]);
    assert_eq!(of("gemma2", vec![]), [yes, no, yes, no, yes, no, yes]);
    assert_eq!(of("gemma3", vec![]), [no; 7]);
    let five_of_six = [yes, yes, yes, yes, yes, no, yes];
    assert_eq!(of("gemma3", vec![window.clone()]), five_of_six);
    let three_of_four = [yes, yes, yes, no, yes, yes, yes];
    assert_eq!(of("olmo2", vec![window.clone()]), three_of_four);
    let every_third = vec![window.clone(), pattern(Value::U32(3))];
    assert_eq!(of("gemma3", every_third), [yes, yes, no, yes, yes, no, yes]);
    let listed = [no, yes, yes, no, no, yes, no];
    let list = Value::Array(listed.map(Value::Bool).to_vec());
    assert_eq!(of("gemma3", vec![window, pattern(list)]), listed);
}

#[test]
fn the_largest_of_some_families_scale_scores_by_the_stream() {
    let scale = |family, layers| {
        let extras = vec![("attention.key_length", Value::U32(32))];
        let spec = TinyCheckpoint::with_extras(family, TensorType::F32, layers, extras).spec;
        let Mixer::Attention(attention) = &spec.layers[0].mixer;
        attention.score_scale
    };
    let (by_head, by_stream) = (32_f32.sqrt().recip(), 16_f32.sqrt().recip());
    assert_eq!(
        [scale("gemma2", 42), scale("gemma2", 46)],
        [by_head, by_stream]
    );
    assert_eq!(
        [scale("gemma3", 48), scale("gemma3", 62)],
        [by_head, by_stream]
    );
}

#[test]
fn stored_factors_beside_a_linear_stretch_are_refused() {
    let mut checkpoint = tiny("llama");
    attention(&mut checkpoint.spec, |it| {
        rope(it).stretch = RopeStretch::Stored
    });
    let mut metadata = checkpoint.metadata();
    metadata.push(("llama.rope.scaling.factor".to_owned(), Value::F32(2.0)));
    let bytes = gguf_bytes(&metadata, &checkpoint.tensors().unwrap());
    expect![[r#"
        both: key llama.rope.scaling.factor is 2 beside factors stored as a tensor, which is not supported yet; choose a model without it
    "#]].assert_eq(&line("both", read(&bytes)));
}

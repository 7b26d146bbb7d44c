//! Folders of safetensors against GGUF files of the same weights.

use std::path::Path;

use candle_core::quantized::gguf_file::Value;
use expect_test::expect;
use sconce_text::{Specials, Tokenizer};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use super::references::{normalised, prompt};
use super::{file_of, groups, line, tables};
use crate::tiny::{TinyCheckpoint, TinyTensor};
use crate::{
    Batch, BatchChunk, Decoder, DecoderSettings, Encoding, GgufFile, Head, Isa, KvType, LoadError,
    LogitRows, ModelFolder, Positions, QuantizedWeights, RopeStretch, TensorType, WeightsFile,
    spec_for,
};

/// A family's folder: its `model_type`, GGUF's name of it, and what its description has besides.
const FAMILIES: [(&str, &str); 4] = [
    ("llama", "llama"),
    ("mistral", "llama"),
    ("qwen2", "qwen2"),
    ("qwen3", "qwen3"),
];

fn tiny(family: &str, weights: TensorType) -> TinyCheckpoint {
    let mut checkpoint = TinyCheckpoint::new(family, weights);
    checkpoint.spec.head = Head::Own;
    checkpoint
}

/// What a folder calls a tensor.
fn published(name: &str) -> String {
    const PARTS: [(&str, &str); 11] = [
        ("attn_norm", "input_layernorm"),
        ("attn_q_norm", "self_attn.q_norm"),
        ("attn_k_norm", "self_attn.k_norm"),
        ("attn_q", "self_attn.q_proj"),
        ("attn_k", "self_attn.k_proj"),
        ("attn_v", "self_attn.v_proj"),
        ("attn_output", "self_attn.o_proj"),
        ("ffn_norm", "post_attention_layernorm"),
        ("ffn_gate", "mlp.gate_proj"),
        ("ffn_up", "mlp.up_proj"),
        ("ffn_down", "mlp.down_proj"),
    ];
    match name {
        "token_embd.weight" => return "model.embed_tokens.weight".to_owned(),
        "output_norm.weight" => return "model.norm.weight".to_owned(),
        "output.weight" => return "lm_head.weight".to_owned(),
        _ => {}
    }
    let fields: Vec<&str> = name.split('.').collect();
    let part = PARTS.iter().find(|(it, _)| *it == fields[2]).unwrap().1;
    format!("model.layers.{}.{part}.{}", fields[1], fields[3])
}

/// Rows that rotate together lie half a head apart, where the converted ones are neighbours.
fn original_rows(tensor: &TinyTensor, head_dim: usize) -> Vec<u8> {
    let row_bytes = tensor.bytes.len() / tensor.shape[0];
    let row = |index: usize| {
        let (head, place) = (index / head_dim, index % head_dim);
        let (half, pair) = (place / (head_dim / 2), place % (head_dim / 2));
        let from = head * head_dim + 2 * pair + half;
        &tensor.bytes[from * row_bytes..][..row_bytes]
    };
    (0..tensor.shape[0]).flat_map(row).copied().collect()
}

fn stored(tensors: &[(String, TinyTensor)]) -> Vec<u8> {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::<u8>::new());
    for (name, tensor) in tensors {
        let offsets = [data.len(), data.len() + tensor.bytes.len()];
        let entry = json!({
            "dtype": tensor.kind.to_string(),
            "shape": tensor.shape,
            "data_offsets": offsets,
        });
        header.insert(name.clone(), entry);
        data.extend(&tensor.bytes);
    }
    let header = Json::Object(header).to_string();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend(data);
    file
}

/// The checkpoint's tensors as a folder has them.
fn published_tensors(checkpoint: &TinyCheckpoint) -> Vec<(String, TinyTensor)> {
    let is_permuted = checkpoint.family == "llama";
    let rename = |mut tensor: TinyTensor| {
        let name = published(&tensor.name);
        if is_permuted && (name.contains("q_proj.w") || name.contains("k_proj.w")) {
            tensor.bytes = original_rows(&tensor, 16);
        }
        (name, tensor)
    };
    let tensors = checkpoint.tensors().unwrap();
    tensors.into_iter().map(rename).collect()
}

fn config(checkpoint: &TinyCheckpoint, model_type: &str) -> Json {
    let found = |wanted: &str| {
        let key = format!("{}.{wanted}", checkpoint.family);
        let metadata = checkpoint.metadata();
        let (_, value) = metadata.into_iter().find(|(it, _)| *it == key).unwrap();
        match value {
            Value::U32(number) => json!(number),
            Value::F32(number) => json!(number),
            other => panic!("{other:?}"),
        }
    };
    json!({
        "model_type": model_type,
        "architectures": ["TinyForCausalLM"],
        "hidden_act": "silu",
        "num_hidden_layers": found("block_count"),
        "max_position_embeddings": found("context_length"),
        "hidden_size": found("embedding_length"),
        "intermediate_size": found("feed_forward_length"),
        "num_attention_heads": found("attention.head_count"),
        "num_key_value_heads": found("attention.head_count_kv"),
        "rms_norm_eps": found("attention.layer_norm_rms_epsilon"),
        "rope_theta": found("rope.freq_base"),
        "tie_word_embeddings": false,
        "torch_dtype": "float32",
        "vocab_size": 284,
    })
}

fn tokenizer(checkpoint: &TinyCheckpoint) -> Json {
    let texts = |key: &str| -> Vec<String> {
        let metadata = checkpoint.metadata();
        let (_, value) = metadata.into_iter().find(|(it, _)| it == key).unwrap();
        let texts = value.to_vec().unwrap().iter();
        texts.map(|it| it.to_string().unwrap().clone()).collect()
    };
    let tokens = texts("tokenizer.ggml.tokens");
    let (plain, control) = tokens.split_at(tokens.len() - 3);
    let vocab: serde_json::Map<_, _> = plain.iter().cloned().zip((0..).map(Json::from)).collect();
    let added = control.iter().zip(plain.len()..);
    let added: Vec<_> = added
        .map(|(text, id)| json!({"id": id, "content": text, "special": true}))
        .collect();
    json!({
        "added_tokens": added,
        "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
        "post_processor": {"type": "ByteLevel", "trim_offsets": false},
        "model": {"type": "BPE", "vocab": vocab, "merges": texts("tokenizer.ggml.merges")},
    })
}

fn write(folder: &Path, file: &str, json: &Json) {
    std::fs::write(folder.join(file), json.to_string()).unwrap();
}

/// A folder of the checkpoint's weights, its description changed.
fn folder_of(checkpoint: &TinyCheckpoint, model_type: &str, change: impl Fn(&mut Json)) -> TempDir {
    let folder = TempDir::new().unwrap();
    let bytes = stored(&published_tensors(checkpoint));
    std::fs::write(folder.path().join("model.safetensors"), bytes).unwrap();
    let mut config = config(checkpoint, model_type);
    change(&mut config);
    write(folder.path(), "config.json", &config);
    write(folder.path(), "tokenizer.json", &tokenizer(checkpoint));
    folder
}

fn logits(file: &dyn WeightsFile) -> Vec<f32> {
    let spec = spec_for(file).unwrap();
    let settings = DecoderSettings {
        threads: 1,
        isa: Isa::detect(),
        kv_blocks: 4 * groups(&spec),
        kv_type: KvType::F16,
    };
    let mut decoder = Decoder::load(file, spec, settings, &mut |_| ()).unwrap();
    let chunk = BatchChunk {
        tokens: &prompt(),
        start: 0,
        blocks: &tables(decoder.spec(), &[2, 0, 1], 4),
        logits: LogitRows::All,
    };
    decoder.forward(&Batch::new(&[chunk])).to_vec()
}

fn farthest(one: &[f32], other: &[f32]) -> f32 {
    assert_eq!(one.len(), other.len());
    let distances = one
        .iter()
        .zip(other)
        .map(|(one, other)| (one - other).abs());
    distances.fold(0.0, f32::max)
}

#[test]
fn a_folder_computes_what_the_gguf_file_of_its_weights_computes() {
    for (model_type, family) in FAMILIES {
        for kind in [TensorType::F32, TensorType::F16, TensorType::Bf16] {
            let checkpoint = tiny(family, kind);
            let file = file_of(&checkpoint.to_bytes().unwrap());
            let of_gguf = logits(&GgufFile::open(file.path()).unwrap());
            let folder = folder_of(&checkpoint, model_type, |_| ());
            let of_folder = logits(&ModelFolder::open(folder.path()).unwrap());
            // Where rows are in another order, sums are, too.
            let bound = if family == "llama" { 2e-2 } else { 0.0 };
            let found = farthest(&of_gguf, &of_folder);
            assert!(found <= bound, "{model_type} {kind}: {found}");
        }
    }
}

/// As far from the full weights as weights of so many bits are.
#[test]
fn a_folder_quantized_on_its_way_is_near_what_it_was() {
    let checkpoint = tiny("qwen3", TensorType::Bf16);
    let folder = folder_of(&checkpoint, "qwen3", |_| ());
    let open = || Box::new(ModelFolder::open(folder.path()).unwrap());
    let plain = logits(&*open());
    let divergence = |encoding| {
        let quantized = QuantizedWeights::new(open(), encoding);
        let blocks = quantized.find_tensor("blk.0.ffn_up.weight").unwrap().kind;
        assert_eq!(blocks, TensorType::Blocks(encoding.format()));
        let head = quantized.find_tensor("output.weight").unwrap().kind;
        assert_eq!(head, TensorType::Blocks(crate::BlockFormat::Q8_0));
        mean_divergence(&plain, &logits(&quantized))
    };
    let (eight, four) = (divergence(Encoding::Q8_0), divergence(Encoding::Q4_0));
    println!("KL of eight bits {eight:.6}, of four {four:.5}");
    assert!(eight > 0.0 && eight < 4e-3, "{eight}");
    assert!(four > eight && four < 0.25, "{four}");
}

/// The mean Kullback-Leibler divergence of the rows' distributions.
fn mean_divergence(one: &[f32], other: &[f32]) -> f64 {
    let rows = one.chunks_exact(284).zip(other.chunks_exact(284));
    let divergence = |(one, other): (&[f32], &[f32])| {
        let (one, other) = (normalised(one), normalised(other));
        let terms = one
            .iter()
            .zip(&other)
            .map(|(one, other)| one.exp() * (one - other));
        terms.sum::<f64>()
    };
    rows.map(divergence).sum::<f64>() / (one.len() / 284) as f64
}

/// GGUF stores as a tensor what `config.json` states as a formula.
#[test]
fn a_stretch_by_bands_is_the_one_that_gguf_stores() {
    let scaling = json!({
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    });
    let mut checkpoint = tiny("llama", TensorType::F32);
    let folder = folder_of(&checkpoint, "llama", |it| {
        it["rope_scaling"] = scaling.clone()
    });
    for layer in &mut checkpoint.spec.layers {
        let crate::Mixer::Attention(attention) = &mut layer.mixer;
        if let Positions::Rotary(rope) = &mut attention.positions {
            rope.stretch = RopeStretch::Stored;
        }
    }
    let mut tensors = checkpoint.tensors().unwrap();
    let factors = tensors.iter_mut().find(|it| it.name == "rope_freqs.weight");
    factors.unwrap().bytes = (0..8).flat_map(band_factor).collect();
    let bytes = crate::tiny::gguf_bytes(&checkpoint.metadata(), &tensors);
    let of_gguf = logits(&GgufFile::open(file_of(&bytes).path()).unwrap());
    let of_folder = logits(&ModelFolder::open(folder.path()).unwrap());
    assert!(farthest(&of_gguf, &of_folder) < 2e-2);
    let plain = folder_of(&tiny("llama", TensorType::F32), "llama", |_| ());
    let plain = logits(&ModelFolder::open(plain.path()).unwrap());
    assert!(farthest(&plain, &of_folder) > 0.2);
}

/// What a converter writes for pair `pair`: a wavelength within the first band is kept, one behind the
/// second is divided by eight, and between them the two are mixed.
fn band_factor(pair: i32) -> [u8; 4] {
    let wavelength = std::f64::consts::TAU * 10_000_f64.powf(f64::from(pair) / 8.0);
    let factor = if wavelength < 16.0 {
        1.0
    } else if wavelength > 64.0 {
        8.0
    } else {
        let smooth = (64.0 / wavelength - 1.0) / 3.0;
        1.0 / ((1.0 - smooth) / 8.0 + smooth)
    };
    (factor as f32).to_le_bytes()
}

#[test]
fn a_folder_in_several_files_is_the_folder_in_one() {
    let checkpoint = tiny("qwen3", TensorType::Bf16);
    let whole = folder_of(&checkpoint, "qwen3", |_| ());
    let parted = folder_of(&checkpoint, "qwen3", |_| ());
    let tensors = published_tensors(&checkpoint);
    let (first, second) = tensors.split_at(9);
    let mut map = serde_json::Map::new();
    for (tensors, number) in [(first, 1), (second, 2)] {
        let file = format!("model-0000{number}-of-00002.safetensors");
        std::fs::write(parted.path().join(&file), stored(tensors)).unwrap();
        map.extend(tensors.iter().map(|(name, _)| (name.clone(), json!(file))));
    }
    std::fs::remove_file(parted.path().join("model.safetensors")).unwrap();
    let index = json!({"metadata": {}, "weight_map": map});
    write(parted.path(), "model.safetensors.index.json", &index);
    let open = |folder: &TempDir| ModelFolder::open(folder.path()).unwrap();
    assert_eq!(logits(&open(&parted)), logits(&open(&whole)));
}

#[test]
fn a_folder_cuts_text_as_the_gguf_file_does() {
    let checkpoint = tiny("qwen2", TensorType::F32);
    let folder = folder_of(&checkpoint, "qwen2", |_| ());
    let settings = json!({
        "bos_token": "<|endoftext|>", "eos_token": {"content": "<|im_end|>"},
        "pad_token": "<|endoftext|>", "add_bos_token": false, "chat_template": "{{ messages }}",
    });
    write(folder.path(), "tokenizer_config.json", &settings);
    write(
        folder.path(),
        "generation_config.json",
        &json!({"eos_token_id": [283, 281]}),
    );
    let folder = ModelFolder::open(folder.path()).unwrap();
    let file = file_of(&checkpoint.to_bytes().unwrap());
    let gguf = GgufFile::open(file.path()).unwrap();
    let vocabulary = folder.vocabulary().unwrap();
    let wanted = crate::vocabulary_of(&gguf).unwrap();
    assert_eq!(vocabulary.tokens, wanted.tokens);
    assert_eq!(vocabulary.classes, wanted.classes);
    assert_eq!(vocabulary.special.eos, wanted.special.eos);
    assert_eq!(vocabulary.special.bos, wanted.special.bos);
    assert_eq!(vocabulary.special.eot.map(|it| it.0), Some(281));
    assert_eq!(
        folder.chat_template().unwrap().as_deref(),
        Some("{{ messages }}")
    );
    let [own, other] = [vocabulary, wanted].map(|it| Tokenizer::new(it).unwrap());
    for text in [
        "the light of 42 kings",
        "<|im_start|>é🙂<|im_end|>",
        " \n\n  x",
    ] {
        let encode = |it: &Tokenizer| it.encode_prompt(text, Specials::Parsed).unwrap();
        assert_eq!(encode(&own), encode(&other), "{text}");
    }
}

#[test]
fn what_a_folder_asks_for_and_is_not_computed_is_refused_by_name() {
    let outcome = |name: &str, change: &dyn Fn(&mut Json)| {
        let folder = folder_of(&tiny("qwen2", TensorType::F32), "qwen2", change);
        let read = || -> Result<_, LoadError> {
            let folder = ModelFolder::open(folder.path())?;
            spec_for(&folder)
        };
        line(name, read())
    };
    let set = |key: &'static str, value: Json| {
        let name = format!("{key} = {value}");
        outcome(&name, &|it| it[key] = value.clone())
    };
    let outcomes = [
        set("model_type", json!("mamba")),
        set("model_type", json!("qwen3")),
        set("architectures", json!(["Qwen2ForSequenceClassification"])),
        set("hidden_act", json!("gelu")),
        set("quantization_config", json!({"quant_method": "awq"})),
        set("quantization_config", json!(null)),
        set("num_hidden_layers", json!(3)),
        set("num_hidden_layers", json!("2")),
        set("num_hidden_layers", json!(null)),
        set("rope_scaling", json!({"type": "dynamic", "factor": 2.0})),
        set(
            "rope_scaling",
            json!({"type": "yarn", "factor": 2.0, "truncate": false}),
        ),
        set(
            "rope_parameters",
            json!({"rope_type": "default", "rope_theta": 1e6}),
        ),
        set("partial_rotary_factor", json!(0.5)),
        set("sliding_window", json!(16)),
        set("tie_word_embeddings", json!(true)),
    ];
    expect![[r#"
        model_type = "mamba": is of the unknown family "mamba"; known are llama, mistral, qwen2, qwen3: choose a model of those
        model_type = "qwen3": has no tensor blk.0.attn_q_norm.weight, wanted with shape [16]; the file is not whole: fetch it again or convert the model again
        architectures = ["Qwen2ForSequenceClassification"]: config.json: architectures is "Qwen2ForSequenceClassification", wanted of models that continue texts; fetch the folder again, or choose another model
        hidden_act = "gelu": config.json: hidden_act is "gelu", wanted something that is computed with here; fetch the folder again, or choose another model
        quantization_config = {"quant_method":"awq"}: config.json: quantization_config is {"quant_method":"awq"}, wanted something that is computed with here; fetch the folder again, or choose another model
        quantization_config = null: accepted
        num_hidden_layers = 3: has no tensor blk.2.attn_norm.weight, wanted with shape [64]; the file is not whole: fetch it again or convert the model again
        num_hidden_layers = "2": config.json: num_hidden_layers is "2", wanted an integer from 0 to 4294967295; fetch the folder again, or choose another model
        num_hidden_layers = null: has no key qwen2.block_count (an integer from 0 to 4294967295); convert the model again with a current tool
        rope_scaling = {"type":"dynamic","factor":2.0}: config.json: rope_type is "dynamic", wanted default, linear, llama3 or yarn; fetch the folder again, or choose another model
        rope_scaling = {"type":"yarn","factor":2.0,"truncate":false}: config.json: truncate is false, wanted absent; fetch the folder again, or choose another model
        rope_parameters = {"rope_type":"default","rope_theta":1000000.0}: accepted
        partial_rotary_factor = 0.5: config.json: partial_rotary_factor is 0.5, wanted 1; fetch the folder again, or choose another model
        sliding_window = 16: key qwen2.attention.sliding_window is 16, which is not supported yet; choose a model without it
        tie_word_embeddings = true: accepted
    "#]].assert_eq(&outcomes.concat());
    let unsliding = outcome("sliding_window unused", &|it| {
        it["sliding_window"] = json!(16);
        it["use_sliding_window"] = json!(false);
    });
    assert_eq!(unsliding, "sliding_window unused: accepted\n");
}

#[test]
fn a_folder_that_is_not_whole_is_refused() {
    let folder = folder_of(&tiny("qwen2", TensorType::F32), "qwen2", |_| ());
    let open = |name: &str| line(name, ModelFolder::open(folder.path()));
    let index = |map: Json| {
        let index = json!({ "weight_map": map });
        write(folder.path(), "model.safetensors.index.json", &index);
        open(&map.to_string())
    };
    let mut outcomes = vec![
        index(json!({"lm_head.weight": "../other.safetensors"})),
        index(json!({"no.such": "model.safetensors"})),
        index(json!({})),
    ];
    for file in [
        "model.safetensors.index.json",
        "model.safetensors",
        "config.json",
    ] {
        std::fs::remove_file(folder.path().join(file)).unwrap();
        outcomes.push(open(&format!("without {file}")));
    }
    expect![[r#"
        {"lm_head.weight":"../other.safetensors"}: model.safetensors.index.json: tensor lm_head.weight is in no file's name; fetch the folder again, or choose another model
        {"no.such":"model.safetensors"}: has no tensor no.such; the file is not whole: fetch it again or convert the model again
        {}: model.safetensors.index.json: it names 0 files; fetch the folder again, or choose another model
        without model.safetensors.index.json: accepted
        without model.safetensors: model.safetensors: there is no such file, nor model.safetensors.index.json; fetch the folder again, or choose another model
        without config.json: config.json: there is no such file; fetch the folder again, or choose another model
    "#]].assert_eq(&outcomes.concat());
}

//! A file is exactly the tensors of its spec.

use expect_test::{Expect, expect};

use super::{FAMILIES, file_of, line};
use crate::tiny::{TinyCheckpoint, TinyTensor, gguf_bytes};
use crate::{GgufFile, TensorType, spec_for};

type Tensors = Vec<TinyTensor>;

fn check(family: &str, name: &str, change: impl Fn(&mut Tensors), expected: &Expect) {
    let checkpoint = TinyCheckpoint::new(family, TensorType::F32);
    let mut tensors = checkpoint.tensors().unwrap();
    change(&mut tensors);
    let bytes = gguf_bytes(&checkpoint.metadata(), &tensors);
    let file = file_of(&bytes);
    let outcome = GgufFile::open(file.path()).and_then(|it| spec_for(&it));
    expected.assert_eq(&line(name, outcome));
}

fn zeros(name: &str, shape: &[usize]) -> TinyTensor {
    TinyTensor {
        name: name.to_owned(),
        shape: shape.to_vec(),
        kind: TensorType::F32,
        bytes: vec![0; 4 * shape.iter().product::<usize>()],
    }
}

#[test]
fn a_file_without_any_one_of_its_tensors_is_refused() {
    for family in FAMILIES {
        let checkpoint = TinyCheckpoint::new(family, TensorType::F32);
        for claim in checkpoint.spec.claims() {
            let name = claim.role.name();
            let mut tensors = checkpoint.tensors().unwrap();
            tensors.retain(|it| it.name != name);
            let bytes = gguf_bytes(&checkpoint.metadata(), &tensors);
            let file = file_of(&bytes);
            let error = GgufFile::open(file.path())
                .and_then(|it| spec_for(&it))
                .unwrap_err();
            let error = error.to_string();
            assert!(error.contains(&format!("has no tensor {name}")), "{error}");
        }
    }
}

#[test]
fn a_missing_tensor_is_named_with_its_shape() {
    let drop_up = |tensors: &mut Tensors| tensors.retain(|it| it.name != "blk.1.ffn_up.weight");
    check(
        "llama",
        "one fewer",
        drop_up,
        &expect![[r#"
        one fewer: has no tensor blk.1.ffn_up.weight, wanted with shape [128, 64]; the file is not whole: fetch it again or convert the model again
    "#]],
    );
}

#[test]
fn a_bias_in_one_layer_only_is_refused() {
    let add = |tensors: &mut Tensors| tensors.push(zeros("blk.0.attn_q.bias", &[64]));
    check(
        "llama",
        "one bias",
        add,
        &expect![[r#"
        one bias: has no tensor blk.0.attn_k.bias, wanted with shape [32]; the file is not whole: fetch it again or convert the model again
    "#]],
    );
}

#[test]
fn a_tensor_that_nobody_claims_is_refused() {
    let add = |tensors: &mut Tensors| {
        tensors.push(zeros("blk.0.attn_q_norm.weight", &[16]));
    };
    check(
        "llama",
        "one more",
        add,
        &expect![[r#"
        one more: has tensor blk.0.attn_q_norm.weight with shape [16], which nothing in this family uses; results without it would be wrong: choose another file of this model
    "#]],
    );
    let add = |tensors: &mut Tensors| {
        tensors.push(zeros("blk.2.attn_norm.weight", &[64]));
    };
    check(
        "qwen2",
        "a layer more",
        add,
        &expect![[r#"
        a layer more: has tensor blk.2.attn_norm.weight with shape [64], which nothing in this family uses; results without it would be wrong: choose another file of this model
    "#]],
    );
}

#[test]
fn a_tensor_of_another_shape_is_refused() {
    let replace = |tensors: &mut Tensors| {
        let found = tensors
            .iter_mut()
            .find(|it| it.name == "blk.1.attn_k.weight")
            .unwrap();
        *found = zeros("blk.1.attn_k.weight", &[64, 32]);
    };
    check(
        "llama",
        "transposed",
        replace,
        &expect![[r#"
        transposed: tensor blk.1.attn_k.weight has shape [64, 32], wanted [32, 64] by the file's own sizes; fetch it again or convert the model again
    "#]],
    );
}

//! The exact tensors that an encoder consists of, under the names that its files give them.

use std::collections::HashSet;

use super::spec::{EncoderOutput, EncoderSpec};
use crate::load_error::{LoadError, LoadFault};
use crate::safetensors::SafetensorsFile;

/// What files that hold an encoder and a head on it put before the encoder's names.
const PREFIX: &str = "bert.";
/// The tensor by which the two kinds of files are told apart.
const WORDS: &str = "embeddings.word_embeddings.weight";
/// The tables, whose rows are looked up.
const EMBEDDINGS: &str = "embeddings.";

/// The names of an encoder's tensors in one file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names {
    prefix: &'static str,
}

impl Names {
    pub(super) fn of(file: &SafetensorsFile) -> Self {
        let prefixed = file.find_tensor(&format!("{PREFIX}{WORDS}")).is_some();
        Self {
            prefix: if prefixed { PREFIX } else { "" },
        }
    }

    /// Whether `name` is that of a table.
    pub(super) fn is_table(self, name: &str) -> bool {
        let name = name.strip_prefix(self.prefix);
        name.is_some_and(|it| it.starts_with(EMBEDDINGS))
    }

    /// The name of a part that belongs to no layer.
    pub(super) fn part(self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// The name of a part of layer `index`.
    pub(super) fn in_layer(self, index: usize, name: &str) -> String {
        self.part(&format!("encoder.layer.{index}.{name}"))
    }
}

/// A tensor's name and shape.
pub(crate) type Claim = (String, Vec<usize>);

/// Every tensor that is computed with, each once.
pub(super) fn claims_of(spec: &EncoderSpec, names: Names) -> Vec<Claim> {
    let EncoderSpec { hidden, inner, .. } = *spec;
    let mut claims = vec![
        (names.part(WORDS), vec![spec.vocabulary, hidden]),
        (
            names.part("embeddings.position_embeddings.weight"),
            vec![spec.positions, hidden],
        ),
        (
            names.part("embeddings.token_type_embeddings.weight"),
            vec![spec.segments, hidden],
        ),
    ];
    norm(&mut claims, names.part("embeddings.LayerNorm"), hidden);
    for index in 0..spec.layers {
        for name in ["query", "key", "value"] {
            let name = names.in_layer(index, &format!("attention.self.{name}"));
            linear(&mut claims, name, [hidden, hidden]);
        }
        let part = |name| names.in_layer(index, name);
        linear(
            &mut claims,
            part("attention.output.dense"),
            [hidden, hidden],
        );
        norm(&mut claims, part("attention.output.LayerNorm"), hidden);
        linear(&mut claims, part("intermediate.dense"), [inner, hidden]);
        linear(&mut claims, part("output.dense"), [hidden, inner]);
        norm(&mut claims, part("output.LayerNorm"), hidden);
    }
    if spec.output == EncoderOutput::Score {
        linear(&mut claims, names.part("pooler.dense"), [hidden, hidden]);
        linear(&mut claims, "classifier".to_owned(), [1, hidden]);
    }
    claims
}

fn linear(claims: &mut Vec<Claim>, name: String, [out, input]: [usize; 2]) {
    claims.push((format!("{name}.weight"), vec![out, input]));
    claims.push((format!("{name}.bias"), vec![out]));
}

fn norm(claims: &mut Vec<Claim>, name: String, hidden: usize) {
    claims.push((format!("{name}.weight"), vec![hidden]));
    claims.push((format!("{name}.bias"), vec![hidden]));
}

/// The names and shapes of a file that holds `spec` and nothing else.
#[cfg(any(test, feature = "tiny-checkpoints"))]
pub(crate) fn plain_claims(spec: &EncoderSpec) -> Vec<Claim> {
    let prefix = match spec.output {
        EncoderOutput::Vector(_) => "",
        EncoderOutput::Score => PREFIX,
    };
    claims_of(spec, Names { prefix })
}

/// Tensors that a file may have and that this use of the encoder does not read: the numbers 0, 1, 2 … that
/// old files store, and the pooler of a file whose rows are pooled otherwise.
fn spare(names: Names) -> [String; 3] {
    [
        "embeddings.position_ids",
        "pooler.dense.weight",
        "pooler.dense.bias",
    ]
    .map(|it| names.part(it))
}

/// Fails unless the file consists of exactly the tensors that `spec` claims, and those it may spare.
pub(super) fn check(spec: &EncoderSpec, file: &SafetensorsFile) -> Result<(), LoadError> {
    let names = Names::of(file);
    let mut known: HashSet<String> = spare(names).into();
    for (tensor, wanted) in claims_of(spec, names) {
        let fault = match file.find_tensor(&tensor) {
            None => LoadFault::TensorMissing {
                tensor,
                shape: Some(wanted),
            },
            Some(found) if found.shape != wanted => LoadFault::TensorShape {
                tensor,
                wanted,
                found: found.shape.clone(),
            },
            Some(found) if found.kind.precision().is_none() => LoadFault::Tensor {
                what: format!(
                    "is stored as {}, and F32, F16 and BF16 can be computed with",
                    found.kind
                ),
                tensor,
            },
            Some(_) => {
                known.insert(tensor);
                continue;
            }
        };
        return Err(fault.in_file(file.path()));
    }
    match file.tensors().find(|it| !known.contains(&it.name)) {
        None => Ok(()),
        Some(extra) => {
            let (tensor, shape) = (extra.name.clone(), extra.shape.clone());
            Err(LoadFault::TensorUnclaimed { tensor, shape }.in_file(file.path()))
        }
    }
}

//! Reads `tests/golden/*.jsonl`: what llama.cpp said about our default models.

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// How many tokens stand at each position.
const LIKELY_TOKENS: usize = 5;

/// Why a golden file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GoldenError {
    /// The file cannot be read.
    #[error("golden file {path} cannot be read: {cause}", path = .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: std::io::Error,
    },
    /// A line is not a record.
    #[error("golden file {path}, line {line}: {cause}", path = .path.display())]
    NotARecord {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What the parser says.
        cause: serde_json::Error,
    },
    /// The lines do not fit together.
    #[error("golden file {path}: {what}", path = .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
}

/// Everything recorded about one model.
#[derive(Debug, Clone, PartialEq)]
pub struct Golden {
    /// Which weights, and who spoke.
    pub model: ModelName,
    /// Greedy continuations.
    pub completions: Vec<Completion>,
    /// Chats rendered by the model's own template.
    pub chats: Vec<Chat>,
    /// Token ids of awkward texts.
    pub tokenizations: Vec<Tokenization>,
}

/// Which weights the facts are about.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelName {
    /// As the recorder called it.
    pub name: String,
    /// Of the weights file.
    pub sha256: String,
    /// The program and its settings.
    pub made_with: String,
}

/// A prompt and its greedy continuation.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// The text.
    pub prompt: String,
    /// Its token ids.
    pub prompt_tokens: Vec<u32>,
    /// One for each token of the continuation.
    pub positions: Vec<Position>,
}

/// The most likely tokens at a position, the likeliest first. That one was taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Position {
    /// The tokens.
    pub likely: [LikelyToken; LIKELY_TOKENS],
}

/// A token and the natural logarithm of its probability.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LikelyToken {
    /// The token's id.
    pub token: u32,
    /// Natural logarithm of its probability.
    pub logprob: f64,
}

/// A chat, and the prompt that it becomes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chat {
    /// The turns, oldest first.
    pub messages: Vec<ChatTurn>,
    /// The prompt, which ends where the answer begins.
    pub rendered: String,
    /// The prompt's token ids.
    pub rendered_tokens: Vec<u32>,
}

/// Who says what: a pair in the file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ChatTurn(
    /// `system`, `user` or `assistant`.
    pub String,
    /// What is said.
    pub String,
);

/// A text and its token ids.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tokenization {
    /// The text.
    pub text: String,
    /// Its ids if special tokens in the text are plain text.
    pub plain: Vec<u32>,
    /// Its ids if special tokens in the text are recognised.
    pub special: Vec<u32>,
}

/// A completion as the file has it: ids and log-probabilities apart.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCompletion {
    prompt: String,
    prompt_tokens: Vec<u32>,
    top_tokens: Vec<[u32; LIKELY_TOKENS]>,
    top_logprobs: Vec<[f64; LIKELY_TOKENS]>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Record {
    Model(ModelName),
    Completion(RawCompletion),
    Chat(Chat),
    Tokenization(Tokenization),
}

impl Golden {
    /// Reads the facts about the SmolLM2-135M-Instruct weights in Q4_1.
    pub fn smollm2_135m() -> Result<Self, GoldenError> {
        Self::read(&folder().join("smollm2-135m-instruct-q4_1.jsonl"))
    }

    /// Reads the facts about the Qwen2.5-Coder-0.5B-Instruct weights in Q4_K_M.
    pub fn qwen2_5_coder_0_5b() -> Result<Self, GoldenError> {
        Self::read(&folder().join("qwen2.5-coder-0.5b-instruct-q4_k_m.jsonl"))
    }

    /// Reads a golden file.
    pub fn read(path: &Path) -> Result<Self, GoldenError> {
        let text = std::fs::read_to_string(path).map_err(|cause| GoldenError::Unreadable {
            path: path.to_owned(),
            cause,
        })?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, GoldenError> {
        let malformed = |what: &str| GoldenError::Malformed {
            path: path.to_owned(),
            what: what.to_owned(),
        };
        let mut model = None;
        let (mut completions, mut chats, mut tokenizations) = (Vec::new(), Vec::new(), Vec::new());
        for (index, line) in text.lines().enumerate() {
            let record = serde_json::from_str(line).map_err(|cause| GoldenError::NotARecord {
                path: path.to_owned(),
                line: index + 1,
                cause,
            })?;
            match record {
                Record::Model(it) if model.is_none() => model = Some(it),
                Record::Model(_) => return Err(malformed("two records name the model")),
                Record::Completion(it) => completions.push(
                    it.join()
                        .ok_or_else(|| malformed("a completion's lists differ in length"))?,
                ),
                Record::Chat(it) => chats.push(it),
                Record::Tokenization(it) => tokenizations.push(it),
            }
        }
        let model = model.ok_or_else(|| malformed("no record names the model"))?;
        Ok(Self {
            model,
            completions,
            chats,
            tokenizations,
        })
    }
}

impl RawCompletion {
    /// Returns `None` if there are not as many ids as log-probabilities.
    fn join(self) -> Option<Completion> {
        if self.top_tokens.len() != self.top_logprobs.len() {
            return None;
        }
        let position =
            |(tokens, logprobs): (&[u32; LIKELY_TOKENS], &[f64; LIKELY_TOKENS])| Position {
                likely: std::array::from_fn(|at| LikelyToken {
                    token: tokens[at],
                    logprob: logprobs[at],
                }),
            };
        let positions = self
            .top_tokens
            .iter()
            .zip(&self.top_logprobs)
            .map(position)
            .collect();
        Some(Completion {
            prompt: self.prompt,
            prompt_tokens: self.prompt_tokens,
            positions,
        })
    }
}

impl Completion {
    /// The token ids of the greedy continuation.
    #[must_use]
    pub fn tokens(&self) -> Vec<u32> {
        self.positions.iter().map(Position::taken).collect()
    }
}

impl Position {
    /// The token that was taken: the likeliest.
    #[must_use]
    pub fn taken(&self) -> u32 {
        self.likely[0].token
    }

    /// By how many nats the likeliest token leads.
    #[must_use]
    pub fn gap_nats(&self) -> f64 {
        self.likely[0].logprob - self.likely[1].logprob
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Golden, GoldenError> {
        Golden::parse(Path::new("some.jsonl"), text)
    }

    const MODEL: &str = r#"{"model":{"name":"a","sha256":"b","made_with":"c"}}"#;

    #[test]
    fn the_committed_files_are_whole() {
        for golden in [
            Golden::smollm2_135m().unwrap(),
            Golden::qwen2_5_coder_0_5b().unwrap(),
        ] {
            assert_eq!(golden.model.sha256.len(), 64);
            assert_eq!(golden.completions.len(), 15);
            assert_eq!(golden.chats.len(), 8);
            assert_eq!(golden.tokenizations.len(), 15);
            let positions: usize = golden.completions.iter().map(|it| it.positions.len()).sum();
            assert!(positions > 600, "{positions} positions");
            let every_position = golden.completions.iter().flat_map(|it| &it.positions);
            for position in every_position {
                let logprobs = position.likely.map(|it| it.logprob);
                assert!(logprobs.is_sorted_by(|a, b| a >= b), "{logprobs:?}");
                let mass: f64 = logprobs.iter().map(|it| it.exp()).sum();
                assert!(mass < 1.0001, "{mass}");
            }
        }
    }

    #[test]
    fn a_completion_joins_ids_and_logprobs() {
        let line = r#"{"completion":{"prompt":"x","prompt_tokens":[7],"top_tokens":[[1,2,3,4,5]],"top_logprobs":[[-0.5,-1.25,-3,-4,-5]]}}"#;
        let golden = parse(&format!("{MODEL}\n{line}\n")).unwrap();
        let completion = &golden.completions[0];
        assert_eq!(completion.tokens(), [1]);
        assert_eq!(completion.positions[0].gap_nats(), 0.75);
        assert_eq!(
            completion.positions[0].likely[4],
            LikelyToken {
                token: 5,
                logprob: -5.0
            }
        );
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let uneven = r#"{"completion":{"prompt":"x","prompt_tokens":[7],"top_tokens":[[1,2,3,4,5]],"top_logprobs":[]}}"#;
        let cases = [
            (String::new(), "no record names the model"),
            (format!("{MODEL}\n{MODEL}\n"), "two records"),
            (format!("{MODEL}\n{uneven}\n"), "differ in length"),
            (format!("{MODEL}\nnothing\n"), "line 2"),
            (format!("{MODEL}\n{{\"verse\":1}}\n"), "line 2"),
        ];
        for (text, part) in cases {
            let message = parse(&text).unwrap_err().to_string();
            assert!(message.contains(part), "{message}");
        }
    }
}

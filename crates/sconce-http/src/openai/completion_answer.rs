//! What `POST /v1/completions` answers.

use sconce_domain::Usage;
use sconce_pipeline::{TokenChance, TokenReport};
use serde::Serialize;
use serde_json::{Map, Value};

use super::chunks::{Chunks, Ending, Head, Piece};
use super::usage::{FINGERPRINT, UsageObject, finish_word, finite};
use crate::dialect::Gathered;
use crate::wire::parsed::Delivery;

/// Writes completion answers. Whole answers and chunks have the same shape here.
#[derive(Debug)]
pub(crate) struct CompletionChunks {
    head: Head,
    delivery: Delivery,
}

#[derive(Debug, Serialize)]
struct Completion<'a> {
    #[serde(flatten)]
    head: &'a Head,
    choices: Vec<Choice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<UsageObject>>,
}

#[derive(Debug, Serialize)]
struct Choice {
    index: usize,
    text: String,
    logprobs: Option<Logprobs>,
    finish_reason: Option<&'static str>,
}

/// One entry a token in each list; `null` where nothing tells the probability.
#[derive(Debug, Default, Serialize)]
struct Logprobs {
    tokens: Vec<String>,
    token_logprobs: Vec<Option<f64>>,
    top_logprobs: Vec<Option<Map<String, Value>>>,
    text_offset: Vec<u32>,
}

impl CompletionChunks {
    pub(crate) fn new(id: u64, created: u64, model: &str, delivery: Delivery) -> Self {
        let head = Head {
            id: format!("cmpl-{id:016x}"),
            object: "text_completion",
            created,
            model: model.to_owned(),
            system_fingerprint: FINGERPRINT,
        };
        Self { head, delivery }
    }

    fn write(&self, choices: Vec<Choice>, usage: Option<Option<UsageObject>>) -> String {
        serde_json::to_string(&Completion {
            head: &self.head,
            choices,
            usage,
        })
        .expect("objects of texts and finite numbers can be written")
    }

    fn chunk(&self, choice: Choice) -> String {
        self.write(
            vec![choice],
            (self.delivery == Delivery::StreamWithUsage).then_some(None),
        )
    }
}

impl Chunks for CompletionChunks {
    fn whole(&self, answers: Vec<Gathered>, usage: Usage) -> String {
        let choices = answers
            .into_iter()
            .enumerate()
            .map(|(index, mut answer)| Choice {
                index,
                logprobs: logprobs(std::mem::take(&mut answer.tokens)),
                finish_reason: answer
                    .reason
                    .map(Ending::without_calls)
                    .and_then(finish_word),
                text: answer.split().0,
            });
        self.write(choices.collect(), Some(Some(usage.into())))
    }

    fn opening(&self, _choice: u32) -> Option<String> {
        None
    }

    fn piece(&self, piece: Piece) -> String {
        self.chunk(Choice {
            index: piece.choice as usize,
            text: piece.text,
            logprobs: logprobs(piece.tokens),
            finish_reason: None,
        })
    }

    fn finish(&self, choice: u32, ending: Ending) -> String {
        self.chunk(Choice {
            index: choice as usize,
            text: String::new(),
            logprobs: None,
            finish_reason: finish_word(ending),
        })
    }

    fn usage(&self, usage: Usage) -> String {
        self.write(Vec::new(), Some(Some(usage.into())))
    }
}

fn logprobs(tokens: Vec<TokenReport>) -> Option<Logprobs> {
    if tokens.is_empty() {
        return None;
    }
    let mut lists = Logprobs::default();
    for token in tokens {
        lists.top_logprobs.push(alternatives(&token));
        lists.token_logprobs.push(token.chosen.logprob.map(number));
        lists.tokens.push(shown(&token.chosen));
        lists.text_offset.push(token.offset_chars);
    }
    Some(lists)
}

/// The likeliest tokens, and the token itself: clients ask "was it the likeliest" by comparing its
/// number with the largest one here. So both are written alike, and of two tokens that look the
/// same the likelier stays.
fn alternatives(token: &TokenReport) -> Option<Map<String, Value>> {
    token.chosen.logprob?;
    let mut map = Map::new();
    for chance in token.top.iter().chain([&token.chosen]) {
        let logprob = chance.logprob.map(number);
        map.entry(shown(chance)).or_insert_with(|| logprob.into());
    }
    Some(map)
}

/// A 32-bit number would be written with fewer digits than the same one of 64 bits.
fn number(logprob: f32) -> f64 {
    f64::from(finite(logprob))
}

/// A token that is no whole text is shown by its bytes, as OpenAI's server does it.
fn shown(chance: &TokenChance) -> String {
    if std::str::from_utf8(&chance.bytes).is_ok() {
        return chance.text.clone();
    }
    let bytes = chance.bytes.iter().map(|it| format!("\\x{it:02x}"));
    format!("bytes:{}", bytes.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chance(text: &str, bytes: &[u8], logprob: f32) -> TokenChance {
        TokenChance {
            text: text.to_owned(),
            bytes: bytes.to_vec(),
            logprob: Some(logprob),
        }
    }

    fn lists(chosen: TokenChance, top: Vec<TokenChance>) -> Value {
        let report = TokenReport {
            chosen,
            top,
            offset_chars: 0,
        };
        let lists = logprobs(vec![report]).expect("there is a token");
        serde_json::to_value(lists).expect("lists of texts and numbers can be written")
    }

    /// What lm-eval asks of these lists.
    fn looks_greedy(lists: &Value) -> bool {
        let alternatives = lists["top_logprobs"][0].as_object().expect("a map");
        let numbers = alternatives.values().filter_map(Value::as_f64);
        lists["token_logprobs"][0].as_f64() == numbers.reduce(f64::max)
    }

    #[test]
    fn the_likeliest_token_looks_so_and_no_other_does() {
        let (first, second) = (chance("a", b"a", -0.1), chance("b", b"b", -0.3));
        let text = serde_json::to_string(&lists(first.clone(), vec![first.clone()]));
        assert_eq!(
            text.expect("a text")
                .matches("-0.10000000149011612")
                .count(),
            2
        );
        assert!(looks_greedy(&lists(first.clone(), vec![first.clone()])));
        assert!(looks_greedy(&lists(first.clone(), Vec::new())));
        assert!(!looks_greedy(&lists(second, vec![first])));
    }

    #[test]
    fn halves_of_characters_are_told_apart() {
        let (one, other) = (
            chance("\u{fffd}", b"\xc3", -0.1),
            chance("\u{fffd}", b"\xe2\x82", -0.3),
        );
        let lists = lists(other, vec![one]);
        let names: Vec<&String> = lists["top_logprobs"][0]
            .as_object()
            .expect("a map")
            .keys()
            .collect();
        assert_eq!(names, ["bytes:\\xc3", "bytes:\\xe2\\x82"]);
        assert_eq!(lists["tokens"][0], "bytes:\\xe2\\x82");
        assert!(!looks_greedy(&lists));
    }

    #[test]
    fn of_tokens_that_look_the_same_the_likelier_stays() {
        let (structure, text) = (chance("<s>", b"", -0.1), chance("<s>", b"<s>", -0.3));
        assert!(!looks_greedy(&lists(text, vec![structure.clone()])));
        assert!(looks_greedy(&lists(structure.clone(), vec![structure])));
    }
}

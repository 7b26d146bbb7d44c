//! An independent reader of the metadata in GGUF files, just enough for vocabularies.

use std::collections::HashMap;
use std::path::Path;

use sconce_domain::TokenId;
use sconce_text::{
    EdgeTokens, SpacePrefix, SpecialTokens, TokenClass, TokenizerModel, Vocabulary, VocabularyKind,
};

/// A metadata value.
enum Value {
    Number(f64),
    Text(String),
    List(Vec<Value>),
}

/// The metadata of one file.
pub(crate) struct Metadata(HashMap<String, Value>);

struct Reader<'b>(&'b [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (taken, rest) = self.0.split_first_chunk().expect("the file goes on");
        self.0 = rest;
        *taken
    }

    fn length(&mut self) -> usize {
        usize::try_from(u64::from_le_bytes(self.take())).expect("a length fits")
    }

    fn text(&mut self) -> String {
        let length = self.length();
        let (text, rest) = self.0.split_at(length);
        self.0 = rest;
        String::from_utf8_lossy(text).into_owned()
    }

    fn value(&mut self, kind: u32) -> Value {
        Value::Number(match kind {
            0 | 7 => f64::from(u8::from_le_bytes(self.take())),
            1 => f64::from(i8::from_le_bytes(self.take())),
            2 => f64::from(u16::from_le_bytes(self.take())),
            3 => f64::from(i16::from_le_bytes(self.take())),
            4 => f64::from(u32::from_le_bytes(self.take())),
            5 => f64::from(i32::from_le_bytes(self.take())),
            6 => f64::from(f32::from_le_bytes(self.take())),
            10 => u64::from_le_bytes(self.take()) as f64,
            11 => i64::from_le_bytes(self.take()) as f64,
            12 => f64::from_le_bytes(self.take()),
            8 => return Value::Text(self.text()),
            9 => {
                let kind = u32::from_le_bytes(self.take());
                return Value::List((0..self.length()).map(|_| self.value(kind)).collect());
            }
            other => panic!("unknown kind {other}"),
        })
    }
}

impl Metadata {
    pub(crate) fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).expect("the file is readable");
        let mut reader = Reader(&bytes[16..]);
        let mut entries = HashMap::new();
        for _ in 0..reader.length() {
            let key = reader.text();
            let kind = u32::from_le_bytes(reader.take());
            entries.insert(key, reader.value(kind));
        }
        Self(entries)
    }

    fn list(&self, key: &str) -> &[Value] {
        match self.0.get(&format!("tokenizer.ggml.{key}")) {
            Some(Value::List(list)) => list,
            _ => &[],
        }
    }

    fn texts(&self, key: &str) -> Vec<String> {
        let text = |it: &Value| match it {
            Value::Text(text) => text.clone(),
            _ => panic!("{key} holds texts"),
        };
        self.list(key).iter().map(text).collect()
    }

    fn numbers(&self, key: &str) -> Vec<f64> {
        let number = |it: &Value| match it {
            Value::Number(number) => *number,
            _ => panic!("{key} holds numbers"),
        };
        self.list(key).iter().map(number).collect()
    }

    fn text(&self, key: &str) -> Option<&str> {
        match self.0.get(key) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    fn number(&self, key: &str) -> Option<f64> {
        match self.0.get(&format!("tokenizer.ggml.{key}")) {
            Some(Value::Number(number)) => Some(*number),
            _ => None,
        }
    }

    fn token(&self, name: &str) -> Option<TokenId> {
        self.number(&format!("{name}_token_id"))
            .map(|it| TokenId(it as u32))
    }

    fn flag(&self, key: &str) -> Option<bool> {
        self.number(key).map(|it| it != 0.0)
    }

    pub(crate) fn vocabulary(&self) -> Vocabulary {
        let model = self
            .text("tokenizer.ggml.model")
            .expect("the model is named");
        let kind = match TokenizerModel::parse(model).expect("the model is known") {
            TokenizerModel::BytePairs => VocabularyKind::BytePairs {
                merges: self.texts("merges"),
                pre_tokenizer: self.text("tokenizer.ggml.pre").unwrap_or("").to_owned(),
            },
            TokenizerModel::SentencePieces => VocabularyKind::SentencePieces {
                scores: self.numbers("scores").iter().map(|it| *it as f32).collect(),
                space_prefix: self.flag("add_space_prefix").map(|it| match it {
                    true => SpacePrefix::EachText,
                    false => SpacePrefix::Absent,
                }),
            },
        };
        let class = |it: &f64| TokenClass::from_number(*it as i32).expect("the class is known");
        Vocabulary {
            kind,
            tokens: self.texts("tokens"),
            classes: self.numbers("token_type").iter().map(class).collect(),
            special: SpecialTokens {
                bos: self.token("bos"),
                eos: self.token("eos"),
                eot: self.token("eot"),
                eom: self.token("eom"),
                unknown: self.token("unknown"),
                padding: self.token("padding"),
            },
            edges: EdgeTokens {
                adds_bos: self.flag("add_bos_token"),
                adds_eos: self.flag("add_eos_token"),
            },
        }
    }
}

//! A vocabulary of a few hundred tokens in which any text can be written.

use candle_core::quantized::gguf_file::Value;

/// What a token is for, as the file's numbers have it.
const NORMAL: i32 = 1;
const CONTROL: i32 = 3;

/// Made whole by merges, the earlier sooner. The last two are characters of several bytes.
const WORDS: [&str; 12] = [
    " the", " and", " of", " to", " in", " is", "ing", "er", "on", " light", "é", "🙂",
];
const END_OF_TEXT: &str = "<|endoftext|>";
const TURN_START: &str = "<|im_start|>";
const TURN_END: &str = "<|im_end|>";

const CHAT_TEMPLATE: &str = "{% for message in messages %}\
    {{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}\
    {% endfor %}\
    {% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/// Every byte, a few words, and what a chat needs.
pub(super) struct Lexicon {
    /// The tokens, in the notation of byte-pair files.
    pub(super) tokens: Vec<String>,
    merges: Vec<String>,
    /// The bytes of each token that stands for text.
    bytes: Vec<Vec<u8>>,
}

impl Lexicon {
    pub(super) fn new() -> Self {
        let bytes = (0..=u8::MAX).map(|byte| vec![byte]).collect();
        let tokens = (0..=u8::MAX).map(|byte| written(&[byte])).collect();
        let mut lexicon = Self {
            tokens,
            merges: Vec::new(),
            bytes,
        };
        for word in WORDS {
            lexicon.merge(word.as_bytes());
        }
        lexicon
            .tokens
            .extend([END_OF_TEXT, TURN_START, TURN_END].map(str::to_owned));
        lexicon
    }

    /// Adds every beginning of `word` that is not there yet.
    fn merge(&mut self, word: &[u8]) {
        for end in 2..=word.len() {
            let token = written(&word[..end]);
            if !self.tokens.contains(&token) {
                let (front, back) = (written(&word[..end - 1]), written(&word[end - 1..end]));
                self.merges.push(format!("{front} {back}"));
                self.tokens.push(token);
                self.bytes.push(word[..end].to_vec());
            }
        }
    }

    /// Whether the token is text that can be read by itself.
    pub(super) fn is_readable(&self, token: usize) -> bool {
        let text = self
            .bytes
            .get(token)
            .and_then(|bytes| std::str::from_utf8(bytes).ok());
        text.is_some_and(|it| !it.contains(char::is_control))
    }

    pub(super) fn metadata(&self) -> Vec<(String, Value)> {
        let text = |it: &str| Value::String(it.to_owned());
        let texts = |all: &[String]| Value::Array(all.iter().map(|it| text(it)).collect());
        let class = |token: usize| {
            Value::I32(if token < self.bytes.len() {
                NORMAL
            } else {
                CONTROL
            })
        };
        let id = |offset: usize| {
            Value::U32(u32::try_from(self.bytes.len() + offset).unwrap_or(u32::MAX))
        };
        [
            ("ggml.model", text("gpt2")),
            ("ggml.pre", text("gpt-2")),
            ("ggml.tokens", texts(&self.tokens)),
            (
                "ggml.token_type",
                Value::Array((0..self.tokens.len()).map(class).collect()),
            ),
            ("ggml.merges", texts(&self.merges)),
            ("ggml.bos_token_id", id(0)),
            ("ggml.eos_token_id", id(2)),
            ("ggml.padding_token_id", id(0)),
            ("ggml.add_bos_token", Value::Bool(false)),
            ("chat_template", text(CHAT_TEMPLATE)),
        ]
        .map(|(name, value)| (format!("tokenizer.{name}"), value))
        .into()
    }
}

/// Bytes as byte-pair files write them: printable Latin-1 as it is, the rest from U+0100 on, so
/// that no token holds a space or a control character. Source: Radford et al. 2019, section 2.2.
fn written(bytes: &[u8]) -> String {
    let is_plain = |byte: u8| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let stand_in = |byte: u8| {
        let place = (0..byte).filter(|it| !is_plain(*it)).count();
        char::from_u32(0x100 + place as u32).unwrap_or(char::REPLACEMENT_CHARACTER)
    };
    bytes
        .iter()
        .map(|byte| {
            if is_plain(*byte) {
                char::from(*byte)
            } else {
                stand_in(*byte)
            }
        })
        .collect()
}

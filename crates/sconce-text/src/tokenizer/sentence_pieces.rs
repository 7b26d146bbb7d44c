//! Text to tokens by merging characters of the whole text, the best score first.
//!
//! # Why our own
//! The merges of such a vocabulary are not listed: any two neighbours whose joined text is a token
//! may merge, even where one of them is not a token itself. A list of pairs cannot say that.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};

use sconce_domain::TokenId;

use crate::TextError;
use crate::vocabulary::{SpacePrefix, TokenClass, Vocabulary};

/// How these vocabularies write a space.
pub(super) const SPACE: char = '\u{2581}';

/// Encodes with a sentence-piece vocabulary.
#[derive(Debug)]
pub(super) struct SentencePieces {
    pieces: HashMap<String, Piece>,
    /// The token of each byte, for characters that are no token.
    bytes: [Option<TokenId>; 256],
    unknown: Option<TokenId>,
    space_prefix: SpacePrefix,
}

#[derive(Debug, Clone, Copy)]
struct Piece {
    token: TokenId,
    score: f32,
}

impl SentencePieces {
    /// Only what is text takes part in merging, so that no plain text can become a control token.
    pub(super) fn new(
        vocabulary: &Vocabulary,
        scores: &[f32],
        space_prefix: SpacePrefix,
    ) -> Result<Self, TextError> {
        let mut pieces = HashMap::with_capacity(vocabulary.tokens.len());
        let mut bytes = [None; 256];
        let rows = vocabulary
            .tokens
            .iter()
            .zip(&vocabulary.classes)
            .zip(scores);
        for (id, ((text, class), score)) in (0..).zip(rows) {
            let token = TokenId(id);
            match class {
                TokenClass::Normal | TokenClass::UserDefined => {
                    pieces.insert(
                        text.clone(),
                        Piece {
                            token,
                            score: *score,
                        },
                    );
                }
                TokenClass::Byte => {
                    let byte = read_byte(text).ok_or_else(|| {
                        TextError::broken(format!("byte token {id} reads \"{text}\""))
                    })?;
                    bytes[usize::from(byte)] = Some(token);
                }
                TokenClass::Unknown | TokenClass::Control | TokenClass::Unused => {}
            }
        }
        Ok(Self {
            pieces,
            bytes,
            unknown: vocabulary.special.unknown,
            space_prefix,
        })
    }

    /// Whether text begins with a space that is not its own.
    pub(super) fn adds_space_prefix(&self) -> bool {
        self.space_prefix != SpacePrefix::Absent
    }

    /// Appends the tokens of `text`, which begins the whole text where there are no tokens yet.
    pub(super) fn encode(
        &self,
        text: &str,
        follows_text: bool,
        tokens: &mut Vec<TokenId>,
    ) -> Result<(), TextError> {
        let mut spelled = String::with_capacity(text.len() + SPACE.len_utf8());
        let has_prefix = match self.space_prefix {
            SpacePrefix::Absent => false,
            SpacePrefix::EachText => !follows_text,
            SpacePrefix::FirstText => tokens.is_empty() && !text.starts_with([' ', SPACE]),
        };
        if has_prefix {
            spelled.push(SPACE);
        }
        spelled.extend(text.chars().map(|it| if it == ' ' { SPACE } else { it }));
        for symbol in Merging::new(&self.pieces, &spelled).run() {
            match self.pieces.get(symbol) {
                Some(piece) => tokens.push(piece.token),
                None => self.spell_in_bytes(symbol, tokens)?,
            }
        }
        Ok(())
    }

    fn spell_in_bytes(&self, symbol: &str, tokens: &mut Vec<TokenId>) -> Result<(), TextError> {
        for byte in symbol.bytes() {
            let token = self.bytes[usize::from(byte)].or(self.unknown);
            tokens.push(token.ok_or(TextError::ByteWithoutToken { byte })?);
        }
        Ok(())
    }
}

/// Reads `<0x0A>`.
pub(super) fn read_byte(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
    u8::from_str_radix(digits, 16).ok()
}

/// The symbols of one text on their way to tokens, as a linked list over the text.
struct Merging<'v, 't> {
    pieces: &'v HashMap<String, Piece>,
    text: &'t str,
    symbols: Vec<Symbol>,
    queue: BinaryHeap<Candidate>,
}

/// A stretch of the text. An empty one was merged into its neighbour on the left.
#[derive(Debug, Clone, Copy)]
struct Symbol {
    start: usize,
    end: usize,
    previous: Option<usize>,
    next: Option<usize>,
}

/// Two neighbours that could merge into `start..end`; stale once either has changed.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    score: f32,
    left: usize,
    right: usize,
    start: usize,
    end: usize,
}

impl<'v, 't> Merging<'v, 't> {
    fn new(pieces: &'v HashMap<String, Piece>, text: &'t str) -> Self {
        let count = text.chars().count();
        let symbols: Vec<Symbol> = text
            .char_indices()
            .enumerate()
            .map(|(place, (start, character))| Symbol {
                start,
                end: start + character.len_utf8(),
                previous: place.checked_sub(1),
                next: Some(place + 1).filter(|it| *it < count),
            })
            .collect();
        Self {
            pieces,
            text,
            symbols,
            queue: BinaryHeap::new(),
        }
    }

    fn run(mut self) -> impl Iterator<Item = &'t str> {
        for left in 0..self.symbols.len() {
            self.consider(left);
        }
        while let Some(candidate) = self.queue.pop() {
            self.merge(candidate);
        }
        let text = self.text;
        self.symbols
            .into_iter()
            .filter(|it| it.start < it.end)
            .map(|it| &text[it.start..it.end])
    }

    fn consider(&mut self, left: usize) {
        let Some(right) = self.symbols[left].next else {
            return;
        };
        let (start, end) = (self.symbols[left].start, self.symbols[right].end);
        if let Some(piece) = self.pieces.get(&self.text[start..end]) {
            self.queue.push(Candidate {
                score: piece.score,
                left,
                right,
                start,
                end,
            });
        }
    }

    fn merge(&mut self, candidate: Candidate) {
        let (left, right) = (self.symbols[candidate.left], self.symbols[candidate.right]);
        let is_stale = left.start >= left.end
            || right.start >= right.end
            || left.end != right.start
            || (left.start, right.end) != (candidate.start, candidate.end);
        if is_stale {
            return;
        }
        self.symbols[candidate.left].end = right.end;
        self.symbols[candidate.left].next = right.next;
        self.symbols[candidate.right].end = right.start;
        if let Some(next) = right.next {
            self.symbols[next].previous = Some(candidate.left);
        }
        if let Some(previous) = left.previous {
            self.consider(previous);
        }
        self.consider(candidate.left);
    }
}

/// The greatest is merged next: the best score, and of equals the leftmost.
impl Ord for Candidate {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score
            .total_cmp(&other.score)
            .then_with(|| other.left.cmp(&self.left))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Candidate {}

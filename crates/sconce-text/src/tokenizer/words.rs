//! Cuts text into the words that byte pairs are merged within: the pre-tokenizers.
//!
//! # Why not the patterns as published
//! They end in `\s+(?!\S)|\s+`: a run of spaces, less the last one if a word follows. A look-ahead
//! needs a backtracking engine, whose step limit a long run of spaces exceeds. So the patterns
//! here say `\s+` and the cutter gives the last space back: every step is linear.

use std::ops::Range;

use regex::Regex;

use crate::TextError;

/// Words, runs of digits, runs of signs and runs of space, as GPT-2 cuts them.
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+";
const LLAMA3: &str = concat!(
    r"'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]|[^\r\n\p{L}\p{N}]?\p{L}+|",
    r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+",
);
const QWEN2: &str = concat!(
    r"'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]|[^\r\n\p{L}\p{N}]?\p{L}+|",
    r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+",
);
/// Words end where a capital follows a small letter. Letters outside ASCII count as both.
const CASED: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{L}--[a-z]]*[\p{L}--[A-Z]]+|[^\r\n\p{L}\p{N}]?[\p{L}--[a-z]]+[\p{L}--[A-Z]]*|",
    r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+",
);
/// The same, with what an apostrophe cuts off in English, and with up to three digits.
const CASED_ENGLISH: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{L}--[a-z]]*[\p{L}--[A-Z]]+('[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])?|",
    r"[^\r\n\p{L}\p{N}]?[\p{L}--[a-z]]+[\p{L}--[A-Z]]*('[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])?|",
    r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+",
);
const DIGIT: &str = r"\p{N}";
const THREE_DIGITS: &str = r"[0-9][0-9][0-9]";

/// A step of cutting words as a published `tokenizer.json` describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CutStep {
    /// What a pattern matches is a word.
    Pattern(String),
    /// Each digit is a word.
    Digits,
    /// The words of the first byte-level tokenizer.
    ByteLevel,
}

const PUBLISHED_CASED: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|",
    r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);
const PUBLISHED_CASED_ENGLISH: &str = concat!(
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|",
    r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
);
/// Patterns as `tokenizer.json` publishes them, and the recipe that each describes.
const PUBLISHED: &[(&str, &str)] = &[
    (
        concat!(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|",
            r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ),
        "qwen2",
    ),
    (
        concat!(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|",
            r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        ),
        "llama-bpe",
    ),
    (PUBLISHED_CASED, "tekken"),
    (PUBLISHED_CASED_ENGLISH, "gpt-4o"),
];

/// The name of the recipe that these steps describe, for [`crate::VocabularyKind::BytePairs`].
#[must_use]
pub fn pre_tokenizer_of(steps: &[CutStep]) -> Option<&'static str> {
    match steps {
        [CutStep::ByteLevel] => Some("gpt-2"),
        [CutStep::Digits, CutStep::ByteLevel] => Some("smollm"),
        [CutStep::Pattern(pattern)] => {
            let found = PUBLISHED.iter().find(|(it, _)| it == pattern);
            found.map(|(_, name)| *name)
        }
        _ => None,
    }
}

/// A named way of cutting: its patterns, one after the other on the pieces of the one before.
struct Recipe {
    names: &'static [&'static str],
    patterns: &'static [(&'static str, Spaces)],
    whole_words: WholeWords,
    adds_bos: bool,
}

/// What a pattern does with a run of spaces before a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spaces {
    /// The pattern has no rule for runs of spaces.
    Apart,
    /// The last space goes with the word.
    LastWithWord,
    /// The same, but a run that ends in a line break is a piece of its own.
    LastWithWordExceptLineBreaks,
}

/// Whether a word that is a token is taken as it is, even where merging would not make it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WholeWords {
    /// Taken.
    Taken,
    /// Merged like any other.
    Merged,
}

const RECIPES: &[Recipe] = &[
    Recipe {
        names: &["default"],
        patterns: &[
            (r"[\p{P}$+<=>^~|]+", Spaces::Apart),
            (GPT2, Spaces::LastWithWord),
            (r"\p{N}+", Spaces::Apart),
            (THREE_DIGITS, Spaces::Apart),
        ],
        whole_words: WholeWords::Merged,
        adds_bos: false,
    },
    Recipe {
        names: &["gpt-2", "phi-2", "olmo"],
        patterns: &[(GPT2, Spaces::LastWithWord)],
        whole_words: WholeWords::Merged,
        adds_bos: false,
    },
    Recipe {
        names: &["smollm", "starcoder", "refact", "command-r"],
        patterns: &[(DIGIT, Spaces::Apart), (GPT2, Spaces::LastWithWord)],
        whole_words: WholeWords::Merged,
        adds_bos: false,
    },
    Recipe {
        names: &["llama-bpe", "llama3", "llama-v3"],
        patterns: &[(LLAMA3, Spaces::LastWithWordExceptLineBreaks)],
        whole_words: WholeWords::Taken,
        adds_bos: true,
    },
    Recipe {
        names: &["dbrx", "smaug-bpe"],
        patterns: &[(LLAMA3, Spaces::LastWithWordExceptLineBreaks)],
        whole_words: WholeWords::Merged,
        adds_bos: false,
    },
    Recipe {
        names: &["tekken"],
        patterns: &[(CASED, Spaces::LastWithWordExceptLineBreaks)],
        whole_words: WholeWords::Taken,
        adds_bos: true,
    },
    Recipe {
        names: &["gpt-4o"],
        patterns: &[(CASED_ENGLISH, Spaces::LastWithWordExceptLineBreaks)],
        whole_words: WholeWords::Merged,
        adds_bos: false,
    },
    Recipe {
        names: &["qwen2", "deepseek-r1-qwen"],
        patterns: &[(QWEN2, Spaces::LastWithWordExceptLineBreaks)],
        whole_words: WholeWords::Merged,
        adds_bos: false,
    },
    Recipe {
        names: &["deepseek-coder"],
        patterns: &[
            (r"[\r\n]", Spaces::Apart),
            (r"\s?\p{L}+", Spaces::Apart),
            (r"\s?\p{P}+", Spaces::Apart),
            (
                "[\u{4e00}-\u{9fa5}\u{800}-\u{4e00}\u{ac00}-\u{d7ff}]+",
                Spaces::Apart,
            ),
            (DIGIT, Spaces::Apart),
        ],
        whole_words: WholeWords::Merged,
        adds_bos: false,
    },
    Recipe {
        names: &["falcon"],
        patterns: &[
            (r"[\p{P}$+<=>^~|`]+", Spaces::Apart),
            (GPT2, Spaces::LastWithWord),
            (THREE_DIGITS, Spaces::Apart),
        ],
        whole_words: WholeWords::Merged,
        adds_bos: false,
    },
];

/// Cuts text into words by one recipe.
#[derive(Debug)]
pub(super) struct WordCutter {
    patterns: Vec<(Regex, Spaces)>,
    whole_words: WholeWords,
    adds_bos: bool,
}

impl WordCutter {
    /// Finds the recipe of that name.
    pub(super) fn named(name: &str) -> Result<Self, TextError> {
        let wanted = if name.is_empty() { "default" } else { name };
        let recipe = RECIPES
            .iter()
            .find(|it| it.names.contains(&wanted))
            .ok_or_else(|| unknown(name))?;
        let patterns = recipe
            .patterns
            .iter()
            .map(|(pattern, spaces)| {
                let regex = Regex::new(pattern).expect("the built-in patterns compile; tested");
                (regex, *spaces)
            })
            .collect();
        Ok(Self {
            patterns,
            whole_words: recipe.whole_words,
            adds_bos: recipe.adds_bos,
        })
    }

    pub(super) fn whole_words(&self) -> WholeWords {
        self.whole_words
    }

    /// Whether vocabularies with this recipe begin prompts with BOS where the file is silent.
    pub(super) fn adds_bos(&self) -> bool {
        self.adds_bos
    }

    /// The words of `text`, in order and without gaps.
    pub(super) fn cut<'t>(&self, text: &'t str) -> Vec<&'t str> {
        let mut pieces = vec![text];
        for (pattern, spaces) in &self.patterns {
            let mut finer = Vec::with_capacity(pieces.len());
            for piece in pieces {
                cut_once(piece, pattern, *spaces, &mut finer);
            }
            pieces = finer;
        }
        pieces
    }
}

fn unknown(name: &str) -> TextError {
    let known: Vec<&str> = RECIPES.iter().flat_map(|it| it.names).copied().collect();
    TextError::PreTokenizerUnknown {
        name: name.to_owned(),
        known: known.join(", "),
    }
}

/// Matches and what lies between them become pieces.
fn cut_once<'t>(text: &'t str, pattern: &Regex, spaces: Spaces, pieces: &mut Vec<&'t str>) {
    let mut done = 0;
    while let Some(found) = pattern.find_at(text, done) {
        let range = give_back_space(text, found.range(), spaces);
        if range.start > done {
            pieces.push(&text[done..range.start]);
        }
        done = range.end;
        pieces.push(&text[range]);
    }
    if done < text.len() {
        pieces.push(&text[done..]);
    }
}

/// Shortens a run of spaces by its last one if something follows and something is left.
///
/// Only the patterns' last alternative matches text that ends in white space, line breaks apart.
fn give_back_space(text: &str, found: Range<usize>, spaces: Spaces) -> Range<usize> {
    let Some(last) = text[found.clone()].chars().next_back() else {
        return found;
    };
    let is_space_run = match spaces {
        Spaces::Apart => false,
        Spaces::LastWithWord => last.is_whitespace(),
        Spaces::LastWithWordExceptLineBreaks => {
            last.is_whitespace() && !matches!(last, '\r' | '\n')
        }
    };
    let shorter = found.end - last.len_utf8();
    if is_space_run && found.end < text.len() && shorter > found.start {
        found.start..shorter
    } else {
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recipe_compiles_and_no_name_has_two() {
        let mut names = Vec::new();
        for name in RECIPES.iter().flat_map(|it| it.names) {
            WordCutter::named(name).expect("the recipe compiles");
            assert!(!names.contains(name), "{name} is listed twice");
            names.push(name);
        }
    }

    #[test]
    fn the_last_space_of_a_run_goes_with_the_word_after_it() {
        let cutter = WordCutter::named("gpt-2").expect("it is known");
        assert_eq!(
            cutter.cut("a   b \n c  "),
            ["a", "  ", " b", " \n", " c", "  "]
        );
        assert_eq!(cutter.cut("a\t\tb"), ["a", "\t", "\t", "b"]);
        let cutter = WordCutter::named("qwen2").expect("it is known");
        assert_eq!(cutter.cut("a \n  b\n"), ["a", " \n", " ", " b", "\n"]);
    }

    #[test]
    fn published_steps_lead_to_a_recipe_that_is_known() {
        for (pattern, name) in PUBLISHED {
            let steps = [CutStep::Pattern((*pattern).to_owned())];
            assert_eq!(pre_tokenizer_of(&steps), Some(*name));
            WordCutter::named(name).expect("it is a recipe");
        }
        assert_eq!(pre_tokenizer_of(&[CutStep::ByteLevel]), Some("gpt-2"));
        assert_eq!(pre_tokenizer_of(&[CutStep::Pattern(String::new())]), None);
        assert_eq!(pre_tokenizer_of(&[]), None);
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_known_ones() {
        let error = WordCutter::named("klingon")
            .expect_err("it is unknown")
            .to_string();
        assert!(
            error.contains("klingon") && error.contains("qwen2"),
            "{error}"
        );
    }
}

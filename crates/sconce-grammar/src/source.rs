//! What a client wrote, in llguidance's words, once it is known to be harmless to read.

use llguidance::JsonCompileOptions;
use llguidance::api::TopLevelGrammar;
use sconce_domain::Grammar;
use sconce_text::Tokenizer;
use serde_json::{Value, json};

use crate::GrammarError;
use crate::call_rules::{self, Literals};
use crate::gbnf;

/// Bytes of source that are compiled. Schemas of whole services have some ten thousand.
const SOURCE_BYTES_MAX: usize = 256 << 10;
/// The same for Lark: an error in a long chain of terminals is told link by link.
const LARK_BYTES_MAX: usize = 16 << 10;
/// Open brackets at one place of a regular expression or of Lark, whose readers are recursive.
const BRACKETS_DEPTH_MAX: usize = 64;
/// Signs that let a part of one regular expression be left out or repeated. A row of so many takes
/// a fifth of a second, and the time grows with their square; no limit of llguidance's sees that.
const REPEATS_MAX: usize = 1000;
/// The same for each pattern of a schema, and for all of them.
const PATTERN_REPEATS_MAX: usize = 500;
const PATTERNS_REPEATS_MAX: usize = 5000;
/// Parts of regular expressions that a schema or a choice may become.
const LEXER_FUEL: u64 = 1_000_000;
/// The same where the client wrote them: terminals of Lark can double each other.
const WRITTEN_LEXER_FUEL: u64 = 10_000;
/// Space between two tokens of JSON: what people write, and no line breaks without end.
const JSON_SPACE: &str = r"[ \t]{1,2}|\r?\n[ \t]{0,32}";
/// Carries llguidance's own options in a schema.
const OPTIONS_KEY: &str = "x-guidance";

/// A grammar that is harmless to read, and the work that its regular expressions may take.
pub(crate) struct Source {
    pub(crate) grammar: TopLevelGrammar,
    pub(crate) lexer_fuel: u64,
}

/// Reads `grammar`, or says why it is not read.
pub(crate) fn read(grammar: &Grammar, tokenizer: &Tokenizer) -> Result<Source, GrammarError> {
    let bytes = grammar.source_bytes();
    let bytes_max = match grammar {
        Grammar::Lark(_) | Grammar::Gbnf(_) => LARK_BYTES_MAX,
        _ => SOURCE_BYTES_MAX,
    };
    if bytes > bytes_max {
        return Err(GrammarError::TooLong { bytes, bytes_max });
    }
    let lexer_fuel = match grammar {
        Grammar::Regex(_) | Grammar::Lark(_) | Grammar::Gbnf(_) => WRITTEN_LEXER_FUEL,
        _ => LEXER_FUEL,
    };
    let grammar = match grammar {
        Grammar::JsonObject => schema(json!({"type": "object"})),
        Grammar::JsonSchema(text) => schema(parsed(text)?),
        Grammar::Regex(pattern) => {
            check_depth(pattern)?;
            check_repeats(repeats(pattern), REPEATS_MAX)?;
            Ok(TopLevelGrammar::from_regex(pattern))
        }
        Grammar::Choice(texts) if texts.is_empty() => Err(GrammarError::NoChoices),
        Grammar::Choice(texts) => {
            let literals: Vec<String> = texts.iter().map(|it| json!(it).to_string()).collect();
            let rule = format!("start: {}", literals.join(" | "));
            Ok(TopLevelGrammar::from_lark(rule))
        }
        Grammar::Lark(text) => lark(text),
        Grammar::Gbnf(text) => gbnf::to_lark(text).map(TopLevelGrammar::from_lark),
        Grammar::Calls(form) => {
            call_rules::calls(form, &Literals::of(tokenizer)).map(TopLevelGrammar::from_lark)
        }
        Grammar::FreeCalls(free) => {
            call_rules::free_calls(free, &Literals::of(tokenizer)).map(TopLevelGrammar::from_lark)
        }
    }?;
    Ok(Source {
        grammar,
        lexer_fuel,
    })
}

pub(crate) fn parsed(schema: &str) -> Result<Value, GrammarError> {
    serde_json::from_str(schema).map_err(|error| GrammarError::Refused {
        fact: format!("the schema is not JSON: {error}"),
    })
}

fn schema(value: Value) -> Result<TopLevelGrammar, GrammarError> {
    with_options(value).map(TopLevelGrammar::from_json_schema)
}

/// A schema that says how JSON is spaced.
pub(crate) fn with_options(value: Value) -> Result<Value, GrammarError> {
    let mut value = match value {
        // The options below need an object to stand in.
        Value::Bool(true) => json!({}),
        other => other,
    };
    let mut all = 0;
    check_patterns(&value, &mut all)?;
    check_repeats(all, PATTERNS_REPEATS_MAX)?;
    if let Some(fields) = value.as_object() {
        if fields.contains_key(OPTIONS_KEY) {
            return Err(GrammarError::Unsupported {
                what: format!("the keyword `{OPTIONS_KEY}`"),
                instead: "leave it out",
            });
        }
        let options = JsonCompileOptions {
            whitespace_pattern: Some(JSON_SPACE.to_owned()),
            ..JsonCompileOptions::default()
        };
        options.apply_to(&mut value);
    }
    Ok(value)
}

fn lark(text: &str) -> Result<TopLevelGrammar, GrammarError> {
    check_depth(text)?;
    Ok(TopLevelGrammar::from_lark(text.to_owned()))
}

/// Signs by which a part of a regular expression may be left out or repeated.
fn repeats(pattern: &str) -> usize {
    let is_repeat = |it: &u8| matches!(it, b'*' | b'+' | b'?' | b'{' | b'|');
    pattern.bytes().filter(is_repeat).count()
}

fn check_repeats(repeats: usize, repeats_max: usize) -> Result<(), GrammarError> {
    if repeats > repeats_max {
        return Err(GrammarError::TooManyRepeats {
            repeats,
            repeats_max,
        });
    }
    Ok(())
}

/// Checks each pattern of a schema, and adds up their repeats. JSON that is read is not deep.
fn check_patterns(schema: &Value, all: &mut usize) -> Result<(), GrammarError> {
    let mut count = |pattern: &str| {
        let repeats = repeats(pattern);
        *all += repeats;
        check_repeats(repeats, PATTERN_REPEATS_MAX)
    };
    match schema {
        Value::Object(fields) => {
            if let Some(Value::String(pattern)) = fields.get("pattern") {
                count(pattern)?;
            }
            if let Some(Value::Object(patterns)) = fields.get("patternProperties") {
                patterns.keys().try_for_each(|it| count(it))?;
            }
            fields.values().try_for_each(|it| check_patterns(it, all))
        }
        Value::Array(items) => items.iter().try_for_each(|it| check_patterns(it, all)),
        _ => Ok(()),
    }
}

/// Counts brackets without regard to quotes, so it may count too many and never too few.
fn check_depth(text: &str) -> Result<(), GrammarError> {
    let (mut depth, mut deepest) = (0_usize, 0);
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    if deepest > BRACKETS_DEPTH_MAX {
        return Err(GrammarError::TooDeep {
            depth: deepest,
            depth_max: BRACKETS_DEPTH_MAX,
        });
    }
    Ok(())
}

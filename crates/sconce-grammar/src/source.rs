//! What a client wrote, in llguidance's words, once it is known to be harmless to read.

use llguidance::JsonCompileOptions;
use llguidance::api::TopLevelGrammar;
use sconce_domain::Grammar;
use serde_json::{Value, json};

use crate::GrammarError;

/// Bytes of source that are compiled. Schemas of whole services have some ten thousand.
const SOURCE_BYTES_MAX: usize = 256 << 10;
/// Open brackets at one place of a regular expression or of Lark, whose readers are recursive.
const BRACKETS_DEPTH_MAX: usize = 64;
/// Space between two tokens of JSON: what people write, and no line breaks without end.
const JSON_SPACE: &str = r"[ \t]{1,2}|\r?\n[ \t]{0,32}";
/// Carries llguidance's own options in a schema.
const OPTIONS_KEY: &str = "x-guidance";

/// Reads `grammar`, or says why it is not read.
pub(crate) fn read(grammar: &Grammar) -> Result<TopLevelGrammar, GrammarError> {
    let bytes = grammar.source_bytes();
    if bytes > SOURCE_BYTES_MAX {
        return Err(GrammarError::TooLong {
            bytes,
            bytes_max: SOURCE_BYTES_MAX,
        });
    }
    match grammar {
        Grammar::JsonObject => schema(json!({"type": "object"})),
        Grammar::JsonSchema(text) => {
            let value = serde_json::from_str(text).map_err(|error| GrammarError::Refused {
                fact: format!("the schema is not JSON: {error}"),
            })?;
            schema(value)
        }
        Grammar::Regex(pattern) => {
            check_depth(pattern)?;
            Ok(TopLevelGrammar::from_regex(pattern))
        }
        Grammar::Choice(texts) if texts.is_empty() => Err(GrammarError::NoChoices),
        Grammar::Choice(texts) => {
            let literals: Vec<String> = texts.iter().map(|it| json!(it).to_string()).collect();
            let rule = format!("start: {}", literals.join(" | "));
            Ok(TopLevelGrammar::from_lark(rule))
        }
        Grammar::Lark(text) => lark(text),
    }
}

fn schema(value: Value) -> Result<TopLevelGrammar, GrammarError> {
    let mut value = match value {
        // The options below need an object to stand in.
        Value::Bool(true) => json!({}),
        other => other,
    };
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
    Ok(TopLevelGrammar::from_json_schema(value))
}

fn lark(text: &str) -> Result<TopLevelGrammar, GrammarError> {
    check_depth(text)?;
    if text.contains("::=") {
        return Err(GrammarError::Unsupported {
            what: "GBNF, the notation with `::=`,".to_owned(),
            instead: "write the grammar in Lark's notation, with `:`",
        });
    }
    Ok(TopLevelGrammar::from_lark(text.to_owned()))
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

//! Schemas that people use, from a package that checks files against them, and answers held to them.
//!
//! Each schema, and each definition in it, is compiled for a real vocabulary. Where that is not refused,
//! tokens are drawn blindly from what is allowed, and the package's own validator judges the answers
//! that come to an end.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use sconce_domain::{Grammar, TokenId, TokenMask};
use sconce_engine::{Constraint, Progress};
use sconce_grammar::GrammarCompiler;
use sconce_tests::python_with;
use sconce_text::{Specials, Tokenizer};
use serde_json::{Map, Value, json};

use crate::masks::tokenizer;

/// Holds some thirty schemas of configuration files, unchanged from where their makers publish them.
const PACKAGE: &str = "check-jsonschema==0.39.0";
const MODEL: &str = "smollm2-135m-instruct";
/// Tokens after which an answer that has no end is left.
const TOKENS_MAX: usize = 400;
/// Texts of tokens that bring an answer to its end.
const CLOSERS: [&str; 8] = ["\"", "}", "]", "\"}", "\"]", "1", "\":", ":"];
/// Of so many schemas one is tried in the short form.
const SHORT_STRIDE: usize = 3;

/// The schemas, or `None` with a printed reason.
fn schemas() -> Option<(PathBuf, Vec<Value>)> {
    let python = match python_with(PACKAGE) {
        Ok(python) => python,
        Err(reason) => {
            println!("skipped: {PACKAGE} cannot be installed: {reason}");
            return None;
        }
    };
    let folder = "import check_jsonschema, pathlib; \
                  print(pathlib.Path(check_jsonschema.__file__).parent / 'builtin_schemas/vendor')";
    let output = Command::new(&python).args(["-c", folder]).output().unwrap();
    let folder = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim());
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|it| it.unwrap().path())
        .filter(|it| it.extension().is_some_and(|it| it == "json"))
        .collect();
    files.sort();
    let schemas = files.iter().flat_map(|it| schemas_of(it)).collect();
    Some((python, schemas))
}

/// A file's schema, and each of its definitions as one.
fn schemas_of(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap();
    let whole: Value = serde_json::from_str(&text).unwrap();
    let mut schemas = vec![whole.clone()];
    for key in ["definitions", "$defs"] {
        let names = whole.get(key).and_then(Value::as_object);
        let parts = names.into_iter().flat_map(Map::keys);
        schemas.extend(parts.map(|it| definition_of(&whole, key, it)));
    }
    schemas
}

/// One definition of `whole` as a schema, and those that it leads to.
fn definition_of(whole: &Value, key: &str, name: &str) -> Value {
    let mut reached = Map::new();
    let mut waiting = vec![name.to_owned()];
    while let Some(name) = waiting.pop() {
        let definition = whole[key][&name].clone();
        if !reached.contains_key(&name) && !definition.is_null() {
            references(&definition, key, &mut waiting);
            reached.insert(name, definition);
        }
    }
    let mut schema = json!({"$ref": format!("#/{key}/{}", escaped(name)), key: reached});
    if let Some(draft) = whole.get("$schema") {
        schema["$schema"] = draft.clone();
    }
    schema
}

/// Adds the names of the definitions that `schema` refers to.
fn references(schema: &Value, key: &str, names: &mut Vec<String>) {
    match schema {
        Value::Object(fields) => {
            let target = fields.get("$ref").and_then(Value::as_str);
            let path = target.and_then(|it| it.strip_prefix(&format!("#/{key}/")));
            let name = path.and_then(|it| it.split('/').next());
            names.extend(name.map(|it| it.replace("~1", "/").replace("~0", "~")));
            fields.values().for_each(|it| references(it, key, names));
        }
        Value::Array(items) => items.iter().for_each(|it| references(it, key, names)),
        _ => {}
    }
}

/// A name within a JSON Pointer within a reference (RFC 6901, section 6).
fn escaped(name: &str) -> String {
    let pointer = name.replace('~', "~0").replace('/', "~1");
    pointer.replace('%', "%25").replace(' ', "%20")
}

/// Draws blindly, but ends rather than goes on.
struct Walk<'a> {
    tokenizer: &'a Tokenizer,
    closers: Vec<TokenId>,
    state: u64,
    times: Vec<Duration>,
}

impl<'a> Walk<'a> {
    fn new(tokenizer: &'a Tokenizer) -> Self {
        let one = |text: &&str| match tokenizer.encode(text, Specials::Plain).unwrap()[..] {
            [token] => Some(token),
            _ => None,
        };
        Self {
            tokenizer,
            closers: CLOSERS.iter().filter_map(one).collect(),
            state: 0x9e37_79b9_7f4a_7c15,
            times: Vec::new(),
        }
    }

    /// Marsaglia's xorshift (Journal of Statistical Software 8(14), 2003).
    fn below(&mut self, count: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state % count as u64) as usize
    }

    /// The next token, or `None` at the end.
    fn draw(&mut self, mask: &TokenMask) -> Option<TokenId> {
        let ends = self.tokenizer.end_tokens();
        if ends.iter().any(|it| mask.allows(*it)) {
            return None;
        }
        if self.below(4) > 0 {
            let first = self.below(self.closers.len());
            let mut turned = self.closers[first..].iter().chain(&self.closers[..first]);
            if let Some(closer) = turned.find(|it| mask.allows(**it)) {
                return Some(*closer);
            }
        }
        let count = self.tokenizer.vocabulary_size();
        let first = self.below(count);
        let turned = (0..count).map(|it| TokenId(((first + it) % count) as u32));
        let drawn = turned.into_iter().find(|it| mask.allows(*it));
        Some(drawn.expect("a constraint that is open allows a token"))
    }

    /// An answer, if it comes to an end.
    fn answer(&mut self, mut constraint: Box<dyn Constraint>) -> Option<String> {
        let mut tokens = Vec::new();
        while tokens.len() < TOKENS_MAX {
            let begun = Instant::now();
            let mask = constraint.mask().ok()?;
            let masked = begun.elapsed();
            let Some(token) = self.draw(&mask) else {
                return Some(self.tokenizer.decode(&tokens));
            };
            tokens.push(token);
            let begun = Instant::now();
            let progress = constraint.accept(token).ok()?;
            self.times.push(masked + begun.elapsed());
            if progress == Progress::Complete {
                return Some(self.tokenizer.decode(&tokens));
            }
        }
        None
    }
}

/// What came of schemas: answers with their schemas, and how often each reason refused one.
struct Outcome {
    answers: Vec<Value>,
    refusals: BTreeMap<String, usize>,
    unended: usize,
    times: Vec<Duration>,
}

fn walk(schemas: &[&Value], walks: usize) -> Outcome {
    let tokenizer = tokenizer(MODEL);
    let compiler = GrammarCompiler::new(tokenizer.clone());
    let mut walk = Walk::new(&tokenizer);
    let (mut answers, mut refusals, mut unended) = (Vec::new(), BTreeMap::new(), 0);
    for schema in schemas {
        let compiled = match compiler.compile(&Grammar::JsonSchema(schema.to_string())) {
            Ok(compiled) => compiled,
            Err(error) => {
                let reason = error.to_string();
                let is_word = |it: &char| !it.is_ascii_digit();
                let reason: String = reason.chars().filter(is_word).take(60).collect();
                *refusals.entry(reason).or_insert(0) += 1;
                continue;
            }
        };
        for _ in 0..walks {
            match walk.answer(compiled.begin()) {
                Some(answer) => answers.push(json!({"schema": schema, "answer": answer})),
                None => unended += 1,
            }
        }
    }
    Outcome {
        answers,
        refusals,
        unended,
        times: walk.times,
    }
}

/// What the validator says of the answers.
fn judged(python: &Path, answers: &[Value]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let lines: Vec<String> = answers.iter().map(Value::to_string).collect();
    let file = folder.path().join("answers.jsonl");
    fs::write(&file, lines.join("\n")).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/schemas.py");
    let mut validator = Command::new(python);
    let output = validator.arg(script).arg(file).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}{errors}");
    told
}

fn check(stride: usize, walks: usize) -> Option<Vec<Duration>> {
    let (python, schemas) = schemas()?;
    let tried: Vec<&Value> = schemas.iter().step_by(stride).collect();
    let mut outcome = walk(&tried, walks);
    let refused: usize = outcome.refusals.values().sum();
    println!(
        "{} schemas: {refused} refused, {} answers came to an end, {} did not",
        tried.len(),
        outcome.answers.len(),
        outcome.unended
    );
    for (reason, count) in &outcome.refusals {
        println!("  {count} refused: {reason}");
    }
    assert!(
        outcome.answers.len() >= tried.len() / 2,
        "too few answers to judge by"
    );
    let told = judged(&python, &outcome.answers);
    let all = format!("{} answers judged", outcome.answers.len());
    assert_eq!(told.trim(), all);
    outcome.times.sort_unstable();
    Some(outcome.times)
}

#[test]
fn no_answer_that_ends_is_unlike_its_schema() {
    check(SHORT_STRIDE, 2);
}

#[test]
#[ignore = "takes minutes and measures; run it alone, on a machine that is idle"]
fn no_answer_that_ends_is_unlike_any_of_all_the_schemas() {
    let Some(times) = check(1, 4) else { return };
    let at = |share: usize| times[(times.len() - 1) * share / 1000];
    println!(
        "{} masks: half {:?}, p99 {:?}, p99.9 {:?}, most {:?}",
        times.len(),
        at(500),
        at(990),
        at(999),
        at(1000)
    );
    assert!(at(990) < Duration::from_millis(1));
}

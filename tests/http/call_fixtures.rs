//! Recorded and rendered outputs of many models are read as the people say who collected them.
//!
//! The collection has its own terms for each output, so none is shipped here: the package is
//! installed like the other clients, and without it nothing is compared. As there, space around
//! what is said and thought does not count, and arguments are compared as JSON.

use std::fs;
use std::path::{Path, PathBuf};

use sconce_domain::Tool;
use sconce_tests::python_with;
use sconce_text::{Listening, Reach, SpeechFormat, SpeechParser, Spoken, Thoughts};
use serde_json::Value;

/// The release whose outputs were counted.
const COLLECTION: &str = "canitoolcall==0.1.1";
/// Random cuts of each output, besides whole and letter by letter.
const CUTS: u64 = 24;

/// A family of the collection.
struct Family {
    name: &'static str,
    /// The formats of models, by a part of their names.
    formats: &'static [(&'static str, &'static str)],
    /// Outputs that there are, and of those the ones that are read as expected.
    outputs: usize,
    right: usize,
}

const FAMILIES: &[Family] = &[
    Family {
        name: "qwen3-hermes",
        formats: &[("", "tagged")],
        outputs: 50,
        right: 50,
    },
    Family {
        name: "llama",
        formats: &[("Llama-3", "bare"), ("Llama-4", "expressions")],
        outputs: 34,
        right: 34,
    },
    Family {
        name: "mistral",
        formats: &[("v0.3", "listed"), ("", "named")],
        outputs: 47,
        right: 47,
    },
    Family {
        name: "deepseek",
        formats: &[
            ("V3-0324", "fenced"),
            ("V3.1", "separated"),
            ("V4.1", "invoked-spaced"),
            ("", "invoked"),
        ],
        outputs: 85,
        right: 85,
    },
    Family {
        name: "glm",
        formats: &[("", "keyed")],
        outputs: 51,
        right: 51,
    },
    Family {
        name: "gpt-oss",
        formats: &[("", "channels")],
        outputs: 51,
        right: 51,
    },
    Family {
        name: "kimi",
        formats: &[("K2", "numbered"), ("K3", "opened")],
        outputs: 49,
        right: 49,
    },
    Family {
        name: "gemma4",
        formats: &[("", "notation")],
        outputs: 48,
        right: 48,
    },
    Family {
        name: "qwen3-xml",
        formats: &[("", "elements")],
        outputs: 54,
        right: 54,
    },
];

#[test]
fn collected_outputs_are_read_as_their_collectors_say_however_they_are_cut() {
    let folder = match collection() {
        Ok(folder) => folder,
        Err(reason) => {
            println!("skipped: {COLLECTION} cannot be installed: {reason}");
            return;
        }
    };
    for family in FAMILIES {
        let outputs = Output::all(&folder.join(family.name), family);
        let faults: Vec<String> = outputs.iter().filter_map(Output::fault).collect();
        let right = outputs.len() - faults.len();
        let open = outputs.iter().filter(|it| it.leaves_a_call_open()).count();
        println!(
            "{}: {right} of {} outputs are read as expected; {open} stream a call that is cut off",
            family.name,
            outputs.len()
        );
        let told = faults.join("\n");
        assert_eq!(
            (outputs.len(), right),
            (family.outputs, family.right),
            "{}\n{told}",
            family.name
        );
    }
}

#[test]
fn every_card_names_a_format_that_there_is() {
    let catalog = sconce_catalog::Catalog::builtin();
    let named = catalog
        .cards()
        .iter()
        .filter_map(|it| it.chat.tools.as_deref());
    let named: Vec<&str> = named.collect();
    assert!(!named.is_empty());
    for name in named {
        assert!(SpeechFormat::named(name).is_some(), "{name}");
    }
}

/// Where the collection's outputs are, once it is installed.
fn collection() -> Result<PathBuf, String> {
    let python = python_with(COLLECTION)?;
    let packages = python.with_file_name("../lib");
    let entries = fs::read_dir(&packages).map_err(|error| error.to_string())?;
    let path = |it: fs::DirEntry| it.path().join("site-packages/canitoolcall/_data/fixtures");
    let mut folders = entries.flatten().map(path);
    folders
        .find(|it| it.is_dir())
        .ok_or_else(|| format!("{}: the package has no outputs", packages.display()))
}

/// One output, and what it says.
struct Output {
    id: String,
    text: String,
    format: &'static SpeechFormat,
    tools: Vec<Tool>,
    thoughts: Thoughts,
    /// Whether the model was cut off.
    reach: Reach,
    /// What is to be heard; no call, where there is no more to say.
    expected: Option<Heard>,
}

#[derive(Debug, Default)]
struct Heard {
    said: String,
    thought: String,
    calls: Vec<(String, Value)>,
    /// Whether a call was begun that did not end.
    is_open: bool,
}

impl PartialEq for Heard {
    fn eq(&self, other: &Self) -> bool {
        let pairs = self.calls.iter().zip(&other.calls);
        let mut same = pairs.map(|(one, two)| one.0 == two.0 && is_same(&one.1, &two.1));
        self.said.trim() == other.said.trim()
            && self.thought.trim() == other.thought.trim()
            && self.calls.len() == other.calls.len()
            && same.all(|it| it)
    }
}

/// Whether two values are the same JSON, in which `1` is `1.0`.
fn is_same(one: &Value, two: &Value) -> bool {
    match (one, two) {
        (Value::Number(one), Value::Number(two)) => one.as_f64() == two.as_f64(),
        (Value::Array(one), Value::Array(two)) => {
            one.len() == two.len() && one.iter().zip(two).all(|(one, two)| is_same(one, two))
        }
        (Value::Object(one), Value::Object(two)) => {
            let has = |(key, value)| two.get(key).is_some_and(|it| is_same(value, it));
            one.len() == two.len() && one.iter().all(has)
        }
        _ => one == two,
    }
}

impl Output {
    fn all(folder: &Path, family: &Family) -> Vec<Self> {
        let about = fs::read_to_string(folder.join("family.json")).unwrap();
        let about: Value = serde_json::from_str(&about).unwrap();
        let mut files: Vec<PathBuf> = fs::read_dir(folder)
            .unwrap()
            .map(|it| it.unwrap().path())
            .filter(|it| it.extension().is_some_and(|it| it == "jsonl"))
            .collect();
        files.sort();
        let mut outputs = Vec::new();
        for file in files {
            let text = fs::read_to_string(file).unwrap();
            let lines = text.lines().map(|it| serde_json::from_str(it).unwrap());
            outputs.extend(lines.map(|it| Self::read(&it, &about, family)));
        }
        outputs
    }

    fn read(record: &Value, about: &Value, family: &Family) -> Self {
        let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
        let model = text(&record["models"][0]);
        let format = family
            .formats
            .iter()
            .find(|it| model.contains(it.0))
            .unwrap();
        let models = about["reference_models"].as_array().unwrap();
        let usual = models.iter().find(|it| it["repo"] == model.as_str());
        let usual = usual.map(|it| &it["default_generation_prompt"]);
        let prompt = record["generation_prompt"].as_str();
        let prompt = prompt
            .or_else(|| usual?.as_str())
            .unwrap_or_default()
            .trim_end();
        let begins = ["<think>", "<|open|>think<|sep|>"]
            .iter()
            .any(|it| prompt.ends_with(it));
        let tags = record["tags"].as_array().unwrap();
        let call = |it: &Value| (text(&it["name"]), it["arguments"].clone());
        let tool = |it: &Value| Tool {
            name: text(&it["function"]["name"]),
            description: None,
            parameters: it["function"].get("parameters").map(Value::to_string),
            is_strict: false,
        };
        Self {
            id: text(&record["id"]),
            text: text(&record["raw_output"]),
            format: SpeechFormat::named(format.1).unwrap(),
            tools: record["tools"]
                .as_array()
                .unwrap()
                .iter()
                .map(tool)
                .collect(),
            thoughts: if begins {
                Thoughts::Begun
            } else {
                Thoughts::Marked
            },
            reach: if tags.iter().any(|it| it == "truncated") {
                Reach::Cut
            } else {
                Reach::Whole
            },
            expected: record.get("expected").map(|it| Heard {
                said: text(&it["content"]),
                thought: text(&it["reasoning_content"]),
                calls: it["tool_calls"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(call)
                    .collect(),
                is_open: false,
            }),
        }
    }

    fn hear(&self, pieces: &[&str]) -> Heard {
        let listening = Listening {
            functions: self.tools.clone(),
            thoughts: self.thoughts,
        };
        let mut parser = SpeechParser::new(self.format, listening);
        let mut told: Vec<Spoken> = pieces.iter().flat_map(|it| parser.push(it)).collect();
        told.extend(parser.finish(self.reach));
        let mut heard = Heard::default();
        let mut call: Option<(String, String)> = None;
        for part in told {
            match part {
                Spoken::Content(text) => heard.said.push_str(&text),
                Spoken::Thought(text) => heard.thought.push_str(&text),
                Spoken::CallBegins { name } => call = Some((name, String::new())),
                Spoken::Arguments(text) => call.as_mut().unwrap().1.push_str(&text),
                Spoken::CallEnds => {
                    let (name, arguments) = call.take().unwrap();
                    let arguments = serde_json::from_str(&arguments).unwrap();
                    heard.calls.push((name, arguments));
                }
                Spoken::CallBreaks => {
                    heard.is_open = call.take().is_some();
                }
            }
        }
        heard
    }

    fn leaves_a_call_open(&self) -> bool {
        self.hear(&[&self.text]).is_open
    }

    /// What is wrong with what is heard, if anything is.
    fn fault(&self) -> Option<String> {
        let whole = self.hear(&[&self.text]);
        let is_right = match &self.expected {
            Some(expected) => whole == *expected,
            None => whole.calls.is_empty(),
        };
        if !is_right {
            let expected = &self.expected;
            return Some(format!(
                "{}: {:?}\n  heard {whole:?}\n  not {expected:?}",
                self.id, self.text
            ));
        }
        let letters: Vec<&str> = self.text.split("").collect();
        let mut cuts: Vec<Vec<&str>> = vec![letters];
        cuts.extend((1..=CUTS).map(|seed| cut(&self.text, seed)));
        let differs = cuts.iter().find(|it| self.hear(it) != whole)?;
        Some(format!(
            "{}: in pieces {differs:?} {:?} is heard",
            self.id,
            self.hear(differs)
        ))
    }
}

/// Cuts a text into pieces of one to twelve letters.
fn cut(text: &str, seed: u64) -> Vec<&str> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut pieces = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let letters = 1 + (state >> 33) as usize % 12;
        let bytes = rest
            .char_indices()
            .nth(letters)
            .map_or(rest.len(), |(place, _)| place);
        let (piece, behind) = rest.split_at(bytes);
        pieces.push(piece);
        rest = behind;
    }
    pieces
}

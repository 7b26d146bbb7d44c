//! Forms over the vocabularies of real models.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sconce_domain::{Grammar, TokenId, Tool, ToolUse};
use sconce_engine::Progress;
use sconce_grammar::{CompiledGrammar, GrammarCompiler};
use sconce_model::{GgufFile, vocabulary_of};
use sconce_tests::model_file;
use sconce_text::{Specials, SpeechFormat, Tokenizer};

const MODELS: [&str; 2] = ["smollm2-135m-instruct", "qwen2.5-coder-0.5b-instruct"];

/// Schemas as people write them, and an answer to each.
const CASES: [(&str, &str); 5] = [
    (
        r#"{"type":"object","properties":{"location":{"type":"string","description":"City"},"unit":{"enum":["celsius","fahrenheit"]}},"required":["location"],"additionalProperties":false}"#,
        r#"{"location": "Zürich, Switzerland", "unit": "celsius"}"#,
    ),
    (
        r##"{"$defs":{"line":{"type":"object","properties":{"sku":{"type":"string","pattern":"^[A-Z]{3}-[0-9]{4}$"},"count":{"type":"integer","minimum":1,"maximum":999},"price":{"type":"number","minimum":0}},"required":["sku","count","price"],"additionalProperties":false}},"type":"object","properties":{"order":{"type":"string","format":"uuid"},"placed":{"type":"string","format":"date-time"},"lines":{"type":"array","items":{"$ref":"#/$defs/line"},"minItems":1,"maxItems":50},"note":{"type":["string","null"],"maxLength":200}},"required":["order","placed","lines","note"],"additionalProperties":false}"##,
        r#"{"order":"2eb8aa08-aa98-11ea-b4aa-73b441d16380","placed":"2024-07-26T12:00:00Z","lines":[{"sku":"ABC-1234","count":2,"price":19.95},{"sku":"XYZ-0001","count":999,"price":0}],"note":"Leave it with the neighbours, please. “Danke” – 🍎"}"#,
    ),
    (
        r#"{"type":"object","properties":{"steps":{"type":"array","items":{"type":"object","properties":{"explanation":{"type":"string"},"output":{"type":"string"}},"required":["explanation","output"],"additionalProperties":false}},"final_answer":{"type":"string"}},"required":["steps","final_answer"],"additionalProperties":false}"#,
        "{\n  \"steps\": [\n    {\n      \"explanation\": \"Subtract 7 from both sides of the equation.\",\n      \"output\": \"8x = -30\"\n    }\n  ],\n  \"final_answer\": \"x = -3.75\"\n}",
    ),
    (
        r#"{"anyOf":[{"type":"object","properties":{"kind":{"const":"circle"},"radius":{"type":"number"}},"required":["kind","radius"],"additionalProperties":false},{"type":"object","properties":{"kind":{"const":"polygon"},"points":{"type":"array","items":{"type":"array","prefixItems":[{"type":"number"},{"type":"number"}],"minItems":2,"maxItems":2}}},"required":["kind","points"],"additionalProperties":false}]}"#,
        r#"{"kind":"polygon","points":[[0,0],[1.5,-2e3],[0.25,7]]}"#,
    ),
    (
        r#"{"type":"object"}"#,
        r#"{"anything": [1, {"at": null}, "all – \n\t\"quoted\""], "b": -0.5e-7}"#,
    ),
];

/// Names that are like one pattern or unlike it: the whole vocabulary is walked for each.
const HARD: (&str, &str) = (
    r#"{"type":"object","patternProperties":{"^x-":{"type":"boolean"}},"additionalProperties":{"type":"array","items":{"type":"string","minLength":1}}}"#,
    r#"{"x-open": true, "tags": ["one", "two words", "drei"], "x-b": false}"#,
);

pub(crate) fn tokenizer(model: &str) -> Arc<Tokenizer> {
    let file = GgufFile::open(model_file(model).unwrap()).unwrap();
    Arc::new(Tokenizer::new(vocabulary_of(&file).unwrap()).unwrap())
}

/// Forces `answer` through a form of that vocabulary, token by token; how long each took.
fn force(compiler: &GrammarCompiler, tokenizer: &Tokenizer, case: (&str, &str)) -> Vec<Duration> {
    let (schema, answer) = case;
    let compiled = compiler
        .compile(&Grammar::JsonSchema(schema.to_owned()))
        .unwrap();
    walk(&compiled, tokenizer, answer)
}

fn walk(compiled: &CompiledGrammar, tokenizer: &Tokenizer, answer: &str) -> Vec<Duration> {
    let mut constraint = compiled.begin();
    let (mut times, mut progress) = (Vec::new(), Progress::Open);
    for token in tokenizer.encode(answer, Specials::Plain).unwrap() {
        assert_eq!(progress, Progress::Open, "{answer} is over too soon");
        let begun = Instant::now();
        let mask = constraint.mask().unwrap();
        assert!(
            mask.allows(token),
            "{:?} in {answer}",
            tokenizer.token_text(token)
        );
        progress = constraint.accept(token).unwrap();
        times.push(begun.elapsed());
    }
    let ends: &[TokenId] = tokenizer.end_tokens();
    let may_end = |mask: sconce_domain::TokenMask| ends.iter().all(|it| mask.allows(*it));
    assert!(
        progress == Progress::Complete || may_end(constraint.mask().unwrap()),
        "{answer}"
    );
    times
}

#[test]
fn an_answer_that_fits_can_be_said_in_the_tokens_of_a_real_vocabulary() {
    for model in MODELS {
        let tokenizer = tokenizer(model);
        let compiler = GrammarCompiler::new(Arc::clone(&tokenizer));
        let begun = Instant::now();
        compiler.compile(&Grammar::JsonObject).unwrap();
        println!("{model}: the first grammar took {:?}", begun.elapsed());
        for case in CASES.into_iter().chain([HARD]) {
            force(&compiler, &tokenizer, case);
        }
    }
}

#[test]
#[ignore = "measures; run it alone, on a machine that is idle"]
fn a_mask_takes_less_than_a_millisecond_in_ninety_nine_of_a_hundred() {
    for model in MODELS {
        let tokenizer = tokenizer(model);
        let compiler = GrammarCompiler::new(Arc::clone(&tokenizer));
        let (mut times, mut compiling) = (Vec::new(), Vec::new());
        for case in CASES.iter().cycle().take(20 * CASES.len()) {
            let begun = Instant::now();
            let walked = force(&compiler, &tokenizer, *case);
            compiling.push(begun.elapsed() - walked.iter().sum::<Duration>());
            times.extend(walked);
        }
        times.sort_unstable();
        compiling.sort_unstable();
        let at = |times: &[Duration], share: usize| times[(times.len() - 1) * share / 1000];
        println!(
            "{model}: {} masks: half {:?}, p99 {:?}, p99.9 {:?}, most {:?}; compiled: half {:?}, most {:?}",
            times.len(),
            at(&times, 500),
            at(&times, 990),
            at(&times, 999),
            at(&times, 1000),
            at(&compiling, 500),
            at(&compiling, 1000),
        );
        let hardest = force(&compiler, &tokenizer, HARD).into_iter().max();
        println!("{model}: at names that must not be like a pattern: most {hardest:?}");
        assert!(at(&times, 990) < Duration::from_millis(1));
    }
}

/// Text in which this function may be called, as the format of most models has it.
fn free_calls() -> Grammar {
    let tool = Tool {
        name: "weather".to_owned(),
        description: None,
        parameters: Some(CASES[0].0.to_owned()),
        is_strict: true,
    };
    let wanted = ToolUse {
        tools: vec![tool],
        ..ToolUse::default()
    };
    Grammar::FreeCalls(SpeechFormat::taught().free_form_of(&wanted).unwrap())
}

const SPEECH: &str = "Certainly! In HTML one writes <b>bold</b> and <tool>, or a <tool_box> – 3 < 4 – and \
    {\"name\": [1, 2]} is JSON. Zürich has 🍎 and 18 °C.\n\n- one\n- two\n";

#[test]
fn text_and_calls_are_said_in_the_tokens_of_a_real_vocabulary() {
    for model in MODELS {
        let tokenizer = tokenizer(model);
        let compiled = GrammarCompiler::new(Arc::clone(&tokenizer)).compile(&free_calls());
        let call = "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"location\": \"Bern\"}}\n</tool_call>";
        for answer in [SPEECH, call, &format!("{SPEECH}{call}\n{call}{SPEECH}")] {
            walk(compiled.as_ref().unwrap(), &tokenizer, answer);
        }
    }
}

#[test]
#[ignore = "measures; run it alone, on a machine that is idle"]
fn text_that_may_call_costs_next_to_nothing() {
    for model in MODELS {
        let tokenizer = tokenizer(model);
        let compiled = GrammarCompiler::new(Arc::clone(&tokenizer)).compile(&free_calls());
        let compiled = compiled.unwrap();
        let speech = |_| walk(&compiled, &tokenizer, SPEECH);
        let mut times: Vec<Duration> = (0..50).flat_map(speech).collect();
        times.sort_unstable();
        let at = |share: usize| times[(times.len() - 1) * share / 1000];
        println!(
            "{model}: {} masks of text: half {:?}, p99 {:?}, most {:?}",
            times.len(),
            at(500),
            at(990),
            at(1000)
        );
        assert!(at(990) < Duration::from_micros(200), "{:?}", at(990));
    }
}

/// JSON as people write it in GBNF.
const GBNF: &str = r#"
root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws
object ::= "{" ws ( string ":" ws value ("," ws string ":" ws value)* )? "}" ws
array  ::= "[" ws ( value ("," ws value)* )? "]" ws
string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) )* "\"" ws
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9]{1,3})? ws
ws     ::= ([ \t\n] ws)?
"#;

#[test]
fn json_in_gbnf_is_said_in_the_tokens_of_a_real_vocabulary() {
    for model in MODELS {
        let tokenizer = tokenizer(model);
        let compiled = GrammarCompiler::new(Arc::clone(&tokenizer));
        let compiled = compiled.compile(&Grammar::Gbnf(GBNF.to_owned())).unwrap();
        let answers = CASES.iter().map(|(_, answer)| *answer);
        let mut times: Vec<Duration> = answers
            .flat_map(|it| walk(&compiled, &tokenizer, it))
            .collect();
        times.sort_unstable();
        let at = |share: usize| times[(times.len() - 1) * share / 1000];
        println!(
            "{model}: {} masks of JSON in GBNF: half {:?}, p99 {:?}, most {:?}",
            times.len(),
            at(500),
            at(990),
            at(1000)
        );
    }
}

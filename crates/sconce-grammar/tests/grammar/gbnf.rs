//! Grammars in llama.cpp's notation: what each takes, and that it is what trying everything takes.

use std::collections::BTreeSet;

use sconce_domain::Grammar;

use crate::kinds::check;
use crate::stage::{Fate, compiler, force, refusal};

fn gbnf(text: &str) -> Grammar {
    Grammar::Gbnf(text.to_owned())
}

const JSON: &str = r#"
# Any object.
root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws

object ::=
  "{" ws (
            string ":" ws value
    ("," ws string ":" ws value)*
  )? "}" ws

array  ::= "[" ws ( value ("," ws value)* )? "]" ws
string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) )* "\"" ws
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws
ws     ::= | " " | "\n" [ \t]{0,20}
"#;

#[test]
fn json_is_taken_in_the_notation_of_llama_cpp() {
    check(
        &gbnf(JSON),
        &[
            "{}",
            "{ \"a\":[1, -2.5e+3 ,{}],\"b\":{\n\t\t\"c\": \"\u{e9}\\n\\u00Ff\"}}",
            "{\"\":null}\n",
            "{\"a\":12}",
        ],
        &[
            "[]",
            "{\"a\":01}",
            "{\"a\"  : 1}",
            "{\"a\":1,}",
            "{'a':1}",
            "{}  ",
            "{\"a\":\"\n\"}",
            "",
        ],
    );
}

#[test]
fn sums_are_taken_whose_space_may_belong_to_either_side() {
    let sums = "root ::= (expr \"=\" ws term \"\\n\")+\nexpr ::= term ([-+*/] term)*\n\
        term ::= name | number | \"(\" ws expr \")\" ws\nname ::= [a-z] [a-z0-9_]* ws\n\
        number ::= [0-9]+ ws\nws ::= [ \\t\\n]*\n";
    check(
        &gbnf(sums),
        &[
            "1=1\n",
            "(a +2) *b_1 =\n 7\n\n",
            "1=1\n2=2\n \n",
            "((x))=(y)\n",
        ],
        &["1=1", "1+=1\n", "(1=1)\n", "A=1\n", "\n1=1\n"],
    );
}

#[test]
fn lists_and_games_are_taken() {
    let list = "root ::= item+\n# One to a line.\nitem ::= \"- \" [^\\r\\n\\x0b\\u0085\\U00002028]+ \"\\n\"";
    check(
        &gbnf(list),
        &["- a\n", "- a b\n- \u{1F600}\n"],
        &["- \n", "a\n", "- a"],
    );
    let game = "root ::= \"1. \" move \" \" move \"\\n\" ([1-9] [0-9]? \". \" move \" \" move \"\\n\")+\n\
        move ::= (pawn | piece | castle) [+#]?\npiece ::= [NBKQR] [a-h]? [1-8]? \"x\"? [a-h] [1-8]\n\
        pawn ::= ([a-h] \"x\")? [a-h] [1-8] (\"=\" [NBKQR])?\ncastle ::= \"O-O\" \"-O\"?\n";
    check(
        &gbnf(game),
        &[
            "1. e4 e5\n2. Nf3 Nc6\n",
            "1. e4 d5\n2. exd5 Qxd5+\n10. O-O-O b1=Q#\n",
        ],
        &["1. e4\n", "1. e9 e5\n2. a3 a6\n", "2. e4 e5\n3. a3 a6\n"],
    );
}

#[test]
fn what_is_ambiguous_is_tried_in_every_way() {
    let cases: [(&str, &[&str], &[&str]); 9] = [
        (
            "root ::= [a-c]* \"b\" rest\nrest ::= \"c\" rest | \"\"",
            &["b", "abbc", "bcc"],
            &["", "ac"],
        ),
        (
            "root ::= \"ab\" x | \"abc\" y\nx ::= \"cd\" x?\ny ::= \"e\" y?",
            &["abcd", "abcdcd", "abce"],
            &["abc", "abcde"],
        ),
        (
            "root ::= root root | \"a\" | \"\"",
            &["", "a", "aaaa"],
            &["b"],
        ),
        (
            "root ::= root \"+\" n | n\nn ::= [0-9]+",
            &["1", "1+22+3"],
            &["1+", "+1"],
        ),
        (
            "root ::= \"a\" root \"a\" | \"b\"",
            &["b", "aabaa"],
            &["aba a", "ab"],
        ),
        (
            "root ::= x x | \"(\" root \")\"\nx ::= \"a\"*",
            &["", "aaa", "(a)"],
            &["(a"],
        ),
        (
            "root ::= (\"a\" | root){2,3}",
            &["aa", "aaa", "aaaaa"],
            &["a"],
        ),
        (
            "root ::= word root? | \"end\"\nword ::= [a-z]+ \" \"",
            &["end", "a ", "a end", "ending end"],
            &["ending"],
        ),
        (
            "root ::= . [^a] root? \"!\"{0,1}",
            &["ab", "\u{e9}\u{1F600}", "ab\n\n!"],
            &["aa", "a", "ab!!!!!a"],
        ),
    ];
    for (text, taken, not) in cases {
        check(&gbnf(text), taken, not);
    }
}

/// What is wrong, and what is said of it.
const WRONG: [(&str, &str); 17] = [
    (
        "root ::= x",
        "line 1, column 10 of the GBNF: no rule is called `x`",
    ),
    (
        "x ::= \"a\"",
        "line 1, column 10 of the GBNF: no rule is called `root`, where an answer begins",
    ),
    (
        "root ::= \"a",
        "line 1, column 10 of the GBNF: this literal does not end",
    ),
    (
        "# one\nroot ::= [a-z",
        "line 2, column 10 of the GBNF: this set of letters does not end",
    ),
    (
        "root ::= [z-a]",
        "line 1, column 11 of the GBNF: this range ends before it begins",
    ),
    (
        "root ::= []",
        "line 1, column 10 of the GBNF: no letter is in this set",
    ),
    (
        "root ::= (\"a\"",
        "line 1, column 14 of the GBNF: no `)`: the grammar ends too soon",
    ),
    (
        "root ::= \"a\")",
        "line 1, column 13 of the GBNF: `)` has no meaning here",
    ),
    (
        "root ::= *",
        "line 1, column 10 of the GBNF: there is nothing to repeat before this",
    ),
    (
        "root ::= \"a\"{,3}",
        "line 1, column 13 of the GBNF: a count must be `{n}`, `{n,}` or `{n,m}`",
    ),
    (
        "root ::= \"a\"{3,1}",
        "line 1, column 13 of the GBNF: this repeats at least more often than at most",
    ),
    (
        "root ::= \"a\"{9999}",
        "line 1, column 13 of the GBNF: this repeats more than 2000 times",
    ),
    (
        "root ::= <think> \"a\"",
        "line 1, column 10 of the GBNF: tokens (`<…>`) are not supported; write their text",
    ),
    (
        "root ::= !<[12]>",
        "line 1, column 10 of the GBNF: tokens (`<…>`) are not supported; write their text",
    ),
    (
        "root ::= \"\\q\"",
        "line 1, column 11 of the GBNF: this escape is not one of `\\n \\r \\t \\\\ \\\" \\[ \\] \\x \\u \\U`",
    ),
    (
        "root = \"a\"",
        "line 1, column 6 of the GBNF: `::=` must follow the name `root`",
    ),
    (
        "root ::= \"a\"\nroot ::= \"b\"",
        "line 2, column 1 of the GBNF: a rule is called `root` already",
    ),
];

#[test]
fn what_is_wrong_in_a_grammar_is_told_with_its_place() {
    for (text, said) in WRONG {
        assert_eq!(refusal(&gbnf(text)).to_string(), said, "{text}");
    }
    let deep = format!("root ::= {}\"a\"{}", "(".repeat(5000), ")".repeat(5000));
    assert!(
        refusal(&gbnf(&deep))
            .to_string()
            .contains("stand in each other")
    );
    assert!(
        refusal(&gbnf("root ::= \"a\" root"))
            .to_string()
            .contains("no text of the rule `root` ever ends")
    );
}

/// A part of a grammar that is made up.
#[derive(Debug, Clone)]
enum Part {
    Letters(&'static str),
    Rule(usize),
    Row(Vec<Part>),
    Choice(Vec<Part>),
    Repeat(Box<Part>, usize),
}

const REPEATS: [(&str, usize, usize); 5] = [
    ("*", 0, 9),
    ("+", 1, 9),
    ("?", 0, 1),
    ("{2}", 2, 2),
    ("{1,3}", 1, 3),
];
const NAMES: [&str; 3] = ["root", "x", "y-1"];

fn made_up(roll: &mut impl FnMut(usize) -> usize, depth: usize) -> Part {
    let several = |roll: &mut dyn FnMut(usize) -> usize| 1 + roll(3);
    match roll(if depth == 0 { 4 } else { 9 }) {
        0..=2 => Part::Letters(["a", "b", "ab", "c"][roll(4)]),
        3 => Part::Rule(roll(3)),
        4 | 5 => Part::Row(
            (0..several(roll))
                .map(|_| made_up(roll, depth - 1))
                .collect(),
        ),
        6 | 7 => Part::Choice(
            (0..several(roll))
                .map(|_| made_up(roll, depth - 1))
                .collect(),
        ),
        _ => Part::Repeat(Box::new(made_up(roll, depth - 1)), roll(REPEATS.len())),
    }
}

fn written(part: &Part) -> String {
    let all = |parts: &[Part]| parts.iter().map(written).collect::<Vec<_>>();
    match part {
        Part::Letters(letters) => format!("[{letters}]"),
        Part::Rule(rule) => NAMES[*rule].to_owned(),
        Part::Row(parts) => format!("({})", all(parts).join(" ")),
        Part::Choice(parts) => format!("({} | \"\" \"b\")", all(parts).join(" | ")),
        Part::Repeat(inner, how) => format!("({}){}", written(inner), REPEATS[*how].0),
    }
}

/// Where `part` may end in `text` that begins at one of `from`, as far as is known of the rules.
fn ends(
    part: &Part,
    text: &[u8],
    from: &BTreeSet<usize>,
    known: &[Vec<BTreeSet<usize>>],
) -> BTreeSet<usize> {
    match part {
        Part::Letters(letters) => {
            let stands = |at: &&usize| {
                text.get(**at)
                    .is_some_and(|it| letters.as_bytes().contains(it))
            };
            from.iter().filter(stands).map(|at| at + 1).collect()
        }
        Part::Rule(rule) => from
            .iter()
            .flat_map(|at| known[*rule][*at].clone())
            .collect(),
        Part::Row(parts) => parts
            .iter()
            .fold(from.clone(), |from, it| ends(it, text, &from, known)),
        Part::Choice(parts) => {
            let mut all: BTreeSet<usize> = parts
                .iter()
                .flat_map(|it| ends(it, text, from, known))
                .collect();
            all.extend(ends(&Part::Letters("b"), text, from, known));
            all
        }
        Part::Repeat(inner, how) => {
            let (_, least, most) = REPEATS[*how];
            let (mut from, mut all) = (from.clone(), BTreeSet::new());
            for round in 0..=most {
                if round >= least {
                    all.extend(&from);
                }
                from = ends(inner, text, &from, known);
            }
            all
        }
    }
}

/// Whether the rules take `text`, found by trying everything.
fn takes(rules: &[Part], text: &str) -> bool {
    let mut known = vec![vec![BTreeSet::new(); text.len() + 1]; rules.len()];
    loop {
        let before = known.clone();
        for (rule, body) in rules.iter().enumerate() {
            let ends_of = |at| ends(body, text.as_bytes(), &BTreeSet::from([at]), &before);
            known[rule] = (0..=text.len()).map(ends_of).collect();
        }
        if known == before {
            return known[0][0].contains(&text.len());
        }
    }
}

#[test]
fn made_up_grammars_take_what_trying_everything_takes() {
    let texts: Vec<String> = (0..5_u32)
        .flat_map(|length| (0..3_usize.pow(length)).map(move |it| (length, it)))
        .map(|(length, number)| {
            (0..length)
                .map(|place| ["a", "b", "c"][number / 3_usize.pow(place) % 3])
                .collect()
        })
        .collect();
    let (mut compared, mut taken) = (0, 0);
    for seed in 0..120 {
        let mut roll = crate::free_calls::dice(seed);
        let rules: Vec<Part> = (0..3).map(|_| made_up(&mut roll, 3)).collect();
        let lines = NAMES
            .iter()
            .zip(&rules)
            .map(|(name, it)| format!("{name} ::= {}\n", written(it)));
        let source: String = lines.collect();
        let compiled = match compiler().compile(&gbnf(&source)) {
            Ok(compiled) => compiled,
            // A rule without an end is a fault even where nothing leads to it.
            Err(error) if error.to_string().contains("ever ends") => continue,
            Err(error) => {
                let taken = texts.iter().find(|it| !it.is_empty() && takes(&rules, it));
                assert_eq!(taken, None, "seed {seed}: {error} in\n{source}");
                continue;
            }
        };
        for text in &texts {
            let is_taken = force(compiled.begin().as_mut(), text) == Fate::Taken;
            assert_eq!(
                is_taken,
                takes(&rules, text),
                "seed {seed}: {text:?} in\n{source}"
            );
            compared += 1;
            taken += usize::from(is_taken);
        }
    }
    assert!(
        taken > 500 && compared - taken > 1000,
        "{taken} of {compared} are taken"
    );
}

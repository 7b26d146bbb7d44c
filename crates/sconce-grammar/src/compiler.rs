//! Grammars of one vocabulary.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;

use llguidance::api::{GrammarInit, ParserLimits};
use llguidance::toktrie::{InferenceCapabilities, TokEnv};
use llguidance::{Logger, Matcher, ParserFactory};
use sconce_domain::Grammar;
use sconce_engine::Constraint;
use sconce_text::Tokenizer;

use crate::constraint::GrammarConstraint;
use crate::free_calls::FreeCallRules;
use crate::source::Source;
use crate::vocabulary::token_tree;
use crate::{GrammarError, source};

/// Stack for compiling: schemas refer to each other, and each reference goes one deeper.
const STACK_BYTES: usize = 64 << 20;
/// Tokens of the answer that a new grammar is tried with.
const PROBE_TOKENS: usize = 4;
/// What llguidance says to the one who calls it, and what that means to a client.
const CLIENTS_WORDS: [(&str, &str); 4] = [
    ("Unimplemented keys:", "keywords that cannot be kept:"),
    (
        ". Enable 'coerce_one_of' option to approximate oneOf with anyOf",
        " unless no two of them overlap; use anyOf",
    ),
    (
        "lexer precomputation failed; either increase limits.initial_lexer_fuel or disable \
         limits.precompute_large_lexemes",
        "its regular expressions take too much work",
    ),
    ("NoExtensionBias", "nothing fits it"),
];
/// Characters of a message of llguidance's that a client is shown.
const FACT_CHARS_MAX: usize = 400;

/// What one grammar may take, in llguidance's units; its own defaults except where said.
fn limits(lexer_fuel: u64) -> ParserLimits {
    ParserLimits {
        initial_lexer_fuel: lexer_fuel,
        // A state takes one to two kilobytes.
        max_lexer_states: 30_000,
        // Compiling takes more than its size in proportion; the largest schemas in use have 200,000.
        max_grammar_size: 200_000,
        // A failure shows the answer so far otherwise, which is no business of the log.
        verbose_errors: false,
        ..ParserLimits::default()
    }
}

/// Compiles grammars for a model's vocabulary.
pub struct GrammarCompiler {
    tokenizer: Arc<Tokenizer>,
    /// Made for the first grammar: the tree takes some of a second for a large vocabulary.
    factory: OnceLock<Result<ParserFactory, GrammarError>>,
}

/// A grammar that is ready to hold answers to it.
pub struct CompiledGrammar {
    form: Form,
}

/// What answers are held to.
enum Form {
    /// All of an answer. The parser has accepted nothing, and is only copied; copies share what
    /// they learn of the grammar.
    Whole(Box<Mutex<Matcher>>),
    /// The calls in it.
    FreeCalls(Arc<FreeCallRules>),
}

impl GrammarCompiler {
    /// A compiler for the tokens of `tokenizer`.
    #[must_use]
    pub fn new(tokenizer: Arc<Tokenizer>) -> Self {
        Self {
            tokenizer,
            factory: OnceLock::new(),
        }
    }

    /// Compiles `grammar` and sees that an answer can begin. Takes some milliseconds as a rule; the
    /// limits end what would take longer.
    ///
    /// # Errors
    /// If the grammar is wrong, not supported, matches nothing or takes too much.
    pub fn compile(&self, grammar: &Grammar) -> Result<CompiledGrammar, GrammarError> {
        let trigger = match grammar {
            Grammar::FreeCalls(free) => free.trigger.as_str(),
            _ => "",
        };
        let compile = || {
            let source = source::read(grammar, &self.tokenizer)?;
            let factory = self.factory.get_or_init(|| self.factory()).as_ref();
            let factory = factory.map_err(GrammarError::clone)?;
            let matcher = matcher(factory, source, trigger)?;
            Ok(match grammar {
                Grammar::FreeCalls(free) => {
                    let rules = FreeCallRules::new(free, matcher, &self.tokenizer);
                    Form::FreeCalls(Arc::new(rules))
                }
                _ => Form::Whole(Box::new(Mutex::new(matcher))),
            })
        };
        let builder = thread::Builder::new()
            .name("grammar".to_owned())
            .stack_size(STACK_BYTES);
        let compiled = thread::scope(|scope| {
            let running = builder.spawn_scoped(scope, compile);
            let running = running.map_err(|error| GrammarError::NoThread {
                fact: error.to_string(),
            })?;
            running
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        Ok(CompiledGrammar { form: compiled? })
    }

    fn factory(&self) -> Result<ParserFactory, GrammarError> {
        let tree = token_tree(&self.tokenizer)?;
        let capabilities = InferenceCapabilities::default();
        let slices = llguidance::earley::SlicedBiasComputer::general_slices();
        let factory = ParserFactory::new(&tree, capabilities, &slices);
        factory.map_err(|error| GrammarError::Vocabulary { fact: said(error) })
    }
}

/// A parser that has accepted nothing. What comes behind `trigger` is tried.
fn matcher(
    factory: &ParserFactory,
    source: Source,
    trigger: &str,
) -> Result<Matcher, GrammarError> {
    let refused = |error| GrammarError::Refused { fact: said(error) };
    let parser = factory.create_parser_from_init_ext(
        GrammarInit::Serialized(source.grammar),
        Logger::new(0, 0),
        InferenceCapabilities::default(),
        limits(source.lexer_fuel),
    );
    let parser = parser.map_err(refused)?;
    let mut matcher = Matcher::new(Ok(parser));
    matcher
        .compute_mask()
        .map_err(|error| GrammarError::Refused {
            fact: format!("no answer can begin: {}", said(error)),
        })?;
    let mut probed = matcher.clone();
    let trigger = factory
        .tok_env()
        .tok_trie()
        .greedy_tokenize(trigger.as_bytes());
    probed.consume_tokens(&trigger).map_err(refused)?;
    probe(probed, factory.tok_env()).map_err(|fact| GrammarError::Refused {
        fact: format!("it takes too much work: {fact}"),
    })?;
    Ok(matcher)
}

/// Follows one answer for a few tokens: what is too much shows at the first bracket as a rule, and
/// is better refused now than found in the middle of an answer.
fn probe(mut matcher: Matcher, tree: &TokEnv) -> Result<(), String> {
    for _ in 0..PROBE_TOKENS {
        if matcher.is_stopped() {
            break;
        }
        let allowed = matcher.compute_mask().map_err(said)?;
        let mut tokens = allowed.iter();
        let Some(token) = tokens.find(|it| !tree.tok_trie().eos_tokens().contains(it)) else {
            break;
        };
        matcher.consume_token(token).map_err(said)?;
    }
    Ok(())
}

impl CompiledGrammar {
    /// Holds a new answer to this grammar.
    #[must_use]
    pub fn begin(&self) -> Box<dyn Constraint> {
        match &self.form {
            Form::Whole(matcher) => {
                let matcher = matcher.lock().unwrap_or_else(PoisonError::into_inner);
                Box::new(GrammarConstraint::new(matcher.clone()))
            }
            Form::FreeCalls(rules) => Box::new(FreeCallRules::begin(rules)),
        }
    }
}

impl fmt::Debug for GrammarCompiler {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("GrammarCompiler")
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for CompiledGrammar {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("CompiledGrammar")
            .finish_non_exhaustive()
    }
}

/// One line of what llguidance said: its messages end in states and backtraces for its own makers.
pub(crate) fn said(error: impl fmt::Display) -> String {
    let text = error.to_string();
    let lines = text.lines().take_while(|it| !it.starts_with('<'));
    let lines: Vec<&str> = lines.map(str::trim).filter(|it| !it.is_empty()).collect();
    let translate = |line: String, (theirs, ours): &(&str, &str)| line.replace(theirs, ours);
    let line = CLIENTS_WORDS.iter().fold(lines.join("; "), translate);
    line.chars().take(FACT_CHARS_MAX).collect()
}

//! Plugs the grammar crate into the pipeline, which never meet.

use std::sync::Arc;

use sconce_domain::Grammar;
use sconce_engine::Constraint;
use sconce_pipeline::{CompiledGrammar, GrammarCompiler, GrammarRefused, Grammars};
use sconce_text::Tokenizer;

/// Grammars over the vocabulary of `tokenizer`.
pub(crate) fn of(tokenizer: &Arc<Tokenizer>) -> Grammars {
    let compiler = sconce_grammar::GrammarCompiler::new(Arc::clone(tokenizer));
    Grammars::new(Arc::new(Compiler(compiler)))
}

#[derive(Debug)]
struct Compiler(sconce_grammar::GrammarCompiler);

#[derive(Debug)]
struct Compiled(sconce_grammar::CompiledGrammar);

impl GrammarCompiler for Compiler {
    fn compile(&self, grammar: &Grammar) -> Result<Arc<dyn CompiledGrammar>, GrammarRefused> {
        match self.0.compile(grammar) {
            Ok(compiled) => Ok(Arc::new(Compiled(compiled))),
            Err(error) => Err(GrammarRefused {
                fact: error.to_string(),
            }),
        }
    }
}

impl CompiledGrammar for Compiled {
    fn begin(&self) -> Box<dyn Constraint> {
        self.0.begin()
    }
}

//! Plugs the grammar crate into the pipeline, which never meet.

use std::sync::Arc;

use sconce_domain::Grammar;
use sconce_engine::Constraint;
use sconce_model::give_back_free_pages;
use sconce_pipeline::{CompiledGrammar, GrammarCompiler, GrammarRefused, Grammars};
use sconce_text::Tokenizer;

/// Grammars over the vocabulary of `tokenizer`.
pub(crate) fn of(tokenizer: &Arc<Tokenizer>) -> Grammars {
    let compiler = sconce_grammar::GrammarCompiler::new(Arc::clone(tokenizer));
    let compiler = Arc::new(Compiler(compiler));
    prepare(Arc::clone(&compiler));
    Grammars::new(compiler)
}

/// Compiles a first grammar while the weights are loaded: it takes a good part of the second that a
/// request has for it.
fn prepare(compiler: Arc<Compiler>) {
    let first = move || {
        if let Err(error) = compiler.compile(&Grammar::JsonObject) {
            tracing::warn!(%error, "answers of this model cannot be held to a form");
        }
        // A model that was unloaded meanwhile leaves its vocabulary here.
        drop(compiler);
        give_back_free_pages();
    };
    let builder = std::thread::Builder::new().name("sconce-grammar".to_owned());
    if let Err(error) = builder.spawn(first) {
        tracing::warn!(%error, "no thread to prepare for grammars; the first one takes longer");
    }
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

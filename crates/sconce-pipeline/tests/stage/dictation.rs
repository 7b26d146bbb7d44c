//! A compiler of grammars that does what it is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sconce_domain::{CallForm, FunctionForm, Grammar, TokenCount, TokenId, TokenMask};
use sconce_engine::{Constraint, ConstraintFailure, Progress};
use sconce_pipeline::{CompiledGrammar, GrammarCompiler, GrammarRefused};

use super::END;

/// Compiles a choice to its first text, and calls to one of the first function with no arguments:
/// byte by byte, and then the end. Of regular expressions it
/// knows three: `slow` takes two seconds, `panic` panics, and any other is refused with the number
/// of grammars that were compiled. An answer that is to be `broken` breaks at once.
#[derive(Debug, Default)]
pub(crate) struct Dictation {
    compiled: AtomicU32,
}

#[derive(Debug, Clone)]
struct Text {
    text: Vec<u8>,
    accepted: usize,
}

impl GrammarCompiler for Dictation {
    fn compile(&self, grammar: &Grammar) -> Result<Arc<dyn CompiledGrammar>, GrammarRefused> {
        let text = match grammar {
            Grammar::Choice(texts) => texts[0].clone().into_bytes(),
            Grammar::Calls(form) => one_call(form).into_bytes(),
            Grammar::FreeCalls(free) => [&*free.trigger, &one_call(&free.form)].concat().into(),
            Grammar::Regex(what) if what == "slow" => {
                std::thread::sleep(Duration::from_secs(2));
                Vec::new()
            }
            Grammar::Regex(what) if what == "panic" => panic!("the compiler was told to panic"),
            _ => {
                let count = self.compiled.load(Ordering::Relaxed);
                let fact = format!("{count} grammars were compiled");
                return Err(GrammarRefused { fact });
            }
        };
        self.compiled.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::new(Text { text, accepted: 0 }))
    }
}

fn one_call(form: &CallForm) -> String {
    let FunctionForm { before, after, .. } = &form.functions[0];
    format!("{}{before}{{}}{after}{}", form.opening, form.closing)
}

impl CompiledGrammar for Text {
    fn begin(&self) -> Box<dyn Constraint> {
        Box::new(self.clone())
    }
}

impl Constraint for Text {
    fn mask(&mut self) -> Result<TokenMask, ConstraintFailure> {
        if self.text == b"broken" {
            let fact = "it was told to break".to_owned();
            return Err(ConstraintFailure { fact });
        }
        let next = self.text.get(self.accepted);
        let token = next.map_or(END, |it| TokenId(u32::from(*it)));
        Ok([token].into_iter().collect())
    }

    fn accept(&mut self, _token: TokenId) -> Result<Progress, ConstraintFailure> {
        self.accepted += 1;
        Ok(Progress::Open)
    }

    fn rewind(&mut self, generated: TokenCount) {
        self.accepted = generated.0 as usize;
    }
}

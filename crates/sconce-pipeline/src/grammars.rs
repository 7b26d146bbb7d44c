//! Grammars of requests: compiled beside the engine, within a second, and kept for the next request.
//!
//! A grammar is foreign code of a kind: what it costs is known only once it is compiled. So that
//! happens on threads that may block, in a few slots, and a request waits a second at most. The
//! compiler's own limits end the work; a slot whose request has gone stays taken until then, so
//! that nobody can set off more of it than there are slots.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sconce_domain::{Grammar, TenantId};
use sconce_engine::Constraint;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::{AskedGrammar, Refusal};

/// How long a request waits for its grammar.
const COMPILING_MAX: Duration = Duration::from_millis(900);
/// Grammars that are compiled at once.
const SLOTS: usize = 2;
/// Compiled grammars that are kept.
const KEPT_MAX: usize = 32;
/// How soon to ask again when all slots are taken.
const RETRY_AFTER_S: u32 = 1;

/// Compiles grammars for the vocabulary of one model.
pub trait GrammarCompiler: fmt::Debug + Send + Sync {
    /// Compiles `grammar`, within limits of its own.
    ///
    /// # Errors
    /// If the grammar cannot be used.
    fn compile(&self, grammar: &Grammar) -> Result<Arc<dyn CompiledGrammar>, GrammarRefused>;
}

/// A grammar that answers can be held to.
pub trait CompiledGrammar: fmt::Debug + Send + Sync {
    /// Holds a new answer to it.
    fn begin(&self) -> Box<dyn Constraint>;
}

/// Why a grammar cannot be used, for the client who wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{fact}")]
pub struct GrammarRefused {
    /// What is wrong with it.
    pub fact: String,
}

/// A model's grammars: those in use lately, and the way to others.
#[derive(Debug)]
pub struct Grammars {
    compiler: Arc<dyn GrammarCompiler>,
    slots: Arc<Semaphore>,
    kept: Mutex<Vec<Kept>>,
}

/// One compiled grammar. Tenants share none: how soon it is there would tell what others ask for.
#[derive(Debug)]
struct Kept {
    tenant: TenantId,
    grammar: Grammar,
    compiled: Arc<dyn CompiledGrammar>,
}

impl Grammars {
    /// No grammar yet.
    #[must_use]
    pub fn new(compiler: Arc<dyn GrammarCompiler>) -> Self {
        Self {
            compiler,
            slots: Arc::new(Semaphore::new(SLOTS)),
            kept: Mutex::default(),
        }
    }

    /// `asked`, ready for use; within a second, this or why not.
    pub(crate) async fn find(
        &self,
        tenant: &TenantId,
        asked: &AskedGrammar,
    ) -> Result<Arc<dyn CompiledGrammar>, Refusal> {
        let deadline = Instant::now() + COMPILING_MAX;
        if let Some(found) = self.find_kept(tenant, &asked.grammar) {
            return Ok(found);
        }
        let busy = Refusal::CompilersBusy {
            retry_after_s: RETRY_AFTER_S,
        };
        let slot = timeout_at(deadline, Arc::clone(&self.slots).acquire_owned()).await;
        let Ok(Ok(slot)) = slot else {
            return Err(busy);
        };
        // Whoever had the slot may have compiled the same.
        if let Some(found) = self.find_kept(tenant, &asked.grammar) {
            return Ok(found);
        }
        let (compiler, grammar) = (Arc::clone(&self.compiler), asked.grammar.clone());
        let compiling = tokio::task::spawn_blocking(move || {
            let _until_it_is_over = slot;
            compiler.compile(&grammar)
        });
        let compiled = match timeout_at(deadline, compiling).await {
            Ok(Ok(Ok(compiled))) => compiled,
            Ok(Ok(Err(GrammarRefused { fact }))) => {
                let field = asked.field;
                return Err(Refusal::Grammar { field, fact });
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "compiling a grammar panicked");
                let fact = "the compiler hit a fault of its own; write it another way".to_owned();
                let field = asked.field;
                return Err(Refusal::Grammar { field, fact });
            }
            Err(_elapsed) => {
                return Err(Refusal::GrammarTooSlow {
                    field: asked.field,
                    limit_ms: COMPILING_MAX.as_millis() as u32,
                });
            }
        };
        self.keep(tenant, &asked.grammar, &compiled);
        Ok(compiled)
    }

    fn find_kept(&self, tenant: &TenantId, grammar: &Grammar) -> Option<Arc<dyn CompiledGrammar>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |it: &Kept| it.tenant == *tenant && it.grammar == *grammar;
        let place = kept.iter().position(is_it)?;
        // What was used last stands last.
        let found = kept.remove(place);
        let compiled = Arc::clone(&found.compiled);
        kept.push(found);
        Some(compiled)
    }

    fn keep(&self, tenant: &TenantId, grammar: &Grammar, compiled: &Arc<dyn CompiledGrammar>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_MAX {
            kept.remove(0);
        }
        kept.push(Kept {
            tenant: tenant.clone(),
            grammar: grammar.clone(),
            compiled: Arc::clone(compiled),
        });
    }
}

//! What callers have taken, shared by all requests: the ledger, its clock, and where it is kept.

use std::fmt::Debug;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use sconce_domain::{Allowance, Caller, Limits, Subject};
use sconce_limits::{Held, Ledger, Moment, Standing, Usage};

use crate::Refusal;

/// Where use is written down, so that a restart forgets none of it.
pub trait UsageJournal: Debug + Send + Sync {
    /// Notes what these subjects have taken by now. Once it returns, the end of the process loses
    /// nothing of it.
    ///
    /// # Errors
    /// If it could not be written.
    fn note(&self, changed: &[(&Subject, Usage)]) -> io::Result<()>;
}

/// What callers have taken.
#[derive(Debug, Default)]
pub struct Accounts {
    ledger: Mutex<Ledger>,
    journal: Option<Box<dyn UsageJournal>>,
}

impl Accounts {
    /// Goes on from `ledger`, and writes to `journal` what comes.
    #[must_use]
    pub fn kept(ledger: Ledger, journal: Box<dyn UsageJournal>) -> Self {
        Self {
            ledger: Mutex::new(ledger),
            journal: Some(journal),
        }
    }

    /// Begins a request of those whom `allowances` are for.
    pub(crate) fn enter(self: &Arc<Self>, caller: &Caller) -> Result<Charge, Refusal> {
        let allowances = Arc::clone(&caller.allowances);
        if !allowances.is_empty() {
            let entered = self.ledger().enter(&allowances, now());
            entered.map_err(Refusal::LimitReached)?;
        }
        Ok(Charge {
            accounts: Arc::clone(self),
            allowances,
            held: None,
            used: 0,
        })
    }

    /// What is left to a caller.
    pub(crate) fn standing(&self, caller: &Caller) -> Standing {
        self.ledger().standing(&caller.allowances, now())
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down how `allowances` stand, in the order in which they came to stand so.
    fn note(&self, ledger: &Ledger, allowances: &[Allowance]) -> io::Result<()> {
        let Some(journal) = &self.journal else {
            return Ok(());
        };
        let subjects = allowances.iter().map(|it| &it.subject);
        let changed: Vec<_> = subjects.map(|it| (it, ledger.usage(it))).collect();
        journal.note(&changed)
    }
}

/// What a request takes of its caller's limits.
#[derive(Debug)]
#[must_use = "dropping this ends the request and gives back what it did not use"]
pub(crate) struct Charge {
    accounts: Arc<Accounts>,
    allowances: Arc<[Allowance]>,
    held: Option<Held>,
    /// Tokens that it has used.
    pub(crate) used: u64,
}

impl Charge {
    /// Reserves the tokens that the request may need at most.
    pub(crate) fn reserve(&mut self, tokens: u64) -> Result<(), Refusal> {
        if self.allowances.is_empty() {
            return Ok(());
        }
        let mut ledger = self.accounts.ledger();
        let reserved = ledger.reserve(&self.allowances, tokens, now());
        let held = reserved.map_err(Refusal::LimitReached)?;
        if let Err(error) = self.accounts.note(&ledger, &self.allowances) {
            tracing::error!(%error, "what callers use could not be written down");
            // A budget that forgets is none; rates forget by themselves.
            if self.allowances.iter().any(|it| has_budget(it.limits)) {
                ledger.settle(&self.allowances, held, 0, now());
                return Err(Refusal::UsageUnwritable);
            }
        }
        self.held = Some(held);
        Ok(())
    }
}

fn has_budget(limits: Limits) -> bool {
    limits.tokens_day.is_some() || limits.tokens_month.is_some()
}

impl Drop for Charge {
    fn drop(&mut self) {
        if self.allowances.is_empty() {
            return;
        }
        let mut ledger = self.accounts.ledger();
        ledger.leave(&self.allowances);
        let Some(held) = self.held else {
            return;
        };
        ledger.settle(&self.allowances, held, self.used, now());
        if let Err(error) = self.accounts.note(&ledger, &self.allowances) {
            tracing::error!(%error, "what a caller did not use could not be given back for good");
        }
    }
}

fn now() -> Moment {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let ms = since.map_or(0, |it| it.as_millis());
    Moment(u64::try_from(ms).unwrap_or(u64::MAX))
}

//! Who waits, in which order, and what each tenant has had.
//!
//! Sequences of one priority form a class, and each tenant has an account in each class it has
//! sequences in. An account is charged for every token that is computed for its tenant, by the
//! tenant's weight, and whoever has been charged least goes next. That is the virtual token
//! counter of Sheng et al. 2024, "Fairness in Serving Large Language Models", sections 3 and 4,
//! with start times as in Goyal et al. 1996, "Start-time Fair Queueing".

use std::collections::BTreeMap;

use sconce_domain::{Priority, SequenceId, TenantId, Weight};

use crate::Sequence;

/// What one token costs a tenant of weight one. Large, so that dividing by a weight loses little.
const UNIT_COST: u64 = 1 << 16;

/// The waiting sequences, and the accounts of all tenants that wait or run.
#[derive(Debug, Default)]
pub(crate) struct FairQueue {
    classes: BTreeMap<Priority, Class>,
}

#[derive(Debug, Default)]
struct Class {
    accounts: BTreeMap<TenantId, Account>,
}

/// What a tenant has had in a class.
#[derive(Debug)]
struct Account {
    weight: Weight,
    spent: u64,
    /// Its sequences that wait, by order of arrival.
    waiting: BTreeMap<u64, SequenceId>,
    /// How many of its sequences run.
    running: u32,
}

/// How good a sequence's claim to the next tokens is; the least one is the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Claim {
    priority: Priority,
    spent: u64,
    running: u32,
    place: u64,
}

impl FairQueue {
    /// Puts a new sequence at the end of its tenant's queue.
    ///
    /// A tenant that was away begins where the tenant stands that has been charged least: it is
    /// owed nothing for the time it did not ask. Where it has been charged more than that, it
    /// still has been: leaving for a moment settles no debt.
    pub(crate) fn join(&mut self, sequence: &Sequence, weight: Weight) {
        let class = self.classes.entry(sequence.priority).or_default();
        let least = class.least_spent();
        let account = class
            .accounts
            .entry(sequence.tenant.clone())
            .or_insert_with(|| Account {
                weight,
                spent: 0,
                waiting: BTreeMap::new(),
                running: 0,
            });
        if !account.is_live() {
            account.spent = account.spent.max(least);
        }
        account.weight = weight;
        account.waiting.insert(sequence.place, sequence.id);
    }

    /// Moves a sequence that waits to those that run.
    pub(crate) fn begin(&mut self, sequence: &Sequence) {
        let account = self.account(sequence);
        account.waiting.remove(&sequence.place);
        account.running += 1;
    }

    /// Moves a sequence that runs back to its place among those that wait.
    pub(crate) fn put_back(&mut self, sequence: &Sequence) {
        let account = self.account(sequence);
        account.waiting.insert(sequence.place, sequence.id);
        account.running -= 1;
    }

    /// Forgets a sequence, and with its class's last one every debt of that class.
    pub(crate) fn leave(&mut self, sequence: &Sequence) {
        let account = self.account(sequence);
        if account.waiting.remove(&sequence.place).is_none() {
            account.running -= 1;
        }
        let Some(class) = self.classes.get_mut(&sequence.priority) else {
            return;
        };
        let least = class.least_spent();
        class
            .accounts
            .retain(|_, it| it.is_live() || it.spent > least);
        if !class.accounts.values().any(Account::is_live) {
            self.classes.remove(&sequence.priority);
        }
    }

    /// Charges a sequence's tenant for `tokens`.
    pub(crate) fn charge(&mut self, sequence: &Sequence, tokens: u32) {
        let account = self.account(sequence);
        account.spent += account.by_weight(tokens);
    }

    /// The waiting sequence that has the best claim.
    pub(crate) fn head(&self) -> Option<SequenceId> {
        let (&priority, class) = self.classes.iter().find(|(_, it)| it.has_waiting())?;
        let heads = class.accounts.values().filter_map(|account| {
            let (&place, &id) = account.waiting.first_key_value()?;
            Some((account.claim(priority, place), id))
        });
        heads.min().map(|(_, id)| id)
    }

    pub(crate) fn claim(&self, sequence: &Sequence) -> Claim {
        let account = &self.classes[&sequence.priority].accounts[&sequence.tenant];
        account.claim(sequence.priority, sequence.place)
    }

    /// The tenant that must let `sequence` in, as it runs most for its weight, two at the least,
    /// while the tenant of `sequence` runs nothing.
    pub(crate) fn richest_beside(&self, sequence: &Sequence) -> Option<&TenantId> {
        let accounts = &self.classes[&sequence.priority].accounts;
        if accounts[&sequence.tenant].running > 0 {
            return None;
        }
        let rich = accounts.iter().filter(|(_, it)| it.running > 1);
        rich.max_by_key(|(_, it)| it.by_weight(it.running))
            .map(|(tenant, _)| tenant)
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        let accounts = self.classes.values().flat_map(|it| it.accounts.values());
        accounts.map(|it| it.waiting.len()).sum()
    }

    /// Those that wait, tenant by tenant, each tenant's in order of arrival.
    pub(crate) fn iter(&self) -> impl Iterator<Item = SequenceId> {
        let accounts = self.classes.values().flat_map(|it| it.accounts.values());
        accounts.flat_map(|it| it.waiting.values().copied())
    }

    /// Checks that each account knows how many of its sequences run.
    ///
    /// # Panics
    /// If one does not.
    pub(crate) fn check_invariants(&self, running: &[&Sequence]) {
        for (&priority, class) in &self.classes {
            for (tenant, account) in &class.accounts {
                let own = running
                    .iter()
                    .filter(|it| it.priority == priority && it.tenant == *tenant);
                let count = own.count();
                assert_eq!(count, account.running as usize, "{tenant:?} is miscounted");
            }
        }
    }

    fn account(&mut self, sequence: &Sequence) -> &mut Account {
        self.classes
            .get_mut(&sequence.priority)
            .and_then(|it| it.accounts.get_mut(&sequence.tenant))
            .expect("a tenant has an account while it has sequences")
    }
}

impl Class {
    /// What the tenant has been charged that has been charged least of those that are here.
    fn least_spent(&self) -> u64 {
        let live = self.accounts.values().filter(|it| it.is_live());
        live.map(|it| it.spent).min().unwrap_or(0)
    }

    fn has_waiting(&self) -> bool {
        self.accounts.values().any(|it| !it.waiting.is_empty())
    }
}

impl Account {
    /// The claim of a sequence that it pays for.
    fn claim(&self, priority: Priority, place: u64) -> Claim {
        Claim {
            priority,
            spent: self.spent,
            running: self.running,
            place,
        }
    }

    /// What `count` tokens or sequences come to for a tenant of this weight.
    fn by_weight(&self, count: u32) -> u64 {
        u64::from(count) * UNIT_COST / u64::from(self.weight.0.get())
    }

    fn is_live(&self) -> bool {
        self.running > 0 || !self.waiting.is_empty()
    }
}

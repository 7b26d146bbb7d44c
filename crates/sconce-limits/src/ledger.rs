//! What each subject has taken, and whether a request may take more.

use std::collections::BTreeMap;

use sconce_domain::{Allowance, Limits, Subject};

use crate::{Exceeded, LimitKind, Moment, Usage};

/// How soon to ask again where requests must end first.
const OPEN_WAIT_MS: u64 = 1000;

/// What each subject has taken. See the crate.
#[derive(Debug, Default)]
pub struct Ledger {
    accounts: BTreeMap<Subject, Account>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Account {
    usage: Usage,
    open: u64,
}

/// Tokens that were reserved for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// How many.
    pub tokens: u64,
    /// When.
    pub at: Moment,
}

/// What is left to a caller, by the limit that leaves least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// Requests, if there is a limit to their rate.
    pub requests: Option<Room>,
    /// Tokens, if there is a limit or a budget.
    pub tokens: Option<Room>,
}

/// What is left of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// What it allows.
    pub figure: u64,
    /// What of it is left.
    pub left: u64,
    /// When all of it is there again, if nothing comes.
    pub reset_ms: u64,
}

impl Ledger {
    /// Takes up what is known from before.
    pub fn restore(&mut self, subject: Subject, usage: Usage) {
        self.accounts.entry(subject).or_default().usage = usage;
    }

    /// What `subject` has taken.
    #[must_use]
    pub fn usage(&self, subject: &Subject) -> Usage {
        self.account(subject).usage
    }

    /// Begins a request. Until it leaves it counts as open.
    ///
    /// # Errors
    /// If one of the allowances has no room for it. Then nothing is taken of any.
    pub fn enter(&mut self, allowances: &[Allowance], now: Moment) -> Result<(), Exceeded> {
        self.heed(allowances, now);
        let breaks = allowances.iter().flat_map(|allowance| {
            let account = self.account(&allowance.subject);
            [
                too_many_open(account.open, allowance),
                too_often(&account.usage, allowance, now),
            ]
        });
        worst(breaks.flatten())?;
        for Allowance {
            subject, limits, ..
        } in allowances
        {
            let account = self.accounts.entry(subject.clone()).or_default();
            account.open += 1;
            if let Some(rate) = limits.requests_minute {
                account.usage.requests.pour(1, rate.get().into(), now);
            }
        }
        Ok(())
    }

    /// Ends a request that has entered.
    pub fn leave(&mut self, allowances: &[Allowance]) {
        for allowance in allowances {
            if let Some(account) = self.accounts.get_mut(&allowance.subject) {
                account.open = account.open.saturating_sub(1);
            }
        }
    }

    /// Reserves tokens.
    ///
    /// # Errors
    /// If one of the allowances has no room for them. Then nothing is taken of any.
    pub fn reserve(
        &mut self,
        allowances: &[Allowance],
        tokens: u64,
        now: Moment,
    ) -> Result<Held, Exceeded> {
        self.heed(allowances, now);
        let breaks = allowances.iter().flat_map(|allowance| {
            let usage = self.account(&allowance.subject).usage;
            [
                too_fast(&usage, allowance, (tokens, now)),
                over_budget(&usage, allowance, LimitKind::TokensDay, (tokens, now)),
                over_budget(&usage, allowance, LimitKind::TokensMonth, (tokens, now)),
            ]
        });
        worst(breaks.flatten())?;
        for Allowance {
            subject, limits, ..
        } in allowances
        {
            let usage = &mut self.accounts.entry(subject.clone()).or_default().usage;
            if let Some(rate) = limits.tokens_minute {
                usage.tokens.pour(tokens, rate.get().into(), now);
            }
            usage.day.add(tokens, now.day());
            usage.month.add(tokens, now.month());
        }
        Ok(Held { tokens, at: now })
    }

    /// Gives back what was reserved and not used.
    pub fn settle(&mut self, allowances: &[Allowance], held: Held, used: u64, now: Moment) {
        let unused = held.tokens.saturating_sub(used);
        for Allowance {
            subject, limits, ..
        } in allowances
        {
            let usage = &mut self.accounts.entry(subject.clone()).or_default().usage;
            if let Some(rate) = limits.tokens_minute {
                let rate = u64::from(rate.get());
                usage.tokens.give_back(unused, held.at, (rate, now));
            }
            usage.day.take_back(unused, held.at.day());
            usage.month.take_back(unused, held.at.month());
        }
    }

    /// What is left.
    #[must_use]
    pub fn standing(&self, allowances: &[Allowance], now: Moment) -> Standing {
        let rooms = |kinds: &[LimitKind]| {
            let of_one = |it: &Allowance| {
                let usage = self.account(&it.subject).usage;
                let rooms = kinds
                    .iter()
                    .map(move |kind| room(&usage, it.limits, *kind, now));
                rooms.flatten().collect::<Vec<_>>()
            };
            allowances.iter().flat_map(of_one).min_by_key(|it| it.left)
        };
        Standing {
            requests: rooms(&[LimitKind::RequestsMinute]),
            tokens: rooms(&[
                LimitKind::TokensMinute,
                LimitKind::TokensDay,
                LimitKind::TokensMonth,
            ]),
        }
    }

    /// Where the clock was set back, rates go on from there.
    fn heed(&mut self, allowances: &[Allowance], now: Moment) {
        for allowance in allowances {
            if let Some(Account { usage, .. }) = self.accounts.get_mut(&allowance.subject) {
                usage.requests.at = usage.requests.at.min(now);
                usage.tokens.at = usage.tokens.at.min(now);
            }
        }
    }

    fn account(&self, subject: &Subject) -> Account {
        self.accounts.get(subject).copied().unwrap_or_default()
    }
}

/// Whether a model that has all of these names may be asked under all of the allowances.
#[must_use]
pub fn may_use(allowances: &[Allowance], names: &[&str]) -> bool {
    let allows = |it: &Allowance| match &it.models {
        None => true,
        Some(models) => models.iter().any(|model| names.contains(&&**model)),
    };
    allowances.iter().all(allows)
}

/// Of several limits in the way, the one that stays there for longest.
fn worst(breaks: impl Iterator<Item = Exceeded>) -> Result<(), Exceeded> {
    match breaks.max_by_key(|it| it.wait_ms.unwrap_or(u64::MAX)) {
        None => Ok(()),
        Some(exceeded) => Err(exceeded),
    }
}

fn figure(limits: Limits, kind: LimitKind) -> Option<u64> {
    match kind {
        LimitKind::RequestsMinute => limits.requests_minute.map(|it| it.get().into()),
        LimitKind::Concurrent => limits.concurrent.map(|it| it.get().into()),
        LimitKind::TokensMinute => limits.tokens_minute.map(|it| it.get().into()),
        LimitKind::TokensDay => limits.tokens_day.map(Into::into),
        LimitKind::TokensMonth => limits.tokens_month.map(Into::into),
    }
}

/// What is left of a limit; open requests have no such thing.
fn room(usage: &Usage, limits: Limits, kind: LimitKind, now: Moment) -> Option<Room> {
    let figure = figure(limits, kind)?;
    let (day, month) = usage.tokens_at(now);
    let (left, reset_ms) = match kind {
        LimitKind::RequestsMinute => {
            let level = usage.requests;
            (level.left(figure, now), level.reset_ms(figure, now))
        }
        LimitKind::TokensMinute => {
            let level = usage.tokens;
            (level.left(figure, now), level.reset_ms(figure, now))
        }
        LimitKind::TokensDay => (figure.saturating_sub(day), now.to_next_day_ms()),
        LimitKind::TokensMonth => (figure.saturating_sub(month), now.to_next_month_ms()),
        LimitKind::Concurrent => return None,
    };
    Some(Room {
        figure,
        left,
        reset_ms,
    })
}

fn too_many_open(open: u64, allowance: &Allowance) -> Option<Exceeded> {
    let figure = figure(allowance.limits, LimitKind::Concurrent)?;
    (open >= figure).then(|| Exceeded {
        subject: allowance.subject.clone(),
        kind: LimitKind::Concurrent,
        figure,
        left: 0,
        wanted: 1,
        wait_ms: Some(OPEN_WAIT_MS),
    })
}

fn too_often(usage: &Usage, allowance: &Allowance, now: Moment) -> Option<Exceeded> {
    let kind = LimitKind::RequestsMinute;
    let Room { figure, left, .. } = room(usage, allowance.limits, kind, now)?;
    let wait_ms = usage.requests.wait_ms(1, figure, now);
    breaks(allowance, kind, (figure, left), (1, wait_ms))
}

fn too_fast(
    usage: &Usage,
    allowance: &Allowance,
    (tokens, now): (u64, Moment),
) -> Option<Exceeded> {
    let kind = LimitKind::TokensMinute;
    let Room { figure, left, .. } = room(usage, allowance.limits, kind, now)?;
    let wait_ms = usage.tokens.wait_ms(tokens, figure, now);
    breaks(allowance, kind, (figure, left), (tokens, wait_ms))
}

fn over_budget(
    usage: &Usage,
    allowance: &Allowance,
    kind: LimitKind,
    (tokens, now): (u64, Moment),
) -> Option<Exceeded> {
    let Room {
        figure,
        left,
        reset_ms,
    } = room(usage, allowance.limits, kind, now)?;
    let wait_ms = match tokens {
        _ if tokens <= left => Some(0),
        _ if tokens <= figure => Some(reset_ms),
        _ => None,
    };
    breaks(allowance, kind, (figure, left), (tokens, wait_ms))
}

/// A limit of `figure` that has `left`, if `wanted` must wait for it.
fn breaks(
    allowance: &Allowance,
    kind: LimitKind,
    (figure, left): (u64, u64),
    (wanted, wait_ms): (u64, Option<u64>),
) -> Option<Exceeded> {
    (wait_ms != Some(0)).then(|| Exceeded {
        subject: allowance.subject.clone(),
        kind,
        figure,
        left,
        wanted,
        wait_ms,
    })
}

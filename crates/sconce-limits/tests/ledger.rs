//! The ledger beside naive models: lists of what was taken, looked through from the beginning each time.

use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;

use proptest::prelude::*;
use sconce_domain::{Allowance, Limits, Subject};
use sconce_limits::{Held, Ledger, LimitKind, Moment, may_use};

/// Shortly before the end of a month.
const START_MS: u64 = 1_709_251_200_000 - 40_000;

fn key(limits: Limits) -> Allowance {
    Allowance {
        subject: Subject::Key("web".into()),
        limits,
        models: None,
    }
}

fn tenant(limits: Limits) -> Allowance {
    Allowance {
        subject: Subject::Tenant("shop".into()),
        ..key(limits)
    }
}

fn rate(per_minute: u32) -> Option<NonZeroU32> {
    NonZeroU32::new(per_minute)
}

fn budget(tokens: u64) -> Option<NonZeroU64> {
    NonZeroU64::new(tokens)
}

/// A bucket that is drained millisecond by millisecond.
#[derive(Clone, Copy)]
struct NaiveBucket {
    parts: u64,
    per_minute: u64,
    now_ms: u64,
}

impl NaiveBucket {
    fn new(per_minute: u32) -> Self {
        let (parts, now_ms) = (0, START_MS);
        Self {
            parts,
            per_minute: per_minute.into(),
            now_ms,
        }
    }

    fn at(mut self, now_ms: u64) -> Self {
        for _ in self.now_ms..now_ms {
            self.parts = self.parts.saturating_sub(self.per_minute);
        }
        self.now_ms = now_ms;
        self
    }

    fn has_room(self, tokens: u64) -> bool {
        self.parts + tokens * 60_000 <= self.per_minute * 60_000
    }
}

/// When a request came, its tokens, and what it holds and will use while it is open.
type NaiveRequest = (Moment, u64, Option<(Held, u64)>);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_rate_lets_through_what_a_bucket_lets_that_is_drained_by_hand(
        per_minute in 1_u32..400,
        steps in prop::collection::vec((0_u64..3000, 1_u64..120), 1..40),
    ) {
        let allowances = [key(Limits { tokens_minute: rate(per_minute), ..Limits::default() })];
        let (mut ledger, mut naive) = (Ledger::default(), NaiveBucket::new(per_minute));
        for (pause_ms, tokens) in steps {
            naive = naive.at(naive.now_ms + pause_ms);
            match ledger.reserve(&allowances, tokens, Moment(naive.now_ms)) {
                Ok(_) => {
                    prop_assert!(naive.has_room(tokens));
                    naive.parts += tokens * 60_000;
                }
                Err(exceeded) => {
                    prop_assert!(!naive.has_room(tokens));
                    prop_assert_eq!(exceeded.kind, LimitKind::TokensMinute);
                    // The wait that is told is the shortest one that helps.
                    if let Some(wait_ms) = exceeded.wait_ms {
                        let before = naive.at(naive.now_ms + wait_ms - 1);
                        prop_assert!(!before.has_room(tokens));
                        prop_assert!(before.at(before.now_ms + 1).has_room(tokens));
                    } else {
                        prop_assert!(tokens > per_minute.into());
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_given_back_is_never_more_than_what_was_not_used(
        per_minute in 50_u32..400,
        steps in prop::collection::vec((0_u64..9000, 0_u64..60, 0_u64..60, any::<bool>()), 1..40),
    ) {
        let allowances = [key(Limits { tokens_minute: rate(per_minute), ..Limits::default() })];
        // The bucket that is told in time what each request will use.
        let (mut ledger, mut foresight) = (Ledger::default(), NaiveBucket::new(per_minute));
        let mut open: Vec<(Held, u64)> = Vec::new();
        for (pause_ms, used, unused, ends) in steps {
            foresight = foresight.at(foresight.now_ms + pause_ms);
            let now = Moment(foresight.now_ms);
            if ends && !open.is_empty() {
                let (held, used) = open.remove(0);
                ledger.settle(&allowances, held, used, now);
            } else if let Ok(held) = ledger.reserve(&allowances, used + unused, now) {
                foresight.parts += used * 60_000;
                open.push((held, used));
            }
            let known = ledger.usage(&allowances[0].subject).tokens;
            let passed_ms = now.0.saturating_sub(known.at.0);
            let parts = known.parts.saturating_sub(passed_ms * u64::from(per_minute));
            prop_assert!(parts >= foresight.parts);
            prop_assert!(parts <= u64::from(per_minute) * 60_000);
        }
    }

    #[test]
    fn budgets_and_open_requests_are_what_a_list_of_all_requests_says(
        steps in prop::collection::vec((0_u64..5000, 1_u64..30, 0_u64..30, any::<bool>()), 1..80),
    ) {
        let limits = Limits { tokens_day: budget(100), tokens_month: budget(150), concurrent: rate(3), ..Limits::default() };
        let allowances = [key(limits), tenant(Limits { concurrent: rate(4), ..Limits::default() })];
        let mut ledger = Ledger::default();
        let mut all: Vec<NaiveRequest> = Vec::new();
        let mut now = Moment(START_MS);
        for (pause_ms, tokens, used, ends) in steps {
            now.0 += pause_ms;
            if ends {
                if let Some(ended) = all.iter_mut().find(|it| it.2.is_some()) {
                    let (held, used) = ended.2.take().unwrap();
                    ended.1 = used;
                    ledger.settle(&allowances, held, used, now);
                    ledger.leave(&allowances);
                }
                continue;
            }
            let open = all.iter().filter(|it| it.2.is_some()).count();
            let entered = ledger.enter(&allowances, now);
            prop_assert_eq!(entered.is_ok(), open < 3);
            if entered.is_err() {
                continue;
            }
            let of_period = |is_same: &dyn Fn(Moment) -> bool| {
                all.iter().filter(|it| is_same(it.0)).map(|it| it.1).sum::<u64>()
            };
            let day = of_period(&|it| it.day() == now.day());
            let month = of_period(&|it| it.month() == now.month());
            prop_assert_eq!(ledger.usage(&allowances[0].subject).tokens_at(now), (day, month));
            let fits = day + tokens <= 100 && month + tokens <= 150;
            let reserved = ledger.reserve(&allowances, tokens, now);
            prop_assert_eq!(reserved.is_ok(), fits);
            match reserved {
                Ok(held) => all.push((now, tokens, Some((held, used.min(tokens))))),
                Err(_) => ledger.leave(&allowances),
            }
        }
    }
}

#[test]
fn what_one_of_several_allowances_refuses_is_taken_of_none() {
    let limits = Limits {
        tokens_day: budget(100),
        requests_minute: rate(10),
        ..Limits::default()
    };
    let poor = Limits {
        tokens_day: budget(30),
        requests_minute: rate(1),
        ..Limits::default()
    };
    let allowances = [key(limits), tenant(poor)];
    let (mut ledger, now) = (Ledger::default(), Moment(START_MS));
    ledger.enter(&allowances, now).unwrap();
    let often = ledger.enter(&allowances, now).unwrap_err();
    assert_eq!(often.subject, allowances[1].subject);
    assert_eq!(often.wait_ms, Some(60_000));
    let spent = ledger.reserve(&allowances, 31, now).unwrap_err();
    assert_eq!((spent.kind, spent.wait_ms), (LimitKind::TokensDay, None));
    let standing = ledger.standing(&allowances[..1], now);
    assert_eq!(standing.tokens.unwrap().left, 100);
    assert_eq!(standing.requests.unwrap().left, 9);
    let standing = ledger.standing(&allowances, now);
    assert_eq!(standing.tokens.unwrap().left, 30);
    assert_eq!(standing.requests.unwrap().left, 0);
}

#[test]
fn a_figure_that_changes_keeps_the_count() {
    let with = |tokens, per_minute| {
        [key(Limits {
            tokens_day: budget(tokens),
            tokens_minute: rate(per_minute),
            ..Limits::default()
        })]
    };
    let (mut ledger, now) = (Ledger::default(), Moment(START_MS));
    ledger.reserve(&with(100, 90), 80, now).unwrap();
    assert!(ledger.reserve(&with(100, 90), 30, now).is_err());
    let more = with(120, 120);
    assert_eq!(ledger.standing(&more, now).tokens.unwrap().left, 40);
    ledger.reserve(&more, 40, now).unwrap();
    let fewer = with(60, 60);
    assert_eq!(ledger.standing(&fewer, now).tokens.unwrap().left, 0);
    let exceeded = ledger.reserve(&fewer, 1, now).unwrap_err();
    assert_eq!(exceeded.wait_ms, Some(61_000));

    // What was used before there was a limit counts as well.
    let mut ledger = Ledger::default();
    ledger.reserve(&[key(Limits::default())], 70, now).unwrap();
    let day = [key(Limits {
        tokens_day: budget(100),
        ..Limits::default()
    })];
    assert_eq!(ledger.standing(&day, now).tokens.unwrap().left, 30);
}

#[test]
fn a_new_day_has_a_new_budget_and_gets_nothing_back_of_the_old_one() {
    let allowances = [key(Limits {
        tokens_day: budget(100),
        ..Limits::default()
    })];
    let mut ledger = Ledger::default();
    let held = ledger.reserve(&allowances, 100, Moment(START_MS)).unwrap();
    let refused = ledger.reserve(&allowances, 1, Moment(START_MS));
    assert_eq!(refused.unwrap_err().wait_ms, Some(40_000));
    let tomorrow = Moment(START_MS + 40_000);
    ledger.reserve(&allowances, 60, tomorrow).unwrap();
    ledger.settle(&allowances, held, 10, tomorrow);
    assert!(ledger.reserve(&allowances, 41, tomorrow).is_err());
    ledger.reserve(&allowances, 40, tomorrow).unwrap();
}

#[test]
fn what_was_not_used_is_there_again_at_once() {
    let allowances = [key(Limits {
        tokens_minute: rate(100),
        tokens_day: budget(100),
        tokens_month: budget(100),
        ..Limits::default()
    })];
    let (mut ledger, now) = (Ledger::default(), Moment(START_MS));
    for _ in 0..10 {
        let left = ledger.standing(&allowances, now).tokens.unwrap().left;
        let held = ledger.reserve(&allowances, left, now).unwrap();
        assert!(ledger.reserve(&allowances, 1, now).is_err());
        ledger.settle(&allowances, held, 10, now);
    }
    assert!(ledger.reserve(&allowances, 1, now).is_err());
}

#[test]
fn a_clock_that_goes_back_neither_opens_nor_closes_anything() {
    let allowances = [key(Limits {
        requests_minute: rate(60),
        ..Limits::default()
    })];
    let mut ledger = Ledger::default();
    (0..60).for_each(|_| ledger.enter(&allowances, Moment(START_MS)).unwrap());
    let earlier = Moment(START_MS - 3_600_000);
    let wait_ms = ledger.enter(&allowances, earlier).unwrap_err().wait_ms;
    assert_eq!(wait_ms, Some(1000));
    let second = Moment(earlier.0 + 1000);
    ledger.enter(&allowances, second).unwrap();
    assert!(ledger.enter(&allowances, second).is_err());
}

#[test]
fn a_model_must_be_allowed_by_all_and_under_any_of_its_names() {
    let only = |subject: fn(Limits) -> Allowance, names: &[&str]| Allowance {
        models: Some(names.iter().map(|it| Arc::from(*it)).collect()),
        ..subject(Limits::default())
    };
    let both = [only(key, &["small", "large"]), only(tenant, &["fast"])];
    assert!(may_use(&both, &["small", "fast"]));
    assert!(!may_use(&both, &["small"]));
    assert!(!may_use(&both, &["large"]));
    assert!(may_use(&[], &["any"]) && may_use(&[key(Limits::default())], &["any"]));
    assert!(!may_use(&[only(key, &[])], &["any"]));
}

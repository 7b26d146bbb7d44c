//! How much keys and tenants may take: requests and tokens a minute, open requests, budgets of tokens.
//!
//! A [`Ledger`] holds what each subject has taken. A request enters, reserves the tokens that it may need
//! at most, and gives back what it did not use when it ends; each step is all or none over all of the
//! request's allowances, so that no number of requests at once takes more than one may. The clock is an
//! argument. Use is kept by subject and never by a limit's figure: who changes a figure keeps the count.

mod calendar;
mod exceeded;
mod ledger;
mod level;
mod usage;

pub use calendar::Moment;
pub use exceeded::{Exceeded, LimitKind};
pub use ledger::{Held, Ledger, Room, Standing, may_use};
pub use level::Level;
pub use usage::{Spent, Usage};

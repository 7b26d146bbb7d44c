//! Who gets in. A place is held by a value and given back by dropping it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{AnswerRequest, Refusal};

/// The longest wait we ever suggest to a client.
const RETRY_AFTER_MAX_S: u32 = 30;
/// What a new answer counts in the mean of how long places are held.
const MEAN_WEIGHT: f64 = 0.1;

/// How many answers of a generator may run and wait at once, or how many texts of an encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdmissionLimits {
    /// Sequences that the engine runs in one batch.
    pub running_max: u32,
    /// Sequences that may wait for a place in the batch.
    pub queue_max: u32,
    /// How long a request may wait for its turn, or `None` for ever.
    pub wait_max: Option<Duration>,
}

impl AdmissionLimits {
    /// Of an encoder that may have so many texts waiting or running.
    #[must_use]
    pub fn of_texts(texts_max: u32, wait_max: Option<Duration>) -> Self {
        Self {
            running_max: texts_max,
            queue_max: 0,
            wait_max,
        }
    }
}

/// The door: a fixed number of places, none of them reserved.
#[derive(Debug)]
pub(crate) struct Admission {
    places: u32,
    wait_max: Option<Duration>,
    free: Arc<Semaphore>,
    held: Arc<MeanHold>,
}

/// How long places are held, as a moving mean.
#[derive(Debug, Default)]
struct MeanHold {
    mean_s: Mutex<Option<f64>>,
}

/// Some of a model's places for answers or texts.
#[derive(Debug)]
#[must_use = "dropping this gives the places back"]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
    wait_max: Option<Duration>,
    since: Instant,
    held: Arc<MeanHold>,
}

/// Why there are no places.
enum Full {
    /// More are wanted than there are.
    Always,
    /// Others hold them.
    Now,
}

/// A request that holds its places.
#[derive(Debug)]
#[must_use = "dropping this gives the places back"]
pub(crate) struct Admitted {
    pub(crate) request: AnswerRequest,
    pub(crate) place: Place,
}

impl Admission {
    pub(crate) fn new(limits: AdmissionLimits) -> Self {
        let places = limits.running_max.saturating_add(limits.queue_max).max(1);
        Self {
            places,
            wait_max: limits.wait_max,
            free: Arc::new(Semaphore::new(places as usize)),
            held: Arc::new(MeanHold::default()),
        }
    }

    /// Takes a place for each sequence of `request`, all or none.
    pub(crate) fn admit(&self, request: AnswerRequest) -> Result<Admitted, Refusal> {
        let wanted = request.sequences();
        let places = self.places;
        match self.take(wanted) {
            Ok(place) => Ok(Admitted { request, place }),
            Err(Full::Always) => Err(Refusal::TooManyAnswers { wanted, places }),
            Err(Full::Now) => Err(Refusal::Busy {
                taken: self.taken(),
                places,
                wanted,
                retry_after_s: self.held.retry_after_s(),
            }),
        }
    }

    /// Takes a place for each of so many texts, all or none.
    pub(crate) fn admit_texts(&self, texts: usize) -> Result<Place, Refusal> {
        let wanted = u32::try_from(texts).unwrap_or(u32::MAX);
        let places = self.places;
        self.take(wanted).map_err(|full| match full {
            Full::Always => Refusal::TooManyTexts { wanted, places },
            Full::Now => Refusal::EncoderBusy {
                taken: self.taken(),
                places,
                wanted,
                retry_after_s: self.held.retry_after_s(),
            },
        })
    }

    fn take(&self, wanted: u32) -> Result<Place, Full> {
        if wanted > self.places {
            return Err(Full::Always);
        }
        let permit = Arc::clone(&self.free).try_acquire_many_owned(wanted);
        Ok(Place {
            _permit: permit.map_err(|_| Full::Now)?,
            wait_max: self.wait_max,
            since: Instant::now(),
            held: Arc::clone(&self.held),
        })
    }

    /// Places that are taken now.
    pub(crate) fn taken(&self) -> u32 {
        let free = u32::try_from(self.free.available_permits()).unwrap_or(self.places);
        self.places.saturating_sub(free)
    }

    /// Waits until no place is taken.
    pub(crate) async fn idle(&self) {
        // The semaphore is never closed, so an error cannot come back; if it did, nobody could
        // hold a place either.
        let _all = self.free.acquire_many(self.places).await;
    }
}

impl MeanHold {
    fn note(&self, held: Duration) {
        let mut mean_s = self.mean_s.lock().unwrap_or_else(PoisonError::into_inner);
        let held_s = held.as_secs_f64();
        *mean_s = Some(mean_s.map_or(held_s, |mean| mean + MEAN_WEIGHT * (held_s - mean)));
    }

    fn retry_after_s(&self) -> u32 {
        let mean_s = *self.mean_s.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = mean_s
            .unwrap_or(1.0)
            .ceil()
            .clamp(1.0, f64::from(RETRY_AFTER_MAX_S));
        seconds as u32
    }
}

impl Place {
    /// How long its holder may wait for its turn if it wants to for `wanted` at most.
    pub(crate) fn wait_max(&self, wanted: Option<Duration>) -> Option<Duration> {
        [self.wait_max, wanted].into_iter().flatten().min()
    }

    /// When another place can be hoped for.
    pub(crate) fn retry_after_s(&self) -> u32 {
        self.held.retry_after_s()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.held.note(self.since.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use sconce_domain::RequestId;

    use super::*;
    use crate::{AnswerOptions, Ask};

    fn request(answers: u32) -> AnswerRequest {
        AnswerRequest {
            id: RequestId(1),
            model: None,
            ask: Ask::Chat(Vec::new()),
            options: AnswerOptions {
                answers,
                ..AnswerOptions::default()
            },
        }
    }

    fn admission(running_max: u32, wait_max: Option<Duration>) -> Admission {
        Admission::new(AdmissionLimits {
            running_max,
            queue_max: 1,
            wait_max,
        })
    }

    #[test]
    fn a_request_beyond_the_places_is_busy_until_one_is_dropped() {
        let admission = admission(2, None);
        let first = admission.admit(request(2)).unwrap();
        let second = admission.admit(request(1)).unwrap();
        let busy = admission.admit(request(1)).unwrap_err();
        assert_eq!(
            busy,
            Refusal::Busy {
                taken: 3,
                places: 3,
                wanted: 1,
                retry_after_s: 1
            }
        );
        drop(second);
        assert_eq!(admission.taken(), 2);
        let third = admission.admit(request(1)).unwrap();
        drop((first, third));
        assert_eq!(admission.taken(), 0);
    }

    #[test]
    fn a_request_for_more_answers_than_places_can_never_be_admitted() {
        let admission = admission(2, None);
        let refusal = admission.admit(request(4)).unwrap_err();
        assert_eq!(
            refusal,
            Refusal::TooManyAnswers {
                wanted: 4,
                places: 3
            }
        );
        assert_eq!(admission.taken(), 0);
    }

    #[test]
    fn the_shorter_of_two_limits_on_waiting_holds() {
        let held = |server, wanted| {
            let admitted = admission(1, server).admit(request(1)).unwrap();
            admitted.place.wait_max(wanted)
        };
        let [short, long] = [1, 2].map(|it| Some(Duration::from_secs(it)));
        assert_eq!(held(short, long), short);
        assert_eq!(held(long, short), short);
        assert_eq!(held(None, short), short);
        assert_eq!(held(long, None), long);
        assert_eq!(held(None, None), None);
    }

    #[test]
    fn the_suggested_wait_follows_how_long_places_are_held() {
        let hold = MeanHold::default();
        assert_eq!(hold.retry_after_s(), 1);
        hold.note(Duration::from_secs(12));
        assert_eq!(hold.retry_after_s(), 12);
        (0..100).for_each(|_| hold.note(Duration::from_secs(1000)));
        assert_eq!(hold.retry_after_s(), RETRY_AFTER_MAX_S);
    }
}

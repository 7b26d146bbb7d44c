//! Who has to go so that a model fits. Pure: a decision about numbers.

use std::time::Instant;

/// A model that takes memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Occupant {
    /// Its place in the list of models.
    pub(super) place: usize,
    pub(super) bytes: u64,
    pub(super) standing: Standing,
    pub(super) last_used: Instant,
}

/// Whether a model can be unloaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nobody uses it or waits for it.
    Idle,
    /// Requests run, or wait for it.
    Busy,
    /// It gives its memory back as soon as its requests have ended.
    Leaving,
}

/// Where a model could go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Room {
    /// There is room.
    Free,
    /// There is, once these have been unloaded, of which nobody uses any.
    After(Vec<usize>),
    /// There will be, once those that are leaving have gone.
    Soon,
    /// Models in use take it. This one was used longest ago.
    Taken(usize),
    /// The model alone is larger than the memory.
    Never,
}

/// Room for a model of so many `bytes` where all models together may take `bytes_max`.
pub(super) fn room_for(bytes: u64, bytes_max: Option<u64>, occupants: &[Occupant]) -> Room {
    let Some(bytes_max) = bytes_max else {
        return Room::Free;
    };
    if bytes > bytes_max {
        return Room::Never;
    }
    let taken: u64 = occupants.iter().map(|it| it.bytes).sum();
    let lacking = bytes.saturating_add(taken).saturating_sub(bytes_max);
    let of = |standing| occupants.iter().filter(move |it| it.standing == standing);
    let leaving: u64 = of(Standing::Leaving).map(|it| it.bytes).sum();
    if lacking == 0 {
        return Room::Free;
    } else if lacking <= leaving {
        return Room::Soon;
    }
    let mut idle: Vec<&Occupant> = of(Standing::Idle).collect();
    idle.sort_by_key(|it| it.last_used);
    let mut victims = Vec::new();
    let mut freed = leaving;
    for occupant in idle {
        if freed < lacking {
            freed += occupant.bytes;
            victims.push(occupant);
        }
    }
    if freed < lacking {
        let busy = of(Standing::Busy).min_by_key(|it| it.last_used);
        // What is too much is idle, leaving or busy, and of the first two there is not enough.
        return busy.map_or(Room::Soon, |it| Room::Taken(it.place));
    }
    // A small one that went first is spared if a large one behind it is enough.
    for index in (0..victims.len()).rev() {
        if freed - victims[index].bytes >= lacking {
            freed -= victims[index].bytes;
            victims.remove(index);
        }
    }
    Room::After(victims.iter().map(|it| it.place).collect())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Models of these bytes and standings, the first used longest ago.
    fn room(bytes: u64, occupants: &[(u64, Standing)]) -> Room {
        let start = Instant::now();
        let occupants: Vec<Occupant> = (0..)
            .zip(occupants)
            .map(|(place, (bytes, standing))| Occupant {
                place,
                bytes: *bytes,
                standing: *standing,
                last_used: start + Duration::from_secs(place as u64),
            })
            .collect();
        room_for(bytes, Some(100), &occupants)
    }

    #[test]
    fn what_fits_displaces_nobody_to_the_last_byte() {
        use Standing::{Busy, Idle};
        assert_eq!(room(100, &[]), Room::Free);
        assert_eq!(room(101, &[]), Room::Never);
        assert_eq!(room(40, &[(30, Idle), (30, Busy)]), Room::Free);
        assert_eq!(room(41, &[(30, Idle), (30, Busy)]), Room::After(vec![0]));
        assert_eq!(room_for(u64::MAX, None, &[]), Room::Free);
    }

    #[test]
    fn the_least_recently_used_idle_ones_go_and_no_more_than_must() {
        use Standing::{Busy, Idle};
        let three = [(30, Idle), (30, Idle), (40, Idle)];
        assert_eq!(room(30, &three), Room::After(vec![0]));
        assert_eq!(room(31, &three), Room::After(vec![0, 1]));
        assert_eq!(room(61, &three), Room::After(vec![0, 2]));
        assert_eq!(room(71, &three), Room::After(vec![0, 1, 2]));
        let small_first = [(10, Idle), (60, Idle), (30, Busy)];
        assert_eq!(room(60, &small_first), Room::After(vec![1]));
        assert_eq!(room(70, &small_first), Room::After(vec![0, 1]));
    }

    #[test]
    fn one_in_use_is_named_only_where_the_others_do_not_suffice() {
        use Standing::{Busy, Idle, Leaving};
        let mixed = [(50, Busy), (30, Busy), (20, Idle)];
        assert_eq!(room(20, &mixed), Room::After(vec![2]));
        assert_eq!(room(21, &mixed), Room::Taken(0));
        let leaving = [(50, Leaving), (30, Busy), (20, Idle)];
        assert_eq!(room(50, &leaving), Room::Soon);
        assert_eq!(room(51, &leaving), Room::After(vec![2]));
        assert_eq!(room(71, &leaving), Room::Taken(1));
    }
}

//! From values to places along an axis, and the marks on it.

/// How values lie along an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Evenly, from zero on.
    Linear,
    /// By their logarithm, with marks at one, two and five times the powers of ten.
    Logarithmic,
    /// By their logarithm, with a mark at each value that there is.
    Sizes,
}

/// Marks that an axis has about.
const MARKS: f64 = 6.0;
/// Beyond so many values, not each has a mark.
const SIZES_MAX: usize = 10;

/// The part of a scale that values take.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Span {
    scale: Scale,
    low: f64,
    high: f64,
    sizes: Vec<f64>,
}

impl Span {
    /// The span of `values`; those that the scale cannot show are passed over.
    pub(super) fn of(scale: Scale, values: impl Iterator<Item = f64>) -> Self {
        let mut sizes: Vec<f64> = values.filter(|it| shows(scale, *it)).collect();
        sizes.sort_by(f64::total_cmp);
        sizes.dedup();
        let (low, high) = match (sizes.first(), sizes.last()) {
            (Some(low), Some(high)) => (*low, *high),
            _ => (1.0, 1.0),
        };
        let (low, high) = match scale {
            Scale::Linear if high > 0.0 => (low.min(0.0), high * 1.05),
            Scale::Linear => (low.min(0.0), 1.0),
            // One size alone lies in the middle.
            _ if low == high => (low / 2.0, high * 2.0),
            Scale::Logarithmic => (low / 1.1, high * 1.1),
            Scale::Sizes => (low, high),
        };
        Self {
            scale,
            low,
            high,
            sizes,
        }
    }

    /// Where `value` lies, 0 being the axis's begin and 1 its end.
    pub(super) fn place(&self, value: f64) -> Option<f64> {
        if !shows(self.scale, value) {
            return None;
        }
        let place = |it: f64| match self.scale {
            Scale::Linear => it,
            _ => it.ln(),
        };
        let (low, high) = (place(self.low), place(self.high));
        Some((place(value) - low) / (high - low))
    }

    /// The values that are marked.
    pub(super) fn marks(&self) -> Vec<f64> {
        match self.scale {
            Scale::Linear => self.linear_marks(),
            Scale::Sizes if self.sizes.len() <= SIZES_MAX => self.sizes.clone(),
            _ => self.decade_marks(),
        }
    }

    fn linear_marks(&self) -> Vec<f64> {
        let rough = (self.high - self.low) / MARKS;
        let decade = 10_f64.powf(rough.log10().floor());
        let steps = [1.0, 2.0, 5.0, 10.0].map(|it| it * decade);
        let step = steps.into_iter().find(|it| *it >= rough);
        let step = step.unwrap_or(10.0 * decade);
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step).floor() as i64;
        (first..=last).map(|it| it as f64 * step).collect()
    }

    fn decade_marks(&self) -> Vec<f64> {
        let first = self.low.log10().floor() as i32;
        let last = self.high.log10().ceil() as i32;
        // Over many decades their ones are enough.
        let each: &[f64] = if last - first > 3 {
            &[1.0]
        } else {
            &[1.0, 2.0, 5.0]
        };
        let decades = (first..=last).map(|it| 10_f64.powi(it));
        let marks = decades.flat_map(|decade| each.iter().map(move |it| it * decade));
        marks
            .filter(|it| (self.low..=self.high).contains(it))
            .collect()
    }
}

fn shows(scale: Scale, value: f64) -> bool {
    value.is_finite() && (scale == Scale::Linear || value > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round_and_lie_within() {
        let of = |scale, values: &[f64]| Span::of(scale, values.iter().copied());
        assert_eq!(
            of(Scale::Linear, &[37.0, 790.0]).marks(),
            [0.0, 200.0, 400.0, 600.0, 800.0]
        );
        assert_eq!(
            of(Scale::Logarithmic, &[12.0, 300.0]).marks(),
            [20.0, 50.0, 100.0, 200.0]
        );
        assert_eq!(
            of(Scale::Sizes, &[32.0, 1.0, 8.0, 8.0]).marks(),
            [1.0, 8.0, 32.0]
        );
        for scale in [Scale::Linear, Scale::Logarithmic, Scale::Sizes] {
            for values in [&[][..], &[0.0], &[5.0], &[f64::NAN, -1.0], &[1e-9, 1e12]] {
                let span = of(scale, values);
                for mark in span.marks() {
                    let place = span.place(mark).unwrap();
                    assert!(
                        (-1e-9..=1.000_001).contains(&place),
                        "{span:?}: {mark} at {place}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_logarithm_shows_no_zero_and_halves_what_is_doubled_twice() {
        let span = Span::of(Scale::Sizes, [0.0, 2.0, 8.0].into_iter());
        assert_eq!(span.place(0.0), None);
        assert!((span.place(4.0).unwrap() - 0.5).abs() < 1e-9);
        assert_eq!(
            Span::of(Scale::Linear, [10.0].into_iter()).place(0.0),
            Some(0.0)
        );
    }
}

//! The functions in double precision, the error function by the series that defines it.

use super::Bend;

/// `bend` of `x`.
#[must_use]
pub fn bend(bend: Bend, x: f64) -> f64 {
    match bend {
        Bend::Gelu => 0.5 * x * (1.0 + error_function(x / std::f64::consts::SQRT_2)),
        Bend::GeluTanh => {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
            0.5 * x * (1.0 + inner.tanh())
        }
        Bend::Relu => x.max(0.0),
        Bend::Tanh => x.tanh(),
    }
}

/// `2 / sqrt(pi) * sum((-1)^n x^(2n+1) / (n! (2n+1)))`, whose terms cancel badly beyond 4, where the
/// function is one but for 2e-8.
fn error_function(x: f64) -> f64 {
    if x.abs() > 4.0 {
        return x.signum();
    }
    let mut power = x;
    let mut total = x;
    for n in 1..200 {
        power *= -x * x / f64::from(n);
        total += power / f64::from(2 * n + 1);
    }
    total * 2.0 / std::f64::consts::PI.sqrt()
}

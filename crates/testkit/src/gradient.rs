//! Checking a gradient against differences.

/// Gradients smaller than this are compared as if they were this large: below it differences are noise.
const SMALLEST: f64 = 1e-3;

/// How far an analytic gradient lies from the numeric one, at the element where it is furthest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GradCheck {
    /// `|analytic - numeric| / max(|analytic|, |numeric|, 1e-3)`; infinite where either is NaN or infinite.
    pub worst_error: f64,
    /// The element with that error.
    pub element: usize,
    /// The analytic gradient there.
    pub analytic: f64,
    /// The gradient by differences there.
    pub numeric: f64,
}

impl GradCheck {
    /// Panics unless the worst error is below `tolerance`. A good one for smooth functions is 1e-6.
    ///
    /// # Panics
    /// Names the worst element and both gradients.
    #[track_caller]
    pub fn assert_below(&self, tolerance: f64) {
        assert!(
            self.worst_error < tolerance,
            "gradient at [{}]: {:e}, by differences {:e}: relative error {:e}, allowed {tolerance:e}",
            self.element,
            self.analytic,
            self.numeric,
            self.worst_error,
        );
    }
}

/// Compares `analytic` with `(f(x + h) - f(x - h)) / 2h`, element by element at the point `x`.
///
/// ```
/// use charloom_testkit::gradcheck;
/// gradcheck(|x| x[0] * x[1], &[2.0, 3.0], &[3.0, 2.0]).assert_below(1e-8);
/// ```
///
/// # Panics
/// If `x` is empty or `analytic` has another length.
#[track_caller]
pub fn gradcheck(mut f: impl FnMut(&[f64]) -> f64, x: &[f64], analytic: &[f64]) -> GradCheck {
    assert!(!x.is_empty(), "gradcheck: the point has no elements, so nothing would be checked");
    assert_eq!(x.len(), analytic.len(), "gradcheck: as many gradients as elements are needed");
    let mut point = x.to_vec();
    let mut worst = GradCheck { worst_error: f64::NEG_INFINITY, element: 0, analytic: 0.0, numeric: 0.0 };
    for element in 0..x.len() {
        // Near the cube root of epsilon rounding and truncation errors balance.
        let h = 6e-6 * x[element].abs().max(1.0);
        let (above, below) = (x[element] + h, x[element] - h);
        point[element] = above;
        let f_above = f(&point);
        point[element] = below;
        let f_below = f(&point);
        point[element] = x[element];
        let numeric = (f_above - f_below) / (above - below);
        let analytic = analytic[element];
        let error = (analytic - numeric).abs() / analytic.abs().max(numeric.abs()).max(SMALLEST);
        let worst_error = if error.is_nan() { f64::INFINITY } else { error };
        if worst_error > worst.worst_error {
            worst = GradCheck { worst_error, element, analytic, numeric };
        }
    }
    worst
}

#[cfg(test)]
mod tests {
    use super::*;

    fn f(x: &[f64]) -> f64 {
        x[0].powi(3) * x[1].tanh() + x[2].exp()
    }

    fn gradient(x: &[f64]) -> [f64; 3] {
        let t = x[1].tanh();
        [3.0 * x[0].powi(2) * t, x[0].powi(3) * (1.0 - t * t), x[2].exp()]
    }

    const X: [f64; 3] = [1.7, 0.4, -3.0];

    #[test]
    fn a_right_gradient_passes() {
        gradcheck(f, &X, &gradient(&X)).assert_below(1e-8);
    }

    #[test]
    fn a_wrong_gradient_is_caught_and_named() {
        for element in 0..3 {
            let mut wrong = gradient(&X);
            wrong[element] *= 1.0 + 1e-5;
            let check = gradcheck(f, &X, &wrong);
            assert_eq!(check.element, element);
            assert!(check.worst_error > 5e-6, "{check:?}");
        }
    }

    #[test]
    fn a_missing_gradient_is_caught() {
        let mut wrong = gradient(&X);
        wrong[1] = 0.0;
        assert!(gradcheck(f, &X, &wrong).worst_error > 0.9);
    }

    #[test]
    #[should_panic(expected = "gradient at [1]: NaN")]
    fn nan_never_passes() {
        let mut wrong = gradient(&X);
        wrong[1] = f64::NAN;
        gradcheck(f, &X, &wrong).assert_below(f64::INFINITY);
    }

    #[test]
    #[should_panic(expected = "by differences NaN")]
    fn a_function_that_gives_nan_never_passes() {
        gradcheck(|_| f64::NAN, &[1.0], &[0.0]).assert_below(f64::INFINITY);
    }

    #[test]
    #[should_panic(expected = "nothing would be checked")]
    fn an_empty_check_is_refused() {
        gradcheck(|_| 0.0, &[], &[]);
    }
}

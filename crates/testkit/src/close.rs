//! Comparison of numbers within a tolerance.

/// Panics unless every `actual` is within `atol + rtol * |expected|` of its `expected`, naming the worst one.
///
/// NaN is close to nothing, itself included; an infinity only to the same infinity.
///
/// ```
/// charloom_testkit::assert_close(&[1.0f32, 2.0], &[1.0f64, 2.0000001], 1e-6, 0.0);
/// ```
///
/// # Panics
/// If the lengths differ or any element is not close.
#[track_caller]
pub fn assert_close<A, E>(actual: &[A], expected: &[E], rtol: f64, atol: f64)
where
    A: Copy + Into<f64>,
    E: Copy + Into<f64>,
{
    if let Err(problem) = closeness(actual, expected, rtol, atol) {
        panic!("{problem}");
    }
}

/// Whether all elements are close by the rule of [`assert_close`].
///
/// # Errors
/// A line that names the worst element, both its values, and how many are not close.
pub fn closeness<A, E>(actual: &[A], expected: &[E], rtol: f64, atol: f64) -> Result<(), String>
where
    A: Copy + Into<f64>,
    E: Copy + Into<f64>,
{
    if actual.len() != expected.len() {
        return Err(format!("{} values where {} are expected", actual.len(), expected.len()));
    }
    let mut failures = 0;
    let mut worst = (0, f64::NEG_INFINITY);
    for (i, (&a, &e)) in actual.iter().zip(expected).enumerate() {
        let (a, e): (f64, f64) = (a.into(), e.into());
        if a == e {
            continue;
        }
        // An infinite or NaN distance always fails, since comparing with NaN is false; a NaN excess counts as
        // infinite.
        let distance = (a - e).abs();
        let allowed = atol + rtol * e.abs();
        if !(distance <= allowed && distance.is_finite()) {
            failures += 1;
            let excess = distance / allowed;
            let excess = if excess.is_nan() { f64::INFINITY } else { excess };
            if excess > worst.1 {
                worst = (i, excess);
            }
        }
    }
    if failures == 0 {
        return Ok(());
    }
    let (a, e): (f64, f64) = (actual[worst.0].into(), expected[worst.0].into());
    Err(format!(
        "{failures} of {} values are not close; worst at [{}]: {a:e}, expected {e:e}, off by {:e} (rtol {rtol:e}, atol {atol:e})",
        actual.len(),
        worst.0,
        (a - e).abs(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerances_are_inclusive_and_relative_to_the_expected() {
        assert!(closeness(&[1.5f64], &[1.0f64], 0.0, 0.5).is_ok());
        assert!(closeness(&[1.5f64], &[1.0f64], 0.0, 0.499).is_err());
        assert!(closeness(&[110.0f64], &[100.0f64], 0.1, 0.0).is_ok());
        assert!(closeness(&[100.0f64], &[90.0f64], 0.1, 0.0).is_err());
    }

    #[test]
    fn nan_never_passes() {
        let nan = f64::NAN;
        assert!(closeness(&[nan], &[nan], 1e9, 1e9).is_err());
        assert!(closeness(&[nan], &[1.0], f64::INFINITY, f64::INFINITY).is_err());
        assert!(closeness(&[1.0], &[nan], f64::INFINITY, f64::INFINITY).is_err());
        assert!(closeness(&[1.5], &[1.0], nan, nan).is_err());
    }

    #[test]
    fn infinity_is_close_only_to_itself() {
        let inf = f64::INFINITY;
        assert!(closeness(&[inf], &[inf], 0.0, 0.0).is_ok());
        assert!(closeness(&[inf], &[-inf], 1.0, 1.0).is_err());
        assert!(closeness(&[1.0], &[inf], 1.0, 1.0).is_err());
        assert!(closeness(&[inf], &[1.0], inf, inf).is_err());
    }

    #[test]
    fn the_worst_element_is_named() {
        let problem = closeness(&[1.0, 2.5, 9.0, 4.0], &[1.0, 2.0, 3.0, 4.0], 0.0, 0.1).unwrap_err();
        assert!(
            problem.starts_with("2 of 4 values are not close; worst at [2]: 9e0, expected 3e0"),
            "{problem}"
        );
        let problem = closeness(&[1.5, f64::NAN, 2.5], &[1.0, 2.0, 2.0], 0.0, 0.1).unwrap_err();
        assert!(problem.contains("worst at [1]: NaN"), "{problem}");
    }

    #[test]
    #[should_panic(expected = "2 values where 3 are expected")]
    fn lengths_must_agree() {
        assert_close(&[1.0, 2.0], &[1.0, 2.0, 3.0], 1.0, 1.0);
    }
}

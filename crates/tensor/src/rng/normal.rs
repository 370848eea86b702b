//! Box-Muller on blocks of 16: the first eight uniforms give radii, the last eight angles.

/// Numbers that torch turns into normals together.
pub(super) const BLOCK: usize = 16;

/// Turns 16 uniforms in `[0, 1)` into 16 normals: `sqrt(-2 ln(1 - u1)) * (cos, sin)(2 pi u2)`.
pub(super) fn box_muller_f64(block: &mut [f64]) {
    let (first, second) = block.split_at_mut(BLOCK / 2);
    for (a, b) in first.iter_mut().zip(second) {
        let radius = (-2.0 * (1.0 - *a).ln()).sqrt();
        let (sin, cos) = (2.0 * std::f64::consts::PI * *b).sin_cos();
        (*a, *b) = (radius * cos, radius * sin);
    }
}

/// Turns 16 uniforms in `[0, 1)` into 16 normals.
pub(super) fn box_muller_f32(block: &mut [f32]) {
    let (first, second) = block.split_at_mut(BLOCK / 2);
    for (a, b) in first.iter_mut().zip(second) {
        let log = f64::from(1.0 - *a).ln() as f32;
        let radius = (-2.0 * log).sqrt();
        let (sin, cos) = f64::from(2.0 * std::f32::consts::PI * *b).sin_cos();
        (*a, *b) = (radius * cos as f32, radius * sin as f32);
    }
}

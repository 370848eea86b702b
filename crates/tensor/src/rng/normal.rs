//! Box-Muller on blocks of 16: the first eight uniforms give the radii, the last eight the angles.

/// How many numbers torch transforms to normals together.
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

/// Turns 16 uniforms in `[0, 1)` into 16 normals, with the same bits as torch's AVX2 code.
pub(super) fn box_muller_f32(block: &mut [f32]) {
    let (first, second) = block.split_at_mut(BLOCK / 2);
    for (a, b) in first.iter_mut().zip(second) {
        let radius = (-2.0 * ln(1.0 - *a)).sqrt();
        let (sin, cos) = sin_cos(2.0 * std::f32::consts::PI * *b);
        (*a, *b) = (radius * cos, radius * sin);
    }
}

/// `coefficients[0] x^n + ... + coefficients[n]`, each step a fused multiply-add.
fn polynomial(x: f32, coefficients: &[f32]) -> f32 {
    coefficients[1..].iter().fold(coefficients[0], |sum, &c| sum.mul_add(x, c))
}

/// Natural logarithm for `0 < x <= 1`: with x = 2^e (1 + f), f between sqrt(1/2) - 1 and sqrt(2) - 1, it is
/// `e ln 2 + f - f^2 / 2 + f^3 P(f)`. The system's logarithm differs in the last bit between systems.
///
/// # Source
/// Cephes (Moshier), `logf`; the same steps are fused as in torch's AVX2 build.
fn ln(x: f32) -> f32 {
    const P: [f32; 9] = [
        0.070_376_836,
        -0.115_146_1,
        0.116_769_99,
        -0.124_201_41,
        0.142_493_23,
        -0.166_680_58,
        0.200_007_14,
        -0.249_999_94,
        0.333_333_3,
    ];
    const LN_2: [f32; 2] = [0.693_359_4, -0.000_212_194_44];
    let bits = x.to_bits();
    let mut e = (bits >> 23) as f32 - 126.0;
    let mantissa = f32::from_bits(bits & 0x007f_ffff | 0x3f00_0000);
    let mut f = mantissa - 1.0;
    if mantissa < std::f32::consts::FRAC_1_SQRT_2 {
        e -= 1.0;
        f += mantissa;
    }
    let f2 = f * f;
    let low = (polynomial(f, &P) * f).mul_add(f2, e * LN_2[1]);
    let low = (-f2).mul_add(0.5, low);
    e.mul_add(LN_2[0], f + low)
}

/// Sine and cosine for `0 <= x`, reduced to within an eighth of a turn of the nearest even one.
///
/// # Source
/// Cephes (Moshier), `sinf` and `cosf`; the same steps are fused as in torch's AVX2 build.
fn sin_cos(x: f32) -> (f32, f32) {
    const SIN: [f32; 3] = [-0.000_195_152_96, 0.008_332_161, -0.166_666_55];
    const COS: [f32; 3] = [0.000_024_433_157, -0.001_388_731_6, 0.041_666_646];
    const MINUS_EIGHTH: [f32; 3] = [-0.785_156_25, -0.000_241_875_65, -3.774_895e-8];
    let eighths = ((x * (4.0 / std::f32::consts::PI)) as i32 + 1) & !1;
    let x = MINUS_EIGHTH.iter().fold(x, |x, &part| (eighths as f32).mul_add(part, x));
    let x2 = x * x;
    let cos = (polynomial(x2, &COS) * x2).mul_add(x2, -(x2 * 0.5)) + 1.0;
    let sin = (polynomial(x2, &SIN) * x2).mul_add(x, x);
    match eighths / 2 % 4 {
        0 => (sin, cos),
        1 => (cos, -sin),
        2 => (-sin, -cos),
        _ => (-cos, sin),
    }
}

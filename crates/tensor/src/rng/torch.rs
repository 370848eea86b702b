//! torch's CPU generator.

use super::mt19937::Mt19937;
use super::normal;
use super::state::{GeneratorState, InvalidState};
use super::{unit_f32, unit_f64};

/// For ranges from this on torch's `randint` draws 64 random bits per integer, for smaller ones 32.
const WIDE_RANGE: u64 = 1 << 28;

/// The generator of `torch.Generator().manual_seed(seed)`: MT19937, and torch's rules for drawing from it.
///
/// ```
/// use charloom_tensor::rng::TorchGenerator;
/// let mut g = TorchGenerator::new(2147483647);
/// let mut batch = [0; 4];
/// g.randint_into(27, &mut batch);
/// assert_eq!(batch, [0, 26, 16, 12]);
/// ```
///
/// # Source
/// `torch.Generator` on the CPU, torch 2.15 on a processor with AVX2. All numbers equal torch's to the last
/// bit, except normals in double precision, which use the system's logarithm, sine and cosine.
#[derive(Clone, Debug)]
pub struct TorchGenerator {
    twister: Mt19937,
    next_normal: Option<f64>,
}

impl TorchGenerator {
    /// The state after `manual_seed(seed)`; as in torch, only the low 32 bits of the seed count.
    pub fn new(seed: u64) -> Self {
        Self { twister: Mt19937::from_seed(seed as u32), next_normal: None }
    }

    /// The next 32 random bits.
    pub fn random32(&mut self) -> u32 {
        self.twister.next_u32()
    }

    /// The next 64 random bits: two draws, the high half first.
    pub fn random64(&mut self) -> u64 {
        let high = u64::from(self.random32());
        high << 32 | u64::from(self.random32())
    }

    /// One `torch.rand` number of 24 bits in `[0, 1)`.
    pub fn rand_f32(&mut self) -> f32 {
        unit_f32(self.random32())
    }

    /// One `torch.rand(dtype=torch.float64)` number of 53 bits in `[0, 1)`.
    pub fn rand_f64(&mut self) -> f64 {
        unit_f64(self.random64())
    }

    /// Fills `out` like `torch.rand`.
    pub fn rand(&mut self, out: &mut [f32]) {
        self.twister.fill(out, unit_f32);
    }

    /// Fills `out` like `tensor.uniform_(from, to)`: `rand * (to - from) + from`, rounded once.
    pub fn uniform(&mut self, from: f32, to: f32, out: &mut [f32]) {
        self.twister.fill(out, |bits| unit_f32(bits).mul_add(to - from, from));
    }

    /// Fills `out` with standard normals like `torch.randn`.
    ///
    /// Fewer than 16 numbers are drawn in pairs, in double precision; an unused second one is kept for the
    /// next call. From 16 on, `out` is filled with uniforms, and each block of 16 becomes normals by
    /// Box-Muller; if the length is no multiple of 16, the last 16 are drawn again.
    pub fn randn_f32(&mut self, out: &mut [f32]) {
        if out.len() < normal::BLOCK {
            return out.iter_mut().for_each(|value| *value = self.normal() as f32);
        }
        self.rand(out);
        out.chunks_exact_mut(normal::BLOCK).for_each(normal::box_muller_f32);
        if !out.len().is_multiple_of(normal::BLOCK) {
            let last = out.len() - normal::BLOCK;
            self.rand(&mut out[last..]);
            normal::box_muller_f32(&mut out[last..]);
        }
    }

    /// Fills `out` like `torch.randn(dtype=torch.float64)`, by the rule of [`Self::randn_f32`].
    pub fn randn_f64(&mut self, out: &mut [f64]) {
        if out.len() < normal::BLOCK {
            return out.iter_mut().for_each(|value| *value = self.normal());
        }
        out.iter_mut().for_each(|value| *value = self.rand_f64());
        out.chunks_exact_mut(normal::BLOCK).for_each(normal::box_muller_f64);
        if !out.len().is_multiple_of(normal::BLOCK) {
            let last = out.len() - normal::BLOCK;
            out[last..].iter_mut().for_each(|value| *value = self.rand_f64());
            normal::box_muller_f64(&mut out[last..]);
        }
    }

    /// One standard normal in double precision, as torch draws fewer than 16 of them.
    fn normal(&mut self) -> f64 {
        if let Some(normal) = self.next_normal.take() {
            return normal;
        }
        let turn = self.rand_f64();
        let u = self.rand_f64();
        let radius = (-2.0 * libm::log1p(-u)).sqrt();
        let theta = 2.0 * std::f64::consts::PI * turn;
        self.next_normal = Some(radius * libm::sin(theta));
        radius * libm::cos(theta)
    }

    /// One integer in `[low, high)`, as from `torch.randint(low, high, (1,))`: random bits modulo the range,
    /// 32 bits for ranges below 2^28 and 64 from there on. (In older versions of torch from 2^32 on.)
    ///
    /// # Panics
    /// If `low >= high`.
    pub fn randint(&mut self, low: i64, high: i64) -> i64 {
        assert!(low < high, "randint: no integer lies in [{low}, {high}); high must be above low");
        let range = high.wrapping_sub(low) as u64;
        low.wrapping_add((self.random_bits(range) % range) as i64)
    }

    /// Fills `out` with integers in `[0, high)`, such as a minibatch's indices:
    /// `torch.randint(0, high, (B,))`.
    ///
    /// # Panics
    /// If `high` is 0.
    pub fn randint_into(&mut self, high: u32, out: &mut [u32]) {
        assert!(high > 0, "randint: no integer lies in [0, 0); high must be at least 1");
        if u64::from(high) >= WIDE_RANGE {
            let range = u64::from(high);
            return out.iter_mut().for_each(|value| *value = (self.random64() % range) as u32);
        }
        // The remainder by two multiplications (Lemire, Kaser and Kurz 2019), exact for 32-bit operands.
        let inverse = (u64::MAX / u64::from(high)).wrapping_add(1);
        self.twister.fill(out, |bits| {
            let fraction = inverse.wrapping_mul(u64::from(bits));
            ((u128::from(fraction) * u128::from(high)) >> 64) as u32
        });
    }

    /// A permutation of `0..n`: `torch.randperm(n)`.
    pub fn randperm(&mut self, n: u32) -> Vec<u32> {
        let mut items: Vec<u32> = (0..n).collect();
        if n < u32::MAX / 20 {
            for i in 0..n.saturating_sub(1) {
                let other = i + self.random32() % (n - i);
                items.swap(i as usize, other as usize);
            }
        } else {
            // Where 32 bits modulo the range would be visibly biased, torch draws 64 bits and builds the
            // permutation from the front.
            for i in 0..n {
                let other = self.random64() % (u64::from(i) + 1);
                items.swap(i as usize, other as usize);
            }
        }
        items
    }

    fn random_bits(&mut self, range: u64) -> u64 {
        if range < WIDE_RANGE { u64::from(self.random32()) } else { self.random64() }
    }

    /// The whole state, from which [`Self::from_state`] continues with the same numbers.
    pub fn state(&self) -> GeneratorState {
        GeneratorState {
            words: self.twister.words().to_vec(),
            position: self.twister.position() as u32,
            next_normal: self.next_normal,
        }
    }

    /// A generator that continues from a state of [`Self::state`].
    ///
    /// # Errors
    /// [`InvalidState`] if no generator can have this state.
    pub fn from_state(state: &GeneratorState) -> Result<Self, InvalidState> {
        let words = state.validated()?;
        let twister = Mt19937::from_words(words, state.position as usize);
        Ok(Self { twister, next_normal: state.next_normal })
    }
}

impl PartialEq for TorchGenerator {
    /// Whether both will draw the same numbers.
    fn eq(&self, other: &Self) -> bool {
        self.state() == other.state()
    }
}

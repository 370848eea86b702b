//! The Mersenne Twister, which computes and tempers a whole block at a time.

/// The number of words of state, and of numbers in a block.
pub(super) const N: usize = 624;
const M: usize = 397;

/// MT19937: 624 words of state and the block of numbers computed from them.
///
/// # Source
/// Matsumoto and Nishimura 1998, "Mersenne Twister: a 623-dimensionally equidistributed uniform
/// pseudo-random number generator".
#[derive(Clone, Debug)]
pub(super) struct Mt19937 {
    words: [u32; N],
    block: [u32; N],
    position: usize,
}

impl Mt19937 {
    /// The 32-bit initialization, which torch uses with the seed's low half.
    pub(super) fn from_seed(seed: u32) -> Self {
        let mut words = [seed; N];
        for i in 1..N {
            let last = words[i - 1];
            words[i] = 1_812_433_253u32.wrapping_mul(last ^ (last >> 30)).wrapping_add(i as u32);
        }
        Self::from_words(words, N)
    }

    /// The initialization by an array of words, which CPython uses.
    pub(super) fn from_key(key: &[u32]) -> Self {
        let mut words = Self::from_seed(19_650_218).words;
        let mixed = |last: u32, factor: u32| (last ^ (last >> 30)).wrapping_mul(factor);
        let mut i = 1;
        for j in 0..N.max(key.len()) {
            let j = j % key.len();
            words[i] =
                (words[i] ^ mixed(words[i - 1], 1_664_525)).wrapping_add(key[j]).wrapping_add(j as u32);
            i += 1;
            if i == N {
                words[0] = words[N - 1];
                i = 1;
            }
        }
        for _ in 1..N {
            words[i] = (words[i] ^ mixed(words[i - 1], 1_566_083_941)).wrapping_sub(i as u32);
            i += 1;
            if i == N {
                words[0] = words[N - 1];
                i = 1;
            }
        }
        words[0] = 0x8000_0000;
        Self::from_words(words, N)
    }

    /// A generator in the middle of its block, of which `position` numbers are already drawn.
    pub(super) fn from_words(words: [u32; N], position: usize) -> Self {
        let mut twister = Self { words, block: [0; N], position };
        twister.temper();
        twister
    }

    pub(super) fn words(&self) -> &[u32; N] {
        &self.words
    }

    pub(super) fn position(&self) -> usize {
        self.position
    }

    pub(super) fn next_u32(&mut self) -> u32 {
        if self.position == N {
            self.refill();
        }
        let number = self.block[self.position];
        self.position += 1;
        number
    }

    /// Fills `out` with numbers, each passed through `map`: a block at a time, so that it vectorizes.
    pub(super) fn fill<T>(&mut self, out: &mut [T], map: impl Fn(u32) -> T) {
        let mut rest = out;
        while !rest.is_empty() {
            if self.position == N {
                self.refill();
            }
            let take = rest.len().min(N - self.position);
            let (now, later) = rest.split_at_mut(take);
            for (value, &number) in now.iter_mut().zip(&self.block[self.position..]) {
                *value = map(number);
            }
            self.position += take;
            rest = later;
        }
    }

    /// Steps all words: word i becomes a function of words i, i + 1 and i + M (mod N). In each of three
    /// ranges no word depends on another of the same range, so the compiler can vectorize it.
    fn refill(&mut self) {
        let words = &mut self.words;
        let (head, tail) = words.split_at_mut(N - M);
        for i in 0..N - M - 1 {
            head[i] = twist(head[i], head[i + 1], tail[M - (N - M) + i]);
        }
        head[N - M - 1] = twist(head[N - M - 1], tail[0], tail[M - 1]);
        let (middle, end) = tail.split_at_mut(N - M);
        for i in 0..N - M - 1 {
            middle[i] = twist(middle[i], middle[i + 1], head[i]);
        }
        middle[N - M - 1] = twist(middle[N - M - 1], end[0], head[N - M - 1]);
        let last = end.len() - 1;
        for i in 0..last {
            end[i] = twist(end[i], end[i + 1], middle[i]);
        }
        end[last] = twist(end[last], head[0], middle[last]);
        self.temper();
        self.position = 0;
    }

    fn temper(&mut self) {
        for (number, &word) in self.block.iter_mut().zip(&self.words) {
            let mut y = word;
            y ^= y >> 11;
            y ^= (y << 7) & 0x9d2c_5680;
            y ^= (y << 15) & 0xefc6_0000;
            *number = y ^ (y >> 18);
        }
    }
}

/// One word's step: its high bit and its successor's low 31 bits, shifted and conditionally mixed.
fn twist(word: u32, successor: u32, distant: u32) -> u32 {
    let y = (word & 0x8000_0000) | (successor & 0x7fff_ffff);
    distant ^ (y >> 1) ^ ((y & 1).wrapping_neg() & 0x9908_b0df)
}

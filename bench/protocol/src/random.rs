/// Random numbers for peers without a generator of their own: xorshift64*.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Default for Random {
    fn default() -> Self {
        Self::new()
    }
}

impl Random {
    /// A generator with a fixed seed.
    pub fn new() -> Self {
        Self(0x9E37_79B9_7F4A_7C15)
    }

    fn next(&mut self) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32) as u32
    }

    /// Draws numbers below `n`.
    pub fn fill(&mut self, drawn: &mut [u32], n: usize) {
        drawn.fill_with(|| ((u64::from(self.next()) * n as u64) >> 32) as u32);
    }

    /// Draws a token for each context and shifts it in; contexts whose word has ended are removed.
    ///
    /// # Shapes
    /// contexts (n, T), probs (n, V) -> (at most n, T)
    pub fn next_contexts(&mut self, contexts: &[u32], probs: &[f32], t: usize) -> Vec<u32> {
        let rows = contexts.len() / t;
        let mut next = Vec::with_capacity(contexts.len());
        for (context, probs) in contexts.chunks_exact(t).zip(probs.chunks_exact(probs.len() / rows.max(1))) {
            let u = self.next() as f32 / u32::MAX as f32;
            let mut sum = 0.0;
            let token = probs.iter().position(|p| {
                sum += p;
                sum >= u
            });
            let token = token.unwrap_or(probs.len() - 1) as u32;
            if token != 0 {
                next.extend_from_slice(&context[1..]);
                next.push(token);
            }
        }
        next
    }
}

//! A block: a token mixer (attention or a mean), then an mlp.

use charloom_nn::{Dropout, Layer, Linear};
use charloom_tensor::ops::{Heads, Rotary};
use charloom_tensor::rng::DropoutMask;
use charloom_tensor::{Element, Indices, Var};

use super::CausalRows;

/// `x + mixer(x)`, then `x + mlp(x)`.
#[derive(Clone, Debug)]
pub struct Block {
    /// The token mixer.
    pub mixer: TokenMixer,
    /// Applied to each token by itself.
    pub mlp: Mlp,
}

/// How a token takes in itself and those before it.
#[derive(Clone, Debug)]
pub enum TokenMixer {
    /// By attention.
    Attention(Box<Attention>),
    /// By the mean of all these rows.
    Mean,
}

/// `c_proj(attention(c_attn(ln_1(x))))`
#[derive(Clone, Debug)]
pub struct Attention {
    /// ln_1
    pub norm: Layer,
    /// C -> 3C: query, key and value.
    pub c_attn: Linear,
    /// How many heads share C.
    pub heads: usize,
    /// Rotates queries and keys by their positions.
    pub rotary: Option<Rotary>,
    /// Applied to the attention's weights.
    pub weight_dropout: Option<Dropout>,
    /// C -> C
    pub c_proj: Linear,
    /// Applied to the result, before it is added to x.
    pub dropout: Option<Dropout>,
}

/// `c_proj(activation(c_fc(ln_2(x))))`
#[derive(Clone, Debug)]
pub struct Mlp {
    /// ln_2
    pub norm: Option<Layer>,
    /// C -> H
    pub c_fc: Linear,
    /// Applied to the hidden units.
    pub activation: Layer,
    /// H -> C
    pub c_proj: Linear,
    /// Applied to the result, before it is added to x.
    pub dropout: Option<Dropout>,
    /// H
    pub hidden: usize,
}

impl Block {
    /// Records the block.
    pub(super) fn forward<'t, E: Element>(
        &self,
        x: Var<'t, E>,
        positions: Indices,
        rows: &mut CausalRows<'t, E>,
    ) -> Var<'t, E> {
        let mixed = match &self.mixer {
            TokenMixer::Attention(attention) => attention.forward(x, positions, rows),
            TokenMixer::Mean => rows.mean(x),
        };
        let x = x + mixed;
        x + self.mlp.forward(x)
    }
}

impl Attention {
    fn forward<'t, E: Element>(
        &self,
        x: Var<'t, E>,
        positions: Indices,
        rows: &mut CausalRows<'t, E>,
    ) -> Var<'t, E> {
        let mut qkv = self.c_attn.forward(self.norm.forward(x));
        if let Some(rotary) = self.rotary {
            qkv = qkv.rotary(rotary, positions);
        }
        let dropout = self.weight_dropout.map(|d| DropoutMask::new(d.p, d.seed, d.layer));
        let mixed = rows.attention(qkv, Heads { count: self.heads, dropout });
        dropped(self.c_proj.forward(mixed), self.dropout.as_ref())
    }
}

impl Mlp {
    fn forward<'t, E: Element>(&self, x: Var<'t, E>) -> Var<'t, E> {
        let x = self.norm.map_or(x, |norm| norm.forward(x));
        let hidden = self.activation.forward(self.c_fc.forward(x));
        dropped(self.c_proj.forward(hidden), self.dropout.as_ref())
    }
}

fn dropped<'t, E: Element>(x: Var<'t, E>, dropout: Option<&Dropout>) -> Var<'t, E> {
    dropout.map_or(x, |dropout| dropout.forward(x))
}

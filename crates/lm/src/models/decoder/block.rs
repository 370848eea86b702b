//! A block: what is found in the tokens before, then a layer of its own.

use charloom_nn::{Dropout, Layer, Linear};
use charloom_tensor::ops::{Heads, Rotary};
use charloom_tensor::rng::DropoutMask;
use charloom_tensor::{Element, Indices, Var};

use super::Before;

/// `x + look(x)`, then `x + mlp(x)`.
#[derive(Clone, Debug)]
pub struct Block {
    /// What it finds in the tokens before.
    pub look: Look,
    /// What it makes of each token alone.
    pub mlp: Mlp,
}

/// How a token looks back.
#[derive(Clone, Debug)]
pub enum Look {
    /// Attention to each of those before, and itself.
    Attention(Box<Attention>),
    /// The mean of what the tokens up to this one are.
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
    /// How queries and keys are turned by their positions.
    pub rotary: Option<Rotary>,
    /// Of the attention's weights.
    pub weight_dropout: Option<Dropout>,
    /// C -> C
    pub c_proj: Linear,
    /// Of what is added.
    pub dropout: Option<Dropout>,
}

/// `c_proj(activation(c_fc(ln_2(x))))`
#[derive(Clone, Debug)]
pub struct Mlp {
    /// ln_2
    pub norm: Option<Layer>,
    /// C -> H
    pub c_fc: Linear,
    /// Between the two.
    pub activation: Layer,
    /// H -> C
    pub c_proj: Linear,
    /// Of what is added.
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
        before: &mut Before<'t, E>,
    ) -> Var<'t, E> {
        let found = match &self.look {
            Look::Attention(attention) => attention.forward(x, positions, before),
            Look::Mean => before.mean(x),
        };
        let x = x + found;
        x + self.mlp.forward(x)
    }
}

impl Attention {
    fn forward<'t, E: Element>(
        &self,
        x: Var<'t, E>,
        positions: Indices,
        before: &mut Before<'t, E>,
    ) -> Var<'t, E> {
        let mut asked = self.c_attn.forward(self.norm.forward(x));
        if let Some(rotary) = self.rotary {
            asked = asked.rotary(rotary, positions);
        }
        let dropout = self.weight_dropout.map(|d| DropoutMask::new(d.p, d.seed, d.layer));
        let found = before.attention(asked, Heads { count: self.heads, dropout });
        dropped(self.c_proj.forward(found), self.dropout.as_ref())
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

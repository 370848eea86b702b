/// Declares the struct, and the names that are shown for its fields.
macro_rules! terms {
    ($($(#[$doc:meta])* $field:ident = $name:literal,)+) => {
        /// A value of type X for each term of the net: its node, its matrix or its gradient.
        ///
        /// # Shapes
        /// B examples, T characters of context, E features, H hidden units, V characters.
        #[derive(Clone, Debug)]
        pub struct Terms<X> {
            $($(#[$doc])* pub $field: X,)+
        }

        impl Terms<()> {
            /// The names, in the order of the backward pass.
            pub const NAMES: &[&str] = &[$($name),+];
        }

        impl<X> Terms<X> {
            /// `f` of each.
            pub fn map<Y>(&self, mut f: impl FnMut(&X) -> Y) -> Terms<Y> {
                Terms { $($field: f(&self.$field),)+ }
            }

            /// The terms with their names, in the order of the backward pass.
            pub fn named(&self) -> Vec<(&'static str, &X)> {
                vec![$(($name, &self.$field)),+]
            }

            /// The term of this name.
            pub fn get_mut(&mut self, name: &str) -> Option<&mut X> {
                match name {
                    $($name => Some(&mut self.$field),)+
                    _ => None,
                }
            }
        }
    };
}

terms! {
    /// (B, V)
    log_probs = "log_probs",
    /// (B, V)
    probs = "probs",
    /// (B, 1)
    sum_counts_inv = "sum_counts_inv",
    /// (B, 1)
    sum_counts = "sum_counts",
    /// (B, V)
    counts = "counts",
    /// (B, V)
    norm_logits = "norm_logits",
    /// (B, 1)
    logit_maxes = "logit_maxes",
    /// (B, V)
    logits = "logits",
    /// (B, H)
    h = "h",
    /// (H, V)
    w2 = "W2",
    /// (V)
    b2 = "b2",
    /// (B, H)
    h_preact_norm = "h_preact_norm",
    /// (1, H)
    bn_gain = "bn_gain",
    /// (1, H)
    bn_bias = "bn_bias",
    /// (B, H)
    bn_raw = "bn_raw",
    /// (1, H)
    bn_var_inv = "bn_var_inv",
    /// (1, H)
    bn_var = "bn_var",
    /// (B, H)
    bn_diff_sqr = "bn_diff_sqr",
    /// (B, H)
    bn_diff = "bn_diff",
    /// (1, H)
    bn_mean = "bn_mean",
    /// (B, H)
    h_preact = "h_preact",
    /// (B, T E)
    embed_cat = "embed_cat",
    /// (T E, H)
    w1 = "W1",
    /// (H)
    b1 = "b1",
    /// (B, T, E)
    embed = "embed",
    /// (V, E)
    c = "C",
}

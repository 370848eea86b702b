use charloom_tensor::{Element, Var};

macro_rules! activations {
    ($($(#[$doc:meta])* $name:ident = $method:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name;

        impl $name {
            /// Records the function.
            pub fn forward<'t, E: Element>(&self, x: Var<'t, E>) -> Var<'t, E> {
                x.$method()
            }
        }
    )+};
}

activations! {
    /// The hyperbolic tangent, element by element; `torch.nn.Tanh`.
    Tanh = tanh;
    /// `max(x, 0)`, element by element; `torch.nn.ReLU`.
    Relu = relu;
    /// `x Phi(x)` with the exact error function, element by element; `torch.nn.GELU`.
    Gelu = gelu;
    /// gelu with Phi approximated by tanh, element by element; `torch.nn.GELU(approximate="tanh")`.
    GeluTanh = gelu_tanh;
    /// `max(x, 0)^2`, element by element.
    SquaredRelu = squared_relu;
}

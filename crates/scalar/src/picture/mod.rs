//! Pictures of a graph: the list of its nodes, a table, DOT, SVG.
//!
//! ```
//! use charloom_scalar::{Graph, picture};
//!
//! let graph = Graph::new();
//! let (a, b) = (graph.value(2.0).label("a"), graph.value(-3.0).label("b"));
//! let y = (a * b).label("y");
//! y.backward();
//! let nodes = graph.nodes_of(y);
//! println!("{}", picture::table(&nodes));
//! assert!(picture::table(&nodes).contains("a * b"));
//! assert!(picture::dot(&nodes).starts_with("digraph"));
//! assert!(picture::svg(&nodes)?.starts_with("<svg"));
//! # Ok::<(), picture::TooManyNodes>(())
//! ```

mod layout;
mod svg;
mod text;

pub use svg::{MOST_NODES, TooManyNodes, svg};
pub use text::{dot, table};

use crate::ops::Op;
use crate::{Graph, Value};

/// One node of a graph, as pictures and tables show it.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its id in the graph, by which `inputs` refers to it.
    pub id: u32,
    /// Its name, if it was given one.
    pub label: Option<String>,
    /// The op that made it; empty for leaves and constants.
    pub op: &'static str,
    /// The ids of the op's operands, in order.
    pub inputs: Vec<u32>,
    /// The number.
    pub data: f64,
    /// The gradient; constants have none.
    pub grad: Option<f64>,
}

impl Graph {
    /// `root` and all nodes it was computed from, in the order of creation.
    pub fn nodes_of(&self, root: Value<'_>) -> Vec<Node> {
        let root = self.id_of(root);
        let nodes = self.nodes();
        let mut wanted = vec![false; root as usize + 1];
        wanted[root as usize] = true;
        let mut found = Vec::new();
        for id in (0..=root).rev() {
            let i = id as usize;
            if !wanted[i] {
                continue;
            }
            let inputs = nodes.inputs(id);
            inputs.iter().for_each(|&input| wanted[input as usize] = true);
            found.push(Node {
                id,
                label: nodes.labels.get(&id).cloned(),
                op: nodes.ops[i].name(),
                inputs,
                data: nodes.values[i],
                grad: (!matches!(nodes.ops[i], Op::Constant)).then_some(nodes.grads[i]),
            });
        }
        found.reverse();
        found
    }
}

/// Four decimals, or an exponent if the number is too small or too large for that.
fn number(x: f64) -> String {
    if x == 0.0 || (1e-3..1e6).contains(&x.abs()) { format!("{x:.4}") } else { format!("{x:.3e}") }
}

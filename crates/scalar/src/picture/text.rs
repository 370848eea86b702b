//! The graph as a table and as DOT.

use std::fmt::Write;

use super::{Node, number};

/// One line per node: its name, how it was made, value and gradient. A node without a label is named v and
/// its id.
pub fn table(nodes: &[Node]) -> String {
    let name = |id: u32| {
        let node = nodes.binary_search_by_key(&id, |n| n.id).ok().map(|i| &nodes[i]);
        match node {
            Some(Node { label: Some(label), .. }) => label.clone(),
            Some(Node { grad: None, data, .. }) => data.to_string(),
            _ => format!("v{id}"),
        }
    };
    let rows: Vec<[String; 4]> = nodes
        .iter()
        .filter(|n| n.grad.is_some() || n.label.is_some())
        .map(|n| {
            let inputs: Vec<String> = n.inputs.iter().map(|&id| name(id)).collect();
            let from = match inputs.as_slice() {
                [] => String::new(),
                [a, b] if n.op.chars().all(|c| c.is_ascii_punctuation()) => format!("{a} {} {b}", n.op),
                [b, products @ ..] if n.op == "Σwx+b" => {
                    let sum: String = products.chunks(2).map(|p| format!(" + {}", p.join(" * "))).collect();
                    format!("{b}{sum}")
                }
                _ => format!("{}({})", n.op, inputs.join(", ")),
            };
            [name(n.id), from, number(n.data), n.grad.map(number).unwrap_or_default()]
        })
        .collect();
    let heads = ["node", "from", "data", "grad"];
    let width =
        |k: usize| rows.iter().map(|r| r[k].chars().count()).chain([heads[k].len()]).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2), width(3)];
    let mut out = String::new();
    for [a, b, c, d] in std::iter::once(heads.map(String::from)).chain(rows) {
        let [wa, wb, wc, wd] = widths;
        let line = format!("{a:<wa$}  {b:<wb$}  {c:>wc$}  {d:>wd$}");
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// The graph in Graphviz's language, drawn as in the micrograd notebook.
pub fn dot(nodes: &[Node]) -> String {
    let mut out = String::from("digraph {\n  rankdir=LR\n  node [fontname=\"monospace\", fontsize=11]\n");
    for n in nodes {
        let label = n.label.as_deref().map(|l| format!("{} | ", escape(l))).unwrap_or_default();
        let grad = n.grad.map(|g| format!(" | grad {}", number(g))).unwrap_or_default();
        let _ =
            writeln!(out, "  n{} [shape=record, label=\"{{ {label}data {}{grad} }}\"]", n.id, number(n.data));
        if n.inputs.is_empty() {
            continue;
        }
        let _ = writeln!(out, "  op{0} [label=\"{1}\"]\n  op{0} -> n{0}", n.id, escape(n.op));
        for input in &n.inputs {
            let _ = writeln!(out, "  n{input} -> op{}", n.id);
        }
    }
    out.push_str("}\n");
    out
}

/// Escapes text inside a record's label.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if "\\\"{}|<>".contains(c) {
            out.push('\\');
        }
        out.push(if c.is_control() { ' ' } else { c });
    }
    out
}

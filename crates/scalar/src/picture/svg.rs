//! The graph as SVG, without Graphviz.

use std::fmt::Write;

use super::layout::layout;
use super::{Node, number};

/// The maximum number of nodes in a picture; more would be unreadable.
pub const MOST_NODES: usize = 500;

/// The graph is larger than [`MOST_NODES`].
#[derive(Debug, thiserror::Error)]
#[error("a picture of {0} nodes would be unreadable; draw at most {MOST_NODES}, or write DOT")]
pub struct TooManyNodes(pub usize);

/// Sizes in pixels; a monospaced character of size 12 is 7.3 wide.
const CHARACTER: f64 = 7.3;
const BOX: f64 = 24.0;
const ROW: f64 = 34.0;
const OP: f64 = 14.0;
const GAP: f64 = 54.0;
const MARGIN: f64 = 16.0;
const LONGEST_LABEL: usize = 20;

/// A picture of nodes in the order of creation, as from [`crate::Graph::nodes_of`].
///
/// Each node is a box with its label, value and gradient, and a circle with its op on the left; leaves are
/// blue, constants grey, the result green. Tooltips show twelve digits.
///
/// # Errors
/// If there are more than [`MOST_NODES`] nodes.
pub fn svg(nodes: &[Node]) -> Result<String, TooManyNodes> {
    if nodes.len() > MOST_NODES {
        return Err(TooManyNodes(nodes.len()));
    }
    let layout = layout(nodes, ROW);
    let cells: Vec<Vec<String>> = nodes.iter().map(cells).collect();
    // A column is as wide as its widest op plus its widest box; a box is as wide as its text.
    let width = |i: usize| cells[i].iter().map(|c| c.chars().count() as f64 * CHARACTER + 12.0).sum::<f64>();
    let op = |i: usize| OP.max(nodes[i].op.chars().count() as f64 * CHARACTER / 2.0 + 5.0);
    let mut columns = vec![(0.0_f64, 0.0_f64); layout.ranks];
    for (p, i) in layout.points.iter().filter_map(|p| Some((p, p.node?))) {
        let (ops, boxes) = &mut columns[p.rank];
        *boxes = boxes.max(width(i));
        if !nodes[i].op.is_empty() {
            *ops = ops.max(2.0 * op(i) + 10.0);
        }
    }
    let mut x = MARGIN;
    let mut starts = Vec::new();
    for (ops, boxes) in &columns {
        starts.push(x);
        x += ops + boxes + GAP;
    }
    let total_width = x - GAP + MARGIN;
    let total_height = layout.points.iter().map(|p| p.y).fold(0.0, f64::max) + ROW / 2.0 + 2.0 * MARGIN;

    let mut out = String::new();
    let _ = writeln!(
        out,
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total_width:.0} {total_height:.0}" width="{total_width:.0}" height="{total_height:.0}" font-family="ui-monospace, DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="12" text-anchor="middle">
<rect width="100%" height="100%" fill="#ffffff"/>
<g fill="none" stroke="#8a94a3" stroke-width="1.2">"##
    );
    // Where edges end at a point: the left of its op and the right of its box; a waypoint has a width too.
    let left = |k: usize| {
        let p = &layout.points[k];
        let (ops, _) = columns[p.rank];
        match p.node {
            Some(i) if !nodes[i].op.is_empty() => starts[p.rank] + ops - 10.0 - 2.0 * op(i),
            _ => starts[p.rank],
        }
    };
    let right = |k: usize| {
        let p = &layout.points[k];
        let (ops, boxes) = columns[p.rank];
        starts[p.rank] + ops + p.node.map_or(boxes, width)
    };
    let y = |k: usize| layout.points[k].y + MARGIN;
    // Edges bend between columns, and run level past the boxes of a column, so that no box hides them.
    let ends = |k: usize| {
        let (ops, boxes) = columns[layout.points[k].rank];
        (starts[layout.points[k].rank], starts[layout.points[k].rank] + ops + boxes)
    };
    for &(a, b) in &layout.edges {
        let ((_, x0), (x1, _), bend) = (ends(a), ends(b), GAP * 0.55);
        let (y0, y1) = (y(a), y(b));
        let _ = writeln!(
            out,
            r#"<path d="M{:.1} {y0:.1}H{x0:.1}C{:.1} {y0:.1} {:.1} {y1:.1} {x1:.1} {y1:.1}H{:.1}"/>"#,
            right(a),
            x0 + bend,
            x1 - bend,
            if layout.points[b].node.is_some() { left(b) } else { right(b) }
        );
    }
    out.push_str("</g>\n");
    for (k, i) in layout.points.iter().enumerate().filter_map(|(k, p)| Some((k, p.node?))) {
        let x0 = starts[layout.points[k].rank] + columns[layout.points[k].rank].0;
        draw(&mut out, &nodes[i], &cells[i], i + 1 == nodes.len(), x0, y(k), width(i), op(i));
    }
    out.push_str("</svg>\n");
    Ok(out)
}

/// The texts in a node's box.
fn cells(node: &Node) -> Vec<String> {
    let label = node.label.as_ref().map(|label| {
        let short: String = label.chars().take(LONGEST_LABEL).collect();
        if short.len() < label.len() { short + "…" } else { short }
    });
    let data =
        if node.grad.is_some() { format!("data {}", number(node.data)) } else { node.data.to_string() };
    label.into_iter().chain([data]).chain(node.grad.map(|g| format!("grad {}", number(g)))).collect()
}

#[allow(clippy::too_many_arguments, reason = "a drawing of one box has this many measures")]
fn draw(out: &mut String, node: &Node, cells: &[String], root: bool, x0: f64, y: f64, width: f64, op: f64) {
    let (fill, stroke) = match (root, node.inputs.is_empty(), node.grad) {
        (true, ..) => ("#dcfce7", "#15803d"),
        (_, true, Some(_)) => ("#dbeafe", "#1d4ed8"),
        (_, true, None) => ("#f1f3f5", "#868e96"),
        _ => ("#ffffff", "#495057"),
    };
    let top = y - BOX / 2.0;
    let grad = node.grad.map(|g| format!(", grad {}", portable(g))).unwrap_or_default();
    let title = format!("{} data {}{grad}", node.label.as_deref().unwrap_or(node.op), portable(node.data));
    let _ = write!(
        out,
        r#"<g><title>{}</title><rect x="{x0:.1}" y="{top:.1}" width="{width:.1}" height="{BOX}" rx="4" fill="{fill}" stroke="{stroke}"/>"#,
        escape(title.trim_start())
    );
    let mut x = x0;
    for (k, cell) in cells.iter().enumerate() {
        let wide = cell.chars().count() as f64 * CHARACTER + 12.0;
        if k > 0 {
            let _ = write!(out, r#"<path d="M{x:.1} {top:.1}v{BOX}" stroke="{stroke}"/>"#);
        }
        let bold = if k == 0 && node.label.is_some() { r#" font-weight="bold""# } else { "" };
        let _ = write!(
            out,
            r#"<text x="{:.1}" y="{:.1}"{bold}>{}</text>"#,
            x + wide / 2.0,
            y + 4.0,
            escape(cell)
        );
        x += wide;
    }
    if !node.op.is_empty() {
        let cx = x0 - 10.0 - op;
        let _ = write!(
            out,
            r##"<path d="M{:.1} {y:.1}H{x0:.1}" stroke="#8a94a3" stroke-width="1.2"/><rect x="{:.1}" y="{:.1}" width="{:.1}" height="{}" rx="{OP}" fill="#fff7e6" stroke="#b45309"/><text x="{cx:.1}" y="{:.1}">{}</text>"##,
            cx + op,
            cx - op,
            y - OP,
            2.0 * op,
            2.0 * OP,
            y + 4.0,
            escape(node.op)
        );
    }
    out.push_str("</g>\n");
}

/// Rounds to twelve digits: the last digits of tanh and ln depend on the machine, but the picture should not.
fn portable(x: f64) -> f64 {
    format!("{x:.11e}").parse().unwrap_or(x)
}

fn escape(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

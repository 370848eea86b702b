//! Tables, DOT and SVG of graphs.

use charloom_scalar::picture::{MOST_NODES, dot, svg, table};
use charloom_scalar::{Expression, Graph, Mlp, Random, Style, Value};

fn notebook(graph: &Graph) -> Value<'_> {
    let names = [("a", 2.0), ("b", -3.0), ("c", 10.0)];
    let y = Expression::parse("tanh(a*b + c) * 2").unwrap().eval(graph, &names).unwrap();
    y.backward();
    y
}

#[test]
fn the_table_says_how_each_node_was_made() {
    let graph = Graph::new();
    let got = table(&graph.nodes_of(notebook(&graph)));
    let want = "\
node  from         data     grad
a                2.0000  -0.0080
b               -3.0000   0.0054
v2    a * b     -6.0000   0.0027
c               10.0000   0.0027
v4    v2 + c     4.0000   0.0027
v5    tanh(v4)   0.9993   2.0000
v7    v5 * 2     1.9987   1.0000
";
    assert_eq!(got, want);
    let y = graph.affine(&[graph.value(2.0).label("w")], &[graph.value(3.0).label("x")], graph.constant(1.0));
    assert!(table(&graph.nodes_of(y)).contains("1 + w * x"));
}

#[test]
fn dot_has_every_node_and_edge() {
    let graph = Graph::new();
    let text = dot(&graph.nodes_of(notebook(&graph)));
    assert!(text.starts_with("digraph {") && text.ends_with("}\n"));
    assert!(text.contains("n0 [shape=record, label=\"{ a | data 2.0000 | grad -0.0080 }\"]"));
    for edge in ["n0 -> op2", "n1 -> op2", "op2 -> n2", "n2 -> op4", "n6 -> op7", "op7 -> n7"] {
        assert!(text.contains(&format!("  {edge}\n")), "{edge} in {text}");
    }
    let odd = graph.value(1.0).label("a|\"{<\\\n");
    assert!(dot(&graph.nodes_of(odd)).contains(r#"{ a\|\"\{\<\\  | data"#));
}

/// The elements of the picture, which must be well-formed: every element closed, in order.
fn elements(svg: &str) -> Vec<String> {
    let (mut open, mut seen) = (Vec::new(), Vec::new());
    for tag in svg.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').expect("a tag ends");
        assert!(!tag.contains("NaN") && !tag.contains("inf"), "{tag}");
        let name = tag.split_whitespace().next().unwrap().to_string();
        if let Some(closed) = name.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(closed));
        } else {
            if !tag.ends_with('/') {
                open.push(name.clone());
            }
            seen.push(name);
        }
    }
    assert!(open.is_empty());
    seen
}

#[test]
fn svg_draws_every_node_and_escapes_labels() {
    let graph = Graph::new();
    let y = notebook(&graph).label("<y> & \"co\"");
    let nodes = graph.nodes_of(y);
    let picture = svg(&nodes).unwrap();
    let seen = elements(&picture);
    assert_eq!(seen.iter().filter(|e| *e == "title").count(), nodes.len());
    assert!(picture.contains("&lt;y&gt; &amp; &quot;co&quot;"));
    assert!(picture.contains(">data 1.9987</text>"));
}

#[test]
fn pictures_of_odd_graphs() {
    let graph = Graph::new();
    let a = graph.value(f64::NAN);
    elements(&svg(&graph.nodes_of(a)).unwrap());
    let twice = (a + a) * a;
    elements(&svg(&graph.nodes_of(twice)).unwrap());
    let mlp = Mlp::new(&graph, &mut Random::seed(1), 3, &[4, 4, 1], Style::NOTEBOOK);
    mlp.label();
    let y = mlp.forward(&graph.constants(&[2.0, 3.0, -1.0]))[0];
    assert_eq!(elements(&svg(&graph.nodes_of(y)).unwrap()).iter().filter(|e| *e == "title").count(), 62);
}

#[test]
fn the_largest_pictures_are_drawn_and_larger_ones_refused() {
    let graph = Graph::new();
    // Each node is used again at the far end: as many long edges as can be.
    let mut chain = vec![graph.value(1.0)];
    while chain.len() < MOST_NODES / 2 {
        chain.push(chain[chain.len() - 1].tanh());
    }
    let y = chain.iter().rev().skip(1).fold(chain[chain.len() - 1], |sum, &v| sum + v);
    elements(&svg(&graph.nodes_of(y)).unwrap());
    let nodes = graph.nodes_of(y.tanh().tanh());
    assert_eq!(nodes.len(), MOST_NODES + 1);
    assert!(svg(&nodes).unwrap_err().to_string().contains("501 nodes"));
}

#[test]
fn the_picture_in_the_docs_is_what_is_drawn_now() {
    let graph = Graph::new();
    let names = [("a", 2.0), ("b", -3.0), ("c", 10.0), ("f", -2.0)];
    let l = Expression::parse("e = a*b; d = e + c; L = d*f").unwrap().eval(&graph, &names).unwrap();
    l.backward();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/pictures/expression.svg");
    assert_eq!(svg(&graph.nodes_of(l)).unwrap(), std::fs::read_to_string(path).unwrap());
}

//! Positions of the nodes of a picture, in columns from left to right; every edge joins neighbouring columns.
//!
//! The method is Sugiyama's: assign each node a column, insert waypoints in the columns that edges pass,
//! order each column for few crossings, choose heights that keep edges level. Layout crates do not route
//! edges.

use super::Node;

/// A node or a waypoint of an edge.
pub(super) struct Point {
    /// Its column, counted from the left.
    pub rank: usize,
    /// Its height, downwards.
    pub y: f64,
    /// The node; none for a waypoint.
    pub node: Option<usize>,
}

pub(super) struct Layout {
    /// The nodes in their order, then the waypoints.
    pub points: Vec<Point>,
    /// Edges between points of neighbouring columns, left to right.
    pub edges: Vec<(usize, usize)>,
    pub ranks: usize,
}

/// Lays out nodes given in the order of creation; a node takes `height`, a waypoint a third of it.
pub(super) fn layout(nodes: &[Node], height: f64) -> Layout {
    let at = |id: u32| nodes.binary_search_by_key(&id, |n| n.id).expect("an input is a node of the picture");
    let inputs: Vec<Vec<usize>> = nodes.iter().map(|n| n.inputs.iter().map(|&id| at(id)).collect()).collect();
    let rank = ranks(&inputs);
    let ranks = rank.iter().max().map_or(0, |r| r + 1);
    let mut layout = Layout { points: Vec::new(), edges: Vec::new(), ranks };
    layout.points.extend(rank.iter().enumerate().map(|(i, &rank)| Point { rank, y: 0.0, node: Some(i) }));
    layout.route(&inputs, &rank);
    let mut columns = layout.columns(&inputs);
    layout.untangle(&mut columns);
    layout.place(&columns, height);
    layout
}

/// The number of sweeps over the heights, from the left and from the right in turn; the last from the left.
const SWEEPS: usize = 61;

/// The column of each node: an op is right of its inputs; a leaf or constant is one column before its first
/// use.
fn ranks(inputs: &[Vec<usize>]) -> Vec<usize> {
    let mut rank = vec![0; inputs.len()];
    let mut first_use = vec![usize::MAX; inputs.len()];
    for (i, from) in inputs.iter().enumerate() {
        rank[i] = from.iter().map(|&j| rank[j] + 1).max().unwrap_or(0);
        from.iter().for_each(|&j| first_use[j] = first_use[j].min(rank[i]));
    }
    for (i, from) in inputs.iter().enumerate() {
        if from.is_empty() && first_use[i] != usize::MAX {
            rank[i] = first_use[i] - 1;
        }
    }
    rank
}

impl Layout {
    /// Inserts the waypoints; all edges from one node share waypoints as far as possible.
    fn route(&mut self, inputs: &[Vec<usize>], rank: &[usize]) {
        let mut ways: Vec<Vec<usize>> = (0..inputs.len()).map(|i| vec![i]).collect();
        for (to, from) in inputs.iter().enumerate() {
            // A node that uses another twice has only one edge from it.
            for (_, &source) in from.iter().enumerate().filter(|&(k, source)| !from[..k].contains(source)) {
                while rank[source] + ways[source].len() < rank[to] {
                    let rank = rank[source] + ways[source].len();
                    let last = ways[source][ways[source].len() - 1];
                    self.edges.push((last, self.points.len()));
                    ways[source].push(self.points.len());
                    self.points.push(Point { rank, y: 0.0, node: None });
                }
                self.edges.push((ways[source][rank[to] - rank[source] - 1], to));
            }
        }
    }

    /// The points of each column in their initial order: that of a depth-first walk from the result to the
    /// inputs.
    fn columns(&self, inputs: &[Vec<usize>]) -> Vec<Vec<usize>> {
        let mut visit = vec![usize::MAX; inputs.len()];
        let mut stack: Vec<usize> = (inputs.len().saturating_sub(1)..inputs.len()).collect();
        let mut count = 0;
        while let Some(i) = stack.pop() {
            if visit[i] == usize::MAX {
                visit[i] = count;
                count += 1;
                stack.extend(inputs[i].iter().rev());
            }
        }
        let mut key: Vec<usize> = visit;
        key.resize(self.points.len(), 0);
        for &(from, to) in &self.edges {
            if self.points[to].node.is_none() {
                key[to] = key[from];
            }
        }
        let mut columns = vec![Vec::new(); self.ranks];
        for (i, point) in self.points.iter().enumerate() {
            columns[point.rank].push(i);
        }
        columns.iter_mut().for_each(|column| column.sort_by_key(|&i| key[i]));
        columns
    }

    /// Sorts each column by the mean position of its neighbours, in alternate directions; keeps the best
    /// order.
    fn untangle(&self, columns: &mut Vec<Vec<usize>>) {
        let mut sides = [vec![Vec::new(); self.points.len()], vec![Vec::new(); self.points.len()]];
        for &(a, b) in &self.edges {
            sides[0][b].push(a);
            sides[1][a].push(b);
        }
        let mut best = self.crossings(columns);
        let mut now = columns.clone();
        let mut place = self.places(&now);
        for sweep in 0..12 {
            let side = &sides[sweep % 2];
            for k in 0..now.len() {
                let rank = if sweep % 2 == 0 { k } else { now.len() - 1 - k };
                let mean = |i: usize| match side[i].as_slice() {
                    [] => place[i] as f64,
                    near => near.iter().map(|&j| place[j] as f64).sum::<f64>() / near.len() as f64,
                };
                now[rank].sort_by(|&a, &b| mean(a).total_cmp(&mean(b)));
                now[rank].iter().enumerate().for_each(|(k, &i)| place[i] = k);
            }
            let crossings = self.crossings(&now);
            if crossings < best {
                best = crossings;
                columns.clone_from(&now);
            }
        }
    }

    /// The position of each point in its column.
    fn places(&self, columns: &[Vec<usize>]) -> Vec<usize> {
        let mut place = vec![0; self.points.len()];
        for column in columns {
            column.iter().enumerate().for_each(|(k, &i)| place[i] = k);
        }
        place
    }

    /// How many pairs of edges cross: their order on the left differs from that on the right.
    fn crossings(&self, columns: &[Vec<usize>]) -> usize {
        let place = self.places(columns);
        let mut edges: Vec<(usize, usize, usize)> =
            self.edges.iter().map(|&(a, b)| (self.points[a].rank, place[a], place[b])).collect();
        edges.sort_unstable();
        let (mut rank, mut seen, mut crossings) = (0, Vec::new(), 0);
        for (from_rank, _, to) in edges {
            if from_rank != rank {
                rank = from_rank;
                seen.clear();
            }
            let below = seen.partition_point(|&s| s <= to);
            crossings += seen.len() - below;
            seen.insert(below, to);
        }
        crossings
    }

    /// Sets heights: each point as near to the mean height of its neighbours as its column has room for.
    fn place(&mut self, columns: &[Vec<usize>], height: f64) {
        let half = |p: &Point| if p.node.is_some() { height / 2.0 } else { height / 6.0 };
        for column in columns {
            let mut y = 0.0;
            for &i in column {
                self.points[i].y = y + half(&self.points[i]);
                y += 2.0 * half(&self.points[i]);
            }
        }
        let (mut before, mut near) =
            (vec![Vec::new(); self.points.len()], vec![Vec::new(); self.points.len()]);
        for &(a, b) in &self.edges {
            before[b].push(a);
            near[a].push(b);
            near[b].push(a);
        }
        // The last sweep, from the left, aligns each op with its inputs.
        for sweep in 0..SWEEPS {
            let neighbours = if sweep + 1 == SWEEPS { &before } else { &near };
            for k in 0..columns.len() {
                let column = &columns[if sweep % 2 == 0 { k } else { columns.len() - 1 - k }];
                let mut offset = 0.0;
                let mut offsets = Vec::with_capacity(column.len());
                for (k, &i) in column.iter().enumerate() {
                    if k > 0 {
                        offset += half(&self.points[column[k - 1]]) + half(&self.points[i]);
                    }
                    offsets.push(offset);
                }
                let wanted = column.iter().zip(&offsets).map(|(&i, offset)| {
                    let near = &neighbours[i];
                    let sum: f64 = near.iter().map(|&j| self.points[j].y).sum();
                    if near.is_empty() { self.points[i].y - offset } else { sum / near.len() as f64 - offset }
                });
                let got = ascending(wanted);
                for ((&i, offset), y) in column.iter().zip(offsets).zip(got) {
                    self.points[i].y = y + offset;
                }
            }
        }
        let top = self.points.iter().map(|p| p.y - half(p)).fold(f64::INFINITY, f64::min);
        self.points.iter_mut().for_each(|p| p.y -= top);
    }
}

/// The ascending numbers nearest to `wanted` in least squares: values out of order are replaced by their
/// mean.
fn ascending(wanted: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut pools: Vec<(f64, usize)> = Vec::new();
    for y in wanted {
        let mut pool = (y, 1);
        while let Some(&(sum, n)) = pools.last()
            && sum / n as f64 > pool.0 / pool.1 as f64
        {
            pool = (pool.0 + sum, pool.1 + n);
            pools.pop();
        }
        pools.push(pool);
    }
    pools.into_iter().flat_map(|(sum, n)| std::iter::repeat_n(sum / n as f64, n)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: u32, inputs: &[u32]) -> Node {
        Node { id, label: None, op: "", inputs: inputs.to_vec(), data: 0.0, grad: None }
    }

    #[test]
    fn ascending_pools_what_is_out_of_order() {
        let got = ascending([1.0, 5.0, 3.0, 4.0, 9.0, 8.0].into_iter());
        assert_eq!(got, [1.0, 4.0, 4.0, 4.0, 8.5, 8.5]);
    }

    #[test]
    fn a_tree_has_no_crossings_and_nothing_overlaps() {
        // Leaves created in an order in which their edges cross.
        let nodes = [
            node(0, &[]),
            node(1, &[]),
            node(2, &[]),
            node(3, &[]),
            node(4, &[0, 3]),
            node(5, &[1, 2]),
            node(6, &[4, 5]),
        ];
        let l = layout(&nodes, 10.0);
        assert_eq!(l.ranks, 3);
        let mut columns = vec![Vec::new(); 3];
        for (i, p) in l.points.iter().enumerate() {
            columns[p.rank].push(i);
        }
        for column in &mut columns {
            column.sort_by(|&a, &b| l.points[a].y.total_cmp(&l.points[b].y));
            assert!(column.windows(2).all(|w| l.points[w[1]].y - l.points[w[0]].y >= 10.0 - 1e-9));
        }
        assert_eq!(l.crossings(&columns), 0);
    }

    #[test]
    fn a_long_edge_passes_every_column() {
        let nodes = [node(0, &[]), node(1, &[0]), node(2, &[1]), node(3, &[2, 0])];
        let l = layout(&nodes, 10.0);
        assert!(l.edges.iter().all(|&(a, b)| l.points[a].rank + 1 == l.points[b].rank));
        assert_eq!(l.points.iter().filter(|p| p.node.is_none()).count(), 2);
    }
}

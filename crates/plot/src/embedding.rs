//! A picture of the characters' embeddings.

use unicode_normalization::UnicodeNormalization;

use super::figure::{Figure, Point, Points};
use super::visible;
use charloom::data::Vocab;
use charloom::{Checkpoint, Error, Result};

/// The names of an embedding's weight; a decoder's is the one that GPT-2 gave it.
pub(crate) const EMBEDDINGS: [&str; 2] = ["embedding.weight", "wte.weight"];

/// The most sweeps of Jacobi's method, which needs about eight.
const SWEEPS: usize = 60;

/// A model's characters in the plane, by two dimensions of their embeddings: `dims`, or else, if there are
/// more than two, the two directions in which they differ most (PCA).
///
/// # Errors
/// The model has no embedding, or not that dimension.
///
/// ```
/// use charloom::prelude::*;
/// use charloom_plot::{Figure, embedding};
///
/// let mut config = Config::from_toml("model.hidden = [8]", "my.toml".as_ref())?;
/// let data = load_data(&mut config)?;
/// let mut trainer = Trainer::new(&config, &data)?;
/// trainer.step()?;
/// let Figure::Points(points) = embedding(&trainer.checkpoint()?, Some([0, 1]))? else { panic!("no points") };
/// assert_eq!((points.points.len(), points.points[1].label.as_str()), (27, "a"));
/// # Ok::<(), Error>(())
/// ```
pub fn embedding(checkpoint: &Checkpoint, dims: Option<[usize; 2]>) -> Result<Figure> {
    let found = EMBEDDINGS.iter().find_map(|name| checkpoint.tensor(name));
    let table = found.and_then(|tensor| Some((tensor, tensor.as_f32()?)));
    let Some((tensor, data)) = table else {
        let message = "the model has no embedding (it is an n-gram model, a mixture, linear, or ``embed`` 0); \
                       'plot RUN bigram' shows what follows what";
        return Err(Error::usage(message));
    };
    let width = tensor.shape.get(1).copied().unwrap_or(0);
    if width == 0 || data.len() != checkpoint.vocab.len() * width {
        return Err(Error::Failed(format!("{} does not fit the vocabulary", tensor.name)));
    }
    let rows: Vec<Vec<f64>> =
        data.chunks_exact(width).map(|row| row.iter().map(|&x| f64::from(x)).collect()).collect();
    if let Some(dim) = dims.into_iter().flatten().find(|&dim| dim >= width) {
        let message = format!("{dim}: the embedding has dimensions 0 to {}", width - 1);
        return Err(Error::setting("dims", message));
    }
    let (places, labels) = match (width, dims) {
        (_, Some([a, b])) => {
            let places = rows.iter().map(|row| [row[a], row[b]]).collect();
            (places, [a, b].map(|dim| format!("dimension {dim}")))
        }
        (1, None) => {
            (rows.iter().map(|row| [row[0], 0.0]).collect(), ["dimension 0".to_owned(), String::new()])
        }
        (2, None) => (
            rows.iter().map(|row| [row[0], row[1]]).collect(),
            ["dimension 0", "dimension 1"].map(str::to_owned),
        ),
        (_, None) => {
            let (places, shares) = principal(&rows);
            let name = |i: usize| format!("component {} ({:.0} % of the variance)", i + 1, shares[i] * 100.0);
            (places, [name(0), name(1)])
        }
    };
    let [x_label, y_label] = labels;
    let characters = checkpoint.vocab.characters().iter().enumerate();
    let points: Vec<Point> = characters
        .zip(&places)
        .map(|((i, &character), &[x, y])| Point {
            label: visible(character),
            x,
            y,
            group: group(&checkpoint.vocab, i, character),
        })
        .collect();
    Ok(Figure::Points(Points {
        title: format!("Embedding of {} characters, {width} dimensions", points.len()),
        x_label,
        y_label,
        groups: ["consonants and others", "vowels", "boundary"].map(str::to_owned).to_vec(),
        points,
    }))
}

fn group(vocab: &Vocab, token: usize, character: char) -> usize {
    if vocab.boundary() == Some(token as u32) || character == '\n' {
        return 2;
    }
    // An accented letter counts as the letter without its accent.
    let first = std::iter::once(character).nfd().next().unwrap_or(character);
    usize::from("aeiouyæœøаеёиоуыэюяіїєαεηιουω".contains(first.to_lowercase().next().unwrap_or(first)))
}

/// Principal component analysis: each row's coordinates along the two directions of greatest variance, and
/// each direction's share of the whole variance.
///
/// The signs are such that in each direction the coordinate of largest magnitude is positive.
///
/// # Shapes
/// rows: (n, d)
///
/// # Source
/// The eigenvectors of the smaller of X^T X (d, d) and X X^T (n, n), X the rows less their mean.
#[must_use]
pub fn principal(rows: &[Vec<f64>]) -> (Vec<[f64; 2]>, [f64; 2]) {
    let (n, d) = (rows.len(), rows.first().map_or(0, Vec::len));
    let mean: Vec<f64> =
        (0..d).map(|j| rows.iter().map(|row| row[j]).sum::<f64>() / n.max(1) as f64).collect();
    let centred: Vec<Vec<f64>> =
        rows.iter().map(|row| row.iter().zip(&mean).map(|(x, m)| x - m).collect()).collect();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    let by_rows = n < d;
    let gram: Vec<Vec<f64>> = if by_rows {
        centred.iter().map(|a| centred.iter().map(|b| dot(a, b)).collect()).collect()
    } else {
        let column = |j: usize| -> Vec<f64> { centred.iter().map(|row| row[j]).collect() };
        let columns: Vec<Vec<f64>> = (0..d).map(column).collect();
        columns.iter().map(|a| columns.iter().map(|b| dot(a, b)).collect()).collect()
    };
    let total: f64 = (0..gram.len()).map(|i| gram[i][i]).sum();
    let (values, vectors) = eigen(gram);
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
    let (mut places, mut shares) = (vec![[0.0; 2]; n], [0.0; 2]);
    for (k, &which) in order.iter().take(2).enumerate() {
        let vector: Vec<f64> = vectors.iter().map(|row| row[which]).collect();
        // The coordinates are X v for an eigenvector v of X^T X, and u sqrt(lambda) for a u of X X^T.
        let scores: Vec<f64> = if by_rows {
            vector.iter().map(|u| u * values[which].max(0.0).sqrt()).collect()
        } else {
            centred.iter().map(|row| dot(row, &vector)).collect()
        };
        let largest = scores.iter().copied().fold(0.0, |a: f64, b| if b.abs() > a.abs() { b } else { a });
        let sign = if largest < 0.0 { -1.0 } else { 1.0 };
        places.iter_mut().zip(scores).for_each(|(place, score)| place[k] = sign * score);
        shares[k] = if total > 0.0 { values[which].max(0.0) / total } else { 0.0 };
    }
    (places, shares)
}

/// Eigenvalues of a symmetric matrix, and its eigenvectors as columns: Jacobi's rotations, until the elements
/// off the diagonal are negligible.
fn eigen(mut a: Vec<Vec<f64>>) -> (Vec<f64>, Vec<Vec<f64>>) {
    let n = a.len();
    let mut vectors: Vec<Vec<f64>> =
        (0..n).map(|i| (0..n).map(|j| f64::from(u8::from(i == j))).collect()).collect();
    let size: f64 = a.iter().flatten().map(|x| x * x).sum();
    for _ in 0..SWEEPS {
        let off: f64 = (0..n).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| a[i][j] * a[i][j]).sum();
        if off <= size * 1e-24 {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                if a[p][q] == 0.0 {
                    continue;
                }
                let theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
                let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let c = 1.0 / (t * t + 1.0).sqrt();
                let s = t * c;
                for row in a.iter_mut().chain(vectors.iter_mut()) {
                    (row[p], row[q]) = (c * row[p] - s * row[q], s * row[p] + c * row[q]);
                }
                let (upper, lower) = a.split_at_mut(q);
                for (x, y) in upper[p].iter_mut().zip(&mut lower[0]) {
                    (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
                }
            }
        }
    }
    ((0..n).map(|i| a[i][i]).collect(), vectors)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Points along a line in three dimensions, with small deviations across it.
    #[test]
    fn the_first_component_is_where_the_points_differ_most() {
        let along = [1.0, 2.0, 2.0].map(|x| x / 3.0);
        let across = [2.0, 1.0, -2.0].map(|x| x / 3.0);
        let coordinates = [(-3.0, 0.1), (-1.0, -0.1), (1.0, -0.1), (3.0, 0.1)];
        let rows: Vec<Vec<f64>> = coordinates
            .iter()
            .map(|(s, t)| (0..3).map(|i| 5.0 + s * along[i] + t * across[i]).collect())
            .collect();
        // Also with d > n, so that both matrices are tested.
        for padding in [0, 4] {
            let rows: Vec<Vec<f64>> =
                rows.iter().map(|row| [row.as_slice(), &vec![7.0; padding]].concat()).collect();
            let (places, shares) = principal(&rows);
            let sign = places[3][0].signum();
            for (place, (s, t)) in places.iter().zip(coordinates) {
                assert!((place[0] * sign - s).abs() < 1e-9, "{place:?}");
                assert!((place[1].abs() - f64::abs(t)).abs() < 1e-7, "{place:?}");
            }
            assert!((shares[0] - 20.0 / 20.04).abs() < 1e-9, "{shares:?}");
        }
    }

    #[test]
    fn vowels_and_the_boundary_are_told_apart() {
        let vocab = Vocab::new(charloom::data::Mode::Lines, "abé".chars());
        let groups: Vec<usize> =
            vocab.characters().iter().enumerate().map(|(i, &c)| group(&vocab, i, c)).collect();
        assert_eq!(groups, [2, 1, 0, 1]);
    }
}

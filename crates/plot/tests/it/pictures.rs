//! Pictures: well-formed, in outlines, the same everywhere.

use charloom::data::Mode;
use charloom::data::Vocab;
use charloom::{Checkpoint, Config};
use charloom_plot::{Cell, Figure, Heat, Lines, Point, Points, Series, Theme, embedding, surprise, weights};
use charloom_tensor::rng::TorchGenerator;

const DANGEROUS: &str = "</title>\u{1}\u{0}<&\"'\u{fffe}\u{1f600}é";

fn figures() -> Vec<Figure> {
    let name = DANGEROUS.to_owned();
    let series = |points| Series { name: name.clone(), color: 11, faint: false, points };
    let lines = |series| {
        Figure::Lines(Lines {
            title: name.clone(),
            x_label: name.clone(),
            y_label: name.clone(),
            series,
            ..Lines::default()
        })
    };
    let cell = |value| Cell { value, text: name.clone(), note: name.clone() };
    vec![
        lines(vec![
            series(vec![(0.0, 3.0), (1.0, f64::NAN), (2.0, 2.0), (3.0, 1.0)]),
            series(vec![(1.0, 1.0)]),
        ]),
        lines(vec![]),
        lines(vec![series(vec![(5.0, f64::INFINITY)])]),
        lines(vec![series(vec![(1e300, -1e300), (-1e300, 1e300)])]),
        lines(vec![series((0..100_000).map(|i| (f64::from(i), f64::from(i % 977))).collect())]),
        Figure::Points(Points {
            title: name.clone(),
            x_label: name.clone(),
            y_label: name.clone(),
            groups: vec![name.clone(); 12],
            points: vec![Point { label: name.clone(), x: 1.0, y: f64::NAN, group: 1 }; 2],
        }),
        Figure::Heat(Heat {
            title: name.clone(),
            rows: vec![name.clone()],
            gaps: [1, 2],
            full: None,
            cells: vec![vec![cell(-1.0), cell(f64::NAN), cell(0.5)], vec![], vec![cell(0.0)]],
        }),
        Figure::Heat(Heat { title: name, rows: vec![], gaps: [0, 0], full: None, cells: vec![] }),
    ]
}

#[test]
fn any_figure_is_a_well_formed_svg_of_outlines() {
    for figure in figures() {
        let svg = figure.to_svg(Theme::Dark).unwrap();
        let document = roxmltree::Document::parse(&svg).unwrap_or_else(|error| panic!("{error} in {svg}"));
        let mut known = std::collections::HashSet::new();
        for node in document.descendants() {
            assert!(!["script", "image", "style"].contains(&node.tag_name().name()), "{:?}", node.tag_name());
            // Only what the font lacks is left to the reader's own.
            let said = node.text().unwrap_or_default();
            assert!(node.tag_name().name() != "text" || !said.is_ascii(), "{said:?} is no outline");
            known.extend(node.attribute("id").map(|id| format!("#{id}")));
            // Every letter is there, and before it is used.
            assert!(node.attribute("href").is_none_or(|href| known.contains(href)));
        }
        assert!(svg.len() < 200_000, "{} bytes", svg.len());
        assert_eq!(svg, figure.to_svg(Theme::Dark).unwrap());
        assert_ne!(svg, figure.to_svg(Theme::Light).unwrap());
        assert!(figure.to_svg_of_page("x").unwrap().contains("var(--paper)"));
    }
}

#[test]
fn any_figure_is_a_png_and_a_text_for_80_columns() {
    for figure in figures() {
        let decode = |theme| tiny_skia::Pixmap::decode_png(&figure.to_png(theme).unwrap()).unwrap();
        let (light, dark) = (decode(Theme::Light), decode(Theme::Dark));
        assert!(light.width() > 100 && light.height() > 40);
        let corner = |map: &tiny_skia::Pixmap| map.pixel(0, 0).unwrap().red();
        assert_eq!((corner(&light), corner(&dark)), (0xff, 0x14));
        let paper = light.pixel(0, 0);
        let inked = light.pixels().iter().filter(|&&pixel| Some(pixel) != paper).count();
        assert!(inked > 100, "nothing is drawn");
        for colored in [false, true] {
            assert!(figure.to_terminal(80, 22, colored).lines().count() >= 1);
        }
    }
    let lines = &figures()[0];
    for columns in [40, 80, 200] {
        let shown = lines.to_terminal(columns, 22, false);
        let widest = shown.lines().skip(1).map(|line| line.chars().count()).max().unwrap();
        assert!((columns as usize - 4..=columns as usize).contains(&widest), "{widest} of {columns}");
        assert_eq!(shown.lines().count(), 22);
        assert_eq!(figures()[5].to_terminal(columns, 22, false).lines().count(), 22);
    }
}

/// A checkpoint of an untrained network.
fn checkpoint(model: &str) -> Checkpoint {
    let config = Config::from_toml(model, "test".as_ref()).unwrap();
    let vocab = Vocab::new(Mode::Lines, 'a'..='z');
    let model = charloom::models::Neural::new(&config, vocab.len(), &mut TorchGenerator::new(1)).unwrap();
    Checkpoint { config, vocab, step: 0, metrics_bytes: 0, tensors: model.tensors(), state: Vec::new() }
}

#[test]
fn two_dimensions_are_shown_as_they_are() {
    let two = checkpoint("[model]\nembed = 2");
    let Figure::Points(points) = embedding(&two, None).unwrap() else { panic!("no points") };
    let table = two.tensor("embedding.weight").unwrap().as_f32().unwrap();
    assert_eq!(points.points[3].label, "c");
    assert_eq!((points.points[3].x, points.points[3].y), (table[6].into(), table[7].into()));
    let groups: Vec<usize> = points.points[..3].iter().map(|point| point.group).collect();
    assert_eq!(groups, [2, 1, 0]);
    let refused = embedding(&checkpoint("[model]\nkind = 'linear'"), None).unwrap_err();
    assert!(matches!(refused, charloom::Error::Usage { .. }), "{refused:?}");
}

#[test]
fn a_unit_is_a_tile_of_its_weights() {
    let checkpoint = checkpoint("[model]\nembed = 5\ncontext = 3\nhidden = [30]");
    let Figure::Heat(heat) = weights(&checkpoint, 0).unwrap() else { panic!("no table") };
    let data = checkpoint.tensor("layers.0.weight").unwrap().as_f32().unwrap();
    // 19 tiles of 5 columns in a row; unit 20 is the second of the second row.
    assert_eq!((heat.gaps, heat.cells[0].len(), heat.cells.len()), ([3, 5], 95, 6));
    assert_eq!(heat.cells[3 + 2][5 + 4].value, f64::from(data[20 * 15 + 2 * 5 + 4]));
    assert_eq!(heat.cells[3].len(), 55);
    let refused = weights(&checkpoint, 7).unwrap_err().to_string();
    assert!(refused.contains("layers.0.weight") && refused.contains("layers.2.weight"), "{refused}");
}

#[test]
fn surprise_is_in_bits() {
    let model = charloom::models::Neural::from_checkpoint(
        &checkpoint("[model]\noutput_scale = 0.0\nhidden = [4]"),
        "x".as_ref(),
    )
    .unwrap();
    let vocab = Vocab::new(Mode::Lines, 'a'..='z');
    let Figure::Heat(heat) = surprise(&model, &vocab, &["ab".to_owned()]).unwrap() else {
        panic!("no table")
    };
    let cells: Vec<&str> = heat.cells[0].iter().map(|cell| cell.text.as_str()).collect();
    assert_eq!(cells, ["a", "b", "."]);
    // Untrained, every character is as likely as any other.
    assert!(heat.cells[0].iter().all(|cell| (cell.value - 27f64.log2()).abs() < 1e-4), "{:?}", heat.cells[0]);
    let Figure::Heat(long) = surprise(&model, &vocab, &["ab".repeat(50)]).unwrap() else {
        panic!("no cells");
    };
    let lengths: Vec<usize> = long.cells.iter().map(Vec::len).collect();
    assert_eq!((lengths, long.rows.len()), (vec![40, 40, 21], 3), "a long word has several rows");
    assert!(surprise(&model, &vocab, &["é".to_owned()]).is_err());
    assert!(surprise(&model, &vocab, &[]).is_err());
}

use charloom::evaluation::Evaluation;
use ratatui::backend::TestBackend;

use super::*;

fn screen(view: &View) -> String {
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
    terminal.draw(|frame| view.draw(frame)).unwrap();
    let cells = terminal.backend().buffer().content();
    cells.chunks(80).map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>() + "\n").collect()
}

#[test]
fn everything_fits_on_80_by_24() {
    let mut view = View { title: "runs/mlp".to_owned(), steps: 10_000, stride: 1, ..View::default() };
    assert!(screen(&view).contains("step 0 of 10000"), "before the first step");
    for step in 0..5000u64 {
        let loss = 2.0 + 1.3 * (-(step as f32) / 500.0).exp();
        view.take(&Event::Step { step, loss, lr: 0.1 });
    }
    let val = Some(Evaluation::new(2.1234, 10));
    view.take(&Event::Evaluated { step: 5000, train: Some(Evaluation::new(2.0567, 10)), val, best: true });
    assert!(!screen(&view).contains("evaluating"));
    view.evaluating = evaluating("val", 0.25);
    assert!(screen(&view).contains("evaluating val, 25 %") && screen(&view).contains("step 5000 of 10000"));
    view.stopping = true;
    assert!(
        screen(&view)
            .contains("stops within this evaluation, and saves; Ctrl-C stops at once, without saving")
    );
    view.stopping = false;
    view.samples = vec!["emma".to_owned(), "olivia".to_owned()];
    view.ratios = vec![("layers.0.weight".to_owned(), -2.71)];
    let shown = screen(&view);
    println!("{shown}");
    for part in [
        "step 5000 of 10000 (50 %)",
        "train 2.0567",
        "val 2.1234",
        "lr 1.000e-1",
        "steps/s",
        "emma",
        "olivia",
        "-2.71  layers.0.weight",
        "q stop and save",
        "minibatch",
        "5000",
    ] {
        assert!(shown.contains(part), "no {part:?}");
    }
    assert!(view.losses.len() <= POINTS);
    let curve = shown.chars().filter(|c| ('\u{2801}'..='\u{28ff}').contains(c)).count();
    assert!(curve > 40, "the curve has only {curve} cells");
}

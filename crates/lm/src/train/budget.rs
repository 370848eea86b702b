//! How often a training is evaluated, and on how much: by default in at most a tenth of its time.

use crate::Result;
use crate::config::TrainConfig;
use crate::data::{Split, Splits};
use crate::models::LanguageModel;

/// Evaluations are at most 1/PARTS of a training's work. Work is counted in tokens, not in seconds, so that
/// equal runs evaluate alike: a step is `PASSES * targets` tokens, an evaluation e tokens. So evaluations are
/// at least `ceil(PARTS e / (PASSES targets))` steps apart.
const PARTS: u64 = 10;
/// A step is one forward pass, and a backward pass that costs about two.
const PASSES: u64 = 3;

/// The most characters of a default sample: a larger one would not tell more.
const MAX_SAMPLE: usize = 1 << 18;

/// Fills in `eval_every` and `eval_size`; returns the part of the training split that evaluations score: all
/// of it or, if that exceeds the budget, a sample as large as the validation split. Evaluations come 20 times
/// in a run, or more rarely to keep within the budget. `targets` are those of a step.
pub(super) fn resolve(
    train: &mut TrainConfig,
    model: &dyn LanguageModel,
    splits: &Splits,
    targets: usize,
) -> Result<Split> {
    let step = (targets as u64).saturating_mul(PASSES).max(1);
    let work = |split: &Split| Ok::<_, crate::Error>(model.evaluation_work(split)? as u64);
    let due = |work: u64| work.saturating_mul(PARTS).div_ceil(step);
    let twentieth = (train.steps / 20).max(1);
    let every = train.eval_every.unwrap_or(twentieth);
    let (val, whole) = (work(&splits.val)?, work(&splits.train)?);
    let size = train.eval_size.unwrap_or_else(|| {
        if val == 0 || due(whole + val) <= every { 0 } else { splits.val.tokens().len().min(MAX_SAMPLE) }
    });
    train.eval_size = Some(size);
    let scored = train.sample_of(&splits.train).unwrap_or_else(|| splits.train.clone());
    if train.eval_every.is_none() {
        train.eval_every = Some(due(work(&scored)? + val).max(twentieth).min(train.steps.max(1)));
    }
    Ok(scored)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Data, DataConfig};
    use crate::models::Neural;
    use crate::{Config, train::Trainer};

    fn resolved(toml: &str, text: &str) -> (TrainConfig, [usize; 2]) {
        let config = Config::from_toml(toml, "my.toml".as_ref()).unwrap();
        let corpus = crate::data::Corpus::from_bytes("t", text, &config.data).unwrap();
        let data = Data::of(corpus, &config.data, None).unwrap();
        let trainer = Trainer::new(&config, &data).unwrap();
        let train = trainer.config().train.clone();
        let scored = trainer.sample.clone();
        let model: &Neural = &trainer.into_model();
        let work = [scored, data.splits.val.clone()].map(|split| model.evaluation_work(&split).unwrap());
        (train, work)
    }

    /// A text in which hardly any context occurs twice.
    fn text(characters: usize) -> String {
        let mut x = 1u32;
        let next = |_| {
            x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            char::from_u32(0x4e00 + (x >> 16) % 400).unwrap()
        };
        (0..characters).map(next).collect()
    }

    #[test]
    fn evaluations_are_at_most_a_tenth_of_the_work() {
        let text = text(40_000);
        for steps in [100, 2000, 100_000] {
            let toml = format!("[data]\nmode = \"text\"\n[model]\nhidden = [4]\n[train]\nsteps = {steps}\n");
            let (train, work) = resolved(&toml, &text);
            let every = train.eval_every.unwrap();
            assert!(every >= steps / 20);
            // Without the first and the last, which are always made.
            let evaluations = steps / every - 1;
            let scored = work.iter().sum::<usize>() as u64;
            assert!(evaluations * scored * 10 <= steps * 32 * 3, "{steps}: {evaluations} of {scored}");
            assert_eq!(train.eval_size, Some(if steps == 100_000 { 0 } else { 4000 }), "{steps}");
        }
    }

    #[test]
    fn what_is_asked_for_is_done() {
        let toml = "[data]\nmode = \"text\"\n[model]\nhidden = [4]\n[train]\nsteps = 100\neval_every = 5\neval_size = 0\n";
        let (train, _) = resolved(toml, &text(40_000));
        assert_eq!((train.eval_every, train.eval_size), (Some(5), Some(0)));
    }

    #[test]
    fn a_sample_is_of_all_the_words_and_the_end_of_a_text() {
        let words: String = (0..100).map(|i| format!("{}\n", ["ab", "cd", "ef", "gh"][i / 25])).collect();
        let corpus = |mode| {
            let config =
                DataConfig { mode: Some(mode), split: Some([1.0, 0.0, 0.0]), ..DataConfig::default() };
            let config = DataConfig { shuffle: crate::data::Shuffle::None, ..config };
            Data::of(crate::data::Corpus::from_bytes("t", words.as_str(), &config).unwrap(), &config, None)
                .unwrap()
        };
        let lines = corpus(crate::data::Mode::Lines);
        let sample = lines.splits.train.sample(12);
        assert_eq!(sample.to_text(&lines.vocab), "ab\ncd\nef\ngh\n");
        assert_eq!(lines.splits.train.sample(300), lines.splits.train);
        let text = corpus(crate::data::Mode::Text);
        assert_eq!(text.splits.train.sample(4).to_text(&text.vocab), "\ngh\n");
    }
}

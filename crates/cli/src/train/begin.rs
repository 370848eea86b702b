//! The settings and the run folder of a new or a resumed training.

use std::path::{Path, PathBuf};

use charloom::config::Generator;
use charloom::data::{Data, DataConfig, Mode};
use charloom::ensemble::Ensemble;
use charloom::files::{RunFolder, Timing};
use charloom::models::LanguageModel;
use charloom::size::{self, NGramComparison, Size};
use charloom::train::Training;
use charloom::{Checkpoint, Config, Result, models};

use super::Args;
use crate::output::{self, detail, flags, note};
use crate::setup::load_data;

/// The gain of a mixture, in nats per character, that is worth a note.
const MIN_GAIN: f64 = 0.01;

/// The configuration of preset, file and flags.
pub fn configured(args: &Args) -> Result<Config> {
    let settings = &args.settings;
    let mut config = settings.base(None)?;
    if args.size.is_some() {
        // The flags of model and training are applied by `sized`, above the size's settings.
        settings.data_flags.apply(args.data.get(), &mut config);
    } else {
        settings.apply(args.data.get(), &mut config)?;
    }
    config.train.seeds = args.seeds.unwrap_or(config.train.seeds);
    Ok(config)
}

/// Loads the data, and rebuilds `config`: a size's settings for this data, then the file, then the flags.
pub fn sized(size: Size, args: &Args, config: &mut Config) -> Result<Data> {
    let mut data = Data::load(&config.data, None)?;
    *config = Config { data: config.data.clone(), ..with_recipe(size, args, config, &data)? };
    args.settings.model_flags.apply(config)?;
    args.settings.train_flags.apply(config)?;
    config.train.seeds = args.seeds.unwrap_or(config.train.seeds);
    args.settings.data_flags.check(config)?;
    let split_seed = config.data.split_seed;
    config.resolve_seeds();
    if config.data.split_seed != split_seed {
        data = Data::load(&config.data, None)?;
    }
    charloom::resolve_config(config, &data)?;
    detail("the data is read");
    Ok(data)
}

/// A size's settings for this data, with the file's on top.
fn with_recipe(size: Size, args: &Args, config: &Config, data: &Data) -> Result<Config> {
    let of_file = args.settings.file().map(|_| config.model.kind.as_str());
    let recipe = size::recipe(args.settings.model_flags.kind().or(of_file), size, data)?;
    Config::layered(Some(&recipe), args.settings.file())
}

/// The folder of a run to resume, its last checkpoint, and where its data is.
pub fn resume(path: &Path, args: &Args) -> Result<(RunFolder, Checkpoint, DataConfig)> {
    let (run, mut checkpoint) = RunFolder::resume(path)?;
    if let Some(warning) = run.warning() {
        note(format_args!("warning: {}", flags(warning)));
    }
    let mut config = run.resume_config(&checkpoint.config)?;
    let mut wanted = match args.size {
        None if args.settings.has_base() => args.settings.base(None)?,
        None => config.clone(),
        Some(size) => {
            let moved = args.data.get().map(PathBuf::as_path);
            let data = charloom::reload_data(&config.data, Some(checkpoint.vocab.clone()), path, moved)?;
            with_recipe(size, args, &config, &data)?
        }
    };
    args.settings.apply(args.data.get(), &mut wanted)?;
    models::fill(&mut wanted.model)?;
    config = config.resume_with(&wanted)?;
    if config.train.steps != checkpoint.config.train.steps {
        checkpoint.config.train.steps = config.train.steps;
        run.write_config(&checkpoint.config)?;
    }
    args.settings.data_flags.set_files(&mut config.data);
    let data = charloom::find_data(&config.data, path, args.data.get().map(PathBuf::as_path))?;
    Ok((run, checkpoint, data))
}

/// Prepares an ensemble to be resumed, to more steps if the flags ask for them; returns its data too.
pub fn resume_ensemble(mut ensemble: Ensemble, args: &Args) -> Result<(Ensemble, Data)> {
    let own = ensemble.config().clone();
    let mut wanted = if args.settings.has_base() { args.settings.base(None)? } else { own };
    args.settings.apply(args.data.get(), &mut wanted)?;
    wanted.train.seeds = args.seeds.unwrap_or(wanted.train.seeds);
    models::fill(&mut wanted.model)?;
    ensemble.resume_with(&wanted)?;
    let mut config = ensemble.config().clone();
    args.settings.data_flags.set_files(&mut config.data);
    let moved = args.data.get().map(PathBuf::as_path);
    config.data = charloom::find_data(&config.data, ensemble.path(), moved)?;
    let data = load_data(&mut config)?;
    Ok((ensemble, data))
}

/// Prints which run's weights a new training begins with, and the characters new to them.
pub fn note_new_characters(training: &Training<'_>, args: &Args) {
    let Some(trainer) = training.trainer() else { return };
    if let (Some(run), false) = (&trainer.config().train.init_from, args.resume) {
        let known = match trainer.new_characters() {
            [] => "it knows all characters".to_owned(),
            new => {
                let new: String = new.iter().collect();
                format!("new characters, as drawn: {}", output::shown(&new, Mode::Lines))
            }
        };
        note(format_args!("begins with the weights of {}; {known}", run.display()));
    }
}

pub fn new_run(args: &Args, config: &Config) -> Result<RunFolder> {
    let run = match &args.out {
        Some(path) if args.resume => RunFolder::start(path)?,
        Some(path) => RunFolder::create(path, args.force)?,
        None => {
            let name = args.settings.preset().unwrap_or(&config.model.kind);
            RunFolder::create_next(Path::new("runs"), name)?
        }
    };
    match run.write_config(config) {
        Ok(()) => Ok(run),
        Err(error) => {
            run.remove();
            Err(error)
        }
    }
}

/// After a training without flags, prints how long one for a better model would take.
pub fn note_larger_size(args: &Args, config: &Config, data: &Data, timing: Option<Timing>) -> Result<()> {
    if let Some(Timing { seconds, .. }) = timing {
        let seconds = size::seconds(Size::Medium, config, data, seconds)?;
        let time = if seconds < 60.0 {
            format!("{seconds:.0} seconds")
        } else {
            format!("{:.1} minutes", seconds / 60.0)
        };
        let file = args.data.get().map_or_else(String::new, |path| format!(" {}", path.display()));
        note(format_args!("a better one: charloom train{file} --size medium, about {time} on this machine"));
    }
    Ok(())
}

/// After a training with --size, prints what counts reach and how to mix both, if one of these is better.
pub fn note_ngrams(
    args: &Args,
    model: &dyn LanguageModel,
    config: &Config,
    data: &Data,
    run: &Path,
) -> Result<()> {
    // What a file says of the data, and a split of a shared generator, the flags of the command would not say.
    let is_said = args.settings.file().is_none() && config.train.generator == Generator::Separate;
    if args.size.is_none() || !is_said {
        return Ok(());
    }
    let Some(comparison) = size::compare_with_ngrams(model, config, data)? else { return Ok(()) };
    let NGramComparison { order, counts, mixed, .. } = comparison;
    if counts.min(mixed + MIN_GAIN) >= comparison.model {
        return Ok(());
    }
    let path = args.data.get().map_or_else(String::new, |path| format!(" {}", path.display()));
    let (flags, run) = (args.settings.data_flags.to_flags(config), run.display());
    note(format_args!(
        "counts of n-grams reach {counts:.4} on validation, a mixture of them and this {mixed:.4}: \
         charloom train{path} --model ngram --order {order}{flags} --out {run}-counts; \
         charloom mix {run} {run}-counts --out {run}-mix"
    ));
    Ok(())
}

/// Prints a note if the best weights came before the middle of the training.
pub fn note_overfitting(config: &Config, data: &Data, best: u64) -> Result<()> {
    let train = &config.train;
    let is_early = best < train.steps / 2 && train.patience == 0 && !data.splits.val.is_empty();
    if is_early && !models::has_no_steps(config)? {
        note(format_args!(
            "the validation loss was lowest at step {best} of {}, and those weights are kept; --patience 5 stops \
             soon after that",
            train.steps
        ));
    }
    Ok(())
}

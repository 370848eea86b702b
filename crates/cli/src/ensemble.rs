//! `charloom train --seeds`.

use charloom::Result;
use charloom::data::Data;
use charloom::ensemble::Ensemble;
use charloom::mix::Mix;
use charloom::train::Observer;
use serde_json::json;

use crate::mix;
use crate::output::{Out, note};
use crate::train::{self, Args};
use crate::watch::{self, Watch};

/// Trains the members of an ensemble that are left, mixes all members and prints their losses.
pub fn run(args: &Args, mut ensemble: Ensemble, data: &Data, out: &mut Out) -> Result<()> {
    let path = ensemble.path().to_path_buf();
    let (seeds, steps) = (ensemble.config().train.seeds, ensemble.config().train.steps);
    watch::listen(&path)?;
    let mixed = ensemble.run(data, &watch::STOP, &mut |number, path| {
        note(format_args!("training {number} of {seeds}, in {}", path.display()));
        let watch = Watch::open(args, path, Some([0, steps]), !out.json)?;
        Ok((args.fit(), Box::new(watch) as Box<dyn Observer>))
    });
    let mixed = mixed.map_err(|error| train::explain_full_disk(error, &path))?;
    let Some(mixed) = mixed else {
        watch::note_stopped(&path, None);
        return train::stopped(&path, out);
    };
    let samples = train::write_samples(&mixed.model, &mixed.data, ensemble.folder());
    let samples = samples.map_err(|error| train::explain_full_disk(error, &path))?;
    if out.json {
        let Mix { checkpoint, model, data, members, .. } = &mixed;
        let mut object = train::object(model, &checkpoint.config, data, &path, &samples)?;
        object["members"] = json!(members);
        out.object(&object)?;
    } else {
        mix::print(&mixed, &path, out)?;
    }
    train::note_saved(&path, &mixed.data);
    if mixed.evaluation.is_some() {
        let runs: String = mixed.members.iter().map(|member| format!("{} ", member.run.display())).collect();
        let path = path.display();
        note(format_args!(
            "all weigh the same; weights fitted to validation: charloom mix {runs}--out {path}-mix"
        ));
    }
    Ok(())
}

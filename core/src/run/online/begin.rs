//! An online run from the bytes of its files, begun or gone on with: what a front end does that has no file system.

use super::{OnlineInputs, OnlineOptions, OnlinePlan};
use crate::error::Result;
use crate::gpu::Gpu;
use crate::online::Rewards;
use crate::run::files::ModelFiles;
use crate::run::given::Given;
use crate::run::options::Options;
use crate::run::store::Store;
use crate::run::{Run, Setup, Weights, settings};
use crate::train::checkpoint::device_name;
use crate::train::tune::Tuned;

impl<S: Store> Run<S> {
    /// [`Run::start`] of a run that draws its own completions, which `rewards` judge.
    ///
    /// # Errors
    /// As [`Run::start`].
    pub async fn start_online(
        gpu: &Gpu,
        store: S,
        given: Given,
        (options, online): (Options, &OnlineOptions),
        rewards: Rewards,
        tuned: &mut Tuned,
    ) -> Result<Run<S>> {
        let plan = planned(gpu, &given, options, online, rewards)?;
        given.save(&store).await?;
        let weights = Weights::take(&given.name, given.model)?;
        let model = plan.load(gpu, &weights)?;
        let likely = plan.likely();
        let setup = Setup::online(gpu, plan, &weights.sha256())?;
        drop(weights);
        let variants = tuned.variants(gpu, &setup.config, &model, &likely).await?;
        Run::open(gpu, store, setup, model, None, Some(variants), None).await
    }

    /// [`Run::resume`] of such a run; `rewards` makes those that its config.json names, with their weights.
    ///
    /// # Errors
    /// As [`Run::resume`].
    pub async fn resume_online(
        gpu: &Gpu,
        store: S,
        rewards: impl FnOnce(&[String], &[f64]) -> Result<Rewards>,
        tuned: &mut Tuned,
    ) -> Result<Option<Run<S>>> {
        let config = settings::must_be_saved(&store).await?;
        let given = Given::load(&store, &config).await?;
        let (options, online) = OnlineOptions::of_config(&config)?;
        let rewards = rewards(&online.rewards, &online.reward_weights)?;
        let plan = planned(gpu, &given, options, &online, rewards)?;
        let weights = Weights::take(&given.name, given.model)?;
        let (shape, likely) = (plan.inputs.model.config.clone(), plan.likely());
        let positions = plan.inputs.positions(plan.online.max_new_tokens);
        let setup = Setup::online(gpu, plan, &weights.sha256())?;
        let point = setup.point(&store).await?;
        let load = |weights: &Weights| weights.load(gpu, &shape, positions);
        let (model, reference) = match &point {
            Some(point) if setup.is_finished(&store, point).await? => return Ok(None),
            Some(point) => (load(&point.weights)?, Some(load(&weights)?)),
            None => (load(&weights)?, None),
        };
        drop(weights);
        let variants = match &point {
            Some(point) if point.state.device == device_name(gpu) => None,
            _ => Some(tuned.variants(gpu, &setup.config, &model, &likely).await?),
        };
        Run::open(gpu, store, setup, model, reference, variants, point).await.map(Some)
    }
}

fn planned(
    gpu: &Gpu,
    given: &Given,
    options: Options,
    online: &OnlineOptions,
    rewards: Rewards,
) -> Result<OnlinePlan> {
    let Given { name, model, data, prompts, eval_prompts, .. } = given;
    let model = ModelFiles::parse(name, model)?;
    let (prompts, eval) = (prompts.as_ref(), eval_prompts.as_ref());
    let inputs = OnlineInputs::read(model, prompts, eval, data, &options, online, rewards)?;
    OnlinePlan::new(gpu, inputs, options, online, None)
}

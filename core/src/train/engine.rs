//! A model with the buffers and plans that score and train micro-batches: shared by training, evaluation and `score`.

use std::collections::HashMap;
use std::ops::Range;

use super::micro::Recording;
use super::optimizer::Optimizer;
use crate::data::batch::{Batch, Load, Shape, bucket, pack};
use crate::data::sets::ranges;
use crate::data::trajectory::Trajectory;
use crate::error::Result;
use crate::gpu::buffer::WORD;
use crate::gpu::{Arena, Gpu, Plan, Recorder, Together, View};
use crate::model::Model;
use crate::model::batch_io::{Inputs, Known};
use crate::model::critic::Critic;
use crate::model::head::BUDGET;
use crate::objective::Objective;
use crate::ops::Variants;
use crate::platform::now;

/// Micro-batches at most whose scores come back together.
pub(crate) const SCORED: usize = 64;

/// The model's opinion of one trajectory, or its critic's.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scored {
    /// Log-prob of each completion token.
    pub logp: Vec<f32>,
    /// Entropy of each of their distributions, in nats.
    pub entropy: Vec<f32>,
    /// Value of the prompt: log-sum-exp of the first completion token's logits.
    pub v1: f32,
    /// Value of each completion token's state by the critic, where it alone was asked.
    pub values: Vec<f32>,
}

/// What decides the sizes of an engine's buffers, and its kernels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EngineConfig {
    /// Tokens of one micro-batch at most, before padding.
    pub micro_batch_tokens: usize,
    /// Trajectories of one micro-batch at most.
    pub trajectories: usize,
    /// kappa.
    pub logit_scale: f32,
    /// Commands of one submit; as many as the measured time allows where not given.
    pub submit_part: Option<usize>,
}

/// What a plan does.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// Scores, as the model does.
    Score,
    /// As the reference does.
    Reference,
    /// As the critic does.
    Value,
    /// An objective, and what a hybrid mixes with.
    Train(Objective, Objective),
}

/// A part of a step: trajectories by their places in it, in whole sets, one set after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MicroBatch {
    pub places: Vec<usize>,
    pub sizes: Vec<usize>, // of the sets
}

/// A model, ready to score and train.
pub struct Engine {
    pub(crate) gpu: Gpu,
    /// The model.
    pub model: Model,
    /// Online: the reference, which shares all but the weights with it.
    pub(crate) reference: Option<Model>,
    /// Of ppo.
    pub(crate) critic: Option<Critic>,
    pub(crate) io: Inputs,
    pub(crate) variants: Variants,
    config: EngineConfig,
    arena: Arena,
    plans: HashMap<(Kind, Shape), Plan>,
}

impl Engine {
    /// Buffers for micro-batches of `config`'s size; kernels by the table where no `variants` are given.
    ///
    /// # Errors
    /// [`crate::ErrorKind::TooLarge`] when the device has no room.
    pub fn new(gpu: &Gpu, model: Model, config: EngineConfig, variants: Option<Variants>) -> Result<Engine> {
        let tokens = bucket(config.micro_batch_tokens);
        let most = Shape { tokens, rows: tokens, trajectories: config.trajectories + 1 };
        let io = Inputs::new(gpu, most)?;
        let variants = variants.unwrap_or_else(|| Variants::table(gpu.caps(), model.config.head_dim));
        Ok(Engine {
            gpu: gpu.clone(),
            model,
            reference: None,
            critic: None,
            io,
            variants,
            config,
            arena: Arena::default(),
            plans: HashMap::new(),
        })
    }

    /// The padded shape of a batch: few shapes, so few plans.
    pub(crate) fn shape(&self, batch: &Batch) -> Shape {
        let Shape { tokens, rows, .. } = batch.shape();
        // One more trajectory owns the padding rows.
        Shape { tokens: bucket(tokens), rows: bucket(rows), trajectories: self.config.trajectories + 1 }
    }

    /// Micro-batches of `trajectories`, which stand in sets of `sizes`, one set after the other: at most the budget's tokens
    /// and the most trajectories each, and no set in two of them.
    ///
    /// # Errors
    /// [`crate::ErrorKind::TooLarge`] when one set exceeds the budget.
    pub(crate) fn micro_batches(
        &self,
        trajectories: &[&Trajectory],
        sizes: &[usize],
    ) -> Result<Vec<MicroBatch>> {
        let ranges = ranges(sizes.iter().copied());
        let load = |set: &Range<usize>| Load {
            tokens: trajectories[set.clone()].iter().map(|t| t.tokens.len()).sum(),
            trajectories: set.len(),
        };
        let loads: Vec<Load> = ranges.iter().map(load).collect();
        let budget = Load { tokens: self.config.micro_batch_tokens, trajectories: self.config.trajectories };
        let whole = |sets: Vec<usize>| MicroBatch {
            places: sets.iter().flat_map(|&set| ranges[set].clone()).collect(),
            sizes: sets.iter().map(|&set| sizes[set]).collect(),
        };
        Ok(pack(&loads, budget)?.into_iter().map(whole).collect())
    }

    /// Bytes of the buffers behind the plans' tensors.
    pub fn arena(&self) -> &Arena {
        &self.arena
    }

    /// Gives it a critic that says 0.
    ///
    /// # Errors
    /// [`crate::ErrorKind::TooLarge`] when the device has no room.
    pub(crate) fn add_critic(&mut self) -> Result<()> {
        let rows = bucket(self.config.micro_batch_tokens);
        self.critic = Some(Critic::new(&self.gpu, &self.model, rows)?);
        Ok(())
    }

    /// Writes a micro-batch, padded to a plan's shape, and what is known besides.
    pub(crate) fn upload(&self, batch: &Batch, known: &Known) {
        self.io.upload(&self.gpu, batch, known);
        if let (Some(critic), Some(critique)) = (&self.critic, &known.critique) {
            critic.upload(&self.gpu, critique);
        }
    }

    /// From now on records with other kernels.
    pub(crate) fn use_variants(&mut self, variants: Variants) {
        self.variants = variants;
        self.plans.clear();
    }

    /// The reference becomes the model as it stands.
    ///
    /// # Errors
    /// [`crate::ErrorKind::TooLarge`] when the device has no room for its weights.
    pub(crate) fn freeze_reference(&mut self) -> Result<()> {
        let reference = match self.reference.take() {
            Some(reference) => reference,
            None => self.model.with_weights(&self.gpu, "reference")?,
        };
        self.reference = Some(reference);
        let to = self.reference.as_ref().expect("just set");
        to.weights.copy_from(&self.gpu, &self.model.weights)
    }

    fn recording(&self, kind: Kind) -> Recording<'_> {
        let model = match (kind, &self.reference) {
            (Kind::Reference, Some(reference)) => reference,
            _ => &self.model,
        };
        Recording {
            gpu: &self.gpu,
            model,
            io: &self.io,
            critic: self.critic.as_ref(),
            variants: self.variants,
            kappa: self.config.logit_scale,
            head_budget: BUDGET,
        }
    }

    fn plan(
        &mut self,
        kind: Kind,
        shape: Shape,
        record: impl FnOnce(Recording<'_>) -> Recorder,
    ) -> Result<&Plan> {
        if !self.plans.contains_key(&(kind, shape)) {
            let plan = record(self.recording(kind)).finish(&self.gpu, &mut self.arena)?;
            self.plans.insert((kind, shape), plan);
        }
        Ok(&self.plans[&(kind, shape)])
    }

    fn score_plan(&mut self, kind: Kind, shape: Shape) -> Result<&Plan> {
        self.plan(kind, shape, |recording| match kind {
            Kind::Value => recording.values(shape),
            _ => recording.score(shape),
        })
    }

    /// The plan that adds the gradients of micro-batches of `shape`, for an objective and what a hybrid mixes with.
    pub(crate) fn train_plan(
        &mut self,
        shape: Shape,
        (objective, other): (Objective, Objective),
        step: &View,
        optimizer: &Optimizer,
    ) -> Result<&Plan> {
        self.plan(Kind::Train(objective, other), shape, |recording| {
            recording.train(shape, (objective, other), step, optimizer)
        })
    }

    /// Commands of one submit, where given.
    pub(crate) fn submit_part(&self) -> Option<usize> {
        self.config.submit_part
    }

    /// What scoring reads back of each row.
    fn columns(&self, kind: Kind) -> Vec<&View> {
        match (kind, &self.critic) {
            (Kind::Value, Some(critic)) => vec![&critic.value],
            _ => vec![&self.io.lse, &self.io.chosen, &self.io.entropy],
        }
    }

    /// Scores micro-batches one after the other; their results come back together.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Device`] when the device reported a fault.
    pub(crate) async fn score_together(
        &mut self,
        kind: Kind,
        micro_batches: &[impl AsRef<[&Trajectory]>],
    ) -> Result<Vec<Vec<Scored>>> {
        if micro_batches.is_empty() {
            return Ok(Vec::new());
        }
        let rows = |members: &[&Trajectory]| members.iter().map(|t| t.num_actions()).sum::<usize>();
        let total: usize = micro_batches.iter().map(|members| rows(members.as_ref())).sum();
        let (gpu, part) = (self.gpu.clone(), self.config.submit_part);
        let columns: Vec<View> = self.columns(kind).into_iter().cloned().collect();
        let staging = gpu.staging("scores", (columns.len() * total) as u64 * WORD)?;
        let mut filled = 0;
        for members in micro_batches.iter().map(AsRef::as_ref) {
            let mut batch = Batch::new(members.iter().copied().enumerate());
            let shape = self.shape(&batch);
            batch.pad_to(shape)?;
            self.io.upload(&gpu, &batch, &Known::nothing(shape));
            self.score_plan(kind, shape)?.submit(&gpu, part)?;
            let mut encoder = gpu.encoder("scores");
            for column in &columns {
                let column = column.slice(0, rows(members));
                column.encode_copy(&mut encoder, &staging, filled);
                filled += column.bytes();
            }
            gpu.submit(encoder)?;
        }
        let words: Vec<f32> = bytemuck::pod_collect_to_vec(&gpu.map(&staging, filled).await?);
        let mut rest = words.as_slice();
        let scored = micro_batches.iter().map(|members| {
            let members = members.as_ref();
            let (words, after) = rest.split_at(columns.len() * rows(members));
            rest = after;
            match kind {
                Kind::Value => values_of(members, words),
                _ => columns_of(members, words),
            }
        });
        Ok(scored.collect())
    }

    /// Scores `trajectories`, in order; `progress` is told how many are done.
    ///
    /// # Errors
    /// As [`Engine::new`], and [`crate::ErrorKind::Device`] when the device reported a fault.
    pub async fn score(
        &mut self,
        trajectories: &[&Trajectory],
        progress: impl FnMut(usize),
    ) -> Result<Vec<Scored>> {
        self.score_as(Kind::Score, trajectories, progress).await
    }

    /// As [`Engine::score`], by the reference.
    pub(crate) async fn score_reference(&mut self, trajectories: &[&Trajectory]) -> Result<Vec<Scored>> {
        assert!(self.reference.is_some(), "no reference was frozen");
        self.score_as(Kind::Reference, trajectories, |_| {}).await
    }

    /// The critic's values of each token's state.
    pub(crate) async fn values(&mut self, trajectories: &[&Trajectory]) -> Result<Vec<Vec<f32>>> {
        assert!(self.critic.is_some(), "there is no critic");
        let scored = self.score_as(Kind::Value, trajectories, |_| {}).await?;
        Ok(scored.into_iter().map(|scored| scored.values).collect())
    }

    async fn score_as(
        &mut self,
        kind: Kind,
        trajectories: &[&Trajectory],
        mut progress: impl FnMut(usize),
    ) -> Result<Vec<Scored>> {
        let mut scored = vec![Scored::default(); trajectories.len()];
        let mut together = Together::new(&self.gpu, SCORED);
        let alone = vec![1; trajectories.len()];
        let micro_batches: Vec<Vec<usize>> =
            self.micro_batches(trajectories, &alone)?.into_iter().map(|micro| micro.places).collect();
        let (mut rest, mut done) = (micro_batches.as_slice(), 0);
        while !rest.is_empty() {
            let (now_scored, after) = rest.split_at(together.count().min(rest.len()));
            rest = after;
            let member = |place: &usize| trajectories[*place];
            let members: Vec<Vec<&Trajectory>> =
                now_scored.iter().map(|places| places.iter().map(member).collect()).collect();
            let began = now();
            let results = self.score_together(kind, &members).await?;
            together.came(members.len(), now() - began);
            for (place, result) in now_scored.iter().flatten().zip(results.into_iter().flatten()) {
                scored[*place] = result;
                done += 1;
            }
            progress(done);
        }
        Ok(scored)
    }
}

/// The scores in the columns `lse`, `chosen` and `entropy`, each with a row per completion token of `members`.
fn columns_of(members: &[&Trajectory], columns: &[f32]) -> Vec<Scored> {
    let rows = columns.len() / 3;
    let [lse, chosen, entropy] = [0, 1, 2].map(|column| &columns[column * rows..][..rows]);
    let mut end = 0;
    let one = |trajectory: &&Trajectory| {
        let rows = end..end + trajectory.num_actions();
        end = rows.end;
        Scored {
            logp: rows.clone().map(|row| chosen[row] - lse[row]).collect(),
            v1: lse[rows.start],
            entropy: entropy[rows].to_vec(),
            values: Vec::new(),
        }
    };
    members.iter().map(one).collect()
}

/// The critic's values, a row per completion token of `members`.
fn values_of(members: &[&Trajectory], values: &[f32]) -> Vec<Scored> {
    let mut rest = values;
    let one = |trajectory: &&Trajectory| {
        let (values, after) = rest.split_at(trajectory.num_actions());
        rest = after;
        Scored { values: values.to_vec(), ..Scored::default() }
    };
    members.iter().map(one).collect()
}

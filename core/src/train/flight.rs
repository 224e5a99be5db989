//! Steps on their way: their statistics come back through a ring of staging buffers while later steps run, those of one
//! step or of several together.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::config::TrainConfig;
use super::metrics::{Means, Metrics, TrajectoryStats};
use crate::data::trajectory::{Trajectory, place};
use crate::error::{Error, ErrorKind, Result};
use crate::gpu::buffer::Buffer;
use crate::gpu::{Gpu, Mapped, Ring, Together, View};
use crate::model::batch_io::stats_width;
use crate::objective::Back;
use crate::platform::now;

/// Readbacks that may be on their way at a time.
pub(crate) const DEPTH: usize = 2;

/// Steps at most that come back together.
const MOST: usize = 64;

/// What a step's metrics need to know of a trajectory besides the device's statistics.
#[derive(Clone, Debug)]
struct Member {
    file: Arc<str>,
    line: usize,
    tokens: usize,
    actions: usize,
    truncated: bool,
    reward: Option<f64>,
}

/// What the host knows of a step whose statistics are on their way.
#[derive(Clone, Debug)]
pub(crate) struct Landing {
    step: u64, // from 0
    epoch: u64,
    learning_rate: f64,
    members: Vec<Member>,
    sizes: Vec<usize>, // of the sets that the members stand in
    more: BTreeMap<String, f64>,
    seconds: f64,
}

/// A step that is back: what the host knows of it, its trajectories' statistics, and the gradient's norm.
pub(crate) type Landed = (Landing, Vec<TrajectoryStats>, f64);

/// Steps on their way, the oldest first.
pub(crate) struct Flight {
    bytes: u64,         // of the steps that come back together
    ring: Option<Ring>, // made at the first step: a rehearsal has none
    together: Together,
    /// The staging buffer of the steps that are being submitted, and how much of it is filled, in bytes.
    current: Option<(Buffer, u64)>,
    /// The steps in it that are submitted.
    boarded: Vec<Landing>,
    under_way: VecDeque<(Vec<Landing>, Mapped)>,
    last: f64,
}

impl Flight {
    /// For steps of up to `batch` trajectories.
    pub(crate) fn new(gpu: &Gpu, batch: usize) -> Flight {
        let together = Together::new(gpu, MOST);
        let bytes = 4 * (batch * stats_width() + 1) as u64 * together.most() as u64;
        let (current, boarded, under_way) = (None, Vec::new(), VecDeque::new());
        Flight { bytes, ring: None, together, current, boarded, under_way, last: now() }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.under_way.len() >= DEPTH
    }

    /// Copies the statistics of a micro-batch's trajectories behind those of earlier ones.
    pub(crate) fn take_stats<'a>(
        &mut self,
        gpu: &Gpu,
        stats: &View,
        landing: &mut Landing,
        trained: impl Iterator<Item = &'a Trajectory>,
        sizes: &[usize],
    ) -> Result<()> {
        let count: usize = sizes.iter().sum();
        self.copy(gpu, &stats.slice(0, count * stats_width()))?;
        landing.members.extend(trained.map(|t| Member {
            file: t.file.clone(),
            line: t.line,
            tokens: t.tokens.len(),
            actions: t.num_actions(),
            truncated: t.truncated,
            reward: t.reward,
        }));
        landing.sizes.extend(sizes);
        Ok(())
    }

    fn turn(&mut self, gpu: &Gpu) -> Result<Buffer> {
        let ring = match self.ring.take() {
            Some(ring) => ring,
            None => Ring::new(gpu, "metrics", DEPTH + 1, self.bytes)?,
        };
        Ok(self.ring.insert(ring).turn())
    }

    fn copy(&mut self, gpu: &Gpu, view: &View) -> Result<()> {
        let (staging, mut filled) = match self.current.take() {
            Some(current) => current,
            None => (self.turn(gpu)?, 0),
        };
        let mut encoder = gpu.encoder("stats");
        view.encode_copy(&mut encoder, &staging, filled);
        filled += view.bytes();
        self.current = Some((staging, filled));
        gpu.submit(encoder)
    }

    /// The step is submitted: its statistics and the gradient's norm will come back.
    pub(crate) fn depart(&mut self, gpu: &Gpu, norm: &View, landing: Landing) -> Result<()> {
        self.copy(gpu, &norm.slice(0, 1))?;
        self.boarded.push(landing);
        if self.boarded.len() >= self.together.count() {
            self.take_off(gpu);
        }
        Ok(())
    }

    fn take_off(&mut self, gpu: &Gpu) {
        if let Some((staging, filled)) = self.current.take() {
            let mapped = gpu.map(&staging, filled);
            self.under_way.push_back((std::mem::take(&mut self.boarded), mapped));
        }
    }

    /// Waits for the oldest steps that come back together. They share the time evenly.
    pub(crate) async fn land(&mut self) -> Result<Vec<Landed>> {
        let Some((landings, mapped)) = self.under_way.pop_front() else { return Ok(Vec::new()) };
        let words: Vec<f32> = bytemuck::pod_collect_to_vec(&mapped.await?);
        let arrived = now();
        let seconds = arrived - self.last;
        self.last = arrived;
        self.together.came(landings.len(), seconds);
        let (count, mut rest) = (landings.len(), words.as_slice());
        let one = |mut landing: Landing| {
            let (stats, after) = rest.split_at(landing.members.len() * stats_width());
            let (norm, after) = after.split_first().expect("the norm is always there");
            rest = after;
            landing.seconds = seconds / count as f64;
            (landing, TrajectoryStats::rows(stats), f64::from(*norm))
        };
        Ok(landings.into_iter().map(one).collect())
    }

    /// Waits for all steps. They may come back at once: each gets an even share of the time.
    pub(crate) async fn land_all(&mut self, gpu: &Gpu) -> Result<Vec<Landed>> {
        self.take_off(gpu);
        let mut landed = Vec::new();
        while !self.under_way.is_empty() {
            landed.extend(self.land().await?);
        }
        let share = landed.iter().map(|(landing, ..)| landing.seconds).sum::<f64>() / landed.len() as f64;
        landed.iter_mut().for_each(|(landing, ..)| landing.seconds = share);
        Ok(landed)
    }

    /// What follows did not belong to a step: its time is nobody's.
    pub(crate) fn restart_clock(&mut self) {
        self.last = now();
    }
}

impl Landing {
    /// Of the step `step`, from 0; `more` goes into its metrics as it is.
    pub(crate) fn new(step: u64, epoch: u64, learning_rate: f64, more: BTreeMap<String, f64>) -> Landing {
        Landing { step, epoch, learning_rate, members: Vec::new(), sizes: Vec::new(), more, seconds: 0.0 }
    }

    /// Completion tokens of the step.
    pub(crate) fn completion_tokens(&self) -> u64 {
        self.members.iter().map(|m| m.actions as u64).sum()
    }

    /// The step's line of `metrics.jsonl`.
    pub(crate) fn metrics(
        &self,
        config: &TrainConfig,
        stats: &[TrajectoryStats],
        grad_norm: f64,
        num_tokens: u64,
    ) -> Metrics {
        let means = Means::new(stats);
        let count = self.members.len() as f64;
        let tokens: usize = self.members.iter().map(|m| m.tokens).sum();
        let actions = self.completion_tokens() as f64;
        let rewards: Option<Vec<f64>> = self.members.iter().map(|m| m.reward).collect();
        let reward = rewards.as_ref().map(|r| r.iter().sum::<f64>() / count);
        let spread = |r: &Vec<f64>| {
            let mean = r.iter().sum::<f64>() / count;
            (r.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count).sqrt()
        };
        let rho = config.needs().reference.then(|| means.of(|s| s.rho));
        let has_residual = config.objective.has_residual();
        let back =
            |(member, stats): (&Member, _)| Back { stats, actions: member.actions, reward: member.reward };
        let back: Vec<Back<'_>> = self.members.iter().zip(stats).map(back).collect();
        let own = config.objective.metrics(&config.terms, config.beta, &back, &self.sizes);
        let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
        Metrics {
            step: self.step + 1,
            epoch: self.epoch,
            num_tokens,
            loss: stats.iter().map(|s| s.loss).sum(),
            residual: has_residual.then(|| means.of(|s| s.residual)),
            residual_rms: has_residual.then(|| means.of(|s| s.squares).sqrt()),
            rho,
            v1: means.of(|s| s.v1),
            reward,
            reward_std: rewards.as_ref().map(spread),
            kl: rho,
            entropy: stats.iter().map(|s| s.entropy).sum::<f64>() / actions,
            grad_norm,
            learning_rate: self.learning_rate,
            step_time: self.seconds,
            tokens_per_s: tokens as f64 / self.seconds,
            mean_length: actions / count,
            clipped_ratio: self.members.iter().filter(|m| m.truncated).count() as f64 / count,
            more: self.more.clone().into_iter().chain(own).collect(),
        }
    }

    /// The error of a step whose loss or gradient is not finite.
    pub(crate) fn not_finite(&self, stats: &[TrajectoryStats], metrics: &Metrics) -> Error {
        let places: Vec<String> = self
            .members
            .iter()
            .zip(stats)
            .filter(|(_, s)| !s.is_finite())
            .map(|(member, _)| place(&member.file, member.line))
            .collect();
        let whose = match places.as_slice() {
            [] => "no single trajectory's: the gradient overflowed".to_owned(),
            places => format!("trajectories of {}", places.join(", ")),
        };
        Error::new(
            ErrorKind::NotFinite,
            format!(
                "step {}: loss {} and gradient norm {} are not both finite; {whose}",
                metrics.step, metrics.loss, metrics.grad_norm
            ),
            "the weights were not updated and the last checkpoint is good: lower `learning_rate`, raise `beta`, or look at those \
             records, then start again",
        )
    }
}

//! An objective with its settings, as a comparison trains it.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::error::{Error, ErrorKind, Result};
use crate::objective::{Objective, Together};
use crate::online::TrainOn;
use crate::run::{OnlineOptions, Options};
use crate::train::Calibrate;

/// Completions of each prompt for objectives that compare several.
const GROUP: usize = 4;

/// The learning rate where none is given and none was tuned: what tbrm was best with on the embedded tasks, and the others near their best.
const LEARNING_RATE: f64 = 3e-4;

/// The beta of tbrm on rewards of 0 and 1 with completions of a few tokens, as in the demo.
const BETA: f64 = 0.1;

/// A contender: what is minimised, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Arm {
    /// What it is called: as it was given.
    pub name: String,
    /// The objective.
    pub objective: Objective,
    /// Completions of each prompt.
    pub rollouts: usize,
    /// Whether all of its completions are written before the first step, by the model as it starts: from logs alone.
    pub logs: bool,
    /// Which completions are trained on.
    pub train_on: TrainOn,
    /// What is subtracted from V_1.
    pub calibrate: Calibrate,
    /// As in a run's settings; the objective's own where not given.
    pub beta: Option<f64>,
    /// As in a run's settings; the objective's own where not given.
    pub kl_coefficient: Option<f64>,
    /// As in a run's settings.
    pub learning_rate: f64,
    /// Whether the learning rate was given with the name: then it is not tuned.
    pub fixed: bool,
}

impl Arm {
    /// The same at another learning rate.
    pub(super) fn at(&self, learning_rate: f64) -> Arm {
        Arm { learning_rate, ..self.clone() }
    }

    /// Every objective that can be compared: pairs cannot be drawn.
    pub fn contenders() -> impl Iterator<Item = Objective> {
        let terms = Options::default().terms();
        Objective::ALL.into_iter().filter(move |objective| objective.needs(&terms).together != Together::Pair)
    }

    /// Reads `NAME[:SETTING]...`, for instance `grpo`, `tbrm:n=4`, `tbrm:logs` or `sft:lr=3e-4`. NAME is any objective that there
    /// is; the settings are `n`, `beta`, `kl`, `lr`, `calibrate`, `on` (all or top) and `logs`.
    ///
    /// Where nothing else is said: n = 1, of objectives that compare completions of one prompt 4; `tbrm` with beta 0.1 and V_1
    /// calibrated; `sft` is rejection-sampling fine-tuning: cross-entropy on those of 4 completions a prompt that have the
    /// round's highest reward. All else is as the objective was published.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] names what cannot be read.
    pub fn parse(text: &str) -> Result<Arm> {
        let bad = |what: String| {
            let names = Objective::ALL.map(Objective::name).join(", ");
            let help = format!(
                "give one of {names}, with :n=4, :beta=0.1, :kl=0.05, :lr=3e-4, :calibrate=none, :on=all or :logs"
            );
            Error::new(ErrorKind::Config, what, help)
        };
        let mut parts = text.split(':');
        let name = parts.next().unwrap_or_default();
        let objective = Objective::ALL.into_iter().find(|objective| objective.name() == name);
        let objective = objective.ok_or_else(|| bad(format!("no objective is called `{name}`")))?;
        let grouped = objective.needs(&Options::default().terms()).together == Together::Group;
        let sampled = objective == Objective::Sft;
        let tbrm = matches!(objective, Objective::Tbrm | Objective::Brm);
        let mut arm = Arm {
            name: text.to_owned(),
            objective,
            rollouts: if grouped || sampled || objective == Objective::Hybrid { GROUP } else { 1 },
            logs: false,
            train_on: if sampled { TrainOn::Top } else { TrainOn::All },
            calibrate: if tbrm { Calibrate::VRef } else { Calibrate::None },
            beta: tbrm.then_some(BETA),
            kl_coefficient: None,
            learning_rate: LEARNING_RATE,
            fixed: false,
        };
        for part in parts {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let wrong = || bad(format!("`{part}` of `{text}` is no setting of an objective"));
            let number = || match value.parse::<f64>() {
                Ok(x) if x.is_finite() && x >= 0.0 => Ok(x),
                _ => Err(wrong()),
            };
            match key {
                "n" => arm.rollouts = value.parse().ok().filter(|n| *n > 0).ok_or_else(wrong)?,
                "beta" => arm.beta = Some(number()?),
                "kl" => arm.kl_coefficient = Some(number()?),
                "lr" => (arm.learning_rate, arm.fixed) = (number()?, true),
                "calibrate" => arm.calibrate = serde_json::from_value(json!(value)).map_err(|_| wrong())?,
                "on" => arm.train_on = serde_json::from_value(json!(value)).map_err(|_| wrong())?,
                "logs" if value.is_empty() => arm.logs = true,
                _ => return Err(wrong()),
            }
        }
        Ok(arm)
    }

    /// The settings of its run of `steps` steps of `batch` completions each on `prompts` prompts, whatever else `base` and
    /// `online` say.
    pub(super) fn options(
        &self,
        (steps, batch): (u64, usize),
        prompts: usize,
        base: &Options,
        online: &OnlineOptions,
    ) -> (Options, OnlineOptions) {
        let options = Options {
            objective: Some(self.objective),
            beta: self.beta,
            kl_coefficient: self.kl_coefficient,
            calibrate: Some(self.calibrate),
            learning_rate: Some(self.learning_rate),
            steps: Some(steps),
            batch: Some(batch),
            ..base.clone()
        };
        let total = batch * steps as usize;
        // Where prompts are few, several completions of each make up the logs.
        let fits = |rollouts: &usize| total.is_multiple_of(*rollouts) && total / rollouts <= prompts;
        let rollouts = match self.logs {
            true => (self.rollouts..=total).find(fits).unwrap_or(total),
            false => self.rollouts,
        };
        let at_once = if self.logs { total } else { batch };
        let online = OnlineOptions {
            rollouts: Some(rollouts),
            prompts_per_batch: Some((at_once / rollouts).max(1)),
            steps_per_batch: Some(if self.logs { steps } else { 1 }),
            train_on: Some(self.train_on),
            ..online.clone()
        };
        (options, online)
    }

    /// How it trains, for people.
    pub fn describe(&self) -> String {
        let mut said =
            vec![format!("learning rate {}", self.learning_rate), format!("n = {}", self.rollouts)];
        if let Some(beta) = self.beta {
            said.push(format!("beta {beta}"));
        }
        if let Some(kl) = self.kl_coefficient {
            said.push(format!("KL {kl}"));
        }
        if self.calibrate == Calibrate::VRef {
            said.push("V_1 calibrated by the reference's".to_owned());
        }
        if self.train_on == TrainOn::Top {
            said.push("only on completions with the round's highest reward".to_owned());
        }
        if self.logs {
            said.push("all completions by the starting model, before the first step".to_owned());
        }
        said.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_objective_is_an_arm_and_its_settings_are_read() {
        for objective in Objective::ALL {
            let arm = Arm::parse(objective.name()).unwrap();
            assert_eq!((arm.objective, arm.name.as_str()), (objective, objective.name()));
        }
        assert_eq!(Arm::contenders().count(), Objective::ALL.len() - 1);
        assert!(Arm::contenders().all(|objective| objective != Objective::Dpo));
        let plain = Arm::parse("tbrm").unwrap();
        assert_eq!((plain.rollouts, plain.beta, plain.calibrate), (1, Some(BETA), Calibrate::VRef));
        assert_eq!((Arm::parse("grpo").unwrap().rollouts, Arm::parse("reinforce").unwrap().rollouts), (4, 1));
        let sft = Arm::parse("sft").unwrap();
        assert_eq!((sft.train_on, sft.rollouts), (TrainOn::Top, 4));
        let arm = Arm::parse("tbrm:n=4:beta=0.02:lr=3e-4:calibrate=none:logs").unwrap();
        assert_eq!((arm.rollouts, arm.beta, arm.learning_rate, arm.fixed), (4, Some(0.02), 3e-4, true));
        assert!(arm.logs && arm.calibrate == Calibrate::None);
        for wrong in
            ["best", "tbrm:n=0", "tbrm:n", "tbrm:lr=fast", "tbrm:logs=1", "tbrm:calibrate=x", "tbrm:x=1", ""]
        {
            assert_eq!(Arm::parse(wrong).unwrap_err().kind, ErrorKind::Config, "{wrong}");
        }
    }

    #[test]
    fn every_arm_has_the_same_completions_in_all() {
        for name in ["tbrm", "grpo", "tbrm:n=4", "tbrm:logs", "sft:n=8"] {
            let arm = Arm::parse(name).unwrap();
            let (options, online) =
                arm.options((10, 32), 100, &Options::default(), &OnlineOptions::default());
            let rounds = options.steps.unwrap() / online.steps_per_batch.unwrap();
            let drawn = rounds as usize * online.prompts_per_batch.unwrap() * online.rollouts.unwrap();
            assert_eq!((drawn, options.batch), (320, Some(32)), "{name}");
        }
        // 320 completions: 4 of 80 of 100 prompts; of 60 prompts not 6 of 53, which are 318, but 8 of 40.
        for (prompts, each, of) in [(100, 4, 80), (60, 8, 40)] {
            let logs = Arm::parse("tbrm:logs").unwrap();
            let (_, online) = logs.options((10, 32), prompts, &Options::default(), &OnlineOptions::default());
            assert_eq!((online.rollouts, online.prompts_per_batch), (Some(each), Some(of)));
        }
    }
}

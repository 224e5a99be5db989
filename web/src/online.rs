//! Online runs: the model answers prompts, and rewards judge, one of which may be a function of the page's user.

use js_sys::{Array, Object, Reflect};
use serde_json::json;
use tbrm_core::data::Record;
use tbrm_core::online::Rewards;
use tbrm_core::reward::{self, AnyReward, Asked, BatchReward, Scores, shown};
use tbrm_core::run::{OnlineInputs, OnlineOptions, OnlinePlan, Run};
use tbrm_core::{Error, ErrorKind};
use wasm_bindgen::prelude::*;

use crate::fault::Result;
use crate::gpu::Gpu;
use crate::object::to_js;
use crate::spec::Spec;
use crate::store::JsStore;

#[wasm_bindgen]
extern "C" {
    /// What asks functions of the page's user; what it does is said in `types.d.ts`.
    #[wasm_bindgen(typescript_type = "Judge")]
    #[derive(Clone, Debug)]
    pub type JsJudge;

    #[wasm_bindgen(method, catch)]
    async fn score(this: &JsJudge, source: &str, asked: JsValue, all: bool) -> Result<JsValue, JsValue>;
}

/// The reward `javascript:SOURCE`: a function `(record, completion) => number`, which the worker asks.
struct JavaScript {
    source: String,
    judge: JsJudge,
}

impl JavaScript {
    /// The error of a completion that has no score, for a reason that follows the reward's name.
    fn failed(asked: &Asked<'_>, why: &str) -> Error {
        let (line, prompt) = (asked.record.line, asked.record.prompt.plain());
        let what = format!(
            "line {line}: the reward `javascript` {why}, for the prompt {:?} and the completion {:?}",
            shown(&prompt),
            shown(asked.completion)
        );
        Error::new(ErrorKind::Data, what, "correct the function, or turn on `set_aside_failures`")
    }

    /// What the worker says of one completion.
    fn verdict(asked: &Asked<'_>, said: &JsValue) -> tbrm_core::Result<f64> {
        let field = |key: &str| Reflect::get(said, &key.into()).unwrap_or(JsValue::UNDEFINED);
        field("score").as_f64().ok_or_else(|| {
            let why = field("error").as_string().unwrap_or_else(|| "was not asked".to_owned());
            JavaScript::failed(asked, &why)
        })
    }
}

impl BatchReward for JavaScript {
    fn name(&self) -> &str {
        "javascript"
    }

    /// What a function needs of a record only it knows.
    fn check(&self, _: &Record) -> tbrm_core::Result<()> {
        Ok(())
    }

    fn score<'a>(&'a self, asked: &'a [Asked<'a>], all: bool) -> Scores<'a> {
        Box::pin(async move {
            let each = asked.iter().map(|asked| {
                let mut record = asked.fields();
                record.remove("completion");
                json!({"record": record, "completion": asked.completion})
            });
            let given = to_js(&each.collect::<Vec<_>>());
            match self.judge.score(&self.source, given, all).await {
                Ok(said) => {
                    let said = Array::from(&said);
                    asked
                        .iter()
                        .zip(said.iter())
                        .map(|(asked, said)| JavaScript::verdict(asked, &said))
                        .collect()
                }
                Err(thrown) => {
                    let text = |key: &str| Reflect::get(&thrown, &key.into()).ok()?.as_string();
                    let why = text("what").or_else(|| text("message")).unwrap_or_default();
                    let failed =
                        |asked| Err(JavaScript::failed(asked, &format!("could not be asked: {why}")));
                    asked.iter().map(failed).collect()
                }
            }
        })
    }
}

/// Rewards by their names: the core's, and `javascript:SOURCE`.
fn rewards(kinds: &[String], weights: &[f64], judge: Option<&JsJudge>) -> tbrm_core::Result<Rewards> {
    Rewards::parse_with(kinds, weights, |kind| match (kind.strip_prefix("javascript:"), judge) {
        (Some(source), Some(judge)) => {
            if source.trim().is_empty() {
                let help = "write a function: (record, completion) => number";
                return Err(Error::new(ErrorKind::Config, "the reward javascript: is empty", help));
            }
            let reward = JavaScript { source: source.to_owned(), judge: judge.clone() };
            Ok(AnyReward::Batch(Box::new(reward)))
        }
        _ => reward::parse(kind).map(AnyReward::Each).map_err(|mut error| {
            error.help = error.help.replace(" or task:NAME", ", task:NAME or javascript:FUNCTION");
            error
        }),
    })
}

/// An online run that begins in an empty store.
pub(crate) async fn start(
    gpu: &Gpu,
    store: JsStore,
    spec: Spec,
    judge: Option<&JsJudge>,
) -> Result<Run<JsStore>> {
    let (options, online) = OnlineOptions::parse(&spec.settings)?;
    let rewards = rewards(&online.rewards, &online.reward_weights, judge)?;
    let given = spec.given(&options)?;
    let mut tuned = gpu.tuned();
    let run = Run::start_online(gpu.inner(), store, given, (options, &online), rewards, &mut tuned).await?;
    gpu.keep_tuned(tuned);
    Ok(run)
}

/// An online run that goes on; `None` where it is finished.
pub(crate) async fn resume(
    gpu: &Gpu,
    store: JsStore,
    judge: Option<&JsJudge>,
) -> Result<Option<Run<JsStore>>> {
    let mut tuned = gpu.tuned();
    let rewards = |kinds: &[String], weights: &[f64]| rewards(kinds, weights, judge);
    let run = Run::resume_online(gpu.inner(), store, rewards, &mut tuned).await?;
    gpu.keep_tuned(tuned);
    Ok(run)
}

/// What an online run will take.
pub(crate) fn plan(gpu: &Gpu, spec: Spec) -> Result<OnlinePlan> {
    let (options, online) = OnlineOptions::parse(&spec.settings)?;
    // Nothing is judged: anything will do that a function could ask.
    let judge: JsJudge = Object::new().unchecked_into();
    let rewards = rewards(&online.rewards, &online.reward_weights, Some(&judge))?;
    let model = spec.model.shape()?.ok_or_else(|| {
        let help = "train the demo first: its model can then be chosen";
        Error::new(ErrorKind::Config, "the demo's model is made by its run", help)
    })?;
    let (prompts, eval) = (spec.prompts.as_ref(), spec.eval_prompts.as_ref());
    let inputs = OnlineInputs::read(model, prompts, eval, &spec.data, &options, &online, rewards)?;
    Ok(OnlinePlan::new(gpu.inner(), inputs, options, &online, None)?)
}

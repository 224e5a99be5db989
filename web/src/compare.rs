//! A model before and after its training, at the same prompts.

use js_sys::Function;
use wasm_bindgen::prelude::*;

use crate::chat::opened;
use crate::fault::Result;
use crate::gpu::Gpu;
use crate::object::{setting, to_js};
use crate::owned::guarded;
use crate::spec::ModelSource;

/// Continues every prompt by both models with the same random numbers; every token says what both make of it. `scale` is the
/// run's. `onpart` hears how much is done.
#[wasm_bindgen(unchecked_return_type = "Pair[]")]
pub async fn compare(
    gpu: &Gpu,
    before: ModelSource,
    after: ModelSource,
    prompts: Vec<String>,
    #[wasm_bindgen(unchecked_param_type = "Partial<Drawing>")] drawing: JsValue,
    #[wasm_bindgen(unchecked_param_type = "Scale")] scale: JsValue,
    #[wasm_bindgen(unchecked_param_type = "(done: number, total: number) => void")] onpart: Function,
) -> Result<JsValue> {
    guarded(gpu.inner(), async {
        let (before, after) = (opened(&before)?, opened(&after)?);
        let told = |done: usize, total: usize| {
            // Who does not want to hear of it any more still gets the answer.
            let _ = onpart.call2(&JsValue::NULL, &(done as f64).into(), &(total as f64).into());
        };
        let drawing = setting(&drawing)?;
        let pairs = tbrm_core::compare::compare(
            gpu.inner(),
            (&before.0, &before.1),
            (&after.0, &after.1),
            &prompts,
            &drawing,
            setting(&scale)?,
            told,
        );
        Ok(to_js(&pairs.await?))
    })
    .await
}

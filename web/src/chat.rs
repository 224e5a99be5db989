//! A model to be talked to: the core's, with what it says as plain objects.

use std::cell::Cell;
use std::rc::Rc;

use js_sys::{Function, Promise};
use serde::Serialize;
use tbrm_core::data::record::Text;
use tbrm_core::run::{ModelFiles, Weights};
use tbrm_core::{Error, ErrorKind};
use wasm_bindgen::prelude::*;

use crate::fault::Result;
use crate::gpu::Gpu;
use crate::macrotask::Macrotasks;
use crate::object::{from_js, setting, to_js};
use crate::owned::{Owned, guarded};
use crate::spec::ModelSource;

/// A model that answers. `free()` frees the GPU's memory, even while `reply()` is pending.
#[wasm_bindgen]
pub struct Chat {
    talk: Owned<Talk>,
    /// Counts the requests to stop: an answer ends when there was one since it began.
    stops: Rc<Cell<u32>>,
    info: ChatInfo,
}

/// The model, and how the worker hears its messages meanwhile.
struct Talk {
    chat: tbrm_core::chat::Chat,
    macrotasks: Macrotasks,
}

#[derive(Clone, Copy, Serialize)]
pub(crate) struct ChatInfo {
    pub(crate) conversations: bool,
    pub(crate) positions: usize,
}

#[wasm_bindgen]
impl Chat {
    /// Puts a model on the device: a preset with fresh weights, or files.
    #[wasm_bindgen(unchecked_return_type = "Chat")]
    pub async fn open(gpu: &Gpu, model: ModelSource) -> Result<Chat> {
        guarded(gpu.inner(), async {
            let (files, weights) = opened(&model)?;
            let chat = tbrm_core::chat::Chat::open(gpu.inner(), files, &weights)?;
            let info =
                ChatInfo { conversations: chat.files().chat.is_some(), positions: chat.model().positions() };
            let talk = Talk { chat, macrotasks: Macrotasks::new()? };
            Ok(Chat { talk: Owned::new(gpu.inner(), talk), stops: Rc::default(), info })
        })
        .await
    }

    /// What can be said to it.
    #[wasm_bindgen(unchecked_return_type = "ChatInfo")]
    pub fn info(&self) -> JsValue {
        to_js(&self.info)
    }

    /// Answers; `ontext` sees the whole text so far, every few tokens.
    #[wasm_bindgen(unchecked_return_type = "Promise<Answer>")]
    pub fn reply(
        &self,
        #[wasm_bindgen(unchecked_param_type = "Prompt")] prompt: JsValue,
        #[wasm_bindgen(unchecked_param_type = "Partial<Drawing>")] drawing: JsValue,
        #[wasm_bindgen(unchecked_param_type = "(text: string) => void")] ontext: Function,
    ) -> Promise {
        let (stops, before) = (self.stops.clone(), self.stops.get());
        self.talk.work(async move |Talk { chat, macrotasks }| {
            let prompt = Text::parse("prompt", from_js(&prompt)?)?;
            let mut reply = chat.reply(&prompt, &setting(&drawing)?)?;
            // Before the work, so that a request to stop is heard before the device gets more.
            macrotasks.next().await?;
            while stops.get() == before {
                let Some(text) = reply.next().await? else { break };
                ontext.call1(&JsValue::NULL, &text.into())?;
                macrotasks.next().await?;
            }
            Ok(to_js(&reply.answer()?))
        })
    }

    /// Asks the answer that is being written to end where it is.
    pub fn stop(&self) {
        self.stops.set(self.stops.get().wrapping_add(1));
    }
}

/// The parts of a model.
pub(crate) fn opened(source: &ModelSource) -> Result<(ModelFiles, Weights)> {
    let source = source.read()?;
    let name = source.name().to_owned();
    let files = source.files(0)?.ok_or_else(|| {
        let help = "train the demo, and give the files of the model that it made";
        Error::new(ErrorKind::Config, "the demo's model is made by its run", help)
    })?;
    Ok((ModelFiles::parse(&name, &files)?, Weights::take(&name, files)?))
}

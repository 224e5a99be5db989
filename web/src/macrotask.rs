//! Lets the worker hear its messages between pieces of work: a future that resolves in a later macrotask.
//!
//! Waking oneself only goes on in the same task, so a promise that is ready would keep every message waiting; a timer
//! is held back to a second in a hidden tab. A message to oneself is neither.

use js_sys::{Function, Promise};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::JsFuture;
use web_sys::{MessageChannel, MessagePort};

/// A channel to oneself.
#[derive(Debug)]
pub(crate) struct Macrotasks {
    here: MessagePort,
    there: MessagePort,
}

impl Macrotasks {
    pub(crate) fn new() -> Result<Macrotasks, JsValue> {
        let channel = MessageChannel::new()?;
        Ok(Macrotasks { here: channel.port1(), there: channel.port2() })
    }

    /// Resolves after the messages that are waiting now were heard.
    pub(crate) async fn next(&self) -> Result<(), JsValue> {
        let mut sent = Ok(());
        let promise = Promise::new(&mut |resolve: Function, _| {
            self.here.set_onmessage(Some(&resolve));
            sent = self.there.post_message(&JsValue::NULL);
        });
        sent?;
        JsFuture::from(promise).await.map(drop)
    }
}

impl Drop for Macrotasks {
    /// An open port keeps the channel alive.
    fn drop(&mut self) {
        self.here.close();
    }
}

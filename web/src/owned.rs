//! What JavaScript owns while promises work on it.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

use js_sys::Promise;
use tbrm_core::Gpu;
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::future_to_promise;

use crate::fault::{Fault, Result};
use crate::macrotask::Macrotasks;

/// A value on a device. It may be freed at any time: what works on it then ends where it stands, and its promise is
/// rejected.
pub(crate) struct Owned<T>(Rc<Shared<T>>);

struct Shared<T> {
    gpu: Gpu,
    /// None while something works on it.
    value: RefCell<Option<T>>,
    freed: Cell<bool>,
    working: RefCell<Option<Waker>>,
}

impl<T: 'static> Owned<T> {
    pub(crate) fn new(gpu: &Gpu, value: T) -> Owned<T> {
        let (value, freed, working) = (RefCell::new(Some(value)), Cell::new(false), RefCell::default());
        Owned(Rc::new(Shared { gpu: gpu.clone(), value, freed, working }))
    }

    /// Does one piece of work on the value; a second one meanwhile is refused.
    pub(crate) fn work<R: Into<JsValue>>(
        &self,
        work: impl AsyncFnOnce(&mut T) -> Result<R> + 'static,
    ) -> Promise {
        let (shared, value) = (self.0.clone(), self.0.value.take());
        future_to_promise(async move {
            let Some(mut value) = value else {
                return Err(
                    Fault::new("busy", "this is still at work", "await one call before the next").into()
                );
            };
            let outcome = {
                let mut working = pin!(guarded(&shared.gpu, work(&mut value)));
                poll_fn(|context| {
                    if shared.freed.get() {
                        return Poll::Ready(None);
                    }
                    shared.working.replace(Some(context.waker().clone()));
                    working.as_mut().poll(context).map(Some)
                })
                .await
            };
            let Some(outcome) = outcome else {
                let help = "nothing has to be done: it was asked for";
                return Err(Fault::new("freed", "this was freed while it was at work", help).into());
            };
            shared.value.replace(Some(value));
            outcome.map(Into::into).map_err(Into::into)
        })
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        self.0.freed.set(true);
        self.0.value.take();
        if let Some(waker) = self.0.working.take() {
            waker.wake();
        }
    }
}

/// `work`, unless the device faults first: what waits for a lost device may wait forever.
pub(crate) async fn guarded<R>(gpu: &Gpu, work: impl Future<Output = Result<R>>) -> Result<R> {
    let (mut work, mut faulted) = (pin!(work), pin!(gpu.faulted()));
    let outcome = poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(outcome) => Poll::Ready(outcome),
        Poll::Pending => faulted.as_mut().poll(context).map(|fault| Err(fault.into())),
    })
    .await;
    if outcome.is_err() {
        // A consequence may be told before its cause.
        Macrotasks::new()?.next().await?;
        gpu.check()?;
    }
    outcome
}

//! Training by TBRM in a browser tab: wasm bindings over `tbrm-core`, for the worker that owns the GPU. No training
//! logic: every call passes what it is given to the core and what the core says back.
//!
//! Built by `cargo run -p tbrm-bundle`, which writes the module `tbrm.js`, its types and its wasm for the page.
//!
//! ```text
//! await init();                                  // the module's default export: fetches the wasm
//! const gpu = await open_gpu(onfault);           // one a worker
//! gpu.info();                                    // DeviceInfo
//! presets();                                     // PresetInfo[]
//! await bench(gpu, "nano", 10, "tbrm", onstep);  // BenchReport, as `tbrm bench --json`
//! settings();                                    // Setting[]
//! check_logs(name, bytes);                       // LogsReport
//! embedded("sort");                              // string | undefined: records that need no file
//! tasks(); task("sort-1");                       // string[]; TaskInfo: prompts with answers that need no file
//! await estimate(gpu, spec);                     // Estimate
//! const session = await Session.start(gpu, store, spec, judge);  // or Session.resume(gpu, store, judge)
//! for (let event; (event = await session.next()); ) ...   // RunEvent; session.stop() asks it to end
//! session.free();
//! const chat = await Chat.open(gpu, model);
//! await chat.reply(prompt, drawing, ontext);     // Answer; chat.stop() ends it early
//! chat.free();
//! await compare(gpu, before, after, prompts, drawing, scale, onpart);  // Pair[]
//! const lab = new Lab(gpu);
//! await lab.race(config, ontold);                // RaceEvent; lab.stop() ends it early
//! await lab.checks(only, seed, ontold);          // the report; lab.free() ends it early
//! await lab.compare(store, ontold, trial);       // LabEvent; lab.stop() ends it early, and it can go on later
//! gpu.tuned();                                   // string, for `open_gpu` in a later visit
//! gpu.destroy();
//! ```
//!
//! Objects cross as plain objects, described in `types.d.ts`. Every call throws a `Fault` `{kind, what, help}`; what
//! happens by itself (a lost device, an error of the device, a panic) is told to `onfault`. After a panic the module is
//! of no use: its promises stay pending, and only a new worker helps.

#![forbid(unsafe_code)]

mod bench;
mod chat;
mod compare;
mod fault;
mod gpu;
mod lab;
mod macrotask;
mod object;
mod online;
mod owned;
mod second;
mod session;
mod settings;
mod spec;
mod store;
mod tasks;
mod types;

pub use bench::{bench, presets};
pub use chat::Chat;
pub use compare::compare;
pub use fault::{Fault, Result};
pub use gpu::{Gpu, open_gpu};
pub use lab::{Lab, lab_estimate, lab_look, lab_options};
pub use online::JsJudge;
pub use second::fetch_second;
pub use session::Session;
pub use settings::{check_logs, embedded, estimate, settings};
pub use spec::{ModelSource, RunSpec};
pub use store::JsStore;
pub use tasks::{task, tasks};

//! From logged text to packed batches of token ids.

pub mod batch;
mod benchmark;
pub mod chat;
pub mod convert;
pub mod corpus;
pub mod logs;
pub mod order;
mod prompt_style;
pub mod record;
pub mod sets;
pub mod tokenizer;
pub mod trajectory;

pub use batch::Batch;
pub use chat::ChatTemplate;
pub use order::Order;
pub use prompt_style::PromptStyle;
pub use record::{Message, Needs, Record, Rejection, Text};
pub use sets::Sets;
pub use tokenizer::Tokenizer;
pub use trajectory::Trajectory;

//! Which header fields go on: those of one connection stay behind, the operator's are added under his policy, all
//! others pass line by line as they came.

mod answer;
mod cors;
mod hop;
mod policy;
mod request;

pub use answer::{Said, write_answer};
pub use cors::{Cors, NotAllowed, Origins, is_preflight};
pub use policy::{Configured, Policy};
pub use request::{Action, Outgoing, Rule, ToProxy};

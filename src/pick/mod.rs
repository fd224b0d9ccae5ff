//! Which of several is taken: of the keys and of the targets of a route, for each attempt. What is known of them decides:
//! a key that is refused, or a target that cannot be reached, rests for a while.
//!
//! Which there are is part of the configuration and is swapped with it; how they stand is not. Where there is one of a
//! kind nothing is picked, and nothing is known.

mod keys;
pub mod reset;
mod standing;
mod state;
mod targets;

pub use keys::{Keys, Session, Strategy};
pub use state::{Change, States, Told, Turn};
pub use targets::{Share, Targets};

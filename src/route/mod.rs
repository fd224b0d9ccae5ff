//! Which route a request takes, and where that leads: base path, first segment, target.

mod base_path;
mod path;
mod table;
mod target;
mod universal;

pub use base_path::BasePath;
pub use table::{Choice, Chosen, Table};
pub use target::{BadUrl, Fixed, Forward};
pub use universal::universal;

//! The configuration: as written ([`raw`]), read ([`mod@load`]), compiled ([`mod@compile`]), as meant ([`Snapshot`]),
//! and in force ([`Live`]).

mod compile;
mod expand;
mod finding;
pub mod listed;
mod live;
mod load;
mod print;
pub mod raw;
pub mod scalar;
pub mod schema;
mod snapshot;
mod verify;

pub use compile::{Compiled, Context, compile};
pub use finding::{Finding, Severity, has_errors};
pub use live::{Live, Outcome, Overrides, Source};
pub use load::{Loaded, Places, Surroundings, load};
pub use print::Print;
pub use snapshot::{Listen, Place, Route, Several, Snapshot, Target};

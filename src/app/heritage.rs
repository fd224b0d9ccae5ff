//! What was there before this process: sockets, and perhaps a process that serves at them until this one can.

use super::{StartError, activation};
use crate::accept::Inherited;

/// What this process inherits.
#[derive(Debug, Default)]
pub struct Heritage {
    /// Sockets that listen.
    pub(super) inherited: Inherited,
    /// The process that serves at them.
    #[cfg(unix)]
    pub(super) predecessor: Option<super::predecessor::Predecessor>,
    /// There is none.
    #[cfg(not(unix))]
    pub(super) predecessor: Option<std::convert::Infallible>,
}

impl Heritage {
    /// Takes it. Must be called before anything is opened: sockets of the manager of services are known by their
    /// numbers.
    ///
    /// # Errors
    /// It cannot be taken.
    pub fn take() -> Result<Self, StartError> {
        #[cfg(unix)]
        if let Some((predecessor, inherited)) = super::predecessor::Predecessor::find()? {
            return Ok(Self { inherited, predecessor: Some(predecessor) });
        }
        Ok(Self { inherited: activation::activated()?, predecessor: None })
    }
}

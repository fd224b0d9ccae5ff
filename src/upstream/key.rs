//! What makes two connections differ.

use std::sync::Arc;

use super::tls::Tls;
use crate::origin::Origin;

/// Everything that a connection depends on: two requests may share one only if their keys are equal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// Where it leads.
    pub origin: Origin,
    /// How TLS is spoken on it, where the scheme asks for TLS.
    pub tls: Option<Arc<Tls>>,
}

//! Lines of a head that do not pass as they came.

/// What becomes of one field line on its way: it is left out, or passes with another value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The number of the line in its head.
    pub line: usize,
    /// What stands in it instead. `None`: the line is left out.
    pub value: Option<Box<[u8]>>,
}

//! Fields that a message itself names as those of its connection (RFC 9110 section 7.6.1). Those that always are: see
//! [`Known::is_hop_by_hop`](crate::h1::Known::is_hop_by_hop).

use crate::h1::{Fields, names_field};

/// The options of a message's `Connection` fields that name other fields. Most messages have none.
pub(super) struct Named<'a>(Vec<&'a [u8]>);

impl<'a> Named<'a> {
    /// Those of these fields, if their head is known to have any.
    pub(super) fn of(fields: &'a Fields, are_there: bool) -> Self {
        let named = || fields.connection_options().filter(|option| names_field(option)).collect();
        Self(if are_there { named() } else { Vec::new() })
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `Connection` names this field. What frames or routes the message is not the sender's to remove.
    #[inline]
    pub(super) fn has(&self, name: &[u8]) -> bool {
        !self.0.is_empty() && self.is_named(name)
    }

    fn is_named(&self, name: &[u8]) -> bool {
        self.0.iter().any(|option| option.eq_ignore_ascii_case(name))
            && !name.eq_ignore_ascii_case(b"content-length")
            && !name.eq_ignore_ascii_case(b"host")
    }
}

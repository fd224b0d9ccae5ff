//! Fields that belong to one connection and never pass (RFC 9110 section 7.6.1).

use crate::h1::{Fields, is_name, names_field};

/// Whether a field of this name says something about one connection only.
#[inline]
#[must_use]
pub fn is_hop_by_hop(name: &[u8]) -> bool {
    match name.len() {
        2 => is_name(name, b"te"),
        7 => is_name(name, b"upgrade"),
        10 => is_name(name, b"connection") || is_name(name, b"keep-alive"),
        16 => is_name(name, b"proxy-connection"),
        17 => is_name(name, b"transfer-encoding"),
        19 => is_name(name, b"proxy-authorization"),
        _ => false,
    }
}

/// The options of a message's `Connection` fields that name other fields. Most messages have none.
pub(super) struct Named<'a>(Vec<&'a [u8]>);

impl<'a> Named<'a> {
    /// Those of these fields, if their head is known to have any.
    pub(super) fn of(fields: &'a Fields, are_there: bool) -> Self {
        let named = || fields.connection_options().filter(|option| names_field(option)).collect();
        Self(if are_there { named() } else { Vec::new() })
    }

    /// Whether `Connection` names this field. What frames or routes the message is not the sender's to remove.
    pub(super) fn has(&self, name: &[u8]) -> bool {
        self.0.iter().any(|option| option.eq_ignore_ascii_case(name))
            && !name.eq_ignore_ascii_case(b"content-length")
            && !name.eq_ignore_ascii_case(b"host")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_any_case() {
        for name in [
            "Connection",
            "KEEP-ALIVE",
            "te",
            "Upgrade",
            "Transfer-Encoding",
            "Proxy-Connection",
            "proxy-authorization",
        ] {
            assert!(is_hop_by_hop(name.as_bytes()), "{name}");
        }
        for name in ["Host", "Authorization", "Content-Length", "Cookie", "Proxy-Authenticate", "Trailer"] {
            assert!(!is_hop_by_hop(name.as_bytes()), "{name}");
        }
    }
}

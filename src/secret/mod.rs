//! What must not be shown: a type for it, and masks for text in which it may stand.

mod digest;
mod mask;

use std::fmt;

use base64::Engine;
use percent_encoding::percent_decode;
use zeroize::{Zeroize, Zeroizing};

pub use digest::{Digest, NoRandomness, new_key};
pub use mask::{
    is_credential, is_secret, is_sensitive, mask_after_name, mask_path, mask_query, mask_target, mask_userinfo,
    parameters, without_credentials,
};

/// What stands in the place of a secret.
pub const MASK: &str = "***";

/// A key, a password, a configured header value. It cannot be printed, and its memory is zeroed when it goes.
///
/// Two of them are compared byte by byte, and how long that takes depends on them. Only what the operator wrote is
/// compared so: logins that decide whether a connection can be used again, certificates of two configurations. What a
/// client sends is compared with no secret at all: of the keys of clients there are only [`Digest`]s.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// Takes over a secret.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        let mut bytes = bytes.into();
        if bytes.len() == bytes.capacity() {
            return Self(bytes.into_boxed_slice());
        }
        // What shrinks may leave a copy behind.
        let secret = Self(bytes.as_slice().into());
        bytes.zeroize();
        secret
    }

    /// The secret itself, for the one place that sends it.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// A login as `Authorization` and its kin want it, from a `user:password` that is still percent-encoded (RFC 7617).
#[must_use]
pub fn basic(userinfo: &str) -> Secret {
    // With room for all of it: what grows leaves copies behind.
    let mut decoded = Zeroizing::new(Vec::with_capacity(userinfo.len()));
    decoded.extend(percent_decode(userinfo.as_bytes()));
    let mut value = String::with_capacity("Basic ".len() + decoded.len().div_ceil(3) * 4);
    value.push_str("Basic ");
    base64::engine::general_purpose::STANDARD.encode_string(&*decoded, &mut value);
    Secret::new(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_cannot_be_printed() {
        let secret = Secret::new(b"sk-1".to_vec());
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "*** Some(***)");
        assert_eq!(secret.expose(), b"sk-1");
    }

    /// What a type has not, seen from the outside: a constant of its own comes before that of a trait.
    trait HasNot {
        const HAS: bool = false;
    }

    struct Displayed<T>(T);
    struct Serialized<T>(T);
    struct Dereferenced<T>(T);

    impl<T> HasNot for Displayed<T> {}
    impl<T> HasNot for Serialized<T> {}
    impl<T> HasNot for Dereferenced<T> {}

    impl<T: fmt::Display> Displayed<T> {
        const HAS: bool = true;
    }
    impl<T: serde::Serialize> Serialized<T> {
        const HAS: bool = true;
    }
    impl<T: std::ops::Deref> Dereferenced<T> {
        const HAS: bool = true;
    }

    // The one way to the bytes is `expose`.
    const _: () = assert!(!Displayed::<Secret>::HAS && Displayed::<String>::HAS);
    const _: () = assert!(!Serialized::<Secret>::HAS && Serialized::<String>::HAS);
    const _: () = assert!(!Dereferenced::<Secret>::HAS && Dereferenced::<String>::HAS);

    #[test]
    fn logins_are_encoded_once() {
        assert_eq!(basic("Aladdin:open%20sesame").expose(), b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(basic("u:").expose(), b"Basic dTo=");
        let mut with_room = Vec::with_capacity(100);
        with_room.extend_from_slice(b"sk-1");
        assert_eq!(Secret::new(with_room), Secret::new("sk-1"));
    }
}

//! What is kept of a key that others present to us: its SHA-256, from which nobody gets the key back.

use std::fmt;

use aws_lc_rs::{digest, rand};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::MASK;

/// How a digest begins where it is written down.
const PREFIX: &str = "sha256:";
/// How a key begins that is made here, so that scanners of source code can tell whose it is.
const KEY_PREFIX: &str = "aq-";

/// The SHA-256 of a key. How long it takes to make one depends on the length of what was presented and on nothing else,
/// and what two of them have in common says nothing of what their keys have in common.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// That of a key.
    #[must_use]
    pub fn of(key: &[u8]) -> Self {
        let digest = digest::digest(&digest::SHA256, key);
        Self(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
    }

    /// Whether a text is meant as one: it begins with `sha256:`.
    #[must_use]
    pub fn is_meant(text: &str) -> bool {
        text.starts_with(PREFIX)
    }

    /// Reads `sha256:` and 64 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (pairs, rest) = text.strip_prefix(PREFIX)?.as_bytes().as_chunks::<2>();
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let bytes: Option<Vec<u8>> = pairs.iter().map(|&[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect();
        if !rest.is_empty() {
            return None;
        }
        bytes?.try_into().ok().map(Self)
    }
}

/// As it is written down.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Of a key that somebody thought up, the digest tells something to whoever guesses.
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// A new key: 256 bits of the system's randomness, in letters that may stand in every place in which keys are sent.
///
/// # Errors
/// The system has no randomness to give.
pub fn new_key() -> Result<Zeroizing<String>, NoRandomness> {
    let mut bytes = Zeroizing::new([0; 32]);
    rand::fill(&mut *bytes).map_err(|_| NoRandomness)?;
    // With room for all of it: what grows leaves copies behind.
    let mut key = Zeroizing::new(String::with_capacity(KEY_PREFIX.len() + 43));
    key.push_str(KEY_PREFIX);
    URL_SAFE_NO_PAD.encode_string(bytes.as_slice(), &mut key);
    Ok(key)
}

/// The system has no randomness to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoRandomness;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_that_of_the_standard() {
        let digest = Digest::of(b"abc");
        let written = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest.to_string(), written);
        assert_eq!((Digest::parse(written), Digest::parse(&written.to_uppercase())), (Some(digest), None));
        let upper = format!("sha256:{}", written[7..].to_uppercase());
        assert_eq!(Digest::parse(&upper), Some(digest));
        for bad in ["", "sha256:", "ba78", &written[..70], &format!("{written}0"), &format!("{written}00")] {
            assert_eq!(Digest::parse(bad), None, "{bad}");
        }
        assert_eq!(Digest::parse(&written.replace('b', "g")), None);
        assert_eq!(format!("{digest:?}"), "***");
    }

    #[test]
    fn keys_are_long_and_differ() {
        let (one, other) = (new_key().expect("random"), new_key().expect("random"));
        assert!(*one != *other && one.len() == 46 && one.starts_with("aq-"), "{}", *one);
        assert!(one.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
    }
}

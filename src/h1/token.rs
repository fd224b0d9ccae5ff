//! The alphabets of RFC 9110 and RFC 3986: which byte may stand where.

use memchr::memchr;

use super::Violation;

/// `token = 1*tchar` (RFC 9110 section 5.6.2): methods, field names, connection options.
#[must_use]
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| is_token_byte(byte))
}

/// `tchar` (RFC 9110 section 5.6.2).
#[inline]
#[must_use]
pub fn is_token_byte(byte: u8) -> bool {
    TOKEN[byte as usize]
}

/// Checks a field's value or a reason phrase: text, spaces, tabs and bytes above ASCII (RFC 9110 section 5.5).
///
/// # Errors
/// Which control character stands in it.
pub fn check_text(bytes: &[u8]) -> Result<(), Violation> {
    // One pass without an early way out, so that the compiler can take many bytes at a time.
    let bad = bytes.iter().fold(false, |bad, &byte| bad | is_forbidden_in_text(byte));
    if !bad {
        return Ok(());
    }
    Err(match bytes.iter().find(|&&byte| is_forbidden_in_text(byte)) {
        Some(b'\0') => Violation::Nul,
        Some(b'\r') => Violation::BareCarriageReturn,
        Some(b'\n') => Violation::BareLineFeed,
        _ => Violation::ControlCharacter,
    })
}

/// Where a token ends: the place of the first byte that cannot stand in one.
// Always: it is asked of every line, and a call costs a fifth of it.
#[inline(always)]
#[must_use]
pub(super) fn end_of_token(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(block) = bytes[at..].first_chunk() {
        at += leading_plain(block);
        match bytes.get(at) {
            // The mark that it was, or the first byte of the next block.
            Some(&byte) if is_token_byte(byte) => at += 1,
            _ => return at,
        }
    }
    let rest = &bytes[at..];
    at + rest.iter().position(|&byte| !is_token_byte(byte)).unwrap_or(rest.len())
}

/// How many of the first bytes are letters, digits or hyphens, of which nearly all names are made.
// Without branches, and of all 16 at once: so the compiler makes vector instructions of it, of which it takes as many
// for 16 bytes as it took others for 8 (1,000 less in all for a small request and its answer).
#[inline]
fn leading_plain(block: &[u8; 16]) -> usize {
    let others = block.map(|byte| {
        let is_letter = (byte | 0x20).wrapping_sub(b'a') < 26;
        let is_digit = byte.wrapping_sub(b'0') < 10;
        if is_letter | is_digit | (byte == b'-') { 0 } else { 0xff_u8 }
    });
    u128::from_le_bytes(others).trailing_zeros() as usize / 8
}

/// Where text ends: the place of the first control character at or after `from`, tabs not counted. `None`: there is
/// none yet.
#[inline]
#[must_use]
pub(super) fn end_of_text(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += first_control(bytes.get(at..)?)?;
        if bytes[at] != b'\t' {
            return Some(at);
        }
        at += 1;
    }
}

/// The place of the first byte below space, or DEL; eight bytes at a time.
#[inline]
fn first_control(bytes: &[u8]) -> Option<usize> {
    const SPACES: u64 = ONES * b' ' as u64;
    const DELETES: u64 = ONES * 0x7f;

    let mut at = 0;
    // Values are short: what it takes to begin counts as much as what it takes to go on.
    while let Some(word) = bytes[at..].first_chunk() {
        let word = u64::from_le_bytes(*word);
        // A borrow can only mark bytes above the first that is truly below: the lowest mark is exact.
        let below = word.wrapping_sub(SPACES) & !word;
        let deletes = (word ^ DELETES).wrapping_sub(ONES) & !(word ^ DELETES);
        let found = (below | deletes) & HIGH;
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    let stop = bytes[at..].iter().position(|&byte| byte < b' ' || byte == 0x7f)?;
    Some(at + stop)
}

/// Whether every byte may stand in a request target: no controls, no space, no fragment.
///
/// Bytes that RFC 3986 would have escaped (`|`, `{`, UTF-8) pass as they came: clients send them and servers
/// read them, and to escape them here would change the path that the client asked for.
#[must_use]
pub fn is_target(bytes: &[u8]) -> bool {
    !bytes.is_empty() && !bytes.iter().fold(false, |bad, &byte| bad | (byte <= b' ') | (byte == 0x7f) | (byte == b'#'))
}

/// Whether this is `host [":" port]` (RFC 3986 section 3.2 without userinfo). An empty host is allowed, as in `Host:`.
#[must_use]
pub fn is_authority(bytes: &[u8]) -> bool {
    let (host, port) = if bytes.first() == Some(&b'[') {
        let Some(end) = memchr(b']', bytes) else { return false };
        if !is_ip_literal(&bytes[1..end]) {
            return false;
        }
        match bytes[end + 1..].split_first() {
            None => return true,
            Some((b':', port)) => (&b""[..], port),
            Some(_) => return false,
        }
    } else {
        match memchr(b':', bytes) {
            Some(colon) => (&bytes[..colon], &bytes[colon + 1..]),
            None => (bytes, &b""[..]),
        }
    };
    host.iter().all(|&byte| HOST[byte as usize]) && is_port(port)
}

fn is_ip_literal(inner: &[u8]) -> bool {
    !inner.is_empty() && inner.iter().all(|&byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'))
}

fn is_port(port: &[u8]) -> bool {
    port.len() <= 5
        && port.iter().all(u8::is_ascii_digit)
        && port.iter().fold(0_u32, |sum, &digit| sum * 10 + u32::from(digit - b'0')) <= 65_535
}

/// Eight bytes of 1, and the highest bit of each of eight bytes.
const ONES: u64 = u64::from_ne_bytes([1; 8]);
const HIGH: u64 = ONES << 7;

#[inline]
fn is_forbidden_in_text(byte: u8) -> bool {
    ((byte < b' ') & (byte != b'\t')) | (byte == 0x7f)
}

const TOKEN: [bool; 256] = table(b"!#$%&'*+-.^_`|~");
/// `reg-name` (RFC 3986 section 3.2.2), and bytes above ASCII, which some clients send for international names.
const HOST: [bool; 256] = {
    let mut table = table(b"-._~%!$&'()*+,;=");
    let mut byte = 128;
    while byte < 256 {
        table[byte] = true;
        byte += 1;
    }
    table
};

const fn table(punctuation: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric();
        byte += 1;
    }
    let mut at = 0;
    while at < punctuation.len() {
        table[punctuation[at] as usize] = true;
        at += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_letters_digits_and_fifteen_marks() {
        assert_eq!((0..=255_u8).filter(|&byte| is_token_byte(byte)).count(), 26 + 26 + 10 + 15);
        assert!(is_token(b"x-api_key"));
        assert!(!is_token(b"") && !is_token(b"a b") && !is_token(b"a:") && !is_token("ä".as_bytes()));
    }

    #[test]
    fn text_names_the_byte_that_may_not_stand() {
        assert_eq!(check_text("a\tb é".as_bytes()), Ok(()));
        assert_eq!(check_text(b"a\0"), Err(Violation::Nul));
        assert_eq!(check_text(b"a\rb"), Err(Violation::BareCarriageReturn));
        assert_eq!(check_text(b"a\x1bb"), Err(Violation::ControlCharacter));
        assert_eq!(check_text(b"a\x7f"), Err(Violation::ControlCharacter));
    }

    #[test]
    fn ends_are_found_wherever_they_lie() {
        for byte in 0..=255_u8 {
            for length in 0..40 {
                let mut bytes = vec![b'a'; length];
                bytes.push(byte);
                bytes.extend_from_slice(b"b\xc3\xa9\x80\x7f\n\x01");
                assert_eq!(end_of_token(&bytes), bytes.iter().position(|&byte| !is_token_byte(byte)).expect("there"));
                bytes.iter_mut().step_by(3).for_each(|byte| *byte = if *byte == b'a' { b'-' } else { *byte });
                assert_eq!(end_of_token(&bytes), bytes.iter().position(|&byte| !is_token_byte(byte)).expect("there"));
                let is_control = |&byte: &u8| byte < b' ' || byte == 0x7f;
                assert_eq!(first_control(&bytes), bytes.iter().position(is_control), "{bytes:?}");
            }
        }
        assert_eq!((end_of_token(b""), end_of_token(b"abcdefgh"), first_control(b"")), (0, 8, None));
    }

    #[test]
    fn text_ends_at_the_first_control_character() {
        for length in 0..70 {
            let mut bytes = vec![b'a'; length];
            assert_eq!(end_of_text(&bytes, 0), None);
            bytes.extend_from_slice(b"\t\xff\r\nrest");
            for from in 0..length {
                assert_eq!(end_of_text(&bytes, from), Some(length + 2), "{length} from {from}");
            }
        }
        assert_eq!(end_of_text(b"a\x7f", 0), Some(1));
        assert_eq!(end_of_text(b"", 0), None);
    }

    #[test]
    fn authorities() {
        for good in ["", "a", "api.example.com", "a:80", "a:", "[::1]", "[::1]:443", "127.0.0.1:65535", "a_b"] {
            assert!(is_authority(good.as_bytes()), "{good}");
        }
        for bad in
            ["a b", "u@a", "a/b", "a:65536", "a:x", "a:1:2", "[::1", "[]", "[::1]x", "a?b", "a\\b", "a#b", "a:123456"]
        {
            assert!(!is_authority(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn targets() {
        assert!(is_target(b"/a|b{}\"%zz?\\^`<>") && is_target("/é".as_bytes()));
        assert!(
            !is_target(b"") && !is_target(b"/a b") && !is_target(b"/a#b") && !is_target(b"/\x7f") && !is_target(b"/\t")
        );
    }
}

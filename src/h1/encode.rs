//! Writing what is ours: numbers, chunk framing, whole small answers.

/// The end of a chunked body without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Puts content into one chunk. Empty content would end the body, so it is left out.
pub fn chunk(content: &[u8], out: &mut Vec<u8>) {
    if content.is_empty() {
        return;
    }
    chunk_size(content.len(), out);
    out.extend_from_slice(content);
    out.extend_from_slice(b"\r\n");
}

/// The line before the content of a chunk. After the content comes CRLF.
pub fn chunk_size(length: usize, out: &mut Vec<u8>) {
    hexadecimal(length, out);
    out.extend_from_slice(b"\r\n");
}

/// `name: value CRLF`.
pub fn field(name: &str, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// `name: `, in the case in which it came.
pub fn name(name: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
}

/// Our own status line. It always names HTTP/1.1, whatever the client speaks (RFC 9110 section 2.5).
pub fn status_line(status: u16, reason: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(&[100, 10, 1].map(|place| DIGITS[usize::from(status / place % 10)]));
    out.push(b' ');
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
}

/// A number in decimal digits.
pub fn decimal(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

fn hexadecimal(mut number: usize, out: &mut Vec<u8>) {
    let mut digits = [0; 16];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = DIGITS[number % 16];
        number /= 16;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for number in [0, 1, 9, 10, 15, 16, 255, 4096, 65_535, u32::MAX as usize] {
            let (mut ten, mut sixteen) = (Vec::new(), Vec::new());
            decimal(number as u64, &mut ten);
            hexadecimal(number, &mut sixteen);
            assert_eq!((ten, sixteen), (number.to_string().into_bytes(), format!("{number:x}").into_bytes()));
        }
    }

    #[test]
    fn an_empty_chunk_would_be_the_last() {
        let mut out = Vec::new();
        chunk(b"", &mut out);
        chunk(b"hello", &mut out);
        assert_eq!(out, b"5\r\nhello\r\n");
    }
}

//! IPv4 addresses in the forms of old: `127.1`, `2130706433`, `0x7f.1`, `0177.0.0.1`. Resolvers and proxies read them
//! still, each in its own way.

use std::net::Ipv4Addr;

/// What a name is, read as an address.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Literal {
    /// Nothing: it is a name.
    Name,
    /// An address; two where some read what begins with a zero as octal, and others as decimal.
    Addresses(Vec<Ipv4Addr>),
    /// It ends in a number, as no name does, but is no address.
    Broken,
}

/// Reads a name as an address.
pub(super) fn read(name: &str) -> Literal {
    let name = name.strip_suffix('.').unwrap_or(name);
    let last = name.rsplit('.').next().unwrap_or_default();
    if last.is_empty() || !(last.bytes().all(|byte| byte.is_ascii_digit()) || hexadecimal(last).is_some()) {
        return Literal::Name;
    }
    let mut addresses: Vec<Ipv4Addr> = [8, 10].into_iter().filter_map(|radix| with_radix(name, radix)).collect();
    addresses.dedup();
    if addresses.is_empty() { Literal::Broken } else { Literal::Addresses(addresses) }
}

/// Reads an address whose parts are in this radix where they begin with a zero. The last part fills all that is left.
fn with_radix(name: &str, zero_radix: u32) -> Option<Ipv4Addr> {
    let parts: Vec<u32> = name.split('.').map(|part| number(part, zero_radix)).collect::<Option<_>>()?;
    let (last, first) = parts.split_last().filter(|(_, first)| first.len() <= 3)?;
    let mut bits = u64::from(*last);
    if bits >> (8 * (4 - first.len())) != 0 {
        return None;
    }
    for (place, part) in first.iter().enumerate() {
        bits |= u64::from(u8::try_from(*part).ok()?) << (8 * (3 - place));
    }
    u32::try_from(bits).ok().map(Ipv4Addr::from_bits)
}

fn number(part: &str, zero_radix: u32) -> Option<u32> {
    if let Some(number) = hexadecimal(part) {
        return number;
    }
    let radix = if part.starts_with('0') { zero_radix } else { 10 };
    let is_number = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| u32::from_str_radix(part, radix).ok()).flatten()
}

/// A part that begins with `0x`, and its value if that is not too large.
fn hexadecimal(part: &str) -> Option<Option<u32>> {
    let digits = part.strip_prefix("0x")?;
    let digits_only = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    digits_only.then(|| if digits.is_empty() { Some(0) } else { u32::from_str_radix(digits, 16).ok() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn addresses(name: &str) -> String {
        match read(name) {
            Literal::Name => "name".to_owned(),
            Literal::Broken => "broken".to_owned(),
            Literal::Addresses(addresses) => addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or "),
        }
    }

    #[test]
    fn old_forms_are_addresses() {
        for name in ["127.1", "127.0.1", "2130706433", "0x7f.1", "0x7f000001", "0x7f.0x0.0x0.0x1", "127.0.0.1."] {
            assert_eq!(addresses(name), "127.0.0.1", "{name}");
        }
        assert_eq!(addresses("0177.0.0.1"), "127.0.0.1 or 177.0.0.1");
        assert_eq!(addresses("017700000001"), "127.0.0.1");
        assert_eq!(addresses("010.0.0.1"), "8.0.0.1 or 10.0.0.1");
        assert_eq!(addresses("08.0.0.1"), "8.0.0.1");
        assert_eq!(addresses("0"), "0.0.0.0");
        assert_eq!(addresses("0x"), "0.0.0.0");
        assert_eq!(addresses("169.254.43518"), "169.254.169.254");
    }

    #[test]
    fn what_ends_in_a_number_is_an_address_or_nothing() {
        for name in
            ["1.2.3.4.5", "256.0.0.1", "127.0.0.256", "4294967296", "a.1", "1..2", "127.16777216", "0x100000000"]
        {
            assert_eq!(addresses(name), "broken", "{name}");
        }
        for name in ["example.com", "1.2.3.4.com", "0x7g", "1e1", "a", "127.0.0.1..", "deadbeef", "7f", "1.0xzz", "x0"]
        {
            assert_eq!(addresses(name), "name", "{name}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever the form, it is the same address.
        #[test]
        fn every_form_is_read(bits: u32) {
            let address = Ipv4Addr::from_bits(bits);
            let [a, b, c, d] = address.octets();
            for form in [
                bits.to_string(),
                format!("0x{bits:x}"),
                format!("0{bits:o}"),
                format!("{a}.{b}.{c}.{d}."),
                format!("{a}.{}", bits & 0xff_ffff),
                format!("0x{a:x}.0{b:o}.{}", bits & 0xffff),
                format!("0{a:o}.0{b:o}.0{c:o}.0{d:o}"),
            ] {
                let is_read = matches!(read(&form), Literal::Addresses(found) if found.contains(&address));
                prop_assert!(is_read, "{form}");
            }
        }

        /// Any name has a reading.
        #[test]
        fn any_name_is_something(name in "[0-9a-fx._-]{0,40}") {
            read(&name);
        }
    }
}

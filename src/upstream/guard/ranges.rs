//! What kind of place an address is: the registries of special purposes (RFC 6890), and what clouds add to them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::error::Ban;

/// Services that hand keys to whoever asks from inside a machine, and are not in the link-local range.
const METADATA: [IpAddr; 8] = [
    // Alibaba, Oracle, Azure.
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    // Amazon, for machines and for pods; Google; Scaleway; Oracle.
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe)),
];

/// The address, and every IPv4 address that it may lead to: what tunnels and translators carry inside of IPv6.
pub(super) fn inside(address: IpAddr) -> Vec<IpAddr> {
    let mut found = vec![address];
    let IpAddr::V6(v6) = address else { return found };
    let bytes = v6.octets();
    let mut add = |a: usize, b: usize, c: usize, d: usize| {
        found.push(Ipv4Addr::new(bytes[a], bytes[b], bytes[c], bytes[d]).into());
    };
    match v6.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => {}
        // Compatible (RFC 4291 section 2.5.5.1), mapped (2.5.5.2), translated (RFC 2765), by a translator (RFC 6052).
        [0, 0, 0, 0, 0, 0 | 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => {
            add(12, 13, 14, 15);
        }
        // By a translator of one's own (RFC 8215), who may use any length of prefix (RFC 6052 section 2.2).
        [0x64, 0xff9b, 1, ..] => {
            add(6, 7, 9, 10);
            add(7, 9, 10, 11);
            add(9, 10, 11, 12);
            add(12, 13, 14, 15);
        }
        // 6to4 (RFC 3056).
        [0x2002, ..] => add(2, 3, 4, 5),
        // Teredo (RFC 4380): a server, and a client in disguise.
        [0x2001, 0, ..] => {
            add(4, 5, 6, 7);
            found.push(Ipv4Addr::new(!bytes[12], !bytes[13], !bytes[14], !bytes[15]).into());
        }
        // ISATAP (RFC 5214).
        [_, _, _, _, 0 | 0x200, 0x5efe, ..] => add(12, 13, 14, 15),
        _ => {}
    }
    found
}

/// What is refused whatever a route allows.
pub(super) fn never(address: IpAddr) -> Option<Ban> {
    let is_link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    if is_link_local { Some(Ban::LinkLocal) } else { METADATA.contains(&address).then_some(Ban::Metadata) }
}

/// Whether an address is reached over the internet. Of one that carries another, the other decides too.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    match address.octets() {
        // This host, private, loopback; multicast, reserved, broadcast.
        [0 | 10 | 127 | 224..=255, ..] => false,
        // Shared by a provider's customers (RFC 6598).
        [100, second, ..] => !(64..=127).contains(&second),
        [169, second, ..] => second != 254,
        [172, second, ..] => !(16..=31).contains(&second),
        // Private; protocols, documentation, relays of 6to4.
        [192, second, third, _] => !matches!((second, third), (168, _) | (0, 0 | 2) | (88, 99)),
        // Benchmarks, documentation.
        [198, second, third, _] => !matches!((second, third), (18 | 19, _) | (51, 100)),
        [203, 0, 113, _] => false,
        _ => true,
    }
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    match address.segments() {
        // What these carry decides.
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] | [0x2002, ..] => true,
        // Protocols (Teredo among them), documentation.
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => false,
        [first, ..] => (0x2000..=0x3fff).contains(&first),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    fn is_public_throughout(text: &str) -> bool {
        inside(address(text)).into_iter().all(is_public)
    }

    #[test]
    fn what_is_public_is_reached_over_the_internet() {
        for text in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.1",
            "192.167.255.255",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:4860:4860::8888",
            "2a00:1450::1",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2002:808:808::1",
        ] {
            assert!(is_public_throughout(text), "{text}");
        }
        for text in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fc00::1",
            "fdff::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "100::1",
            "5f00::1",
            "2001:db8::1",
            "3fff::1",
            "2001::1",
            "2001:20::1",
            "::8.8.8.8",
            "::ffff:10.0.0.1",
            "::ffff:0:8.8.8.8",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::8.8.8.8",
            "2002:a00:1::1",
        ] {
            assert!(!is_public_throughout(text), "{text}");
        }
    }

    #[test]
    fn what_is_never_reached_is_found_in_every_disguise() {
        let ban = |text: &str| inside(address(text)).into_iter().find_map(never);
        for text in [
            "169.254.169.254",
            "169.254.0.0",
            "fe80::1",
            "febf::1",
            "::169.254.169.254",
            "::ffff:169.254.169.254",
            "::ffff:0:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::a9fe:a9fe",
            "64:ff9b:1:a9fe:00a9:fe00::",
            "64:ff9b:1:a9:fe:a9fe::",
            "64:ff9b:1:0:a9:fea9:fe00::",
            "2002:a9fe:a9fe::1",
            "2001:0:a9fe:a9fe::1",
            "2001:0:808:808:0:0:5601:5601",
            "2001:db8::5efe:a9fe:a9fe",
            "2001:db8::200:5efe:a9fe:a9fe",
        ] {
            assert_eq!(ban(text), Some(Ban::LinkLocal), "{text}");
        }
        for text in ["100.100.100.200", "::ffff:100.100.100.200", "fd00:ec2::254", "fd20:ce::254", "168.63.129.16"] {
            assert_eq!(ban(text), Some(Ban::Metadata), "{text}");
        }
        for text in ["127.0.0.1", "10.0.0.1", "::1", "::", "fd00::1", "169.253.1.1", "fec0::1", "100.100.100.201"] {
            assert_eq!(ban(text), None, "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// An IPv4 address is the same place in every form of IPv6 that has a place for it.
        #[test]
        fn every_form_carries_its_address(bits: u32, tail: u16) {
            let v4 = Ipv4Addr::from_bits(bits);
            let [high, low] = [(bits >> 16) as u16, (bits & 0xffff) as u16];
            prop_assume!(bits > 1);
            for form in [
                Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low),
                v4.to_ipv6_mapped(),
                Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, high, low),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, high, low),
                Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, tail),
                Ipv6Addr::new(0x2001, 0, high, low, 0, 0, tail, 0),
                Ipv6Addr::new(0x2001, 0, tail, 1, 0, 0, !high, !low),
                Ipv6Addr::new(0xfe80, 0, 0, tail, 0, 0x5efe, high, low),
            ] {
                prop_assert!(inside(form.into()).contains(&v4.into()), "{form}");
            }
        }
    }
}

use super::*;

fn hosts(entries: &[&str]) -> Hosts {
    entries.iter().fold(Hosts::default(), |hosts, entry| hosts.with(entry).expect(entry))
}

fn host(text: &str) -> Host {
    Host::with_port(text).expect(text).0
}

fn check(guard: &Guard, text: &str) -> Result<(), Ban> {
    guard.check(&host(text)).map_err(|forbidden| forbidden.ban())
}

fn resolved(guard: &Guard, name: &str, addresses: &[&str]) -> Result<(), Ban> {
    let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().expect("an address")).collect();
    check(guard, name)?;
    guard.check_addresses(&host(name), &addresses).map_err(|forbidden| forbidden.ban())
}

#[test]
fn what_hands_out_keys_is_refused_by_every_guard() {
    let lax = Guard { allow: Some(hosts(&["0.0.0.0/0", "::/0", "metadata", "*.google.internal"])), ..Guard::default() };
    for guard in [&Guard::default(), &lax] {
        for name in ["metadata", "METADATA.google.internal", "metadata.google.internal.", "a.metadata.google.internal"]
        {
            assert_eq!(check(guard, name), Err(Ban::Metadata), "{name}");
        }
        for literal in
            ["169.254.169.254", "2852039166", "0xa9fea9fe", "169.254.43518", "0251.0376.0251.0376", "[fe80::1]"]
        {
            assert_eq!(check(guard, literal), Err(Ban::LinkLocal), "{literal}");
        }
        assert_eq!(resolved(guard, "evil.example", &["8.8.8.8", "169.254.169.254"]), Err(Ban::LinkLocal));
        assert_eq!(check(guard, "1.2.3.4.5"), Err(Ban::Ambiguous));
    }
    for host in ["localhost", "127.0.0.1", "10.0.0.1", "ollama.lan", "[::1]", "metadata.example.com"] {
        assert_eq!(check(&Guard::default(), host), Ok(()), "{host}");
    }
}

#[test]
fn only_public_addresses_are_left_where_private_ones_are_not_allowed() {
    let guard = Guard { allow_private: false, ..Guard::default() };
    for host in ["localhost", "a.localhost.", "127.1", "0177.0.0.1", "010.0.0.1", "[::1]", "[::ffff:10.0.0.1]", "0"] {
        assert_eq!(check(&guard, host), Err(Ban::Private), "{host}");
    }
    assert_eq!(resolved(&guard, "h.example", &["8.8.8.8", "2606:4700::1"]), Ok(()));
    assert_eq!(resolved(&guard, "h.example", &["8.8.8.8", "10.0.0.1"]), Err(Ban::Private));
    assert_eq!(resolved(&guard, "h.example", &["64:ff9b::7f00:1"]), Err(Ban::Private));
}

#[test]
fn the_allowed_are_the_only_ones_and_the_denied_never_are() {
    let names = Guard { allow: Some(hosts(&["api.example.com", "*.openai.com"])), ..Guard::default() };
    assert_eq!(resolved(&names, "api.example.com", &["10.0.0.1"]), Ok(()));
    assert_eq!(check(&names, "evil.org"), Err(Ban::NotAllowed));
    assert_eq!(check(&names, "8.8.8.8"), Err(Ban::NotAllowed));
    assert_eq!(check(&names, "134744072"), Err(Ban::NotAllowed));
    assert!(!names.needs_addresses());

    let networks = Guard { allow: Some(hosts(&["10.0.0.0/8", "h.example"])), ..Guard::default() };
    assert_eq!(resolved(&networks, "in.example", &["10.0.0.1"]), Ok(()));
    assert_eq!(resolved(&networks, "in.example", &["10.0.0.1", "8.8.8.8"]), Err(Ban::NotAllowed));
    assert_eq!(resolved(&networks, "h.example", &["8.8.8.8"]), Ok(()));
    assert_eq!(check(&networks, "10.9.9.9"), Ok(()));
    assert!(networks.needs_addresses());

    let denied = Guard {
        allow: Some(hosts(&["*.example.com", "10.0.0.0/8"])),
        deny: hosts(&["secret.example.com", "10.1.0.0/16"]),
        ..Guard::default()
    };
    assert_eq!(check(&denied, "secret.example.com."), Err(Ban::Denied));
    assert_eq!(resolved(&denied, "a.example.com", &["10.1.0.1"]), Err(Ban::Denied));
    assert_eq!(check(&denied, "[::ffff:10.1.0.1]"), Err(Ban::Denied));
    assert_eq!(check(&denied, "10.2.0.1"), Ok(()));

    let nobody = Guard { allow: Some(Hosts::default()), ..Guard::default() };
    assert_eq!(check(&nobody, "h"), Err(Ban::NotAllowed));
}

#[test]
fn the_log_reads_which_address_and_which_entry() {
    let guard = Guard { deny: hosts(&["10.0.0.0/8"]), ..Guard::default() };
    let detail = |name: &str, address: &str| {
        let address = address.parse().expect("an address");
        guard.check_addresses(&host(name), &[address]).expect_err("refused").to_string()
    };
    assert_eq!(detail("h.example", "10.0.0.7"), "h.example (10.0.0.7, 10.0.0.0/8)");
    assert_eq!(detail("h.example", "169.254.1.1"), "h.example (169.254.1.1)");
    assert_eq!(detail("169.254.1.1", "169.254.1.1"), "169.254.1.1");
    let error = Error::from(guard.check(&host("10.0.0.7")).expect_err("refused"));
    assert_eq!((error.kind().status(), error.kind().code()), (403, "target_forbidden"));
    assert!(!error.answer().contains("10."), "{}", error.answer());
}

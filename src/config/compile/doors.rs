//! How clients come in.

use std::sync::Arc;
use std::time::Duration;

use super::Compiler;
use crate::accept::tls::{BadIdentity, Identity, Tls};
use crate::accept::{BadPlace, Greeting, Place, Trusted};
use crate::config::raw;
use crate::config::scalar::Pem;
use crate::jsonc::Path;
use crate::os;
use crate::secret::Secret;
use crate::text::{DoorProblem, Problem};

impl Compiler<'_> {
    /// Where to listen.
    pub(super) fn places(&mut self, server: &raw::Server, path: &Path) -> Vec<Place> {
        let Some(listen) = &server.listen else {
            let place = match Place::local(&server.host) {
                None => Ok(Place::Port { host: server.host.clone(), port: server.port.0 }),
                Some(place) => place,
            };
            return self.place(place, &path.key("host")).into_iter().collect();
        };
        let path = path.key("listen");
        if listen.is_empty() {
            self.error(&path, DoorProblem::NoPlace.into());
        }
        let mut places: Vec<Place> = Vec::with_capacity(listen.len());
        for (number, text) in listen.iter().enumerate() {
            let path = path.index(number);
            let Some(place) = self.place(Place::parse(text), &path) else { continue };
            // Any free port is another one each time.
            if places.contains(&place) && !matches!(place, Place::Port { port: 0, .. }) {
                self.error(&path, DoorProblem::RepeatedPlace.into());
            } else {
                places.push(place);
            }
        }
        places
    }

    fn place(&mut self, place: Result<Place, BadPlace>, path: &Path) -> Option<Place> {
        place.map_err(|bad| self.error(path, bad.into())).ok()
    }

    /// How clients are received.
    pub(super) fn greeting(&mut self, server: &raw::Server, timeout: Option<Duration>, path: &Path) -> Greeting {
        let mut trusted = Trusted::default();
        let list = path.key("trusted_proxies");
        for (number, text) in server.trusted_proxies.iter().enumerate() {
            match trusted.clone().with(text) {
                Some(more) => trusted = more,
                None => self.error(&list.index(number), DoorProblem::BadNetwork.into()),
            }
        }
        if server.proxy_protocol && server.trusted_proxies.is_empty() {
            self.error(&path.key("proxy_protocol"), DoorProblem::NobodyTrusted.into());
        }
        let tls = server.tls.as_ref().and_then(|raw| self.client_tls(raw, &path.key("tls")));
        Greeting { proxy_protocol: server.proxy_protocol, trusted, tls, timeout }
    }

    /// How TLS is spoken to clients. A reload that changes nothing of it keeps its sessions.
    fn client_tls(&mut self, raw: &raw::ServerTls, path: &Path) -> Option<Arc<Tls>> {
        let (Some(certificate), Some(key)) = (&raw.cert, &raw.key) else {
            self.error(path, DoorProblem::IncompleteTls.into());
            return None;
        };
        let no_certificate = || DoorProblem::BadCertificate("no certificate in it".to_owned());
        let certificate = self.pem(certificate, &path.key("cert"), no_certificate);
        let key_path = path.key("key");
        if let Some(file) = key.file(self.context.around.directory).filter(|file| os::is_readable_by_all(file)) {
            self.warn(&key_path, DoorProblem::ReadableKey { file: file.display().to_string() }.into());
        }
        let key = self.pem(key, &key_path, || DoorProblem::BadKey);
        let client_authorities = match &raw.client_ca {
            Some(authorities) => Some(self.pem(authorities, &path.key("client_ca"), no_certificate)?),
            None => None,
        };
        let identity = Identity { certificate: certificate?, key: Secret::new(key?), client_authorities };
        let previous = self.context.previous.and_then(|previous| previous.greeting.tls.as_ref());
        if let Some(previous) = previous.filter(|previous| *previous.identity() == identity) {
            return Some(Arc::clone(previous));
        }
        match Tls::new(identity) {
            Ok(tls) => Some(Arc::new(tls)),
            Err(bad) => {
                let (field, problem) = match bad {
                    BadIdentity::Certificate(why) => ("cert", DoorProblem::BadCertificate(why)),
                    BadIdentity::Key => ("key", DoorProblem::BadKey),
                    BadIdentity::OtherKey => ("key", DoorProblem::OtherKey),
                    BadIdentity::Authorities(why) => ("client_ca", DoorProblem::BadCertificate(why)),
                };
                self.error(&path.key(field), problem.into());
                None
            }
        }
    }

    /// The text of a PEM file. What cannot be the path of one is told as what it is not.
    fn pem(&mut self, pem: &Pem, path: &Path, is_none: impl Fn() -> DoorProblem) -> Option<Vec<u8>> {
        let directory = self.context.around.directory;
        match pem.read(directory) {
            Ok(text) => Some(text),
            Err(_) if !pem.is_like_path() => {
                self.error(path, is_none().into());
                None
            }
            Err((file, error)) => {
                let (file, why) = (file.display().to_string(), error.to_string());
                self.error(path, Problem::UnreadableFile { file, why });
                None
            }
        }
    }
}

/// Whether others than this machine can come in there.
pub(super) fn is_public(place: &Place) -> bool {
    match place {
        Place::Port { host, .. } => {
            let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
            !host.eq_ignore_ascii_case("localhost") && !address.is_ok_and(|address| address.is_loopback())
        }
        Place::Local(_) => false,
    }
}

impl From<BadPlace> for Problem {
    fn from(bad: BadPlace) -> Self {
        Self::Door(match bad {
            BadPlace::BadForm => DoorProblem::BadPlace,
            BadPlace::LongPath => DoorProblem::LongPath,
            BadPlace::NoLocalSockets => DoorProblem::NoLocalSockets,
        })
    }
}

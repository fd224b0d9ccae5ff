//! Certificates as text.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{Error, PemObject};

/// The certificates in a PEM text.
///
/// # Errors
/// There is none in it, or one is broken.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err("no certificate in it".to_owned()),
        Ok(certificates) => Ok(certificates),
        // Nothing of the text itself is told: a key may stand in it, too.
        Err(Error::IllegalSectionStart { .. }) => Err("a BEGIN line in it is broken".to_owned()),
        Err(Error::MissingSectionEnd { .. }) => Err("an END line is missing in it".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_refused() {
        for pem in ["", "x", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----"] {
            assert!(certificates(pem.as_bytes()).is_err(), "{pem}");
        }
    }

    #[test]
    fn a_key_in_it_is_not_told() {
        for pem in ["-----BEGIN PRIVATE KEY-----c2VjcmV0", "-----BEGIN c2VjcmV0-----\nc2VjcmV0"] {
            let error = certificates(pem.as_bytes()).expect_err("broken");
            assert!(!error.contains("c2VjcmV0"), "{error}");
        }
    }
}

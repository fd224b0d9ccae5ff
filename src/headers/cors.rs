//! Which pages in browsers may read answers (CORS, as the Fetch standard has it).
//!
//! The operator's word stands in the place of the upstream's: what it says of origins is about its own address, not
//! ours. A browser asks beforehand whether it may send what a page wants to send (a preflight), without any key; that is
//! answered here. None of it keeps anybody from anything but browsers from showing answers to pages.

use crate::h1::{RequestHead, encode, list, token};

/// The rules for pages.
#[derive(Debug, Clone)]
pub struct Cors {
    /// Whose pages.
    pub origins: Origins,
    /// The request headers that they may send. `None`: any.
    pub headers: Option<Vec<Box<str>>>,
    /// The answer headers that they may read besides those that every page may: the value of the field, if there is one.
    pub expose: Option<Box<str>>,
    /// For how many seconds a browser may remember what it was told.
    pub max_age: u64,
}

/// Whose pages may read answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// Everybody's.
    Any,
    /// Those of these origins, as browsers write them.
    Listed(Vec<Box<str>>),
}

/// A page of another origin asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAllowed;

impl Cors {
    /// What every answer to this request says, as lines of its head.
    #[must_use]
    pub fn answer_lines(&self, head: &RequestHead) -> Box<[u8]> {
        let mut out = Vec::new();
        if self.allow(origin(head), &mut out)
            && let Some(expose) = &self.expose
        {
            encode::field("Access-Control-Expose-Headers", expose.as_bytes(), &mut out);
        }
        if self.origins != Origins::Any {
            // Whoever keeps the answer for others has to know that theirs may be another.
            encode::field("Vary", b"Origin", &mut out);
        }
        out.into()
    }

    /// What the answer to a preflight says, as lines of its head.
    ///
    /// # Errors
    /// The page is not one of those that may ask.
    pub fn preflight_lines(&self, head: &RequestHead) -> Result<Box<[u8]>, NotAllowed> {
        let mut out = Vec::new();
        if !self.allow(origin(head), &mut out) {
            return Err(NotAllowed);
        }
        if let Some(method) = head.fields.values(b"access-control-request-method").next() {
            encode::field("Access-Control-Allow-Methods", method, &mut out);
        }
        let asked = head.fields.values(b"access-control-request-headers").flat_map(list);
        let allowed: Vec<_> = asked.filter(|name| token::is_token(name) && self.allows_header(name)).collect();
        if !allowed.is_empty() {
            encode::field("Access-Control-Allow-Headers", &allowed.join(&b", "[..]), &mut out);
        }
        encode::field("Access-Control-Max-Age", self.max_age.to_string().as_bytes(), &mut out);
        out.extend_from_slice(b"Vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers\r\n");
        Ok(out.into())
    }

    /// Says that the page may read the answer, if it may.
    fn allow(&self, origin: Option<&[u8]>, out: &mut Vec<u8>) -> bool {
        match (&self.origins, origin) {
            (Origins::Any, _) => {
                // Without credentials: whoever is logged in somewhere must not thereby be every page.
                encode::field("Access-Control-Allow-Origin", b"*", out);
                true
            }
            (Origins::Listed(listed), Some(origin)) if listed.iter().any(|known| known.as_bytes() == origin) => {
                encode::field("Access-Control-Allow-Origin", origin, out);
                encode::field("Access-Control-Allow-Credentials", b"true", out);
                true
            }
            (Origins::Listed(_), _) => false,
        }
    }

    fn allows_header(&self, name: &[u8]) -> bool {
        let is_it = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        self.headers.as_ref().is_none_or(|headers| headers.iter().any(|known| is_it(known)))
    }
}

/// Whether a browser asks by this request whether it may send another.
#[must_use]
pub fn is_preflight(head: &RequestHead) -> bool {
    head.is("OPTIONS")
        && origin(head).is_some()
        && head.fields.values(b"access-control-request-method").next().is_some_and(token::is_token)
}

/// Whether a field says what pages of other origins may do, which is ours to say where there are rules.
pub(super) fn is_about_pages(name: &[u8]) -> bool {
    const START: &[u8] = b"access-control-";
    name.get(..START.len()).is_some_and(|start| start.eq_ignore_ascii_case(START))
}

/// Whose page asks. Two answers to that are none.
fn origin(head: &RequestHead) -> Option<&[u8]> {
    let mut origins = head.fields.values(b"origin");
    origins.next().filter(|origin| !origin.is_empty() && origins.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h1::{Limits, RequestReader};

    fn head(method: &str, fields: &str) -> RequestHead {
        let text = format!("{method} / HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        RequestReader::default().read(text.as_bytes(), &Limits::REQUEST).expect("valid").expect("whole").0
    }

    fn listed() -> Cors {
        let origins = Origins::Listed(vec!["https://app.example.com".into(), "http://localhost:5173".into()]);
        Cors { origins, headers: None, expose: None, max_age: 600 }
    }

    fn any() -> Cors {
        Cors { origins: Origins::Any, ..listed() }
    }

    fn answer(cors: &Cors, fields: &str) -> String {
        String::from_utf8(cors.answer_lines(&head("POST", fields)).into()).expect("text")
    }

    fn preflight(cors: &Cors, fields: &str) -> Result<String, NotAllowed> {
        let fields = format!("Access-Control-Request-Method: POST\r\n{fields}");
        cors.preflight_lines(&head("OPTIONS", &fields)).map(|lines| String::from_utf8(lines.into()).expect("text"))
    }

    #[test]
    fn listed_pages_may_read_and_others_are_told_nothing() {
        let allowed = "Access-Control-Allow-Origin: https://app.example.com\r\nAccess-Control-Allow-Credentials: true\r\nVary: Origin\r\n";
        assert_eq!(answer(&listed(), "Origin: https://app.example.com\r\n"), allowed);
        for other in [
            "",
            "Origin: https://app.example.com.evil.example\r\n",
            "Origin: http://app.example.com\r\n",
            "Origin: https://app.example.com:8443\r\n",
            "Origin: https://APP.example.com\r\n",
            "Origin: null\r\n",
            "Origin:\r\n",
            "Origin: https://app.example.com\r\nOrigin: https://evil.example\r\n",
            "Origin: https://app.example.com https://evil.example\r\n",
        ] {
            assert_eq!(answer(&listed(), other), "Vary: Origin\r\n", "{other}");
            assert_eq!(preflight(&listed(), other), Err(NotAllowed), "{other}");
        }
    }

    #[test]
    fn everybody_is_never_told_of_credentials() {
        for origin in ["", "Origin: https://evil.example\r\n", "Origin: null\r\n"] {
            assert_eq!(answer(&any(), origin), "Access-Control-Allow-Origin: *\r\n", "{origin}");
        }
        let exposed = Cors { expose: Some("x-a, x-b".into()), ..any() };
        assert_eq!(
            answer(&exposed, ""),
            "Access-Control-Allow-Origin: *\r\nAccess-Control-Expose-Headers: x-a, x-b\r\n"
        );
    }

    #[test]
    fn what_a_page_asks_for_is_said_again_if_it_may() {
        let asks = "Origin: https://app.example.com\r\nAccess-Control-Request-Headers: authorization,X-Stainless-OS\r\nAccess-Control-Request-Headers: x-a, bad name\r\n";
        let said = preflight(&listed(), asks).expect("allowed");
        assert_eq!(
            said,
            "Access-Control-Allow-Origin: https://app.example.com\r\nAccess-Control-Allow-Credentials: true\r\nAccess-Control-Allow-Methods: POST\r\nAccess-Control-Allow-Headers: authorization, X-Stainless-OS, x-a\r\nAccess-Control-Max-Age: 600\r\nVary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers\r\n"
        );
        let few = Cors { headers: Some(vec!["Authorization".into()]), max_age: 0, ..any() };
        let said = preflight(&few, asks).expect("allowed");
        assert!(
            said.contains("Access-Control-Allow-Headers: authorization\r\nAccess-Control-Max-Age: 0\r\n"),
            "{said}"
        );
        assert!(!said.contains("Credentials"), "{said}");
        let none = Cors { headers: Some(Vec::new()), ..any() };
        assert!(!preflight(&none, asks).expect("allowed").contains("Allow-Headers"));
    }

    #[test]
    fn a_preflight_has_all_that_makes_one() {
        let asks = "Origin: https://a\r\nAccess-Control-Request-Method: POST\r\n";
        assert!(is_preflight(&head("OPTIONS", asks)));
        for (method, fields) in [
            ("GET", asks),
            ("OPTIONS", "Origin: https://a\r\n"),
            ("OPTIONS", "Access-Control-Request-Method: POST\r\n"),
            ("OPTIONS", "Origin: https://a\r\nAccess-Control-Request-Method: \r\n"),
            ("OPTIONS", "Origin: https://a\r\nAccess-Control-Request-Method: P OST\r\n"),
        ] {
            assert!(!is_preflight(&head(method, fields)), "{method} {fields}");
        }
    }

    #[test]
    fn fields_about_pages_are_known_in_any_case() {
        assert!(is_about_pages(b"ACCESS-Control-Allow-Origin") && is_about_pages(b"access-control-max-age"));
        assert!(!is_about_pages(b"access-control") && !is_about_pages(b"x-access-control-allow-origin"));
    }
}

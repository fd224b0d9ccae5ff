//! A bug to order. It is there so that a test can see what one costs, and is in no release.

use crate::h1::RequestHead;

/// Which path has it.
const PLACE: &str = "AQUEDUCT_BUG_AT";

/// Panics if the environment says that a request for this path meets a bug.
pub(super) fn meet(head: &RequestHead) {
    let Ok(place) = std::env::var(PLACE) else { return };
    let path = head.raw_target().split(|&byte| byte == b'?').next();
    assert!(
        path != Some(place.as_bytes()),
        "a bug at {place}, met by {:?}",
        String::from_utf8_lossy(head.raw_target())
    );
}

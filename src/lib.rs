//! Aqueduct: a reverse proxy for LLM APIs.
//!
//! One small binary between programs that speak to model providers and the providers themselves. The first path
//! segment picks a route, the proxy adds the right keys, and streams every byte at once.
//!
//! The house, in the order in which a request walks through it:
//!
//! ```text
//! cli ──> app ──> proxy ─┬─> accept    where clients come in, and how their requests are read
//!          │             ├─> route     which route a request takes, and where that leads
//!          │             ├─> admit     whose key is good, and who may begin where there is a limit
//!          │             ├─> pick      which key and which target it takes, of several
//!          │             ├─> headers   which header fields go on
//!          │             ├─> upstream  connections to upstreams
//!          │             ├─> relay     both directions at once, every wait with a limit
//!          │             ├─> retry     whether a request is sent once more, and how soon
//!          │             ├─> usage     what answers say of the tokens they took, read along
//!          │             └─> record    what is known of each exchange
//!          └──> config   as written, as compiled, in force
//! ```
//!
//! Beside the way stands `demo`, a fake provider for a first look and for the tests. Under everything lies the ground:
//!
//! ```text
//! h1        HTTP/1.1 without sockets          wire      a stream, and what has arrived on it
//! h2        HTTP/2 behind the same types
//! error     what can go wrong, a closed set   ending    how an exchange ended
//! origin    where an upstream lives           peer      who a client is
//! drain     who is still at work              deadline  one timer for all the limits of a connection
//! secret    what must not be shown            text      every sentence, in English and Chinese
//! jsonc     JSON as people write it           os        what only some systems have
//! stock     small storage, used over and over pem       certificates as text
//! sse       where events end, and what they say
//! spending  tokens and money
//! ```
//!
//! Floors: the ground imports only the ground; stations (`accept` to `record`, and `demo`) import the ground and not
//! each other; `config` compiles the stations' policies; `proxy` strings the stations together; `app` runs it; `cli`
//! starts it. A test holds every `use` against this drawing.

pub mod accept;
pub mod admit;
pub mod app;
pub mod cli;
pub mod config;
pub mod deadline;
pub mod demo;
pub mod drain;
pub mod ending;
pub mod error;
pub mod h1;
pub mod h2;
pub mod headers;
pub mod jsonc;
pub mod origin;
pub mod os;
pub mod peer;
pub mod pem;
pub mod pick;
pub mod proxy;
pub mod record;
pub mod relay;
pub mod retry;
pub mod route;
pub mod secret;
pub mod spending;
pub mod sse;
pub mod stock;
pub mod text;
pub mod upstream;
pub mod usage;
pub mod wire;

//! The contract, line by line, against the real binary and real sockets.

mod support;

mod answers;
mod command_line;
mod config_file;
mod corpus;
mod documents;
mod doors;
mod ending;
mod errors;
mod house;
mod http2_clients;
mod http2_upgrades;
mod http2_upstreams;
mod logging;
mod messages;
mod oracle;
mod programs;
mod programs_proxies;
mod proxy_protocol;
mod reloading;
mod request_heads;
mod reuse;
mod routing;
mod streaming;
mod time_limits;
mod tls;
mod tls_in;
mod tunnels;
mod upgrades;
mod uploads;
mod ways_out;
mod ways_out_socks;
mod ways_out_tunnels;
mod websockets;
mod which_way;

//! Measures proxies side by side. `compare` is the driver; the other commands are the processes that it starts.

mod compare;
mod features;
mod growth;
mod http2;
mod instructions;
mod load;
mod peers;
mod plot;
mod proc;
mod report;
mod reuse;
mod tls;
mod upstream;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// A fake upstream, a load generator and a driver that measures proxies side by side.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves as a fake upstream on one thread.
    Upstream {
        /// Where to listen. TLS is spoken on the next port, HTTP/2 over TLS on the one after that; on the third one
        /// connections are closed when they have been idle for a moment.
        #[arg(long, default_value = "127.0.0.1:9801")]
        listen: SocketAddr,
        /// Where its certificate is written to, so that others can trust it.
        #[arg(long)]
        certificate: Option<PathBuf>,
    },
    /// Puts one kind of load on a proxy and prints one line of figures.
    Load(load::Load),
    /// Measures the product and its peers in turn and prints a table.
    Compare(compare::Compare),
    /// Measures how the cost grows with connections, streams, routes and workers, and draws it.
    Growth(growth::Growth),
    /// Measures what each optional feature of the product costs.
    Features(features::Features),
    /// Counts the instructions that a unit of work takes, under valgrind.
    Instructions(instructions::Instructions),
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    match Arguments::parse().command {
        Command::Upstream { listen, certificate } => block_on(upstream::serve(listen, certificate.as_deref())),
        Command::Load(load) if load.kind.counts() => {
            block_on(load::count(&load))?.iter().for_each(report::print_count);
            Ok(())
        }
        Command::Load(load) => {
            let figures = block_on(load::run(&load))?;
            report::print_line(&figures);
            Ok(())
        }
        Command::Compare(compare) => compare::run(&compare),
        Command::Growth(growth) => growth::run(&growth),
        Command::Features(features) => features::run(&features),
        Command::Instructions(instructions) => instructions::run(&instructions),
    }
}

fn block_on<T>(
    work: impl Future<Output = Result<T, Box<dyn std::error::Error>>>,
) -> Result<T, Box<dyn std::error::Error>> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(tokio::runtime::LocalOptions::default())?
        .block_on(work)
}

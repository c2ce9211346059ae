//! What runs inside the pods of a world beside the real parts: a small
//! application, and clients for it. Clients answer in JSON on standard output;
//! what goes wrong is said on standard error, with a failing exit code.

mod claim;
mod dial;
mod door;
mod hello;
mod record;
mod requests;
mod sidecar;
mod transfer;
mod witness;

use anyhow::Result;
use clap::Parser;

#[derive(Debug, Parser)]
#[command(about = "What runs inside the pods of a world")]
enum Command {
    /// The application: says who it is and how its caller came in.
    Helloworld(hello::Args),
    /// A client of it, through the pod's sidecar.
    Load(requests::Args),
    /// Moves a body one way and compares it.
    Transfer(transfer::Args),
    /// Speaks mesh TLS itself, to any address, as any sidecar could.
    TlsDial(dial::Args),
    /// Subscribes to endpoints as a sidecar does, and tells each that comes or goes.
    Record(record::Args),
    /// A sidecar in the place of an Envoy.
    Sidecar(sidecar::Args),
    /// Asks for clusters as somebody, and says what it is answered.
    Claim(claim::Args),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    match Command::parse() {
        Command::Helloworld(args) => hello::run(args).await,
        Command::Load(args) => requests::run(args).await,
        Command::Transfer(args) => transfer::run(args).await,
        Command::TlsDial(args) => dial::run(args).await,
        Command::Record(args) => record::run(args).await,
        Command::Sidecar(args) => sidecar::run(args).await,
        Command::Claim(args) => claim::run(args).await,
    }
}

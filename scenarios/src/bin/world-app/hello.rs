//! `helloworld`: the application of every world.

use std::net::SocketAddr;

use anyhow::Result;
use scenarios::hello;

/// How the application calls itself, and where it listens.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    listen: SocketAddr,
    #[arg(long)]
    version: String,
    #[arg(long)]
    pod: String,
}

pub(crate) async fn run(args: Args) -> Result<()> {
    let listener = tokio::net::TcpListener::bind(args.listen).await?;
    Ok(hello::serve(listener, args.version, args.pod).await?)
}

//! `isthmus trust`: make CAs, issue leaves, look at chains, serve secrets.

mod create;
mod handover;
mod sds;
mod show;

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, SystemTime},
};

use clap::Subcommand;
use tokio_util::sync::CancellationToken;
use trust_lib::{
    certificate::{Certificate, timestamp},
    identity::{SpiffeId, TrustDomain},
};

/// Certificates of a mesh: one root, one intermediate per cluster, leaves for workloads.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make the root of a new mesh, and an issuer below it if asked.
    Init(Init),
    /// Make the intermediate CA of a cluster (Istio's `cacerts` layout, pathlen 0).
    Intermediate(Intermediate),
    /// Make the key of a cluster's intermediate here, and a request for its certificate.
    Request(RequestCa),
    /// Sign such a request, at the root or the issuer.
    Sign(Sign),
    /// Make the cluster's CA of its key and what was signed (Istio's `cacerts` layout).
    Accept(Accept),
    /// Issue a leaf for one workload.
    Issue(Issue),
    /// Show a chain, and say whether it is to be believed; exits with 1 when it is not.
    Show(show::Show),
    /// Serve leaves to the workloads of this machine, and renew them.
    Sds(sds::Sds),
}

#[derive(Debug, clap::Args)]
struct Init {
    /// Directory to make for the root. Keep its key offline.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The mesh's trust domain.
    #[arg(long, value_name = "TD", default_value = "cluster.local")]
    trust_domain: TrustDomain,
    /// How long the root is valid.
    #[arg(long, default_value = "3650d", value_parser = humantime::parse_duration)]
    lifetime: Duration,
    /// Also make a mesh issuer below the root, in this directory.
    #[arg(long, value_name = "DIR")]
    issuer: Option<PathBuf>,
    /// How long the issuer is valid.
    #[arg(long, default_value = "1825d", value_parser = humantime::parse_duration)]
    issuer_lifetime: Duration,
    /// The generation in the names: one more for each root that follows another.
    #[arg(long, default_value_t = 1)]
    generation: u32,
}

#[derive(Debug, clap::Args)]
struct Intermediate {
    /// Directory of the CA that signs: the root or the issuer.
    #[arg(long, value_name = "DIR")]
    ca: PathBuf,
    /// Name of the cluster.
    #[arg(long, value_parser = cluster)]
    cluster: String,
    /// Directory to make.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How long it is valid; never longer than its signer.
    #[arg(long, default_value = "90d", value_parser = humantime::parse_duration)]
    lifetime: Duration,
    /// The generation in its name: one more for each that follows another.
    #[arg(long, default_value_t = 1)]
    generation: u32,
}

#[derive(Debug, clap::Args)]
struct RequestCa {
    /// Name of the cluster.
    #[arg(long, value_parser = cluster)]
    cluster: String,
    /// Directory to make. Its key stays in it.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

#[derive(Debug, clap::Args)]
struct Sign {
    /// Directory of the CA that signs: the root or the issuer.
    #[arg(long, value_name = "DIR")]
    ca: PathBuf,
    /// The request, `ca-request.pem` of the directory that `isthmus trust request` made.
    #[arg(long, value_name = "FILE")]
    request: PathBuf,
    /// Name of the cluster that is certified; what the request says of itself does not count.
    #[arg(long, value_parser = cluster)]
    cluster: String,
    /// File to make.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// How long it is valid; never longer than its signer.
    #[arg(long, default_value = "90d", value_parser = humantime::parse_duration)]
    lifetime: Duration,
    /// The generation in its name: one more for each that follows another.
    #[arg(long, default_value_t = 1)]
    generation: u32,
}

#[derive(Debug, clap::Args)]
struct Accept {
    /// The directory that `isthmus trust request` made.
    #[arg(long, value_name = "DIR")]
    request: PathBuf,
    /// The file that `isthmus trust sign` wrote.
    #[arg(long, value_name = "FILE")]
    signed: PathBuf,
    /// Directory to make.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

#[derive(Debug, clap::Args)]
struct Issue {
    /// Directory of the CA that signs.
    #[arg(long, value_name = "DIR")]
    ca: PathBuf,
    /// Who it is for: `spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT`.
    #[arg(long, value_name = "SPIFFE-ID")]
    identity: SpiffeId,
    /// Leaf directory to write, or to replace.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How long it is valid; never longer than its signer.
    #[arg(long, default_value = "24h", value_parser = humantime::parse_duration)]
    lifetime: Duration,
}

/// Runs a subcommand; the long-running one until cancelled.
pub(crate) async fn run(args: Args, cancel: CancellationToken) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Sds(order) => sds::serve(&order, cancel).await?,
        other => return once(other, SystemTime::now(), &mut io::stdout()),
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs one of the subcommands that end by themselves.
fn once(command: Command, now: SystemTime, out: &mut dyn io::Write) -> anyhow::Result<ExitCode> {
    match command {
        Command::Init(order) => create::init(&order, now, out)?,
        Command::Intermediate(order) => create::intermediate(&order, now, out)?,
        Command::Request(order) => handover::request(&order, out)?,
        Command::Sign(order) => handover::sign(&order, now, out)?,
        Command::Accept(order) => handover::accept(&order, now, out)?,
        Command::Issue(order) => create::issue(&order, now, out)?,
        Command::Show(order) => return show::show(&order, now, out),
        Command::Sds(_) => anyhow::bail!("this subcommand does not end by itself"),
    }
    Ok(ExitCode::SUCCESS)
}

/// One line about a certificate that was made.
fn tell(out: &mut dyn io::Write, made: &Certificate, dir: &Path) -> io::Result<()> {
    writeln!(
        out,
        "{}\n  valid until {}\n  sha256 {}\n  written to {}",
        made.label(),
        timestamp(made.not_after()),
        made.fingerprint(),
        dir.display()
    )
}

fn cluster(name: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if name.is_empty() || name.len() > 63 || !name.chars().all(allowed) {
        return Err("a cluster's name is 1 to 63 letters, digits, '-', '.' or '_'".to_owned());
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests;

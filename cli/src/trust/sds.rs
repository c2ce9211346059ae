//! `sds`: secrets for the workloads of this machine.

use std::{fs, path::PathBuf};

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;
use trust_lib::sds::{Config, Validated, run};

#[derive(Debug, clap::Args)]
pub(super) struct Sds {
    /// The configuration (see trust/examples/sds.yaml).
    #[arg(long, value_name = "FILE")]
    pub(super) config: PathBuf,
}

pub(super) async fn serve(order: &Sds, cancel: CancellationToken) -> anyhow::Result<()> {
    let text = fs::read_to_string(&order.config)
        .with_context(|| format!("{} cannot be read", order.config.display()))?;
    let config = parse(&text).with_context(|| format!("{}", order.config.display()))?;
    Ok(run(config, cancel).await?)
}

pub(super) fn parse(yaml: &str) -> anyhow::Result<Validated> {
    let config: Config = serde_yaml_ng::from_str(yaml)?;
    config.validate().map_err(|problems| {
        let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("{}", lines.join("\n"))
    })
}

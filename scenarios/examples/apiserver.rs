//! An embedded API server to play with: prints its kubeconfig, and runs until Ctrl-C.
//!
//! ```text
//! cargo run -p scenarios --example apiserver -- cluster.kubeconfig [manifest.yaml ...]
//! kubectl --kubeconfig cluster.kubeconfig get all -A
//! ```

use std::sync::Arc;

use anyhow::{Context, Result};
use scenarios::apiserver::{ApiServer, ApiServerConfig, Pretend};

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let kubeconfig = arguments.next().context("where to write the kubeconfig?")?;
    let mut config = ApiServerConfig::new("embedded");
    config.kubelet = Some(Arc::new(Pretend::default()));
    let server = ApiServer::start(config).await?;
    for manifest in arguments {
        server.load(&std::fs::read_to_string(manifest)?)?;
    }
    std::fs::write(&kubeconfig, server.kubeconfig().yaml()?)?;
    println!("{} (kubectl --kubeconfig {kubeconfig})", server.url());
    tokio::signal::ctrl_c().await?;
    server.stop().await;
    Ok(())
}

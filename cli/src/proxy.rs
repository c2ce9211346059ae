//! `isthmus proxy router`: the gateway where Istio's own would be, started as Istio starts it.
//!
//! Istio's injector writes pilot-agent's arguments, environment and files into a gateway's pod.
//! This reads the same ones, so that a pod needs another image and nothing else
//! (istio-eastwest.md §1.5, §5.1, §7.1). What only Envoy has a use for is ignored.

mod environment;
mod pod;

use std::{env, net::SocketAddr, process::ExitCode};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use self::environment::Environment;
use crate::{
    eastwest::{self, Door},
    process::{self, Threads},
};

/// What pilot-agent takes; only the domain counts here.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// `router`, then pilot-agent's own flags.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    rest: Vec<String>,
}

/// Runs the gateway until a signal ends it and it has drained.
///
/// # Errors
/// When the pod is not one that Istio's injector made for a gateway: the message names the
/// variable or file; or when the gateway can't start.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let domain = domain(&args.rest)?;
    let root = env::current_dir().context("the working directory")?;
    let variables = env::vars().collect();
    let environment = Environment::new(variables, &root, domain);
    let config = override_with(environment.config()?, environment.overrides())?;
    let valid = config.validate().map_err(|problems| {
        let list: String = problems.iter().map(|p| format!("\n  - {p}")).collect();
        anyhow::anyhow!("what Istio's injector wrote is no good configuration:{list}")
    })?;
    let prometheus = Door::metrics("ENVOY_PROMETHEUS_PORT", environment.prometheus()?);
    process::run(Threads::One, |cancel| {
        eastwest::serve(valid, vec![prometheus], cancel)
    })
}

/// The value of `--domain`; none when Istio's default is meant.
fn domain(rest: &[String]) -> Result<Option<&str>> {
    match rest.first().map(String::as_str) {
        Some("router") => {}
        other => bail!(
            "`isthmus proxy router` is a gateway; `proxy {}` is work for Istio's own image",
            other.unwrap_or_default()
        ),
    }
    let mut rest = rest.iter();
    while let Some(argument) = rest.next() {
        if argument == "--domain" {
            return Ok(rest.next().map(String::as_str));
        }
        if let Some(domain) = argument.strip_prefix("--domain=") {
            return Ok(Some(domain));
        }
    }
    Ok(None)
}

/// Puts settings of our own over those that follow from Istio's.
fn override_with(config: ::eastwest::Config, over: Option<&str>) -> Result<::eastwest::Config> {
    let Some(over) = over else {
        return Ok(config);
    };
    let wrong = || "ISTHMUS_CONFIG is no eastwest configuration";
    let over: Value = serde_yaml_ng::from_str(over).with_context(wrong)?;
    let mut all = serde_json::to_value(config)?;
    merge(&mut all, over);
    serde_json::from_value(all).with_context(wrong)
}

fn merge(into: &mut Value, over: Value) {
    match (into, over) {
        (Value::Object(into), Value::Object(over)) => {
            for (key, value) in over {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, over) => *into = over,
    }
}

/// An address on every interface.
fn any(port: u16) -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], port))
}

#[cfg(test)]
mod tests;

//! `isthmus`: one command for every role of a mesh.
//!
//! ```text
//!                    main ── logging, process
//!        ┌────────────┼────────────┐
//!     eastwest    discovery      trust        one file per role: read, validate, run
//!     proxy                                   the gateway, started as Istio starts its own
//!        └──── config_file, admin ─┘
//!                    demo                     all of them, on this machine
//! ```
//!
//! This crate owns what belongs to a process: arguments, logging, signals, and the HTTP pages
//! for health, metrics and debug. What a role does lives in the library of its name.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod admin;
mod config_file;
#[cfg(feature = "demo")]
mod demo;
#[cfg(feature = "discovery")]
mod discovery;
#[cfg(feature = "eastwest")]
mod eastwest;
mod logging;
#[cfg(feature = "eastwest")]
mod memory;
mod process;
#[cfg(feature = "eastwest")]
mod proxy;
#[cfg(feature = "trust")]
mod trust;

/// Joins Kubernetes clusters into one mesh.
#[derive(Debug, Parser)]
#[command(name = "isthmus", version)]
struct Arguments {
    /// End, whatever happens, when the process of this id ends, which started this one.
    #[arg(long, hide = true, value_name = "PID")]
    with_parent: Option<i32>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway at a network's edge; see eastwest/examples/eastwest.yaml.
    #[cfg(feature = "eastwest")]
    Eastwest(config_file::ConfigFile),
    /// Run the gateway in a pod that Istio's injector made, in place of Istio's own proxy.
    #[cfg(feature = "eastwest")]
    Proxy(proxy::Args),
    /// Watch all member clusters and tell sidecars and gateways what they may see; see
    /// discovery/examples/discovery.yaml.
    #[cfg(feature = "discovery")]
    Discovery(config_file::ConfigFile),
    /// Bring up two clusters in one mesh on this machine, to play with.
    #[cfg(feature = "demo")]
    Demo(demo::Args),
    /// Become another program, which ends as this one would.
    #[cfg(feature = "demo")]
    #[command(hide = true)]
    Exec(demo::Exec),
    /// Make, show and serve certificates.
    #[cfg(feature = "trust")]
    Trust(trust::Args),
}

impl Command {
    /// Whether it stays, and is told of far more than it keeps.
    #[cfg(feature = "eastwest")]
    fn is_gateway(&self) -> bool {
        match self {
            Self::Eastwest(_) | Self::Proxy(_) => true,
            #[cfg(any(feature = "discovery", feature = "demo", feature = "trust"))]
            _ => false,
        }
    }

    /// The demo has a log of its own: its screen is for people.
    fn logs_to_stderr(&self) -> bool {
        match self {
            #[cfg(feature = "demo")]
            Self::Demo(_) => false,
            #[cfg(any(feature = "eastwest", feature = "discovery", feature = "trust"))]
            _ => true,
        }
    }
}

fn main() -> ExitCode {
    let Arguments {
        with_parent,
        command,
    } = Arguments::parse();
    if command.logs_to_stderr() {
        logging::start();
    }
    if let Some(parent) = with_parent
        && let Err(error) = process::end_with(parent)
    {
        eprintln!("isthmus: --with-parent: {error}");
        return ExitCode::FAILURE;
    }
    #[cfg(feature = "eastwest")]
    if command.is_gateway() {
        memory::give_back();
    }
    let outcome = match command {
        #[cfg(feature = "eastwest")]
        Command::Eastwest(file) => eastwest::run(&file),
        #[cfg(feature = "eastwest")]
        Command::Proxy(args) => proxy::run(&args),
        #[cfg(feature = "discovery")]
        Command::Discovery(file) => discovery::run(&file),
        #[cfg(feature = "demo")]
        Command::Demo(args) => demo::run(args),
        #[cfg(feature = "demo")]
        Command::Exec(program) => program.run(),
        #[cfg(feature = "trust")]
        Command::Trust(args) => {
            process::run(process::Threads::One, |cancel| trust::run(args, cancel))
        }
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("isthmus: {error:#}");
            ExitCode::FAILURE
        }
    }
}

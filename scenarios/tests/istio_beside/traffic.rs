//! What goes on through the gateways while they change places.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use scenarios::{
    load::Load,
    report::Report,
    topology::MESH_PORT,
    world::{World, pod::Pod},
};

use super::host;
use crate::setting::ARCHIVE;

/// Requests from c1 to what only c2 has: one every 10 ms on connections that the sidecar
/// keeps, one every 10 ms on a connection of its own, and one that is under way all the time.
pub(super) struct Traffic {
    kept: Load,
    fresh: Load,
    held: Held,
}

impl Traffic {
    pub(super) fn start(world: &World) -> Result<Self> {
        let client = world.cluster("c1").pod("client")?;
        Ok(Self {
            held: Held::start(client)?,
            kept: Load::start(client, ARCHIVE, PACE)?,
            fresh: Load::start(client, &host("ledger"), PACE)?,
        })
    }

    /// Lets the request end that is under way: it is answered.
    pub(super) fn let_go(&mut self) -> Result<()> {
        self.held.finish()
    }

    /// Ends it: no request was lost.
    pub(super) async fn loses_nothing(self, report: &Report) -> Result<()> {
        for (load, connections) in [(self.kept, "kept"), (self.fresh, "fresh")] {
            let answers = load.finish().await?;
            let (lost, all) = (answers.lost(), answers.len());
            ensure!(
                lost.is_empty(),
                "{} of {all} on {connections} connections lost: {:?}",
                lost.len(),
                lost[0]
            );
            let slowest = answers.slowest().as_millis();
            report.then(&format!(
                "none of {all} requests on {connections} connections is lost, the slowest takes {slowest} ms"
            ));
        }
        Ok(())
    }
}

/// A request that was sent by half.
struct Held {
    stream: TcpStream,
}

impl Held {
    fn start(client: &Pod) -> Result<Self> {
        let mut stream = client.netns().connect(client.door(ARCHIVE)?, LIMIT)?;
        stream.set_read_timeout(Some(LIMIT))?;
        let head = format!(
            "POST /upload HTTP/1.1\r\nhost: {ARCHIVE}\r\nconnection: close\r\ncontent-length: 8\r\n\r\n"
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(b"half")?;
        Ok(Self { stream })
    }

    fn finish(&mut self) -> Result<()> {
        self.stream.write_all(b"half")?;
        let mut answer = String::new();
        let read = self.stream.read_to_string(&mut answer);
        read.context("the request that was under way is not answered")?;
        ensure!(answer.starts_with("HTTP/1.1 200"), "answered: {answer}");
        Ok(())
    }
}

/// The connections that are open to a gateway, as its kernel has them: Istio's own counters
/// are not in a stock Envoy.
pub(super) fn open(gateway: &Pod) -> Result<usize> {
    let read = || Ok(fs::read_to_string("/proc/thread-self/net/tcp")?);
    let table = gateway.netns().within(read)?;
    let port = format!(":{MESH_PORT:04X}");
    let is_open = |line: &&str| {
        let mut fields = line.split_whitespace().skip(1);
        let local = fields.next().is_some_and(|local| local.ends_with(&port));
        local && fields.nth(1) == Some(ESTABLISHED)
    };
    Ok(table.lines().filter(is_open).count())
}

const PACE: Duration = Duration::from_millis(10);
const LIMIT: Duration = Duration::from_secs(5);
const ESTABLISHED: &str = "01";

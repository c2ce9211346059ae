//! An Envoy and our gateway under one istiod, in one network: every kind of ClientHello is
//! sent to both, and both must answer it alike.
//!
//! Each cell is judged once, after both are known to have the configuration. Differences are
//! listed and argued in [`table`]; any other fails.

pub(crate) mod cell;
pub(crate) mod client_hello;
mod mesh;
pub(crate) mod question;
mod table;

use anyhow::{Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use scenarios::{peers::Peers, report::Report};

use crate::stage::Scene;
use cell::Cell;
use mesh::Mesh;
use question::Question;
use table::{Outcome, Table};

pub(crate) async fn story(peers: &Peers, report: &Report, scene: &mut Scene) -> Result<()> {
    let mesh = Mesh::build(peers, report, scene).await?;
    mesh.lose_a_service().await?;
    report.when("one of the services is deleted");
    mesh.agrees().await?;
    report.then("both gateways have what istiod says: the same names on the same ports");

    let names = cell::names();
    let cells = cell::cells(&names);
    let outcomes: Vec<Outcome> = stream::iter(&cells)
        .map(|cell| judge(&mesh, *cell))
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    let table = Table(outcomes);
    report.when(&format!("{} ClientHellos are sent to each", cells.len()));
    print!("{table}");
    report.measured("the slowest refusal", table.slowest_refusal(), "at once");
    let surprises = table.surprises();
    ensure!(surprises.is_empty(), "{}", surprises.join("\n"));
    ensure!(
        table.is_told_apart(),
        "a table without every answer proves little"
    );
    report.then("both answer each alike, but for the differences that are argued");
    Ok(())
}

/// Asks both gateways at one time.
async fn judge<'a>(mesh: &Mesh<'_>, cell: Cell<'a>) -> Result<Outcome<'a>> {
    let hello = client_hello::client_hello(cell.name.sni.as_deref(), cell.alpn)?;
    let question = Question {
        port: cell.name.port,
        writes: cell.cut.writes(&hello, cell.name.sni.as_deref()),
    };
    let (envoy, ours) = tokio::join!(question.ask(mesh.envoy()), question.ask(mesh.ours()));
    Ok(Outcome {
        cell,
        envoy: envoy?,
        ours: ours?,
    })
}

/// Cells that are under way at a time.
const AT_ONCE: usize = 16;

//! What the client in c1 gets from `helloworld`, v1 in c1 and v2 in c2.

use std::fs;

use anyhow::{Context, Result, ensure};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use scenarios::{
    expect::Share,
    load::Answers,
    probe::eventually,
    report::Report,
    witness::ClientCertificate,
    world::{World, pod::Pod},
};

use crate::setting::{ARRIVAL, HELLOWORLD};

const REQUESTS: usize = 2000;

/// All requests are answered, v2's share being what its pods make it.
pub(crate) async fn is_shared(
    world: &World,
    promised: f64,
    at_once: usize,
    report: &Report,
) -> Result<()> {
    let client = world.cluster("c1").pod("client")?;
    let answers = Answers::of_requests(client, HELLOWORLD, REQUESTS, at_once).await?;
    let lost = answers.lost();
    ensure!(
        lost.is_empty(),
        "{} lost, the first: {:?}",
        lost.len(),
        lost[0]
    );
    let by_version = answers.by_version();
    let share = Share {
        count: by_version.get("v2").copied().unwrap_or_default(),
        trials: answers.len() as u64,
        promised,
    };
    ensure!(answers.len() == REQUESTS, "{} answers", answers.len());
    ensure!(share.holds(), "v2 answered {share}: {by_version:?}");
    let what = format!("answered by v2, {at_once} at once");
    report.measured(&what, share, "within 4 sigma");
    Ok(())
}

/// A client's certificate as the sidecar of a v2 pod verified it.
async fn v2_sees(client: &Pod) -> Result<ClientCertificate> {
    let answer = eventually("v2 answers", ARRIVAL, async || {
        let answer = client.call(HELLOWORLD, "/hello").await?.json()?;
        ensure!(answer["version"] == "v2", "{answer}");
        Ok(answer)
    })
    .await?;
    let header = answer["clientCertificate"].as_str();
    ClientCertificate::parse(header.context("v2's sidecar forwards no client certificate")?)
}

/// The certificate of a cluster's intermediate.
fn intermediate(world: &World, cluster: &str) -> Result<CertificateDer<'static>> {
    let path = world.cluster(cluster).directory().join("ca/ca-cert.pem");
    Ok(CertificateDer::from_pem_slice(&fs::read(path)?)?)
}

/// v2 sees a client as this identity, signed by the intermediate of one cluster and not by
/// that of the other.
pub(crate) async fn v2_sees_it_as(
    client: &Pod,
    identity: &str,
    (signer, other): (&str, &str),
    world: &World,
) -> Result<()> {
    let seen = v2_sees(client).await?;
    ensure!(seen.uris == [identity], "v2 sees {:?}", seen.uris);
    let signed = |by| seen.is_signed_by(&intermediate(world, by)?);
    ensure!(signed(signer)?, "not signed by {signer}'s intermediate");
    ensure!(!signed(other)?, "signed by {other}'s intermediate");
    Ok(())
}

//! Requests are shared by the number of pods, wherever they are.

use std::fs;

use anyhow::{Context, Result, ensure};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use scenarios::{
    expect::Share,
    load::Answers,
    probe::eventually,
    report::Report,
    witness::ClientCertificate,
    world::{Cluster, World},
};

use crate::setting::{ARRIVAL, CLIENT_ID, HELLOWORLD, Setting, weighs};

const REQUESTS: usize = 2000;

pub(super) async fn follow_the_pods(
    world: &mut World,
    setting: &Setting,
    report: &Report,
) -> Result<()> {
    report.when("a client in c1 sends 2,000 requests, each with a nonce of its own");
    is_shared(world, 0.5, 1, report).await?;

    report.when("v2 gets two more pods");
    world.cluster_mut("c2").scale_up(&setting.v2, 3).await?;
    weighs(world, 1, 3).await?;
    is_shared(world, 0.75, 1, report).await?;
    is_shared(world, 0.75, 8, report).await?;
    every_pod_serves(world).await?;
    report.then("each of its three pods answers");

    let seen = v2_sees(world.cluster("c1")).await?;
    ensure!(seen.uris == [CLIENT_ID], "v2 sees {:?}", seen.uris);
    let (own, foreign) = (intermediate(world, "c1")?, intermediate(world, "c2")?);
    ensure!(seen.is_signed_by(&own)?, "not signed by c1's intermediate");
    ensure!(!seen.is_signed_by(&foreign)?, "signed by c2's intermediate");
    report.then(&format!("v2 sees {CLIENT_ID}, signed by c1's intermediate"));
    Ok(())
}

/// All requests are answered, v2's share being what its pods make it.
async fn is_shared(world: &World, promised: f64, at_once: usize, report: &Report) -> Result<()> {
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

/// Connections, not requests, are what a gateway shares out: it takes several to
/// reach every pod behind it.
async fn every_pod_serves(world: &World) -> Result<()> {
    let client = world.cluster("c1").pod("client")?;
    let answers = Answers::of_requests(client, HELLOWORLD, 200, 12).await?;
    let by_pod = answers.by_pod();
    for pod in world.cluster("c2").pods_of("helloworld-v2") {
        ensure!(
            by_pod.contains_key(pod.name()),
            "{} never answered: {by_pod:?}",
            pod.name()
        );
    }
    Ok(())
}

/// The client's certificate as the sidecar of a v2 pod verified it.
async fn v2_sees(c1: &Cluster) -> Result<ClientCertificate> {
    let client = c1.pod("client")?;
    let answer = eventually("v2 answers", ARRIVAL, async || {
        let answer = client.call(HELLOWORLD, "/hello").await?.json()?;
        ensure!(answer["version"] == "v2", "{answer}");
        Ok(answer)
    })
    .await?;
    let header = answer["clientCertificate"].as_str();
    ClientCertificate::parse(header.context("v2's sidecar forwards no client certificate")?)
}

fn intermediate(world: &World, cluster: &str) -> Result<CertificateDer<'static>> {
    let path = world.cluster(cluster).directory().join("ca/ca-cert.pem");
    Ok(CertificateDer::from_pem_slice(&fs::read(path)?)?)
}

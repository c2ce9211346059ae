//! Requests are shared alike, and servers are told the same of their clients.

use std::{collections::BTreeSet, fs};

use anyhow::{Context, Result, ensure};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use scenarios::{
    expect::Share, load::Answers, report::Report, witness::ClientCertificate, world::World,
};

use super::cast::{CLIENTS, HELLOWORLD, KINDS};

const REQUESTS: usize = 2000;

/// c2's gateway weighs 2, each pod of c1 1. One request at a time, and several.
pub(super) async fn are_the_same(world: &World, report: &Report) -> Result<()> {
    report.when("each client sends 2,000 requests, one at a time and then 8 at once");
    for at_once in [1, 8] {
        for name in CLIENTS {
            let client = world.cluster("c1").pod(name)?;
            let answers = Answers::of_requests(client, HELLOWORLD, REQUESTS, at_once).await?;
            let lost = answers.lost();
            ensure!(
                lost.is_empty(),
                "{name} lost {}, first {:?}",
                lost.len(),
                lost[0]
            );
            let by = answers.by_version();
            let count = |version: &str| by.get(version).copied().unwrap_or_default();
            let share = |count, promised| Share {
                count,
                trials: REQUESTS as u64,
                promised,
            };
            let remote = share(count("v2-envoy") + count("v2-builtin"), 0.5);
            let local = ["v1-envoy", "v1-builtin"].map(|version| share(count(version), 0.25));
            for share in local.iter().chain([&remote]) {
                ensure!(share.holds(), "{name}: {share} in {by:?}");
            }
            let what = format!("{name}, {at_once} at once, answered in c2");
            report.measured(&what, remote, "within 4 sigma");
            let [envoy, builtin] = local;
            let what = format!("{name}, {at_once} at once, answered by the pods of c1");
            report.measured(&what, format!("{envoy}, {builtin}"), "within 4 sigma");
        }
    }
    Ok(())
}

/// Four pairs of a client and a server: one header, character by character.
pub(super) async fn servers_see_the_same(world: &World, report: &Report) -> Result<()> {
    let mut headers = BTreeSet::new();
    for name in CLIENTS {
        let client = world.cluster("c1").pod(name)?;
        for kind in KINDS {
            let host = format!("archive-{kind}.sample.svc.cluster.local");
            let answer = client.call(&host, "/hello").await?.json()?;
            ensure!(answer["version"] == format!("v2-{kind}"), "{answer}");
            let header = answer["clientCertificate"].as_str();
            headers.insert(header.context("no client certificate")?.to_owned());
        }
    }
    ensure!(headers.len() == 1, "the headers differ: {headers:#?}");
    let header = headers.pop_first().context("no header")?;
    let seen = ClientCertificate::parse(&header)?;
    let id = world.cluster("c1").plan().identity("sample", "client");
    ensure!(seen.uris == [id.clone()], "{header}");
    let issuer = world.cluster("c1").directory().join("ca/ca-cert.pem");
    let issuer = CertificateDer::from_pem_slice(&fs::read(issuer)?)?;
    ensure!(seen.is_signed_by(&issuer)?, "{header}");
    let (begin, _) = header.split_once(";Hash=").context("no hash")?;
    report.then(&format!(
        "both kinds of servers tell both kinds of clients alike: {begin};Hash=…;Chain=…;URI={id}, \
         {} bytes",
        header.len()
    ));
    Ok(())
}

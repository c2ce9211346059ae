//! A new token enters; the old one ends; connections are cut. Nobody notices.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use kube::config::{KubeConfigOptions, Kubeconfig};
use scenarios::{
    probe::eventually,
    recorder::Happening,
    report::{Report, Took},
    world::World,
};

use super::cast::{ARRIVAL, Cast, RESOURCES, audit, never_listed};
use crate::reading::{is_shown, sever};

pub(super) async fn goes_unnoticed(world: &World, cast: &mut Cast, report: &Report) -> Result<()> {
    let warm = SystemTime::now();
    let churn = cast.crowd.churn(PACE);
    report.when("500 endpoints come and go, 100 changes a second");
    tokio::time::sleep(Duration::from_secs(1)).await;

    let first = the_token_changes(world, cast, report).await?;
    let back = connections_are_cut(world, cast, report).await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    cast.crowd.rest(churn).await?;
    let records = cast.settle().await?.since(warm);
    never_listed(world, warm)?;
    report.then("no list and no sendInitialEvents since the warm-up");
    let removals = cast.told_the_truth(warm)?;
    let done = cast.crowd.diary().written();
    let done = done
        .iter()
        .filter(|w| w.begun >= scenarios::load::micros(warm));
    report.then(&format!(
        "{} changes; {} removals and {} additions told, none of what was there: the recorder \
         knows all {}",
        done.count(),
        removals.removed,
        removals.added,
        cast.crowd.truth().len(),
    ));
    ensure!(
        records.count(Happening::Removed) > 400,
        "nothing was churned"
    );
    let delays = records.delays(&cast.crowd.diary().written());
    let at = |share: usize| Took(delays[(delays.len() - 1) * share / 100]);
    let figures = format!("p50 {}, p99 {}", at(50), at(99));
    report.measured("from write to told, the cut included", &figures, "a figure");
    is_shown(world, "live").await?;
    report.fault(
        "credentials",
        "the token in a remote secret is replaced and the old one revoked, at 100 changes a second \
         over 500 endpoints",
        "in use after 1 s; no list; no endpoint taken away that is there",
        format!(
            "in use after {first}; 0 lists; {} true removals, told {figures} after the write",
            removals.removed
        ),
    );
    report.fault(
        "credentials",
        "then every connection to that API server is cut",
        "every watch goes on from its place after 1 s, with the new token; no list",
        format!("all seven after {back}; 0 lists"),
    );
    Ok(())
}

/// Replaces the token and revokes the old one; says when the new one was used first.
async fn the_token_changes(world: &World, cast: &mut Cast, report: &Report) -> Result<Took> {
    let old = cast.kubeconfig.clone();
    let before = credentials(world)?;
    let renewed = cast.renew(world, "token-2").await?;
    report.when("the token in the secret is replaced");
    let first = eventually("a request carries the new token", ARRIVAL, async || {
        let audit = audit(world)?.since(renewed);
        let new = audit.iter().find(|asked| {
            let carried = asked.credential.as_ref();
            carried.is_some_and(|credential| !before.contains(credential))
        });
        let at = new.context("none yet")?.at;
        Ok(Duration::from_micros(at - scenarios::load::micros(renewed)))
    })
    .await?;
    let first = Took(first);
    report.measured("to the first request with it", first, "1 s");
    super::cast::revoke(world, "token-1").await?;
    tokio::time::sleep(CACHE).await;
    ensure!(is_refused(&old).await?, "the old token still works");
    report.when("the old token was revoked 12 s ago: the API server refuses it");
    Ok(first)
}

/// Cuts the connections; says when the last watch was back.
async fn connections_are_cut(world: &World, cast: &Cast, report: &Report) -> Result<Took> {
    let cut = SystemTime::now();
    let connections = sever(world)?;
    ensure!(connections >= RESOURCES.len(), "only {connections}");
    report.when("all connections to c2's API server are cut");
    let back = eventually("every watch is back", ARRIVAL, async || resumed(world, cut)).await?;
    let back = Took(back);
    report.measured("until all seven watches are back", back, "1 s");
    goes_on_from_its_place(world, cast, cut)?;
    report.then("each goes on from the last version that it had heard, with the new token");
    Ok(back)
}

fn credentials(world: &World) -> Result<std::collections::BTreeSet<String>> {
    let audit = audit(world)?;
    Ok(audit.credentials().into_iter().map(str::to_owned).collect())
}

/// How long after `cut` the last of all watches was back.
fn resumed(world: &World, cut: SystemTime) -> Result<Duration> {
    let audit = audit(world)?.since(cut);
    let mut last = 0;
    for resource in RESOURCES {
        let again = audit
            .watches()
            .find(|asked| asked.resource == resource && asked.code == 200);
        last = last.max(again.with_context(|| format!("no watch of {resource}"))?.at);
    }
    Ok(Duration::from_micros(last - scenarios::load::micros(cut)))
}

/// Each watch since `cut` begins where its kind had come to: not before what was written
/// shortly before.
fn goes_on_from_its_place(world: &World, cast: &Cast, cut: SystemTime) -> Result<()> {
    let all = audit(world)?;
    let (before, after) = (all.before(cut), all.since(cut));
    let mut carried = after.credentials();
    ensure!(carried.len() == 1, "tokens since the cut: {carried:?}");
    let first = before
        .watches()
        .next()
        .and_then(|w| w.credential.as_deref());
    ensure!(
        carried.pop_first() != first,
        "the watches still carry the old token"
    );
    for resource in RESOURCES {
        let of_it = |asked: &&scenarios::audit::Asked| asked.resource == resource;
        let former = before.watches().filter(of_it).last();
        let former = former.context("it was never watched")?.version()?;
        let heard = match resource {
            "endpointslices" | "pods" => cast.crowd.diary().version(resource, cut - HEARD)?,
            _ => former,
        };
        for watch in after.watches().filter(of_it) {
            let version = watch.version()?;
            ensure!(
                version >= heard,
                "{resource} goes on from {version}, though {heard} was heard"
            );
        }
    }
    Ok(())
}

async fn is_refused(kubeconfig: &str) -> Result<bool> {
    let loaded = Kubeconfig::from_yaml(kubeconfig)?;
    let options = KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(loaded, &options).await?;
    let client = kube::Client::try_from(config)?;
    let request = http::Request::get("/api/v1/nodes").body(Vec::new())?;
    match client.request_text(request).await {
        Ok(_) => Ok(false),
        Err(kube::Error::Api(status)) => Ok(status.code == 401),
        Err(error) => Err(error.into()),
    }
}

/// A change every so often.
const PACE: Duration = Duration::from_millis(10);
/// How long an API server goes on believing a revoked token, and some.
const CACHE: Duration = Duration::from_secs(12);
/// What was written longer ago has been heard.
const HEARD: Duration = Duration::from_secs(1);

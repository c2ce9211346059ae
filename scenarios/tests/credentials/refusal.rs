//! No token is good any more, and history goes on without us.

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Result, ensure};
use scenarios::{probe::eventually, report::Report, world::World};

use super::cast::{ARRIVAL, Cast, Removals, Took, audit, is_shown, shown, shows};

pub(super) async fn is_said_and_survived(
    world: &mut World,
    cast: &mut Cast,
    report: &Report,
) -> Result<()> {
    cast.crowd.leave(20, 0).await?;
    cast.settle().await?;
    let since = SystemTime::now();

    cast.revoke(world).await?;
    world.cluster_mut("c2").stop_api();
    world.cluster_mut("c2").start_api().await?;
    let back = (SystemTime::now(), Instant::now());
    report.when("the token is revoked, with no new one, and the API server started anew");
    shows(world, "c2 stale for a 401", |c2| {
        let reason = c2["lastError"].as_str().unwrap_or_default();
        let said = reason.contains("401") && reason.contains("put a valid token into the secret");
        ensure!(c2["state"] == "stale" && said, "{c2}");
        Ok(())
    })
    .await?;
    report.measured("until c2 is stale for it", Took(back.1.elapsed()), "6 s and a heartbeat");
    let reason = shown(world).await?["lastError"].to_string();
    report.then(&format!("it says {reason}"));

    cast.crowd.come(20, 0).await?;
    cast.crowd.leave(30, 1).await?;
    report.when("meanwhile 20 endpoints come and 30 go in c2");
    tokio::time::sleep(WATCHED.saturating_sub(back.1.elapsed())).await;
    let steady = shown(world).await?;
    let said = steady["lastError"].as_str().unwrap_or_default();
    ensure!(
        said.contains("put a valid token"),
        "it no longer says what to do: {steady}"
    );
    let refused = audit(world)?.since(back.0);
    let count = refused.iter().count();
    let let_in = refused.iter().filter(|asked| asked.code != 401).count();
    ensure!(let_in == 0, "{let_in} requests were let in");
    ensure!(count <= MOST_REFUSED, "{count} requests in {WATCHED:?}");
    report.measured(
        &format!("requests in {WATCHED:?} of refusal"),
        count,
        "a heartbeat every 2 s, watches with backoff",
    );
    let told = cast.told_the_truth(since)?;
    ensure!(told == Removals { removed: 0, added: 0 }, "told: {told:?}");
    report.then("nothing was removed");

    let renewed = cast.renew(world, "token-3").await?;
    let start = Instant::now();
    report.when("the secret has a good token again");
    is_shown(world, "live").await?;
    report.measured("until c2 is live", Took(start.elapsed()), "1 s");
    cast.settle().await?;
    report.measured("until what is known is true", Took(start.elapsed()), "3 s");
    let told = cast.told_the_truth(since)?;
    let wanted = Removals { removed: 30, added: 20 };
    ensure!(told == wanted, "told: {told:?}, wanted: {wanted:?}");
    history_was_gone(world, renewed, report).await
}

/// Lists there were only where an answer 410 had said that history is gone, and each asked
/// for the newest state.
async fn history_was_gone(world: &World, since: SystemTime, report: &Report) -> Result<()> {
    let (gone, lists) = eventually("no more lists", ARRIVAL, async || {
        let audit = audit(world)?.since(since);
        let gone = audit.watches().filter(|asked| asked.code == 410).count();
        for list in audit.lists() {
            let version = list.query.get("resourceVersion");
            let newest = version.is_none_or(String::is_empty);
            ensure!(list.verb == "list" && newest, "{list:?}");
        }
        Ok((gone, audit.lists().len()))
    })
    .await?;
    report.then(&format!(
        "the restart had lost history: {gone} watches got 410, {lists} lists of the newest \
         state followed; 30 removals and 20 additions were told, exactly what had happened"
    ));
    Ok(())
}

/// How long the refusal is looked at.
const WATCHED: Duration = Duration::from_secs(12);
/// One heartbeat every two seconds, and for each of seven watches a try after 0.2 s, 0.4 s, …
const MOST_REFUSED: usize = 6 + 7 * 7;

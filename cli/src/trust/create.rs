//! `init`, `intermediate` and `issue`: something is made and written.

use std::{fs, io, path::Path, time::SystemTime};

use anyhow::{Context as _, ensure};
use trust_lib::hierarchy::{Ca, Tier, create_root};

use super::{Init, Intermediate, Issue, tell};

pub(super) fn init(order: &Init, now: SystemTime, out: &mut dyn io::Write) -> anyhow::Result<()> {
    let (mesh, generation) = (order.trust_domain.as_str(), order.generation);
    let root = create_root(mesh, generation, order.lifetime, now.into())?;
    let issuer = match &order.issuer {
        None => None,
        Some(dir) => {
            ensure!(
                *dir != order.out,
                "--issuer and --out are one directory: give two"
            );
            // Before the root is written, so that both are made or none.
            ensure!(is_vacant(dir), "{} exists and is not empty", dir.display());
            let lifetime = order.issuer_lifetime;
            Some((
                root.create_below(Tier::Issuer, generation, lifetime, now.into())?,
                dir,
            ))
        }
    };
    root.write(&order.out)?;
    tell(out, root.certificate(), &order.out)?;
    if let Some((issuer, dir)) = issuer {
        issuer.write(dir)?;
        tell(out, issuer.certificate(), dir)?;
    }
    let signer = order.issuer.as_ref().unwrap_or(&order.out).display();
    writeln!(
        out,
        "next: isthmus trust intermediate --ca {signer} --cluster <name> --out <dir>"
    )?;
    Ok(())
}

pub(super) fn intermediate(
    order: &Intermediate,
    now: SystemTime,
    out: &mut dyn io::Write,
) -> anyhow::Result<()> {
    let signer = read(&order.ca, now)?;
    let tier = Tier::Intermediate(&order.cluster);
    let made = signer.create_below(tier, order.generation, order.lifetime, now.into())?;
    made.write(&order.out)?;
    tell(out, made.certificate(), &order.out)?;
    Ok(())
}

pub(super) fn issue(order: &Issue, now: SystemTime, out: &mut dyn io::Write) -> anyhow::Result<()> {
    let leaf = read(&order.ca, now)?.issue(&order.identity, order.lifetime, now.into())?;
    leaf.write(&order.out, now.into())?;
    let made = leaf
        .chain
        .first()
        .context("a chain without a leaf was issued")?;
    tell(out, made, &order.out)?;
    Ok(())
}

pub(super) fn read(dir: &Path, now: SystemTime) -> anyhow::Result<Ca> {
    Ca::read(dir, now.into()).context("the signing CA cannot be used")
}

fn is_vacant(dir: &Path) -> bool {
    fs::read_dir(dir).map_or(!dir.exists(), |mut entries| entries.next().is_none())
}

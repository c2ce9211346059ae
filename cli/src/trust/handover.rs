//! `request`, `sign` and `accept`: an intermediate whose key never leaves its cluster.

use std::{
    fs,
    io::{self, Write},
    path::Path,
    time::SystemTime,
};

use anyhow::Context as _;
use trust_lib::{
    hierarchy::{Grant, Tier},
    request::Request,
    store::PendingCa,
};

use super::{Accept, RequestCa, Sign, create::read, tell};

pub(super) fn request(order: &RequestCa, out: &mut dyn Write) -> anyhow::Result<()> {
    let pending = PendingCa::create(Tier::Intermediate(&order.cluster))?;
    pending.write(&order.out)?;
    let (dir, cluster) = (order.out.display(), &order.cluster);
    writeln!(
        out,
        "a key and a request for the intermediate of cluster {cluster}\n  written to {dir}\n\
         next: take {dir}/ca-request.pem (and nothing else) to the root or issuer, and there\n  \
         isthmus trust sign --ca <dir> --request ca-request.pem --cluster {cluster} --out {cluster}.pem"
    )?;
    Ok(())
}

pub(super) fn sign(order: &Sign, now: SystemTime, out: &mut dyn Write) -> anyhow::Result<()> {
    let signer = read(&order.ca, now)?;
    let place = order.request.display().to_string();
    let pem = fs::read(&order.request).with_context(|| place.clone())?;
    let request = Request::from_pem(&pem, &place)?;
    let tier = Tier::Intermediate(&order.cluster);
    let grant = signer.grant(&request, tier, order.generation, order.lifetime, now.into())?;
    create(&order.out, &grant.to_pem())
        .with_context(|| format!("{} cannot be written", order.out.display()))?;
    tell(out, grant.certificate(), &order.out)?;
    writeln!(
        out,
        "next: bring it back to where the request was made, and there\n  \
         isthmus trust accept --request <dir> --signed {} --out <dir>",
        order.out.display()
    )?;
    Ok(())
}

pub(super) fn accept(order: &Accept, now: SystemTime, out: &mut dyn Write) -> anyhow::Result<()> {
    let pending = PendingCa::read(&order.request)?;
    let place = order.signed.display().to_string();
    let pem = fs::read(&order.signed).with_context(|| place.clone())?;
    let grant = Grant::from_pem(&pem, &place)?;
    let ca = grant.accept(pending.into_key(), now.into(), &place)?;
    ca.write(&order.out)?;
    tell(out, ca.certificate(), &order.out)?;
    for root in ca.bundle().roots() {
        writeln!(
            out,
            "believes {}\n  sha256 {} (compare it with what `isthmus trust show` says where the root is)",
            root.label(),
            root.fingerprint()
        )?;
    }
    Ok(())
}

/// Never over what is there.
fn create(path: &Path, text: &str) -> io::Result<()> {
    let mut file = fs::File::create_new(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

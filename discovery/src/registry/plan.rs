//! Secrets → which clusters are members, and what is refused. Pure.
//!
//! The first secret for a cluster owns it and keeps it while it names it; another one is
//! refused, and adopted when the owner goes. An owner whose kubeconfig turns bad keeps what
//! runs: a typing error must not cost a cluster.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::core::v1::Secret;

use crate::{
    cluster::{Flaw, Target, read_foreign},
    model::ClusterId,
    remote::project::Interner,
};

/// A remote secret.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SecretFact {
    /// When it was made, in seconds since 1970: the older one is the first.
    pub(crate) made: i64,
    /// A cluster per key.
    pub(crate) clusters: BTreeMap<ClusterId, Result<Target, Flaw>>,
}

/// What should run.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Plan {
    pub(crate) members: BTreeMap<ClusterId, Member>,
    pub(crate) refusals: Vec<Refusal>,
}

/// A cluster that should run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Member {
    /// The secret that owns it.
    pub(crate) secret: Arc<str>,
    /// Where it is; `None`: where it was.
    pub(crate) target: Option<Target>,
}

/// Why an entry of a secret is not used.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Refusal {
    pub(crate) secret: Arc<str>,
    pub(crate) key: ClusterId,
    pub(crate) field: String,
    pub(crate) reason: String,
    /// The next step.
    pub(crate) remedy: &'static str,
}

/// What is used of a Secret. Kubeconfigs are read and sanitised here, and dropped.
pub(crate) fn secret(secret: &Secret, _: &mut Interner) -> Option<SecretFact> {
    let made = secret.metadata.creation_timestamp.as_ref();
    let data = secret.data.iter().flatten();
    Some(SecretFact {
        made: made.map_or(0, |time| time.0.as_second()),
        clusters: data
            .map(|(key, kubeconfig)| (ClusterId::from(key.as_str()), read_foreign(&kubeconfig.0)))
            .collect(),
    })
}

/// What should run, given which secret owns what runs now.
pub(crate) fn plan(
    own: &ClusterId,
    secrets: &BTreeMap<Arc<str>, SecretFact>,
    owners: &BTreeMap<ClusterId, Arc<str>>,
) -> Plan {
    let mut plan = Plan::default();
    let mut claims: BTreeMap<&ClusterId, Vec<Claim<'_>>> = BTreeMap::new();
    for (secret, fact) in secrets {
        for (id, target) in fact.clusters.iter().filter(|(id, _)| *id != own) {
            let made = fact.made;
            claims.entry(id).or_default().push(Claim {
                made,
                secret,
                target,
            });
        }
    }
    for (id, mut claims) in claims {
        claims.sort_by_key(|claim| (claim.made, claim.secret));
        let owner = owners
            .get(id)
            .filter(|owner| claims.iter().any(|c| c.secret == *owner));
        let runs = owner.is_some();
        let owner = owner.cloned().or_else(|| {
            let good = claims.iter().find(|claim| claim.target.is_ok());
            good.map(|claim| Arc::clone(claim.secret))
        });
        for claim in &claims {
            plan.refusals
                .extend(claim.refusal(id, owner.as_ref(), runs));
        }
        if let Some(secret) = owner {
            let claim = claims.iter().find(|claim| *claim.secret == secret);
            let target = claim.and_then(|claim| claim.target.as_ref().ok().cloned());
            plan.members.insert(id.clone(), Member { secret, target });
        }
    }
    plan
}

struct Claim<'a> {
    made: i64,
    secret: &'a Arc<str>,
    target: &'a Result<Target, Flaw>,
}

impl Claim<'_> {
    fn refusal(&self, id: &ClusterId, owner: Option<&Arc<str>>, runs: bool) -> Option<Refusal> {
        let refusal = |field: String, reason: String, remedy| {
            Some(Refusal {
                secret: Arc::clone(self.secret),
                key: id.clone(),
                field,
                reason,
                remedy,
            })
        };
        if let Err(flaw) = self.target {
            let kept = match runs && owner == Some(self.secret) {
                true => "; the kubeconfig before it stays in use",
                false => "",
            };
            let reason = format!("{}{kept}", flaw.reason);
            return refusal(flaw.field.clone(), reason, flaw.remedy);
        }
        let owner = owner.filter(|owner| *owner != self.secret)?;
        refusal(
            format!("data[{id}]"),
            format!("the cluster {id} is already given by the secret {owner}"),
            "delete one of the two; this one is adopted when the other goes",
        )
    }
}

#[cfg(test)]
mod tests;

//! Whether a chain is to be believed: webpki's judgement and our own rules, both needed.
//!
//! webpki checks signatures, names, dates and path lengths below an anchor. It does not ask
//! for the dates or the path length of the anchor itself, not for key usage, and it finds a
//! way where OpenSSL and Envoy depend on the order of the bundle (two roots of one name and
//! no AKI). [`verify`] refuses what any of them would refuse, and says why.

use std::sync::Arc;

use rustls::{
    CertificateError, RootCertStore,
    client::verify_server_cert_signed_by_trust_anchor,
    pki_types::{CertificateDer, UnixTime},
    server::{ParsedCertificate, WebPkiClientVerifier},
};
use time::OffsetDateTime;

use super::{Certificate, Refusal};
use crate::{bundle::Bundle, provider};

/// What the first certificate of a chain is to be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// It stands for the server of a TLS connection.
    Server,
    /// It stands for the client of a TLS connection.
    Client,
    /// It is a CA.
    Authority,
}

/// Verifies a chain (leaf first, any order after it) against a bundle, as of `now`; the
/// answer is the way from the leaf to a root, both included.
///
/// # Errors
/// A [`Refusal`]: the reason of the way that came closest to a root.
pub fn verify(
    chain: &[CertificateDer<'_>],
    bundle: &Bundle,
    purpose: Purpose,
    now: OffsetDateTime,
) -> Result<Vec<Certificate>, Refusal> {
    if chain.len() > MAX_CHAIN {
        return Err(Refusal::TooMany {
            found: chain.len(),
            limit: MAX_CHAIN,
        });
    }
    let presented = chain
        .iter()
        .map(Certificate::from_der)
        .collect::<Result<Vec<_>, _>>()?;
    let (leaf, others) = presented.split_first().ok_or(Refusal::Empty)?;
    if leaf.is_ca() && purpose != Purpose::Authority {
        return Err(Refusal::LeafIsCa {
            member: leaf.label(),
        });
    }
    let way = way_to_root(leaf, others, bundle, now)?;
    match purpose {
        Purpose::Authority => signatures(&way)?,
        Purpose::Server | Purpose::Client => webpki(&way, chain, bundle, purpose, now)?,
    }
    Ok(way.into_iter().cloned().collect())
}

/// Whether `issuer` itself signed this leaf, with no certificate between them.
pub(crate) fn is_issued_by(
    leaf: &CertificateDer<'_>,
    issuer: &RootCertStore,
    now: UnixTime,
) -> bool {
    let algorithms = provider().signature_verification_algorithms.all;
    ParsedCertificate::try_from(leaf).is_ok_and(|leaf| {
        verify_server_cert_signed_by_trust_anchor(&leaf, issuer, &[], now, algorithms).is_ok()
    })
}

/// The instant in the terms of rustls.
#[must_use]
pub fn unix_time(now: OffsetDateTime) -> UnixTime {
    let seconds = u64::try_from(now.unix_timestamp()).unwrap_or(0);
    UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds))
}

/// A way from the leaf to a root on which every member keeps our rules, found by names, key
/// identifiers and constraints alone: signatures are not looked at.
fn way_to_root<'a>(
    leaf: &'a Certificate,
    presented: &'a [Certificate],
    bundle: &'a Bundle,
    now: OffsetDateTime,
) -> Result<Vec<&'a Certificate>, Refusal> {
    let mut search = Search {
        presented,
        bundle,
        now,
        steps_left: MAX_STEPS,
        way: vec![leaf],
    };
    match search.climb() {
        Ok(()) => Ok(search.way),
        Err(dead_end) => Err(dead_end.refusal),
    }
}

struct Search<'a> {
    presented: &'a [Certificate],
    bundle: &'a Bundle,
    now: OffsetDateTime,
    steps_left: u32,
    way: Vec<&'a Certificate>,
}

/// Where a way ended, and why: of several, the longest tells the reason.
struct DeadEnd {
    height: usize,
    refusal: Refusal,
}

impl<'a> Search<'a> {
    /// Extends the way to a root; on failure the way is as it was.
    fn climb(&mut self) -> Result<(), DeadEnd> {
        let Some(&top) = self.way.last() else {
            return Err(self.dead_end(Refusal::Empty));
        };
        self.check_dates(top)?;
        if self.bundle.contains(top) {
            return Ok(());
        }
        let mut furthest: Option<DeadEnd> = None;
        for issuer in self.issuers_of(top)? {
            self.steps_left = self.steps_left.saturating_sub(1);
            let attempt = self.step_to(issuer);
            match attempt {
                Ok(()) => return Ok(()),
                Err(end) if furthest.as_ref().is_none_or(|f| f.height < end.height) => {
                    furthest = Some(end);
                }
                Err(_) => {}
            }
            if self.steps_left == 0 {
                break;
            }
        }
        Err(furthest.unwrap_or_else(|| self.dead_end(self.unknown(top))))
    }

    fn step_to(&mut self, issuer: &'a Certificate) -> Result<(), DeadEnd> {
        self.check_issuer(issuer)?;
        self.way.push(issuer);
        let outcome = self.climb();
        if outcome.is_err() {
            self.way.pop();
        }
        outcome
    }

    /// Who may have signed `top`: roots first, then what was presented.
    fn issuers_of(&self, top: &Certificate) -> Result<Vec<&'a Certificate>, DeadEnd> {
        let (bundle, presented) = (self.bundle, self.presented);
        let roots: Vec<_> = bundle.roots().filter(|r| r.may_have_issued(top)).collect();
        let distinct = |(i, root): (usize, &&Certificate)| {
            !roots[..i].iter().any(|earlier| earlier.has_key_of(root))
        };
        let keys = roots.iter().enumerate().filter(|&r| distinct(r)).count();
        if keys > 1 {
            return Err(self.dead_end(Refusal::AmbiguousIssuer {
                member: top.label(),
                issuer: top.issuer().to_owned(),
                roots: keys,
            }));
        }
        let presented = presented
            .iter()
            .filter(|c| c.may_have_issued(top) && !self.way.contains(c));
        Ok(roots.iter().copied().chain(presented).collect())
    }

    fn check_dates(&self, member: &Certificate) -> Result<(), DeadEnd> {
        let now = self.now;
        let refusal = if now < member.not_before() {
            Refusal::NotYetValid {
                member: member.label(),
                not_before: member.not_before(),
                now,
            }
        } else if now > member.not_after() {
            Refusal::Expired {
                member: member.label(),
                not_after: member.not_after(),
                now,
            }
        } else {
            return Ok(());
        };
        Err(self.dead_end(refusal))
    }

    fn check_issuer(&self, issuer: &Certificate) -> Result<(), DeadEnd> {
        let member = issuer.label();
        if !issuer.is_ca() || !issuer.signs_certificates() {
            return Err(self.dead_end(Refusal::NotCa {
                member,
                no_key_usage: issuer.is_ca(),
            }));
        }
        let below = self.way.iter().filter(|c| c.is_ca()).count();
        let below = u32::try_from(below).unwrap_or(u32::MAX);
        match issuer.path_len() {
            Some(allowed) if below > allowed => Err(self.dead_end(Refusal::PathLength {
                member,
                allowed,
                below,
            })),
            _ => Ok(()),
        }
    }

    fn unknown(&self, top: &Certificate) -> Refusal {
        Refusal::UnknownRoot {
            member: top.label(),
            issuer: top.issuer().to_owned(),
            same_name: self.bundle.roots().any(|r| r.has_issuer_name_of(top)),
        }
    }

    fn dead_end(&self, refusal: Refusal) -> DeadEnd {
        DeadEnd {
            height: self.way.len(),
            refusal,
        }
    }
}

/// webpki's judgement; it looks for a way of its own among what is valid.
fn webpki(
    way: &[&Certificate],
    chain: &[CertificateDer<'_>],
    bundle: &Bundle,
    purpose: Purpose,
    now: OffsetDateTime,
) -> Result<(), Refusal> {
    let (anchors, now) = (bundle.anchors(now), unix_time(now));
    let (leaf, others) = chain.split_first().ok_or(Refusal::Empty)?;
    let verdict = match purpose {
        Purpose::Client => {
            WebPkiClientVerifier::builder_with_provider(Arc::new(anchors), provider())
                .build()
                .map_err(|error| other(&error))?
                .verify_client_cert(leaf, others, now)
                .map(|_| ())
        }
        Purpose::Server | Purpose::Authority => {
            let algorithms = provider().signature_verification_algorithms.all;
            ParsedCertificate::try_from(leaf).and_then(|leaf| {
                verify_server_cert_signed_by_trust_anchor(&leaf, &anchors, others, now, algorithms)
            })
        }
    };
    verdict.map_err(|error| {
        let usage = Refusal::Usage {
            member: way.first().map_or_else(String::new, |leaf| leaf.label()),
            side: if purpose == Purpose::Client {
                "client"
            } else {
                "server"
            },
        };
        match error {
            rustls::Error::InvalidCertificate(
                CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. },
            ) => usage,
            // The way of names and dates holds, so a signature on it may be the trouble.
            error => signatures(way).err().unwrap_or_else(|| other(&error)),
        }
    })
}

/// Every member's signature by the next one's key.
fn signatures(way: &[&Certificate]) -> Result<(), Refusal> {
    for pair in way.windows(2) {
        if !pair[0].is_signed_by(pair[1]) {
            return Err(Refusal::Signature {
                member: pair[0].label(),
                issuer: pair[1].label(),
            });
        }
    }
    Ok(())
}

fn other(error: &dyn std::fmt::Display) -> Refusal {
    Refusal::Other {
        why: error.to_string(),
    }
}

/// A leaf, three CAs below the root, and the roots that istio-agent appends.
const MAX_CHAIN: usize = 10;

/// Issuers tried in one search: a chain of same-named certificates cannot make it long.
const MAX_STEPS: u32 = 64;

#[cfg(test)]
#[cfg(feature = "ca")]
mod tests;

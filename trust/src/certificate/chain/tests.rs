use rcgen::{ExtendedKeyUsagePurpose, KeyUsagePurpose};

use super::*;
use crate::samples::{DAY, Forged, Forgery, bundle, ders, id, intermediate, now, root};

fn judge(chain: &[&Certificate], roots: &[&Certificate]) -> Result<Vec<Certificate>, Refusal> {
    let chain: Vec<_> = chain.iter().map(|c| c.der().clone()).collect();
    let server = verify(&chain, &bundle(roots), Purpose::Server, now());
    let client = verify(&chain, &bundle(roots), Purpose::Client, now());
    assert_eq!(server.is_ok(), client.is_ok(), "{server:?} {client:?}");
    server
}

/// root → CA → leaf, forged with this CA.
fn below(root: &Forged, ca: &Forgery) -> (Certificate, Certificate) {
    let ca = ca.signed_by(root);
    let leaf = Forgery::leaf().signed_by(&ca);
    (leaf.certificate, ca.certificate)
}

fn sound() -> Forgery {
    Forgery {
        name: "intermediate",
        aki: true,
        ..Forgery::default()
    }
}

fn sound_root() -> Forged {
    Forgery {
        name: "root",
        ..sound()
    }
    .self_signed()
}

#[test]
fn a_chain_of_any_depth_leads_to_its_root() {
    let root = root();
    let issuer = root
        .create_below(crate::hierarchy::Tier::Issuer, 1, 60 * DAY, now())
        .unwrap();
    for ca in [
        &root,
        &intermediate(&root, "c1"),
        &intermediate(&issuer, "c1"),
    ] {
        let leaf = ca.issue(&id("client"), DAY, now()).unwrap();
        let way = verify(&ders(&leaf.chain), &leaf.bundle, Purpose::Client, now()).unwrap();
        assert_eq!(way.len(), leaf.chain.len() + 1);
        assert_eq!(way[0].identity().unwrap(), id("client"));
        assert_eq!(way.last(), Some(root.certificate()));
    }
}

#[test]
fn the_order_of_intermediates_and_a_root_among_them_do_not_matter() {
    let root = root();
    let issuer = root
        .create_below(crate::hierarchy::Tier::Issuer, 1, 60 * DAY, now())
        .unwrap();
    let leaf = intermediate(&issuer, "c1")
        .issue(&id("client"), DAY, now())
        .unwrap();
    let [leaf, c1, issuer] = leaf.chain.as_slice() else {
        panic!("{leaf:?}");
    };
    judge(
        &[leaf, root.certificate(), issuer, c1],
        &[root.certificate()],
    )
    .unwrap();
}

#[test]
fn a_wrong_root_is_unknown_even_when_it_has_the_right_name() {
    let (ours, theirs) = (root(), root());
    let leaf = intermediate(&theirs, "c1")
        .issue(&id("client"), DAY, now())
        .unwrap();
    let refusal = verify(
        &ders(&leaf.chain),
        &bundle(&[ours.certificate()]),
        Purpose::Server,
        now(),
    )
    .unwrap_err();
    let Refusal::UnknownRoot {
        same_name, member, ..
    } = &refusal
    else {
        panic!("{refusal:?}");
    };
    assert!(same_name, "{refusal}");
    assert!(member.contains("c1 intermediate g1"), "{refusal}");
    assert!(refusal.to_string().contains("another key"), "{refusal}");

    let stranger = sound_root();
    let refusal = judge(&[&leaf.chain[0], &leaf.chain[1]], &[&stranger.certificate]);
    assert!(
        matches!(
            refusal,
            Err(Refusal::UnknownRoot {
                same_name: false,
                ..
            })
        ),
        "{refusal:?}"
    );
}

#[test]
fn a_missing_intermediate_is_named() {
    let root = root();
    let leaf = intermediate(&root, "c1")
        .issue(&id("client"), DAY, now())
        .unwrap();
    let refusal = judge(&[&leaf.chain[0]], &[root.certificate()]).unwrap_err();
    let text = refusal.to_string();
    assert!(matches!(refusal, Refusal::UnknownRoot { .. }), "{text}");
    assert!(text.contains("c1 intermediate g1"), "{text}");
}

#[test]
fn each_expired_member_is_named() {
    let expired = Forgery {
        days: (-9, -8),
        ..sound()
    };
    let good_root = sound_root();
    let (leaf, ca) = below(&good_root, &expired);
    let refusal = judge(&[&leaf, &ca], &[&good_root.certificate]).unwrap_err();
    assert!(
        matches!(&refusal, Refusal::Expired { member, .. } if member.starts_with("intermediate")),
        "{refusal}"
    );

    // webpki does not ask for the dates of a root, Envoy does.
    let old_root = Forgery {
        name: "old root",
        ..expired
    }
    .self_signed();
    let (leaf, ca) = below(&old_root, &sound());
    let refusal = judge(&[&leaf, &ca], &[&old_root.certificate]).unwrap_err();
    assert!(
        matches!(&refusal, Refusal::Expired { member, .. } if member.contains("old root")),
        "{refusal}"
    );

    let root = root();
    let leaf = root.issue(&id("client"), DAY, now()).unwrap();
    let later = now() + 2 * DAY;
    let refusal = verify(&ders(&leaf.chain), root.bundle(), Purpose::Server, later).unwrap_err();
    assert!(
        matches!(&refusal, Refusal::Expired { member, .. } if member.starts_with("leaf")),
        "{refusal}"
    );
    let earlier = now() - time::Duration::minutes(3);
    let refusal = verify(&ders(&leaf.chain), root.bundle(), Purpose::Server, earlier);
    assert!(matches!(refusal, Err(Refusal::NotYetValid { .. })));
}

#[test]
fn two_roots_of_one_name_need_key_identifiers() {
    let (one, two) = (sound_root(), sound_root());
    let roots = [&one.certificate, &two.certificate];
    let without = Forgery {
        name: "c1",
        aki: false,
        ..Forgery::default()
    };
    for signer in [&one, &two] {
        let (leaf, ca) = below(signer, &without);
        let refusal = judge(&[&leaf, &ca], &roots).unwrap_err();
        assert!(
            matches!(&refusal, Refusal::AmbiguousIssuer { roots: 2, .. }),
            "{refusal}"
        );
        // Alone, the root is no riddle.
        judge(&[&leaf, &ca], &[&signer.certificate]).unwrap();

        let with = Forgery {
            aki: true,
            ..without.clone()
        };
        let (leaf, ca) = below(signer, &with);
        judge(&[&leaf, &ca], &roots).unwrap();
    }
}

#[test]
fn a_root_renewed_with_its_key_is_no_riddle() {
    let old = Forgery {
        days: (-9, -8),
        ..sound()
    }
    .self_signed();
    let renewed = sound().for_key_of(&old, &old);
    let (leaf, ca) = below(
        &old,
        &Forgery {
            name: "c1",
            ..Forgery::default()
        },
    );
    judge(&[&leaf, &ca], &[&old.certificate, &renewed]).unwrap();
}

#[test]
fn a_cross_signed_root_is_reached_from_either_side() {
    let named = |name| Forgery { name, ..sound() }.self_signed();
    let (a, b) = (named("a"), named("b"));
    let cross = Forgery {
        name: "b",
        ..sound()
    }
    .for_key_of(&b, &a);
    let (leaf, ca) = below(
        &b,
        &Forgery {
            name: "c1",
            ..sound()
        },
    );
    for roots in [
        vec![&a.certificate],
        vec![&b.certificate],
        vec![&a.certificate, &b.certificate],
    ] {
        judge(&[&leaf, &ca, &cross], &roots).unwrap();
    }
    assert!(judge(&[&leaf, &ca], &[&a.certificate]).is_err());
}

#[test]
fn a_broken_path_length_is_refused_in_the_middle_and_at_the_root() {
    let root = sound_root();
    let narrow = Forgery {
        name: "narrow",
        path_len: Some(0),
        ..sound()
    };
    let middle = narrow.signed_by(&root);
    let (leaf, ca) = below(&middle, &sound());
    let chain = [&leaf, &ca, &middle.certificate];
    let refusal = judge(&chain, &[&root.certificate]).unwrap_err();
    let expected = Refusal::PathLength {
        member: "intermediate `CN=narrow`".to_owned(),
        allowed: 0,
        below: 1,
    };
    assert_eq!(refusal, expected);

    // webpki knows no path length of an anchor.
    let root = narrow.self_signed();
    let (leaf, ca) = below(&root, &sound());
    let refusal = judge(&[&leaf, &ca], &[&root.certificate]).unwrap_err();
    assert!(matches!(refusal, Refusal::PathLength { .. }), "{refusal}");
}

#[test]
fn only_a_ca_issues() {
    let root = sound_root();
    let no_ca = Forgery {
        ca: false,
        ..sound()
    };
    let (leaf, ca) = below(&root, &no_ca);
    let refusal = judge(&[&leaf, &ca], &[&root.certificate]).unwrap_err();
    assert!(
        matches!(
            refusal,
            Refusal::NotCa {
                no_key_usage: false,
                ..
            }
        ),
        "{refusal}"
    );
    let no_usage = Forgery {
        usages: vec![KeyUsagePurpose::CrlSign],
        ..sound()
    };
    let (leaf, ca) = below(&root, &no_usage);
    let refusal = judge(&[&leaf, &ca], &[&root.certificate]).unwrap_err();
    assert!(
        matches!(
            refusal,
            Refusal::NotCa {
                no_key_usage: true,
                ..
            }
        ),
        "{refusal}"
    );
    let refusal = judge(&[&root.certificate], &[&root.certificate]).unwrap_err();
    assert!(matches!(refusal, Refusal::LeafIsCa { .. }), "{refusal}");
}

#[test]
fn a_signature_by_another_key_is_named() {
    // Same name, and no identifiers that would tell the keys apart.
    let bare = Forgery {
        name: "twin",
        ..Forgery::default()
    };
    let (real, twin) = (bare.self_signed(), bare.self_signed());
    let leaf = Forgery {
        aki: false,
        ..Forgery::leaf()
    }
    .signed_by(&twin);
    let refusal = judge(&[&leaf.certificate], &[&real.certificate]).unwrap_err();
    assert!(matches!(refusal, Refusal::Signature { .. }), "{refusal}");
}

#[test]
fn a_leaf_for_servers_only_is_no_client() {
    let root = sound_root();
    let leaf = Forgery {
        eku: vec![ExtendedKeyUsagePurpose::ServerAuth],
        ..Forgery::leaf()
    }
    .signed_by(&root);
    let (chain, roots) = (
        [leaf.certificate.der().clone()],
        bundle(&[&root.certificate]),
    );
    verify(&chain, &roots, Purpose::Server, now()).unwrap();
    let refusal = verify(&chain, &roots, Purpose::Client, now()).unwrap_err();
    assert!(
        matches!(refusal, Refusal::Usage { side: "client", .. }),
        "{refusal}"
    );
}

#[test]
fn identities_are_exactly_one_spiffe_id() {
    let root = sound_root();
    let of = |uris: &[&'static str]| {
        let uris = uris.to_vec();
        let leaf = Forgery {
            uris,
            name: "x",
            ..Forgery::leaf()
        }
        .signed_by(&root);
        leaf.certificate.identity()
    };
    assert!(matches!(of(&[]), Err(Refusal::NoIdentity { .. })));
    let two = of(&["spiffe://td/a", "https://example.org"]);
    assert_eq!(two, Err(Refusal::ManyIdentities { found: 2 }));
    let other = of(&["https://example.org"]);
    assert!(matches!(other, Err(Refusal::MalformedIdentity { .. })));
    assert!(of(&["spiffe://td/ns/a/sa/b"]).is_ok());
}

#[test]
fn many_certificates_of_one_name_cost_a_bounded_search() {
    let mut chain = vec![Forgery::leaf().signed_by(&sound_root()).certificate];
    let twins = (0..9).map(|_| {
        Forgery {
            name: "intermediate",
            aki: false,
            days: (-1, 1),
            ..Forgery::default()
        }
        .self_signed()
        .certificate
    });
    // The leaf has an AKI, so begin with one that has none.
    let bare = Forgery {
        aki: false,
        ..Forgery::leaf()
    };
    chain[0] = bare
        .signed_by(
            &Forgery {
                name: "intermediate",
                ..Forgery::default()
            }
            .self_signed(),
        )
        .certificate;
    chain.extend(twins);
    let far = Forgery {
        name: "far",
        ..Forgery::default()
    }
    .self_signed();
    let chain: Vec<_> = chain.iter().collect();
    assert!(matches!(
        judge(&chain, &[&far.certificate]),
        Err(Refusal::UnknownRoot { .. })
    ));
    let too_many = vec![chain[0]; MAX_CHAIN + 1];
    assert!(matches!(
        judge(&too_many, &[&far.certificate]),
        Err(Refusal::TooMany { .. })
    ));
    assert_eq!(judge(&[], &[&far.certificate]), Err(Refusal::Empty));
}

use std::{fs, process::Stdio};

use super::*;
use crate::samples::{DAY, id, intermediate, now, openssl, root};

#[test]
fn names_tell_the_mesh_the_place_and_the_generation() {
    let root = root();
    assert_eq!(
        root.certificate().subject(),
        "O=cluster.local, CN=cluster.local root g1"
    );
    let issuer = root.create_below(Tier::Issuer, 2, DAY, now()).unwrap();
    assert_eq!(
        issuer.certificate().subject(),
        "O=cluster.local, CN=cluster.local issuer g2"
    );
    let c1 = intermediate(&issuer, "c1");
    assert_eq!(
        c1.certificate().subject(),
        "O=cluster.local, CN=cluster.local c1 intermediate g1"
    );
    assert_eq!(root.certificate().path_len(), None);
    assert_eq!(issuer.certificate().path_len(), None);
    assert_eq!(c1.certificate().path_len(), Some(0));
}

#[test]
fn key_identifiers_lead_from_each_to_the_next() {
    let root = root();
    let issuer = root.create_below(Tier::Issuer, 1, DAY, now()).unwrap();
    let c1 = intermediate(&issuer, "c1");
    let leaf = c1.issue(&id("client"), DAY, now()).unwrap();
    let [leaf, c1, issuer] = leaf.chain.as_slice() else {
        panic!("{leaf:?}")
    };
    let root = root.certificate();
    for (below, above) in [(leaf, c1), (c1, issuer), (issuer, root), (root, root)] {
        assert!(below.authority_key_id().is_some());
        assert_eq!(below.authority_key_id(), above.subject_key_id());
    }
    assert!(leaf.subject_key_id().is_some());
}

#[test]
fn an_intermediate_signs_leaves_only() {
    let c1 = intermediate(&root(), "c1");
    for tier in [Tier::Intermediate("c2"), Tier::Issuer] {
        let error = c1.create_below(tier, 1, DAY, now()).unwrap_err();
        assert!(error.to_string().contains("pathlen"), "{error}");
    }
}

#[test]
fn only_a_request_leaves_the_cluster() {
    let (root, key) = (root(), Key::generate().unwrap());
    let request = Request::new(&key, Subject::Ca("c1")).unwrap().to_pem();
    let request = Request::from_pem(request.as_bytes(), "c1.csr").unwrap();
    let tier = Tier::Intermediate("c1");
    let grant = root.grant(&request, tier, 1, DAY, now()).unwrap();
    let grant = Grant::from_pem(grant.to_pem().as_bytes(), "c1.pem").unwrap();
    let c1 = grant.accept(key, now(), "c1").unwrap();
    assert_eq!(c1.bundle(), root.bundle());

    let key = Key::generate().unwrap();
    let request = Request::new(&key, Subject::Workload(&id("other"))).unwrap();
    let chain = c1.sign_leaf(&request, &id("client"), DAY, now()).unwrap();
    // The signer decides who it is, never the request.
    assert_eq!(chain[0].identity().unwrap(), id("client"));
    assert!(chain[0].has_public_key(&key.public()));
}

#[test]
fn nothing_outlives_its_signer() {
    let root = create_root("td", 1, 10 * DAY, now()).unwrap();
    let c1 = intermediate(&root, "c1");
    assert_eq!(c1.certificate().not_after(), root.certificate().not_after());
    let leaf = c1.issue(&id("client"), 90 * DAY, now()).unwrap();
    assert_eq!(leaf.chain[0].not_after(), root.certificate().not_after());
    let error = c1
        .issue(&id("client"), DAY, now() + 11 * DAY)
        .unwrap_err()
        .to_string();
    assert!(error.contains("expired"), "{error}");
}

#[test]
fn a_ca_whose_chain_has_expired_is_not_used() {
    let past = now() - 20 * DAY;
    let root = create_root("td", 1, 10 * DAY, past).unwrap();
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("ca");
    root.write(&dir).unwrap();
    let error = Ca::read(&dir, now()).unwrap_err();
    let reason = error.refusal().map(ToString::to_string).unwrap();
    assert!(reason.contains("expired"), "{reason}");
    assert!(error.to_string().contains("ca-cert.pem"), "{error}");
}

/// Foreign CAs: what upstream's `tools/certs` makes (RSA root, `O=Istio`).
#[test]
fn a_root_made_by_openssl_signs_an_intermediate_of_ours() {
    let Some(mut openssl) = openssl() else { return };
    let place = tempfile::tempdir().unwrap();
    let made = openssl
        .current_dir(place.path())
        .args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30",
        ])
        .args([
            "-subj",
            "/O=Istio/CN=Root CA",
            "-keyout",
            "ca-key.pem",
            "-out",
            "ca-cert.pem",
        ])
        .args(["-addext", "basicConstraints=critical,CA:true"])
        .args(["-addext", "keyUsage=critical,digitalSignature,keyCertSign"])
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(made.success());
    for copy in ["root-cert.pem", "cert-chain.pem"] {
        fs::copy(place.path().join("ca-cert.pem"), place.path().join(copy)).unwrap();
    }
    let foreign = Ca::read(place.path(), now()).unwrap();
    let c1 = intermediate(&foreign, "c1");
    let leaf = c1.issue(&id("client"), DAY, now()).unwrap();
    leaf.credential(now()).unwrap();
    assert_eq!(c1.certificate().organization(), Some("Istio"));
}

#[test]
fn openssl_verifies_what_we_issue() {
    if openssl().is_none() {
        return;
    }
    let root = root();
    let issuer = root.create_below(Tier::Issuer, 1, 60 * DAY, now()).unwrap();
    for ca in [
        &root,
        &intermediate(&root, "c1"),
        &intermediate(&issuer, "c1"),
    ] {
        let leaf = ca.issue(&id("client"), DAY, now()).unwrap();
        let place = tempfile::tempdir().unwrap();
        leaf.write(place.path(), now()).unwrap();
        for purpose in ["sslserver", "sslclient"] {
            let verdict = openssl()
                .unwrap()
                .current_dir(place.path())
                .args(["verify", "-x509_strict", "-purpose", purpose])
                .args([
                    "-CAfile",
                    "root-cert.pem",
                    "-untrusted",
                    "cert-chain.pem",
                    "cert-chain.pem",
                ])
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&verdict.stderr).into_owned();
            assert!(verdict.status.success(), "{purpose}: {said}");
        }
    }
}

#[test]
fn openssl_reads_the_leaf_as_istio_would_make_it() {
    if openssl().is_none() {
        return;
    }
    let leaf = intermediate(&root(), "c1")
        .issue(&id("client"), DAY, now())
        .unwrap();
    let place = tempfile::tempdir().unwrap();
    leaf.write(place.path(), now()).unwrap();
    let text = openssl()
        .unwrap()
        .current_dir(place.path())
        .args(["x509", "-in", "cert-chain.pem", "-noout", "-text"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    for line in [
        "X509v3 Subject Alternative Name: critical",
        "URI:spiffe://cluster.local/ns/sample/sa/client",
        "X509v3 Key Usage: critical",
        "Digital Signature, Key Encipherment",
        "TLS Web Server Authentication, TLS Web Client Authentication",
        "X509v3 Basic Constraints: critical",
        "CA:FALSE",
        "X509v3 Subject Key Identifier",
        "X509v3 Authority Key Identifier",
        "NIST CURVE: P-256",
    ] {
        assert!(text.contains(line), "{line} is missing in {text}");
    }
}

//! Certificates, requests to sign, registers, and requests' JSON.

use kho_node::api::{NodePlace, SiteInit};
use kho_replication::{
    identity::{PeerIdentity, Role},
    tls::{Authority, CertificateRequest, VerifiedRequest},
};
use kho_storage::{codec, ids::SiteTime};

use super::{Seed, joined};
use crate::world::{DISTRICT, NODE, TREE, WORLD};

const NOW: SiteTime = SiteTime(1_800_000_000_000);

pub(super) fn seeds(seeds: &mut Vec<Seed>) -> anyhow::Result<()> {
    let root = Authority::create(TREE, NOW)?;
    let operator = PeerIdentity::new(TREE, Role::Operator { site: Some(DISTRICT), name: "an".into() })?;
    let requests = [
        CertificateRequest::for_node(TREE, DISTRICT, NODE, &["10.0.0.5".into(), "huyen.example".into()])?,
        CertificateRequest::for_person(operator.clone())?,
    ];
    for request in requests {
        seeds.push(("certificate_request", joined(&[&[0], request.csr_pem.as_bytes()])));
        seeds.push(("certificate_request", joined(&[&[1], &der(&request.csr_pem)?])));
        let issued = root.sign(&VerifiedRequest::from_pem(&request.csr_pem)?, NOW, 30)?;
        seeds.push(("certificate", joined(&[&[0], &der(&issued.certificate_pem)?])));
        seeds.push(("certificate", joined(&[&[1], issued.identity.to_string().as_bytes()])));
    }
    seeds.push(("certificate", joined(&[&[0], &der(root.certificate_pem())?])));
    seeds.push(("certificate", format!("\x01https://example.invalid/\n{operator}\n").into_bytes()));

    seeds.push(("register", codec::encode(&WORLD.signed)?));
    seeds.push(("register", WORLD.signed.to_file().into_bytes()));
    let place = NodePlace { node: 1, quic_address: "127.0.0.1:7401".into(), https_address: "127.0.0.1:7443".into() };
    let bodies = [
        serde_json::to_vec(&SiteInit { nodes: vec![place.clone()], register: WORLD.signed.clone(), again: false, parent_unreachable: false })?,
        serde_json::to_vec(&place)?,
        serde_json::to_vec(WORLD.register.register())?,
        serde_json::to_vec(&WORLD.signed)?,
    ];
    seeds.extend((0..).zip(bodies).map(|(what, body)| ("request_json", joined(&[&[what], &body]))));
    Ok(())
}

fn der(pem: &str) -> anyhow::Result<Vec<u8>> {
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).map(str::trim).collect();
    Ok(data_encoding::BASE64.decode(body.as_bytes())?)
}

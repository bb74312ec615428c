//! Promise 7: a child that was away comes back over a link of 64 kbit/s, while its parent has a long, newer register. It is linked at once,
//! its stream goes on while the register travels, and the register arrives.

use anyhow::ensure;
use kho_chaos_tests::{People, Quality, play, until};
use kho_storage::{
    ids::Hash32,
    register::{Register, SignedRegister},
    signature::SigningKey,
};

use crate::trees::{BIEN_HOA, CENTRE, DISTRICT, centre, district, id, link_before, nodes, plan};

/// 64 kbit/s.
const LINK_BYTES_PER_SECOND: u64 = 8_000;
/// Of random hexadecimal digits, of which zstd saves a half: over the link they take more than half a minute.
const REGISTER_BYTES: usize = 600_000;
const ROWS: u64 = 50;

#[tokio::test(flavor = "multi_thread")]
async fn promise_7_a_child_with_an_old_register_is_linked_over_a_slow_link_and_gets_the_new_one() {
    play(plan(vec![centre(1), district(DISTRICT, &BIEN_HOA, &[CENTRE], 1)]), async |stage| {
        let (parent, child) = (nodes(CENTRE, 1)[0], nodes(DISTRICT, 1)[0]);
        let link = link_before(stage, parent)?;
        stage.tree.start().await?;
        stage.kill(child)?;
        let key = SigningKey::from_pkcs8_pem(&std::fs::read_to_string(stage.tree.dir().join("pki").join("register.key"))?)?;
        let newer = longer_register(&stage.tree.register()?, &key)?;
        let version = newer.unverified()?.version;
        stage.tree.operator(id(CENTRE))?.apply_register(&newer).await?;

        link.degrade(Quality { bytes_per_second: Some(LINK_BYTES_PER_SECOND), ..Quality::WHOLE });
        stage.tree.start_node(child.0, child.1)?;
        stage.tree.wait_for_answer(child.0, child.1).await?;
        let import = stage.import(DISTRICT, &People::new("imported", BIEN_HOA.commune), ROWS, ROWS, 1)?;
        assert_eq!(import.rows().await?, ROWS);
        stage.until_rows(parent, DISTRICT, ROWS).await?;
        let held = stage.status(child).await?.register_version;
        ensure!(held < version, "the register was there before the rows: the link is too fast for this scene");
        until("the register has arrived", async || Ok((stage.status(child).await?.register_version == version).then_some(()))).await?;
        ensure!(stage.tree.operator(id(DISTRICT))?.register().await? == newer, "another register stands");
        ensure!(!stage.status(child).await?.uplink.state.is_down(), "the link did not last");
        Ok(())
    })
    .await;
}

/// The register under the next version, with a long comment at its end.
fn longer_register(register: &SignedRegister, key: &SigningKey) -> anyhow::Result<SignedRegister> {
    let next = Register { version: register.unverified()?.version + 1, ..register.unverified()? };
    let mut text = SignedRegister::issue(&next, key)?.text;
    for line in 0..REGISTER_BYTES / 64 {
        text.push_str(&format!("# {}\n", Hash32::of(&line.to_le_bytes()).to_hex()));
    }
    Ok(SignedRegister::sign(text, &[key])?)
}

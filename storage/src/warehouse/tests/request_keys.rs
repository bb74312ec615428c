//! How long request keys are remembered.

use super::*;
use crate::keys::MetaKind;

#[test]
fn promise_3_a_request_key_is_remembered_for_thirty_days() {
    let tree = Tree::new();
    let mut node = tree.node("d", 3);
    let mut again = |time, key: &str| {
        matches!(node.write(time, vec![request(key, vec![person("a", 1, 0, "2000")])])[0], WriteOutcome::Committed { repeated: true, .. })
    };
    for (time, key) in [(10, "k"), (20, "l"), (20, "m")] {
        assert!(!again(time, key), "{key} is new");
    }
    assert!(!again(10 + REQUEST_KEPT_MS, "n") && again(10 + REQUEST_KEPT_MS, "k"), "thirty days are not over");
    assert!(!again(11 + REQUEST_KEPT_MS, "o"), "this write forgets the first");
    assert!(!again(12 + REQUEST_KEPT_MS, "k"), "it is a new request");
    assert!(again(20 + REQUEST_KEPT_MS, "l") && again(20 + REQUEST_KEPT_MS, "m"), "these are kept to the end");
    assert!(!again(21 + REQUEST_KEPT_MS, "p") && !again(22 + REQUEST_KEPT_MS, "l") && !again(22 + REQUEST_KEPT_MS, "m"), "and no longer");
}

#[test]
fn promise_3_all_nodes_forget_the_same_request_keys_whatever_each_knows_of_the_oldest() {
    const OTHER: OriginId = OriginId(4);
    const DAY_MS: i64 = REQUEST_KEPT_MS / 30;
    let tree = Tree::new();
    let register = tree.register_of(&[DISTRICT, OTHER]);
    let [mut one, mut forgetful] = ["one", "forgetful"].map(|name| tree.node_under(&register, name, 3));
    let keys = |node: &Node| {
        let mut keys = Vec::new();
        let (from, to) = (MetaKind::Request.range().0, MetaKind::RequestAge.range().1);
        node.warehouse
            .db
            .load()
            .view()
            .scan(Space::Meta, &from, &to, |key, _| {
                Ok({
                    keys.push(key.to_vec());
                    true
                })
            })
            .expect("reads");
        keys
    };
    let (mut times, mut forgotten) = ([0; 2], 0);
    for step in 0..120i64 {
        // The other origin's time leaps so far ahead that the first one's new keys are older than all that are remembered.
        let place = usize::from(step % 3 == 0);
        let leap = if place == 1 && step % 12 == 0 { 50 * DAY_MS } else { DAY_MS * (step * 7 % 6) };
        times[place] += leap;
        let requests =
            (0..1 + step * step % 200).map(|n| request(&format!("{step}-{n}"), vec![person(&format!("p{n}"), 1, 0, "2000")])).collect();
        let command = Command::Write { site_time: SiteTime(times[place]), origin: [DISTRICT, OTHER][place], requests };
        let before = keys(&one).len();
        // As after a restart.
        forgetful.warehouse.oldest_request.store(i64::MIN, Ordering::Relaxed);
        assert_eq!(one.apply(&command), forgetful.apply(&command), "step {step}");
        assert_eq!(keys(&one), keys(&forgetful), "step {step}");
        forgotten += usize::from(keys(&one).len() < before);
    }
    assert!(forgotten > 5, "keys were forgotten at {forgotten} steps only");
}

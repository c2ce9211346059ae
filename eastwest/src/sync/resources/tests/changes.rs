//! The table that is changed by what changed is the one that all routes make.

use super::*;
use crate::route::{Table, balance::Dice};

fn all(table: &Table) -> BTreeMap<String, RouteSpec> {
    let specs = table.routes().map(|route| route.spec().clone());
    let key = |spec: &RouteSpec| format!("{:?} {:?}", spec.name(), spec.alpn);
    specs.map(|spec| (key(&spec), spec)).collect()
}

/// Something that a control plane may say, or that happens to its stream.
fn happens(resources: &mut Resources, dice: &mut Dice) {
    let names = ["a", "b", "c"];
    let mut below = |bound| dice.below(bound).unwrap() as usize;
    let name = names[below(3)];
    match below(9) {
        0 => resources.doubt(),
        1 => _ = resources.settle(),
        2 => _ = resources.apply(update(Kind::Cluster, vec![], &[name])),
        3 => _ = resources.apply(whole(clusters(&[name]))),
        4 => _ = resources.apply(clusters(&names)),
        5 => {
            let chains: [&[_]; 2] = [&[(name, 1)], &[(names[below(3)], 1)]];
            resources.apply(leading(&chains[..below(3)]));
        }
        6 => _ = resources.apply(door()),
        7 => {
            let gone = ["mesh", "l"][below(2)];
            resources.apply(update(Kind::Listener, vec![], &[gone]));
        }
        _ => {
            let address = format!("10.0.0.{}:1", below(3) + 1);
            resources.apply(endpoints(name, &[&*address][..below(2)]));
        }
    }
}

#[test]
fn names_that_are_not_said_to_have_changed_have_not() {
    let mut dice = Dice::new(5);
    for _ in 0..200 {
        let (mut resources, mut table) = (Resources::default(), Table::default());
        for _ in 0..40 {
            happens(&mut resources, &mut dice);
            table = table.with(resources.changes());
            let whole = Table::default().next(resources.routes());
            assert_eq!(all(&table), all(&whole));
        }
    }
}

use super::*;

const SNIS: [&str; 6] = ["a", "b", "c", "*.d", "*.e.d", "*"];

/// Routes of a listener, as many of these names as the dice say.
fn named(listener: &str, sni: &str, dice: &mut Dice) -> (Name, Vec<Arc<RouteSpec>>) {
    let name = Name {
        listener: listener.into(),
        sni: sni.into(),
    };
    let count = dice.below(3).unwrap();
    let spec = |protocol| {
        let weight = u32::try_from(dice.below(3).unwrap()).unwrap() + 1;
        Arc::new(RouteSpec {
            listener: Arc::clone(&name.listener),
            alpn: Some([format!("p{protocol}").into()].into()),
            max_connections: Some(weight),
            ..RouteSpec::of(Arc::clone(&name.sni))
        })
    };
    let specs = (0..count).map(spec).collect();
    (name, specs)
}

/// What a table says, for comparison.
fn shown(table: &Table) -> Vec<(Name, Vec<RouteSpec>)> {
    let mut shown = Vec::new();
    for listener in ["l", "m"] {
        for sni in SNIS {
            let name = Name {
                listener: listener.into(),
                sni: sni.into(),
            };
            let routes = table.named(&name).iter();
            let mut specs: Vec<RouteSpec> = routes.map(|route| route.spec().clone()).collect();
            specs.sort_by(|one, two| one.alpn.cmp(&two.alpn));
            shown.push((name, specs));
        }
    }
    shown
}

#[test]
fn a_table_changed_by_names_is_the_one_made_of_all_its_routes() {
    let mut dice = Dice::new(7);
    let mut told: HashMap<Name, Vec<Arc<RouteSpec>>> = HashMap::new();
    let mut table = Table::default();
    for _ in 0..2_000 {
        let listener = ["l", "m"][dice.below(2).unwrap() as usize];
        let sni = SNIS[dice.below(6).unwrap() as usize];
        let (name, specs) = named(listener, sni, &mut dice);
        told.insert(name.clone(), specs.clone());
        let next = table.with([(name.clone(), specs.clone())]);
        let whole = Table::default().next(told.values().flatten().cloned());
        assert_eq!(shown(&next), shown(&whole));
        assert_eq!(
            (next.len(), next.is_empty()),
            (whole.len(), whole.is_empty())
        );
        // It tells what differs, and nothing else.
        let before = table.named(&name).iter().map(|route| route.spec());
        let same = before.eq(specs.iter().map(AsRef::as_ref));
        let differing = if same { vec![] } else { vec![name] };
        assert_eq!(next.differing(&table), differing);
        assert_eq!(table.differing(&next), differing);
        table = next;
    }
    let all = table.differing(&Table::default());
    assert_eq!(
        all.len(),
        told.values().filter(|specs| !specs.is_empty()).count()
    );
}

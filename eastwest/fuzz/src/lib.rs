//! What several targets do with what they were given.

use std::{
    net::IpAddr,
    sync::{Arc, LazyLock},
    time::Duration,
};

use eastwest::{
    Config, Validated,
    config::{Eject, Span},
    route::{
        Health, RouteSpec, Table,
        balance::{Dice, MAX_TRIED},
    },
};

/// The configuration of the gateway that all targets are.
pub fn config() -> &'static Validated {
    static READ: LazyLock<Validated> = LazyLock::new(|| {
        let config: Config = serde_yaml_ng::from_str(CONFIG).expect("a configuration");
        config.validate().expect("a good one")
    });
    &READ
}

/// Makes a table of these routes, and the next one from it; of every route endpoints are
/// held as long as there is one to try: only usable ones, each once, all of them, whichever
/// are ejected meanwhile.
pub fn serve(specs: &[Arc<RouteSpec>]) {
    let first = Table::default().next(specs.iter().cloned());
    let table = first.next(specs.iter().cloned());
    let client = IpAddr::from([172, 31, 0, 22]);
    let mut dice = Dice::new(7);
    for route in table.routes() {
        let all = &route.spec().endpoints;
        let usable = all.iter().filter(|e| e.health == Health::Healthy).count();
        let mut tried = Vec::new();
        while tried.len() < MAX_TRIED
            && let Some((place, held)) = route.hold(&tried, client, Duration::ZERO, &mut dice)
        {
            assert!(!tried.contains(&place), "tried twice");
            assert_eq!(all[place].health, Health::Healthy);
            assert_eq!(all[place].address, held.endpoint().address);
            if dice.below(2) == Some(0) {
                held.endpoint().history().missed(&EJECT, Duration::ZERO);
            }
            tried.push(place);
        }
        assert_eq!(tried.len(), usable.min(MAX_TRIED));
    }
}

const EJECT: Eject = Eject {
    failures: 1,
    time: Span::seconds(5),
};
const CONFIG: &str = include_str!("../seeds/static_config/eastwest.yaml");

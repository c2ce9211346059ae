//! What several targets do with what they were given.

use std::sync::{Arc, LazyLock};

use eastwest::{
    Config, Validated,
    metrics::Meter,
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
/// held as long as there is one to try: only usable ones, each once, all of them.
pub fn serve(specs: &[Arc<RouteSpec>]) {
    let meter = Meter::new(config(), 1);
    let first = Table::default().next(specs.iter().cloned(), &meter);
    let table = first.next(specs.iter().cloned(), &meter);
    let mut dice = Dice::new(7);
    for route in table.routes() {
        let all = &route.spec().endpoints;
        let usable = all.iter().filter(|e| e.health == Health::Healthy).count();
        let mut tried = Vec::new();
        while tried.len() < MAX_TRIED
            && let Some((place, held)) = route.hold(&tried, &mut dice)
        {
            assert!(!tried.contains(&place), "tried twice");
            assert_eq!(all[place].health, Health::Healthy);
            assert_eq!(all[place].address, held.endpoint().address);
            tried.push(place);
        }
        assert_eq!(tried.len(), usable.min(MAX_TRIED));
    }
}

const CONFIG: &str = include_str!("../seeds/static_config/eastwest.yaml");

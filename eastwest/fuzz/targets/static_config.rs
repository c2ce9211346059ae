//! What an operator writes: `eastwest.yaml` and `routes.yaml`. What is accepted is
//! accepted again when it is written down, and routes make a table.
#![no_main]

use eastwest::{Config, sync::static_routes};
use eastwest_fuzz::serve;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    config(text);
    routes(text);
});

fn config(text: &str) {
    let Ok(config) = serde_yaml_ng::from_str::<Config>(text) else {
        return;
    };
    match config.validate() {
        Ok(valid) => {
            let again = serde_yaml_ng::to_string(&*valid).expect("YAML");
            let again: Config = serde_yaml_ng::from_str(&again).expect(&again);
            assert_eq!(again.validate().as_ref(), Ok(&valid));
        }
        Err(problems) => {
            assert!(problems.iter().all(|p| !p.path.is_empty()));
            assert!(!problems.is_empty(), "refused for nothing");
        }
    }
}

fn routes(text: &str) {
    let Ok(routes) = static_routes::parse(text) else {
        return;
    };
    let again = serde_json::json!({ "routes": routes }).to_string();
    assert_eq!(static_routes::parse(&again).as_ref(), Ok(&routes));
    serve(&routes);
}

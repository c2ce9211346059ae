//! The built-in sidecar on sockets, in one process: real discovery servers and real SDS, no
//! other real parts. That it does what an Envoy does is shown by `sidecars_agree` in the
//! scenarios.

#[path = "sidecars/app.rs"]
mod app;
#[path = "sidecars/configuration.rs"]
mod configuration;
#[path = "sidecars/identity.rs"]
mod identity;
#[path = "sidecars/request.rs"]
mod request;
#[path = "sidecars/strange.rs"]
mod strange;
#[path = "sidecars/world.rs"]
mod world;

use std::process::ExitCode;

use anyhow::Result;
use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let trials = [
        trial("a_request_crosses_both_sidecars", request::crosses),
        trial("refusals_are_envoys", request::refused_as_by_envoy),
        trial("a_loss_is_a_loss", request::a_loss_is_a_loss),
        trial(
            "bodies_are_not_collected",
            request::bodies_are_not_collected,
        ),
        trial("bytes_that_are_no_http_pass", request::bytes_pass),
        trial(
            "two_versions_of_http_come_in",
            request::two_versions_come_in,
        ),
        trial(
            "a_wrong_identity_is_refused",
            identity::a_wrong_one_is_refused,
        ),
        trial(
            "nobody_comes_in_without_mtls",
            identity::nobody_comes_in_without_one,
        ),
        trial(
            "certificates_are_replaced_under_way",
            identity::replaced_under_way,
        ),
        trial(
            "a_lost_discovery_changes_nothing",
            configuration::outlives_discovery,
        ),
        trial(
            "what_is_withdrawn_is_gone",
            configuration::withdrawn_is_gone,
        ),
        trial(
            "what_stays_is_not_disturbed",
            configuration::what_stays_is_not_disturbed,
        ),
        trial(
            "who_is_no_longer_believed_is_not_asked",
            identity::no_longer_believed,
        ),
        trial(
            "a_taken_address_is_waited_for",
            configuration::a_taken_address_is_waited_for,
        ),
        trial("what_is_not_understood_is_refused", strange::is_refused),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials.into()).exit_code()
}

fn trial<T>(name: &'static str, test: T) -> Trial
where
    T: AsyncFnOnce() -> Result<()> + Send + 'static,
{
    Trial::test(name, move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let told = runtime.block_on(test());
        told.map_err(|error| format!("{error:#}").into())
    })
}

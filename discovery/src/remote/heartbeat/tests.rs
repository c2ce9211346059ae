use std::sync::{Mutex, PoisonError};

use http::{Response, StatusCode};
use kube::client::Body;
use serde_json::json;
use tokio::time::sleep;
use tower::{BoxError, service_fn};

use super::*;
use crate::remote::claims::Claims;

#[test]
fn a_refusal_is_told_from_a_miss_and_says_what_to_do() {
    let failure = |status| Failure {
        status,
        reason: "x".into(),
    };
    assert_eq!(verdict(Ok("u".into())), Beat::Good("u".into()));
    assert_eq!(verdict(Err(failure(Some(500)))), Beat::Missed("x".into()));
    assert_eq!(verdict(Err(failure(None))), Beat::Missed("x".into()));
    for (status, next) in [(401, "token"), (403, "namespaces")] {
        match verdict(Err(failure(Some(status)))) {
            Beat::Refused(reason) => assert!(reason.contains(next), "{reason}"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_slows_the_beats_down_to_one_in_half_a_minute() {
    let patient = Patient::start(StatusCode::UNAUTHORIZED);
    sleep(Duration::from_secs(300)).await;
    let pauses = patient.pauses();
    assert_eq!(pauses[0], EVERY);
    assert!(
        pauses.iter().all(|p| (EVERY..=LONGEST).contains(p)),
        "{pauses:?}"
    );
    assert!(pauses[4..].iter().all(|p| *p >= LONGEST / 2), "{pauses:?}");
    let mut late = pauses[4..].to_vec();
    late.dedup();
    assert!(late.len() > 1, "no two are alike: {pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn a_new_credential_is_tried_at_once_and_often_again() {
    let patient = Patient::start(StatusCode::UNAUTHORIZED);
    sleep(Duration::from_secs(120)).await;
    let before = patient.asked().len();
    let renewed = Instant::now();
    patient.watched.renewed();
    sleep(Duration::from_secs(3)).await;
    let after = patient.asked().split_off(before);
    assert_eq!(after, [renewed, renewed + EVERY]);
}

#[tokio::test(start_paused = true)]
async fn a_credential_that_comes_while_the_old_one_is_asked_with_is_not_missed() {
    let patient = Patient::start(StatusCode::UNAUTHORIZED);
    sleep(Duration::from_secs(120)).await;
    let before = patient.asked().len();
    patient.during_the_next(|watched| watched.renewed());
    sleep(LONGEST).await;
    let after = patient.asked().split_off(before);
    assert_eq!(after[0], after[1], "{after:?}");
    assert_eq!(after[2] - after[1], EVERY);
}

#[tokio::test(start_paused = true)]
async fn good_answers_and_misses_keep_the_pace() {
    let patient = Patient::start(StatusCode::FORBIDDEN);
    sleep(Duration::from_secs(120)).await;
    for (code, name) in [
        (StatusCode::OK, "good"),
        (StatusCode::BAD_GATEWAY, "missed"),
    ] {
        patient.answer(code);
        sleep(LONGEST).await;
        let before = patient.asked().len();
        sleep(Duration::from_secs(60)).await;
        let pauses = pauses(&patient.asked()[before..]);
        assert!(
            pauses.iter().all(|pause| *pause == EVERY),
            "{name}: {pauses:?}"
        );
    }
    patient.answer(StatusCode::FORBIDDEN);
    let before = patient.asked().len();
    sleep(Duration::from_secs(7)).await;
    let pauses = pauses(&patient.asked()[before..]);
    assert_eq!(pauses[0], EVERY, "a good answer ends a row of refusals");
}

/// A cluster that answers as it is told, and whose heart is watched.
struct Patient {
    watched: Arc<Watched>,
    chart: Arc<Mutex<Chart>>,
}

struct Chart {
    code: StatusCode,
    asked: Vec<Instant>,
    meanwhile: Option<fn(&Watched)>,
}

impl Patient {
    fn start(code: StatusCode) -> Self {
        let chart = Arc::new(Mutex::new(Chart {
            code,
            asked: Vec::new(),
            meanwhile: None,
        }));
        let stale = Duration::from_secs(6);
        let watched = Arc::new(Watched::new("c2".into(), stale, Claims::default()));
        let (asked, visited) = (Arc::clone(&chart), Arc::clone(&watched));
        let server = service_fn(move |_: http::Request<Body>| {
            let mut chart = asked.lock().unwrap_or_else(PoisonError::into_inner);
            chart.asked.push(Instant::now());
            if let Some(meanwhile) = chart.meanwhile.take() {
                meanwhile(&visited);
            }
            let code = chart.code;
            let body = match code {
                StatusCode::OK => json!({ "metadata": { "name": "kube-system", "uid": "u" } }),
                _ => json!({ "status": "Failure", "code": code.as_u16() }),
            };
            let mut answer = Response::new(Body::from(body.to_string().into_bytes()));
            *answer.status_mut() = code;
            async move { Ok::<_, BoxError>(answer) }
        });
        let client = kube::Client::new(server, "default");
        let beating = beat(client, Arc::clone(&watched), EVERY, Duration::from_secs(3));
        tokio::spawn(beating);
        Self { watched, chart }
    }

    fn answer(&self, code: StatusCode) {
        self.chart.lock().unwrap().code = code;
    }

    fn during_the_next(&self, meanwhile: fn(&Watched)) {
        self.chart.lock().unwrap().meanwhile = Some(meanwhile);
    }

    fn asked(&self) -> Vec<Instant> {
        self.chart.lock().unwrap().asked.clone()
    }

    fn pauses(&self) -> Vec<Duration> {
        pauses(&self.asked())
    }
}

fn pauses(asked: &[Instant]) -> Vec<Duration> {
    asked.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

const EVERY: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(30);

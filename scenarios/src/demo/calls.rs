//! The clients of the demo: each asks `helloworld` again and again, through the sidecar of
//! its pod.

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use super::picture::CallsView;
use crate::{
    load::{Answer, Answers, Caller},
    witness::ClientCertificate,
};

/// A client at work. Dropping it ends it.
#[derive(Debug)]
pub struct Calls {
    heard: Arc<Mutex<Heard>>,
    caller: Arc<Caller>,
    paused: Arc<AtomicBool>,
    _task: JoinSet<()>,
}

/// What came back.
#[derive(Debug, Default)]
struct Heard {
    view: CallsView,
    answers: Vec<Answer>,
}

impl Calls {
    /// Begins to ask `host` through the sidecar of the pod whose loopback address this is, at
    /// this pace, whatever the answers.
    #[must_use]
    pub fn begin(loopback: IpAddr, host: &str, every: Duration) -> Self {
        let heard = Arc::new(Mutex::new(Heard::default()));
        let caller = Arc::new(Caller::new(loopback, host, GIVE_UP));
        let paused = Arc::new(AtomicBool::new(false));
        let mut task = JoinSet::new();
        task.spawn(ask(
            Arc::clone(&caller),
            every,
            Arc::clone(&heard),
            Arc::clone(&paused),
        ));
        Self {
            heard,
            caller,
            paused,
            _task: task,
        }
    }

    /// What became of so many requests, one at a time, with no others beside them: then a
    /// balancer that looks at load (Envoy's least request) sees only weights.
    pub async fn sample(&self, count: usize) -> Answers {
        self.paused.store(true, Ordering::Relaxed);
        // Those that are out come back.
        tokio::time::sleep(REST).await;
        let mut answers = Vec::with_capacity(count);
        for number in 0..count {
            answers.push(self.caller.call(SAMPLED + number).await.0);
        }
        self.paused.store(false, Ordering::Relaxed);
        answers.into_iter().collect()
    }

    /// What became of the requests, as it is shown.
    #[must_use]
    pub fn view(&self) -> CallsView {
        self.lock().view.clone()
    }

    /// Forgets what became of the requests so far.
    pub fn forget(&self) {
        *self.lock() = Heard::default();
    }

    /// What became of every request so far.
    #[must_use]
    pub fn answers(&self) -> Answers {
        self.lock().answers.iter().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn ask(
    caller: Arc<Caller>,
    every: Duration,
    heard: Arc<Mutex<Heard>>,
    paused: Arc<AtomicBool>,
) {
    let mut pace = interval(every);
    // After a pause of the machine the pace goes on; it does not catch up.
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut waiting, mut number) = (JoinSet::new(), 0);
    loop {
        tokio::select! {
            _ = pace.tick() => {
                if !paused.load(Ordering::Relaxed) {
                    let caller = Arc::clone(&caller);
                    waiting.spawn(async move { caller.call(number).await });
                    number += 1;
                }
            }
            Some(Ok((answer, hello))) = waiting.join_next() => {
                let header = hello.and_then(|hello| hello.client_certificate);
                let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
                heard.view.take(&answer);
                heard.answers.push(answer);
                if let Some(chain) = header.and_then(|header| describe(&header)) {
                    heard.view.chain = chain;
                }
            }
        }
    }
}

/// Who called, and who signed for it.
fn describe(header: &str) -> Option<Vec<String>> {
    let client = ClientCertificate::parse(header).ok()?;
    let mut lines = client.uris.clone();
    lines.extend(
        client
            .issuers()
            .ok()?
            .into_iter()
            .map(|name| format!("signed by {name}")),
    );
    Some(lines)
}

/// Numbers of sampled requests: no other request has one of these.
const SAMPLED: usize = 1 << 32;
const REST: Duration = Duration::from_millis(200);
const GIVE_UP: Duration = Duration::from_secs(5);

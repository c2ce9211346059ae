//! An honest client beside the hostile ones: a request every 10 ms, on a connection of
//! its own or all on one. It loses nothing.

use std::{
    fmt, io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::{JoinHandle, JoinSet},
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::world::{SNI, SOON, hello};

/// The client at work.
pub(crate) struct Neighbour {
    stop: CancellationToken,
    asked: Arc<AtomicU32>,
    task: JoinHandle<Account>,
}

/// What it met.
#[derive(Debug, Default)]
struct Account {
    asked: Arc<AtomicU32>,
    lost: Vec<String>,
    slowest: Duration,
}

impl Neighbour {
    /// Asks on a new connection each time.
    pub(crate) fn beside(address: SocketAddr) -> Self {
        let (stop, account) = (CancellationToken::new(), Account::default());
        let asked = Arc::clone(&account.asked);
        let task = tokio::spawn(ask_anew(address, account, stop.clone()));
        Self { stop, asked, task }
    }

    /// Asks on one connection, which is established when this returns.
    pub(crate) async fn established(address: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        ask(&mut stream, &hello(SNI)).await.unwrap();
        let (stop, account) = (CancellationToken::new(), Account::default());
        let asked = Arc::clone(&account.asked);
        let task = tokio::spawn(ask_again(stream, account, stop.clone()));
        Self { stop, asked, task }
    }

    /// How many answers it has, or lost.
    pub(crate) fn asked(&self) -> u32 {
        self.asked.load(Ordering::Relaxed)
    }

    /// Stops, and sees that nothing was lost; what to say of it in a row of the table.
    pub(crate) async fn lost_nothing(self) -> impl fmt::Display {
        self.stop.cancel();
        let account = self.task.await.unwrap();
        assert!(account.lost.is_empty(), "{account:?}");
        assert!(self.asked.load(Ordering::Relaxed) > 0, "it never asked");
        account
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (asked, lost) = (self.asked.load(Ordering::Relaxed), self.lost.len());
        let slowest = self.slowest.as_millis();
        write!(
            f,
            "beside, {asked} requests, {lost} lost, slowest {slowest} ms"
        )
    }
}

impl Account {
    fn note(&mut self, answered: io::Result<Duration>) {
        self.asked.fetch_add(1, Ordering::Relaxed);
        match answered {
            Ok(time) => self.slowest = self.slowest.max(time),
            Err(error) => self.lost.push(error.to_string()),
        }
    }
}

async fn ask_anew(address: SocketAddr, mut account: Account, stop: CancellationToken) -> Account {
    let question = hello(SNI);
    let mut asking = JoinSet::new();
    let mut clock = interval(EVERY);
    clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while !stop.is_cancelled() {
        clock.tick().await;
        let question = question.clone();
        asking.spawn(async move {
            let begin = Instant::now();
            let asked = async {
                let mut stream = TcpStream::connect(address).await?;
                ask(&mut stream, &question).await
            };
            timeout(SOON, asked).await??;
            Ok(begin.elapsed())
        });
        while let Some(answered) = asking.try_join_next() {
            account.note(answered.unwrap());
        }
    }
    while let Some(answered) = asking.join_next().await {
        account.note(answered.unwrap());
    }
    account
}

async fn ask_again(
    mut stream: TcpStream,
    mut account: Account,
    stop: CancellationToken,
) -> Account {
    let mut clock = interval(EVERY);
    clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while !stop.is_cancelled() {
        clock.tick().await;
        let begin = Instant::now();
        let asked = timeout(SOON, ask(&mut stream, b"question")).await;
        account.note(
            asked
                .map_err(io::Error::from)
                .flatten()
                .map(|()| begin.elapsed()),
        );
    }
    account
}

/// Says something that has to come back.
async fn ask(stream: &mut TcpStream, question: &[u8]) -> io::Result<()> {
    stream.write_all(question).await?;
    let mut answer = vec![0; question.len()];
    stream.read_exact(&mut answer).await?;
    if answer == question {
        Ok(())
    } else {
        Err(io::Error::other("another answer"))
    }
}

const EVERY: Duration = Duration::from_millis(10);

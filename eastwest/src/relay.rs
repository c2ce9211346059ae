//! Carries the bytes of one connection both ways until both sides have ended.
//!
//! A connection that is idle owns no buffer and no pipe: it waits for readiness first.
//! Short transfers go through a buffer that all connections of the worker share, long
//! ones through a pipe lent for the moment ([`pace`] decides). An end of one half is
//! passed on as an end of that half, a reset as a reset.

pub mod carried;
mod flow;
pub mod pace;
pub mod pipe_pool;
pub mod splice;

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{Interest, Ready},
    net::TcpStream,
    time::{Instant, Sleep, sleep_until},
};

use self::{
    carried::Carried,
    flow::{Broken, Flow},
};
use crate::{
    error::{Close, Side},
    metrics::Cell,
    worker::Worker,
};

/// Both directions of a connection.
pub(crate) struct Relay<'a> {
    pub(crate) client: &'a TcpStream,
    pub(crate) endpoint: &'a TcpStream,
    pub(crate) worker: &'a Worker,
    pub(crate) cell: &'a Cell,
    pub(crate) carried: &'a mut Carried,
}

impl Relay<'_> {
    /// Carries until the end, whose reason it gives: at the latest at `end`.
    pub(crate) fn run(self, idle: Duration, end: Option<Instant>) -> impl Future<Output = Close> {
        let mut both = Both {
            up: Flow::default(),
            down: Flow::default(),
            relay: self,
            moved_at: Instant::now(),
            idle,
            end,
        };
        async move {
            let (client, endpoint) = (both.relay.client, both.relay.endpoint);
            let mut clock = pin!(sleep_until(both.due()));
            let mut client_error = pin!(client.ready(Interest::ERROR));
            let mut endpoint_error = pin!(endpoint.ready(Interest::ERROR));
            let mut fused = (false, false);
            poll_fn(|cx| {
                if let Poll::Ready(close) = both.poll(cx) {
                    return Poll::Ready(close);
                }
                // A flow that is blocked or ended does not read, and would see no reset.
                if both.up.is_deaf() && !fused.0 && is_ready(client_error.as_mut(), cx) {
                    fused.0 = true;
                    if let Some(close) = both.reset(Side::Client, cx) {
                        return Poll::Ready(close);
                    }
                }
                if both.down.is_deaf() && !fused.1 && is_ready(endpoint_error.as_mut(), cx) {
                    fused.1 = true;
                    if let Some(close) = both.reset(Side::Endpoint, cx) {
                        return Poll::Ready(close);
                    }
                }
                both.poll_idle(clock.as_mut(), cx)
            })
            .await
        }
    }
}

/// The state of a relay at work.
struct Both<'a> {
    up: Flow,
    down: Flow,
    relay: Relay<'a>,
    moved_at: Instant,
    idle: Duration,
    end: Option<Instant>,
}

impl Both<'_> {
    /// When the clock has to ring next.
    fn due(&self) -> Instant {
        let idle = self.moved_at + self.idle;
        self.end.map_or(idle, |end| end.min(idle))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Close> {
        // First: what the endpoint said before it broke is still the client's.
        let down = self.poll_down(cx);
        let up = self.poll_up(cx);
        let broken = match (down, up) {
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(Close::Finished),
            (Poll::Ready(Err(broken)), _) => broken.close(Side::Endpoint, Side::Client),
            (_, Poll::Ready(Err(broken))) => broken.close(Side::Client, Side::Endpoint),
            _ => return Poll::Pending,
        };
        Poll::Ready(broken)
    }

    fn poll_up(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let Relay {
            client,
            endpoint,
            worker,
            ..
        } = self.relay;
        let before = self.up.moved();
        let polled = self.up.poll(client, endpoint, worker, cx);
        let bytes = self.up.moved() - before;
        if bytes > 0 {
            self.moved_at = Instant::now();
            self.relay.carried.received += bytes;
            self.relay.cell.received.add(bytes);
        }
        polled
    }

    fn poll_down(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let Relay {
            client,
            endpoint,
            worker,
            ..
        } = self.relay;
        let before = self.down.moved();
        let polled = self.down.poll(endpoint, client, worker, cx);
        let bytes = self.down.moved() - before;
        if bytes > 0 {
            self.moved_at = Instant::now();
            self.relay.carried.sent += bytes;
            self.relay.cell.sent.add(bytes);
        }
        polled
    }

    /// What to do about an error announced on one side's socket.
    fn reset(&mut self, side: Side, cx: &mut Context<'_>) -> Option<Close> {
        if let Poll::Ready(close) = self.poll(cx) {
            return Some(close);
        }
        let socket = match side {
            Side::Client => self.relay.client,
            _ => self.relay.endpoint,
        };
        let error = socket.take_error().ok()??;
        Some(Broken::From(error).close(side, side))
    }

    /// The clock is moved only when it rings, not with every byte.
    fn poll_idle(&self, mut clock: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<Close> {
        while clock.as_mut().poll(cx).is_ready() {
            let (now, due) = (Instant::now(), self.due());
            if self.end.is_some_and(|end| end <= now) {
                return Poll::Ready(Close::TooOld);
            }
            if due <= now {
                return Poll::Ready(Close::Idle);
            }
            clock.as_mut().reset(due);
        }
        Poll::Pending
    }
}

fn is_ready(
    error: Pin<&mut impl Future<Output = std::io::Result<Ready>>>,
    cx: &mut Context<'_>,
) -> bool {
    error.poll(cx).is_ready()
}

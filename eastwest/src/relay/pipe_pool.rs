//! Pipes for `splice`, made when first needed, bounded in number, lent out one transfer
//! at a time.
//!
//! The kernel accounts pipe memory per user and gives smaller pipes, or none, beyond a
//! limit. A small pipe is worse than a copy, so it counts as none.

use std::{
    cell::{Cell, RefCell},
    os::fd::OwnedFd,
    rc::Rc,
};

use rustix::pipe::{PipeFlags, fcntl_getpipe_size, pipe_with};

/// The pipes of one worker.
#[derive(Debug)]
pub struct PipePool {
    limit: usize,
    open: Rc<Cell<usize>>,
    free: RefCell<Vec<Pipe>>,
}

/// A pipe, both ends non-blocking. Dropped, it is closed and makes room in its pool.
#[derive(Debug)]
pub struct Pipe {
    /// The end to read from.
    pub out: OwnedFd,
    /// The end to write to.
    pub into: OwnedFd,
    _counted: Counted,
}

/// One of the pool's open pipes.
#[derive(Debug)]
struct Counted(Rc<Cell<usize>>);

impl PipePool {
    /// A pool of at most `limit` pipes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            open: Rc::default(),
            free: RefCell::default(),
        }
    }

    /// An empty pipe; none when all are lent out, or the kernel gives no whole one.
    #[must_use]
    pub fn take(&self) -> Option<Pipe> {
        let free = self.free.borrow_mut().pop();
        free.or_else(|| self.make())
    }

    /// Takes back a pipe that is empty.
    pub fn give_back(&self, pipe: Pipe) {
        self.free.borrow_mut().push(pipe);
    }

    fn make(&self) -> Option<Pipe> {
        if self.open.get() >= self.limit {
            return None;
        }
        let (out, into) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).ok()?;
        (fcntl_getpipe_size(&into).ok()? >= WHOLE).then(|| Pipe {
            out,
            into,
            _counted: Counted::new(&self.open),
        })
    }
}

impl Counted {
    fn new(open: &Rc<Cell<usize>>) -> Self {
        open.set(open.get() + 1);
        Self(Rc::clone(open))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// The size of a pipe that is not cut down (16 pages of 4 KiB).
const WHOLE: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_holds_and_a_dropped_pipe_makes_room() {
        let pool = PipePool::new(2);
        let first = pool.take().unwrap();
        let second = pool.take().unwrap();
        assert!(pool.take().is_none());
        drop(first);
        pool.give_back(second);
        assert_eq!((pool.open.get(), pool.free.borrow().len()), (1, 1));
        let _third = pool.take().unwrap();
        let _fourth = pool.take().unwrap();
        assert!(pool.take().is_none());
    }

    #[test]
    fn a_pool_of_none_lends_none() {
        assert!(PipePool::new(0).take().is_none());
    }
}

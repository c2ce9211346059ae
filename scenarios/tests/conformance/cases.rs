//! The cases.

mod custom;
mod documents;
mod istiod;
mod objects;
mod options;
mod pages;
mod patches;
mod people;
mod rust;
mod tokens;
mod transitions;
mod watcher;
mod workloads;
mod writes;

use anyhow::Result;
use futures::future::LocalBoxFuture;

use crate::subject::Scene;

/// Questions to a server.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Whether it needs kubectl.
    pub(crate) kubectl: bool,
    pub(crate) play: for<'a, 'b> fn(&'a mut Scene<'b>) -> LocalBoxFuture<'a, Result<()>>,
}

macro_rules! case {
    ($name:ident) => {
        Case {
            name: stringify!($name),
            kubectl: false,
            play: |scene| Box::pin($name::play(scene)),
        }
    };
    ($name:ident with kubectl) => {
        Case {
            kubectl: true,
            ..case!($name)
        }
    };
}

/// All of them.
pub(crate) const CASES: [Case; 14] = [
    case!(options),
    case!(istiod),
    case!(watcher),
    case!(transitions),
    case!(pages),
    case!(writes),
    case!(patches),
    case!(objects),
    case!(custom),
    case!(tokens),
    case!(workloads),
    case!(documents),
    case!(rust),
    case!(people with kubectl),
];
